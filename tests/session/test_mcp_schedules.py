"""Random talks with a hosted MCP server, against the offline server in virtual time: every call is spoken on, once."""

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from realtime_trio import ApprovalNeeded, McpCallFailed, McpCallFinished, events, open_server, open_session
from realtime_trio.server import McpCallError, Misbehaviour

ENDS_WITHIN = 300.0  # seconds of virtual time


@attrs.frozen
class Talk:
    """What somebody asks, and how the server and the program go about it."""

    reply: str
    other_order: bool
    approval: str
    hook: str
    calls: list[tuple[float, bool]]  # of the question: how long each takes, and whether it fails
    approval_takes: float
    second_after: float | None  # when another question comes

    @property
    def question(self) -> str:
        calls = (f'call work {{"number": {number}}}' for number in range(len(self.calls)))
        return f"Please {' and '.join(calls)}"


talks = st.builds(
    Talk,
    reply=st.sampled_from(["same_response", "new_response", "none"]),
    other_order=st.booleans(),
    approval=st.sampled_from(["never", "always"]),
    hook=st.sampled_from(["yes", "no", "notice"]),
    calls=st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.5, 7.0]), st.booleans()), min_size=1, max_size=3),
    approval_takes=st.sampled_from([0.0, 0.4, 3.0]),
    second_after=st.none() | st.sampled_from([0.0, 0.2, 0.6, 4.0]),
)


async def play(talk: Talk) -> None:
    async def work(number: int) -> str:
        """Work."""
        seconds, fails = talk.calls[number]
        await trio.sleep(seconds)
        if fails:
            raise McpCallError("out of order")
        return f"result {number}"

    async def approve(_request):
        await trio.sleep(talk.approval_takes)
        return talk.hook == "yes" or "no"

    async def answer_notices(session, needed):
        async for notice in needed:
            await trio.sleep(talk.approval_takes)
            session.approve(notice.request.id)

    replies = {}

    async def ask(session, text):
        replies[text] = await session.ask(text)

    misbehaviour = Misbehaviour(mcp_reply=talk.reply, other_order=talk.other_order)
    tool = events.McpTool(server_label="works", server_url="https://works.example", require_approval=talk.approval)
    async with (
        open_server(listen=False, mcp={"works": [work]}, misbehaviour=misbehaviour) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            tools=[tool],
            modality="text",
            approve=None if talk.hook == "notice" else approve,
        ) as session,
        trio.open_nursery() as nursery,
    ):
        await session.mcp_ready()
        ends, responses = [], []
        nursery.start_soon(collect, session.events(McpCallFinished, McpCallFailed), ends)
        nursery.start_soon(collect, session.responses(), responses)
        with trio.fail_after(ENDS_WITHIN):
            async with trio.open_nursery() as asking:
                nursery.start_soon(answer_notices, session, session.events(ApprovalNeeded))
                asking.start_soon(ask, session, talk.question)
                if talk.second_after is not None:
                    await trio.sleep(talk.second_after)
                    asking.start_soon(ask, session, "what is two plus two")
            await session.drained()
        await trio.sleep(30)  # time for one reply too many
        check(talk, session, replies, ends, responses)
        nursery.cancel_scope.cancel()


def check(talk, session, replies, ends, responses) -> None:
    assert {reply.status for reply in replies.values()} == {"completed"}
    assert len(ends) == len({end.call_id for end in ends}), "each call ends once"
    first = replies[talk.question]
    assert first.text, "the words on the calls are the answer"
    assert {call.name for call in first.tool_calls} <= {"work"}
    if talk.second_after is None:
        spoken = [item for item in session.conversation if item.role == "assistant"]
        assert len(spoken) == 1, "nothing is said twice"
        assert len(responses) <= 2


async def collect(subscription, values) -> None:
    async for value in subscription:
        values.append(value)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(talks)
def test_any_talk(talk):
    trio.run(play, talk, clock=MockClock(autojump_threshold=0))
