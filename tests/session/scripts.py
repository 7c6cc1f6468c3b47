"""Short sessions of every kind, to be broken off anywhere: each a function that talks with the offline server."""

import itertools
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio

from realtime_trio import (
    Agent,
    ApprovalNeeded,
    Budget,
    BudgetExceeded,
    Injected,
    Reconnected,
    ReconnectPolicy,
    ResponseFailed,
    Session,
    Snapshot,
    Stop,
    ToolContext,
    events,
    tool,
)
from realtime_trio.server import Misbehaviour, Server, Transcript
from realtime_trio.testing import FakeDevice

Play = Callable[[Session, Any], Awaitable[object]]


@attrs.frozen
class Script:
    """One session.

    Attributes:
        play: The body; it gets the session, and its device, if it has one.
        voice: Whether the session has a device.
        options: Makes the keywords of `open_session`, anew each time.
        server: Makes those of `open_server`.
        ends_with: What an undisturbed run raises.
        has_nursery: Whether the body opens a nursery, which makes a group of what comes out of it.
        with_server: Whether the body gets the server in place of the device.
    """

    play: Play
    voice: bool = False
    options: Callable[[], Mapping[str, Any]] = dict
    server: Callable[[], Mapping[str, Any]] = dict
    ends_with: type[Exception] | None = None
    has_nursery: bool = False
    with_server: bool = False


class Hearing:
    """A recogniser that is told what it hears, in order."""

    def __init__(self, *words: str) -> None:
        self._words = itertools.chain(words, itertools.repeat("yes"))

    async def recognise(self, pcm: bytes) -> Transcript:
        return Transcript(next(self._words))


def speech(ms: int) -> bytes:
    """A voiced sound, loud enough for any turn detection."""
    samples = (round(8000 * math.sin(2 * math.pi * 180 * n / 24_000)) for n in range(24 * ms))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


SPEECH = speech(700)


# Tools: one of every policy, each with something that has to be given back


class Handles:
    """What tools hold while they run."""

    def __init__(self) -> None:
        self.held = 0

    async def hold(self, seconds: float) -> str:
        self.held += 1
        try:
            await trio.sleep(seconds)
        finally:
            self.held -= 1
        return "done"


HANDLES = Handles()
Held = Injected[Handles]


@tool
async def look_up(word: str, handles: Held) -> str:
    """Look a word up."""
    return await handles.hold(0.2)


@tool(timeout=0.1)
async def too_slow(handles: Held) -> str:
    """Take too long."""
    return await handles.hold(5)


@tool(on_interrupt="cancel")
async def stoppable(handles: Held, context: ToolContext) -> str:
    """Stop when interrupted."""
    context.progress("at it")
    return await handles.hold(1)


@tool(on_interrupt="detach", filler="One moment.", filler_after=0.1)
async def detached(handles: Held) -> str:
    """Go on when interrupted."""
    return await handles.hold(1)


@tool(background=True)
async def slow(handles: Held, context: ToolContext) -> str:
    """Take a while."""
    context.progress("half of it", speak=True)
    return await handles.hold(0.5)


@tool(concurrency=1)
async def one_at_a_time(handles: Held) -> str:
    """Run alone."""
    return await handles.hold(0.2)


@tool
async def broken() -> str:
    """Crash."""
    raise ValueError("as it does")


@tool(approve=True)
async def careful(handles: Held) -> str:
    """Ask first."""
    return await handles.hold(0.1)


TOOLS = (look_up, too_slow, stoppable, detached, slow, one_at_a_time, careful)


def with_tools() -> dict[str, Any]:
    return {"tools": TOOLS, "dependencies": [HANDLES]}


def calling(*names: str) -> str:
    arguments = {"look_up": '{"word": "trio"}'}
    return "Please " + " and ".join(f"call {name} {arguments.get(name, '{}')}" for name in names)


# Bodies


async def do_nothing(session: Session, _: object) -> None:
    """Open, and close."""


async def ask(session: Session, _: object) -> None:
    await session.ask("What is 6 times 7?")
    await session.ask("What is 6 times 8?")


async def follow(session: Session, _: object) -> None:
    """Subscriptions, streams and a response's own scope, in tasks of their own."""

    async def read_all() -> None:
        async for _ in session.events():
            pass

    async def read_words() -> None:
        async with session.responses() as responses:
            async for response in responses:
                async for _ in response.text_deltas:
                    pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_all)
        nursery.start_soon(read_words)
        await session.send_text("Count to five.", when="now_silently")
        response = await session.respond()
        async with response:
            await response.done()
        nursery.cancel_scope.cancel()


async def beside(session: Session, _: object) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.generate, "What is 2 and 2?")
        nursery.start_soon(session.generate, "What is 2 and 3?")
        nursery.start_soon(session.ask, "What is 2 and 4?")


async def change(session: Session, _: object) -> None:
    """Everything that is acknowledged."""
    item = await session.send_text("Hello.", when="now_silently")
    await session.retrieve_item(item.id)
    await session.update(instructions="Be brief.")
    await session.add_tools(broken)
    await session.become(Agent("Ann", instructions="You are Ann.", tools=[broken], greeting="Say hello."))
    await session.remove_tools("broken")
    await session.delete_item(item.id)
    await session.ask("Hello?")


async def call(session: Session, _: object) -> None:
    await session.ask(calling("look_up", "one_at_a_time", "one_at_a_time", "too_slow"))


async def call_in_background(session: Session, _: object) -> None:
    await session.ask(calling("slow"))
    await trio.sleep(1)
    await session.drained()


async def call_and_interrupt(session: Session, _: object) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.ask, calling("stoppable", "detached"))
        await trio.sleep(0.3)
        session.interrupt()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def approve(session: Session, _: object) -> None:
    """By a notice: one is approved, one refused."""
    requests = session.events(ApprovalNeeded)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.ask, calling("careful", "careful"))
        first, second = [(await requests.receive()).request.id for _ in range(2)]
        await trio.sleep(0.1)
        session.approve(first)
        session.refuse(second, "not now")


async def approve_by_hook(session: Session, _: object) -> None:
    await session.ask(calling("careful"))


async def hook(request: object) -> bool:
    await trio.sleep(0.1)
    return True


async def hosted(session: Session, _: object) -> None:
    await session.mcp_ready("docs")
    await session.ask('Please call find {"word": "trio"}')


async def find(word: str) -> str:
    """Find a word."""
    return f"{word} is three"


async def judge(text: Any) -> Stop | None:
    await trio.lowlevel.checkpoint()
    return Stop("a number", instead="I do not count.") if "three" in text.text else None


async def count(session: Session, _: object) -> None:
    await session.ask("Count to ten.")


async def spend(session: Session, _: object) -> None:
    await session.ask("Count to ten.")
    await trio.sleep_forever()


async def talk(session: Session, device: FakeDevice) -> None:
    """A spoken turn, and one that breaks into the answer."""
    responses = session.responses()
    await device.speak(SPEECH).captured()
    response = await responses.receive()
    await trio.sleep(1)
    await device.speak(SPEECH).captured()
    await response.heard()
    await (await responses.receive()).heard()


async def say(session: Session, _: object) -> None:
    await session.say("Please hold the line.", interruption="never")
    await session.send_text("Count to ten.")
    await trio.sleep(1)
    await session.say("Stop.", when="interrupt")
    pending = session.interrupt()
    await pending


async def push_to_talk(session: Session, device: FakeDevice) -> None:
    responses = session.responses()
    session.press()
    await device.speak(SPEECH).captured()
    await session.release()
    response = await responses.receive()
    session.mute()
    await response.heard()
    session.unmute()


async def own_sound(session: Session, _: object) -> None:
    """Without a device: the program itself appends."""
    for _ in range(10):
        await session.append_audio(SPEECH[:9600])
    await session.commit_audio()
    await (await session.respond()).done()
    await session.append_audio(SPEECH[:9600])
    await session.clear_audio()


async def lose_the_link(session: Session, server: Server) -> None:
    """Lose it, be refused once, and go on; lose it again in the middle of an answer."""
    await session.ask("What is 6 times 7?")
    server.refuse(1)
    server.drop_sessions()
    await session.ask("What is 6 times 8?")
    responses = session.responses()
    await session.send_text("Count to ten.")
    await responses.receive()
    server.drop_sessions()
    await session.drained()


async def lose_the_link_while_a_tool_runs(session: Session, server: Server) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.ask, calling("look_up", "stoppable"))
        await trio.sleep(0.2)
        server.drop_sessions()


async def lose_the_link_while_speaking(session: Session, server: Server) -> None:
    """Nothing of the first answer is heard yet, some of the second."""
    responses = session.responses()
    for seconds in (0, 0.5):
        await session.send_text("Count to five.")
        await responses.receive()
        await trio.sleep(seconds)
        server.drop_sessions()
        await session.drained()


async def grow_old(session: Session, _: object) -> None:
    """The link is replaced, in silence and when something was just said."""
    notices = session.events(Reconnected)
    await session.ask("What is 6 times 7?")
    await notices.receive()
    await trio.sleep(1.7)
    await session.ask("What is 6 times 8?")
    await notices.receive()


HISTORY = Snapshot.from_data(
    {
        "version": 1,
        "items": [
            {"id": "item_1", "role": "user", "parts": [{"kind": "text", "text": "I am Ann."}]},
            {"id": "item_2", "role": "assistant", "parts": [{"kind": "text", "text": "Hello Ann."}]},
        ],
    }
)


def hearing() -> dict[str, Any]:
    return {"recogniser": Hearing("Count to ten.", "What is 6 times 7?")}


def spoken(**options: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"turn_detection": "server_vad", "transcription": "gpt-4o-mini-transcribe", **options}


SCRIPTS: Mapping[str, Script] = {
    "nothing": Script(do_nothing),
    "ask": Script(ask),
    "history": Script(ask, options=lambda: {"history": HISTORY}),
    "streams": Script(follow, has_nursery=True),
    "beside": Script(beside, has_nursery=True),
    "changes": Script(change),
    "tools": Script(call, options=with_tools),
    "background": Script(call_in_background, options=with_tools),
    "interrupted tools": Script(call_and_interrupt, has_nursery=True, options=with_tools),
    "approvals": Script(approve, has_nursery=True, options=with_tools),
    "approvals by hook": Script(approve_by_hook, options=lambda: {**with_tools(), "approve": hook}),
    "hosted tools": Script(
        hosted,
        options=lambda: {
            "tools": [events.McpTool(server_label="docs", server_url="https://docs.example/mcp")],
            "approve": hook,
        },
        server=lambda: {"mcp": {"docs": [find]}},
    ),
    "guard": Script(count, options=lambda: {"guard": judge}),
    "budget": Script(spend, options=lambda: {"budget": Budget(turns=1)}, ends_with=BudgetExceeded),
    "own sound": Script(own_sound, options=lambda: {"turn_detection": None}, server=hearing),
    "voice": Script(talk, voice=True, options=spoken(interruption="immediate"), server=hearing),
    "doubt": Script(talk, voice=True, options=spoken(interruption="confirm"), server=hearing),
    "patience": Script(talk, voice=True, options=spoken(interruption="never"), server=hearing),
    "lines": Script(say, voice=True, options=spoken(greeting="Say hello.")),
    "push-to-talk": Script(push_to_talk, voice=True, options=spoken(turn_detection=None), server=hearing),
    "tools by voice": Script(call_and_interrupt, has_nursery=True, voice=True, options=with_tools),
    "guard by voice": Script(count, voice=True, options=lambda: {"guard": judge}),
    "never done": Script(
        count, ends_with=ResponseFailed, server=lambda: {"misbehaviour": Misbehaviour(done_delay_s=1e6)}
    ),
    "lost": Script(lose_the_link, with_server=True),
    "lost with tools": Script(lose_the_link_while_a_tool_runs, has_nursery=True, with_server=True, options=with_tools),
    "old": Script(grow_old, options=lambda: {"reconnect": ReconnectPolicy(max_age=2)}),
    "lost by voice": Script(lose_the_link_while_speaking, voice=True, with_server=True),
    "old by voice": Script(grow_old, voice=True, options=lambda: {"reconnect": ReconnectPolicy(max_age=2)}),
    "budget by voice": Script(spend, voice=True, options=lambda: {"budget": Budget(turns=1)}, ends_with=BudgetExceeded),
}
