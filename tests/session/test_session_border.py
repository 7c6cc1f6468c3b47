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
    Toolbox,
    ToolFailed,
    ToolFinished,
    events,
    open_session,
    tool,
)
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
