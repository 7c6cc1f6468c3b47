"""Tools that come and go while a session lives: acknowledged, and never under the feet of a response."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from realtime_trio import ConfigurationError, NotAcknowledged, ServerError, open_server, open_session, tool
from realtime_trio.events import McpTool
from realtime_trio.testing import open_scripted_peer


def named(name, says=None):
    async def run() -> str:
        return says or name

    return tool(run, name=name)


def names(update):
    return [one.get("name") or one["server_label"] for one in update["session"]["tools"]]


@pytest.fixture
def open_slow():
    """A session whose server answers updates when the test says so."""

    class Slow:
        def __init__(self, session, peer):
            self.session = session
            self.peer = peer

        async def update(self):
            return await self.peer.expect("session.update")

        async def take(self, update):
            await self.peer.send("session.updated", session=update["session"])

    @asynccontextmanager
    async def open_slow(**options):
        async with open_scripted_peer() as peer, trio.open_nursery() as nursery:
            nursery.start_soon(peer.greet)
            async with open_session(connect=peer.connect, url=peer.url, **options) as session:
                yield Slow(session, peer)

    return open_slow


async def test_adding_and_removing(autojump_clock, open_slow):
    """The whole list is sent, in its order, and effective when it is acknowledged."""
    docs = McpTool(server_label="docs", server_url="https://docs.invalid/mcp")
    async with open_slow(tools=[named("one")]) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.add_tools, named("two"), docs)
        update = await talk.update()
        assert names(update) == ["one", "two", "docs"]
        assert set(update["session"]) == {"type", "tools"}
        await talk.take(update)
        nursery.start_soon(talk.session.remove_tools, "one", "docs")
        update = await talk.update()
        assert names(update) == ["two"]
        await talk.take(update)
        nursery.start_soon(talk.session.remove_tools, "two")
        update = await talk.update()
        assert names(update) == []
        await talk.take(update)


async def test_two_changes_at_once_do_not_lose_each_other(autojump_clock, open_slow):
    """The second is made of what the first came to."""
    async with open_slow(tools=[named("one")]) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.add_tools, named("two"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(talk.session.add_tools, named("three"))
        update = await talk.update()
        assert names(update) == ["one", "two"]
        await talk.peer.expect_nothing(1)
        await talk.take(update)
        update = await talk.update()
        assert names(update) == ["one", "two", "three"]
        await talk.take(update)


async def test_a_change_whose_caller_left_is_not_lost_either(autojump_clock, open_slow):
    """What was sent stays sent: it takes effect when the server says so, whoever waits for it."""
    async with open_slow(tools=[named("one")]) as talk, trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            await talk.session.add_tools(named("two"))
        update = await talk.update()
        nursery.start_soon(talk.session.add_tools, named("three"))
        await talk.peer.expect_nothing(1)
        await talk.take(update)
        update = await talk.update()
        assert names(update) == ["one", "two", "three"]
        await talk.take(update)


@pytest.mark.parametrize("how", ["add", "remove", "update"])
async def test_nothing_changes_when_the_server_refuses(autojump_clock, open_slow, as_function_call, how):
    async with open_slow(tools=[named("one")]) as talk, trio.open_nursery() as nursery:
        change = {
            "add": lambda: talk.session.add_tools(named("two")),
            "remove": lambda: talk.session.remove_tools("one"),
            "update": lambda: talk.session.update(tools=[named("two")]),
        }[how]

        async def refused():
            with pytest.raises(ServerError, match="not today"):
                await change()

        nursery.start_soon(refused)
        update = await talk.update()
        error = {"type": "invalid_request_error", "message": "not today", "event_id": update["event_id"]}
        await talk.peer.send("error", error=error)
        await trio.sleep(0.01)
        nursery.start_soon(talk.session.add_tools, named("three"))
        update = await talk.update()
        assert names(update) == ["one", "three"]
        await talk.take(update)


async def test_an_unanswered_change_is_none(autojump_clock, open_slow):
    async with open_slow(tools=[named("one")], ack_timeout=2) as talk:
        with pytest.raises(NotAcknowledged):
            await talk.session.add_tools(named("two"))
        assert talk.session._engine.tool_calls.tools.definitions()[0].name == "one"
        assert len(talk.session._engine.tool_calls.tools.definitions()) == 1


async def test_what_cannot_be_is_refused_before_anything_is_sent(autojump_clock, open_talk):
    """A name that is there, one that is not, and what is no tool."""
    async with open_talk(tools=[named("one"), named("two")]) as talk:
        with pytest.raises(ConfigurationError, match=r"no tool named 'three' to remove. There is: one, two"):
            await talk.session.remove_tools("one", "three")
        with pytest.raises(ConfigurationError, match="two tools have the name 'one'"):
            await talk.session.add_tools(named("one"))
        with pytest.raises(ConfigurationError, match="5"):
            await talk.session.add_tools(5)
        await talk.peer.expect_nothing(1)


async def test_definitions_from_the_configuration_stay(autojump_clock, open_talk):
    """Tools may also come with `config=`: adding one does not take them away."""
    declared = {"type": "function", "name": "elsewhere", "parameters": {"type": "object", "properties": {}}}
    async with open_talk(config={"tools": [declared]}) as talk:
        await talk.session.add_tools(named("one"))
        assert [one.name for one in talk.session.config.tools] == ["elsewhere", "one"]
        with pytest.raises(ConfigurationError, match="elsewhere"):
            await talk.session.add_tools(named("elsewhere"))
        await talk.session.remove_tools("elsewhere")
        assert [one.name for one in talk.session.config.tools] == ["one"]


@pytest.mark.parametrize("how", ["remove", "update"])
async def test_a_response_keeps_the_tools_it_was_created_under(autojump_clock, open_slow, as_function_call, how):
    """Its calls may come after a change: they are run by the tools that the model knew."""
    async with open_slow(tools=[named("look", "the old one")]) as talk, trio.open_nursery() as nursery:
        peer = talk.peer
        await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
        if how == "remove":
            nursery.start_soon(talk.session.remove_tools, "look")
        else:
            nursery.start_soon(lambda: talk.session.update(tools=[named("look", "the new one")]))
        await talk.take(await talk.update())
        # what follows the acknowledgement on the wire is under the new tools, however soon it comes
        await peer.send("response.created", response={"id": "resp_2", "conversation_id": "conv_1"})
        for number in (1, 2):
            call = as_function_call(f"call_{number}", "look", "{}")
            done = {"id": f"resp_{number}", "status": "completed", "conversation_id": "conv_1", "output": [call]}
            await peer.send("response.done", response=done)
        outputs = {}
        for _ in range(2):
            item = (await peer.expect("conversation.item.create"))["item"]
            await peer.send("conversation.item.added", item=item, previous_item_id=None)
            outputs[item["call_id"]] = item["output"]
        await peer.expect("response.create")

    assert outputs["call_1"] == "the old one"
    assert outputs["call_2"] == ("the new one" if how == "update" else outputs["call_2"])
    assert how == "update" or "no tool named 'look'" in outputs["call_2"]


@pytest.mark.slow
async def test_over_a_real_socket():
    """The offline server calls a tool only as long as there is one."""

    @tool
    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return f"sunny in {city}"

    async with open_server() as server, open_session(url=server.url) as session:
        before = await session.ask("What is the weather in Lima?")
        await session.add_tools(get_weather)
        with_it = await session.ask("What is the weather in Lima?")
        await session.remove_tools("get_weather")
        after = await session.ask("What is the weather in Lima?")

    assert [len(reply.tool_calls) for reply in (before, with_it, after)] == [0, 1, 0]
