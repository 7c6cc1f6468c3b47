"""MCP servers of both kinds in sessions over a real socket, against the offline server: nobody scripts it."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from realtime_trio import (
    ApprovalNeeded,
    McpCallFailed,
    McpCallFinished,
    McpCallStarted,
    McpUnavailable,
    StdioServer,
    ToolFailed,
    ToolProgress,
    events,
    open_mcp,
    open_server,
    open_session,
)
from realtime_trio.server import McpCallError, Misbehaviour

pytestmark = pytest.mark.slow

SHOP = Path(__file__).parents[1] / "mcp" / "shop.py"
QUESTION = 'Please call look_up {"word": "trio"}'


async def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} is three"


async def fail(word: str) -> str:
    """Fail."""
    raise McpCallError("Bad gateway", type="http_error", code=502)


def docs(**fields):
    return events.McpTool(server_label="docs", server_url="https://docs.example/mcp", **fields)


@asynccontextmanager
async def open_talk(*, tools=(), reply=None, **options):
    async with (
        open_server(mcp={"docs": [look_up, fail]}, misbehaviour=Misbehaviour(mcp_reply=reply)) as server,
        open_session(url=server.url, tools=tools, **options) as session,
    ):
        yield session


# Hosted


@pytest.mark.parametrize("reply", ["same_response", "new_response", "none"])
@pytest.mark.parametrize("approval", ["never", "always"])
async def test_one_reply_is_heard_whatever_the_server_does_after_a_call(reply, approval):
    approved = []

    async def approve(request):
        approved.append((request.server_label, request.name))
        return True

    async with open_talk(tools=[docs(require_approval=approval)], reply=reply, approve=approve) as session:
        (server,) = await session.mcp_ready("docs")
        assert [tool.name for tool in server.tools] == ["look_up", "fail"]
        async with session.events(McpCallStarted, McpCallFinished) as told, session.responses() as responses:
            answer = await session.ask(QUESTION)
            assert [type(await told.receive()), type(await told.receive())] == [McpCallStarted, McpCallFinished]
            with trio.move_on_after(1.5):  # time for a second reply, if there were one
                while True:
                    await responses.receive()
        spoken = [item for item in session.conversation if item.role == "assistant"]

    assert "trio is three" in answer.text
    assert len(spoken) == 1, "nothing is said twice"
    assert [(call.name, call.output) for call in answer.tool_calls] == [("look_up", "trio is three")]
    assert approved == ([("docs", "look_up")] if approval == "always" else [])


@pytest.mark.parametrize("reply", ["same_response", "new_response", "none"])
async def test_a_call_that_fails_is_told_and_spoken_on(reply):
    async with open_talk(tools=[docs(require_approval="never")], reply=reply) as session:
        await session.mcp_ready()
        async with session.events(McpCallFailed) as failures:
            answer = await session.ask('Please call fail {"word": "x"}')
            failure = await failures.receive()

    assert failure.problem == "http_error 502: Bad gateway"
    assert isinstance(failure.error, events.McpHttpError)
    assert answer.status == "completed"
    assert answer.text


async def test_an_approval_by_event_is_refused_and_the_model_hears_why():
    async with open_talk(tools=[docs(require_approval="always")]) as session:
        await session.mcp_ready()
        replies = []

        async def ask():
            replies.append(await session.ask(QUESTION))

        async with session.events(ApprovalNeeded) as needed, trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            request = (await needed.receive()).request
            assert session.refuse(request.id, "not today")

    assert replies[0].status == "completed"
    assert "not today" in replies[0].tool_calls[0].output


async def test_a_server_that_cannot_be_listed_is_told():
    async with open_talk(tools=[events.McpTool(server_label="nowhere", server_url="https://x.example")]) as session:
        with pytest.raises(McpUnavailable, match="'nowhere': its tools could not be listed"):
            await session.mcp_ready("nowhere")


# Local


async def test_tools_of_a_local_server_in_a_session():
    """Called, in progress, wrong, and dead: the session lives through all of it."""
    shop = StdioServer(sys.executable, str(SHOP), "stdio")
    async with open_mcp(shop, prefix="shop_") as toolset, open_talk(tools=toolset) as session:
        assert "5" in (await session.ask('call shop_add {"a": 2, "b": 3}')).text

        async with session.events(ToolProgress) as progress:
            await session.ask('call shop_slow {"seconds": 0}')
            assert [(await progress.receive()).text, (await progress.receive()).text] == ["1 of 4", "half of it"]

        wrong = await session.ask('call shop_add {"a": "two", "b": 3}')
        assert "Expected `integer`" in wrong.tool_calls[0].output

        async with session.events(ToolFailed) as failures:
            dead = await session.ask("call shop_die {}")
            assert "McpUnavailable" in dead.tool_calls[0].output
            assert isinstance((await failures.receive()).exception, McpUnavailable)
        assert (await session.ask("what is two plus two")).text == "2 plus 2 is 4."


async def test_a_call_of_a_local_server_ends_with_its_timeout():
    shop = StdioServer(sys.executable, str(SHOP), "stdio")
    async with open_mcp(shop, timeout=0.2) as toolset, open_talk(tools=toolset) as session:
        late = await session.ask("call slow {}")
        seen = await session.ask("call seen {}")

    assert "longer than 0.2 s" in late.tool_calls[0].output
    assert "slow cancelled" in seen.tool_calls[0].output
