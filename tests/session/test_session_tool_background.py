"""Tools in the background: the model is told at once, and the result comes when both sides are quiet."""

import pytest
import trio

from realtime_trio import (
    ServerError,
    ToolCancelled,
    ToolFailed,
    ToolFinished,
    ToolTimeout,
    open_server,
    open_session,
    tool,
)

OUTPUT = "function_call_output"


async def call(talk, *calls, response_id="resp_1"):
    await talk.created(None, response_id)
    await talk.done(response_id, *calls)


async def answer(talk, response_id):
    """Let the model say something to what was asked last."""
    await talk.created(await talk.peer.expect("response.create"), response_id)
    await talk.text(response_id, "I see.", item_id=f"item_of_{response_id}")


async def news(talk):
    item = await talk.acknowledge(item={"type": "message", "role": "system"})
    return item["content"][0]["text"]


@tool(background=True)
async def report(seconds: float) -> str:
    """Write a report."""
    await trio.sleep(seconds)
    return f"report of {seconds}"


async def test_the_model_is_told_at_once_and_again(autojump_clock, open_talk, as_function_call):
    """One output, one reply to it; then the result as news, with a reply of its own."""
    async with open_talk(tools=[report]) as talk:
        finished = talk.session.events(ToolFinished)
        start = trio.current_time()
        await call(talk, as_function_call("call_1", "report", '{"seconds": 3}'))
        item = await talk.acknowledge(item={"type": OUTPUT, "call_id": "call_1"})
        assert "report was started and goes on in the background" in item["output"]
        await answer(talk, "resp_2")
        assert trio.current_time() - start < 0.1
        assert talk.session.statistics().tools.open == 1
        words = await news(talk)
        assert trio.current_time() - start == pytest.approx(3)
        for part in ("report", "call_1", "report of 3.0"):
            assert part in words
        await answer(talk, "resp_3")
        await talk.peer.expect_nothing(4)
        assert await finished.receive() == ToolFinished("call_1", "report", "report of 3.0")
        assert talk.session.statistics().tools.open == 0


async def test_it_waits_until_both_sides_are_quiet(autojump_clock, open_talk, as_function_call):
    """Not while the model answers, nor while the user speaks or is answered."""
    async with open_talk(tools=[report]) as talk:
        await call(talk, as_function_call("call_1", "report", '{"seconds": 1}'))
        await talk.acknowledge(item={"type": OUTPUT})
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_2")
        await talk.peer.expect_nothing(2)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await talk.done("resp_2", status="cancelled")
        await talk.peer.expect_nothing(2)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=2000, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_3")
        await talk.peer.expect_nothing(2)
        await talk.text("resp_3", "You are welcome.")
        talk.peer.ignored.add("response.create")
        assert "report of 1.0" in await news(talk)


async def test_results_that_wait_come_together(autojump_clock, open_talk, as_function_call):
    """Each as news of its own, and one reply to all."""
    async with open_talk(tools=[report]) as talk:
        calls = [as_function_call(f"call_{n}", "report", f'{{"seconds": {n}}}') for n in (1, 2, 3)]
        await call(talk, *calls)
        for _ in calls:
            await talk.acknowledge(item={"type": OUTPUT})
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_2")
        await talk.peer.expect_nothing(4)
        await talk.text("resp_2", "They are on their way.")
        words = [await news(talk) for _ in calls]
        assert [f"report of {n}.0" in text for n, text in zip((1, 2, 3), words, strict=True)] == [True] * 3
        await answer(talk, "resp_3")
        await talk.peer.expect_nothing(4)


async def test_what_goes_wrong_there_is_told_the_same_way(autojump_clock, open_talk, as_function_call):
    @tool(background=True)
    async def crash() -> None:
        await trio.sleep(1)
        raise RuntimeError("out of paper")

    @tool(background=True, timeout=1)
    async def slow() -> None:
        await trio.sleep_forever()

    async with open_talk(tools=[crash, slow]) as talk:
        failures = talk.session.events(ToolFailed)
        await call(talk, as_function_call("call_1", "crash", "{}"), as_function_call("call_2", "slow", "{}"))
        for _ in range(2):
            await talk.acknowledge(item={"type": OUTPUT})
        await answer(talk, "resp_2")
        words = "\n".join([await news(talk) for _ in range(2)])
        await answer(talk, "resp_3")
        exceptions = {type((await failures.receive()).exception) for _ in range(2)}

    assert "out of paper" in words
    assert "slow took longer than 1 s" in words
    assert exceptions == {RuntimeError, ToolTimeout}


async def test_an_ask_does_not_wait_for_it(autojump_clock, open_talk, as_function_call):
    async with open_talk(tools=[report]) as talk, trio.open_nursery() as nursery:
        replies = []

        async def ask():
            replies.append(await talk.session.ask("Write a report."))

        nursery.start_soon(ask)
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "report", '{"seconds": 3}'))
        await talk.acknowledge(item={"type": OUTPUT})
        await answer(talk, "resp_2")
        await trio.sleep(0.01)
        assert [reply.text for reply in replies] == ["I see."]
        assert "background" in replies[0].tool_calls[0].output
        await news(talk)
        await talk.peer.expect("response.create")


async def test_interruptions_do_not_touch_it(autojump_clock, open_talk, as_function_call):
    async with open_talk(tools=[report]) as talk:
        await call(talk, as_function_call("call_1", "report", '{"seconds": 2}'))
        await talk.acknowledge(item={"type": OUTPUT})
        await answer(talk, "resp_2")
        await trio.sleep(0.1)
        talk.session.interrupt()
        await trio.sleep(1)
        talk.session.interrupt()
        assert "report of 2.0" in await news(talk)
        await talk.peer.expect("response.create")


async def test_it_shares_its_reply_with_the_rest_of_the_batch(autojump_clock, open_talk, as_function_call):
    @tool
    async def look() -> str:
        await trio.sleep(1)
        return "seen"

    async with open_talk(tools=[report, look]) as talk:
        calls = [as_function_call("call_1", "report", '{"seconds": 9}'), as_function_call("call_2", "look", "{}")]
        await call(talk, *calls)
        await talk.acknowledge(item={"call_id": "call_1"})
        await talk.peer.expect_nothing(0.9)
        await talk.acknowledge(item={"call_id": "call_2", "output": "seen"})
        await answer(talk, "resp_2")
        await talk.peer.expect_nothing(4)


async def test_a_background_tool_that_needs_approval_is_asked_about_first(autojump_clock, open_talk, as_function_call):
    """The model is told that it goes on when that is so; a refusal is its output."""

    @tool(background=True, approve=True)
    async def send(to: str) -> str:
        await trio.sleep(1)
        return f"sent to {to}"

    async with open_talk(tools=[send]) as talk:
        calls = [as_function_call(f"call_{to}", "send", f'{{"to": "{to}"}}') for to in ("a", "b")]
        await call(talk, *calls)
        await talk.peer.expect_nothing(3)
        assert talk.session.approve("call_a")
        assert "background" in (await talk.acknowledge(item={"call_id": "call_a"}))["output"]
        assert talk.session.refuse("call_b", "not today")
        assert "not today" in (await talk.acknowledge(item={"call_id": "call_b"}))["output"]
        await answer(talk, "resp_2")
        assert "sent to a" in await news(talk)
        await answer(talk, "resp_3")


async def test_the_end_of_a_session_does_not_wait_for_it(autojump_clock, open_voice, as_function_call):
    """Not even one that lets everything be heard: the call is cancelled, and that is told."""
    stopped = []

    @tool(background=True)
    async def endless() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(True)

    async with open_voice(tools=[endless], drain=True) as talk:
        cancelled = talk.session.events(ToolCancelled)
        await call(talk, as_function_call("call_1", "endless", "{}"))
        await talk.acknowledge(item={"type": OUTPUT})
        await answer(talk, "resp_2")

    assert [notice async for notice in cancelled] == [ToolCancelled("call_1", "endless", "session_ended")]
    assert stopped == [True]


@pytest.mark.parametrize("refused", ["that it goes on", "what it came to"])
async def test_what_the_server_does_not_take_is_told_to_the_program(
    autojump_clock, open_talk, as_function_call, refused
):
    """The call goes on all the same, and is over in the end."""
    async with open_talk(tools=[report]) as talk:
        notices = talk.session.events(ToolFailed, ToolFinished)
        await call(talk, as_function_call("call_1", "report", '{"seconds": 1}'))
        if refused == "what it came to":
            await talk.acknowledge(item={"type": OUTPUT})
            await answer(talk, "resp_2")
        event = await talk.peer.expect("conversation.item.create")
        error = {"type": "invalid_request_error", "message": "no", "event_id": event["event_id"]}
        await talk.peer.send("error", error=error)
        failed = await notices.receive()
        assert isinstance(failed.exception, ServerError)
        assert (failed.call_id, failed.name) == ("call_1", "report")
        if refused == "that it goes on":
            await news(talk)
            await answer(talk, "resp_2")
            assert isinstance(await notices.receive(), ToolFinished)
        await talk.peer.expect_nothing(4)
        assert talk.session.statistics().tools.open == 0


@pytest.mark.slow
async def test_over_a_real_socket():
    """The offline server takes the output, answers it, takes the news, and answers them."""

    @tool(background=True)
    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        await trio.sleep(0.3)
        return f"sunny in {city}"

    async with open_server() as server, open_session(url=server.url, tools=[get_weather]) as session:
        finished = session.events(ToolFinished)
        responses = session.responses()
        reply = await session.ask("What is the weather in Lima?")
        assert "background" in reply.tool_calls[0].output
        with trio.fail_after(10):
            assert await finished.receive() == ToolFinished(reply.tool_calls[0].call_id, "get_weather", "sunny in Lima")
            for _ in range(3):
                response = await responses.receive()
            await response.done()
        said = [item for item in session.conversation if item.role == "system"]

    assert len(said) == 1
    assert "sunny in Lima" in said[0].text
