"""Any tools, under any policies, at any moments: one output for each call, one reply for a batch, nothing lost."""

import contextlib
from collections import Counter

import attrs
import pytest
import trio
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from realtime_trio import (
    ApprovalNeeded,
    ConnectionClosed,
    ToolCancelled,
    ToolDetached,
    ToolError,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    open_session,
    tool,
)
from realtime_trio.testing import open_scripted_peer

SECONDS = st.sampled_from([0.0, 0.3, 1.0, 2.5])


@st.composite
def policies(draw):
    policy = {
        "timeout": draw(st.sampled_from([None, None, 0.5, 2.0])),
        "concurrency": draw(st.sampled_from([None, 1, 2])),
        "approve": draw(st.booleans()),
    }
    if draw(st.booleans()):
        return policy | {"background": True}
    return policy | {
        "on_interrupt": draw(st.sampled_from(["finish", "cancel", "detach"])),
        "filler": draw(st.sampled_from([None, "One moment."])),
        "filler_after": draw(SECONDS),
    }


TOOLS = st.lists(policies(), min_size=1, max_size=3)
CALL = st.fixed_dictionaries(
    {
        "tool": st.integers(0, 3),  # one more than there can be: an unknown name
        "seconds": SECONDS,
        "ends": st.sampled_from(["returns", "returns", "raises", "refuses", "is deaf"]),
        "arguments": st.sampled_from(["good", "good", "good", "bad"]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("batch"), st.lists(CALL, min_size=1, max_size=3)),
        st.tuples(st.just("wait"), SECONDS),
        st.tuples(st.sampled_from(["interrupt", "speak", "stop speaking"]), st.none()),
    ),
    min_size=2,
    max_size=12,
)


@attrs.define
class Server:
    """The other side: it has one slot for a response, and keeps the protocol."""

    talk: object
    pace: float
    active: str = ""
    count: int = 0
    items: list = attrs.field(factory=list)
    creates: list = attrs.field(factory=list)  # (number of items by then, has instructions of its own)
    completed: list = attrs.field(factory=list)

    async def tell(self, kind, **fields):
        with contextlib.suppress(ConnectionClosed):  # the session may be over before the server noticed
            await self.talk.send(kind, **fields)

    async def serve(self, nursery):
        async for one in self.talk:
            match one["type"]:
                case "conversation.item.create":
                    self.items.append(one["item"])
                    await self.tell("conversation.item.added", item=one["item"], previous_item_id=None)
                case "response.create" if self.active:
                    code = "conversation_already_has_active_response"
                    await self.tell(
                        "error", error={"type": "x", "code": code, "message": "", "event_id": one["event_id"]}
                    )
                case "response.create":
                    self.creates.append((len(self.items), "instructions" in one["response"]))
                    self.reserve()
                    nursery.start_soon(self.respond, one["response"]["metadata"], self.creates[-1])
                case "response.cancel":
                    await self.end(one["response_id"], "cancelled")

    def reserve(self):
        self.count += 1
        self.active = f"resp_{self.count}"

    async def respond(self, metadata, create, *calls):
        response_id = self.active
        value = {"id": response_id, "conversation_id": "conv_1", "status": "in_progress", "metadata": metadata}
        await self.tell("response.created", response=value)
        if not calls:
            await trio.sleep(self.pace)
            part = {"item_id": f"item_{response_id}", "output_index": 0, "content_index": 0}
            await self.tell("response.output_text.delta", response_id=response_id, delta="Well.", **part)
        if await self.end(response_id, "completed", *calls) and create:
            self.completed.append(create)

    async def end(self, response_id, status, *calls):
        if self.active != response_id:
            return False
        self.active = ""
        value = {"id": response_id, "conversation_id": "conv_1", "status": status, "output": list(calls)}
        await self.tell("response.done", response=value)
        return True

    async def call(self, *calls):
        while self.active:  # noqa: ASYNC110 the clock jumps
            await trio.sleep(0.1)
        self.reserve()
        await self.respond(None, None, *calls)


def make_tools(tools, ended):
    def make(number, policy):
        async def run(seconds: float, ends: str, call: str) -> str:
            try:
                with trio.CancelScope(shield=ends == "is deaf"):
                    await trio.sleep(seconds)
            finally:
                ended[call] += 1
            if ends == "raises":
                raise RuntimeError("out of order")
            if ends == "refuses":
                raise ToolError("not on Sundays")
            return "done"

        return tool(run, name=f"tool_{number}", **policy)

    return [make(number, policy) for number, policy in enumerate(tools)]


def as_call(call_id, one):
    good = f'{{"seconds": {one["seconds"]}, "ends": "{one["ends"]}", "call": "{call_id}"}}'
    return {
        "type": "function_call",
        "id": f"item_{call_id}",
        "call_id": call_id,
        "name": f"tool_{one['tool']}",
        "arguments": good if one["arguments"] == "good" else '{"seconds": "many"}',
        "status": "completed",
    }


async def take_steps(steps, session, server, batches):
    """Do what is to be done, by the user, the program and the model; give how often somebody interrupted."""
    interruptions = 0
    for kind, value in steps:
        match kind:
            case "wait":
                await trio.sleep(value)
            case "interrupt":
                interruptions += 1
                session.interrupt()
            case "speak":
                interruptions += 1
                await server.talk.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
            case "stop speaking":
                await server.talk.send("input_audio_buffer.cleared")
            case _:
                calls = [as_call(f"call_{len(batches)}{'abc'[n]}", one) for n, one in enumerate(value)]
                batches.append((calls, value))
                await server.call(*calls)
    return interruptions


async def play(tools, steps, hook, early):
    """Let it happen; give what the server saw, what the program was told, and which batches there were."""
    ended = Counter()
    batches = []

    async def approve(request):
        await trio.sleep(0.4)
        return {"a": True, "b": "no"}.get(request.id[-1], True)

    async def answer_approvals(session):
        async for notice in session.events(ApprovalNeeded):
            await trio.sleep(0.4)
            if notice.request.id.endswith("b"):
                session.refuse(notice.request.id)
            else:
                session.approve(notice.request.id)

    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as background:
        server = Server(peer, pace=0.7)
        async with open_session(
            connect=peer.connect,
            url=peer.url,
            tools=make_tools(tools, ended),
            approve=approve if hook else None,
            drain=False,
        ) as session:
            background.start_soon(server.serve, background)
            notices = session.events(ToolCancelled, ToolDetached, ToolFailed, ToolFinished, ToolStarted)
            background.start_soon(answer_approvals, session)
            interruptions = await take_steps(steps, session, server, batches)
            await trio.sleep(0.001)  # until everything was read
            if not early:
                await peer.send("input_audio_buffer.cleared")
                await trio.sleep(60)
                assert session.statistics().tools.open == 0
                assert session._engine.turns.is_idle
        told = [notice async for notice in notices]
        assert set(ended.values()) <= {1}
        background.cancel_scope.cancel()
    return server, told, batches, interruptions


def check_outputs(server, told, batches, early):
    """Each call has one output, or the program was told that the session ended first."""
    outputs = Counter(item["call_id"] for item in server.items if item["type"] == "function_call_output")
    lost = {notice.call_id for notice in told if isinstance(notice, ToolCancelled) and notice.reason == "session_ended"}
    finished = {notice.call_id for notice in told if isinstance(notice, ToolFinished)}
    calls = {call["call_id"] for calls, _ in batches for call in calls}
    assert set(outputs) <= calls
    assert all(count == 1 for count in outputs.values())
    assert not lost & finished
    if early:
        assert set(outputs) | lost == calls
    else:
        assert not lost
        assert set(outputs) == finished == calls


def check_replies(server, told, batches, interruptions):
    """One reply to what owes one, after it; none where nothing does."""
    cancelled = {notice.call_id for notice in told if isinstance(notice, ToolCancelled)}
    detached = {notice.call_id for notice in told if isinstance(notice, ToolDetached)}
    where = {item.get("call_id"): number for number, item in enumerate(server.items, start=1)}
    own = [number for number, has_instructions in server.creates if not has_instructions]
    heard = [number for number, has_instructions in server.completed if not has_instructions]
    owing = 0
    for calls, _ in batches:
        ids = {call["call_id"] for call in calls}
        if ids - cancelled - detached:
            owing += 1
            last = max(where[call_id] for call_id in ids)
            assert any(number >= last for number in own)
    news = sum(item["type"] == "message" for item in server.items)
    assert bool(own) == bool(owing + news)
    assert len(own) <= owing + news + interruptions
    if own and not interruptions:
        assert heard == own  # with an interruption, one may have been cut, and counts as given
        assert own[-1] == len(server.items) or news == 0


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TOOLS, STEPS, st.booleans(), st.integers(0, 3).map(lambda one: one == 0))
def test_any_schedule(tools, steps, hook, early):
    """Nothing hangs, nothing is answered twice, nobody is left without an answer."""
    server, told, batches, interruptions = trio.run(
        play, tools, steps, hook, early, clock=MockClock(autojump_threshold=0)
    )
    event(f"{len(batches)} batches, {'an early end' if early else 'to the end'}")
    check_outputs(server, told, batches, early)
    if not early:
        check_replies(server, told, batches, interruptions)
