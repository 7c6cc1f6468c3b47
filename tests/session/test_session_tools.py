"""Tools as a session is given them: dependencies, a toolbox of one's own, tool_choice by name."""

import threading
from typing import Any

import pytest
import trio

from realtime_trio import CallId, ConfigurationError, Injected, Session, Toolbox, ToolContext, events, open_server, tool
from realtime_trio.opening import open_session
from realtime_trio.session.tool_choice import choose_tool
from realtime_trio.session.tool_policy import ToolPolicy
from realtime_trio.testing import open_scripted_peer
from realtime_trio.tools import Tool, ToolOutcome


class Database:
    def __init__(self, name):
        self.name = name


@tool
async def look_up(word: str, db: Injected[Database], session: Session, call: CallId, context: ToolContext) -> str:
    """Look a word up."""
    await trio.lowlevel.checkpoint()
    assert context.session is session
    return f"{word} in {db.name} by {call}"


@tool
async def get_weather(city: str) -> str:
    """Tell the weather."""
    await trio.lowlevel.checkpoint()
    return f"rain in {city}"


async def call_and_answer(talk, as_function_call, name, arguments):
    """Let the model call a function, and give the output that comes for it."""
    await talk.created(None, "resp_1")
    await talk.done("resp_1", as_function_call("call_1", name, arguments))
    item = await talk.acknowledge(item={"type": "function_call_output"})
    return item["output"]


async def test_dependencies_reach_the_tool(open_talk, as_function_call, autojump_clock):
    """With the session and the call's id; the model is told of the word only."""
    async with open_talk(tools=[look_up], dependencies=iter([Database("main")])) as talk:
        (definition,) = talk.session.config.tools
        assert list(definition.parameters["properties"]) == ["word"]
        output = await call_and_answer(talk, as_function_call, "look_up", '{"word": "x"}')

    assert output == "x in main by call_1"


async def test_a_missing_dependency_is_found_before_anything_is_sent(autojump_clock):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConfigurationError, match=r"look_up\(\): parameter 'db' wants a Database.*dependencies="):
            async with open_session(connect=peer.connect, url=peer.url, tools=[look_up]):
                raise AssertionError


@pytest.mark.parametrize("call", ["update", "ask", "respond"])
async def test_a_missing_dependency_of_later_tools(call, open_talk, autojump_clock):
    """Live changes and single responses are held to the same; nothing is sent."""
    async with open_talk() as talk:
        arguments = ("hello",) if call == "ask" else ()
        with pytest.raises(ConfigurationError, match=r"parameter 'db' wants a Database"):
            await getattr(talk.session, call)(*arguments, tools=[look_up])


async def test_a_toolbox_of_ones_own(open_talk, as_function_call, autojump_clock):
    """For its limit of threads, which tools that come later share."""
    box = Toolbox([get_weather], threads=2)
    async with open_talk(tools=box) as talk:
        assert talk.session._engine.tool_calls.tools.runner is box
        later = talk.session._make_tools([get_weather])
        assert later.threads is box.threads
        assert box.threads.total_tokens == 2
        output = await call_and_answer(talk, as_function_call, "get_weather", '{"city": "Lima"}')

    assert output == "rain in Lima"


async def test_a_runner_of_ones_own(open_talk, as_function_call, autojump_clock):
    """Whatever has the three methods."""

    class Echo:
        def definitions(self):
            return (events.FunctionTool(name="echo", parameters={"type": "object", "properties": {}}),)

        def policy(self, name):
            return ToolPolicy()

        async def run(self, name, arguments, *, context):
            await trio.lowlevel.checkpoint()
            return ToolOutcome(f"{name} {arguments} {context.call_id}")

    async with open_talk(tools=Echo()) as talk:
        assert [one.name for one in talk.session.config.tools] == ["echo"]
        output = await call_and_answer(talk, as_function_call, "echo", "{}")
        for change in (talk.session.add_tools(get_weather), talk.session.remove_tools("echo")):
            with pytest.raises(ConfigurationError, match=r"runner of your own: .* update\(tools=runner\)"):
                await change

    assert output == "echo {} call_1"


async def test_hosted_servers_stand_beside_functions(open_talk, autojump_clock):
    """In the order in which they were given."""
    docs = events.McpTool(server_label="docs", server_url="https://example.com/mcp")
    async with open_talk(tools=[docs, get_weather]) as talk:
        kinds = [type(one).__name__ for one in talk.session.config.tools]

    assert kinds == ["McpTool", "FunctionTool"]


@pytest.mark.parametrize(
    ("choice", "on_the_wire"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ("get_weather", {"type": "function", "name": "get_weather"}),
        (get_weather, {"type": "function", "name": "get_weather"}),
        ("docs", {"type": "mcp", "server_label": "docs"}),
        (events.ToolChoiceFunction(name="of the prompt"), {"type": "function", "name": "of the prompt"}),
    ],
    ids=str,
)
async def test_tool_choice_by_name(choice, on_the_wire, open_talk, autojump_clock):
    """When the session is opened, changed, and for one response."""
    docs = events.McpTool(server_label="docs", server_url="https://example.com/mcp")
    async with open_talk(tools=[get_weather, docs], tool_choice=choice) as talk:
        (opened,) = [one for one in talk.peer.received if one["type"] == "session.update"]
        assert opened["session"]["tool_choice"] == on_the_wire
        await talk.session.update(tool_choice=choice)
        assert talk.peer.received[-1]["session"]["tool_choice"] == on_the_wire
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: talk.session.respond(tool_choice=choice))
            request = await talk.peer.expect("response.create")
            assert request["response"]["tool_choice"] == on_the_wire
            nursery.cancel_scope.cancel()


def named(arguments: dict[str, Any] | None = None) -> None: ...


@pytest.mark.parametrize(
    ("tools", "choice", "expected"),
    [
        ([{"type": "function", "name": "f"}], "f", events.ToolChoiceFunction(name="f")),
        ([events.FunctionTool(name="named")], named, events.ToolChoiceFunction(name="named")),
        (events.UNSET, {"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
        (None, "none", "none"),
    ],
)
def test_choices(tools: Any, choice: Any, expected: Any) -> None:
    assert choose_tool(choice, tools) == expected


async def test_a_choice_that_is_none_of_the_tools(open_talk, autojump_clock):
    """It is refused before anything is sent, wherever it is said; the words name what there is."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConfigurationError, match=r"'get_wether'.*'auto', .* 'get_weather'"):
            async with open_session(connect=peer.connect, url=peer.url, tools=[get_weather], tool_choice="get_wether"):
                raise AssertionError
    other = Tool.from_schema("other", "", {"type": "object"}, lambda arguments: arguments)
    async with open_talk(tools=[get_weather]) as talk:
        for problem in ("get_wether", other):
            with pytest.raises(ConfigurationError, match="none of the tools"):
                await talk.session.update(tool_choice=problem)
            with pytest.raises(ConfigurationError, match="none of the tools"):
                await talk.session.respond(tool_choice=problem)
        with pytest.raises(ConfigurationError, match=r"none of the tools.*'required', 'other'"):
            await talk.session.update(tools=[other], tool_choice="get_weather")


async def test_tools_are_added_to_a_toolbox_of_ones_own(open_talk, autojump_clock):
    """Hosted ones too; the limit of threads stays. What cannot be given what it wants is not added."""
    docs = events.McpTool(server_label="docs", server_url="https://example.com/mcp")
    box = Toolbox([docs, get_weather], threads=2)
    assert box.tools == (docs, get_weather)
    async with open_talk(tools=box) as talk:
        await talk.session.add_tools(Tool.from_schema("other", "", {"type": "object"}, named))
        await talk.session.remove_tools("docs")
        assert [one.name for one in talk.session.config.tools] == ["get_weather", "other"]
        assert talk.session._engine.tool_calls.tools.runner.threads is box.threads
        with pytest.raises(ConfigurationError, match="parameter 'db' wants a Database"):
            await talk.session.add_tools(look_up)


async def test_a_toolbox_for_one_response(open_talk, as_function_call, autojump_clock):
    """Beside the session's own tools; and beside the conversation, where calls are the program's."""
    async with open_talk(tools=[get_weather]) as talk:
        box = Toolbox([tool(get_weather, name="other")])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: talk.session.generate("x", tools=box))
            request = await talk.peer.expect("response.create", response={"conversation": "none"})
            assert [one["name"] for one in request["response"]["tools"]] == ["other"]
            await talk.created(request, "resp_0", conversation_id=None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: talk.session.respond(tools=box, tool_choice="other"))
            request = await talk.peer.expect("response.create")
            assert [one["name"] for one in request["response"]["tools"]] == ["other"]
            await talk.created(request, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "other", '{"city": "Lima"}'))
        item = await talk.acknowledge(item={"type": "function_call_output"})
        assert item["output"] == "rain in Lima"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tools": get_weather}, r"tools is a list of tools, as in tools=\[...\], not get_weather"),
        ({"tools": "get_weather"}, r"tools is a list of tools"),
        ({"tools": ["get_weather"]}, r"a tool is a function, not 'get_weather'"),
        ({"dependencies": Database("main")}, r"dependencies is a list, as in dependencies=\[...\], not Database"),
        ({"dependencies": "main"}, "dependencies is a list, .* not str"),
        ({"dependencies": {"main": 1}}, "dependencies is a list, .* not dict"),
        ({"greeting": 5}, "greeting is a text, not int"),
        ({"tool_choice": None}, "tool_choice is not None: leave it out"),
    ],
)
async def test_no_list(options, problem, autojump_clock):
    """A frequent slip gets words, not a TypeError."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConfigurationError, match=problem):
            async with open_session(connect=peer.connect, url=peer.url, **options):
                raise AssertionError


async def test_a_session_that_has_to_call_comes_to_speak():
    """Over a real socket: the reply to the output is free, else it would call for ever."""
    with trio.fail_after(30):
        async with (
            open_server(recogniser="none") as server,
            open_session(url=server.url, tools=[get_weather], tool_choice="get_weather") as session,
        ):
            reply = await session.ask("Good morning.")

    assert [call.name for call in reply.tool_calls] == ["get_weather"]
    assert reply.text


async def test_waiting_for_a_thread_counts_into_the_timeout(open_talk, as_function_call):
    """The user waits in any case: the model is told in time, and the tool does not run afterwards."""
    release, entered = threading.Event(), trio.Event()
    home = trio.lowlevel.current_trio_token()
    ran = []

    def hang() -> None:
        home.run_sync_soon(entered.set)
        release.wait()

    @tool(timeout=0.05)
    def late() -> None:
        ran.append("late")

    box = Toolbox([hang, late], threads=1)
    with trio.fail_after(10):
        async with open_talk(tools=box) as talk:
            await talk.created(None, "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "hang", "{}"))
            await entered.wait()
            await talk.created(None, "resp_2")
            await talk.done("resp_2", as_function_call("call_2", "late", "{}"))
            item = await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_2"})
            assert item["output"].startswith("Error: late ")
            await talk.peer.expect("response.create")  # the reply to it, which nobody waits for here
            release.set()
            await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_1"})

    assert ran == []
