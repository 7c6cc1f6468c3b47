"""Our own sessions on the MCP servers that the offline server plays: every manner of it comes to the same talk."""

import math
from typing import Any

import pytest
import trio

from realtime_trio import events, open_session
from realtime_trio.server import McpCallError, Misbehaviour, open_server

WEATHER = events.McpTool(server_label="weather", server_url="https://weather.example/mcp", require_approval="never")
ASKED = events.McpTool(server_label="weather", server_url="https://weather.example/mcp")
MANNERS = [
    Misbehaviour(mcp_reply=reply, other_order=other_order)
    for reply in ("same_response", "new_response", "none")
    for other_order in (False, True)
]


@pytest.fixture(params=MANNERS, ids=lambda manner: f"{manner.mcp_reply}{', other order' * manner.other_order}")
def manner(request):
    """The ways in which a server may order things and go on behind a call."""
    return request.param


async def get_weather(city: str) -> dict[str, float]:
    """Tell the current weather."""
    if city == "Atlantis":
        raise McpCallError("No such city")
    return {"celsius": 21.5}


def serve(**options: Any) -> Any:
    return open_server(**{"listen": False, "mcp": {"weather": [get_weather]}, **options})


async def yes(request: Any) -> bool:
    await trio.sleep(2)
    return True


async def no(request: Any) -> str:
    return "Too dear."


def message_texts(session: Any) -> list[str]:
    return [item.generated_text for item in session.conversation.items if item.role == "assistant"]


async def test_a_call_without_approval(autojump_clock, manner):
    async with (
        serve(misbehaviour=manner) as server,
        open_session(connect=server.connect, tools=[WEATHER]) as session,
    ):
        reply = await session.ask("What is the weather in Paris?")
        assert "It is 21.5 degrees Celsius in Paris." == reply.text
        await trio.sleep(10)
        assert [reply.text] == message_texts(session)  # nobody speaks twice


async def test_an_approved_call(autojump_clock, manner):
    async with (
        serve(misbehaviour=manner) as server,
        open_session(connect=server.connect, tools=[ASKED], approve=yes) as session,
    ):
        reply = await session.ask("What is the weather in Paris?")
        assert "It is 21.5 degrees Celsius in Paris." == reply.text
        await trio.sleep(10)
        assert [reply.text] == message_texts(session)


async def test_a_refused_call(autojump_clock, manner):
    async with (
        serve(misbehaviour=manner) as server,
        open_session(connect=server.connect, tools=[ASKED], approve=no) as session,
    ):
        reply = await session.ask("What is the weather in Paris?")
        assert "Too dear." in reply.text
        await trio.sleep(10)
        assert 1 == len(message_texts(session))


async def test_a_call_that_fails(autojump_clock, manner):
    async with (
        serve(misbehaviour=manner) as server,
        open_session(connect=server.connect, tools=[WEATHER]) as session,
    ):
        reply = await session.ask("What is the weather in Atlantis?")
    assert "No such city" in reply.text


async def test_a_listing_that_fails(autojump_clock):
    other = events.McpTool(server_label="other", server_url="https://other.example")
    async with (
        serve() as server,
        open_session(connect=server.connect, tools=[other]) as session,
    ):
        reply = await session.ask("What is the weather in Paris?")
        assert "failed" == session.mcp_servers["other"].status
    assert "no weather tool" in reply.text


async def test_an_interrupted_wait_for_approval(autojump_clock):
    """The call goes with its response; a late approval hurts nobody."""

    async def late(request: Any) -> bool:
        await trio.sleep(5)
        return True

    async with (
        serve() as server,
        open_session(connect=server.connect, tools=[ASKED], approve=late) as session,
        session.responses() as responses,
    ):
        await session.send_text("What is the weather in Paris?")
        response = await responses.receive()
        await trio.sleep(1)
        await session.interrupt()
        await response.done()
        assert "cancelled" == response.status
        await trio.sleep(10)
        assert "2 plus 2 is 4." in (await session.ask("2+2")).text


@pytest.mark.parametrize("reply", ["same_response", "new_response", "none"])
async def test_over_a_socket(reply):
    manner = Misbehaviour(mcp_reply=reply)
    async with (
        serve(listen=True, recogniser="none", speed=math.inf, misbehaviour=manner) as server,
        open_session(url=server.url, tools=[ASKED], approve=at_once) as session,
    ):
        with trio.fail_after(20):
            assert "21.5" in (await session.ask("What is the weather in Paris?")).text


async def at_once(request: Any) -> bool:
    return True
