"""Whole sessions under random schedules: every owed reply comes or is reported, and nobody speaks out of turn.

A *schedule* is what a program and its user do, and when; what the server does of itself follows from the seed. A
failure prints the schedule, made as short as it can be; what is printed can be given to `failure_of` again. About 2,000
are played; to play more: `SCHEDULES=5000 pytest tests/session/test_session_schedules.py`.
"""

import math
import os
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from realtime_trio import (
    NotAcknowledged,
    RealtimeError,
    ReplyLost,
    Response,
    ResponseFailed,
    ServerError,
    Session,
    ToolError,
    open_session,
    tool,
)
from realtime_trio.events import SemanticVad, ServerVad
from realtime_trio.testing import FakeDevice

from .model_server import ACTIVE, ModelResponse, ModelServer, Nature

SCHEDULES = int(os.environ.get("SCHEDULES", "300"))  # in each world; where a device keeps time, a third of that

ENDS_WITHIN = 300.0  # seconds of virtual time that a program may wait after the last thing that it does
DRAINS_WITHIN = 100.0


@attrs.frozen
class World:
    """What sessions these are.

    Attributes:
        detection: The session's turn detection.
        policy: What the user's speech does while something is said.
        by_key: The session has a device and the user has a key.
        natures: What the servers are like, one of them drawn for each schedule.
    """

    detection: ServerVad | SemanticVad | None
    natures: tuple[Nature, ...]
    policy: str = "immediate"
    by_key: bool = False
    device: bool = False


@attrs.frozen
class Step:
    """One thing that somebody does.

    Attributes:
        at: When, in seconds.
        what: What.
        lasts: How long, in seconds; inf for as long as it takes. What the program does is cancelled then.
        when: As for `Session.ask`.
        interruption: As for `Session.ask`.
    """

    at: float
    what: str
    lasts: float = math.inf
    when: str = "queue"
    interruption: str | None = None


@attrs.frozen
class Schedule:
    """What is done in one session."""

    world: str
    seed: int
    nature: Nature
    steps: tuple[Step, ...]


CALM = Nature()
SLOW = Nature(latency=1.5)
HASTY = Nature(latency=0.01, pace=0.1, calls=0.6)
FAILING = Nature(fails=0.3)
LOSING = Nature(loses=0.3, latency=0.5)
NAMELESS = Nature(echoes=False)
GRUMBLING = Nature(rejects_turns=True, latency=0.5)
ALL = (CALM, SLOW, HASTY, FAILING, LOSING, GRUMBLING)

WORLDS = {
    "typed": World(None, (*ALL, NAMELESS)),
    "turns": World(ServerVad(), ALL),
    "turns that do not interrupt": World(ServerVad(interrupt_response=False), ALL),
    "turns that the program answers": World(SemanticVad(create_response=False), ALL),
    "confirmed": World(ServerVad(), ALL, "confirm"),
    "uninterrupted": World(ServerVad(), ALL, "never"),
    "spoken": World(ServerVad(), ALL, device=True),
    "by key": World(None, ALL, by_key=True, device=True),
}

PROGRAM = ["ask", "ask", "send_text", "send_text", "say", "respond", "generate", "interrupt", "cancel_response"]
USER = ["speak", "speak", "speak", "be_silent"]


TIMES = st.floats(0, 12) | st.floats(0, 3) | st.floats(0, 0.5)
CANCELLABLE = ("ask", "send_text", "say", "respond", "generate")
WHENS = {"ask": ["interrupt"], "say": ["interrupt", "now_silently"], "send_text": ["interrupt", "now_silently"]}
RARELY = st.sampled_from([False, False, False, True])
LASTING = st.sampled_from([0.0, 0.01, 0.05]) | st.floats(0, 4)


@st.composite
def schedules(draw: st.DrawFn, name: str) -> Schedule:
    """Draw a schedule."""
    world = WORLDS[name]
    kinds = PROGRAM + (USER if world.detection else []) + (["press"] * 4 if world.by_key else [])
    steps = []
    for at in draw(st.lists(TIMES, min_size=1, max_size=12)):
        what = draw(st.sampled_from(kinds))
        step = Step(round(at, 3), what)
        if what in ("speak", "press") or (what in CANCELLABLE and draw(RARELY)):
            step = attrs.evolve(step, lasts=round(draw(LASTING), 3))
        if what in WHENS and draw(RARELY):
            step = attrs.evolve(step, when=draw(st.sampled_from(WHENS[what])))
        if what in ("ask", "say", "respond") and draw(RARELY):
            step = attrs.evolve(step, interruption="never")
        steps.append(step)
    return Schedule(
        name,
        draw(st.integers(0, 2**32)),
        draw(st.sampled_from(world.natures)),
        tuple(sorted(steps, key=lambda step: step.at)),
    )


@tool
async def work(seconds: float, *, works: bool) -> str:
    """Do something that takes a while."""
    await trio.sleep(seconds)
    if not works:
        raise ToolError("it is broken")
    return "done"


@tool(on_interrupt="cancel", concurrency=1)
async def give_up(seconds: float, *, works: bool) -> str:
    """Do something that makes no sense any more when the user speaks."""
    return await work(seconds, works=works)


@tool(on_interrupt="detach", timeout=2)
async def go_on(seconds: float, *, works: bool) -> str:
    """Do something that goes on when the user speaks."""
    return await work(seconds, works=works)


@tool(background=True)
async def work_aside(seconds: float, *, works: bool) -> str:
    """Do something that is told of later."""
    return await work(seconds, works=works)


class Play:
    """One schedule, played."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.world = WORLDS[schedule.world]
        self.server = ModelServer(schedule.seed, schedule.nature)
        self.session: Session
        self.problems: list[str] = []
        self.waiting: dict[str, str] = {}  # the steps that are not over
        self.wanted: dict[str, str] = {}  # items that are to be answered, by who wants it
        self.lost: list[Exception] = []
        self.live: dict[str, Response] = {}
        self.stops: list[float] = []  # when the program itself stopped what was being said
        self.interruptions: list[float] = []  # when it did so whether or not the response had been created
        self.users = 0  # how often the user spoke

    async def run(self) -> None:
        device = FakeDevice(block_ms=100, ring_ms=400) if self.world.device else None
        async with trio.open_nursery() as background:
            if device is not None:
                background.start_soon(device.run)
            async with open_session(
                connect=self.server.connect,
                url="ws://model.localhost",
                tools=[work, give_up, go_on, work_aside],
                audio=device,
                turn_detection=self.world.detection,
                interruption=self.world.policy,
                echo="off",
            ) as self.session:
                background.start_soon(self.follow)
                background.start_soon(self.follow_responses)
                await trio.testing.wait_all_tasks_blocked()
                await self.play()
            background.cancel_scope.cancel()
        self.check()

    async def follow(self) -> None:
        async with self.session.events(ReplyLost) as notices:
            async for notice in notices:
                self.lost.append(notice.problem)

    async def follow_responses(self) -> None:
        async with self.session.responses() as responses:
            async for response in responses:
                self.live[response.id] = response

    async def play(self) -> None:
        begun = trio.current_time()
        with trio.move_on_after(ENDS_WITHIN) as patience:
            async with trio.open_nursery() as nursery:
                for number, step in enumerate(self.schedule.steps):
                    await trio.sleep_until(begun + step.at)
                    nursery.start_soon(self.do, f"{step.what} {number}", step)
        if patience.cancelled_caught:
            self.problems.append(f"never over: {', '.join(self.waiting)}")
        with trio.move_on_after(DRAINS_WITHIN) as patience:
            await self.settle()
        if patience.cancelled_caught:
            self.problems.append("never drained")

    async def settle(self) -> None:
        """Wait until nothing happens any more: who only waits for `drained` may miss what tools have yet to say."""
        seen = -1
        while self.session.statistics().tools.open or len(self.server.log) > seen:
            seen = len(self.server.log)
            await trio.sleep(2 * self.schedule.nature.latency + self.schedule.nature.pace + 3)
            await self.session.drained()

    async def do(self, name: str, step: Step) -> None:
        """Do one step, and note what came of it."""
        self.waiting[name] = name
        method: Callable[..., Any] = getattr(self, step.what)
        try:
            if step.what in ("speak", "press"):
                await method(name, step)
            else:
                with trio.move_on_after(step.lasts):
                    await method(name, step)
        except RealtimeError as error:
            self.judge(name, error)
        del self.waiting[name]

    def judge(self, name: str, error: Exception) -> None:
        """Tell whether an exception has a reason."""
        nature = self.schedule.nature
        match error:
            case ServerError() if error.code == ACTIVE:
                self.problems.append(f"{name} saw {error}")
            case ResponseFailed() if nature.fails:
                pass
            case NotAcknowledged() if nature.loses:
                pass
            case RealtimeError() if "interrupted before" in str(error) and self.stops:
                pass
            case _:
                self.problems.append(f"{name} raised {error!r}")

    # What the program does

    async def ask(self, name: str, step: Step) -> None:
        self.note_stop(step)
        reply = await self.session.ask(name, when=step.when, interruption=step.interruption)
        item_id = self.server.items[name]
        if reply.status == "cancelled":
            self.check_cancelled(name)
        elif reply.status not in ("completed", "incomplete"):
            self.problems.append(f"{name} ended as {reply.status}")
        elif not any(item_id in self.server.responses[response.id].saw for response in reply.responses):
            self.problems.append(f"{name} was answered by a response that did not see it")

    async def say(self, name: str, step: Step) -> None:
        self.note_stop(step)
        utterance = await self.session.say(name, when=step.when, interruption=step.interruption)
        if utterance.status == "cancelled":
            self.check_cancelled(name)
        elif utterance.status not in ("completed", "incomplete", "silent"):
            self.problems.append(f"{name} ended as {utterance.status}")
        elif utterance.response is not None and self.server.responses[utterance.response.id].general:
            self.problems.append(f"{name} was not said but answered")

    async def send_text(self, name: str, step: Step) -> None:
        self.note_stop(step)
        item = await self.session.send_text(name, when=step.when)
        if step.when != "now_silently":
            self.wanted[name] = str(item.id)

    async def respond(self, _name: str, step: Step) -> None:
        response = await self.session.respond(instructions="Briefly.", interruption=step.interruption)
        await response.heard()

    async def generate(self, name: str, _step: Step) -> None:
        response = await self.session.generate(name, metadata={"name": name})
        final = await response.done()
        if final.metadata and final.metadata["name"] != name:
            self.problems.append(f"{name} got the response of another")

    async def interrupt(self, _name: str, _step: Step) -> None:
        self.stops.append(trio.current_time())
        self.interruptions.append(trio.current_time())
        await self.session.interrupt()

    async def cancel_response(self, _name: str, _step: Step) -> None:
        self.stops.append(trio.current_time())
        await self.session.cancel_response()

    def note_stop(self, step: Step) -> None:
        if step.when == "interrupt":
            self.stops.append(trio.current_time())

    def check_cancelled(self, name: str) -> None:
        if not (self.users or self.stops):
            self.problems.append(f"{name} was cancelled, and nobody did that")

    # What the user does

    async def speak(self, name: str, step: Step) -> None:
        self.users += 1
        self.note_turn(name, await self.server.speak(step.lasts))

    async def be_silent(self, name: str, _step: Step) -> None:
        self.note_turn(name, await self.server.be_silent())

    def note_turn(self, name: str, item_id: str | None) -> None:
        """A turn that the server was told not to answer is the session's to answer, unless it is the program's."""
        by_program = self.world.detection is not None and self.world.detection.create_response is False
        if item_id is not None and not by_program and self.world.policy != "confirm":
            self.wanted[name] = item_id

    async def press(self, name: str, step: Step) -> None:
        self.users += 1
        view = self.server.view
        if view.pressed < math.inf:
            return  # one key
        view.pressed = trio.current_time()
        self.session.press()
        await trio.sleep(step.lasts)
        view.pressed = math.inf
        item_id = await self.session.release()
        if item_id is not None:
            self.wanted[name] = item_id

    # What has to be true at the end

    def check(self) -> None:
        server = self.server
        self.problems += server.faults
        if self.problems:
            return  # what follows would be about the same
        for name in set(server.calls):
            if len(server.outputs[name]) != 1:
                self.problems.append(f"{name} has {len(server.outputs[name])} outputs")
        self.problems += [f"saw {error}" for error in self.lost if getattr(error, "code", None) == ACTIVE]
        for response in server.responses.values() if not self.users else ():  # what a user cuts is owed again
            stop = next((one for one in self.interruptions if response.asked_at < one < response.done_at), math.inf)
            if any(name == response.tag and at > stop for at, name in server.asked):
                self.problems.append(f"{response.id} was stopped, and asked for again")
        unanswered = [name for name, item_id in self.wanted.items() if not self.is_answered(item_id)]
        if len(unanswered) > len(self.lost):
            self.problems.append(f"never answered: {', '.join(unanswered)}; told of {len(self.lost)}")

    def is_answered(self, item_id: str) -> bool:
        """Whether a response to an item was heard, or the program stopped it, or it came to nothing twice."""
        responses = [one for one in self.server.responses.values() if one.general and item_id in one.saw]
        nothing = sum(self.came_to_nothing(response) for response in responses)
        return len(responses) > nothing or nothing > 1

    def came_to_nothing(self, response: ModelResponse) -> bool:
        if any(response.asked_at <= stop <= response.done_at for stop in self.stops):
            return False  # whatever the server says became of it
        if response.status == "failed":
            return True
        live = self.live.get(response.id)
        if self.world.device:
            return live is not None and live.interrupted and live.first_sound_at is None
        return response.status == "cancelled" and not response.told


def failure_of(schedule: Schedule) -> str:
    """Play a schedule. Gives what went wrong, "" if nothing did."""
    play = Play(schedule)
    try:
        trio.run(play.run, clock=MockClock(autojump_threshold=0))
    except Exception:  # noqa: BLE001 whatever a session crashes of is to be found, with the schedule that does it
        play.problems.append(traceback.format_exc())
    return "\n".join(play.problems)


def play_many(world: str, count: int) -> None:
    @settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])
    @given(schedules(world))
    def play(schedule: Schedule) -> None:
        assert not failure_of(schedule)

    play()


@pytest.mark.parametrize("world", [name for name, world in WORLDS.items() if not world.device])
def test_any_schedule(world):
    play_many(world, SCHEDULES)


@pytest.mark.parametrize("world", [name for name, world in WORLDS.items() if world.device])
def test_any_schedule_with_a_device(world):
    play_many(world, max(SCHEDULES // 3, 1))
