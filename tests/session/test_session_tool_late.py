"""What comes too late for a tool call: lines about one that is over, failures of one that was cancelled, lost asks."""

import pytest
import trio
import trio.testing

from realtime_trio import ToolCancelled, ToolContext, ToolFinished, open_session, tool
from realtime_trio.testing import open_scripted_peer

OUTPUT = "function_call_output"


async def call(talk, *calls, response_id="resp_1"):
    """Let the model, asked by nobody, make these calls."""
    await talk.created(None, response_id)
    await talk.done(response_id, *calls)


async def speak_over(talk, request, response_id):
    """Refuse what was asked for, because turn detection made a response a moment before."""
    await talk.created(None, response_id)
    code = "conversation_already_has_active_response"
    error = {"type": "invalid_request_error", "code": code, "message": "no", "event_id": request["event_id"]}
    await talk.peer.send("error", error=error)


async def expect_plain_reply(talk, response_id):
    """The next thing to be asked for is the reply to the calls; then nothing."""
    request = await talk.peer.expect("response.create")
    assert "instructions" not in request["response"]
    await talk.created(request, response_id)
    await talk.text(response_id, "Done.", item_id=f"item_of_{response_id}")
    await talk.peer.expect_nothing(5)


def said(line):
    return {"instructions": lambda instructions: line in instructions}


async def test_no_filler_for_a_call_that_was_cancelled_while_the_user_spoke(
    autojump_clock, open_talk, as_function_call
):
    """No reply is owed for it, so nothing at all is said."""

    @tool(filler="One moment, please.", filler_after=1, on_interrupt="cancel")
    async def slow() -> None:
        await trio.sleep_forever()

    async with open_talk(tools=[slow], interruption="never") as talk:
        await call(talk, as_function_call("call_1", "slow", "{}"))
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(2)
        talk.session.interrupt()
        talk.peer.ignored |= {"input_audio_buffer.clear", "response.cancel"}
        await talk.acknowledge(item={"type": OUTPUT})
        await talk.peer.send("input_audio_buffer.cleared")
        await talk.peer.expect_nothing(5)


async def test_no_filler_after_the_reply(autojump_clock, open_talk, as_function_call):
    """The user speaks when it is due; when the floor is free, the call is over and answered."""

    @tool(filler="One moment, please.", filler_after=1)
    async def slow() -> str:
        await trio.sleep(3)
        return "done"

    async with open_talk(tools=[slow]) as talk:
        await call(talk, as_function_call("call_1", "slow", "{}"))
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await talk.acknowledge(item={"type": OUTPUT})
        await talk.peer.send("input_audio_buffer.cleared")
        await expect_plain_reply(talk, "resp_2")


@pytest.mark.parametrize("older", ["is followed by a newer one", "is all there is"])
async def test_progress_in_the_queue(autojump_clock, open_talk, as_function_call, older):
    """What waits to be said is the newest: what it replaces is dropped, and so is all of it when the call is over."""

    @tool
    async def work(context: ToolContext) -> str:
        context.progress("one of two", speak=True)
        await trio.sleep(1)
        if older == "is followed by a newer one":
            context.progress("two of two", speak=True)
        await trio.sleep(3)
        return "done"

    async with open_talk(tools=[work]) as talk:
        await call(talk, as_function_call("call_1", "work", "{}"))
        await speak_over(talk, await talk.peer.expect("response.create", response=said("one of two")), "resp_2")
        if older == "is followed by a newer one":
            await talk.peer.expect_nothing(2)
            await talk.text("resp_2", "Yes?")
            request = await talk.peer.expect("response.create", response=said("two of two"))
            await talk.created(request, "resp_3")
            await talk.text("resp_3", "Two of two.", item_id="item_b")
            await talk.acknowledge(item={"type": OUTPUT})
        else:
            await talk.acknowledge(item={"type": OUTPUT})
            await talk.text("resp_2", "Yes?")
        await expect_plain_reply(talk, "resp_4")


async def test_a_late_failure_is_raised_where_failures_are(autojump_clock, as_function_call):
    """With `tool_errors="raise"` a tool that crashes while it cleans up is to be seen, though its output was given."""

    @tool(on_interrupt="cancel")
    async def fragile() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("while cleaning up")

    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(RuntimeError, match="while cleaning up"):
            async with open_session(
                connect=peer.connect, url=peer.url, tools=[fragile], tool_errors="raise"
            ) as session:
                await peer.send("response.created", response={"id": "r", "conversation_id": "c"})
                output = [as_function_call("call_1", "fragile", "{}")]
                response = {"id": "r", "status": "completed", "conversation_id": "c", "output": output}
                await peer.send("response.done", response=response)
                await trio.sleep(1)
                session.interrupt()
                with trio.fail_after(10):
                    await trio.sleep_forever()


class AtFirstStep(trio.abc.Instrument):
    """Does something right before a task runs for the first time, which no other task could be sure to hit."""

    def __init__(self, name, then):
        self.name, self.then = name, then

    def before_task_step(self, task):
        if task.name == self.name and self.then is not None:
            then, self.then = self.then, None
            then()


async def test_a_tool_that_is_cancelled_before_its_first_step_does_nothing(autojump_clock, open_talk, as_function_call):
    """Not even what stands before its first `await`."""
    ran = []

    @tool(on_interrupt="cancel")
    async def work() -> None:
        ran.append("began")
        await trio.sleep(1)

    async with open_talk(tools=[work]) as talk:
        cancelled = talk.session.events(ToolCancelled)
        instrument = AtFirstStep("tool work", talk.session.interrupt)
        trio.lowlevel.add_instrument(instrument)
        await call(talk, as_function_call("call_1", "work", "{}"))
        await talk.acknowledge(item={"type": OUTPUT})
        trio.lowlevel.remove_instrument(instrument)
        assert await cancelled.receive() == ToolCancelled("call_1", "work", "requested")
        await talk.peer.expect_nothing(4)

    assert instrument.then is None
    assert ran == []


async def test_an_ask_that_was_cancelled_while_its_tool_ran_gets_no_reply(autojump_clock, open_talk, as_function_call):
    """The call has its output, for the model must know; nobody waits for what it would say to that."""

    @tool
    async def work() -> str:
        await trio.sleep(2)
        return "done"

    async with open_talk(tools=[work]) as talk, trio.open_nursery() as nursery:
        finished = talk.session.events(ToolFinished)
        nursery.start_soon(talk.session.ask, "Work!")
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await talk.acknowledge(item={"type": OUTPUT, "output": "done"})
            await finished.receive()
            await talk.peer.expect_nothing(5)


async def test_the_reply_that_two_waited_for_is_given_up_with_the_last_of_them(
    autojump_clock, open_talk, as_function_call
):
    """One leaves while their tool runs, one while the reply to it is made: then nobody is to hear it."""

    @tool
    async def work() -> str:
        await trio.sleep(2)
        return "done"

    async with open_talk(tools=[work]) as talk, trio.open_nursery() as nursery:
        first, second = trio.CancelScope(), trio.CancelScope()

        async def ask(text, scope):
            with scope:
                await talk.session.ask(text)

        await talk.created(None, "resp_0")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, "One?", first)
        nursery.start_soon(ask, "Two?", second)
        for _ in range(2):
            await talk.acknowledge()
        await talk.done("resp_0")
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        first.cancel()
        await talk.acknowledge(item={"type": OUTPUT, "output": "done"})
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await trio.sleep(1)
        second.cancel()
        await talk.peer.expect("response.cancel", response_id="resp_2")
        await talk.done("resp_2", status="cancelled")


async def test_news_waits_for_the_one_output(autojump_clock, open_talk, as_function_call):
    """A background call can be over before the server has acknowledged that it goes on: first things first."""

    @tool(background=True)
    async def quick() -> str:
        return "done already"

    async with open_talk(tools=[quick]) as talk:
        await call(talk, as_function_call("call_1", "quick", "{}"))
        event = await talk.peer.expect("conversation.item.create", item={"type": OUTPUT})
        await talk.peer.expect_nothing(3)
        for kind in ("added", "done"):
            await talk.peer.send(f"conversation.item.{kind}", item=event["item"], previous_item_id=None)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "It goes on.")
        item = await talk.acknowledge(item={"role": "system"})
        assert "done already" in item["content"][0]["text"]
        await talk.peer.expect("response.create")
