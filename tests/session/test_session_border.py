"""What is given to a session by mistake is refused where it is given, in words that say what would do."""

import functools
import re

import attrs
import pytest
import trio

from realtime_trio import (
    ApprovalRequest,
    ConfigurationError,
    Interrupted,
    LocalProtocolError,
    Prices,
    Snapshot,
    Stop,
    Tool,
    Toolbox,
    ToolCall,
    ToolFailed,
    ToolFinished,
    events,
    open_server,
    open_session,
    tool,
)
from realtime_trio.mcp import StdioServer
from realtime_trio.session import Notice


@tool
async def get_weather(city: str) -> str:
    """Tell the weather."""
    await trio.lowlevel.checkpoint()
    return f"sunny in {city}"


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["response.done"], r"events() takes classes, not 'response.done': session.events(events.ResponseDone)"),
        (["ResponseDone"], "session.events(events.ResponseDone)"),
        (["ToolFinished"], "session.events(ToolFinished)"),
        (["nonsense"], "for example session.events(events.ResponseDone, ToolFinished)"),
        ([ToolFinished, 5], "not a value of int: for example"),
        ([ToolFinished("c", "a", "b")], "not a value of ToolFinished: session.events(ToolFinished)"),
        ([[ToolFinished, Interrupted]], "not a value of list: for example"),
        ([(ToolFinished, "response.done")], "not a value of tuple"),
    ],
)
async def test_events_wants_classes(autojump_clock, open_talk, kinds, words):
    async with open_talk() as talk:
        with pytest.raises(ConfigurationError, match=re.escape(words)):
            talk.session.events(*kinds)
        await talk.created(None, "resp_1")  # which once crashed the session
        await talk.text("resp_1", "Hello")


async def test_events_takes_several_classes_in_one(autojump_clock, open_talk):
    async with open_talk() as talk:
        by_union = talk.session.events(events.ResponseCreated | Interrupted)
        by_tuple = talk.session.events((events.ResponseCreated, Interrupted))
        notices = talk.session.events(Notice)
        await talk.created(None, "resp_1")
        assert await by_union.receive() == await by_tuple.receive()
        assert not notices._held
        await talk.done("resp_1")


async def test_nothing_that_is_generated_may_be_made_part_of_the_conversation(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        with pytest.raises(ConfigurationError, match=r"conversation='auto': generate is always beside .* respond\(\)"):
            await talk.session.generate(["What time is it?"], conversation="auto")
        await talk.peer.expect_nothing(1)
        nursery.start_soon(functools.partial(talk.session.generate, [], conversation="none"))
        request = await talk.peer.expect("response.create", response={"conversation": "none"})
        await talk.created(request, "resp_1", conversation_id=None)
        await talk.done("resp_1", conversation_id=None)


def agree(request: ApprovalRequest) -> bool:
    return bool(request.id)


class Desk:
    def agree(self, request):
        return bool(request.id)


@pytest.mark.parametrize("hook", [agree, Desk().agree, "yes"])
@pytest.mark.parametrize(
    ("what", "words"), [("approve", r"async def approve\(request\)"), ("guard", r"async def guard\(text\)")]
)
async def test_a_plain_function_that_should_be_async_is_refused(hook, what, words):
    with pytest.raises(ConfigurationError, match=f"{what} is an async function, {words}, not (agree|str)$"):
        async with open_session(url="ws://localhost:1", **{what: hook}):
            raise AssertionError


async def test_a_lambda_that_should_be_async_is_told_what_it_should_be(autojump_clock, open_talk, as_function_call):
    asking = tool(get_weather, approve=True)
    async with open_talk(tools=[asking], approve=lambda _: True) as talk:
        failures = talk.session.events(ToolFailed)
        await talk.created(None, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "get_weather", '{"city": "Lima"}'))
        await talk.acknowledge(item={"type": "function_call_output"})
        failed = await failures.receive()
        assert str(failed.exception) == "an approval hook is an async function: async def approve(request)"


async def test_what_returns_something_to_be_awaited_is_as_good_as_async(autojump_clock, open_talk, as_function_call):
    async def allow(_: ApprovalRequest) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    @functools.wraps(allow)
    def wrapped(request):
        return allow(request)

    for hook in (lambda request: allow(attrs.evolve(request)), wrapped, functools.partial(allow)):
        async with open_talk(tools=[tool(get_weather, approve=True)], approve=hook, drain=False) as talk:
            await talk.created(None, "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "get_weather", '{"city": "Lima"}'))
            item = await talk.acknowledge(item={"type": "function_call_output"})
            assert item["output"] == "sunny in Lima"


@pytest.mark.parametrize("tools", [get_weather, "get_weather", {"get_weather": get_weather}, 5])
async def test_one_tool_is_no_list_of_tools(autojump_clock, open_talk, tools):
    async with open_talk() as talk:
        for call in (talk.session.respond, talk.session.generate, functools.partial(talk.session.ask, "Hello?")):
            with pytest.raises(ConfigurationError, match=r"tools is a list of tools, as in tools=\[...\], not"):
                await call(tools=tools)
        await talk.peer.expect_nothing(1)


@pytest.mark.parametrize("tools", [lambda: iter([get_weather]), lambda: Toolbox([get_weather]), lambda: {get_weather}])
async def test_tools_of_a_response_come_in_any_iterable(autojump_clock, open_talk, tools):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(talk.session.respond, tools=tools()))
        request = await talk.peer.expect("response.create", response={"tools": [{"name": "get_weather"}]})
        await talk.created(request, "resp_1")
        await talk.done("resp_1")


async def test_an_empty_toolbox_means_no_tools(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(talk.session.respond, tools=Toolbox()))
        request = await talk.peer.expect("response.create", response={"tools": []})
        await talk.created(request, "resp_1")
        await talk.done("resp_1")


@pytest.mark.parametrize(
    ("text", "words"),
    [(123, "what is said is a text, not int"), (None, "not None"), (b"x", "not bytes: decode it first")],
)
async def test_what_is_said_is_a_text(autojump_clock, open_talk, text, words):
    async with open_talk() as talk:
        for call in (talk.session.ask, talk.session.say, talk.session.send_text):
            with pytest.raises(LocalProtocolError, match=words):
                await call(text)
        for call in (talk.session.say, talk.session.send_text):
            with pytest.raises(LocalProtocolError, match=words):
                await call(text, when="now_silently")
        await talk.peer.expect_nothing(1)


@pytest.mark.parametrize("given", [5, {"a": 1}, b"x", events.user_message("Hello")])
async def test_what_is_generated_about_is_a_text_or_a_list(autojump_clock, open_talk, given):
    async with open_talk() as talk:
        with pytest.raises(ConfigurationError, match=r"input is a text, or a list, as in generate\(\[...\]\), not"):
            await talk.session.generate(given)
        await talk.peer.expect_nothing(1)


async def test_tools_are_added_and_removed_one_by_one(autojump_clock, open_talk):
    async with open_talk(tools=[get_weather]) as talk:
        with pytest.raises(ConfigurationError, match=r"add_tools takes them one by one, add_tools\(\*them\), .* list"):
            await talk.session.add_tools([get_weather])
        with pytest.raises(ConfigurationError, match=r"remove_tools takes them one by one"):
            await talk.session.remove_tools(["get_weather"])


async def test_a_tool_may_be_removed_by_itself(autojump_clock):
    async def plain(city: str) -> str:
        return city

    async with (
        open_server(listen=False) as server,
        open_session(url="ws://localhost/v1/realtime", connect=server.connect, tools=[get_weather, plain]) as session,
    ):
        await session.remove_tools(get_weather)
        assert [one.name for one in session.config.tools] == ["plain"]
        await session.remove_tools(plain)
        assert not session.config.tools


async def test_an_answer_to_something_that_is_no_request_is_a_mistake(autojump_clock, open_talk):
    async with open_talk() as talk:
        for given in ([], 5, ApprovalRequest("call_1", "function", "pay", '{"amount": 5}')):
            with pytest.raises(LocalProtocolError, match="give the id of an ApprovalRequest") as caught:
                talk.session.approve(given)
            assert "amount" not in str(caught.value)
        with pytest.raises(LocalProtocolError, match="a reason is a text, not int"):
            talk.session.refuse("call_1", 5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tool(get_weather, name=5), "5 is no name for a tool"),
        (lambda: tool(get_weather, description=5), "the description is a text, not int"),
        (lambda: tool(description=5)(agree), r"agree\(\): the description is a text, not int"),
        (lambda: Tool.from_schema("a", "b", {}, 5), r"a\(\): run is a function that takes the arguments as one dict"),
        (lambda: Toolbox(5), r"tools is a list of tools, as in Toolbox\(\[...\]\), not int"),
        (lambda: Toolbox(get_weather), "tools is a list of tools, .* not get_weather"),
        (lambda: Stop("a", instead=5), "what a guard says instead is a text, not int"),
        (lambda: Stop(5), "a guard that stops gives its reason in words"),
        (lambda: Snapshot.from_json(5), "a snapshot is a text as Snapshot.to_json gives it, not int"),
        (lambda: Snapshot.from_json({"version": 1}), "not dict: Snapshot.from_data takes that"),
        (lambda: StdioServer("a", cwd=5), "cwd= is a path"),
        (
            lambda: Prices(input_text=1, input_audio=1, output_text=1, output_audio=1, currency=5),
            "the currency is a text, not int",
        ),
    ],
)
def test_values_are_checked_where_they_are_made(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_arguments_and_outputs_of_tools_are_not_shown():
    """A reply that is logged does not tell what notices take care to hide."""
    call = ToolCall("call_1", "pay", '{"card": "secret"}', "paid by secret")
    assert repr(call) == "ToolCall(call_id='call_1', name='pay')"
    assert "secret" not in repr(ToolFinished("call_1", "pay", "paid by secret"))
