"""How a tool call runs in a session: for how long, how many at once, and that whatever happens it gets one output."""

import logging
import threading
import time

import attrs
import pytest
import trio

from realtime_trio import (
    ToolCancelled,
    ToolContext,
    ToolFailed,
    ToolFinished,
    ToolPolicy,
    ToolProgress,
    ToolStarted,
    ToolTimeout,
    open_server,
    open_session,
    tool,
)
from realtime_trio.testing import open_scripted_peer

OUTPUT = "function_call_output"


async def call(talk, *calls, response_id="resp_1"):
    """Let the model, asked by nobody, make these calls."""
    await talk.created(None, response_id)
    await talk.done(response_id, *calls)


async def output(talk, call_id, within=None):
    """Expect the output of a call, acknowledge it, and give its text."""
    item = await talk.peer.expect("conversation.item.create", within=within, item={"type": OUTPUT, "call_id": call_id})
    for kind in ("added", "done"):
        await talk.peer.send(f"conversation.item.{kind}", item=item["item"], previous_item_id=None)
    return item["item"]["output"]


async def take(subscription):
    """Everything that a subscription holds."""
    notices = []
    with trio.move_on_after(0.01):
        async for notice in subscription:
            notices.append(notice)  # noqa: PERF401 it ends by being cancelled
    return notices


def spent(output):
    return "took longer" in output


async def test_a_tool_that_takes_too_long(autojump_clock, open_talk, as_function_call):
    """It is stopped, the model is told, and so is the program, with an exception to act on."""
    stopped = []

    @tool(timeout=2)
    async def slow() -> str:
        try:
            await trio.sleep(60)
        finally:
            stopped.append(trio.current_time())
        return "late"

    async with open_talk(tools=[slow]) as talk:
        failures = talk.session.events(ToolFailed, ToolFinished)
        start = trio.current_time()
        await call(talk, as_function_call("call_1", "slow", "{}"))
        words = await output(talk, "call_1")
        await talk.peer.expect("response.create")
        failed, finished = await take(failures)

    assert words == "Error: slow took longer than 2 s and was stopped. There is no result."
    assert stopped == [pytest.approx(start + 2)]
    assert (failed.call_id, failed.name) == ("call_1", "slow")
    assert isinstance(failed.exception, ToolTimeout)
    assert failed.exception.seconds == 2
    assert finished == ToolFinished("call_1", "slow", words)


async def test_a_tool_that_does_not_stop_keeps_nobody_waiting(autojump_clock, open_talk, as_function_call, caplog):
    """The model is told in time; what comes of the tool after all is too late, and not lost."""

    @tool(timeout=1)
    async def deaf() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        raise RuntimeError("after all")

    async with open_talk(tools=[deaf]) as talk:
        await call(talk, as_function_call("call_1", "deaf", "{}"))
        start = trio.current_time()
        assert spent(await output(talk, "call_1"))
        assert trio.current_time() == pytest.approx(start + 1)
        await talk.peer.expect("response.create")
        await talk.peer.expect_nothing(4)

    assert any(record.exc_info and "after all" in str(record.exc_info[1]) for record in caplog.records)


async def test_a_thread_that_takes_too_long_is_left_alone(open_talk, as_function_call, caplog):
    """Nothing can stop a thread: the model is told in time, and the log tells that it goes on."""
    caplog.set_level(logging.INFO)

    @tool(timeout=0.05)
    def busy() -> str:
        time.sleep(0.5)
        return "late"

    async with open_talk(tools=[busy]) as talk:
        await call(talk, as_function_call("call_1", "busy", "{}"))
        start = trio.current_time()
        assert spent(await output(talk, "call_1"))
        assert trio.current_time() - start < 0.4

    assert any("thread" in record.getMessage() and "busy" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("limit", [1, 2])
async def test_calls_of_one_tool_wait_for_each_other_in_order(autojump_clock, open_talk, as_function_call, limit):
    """First in, first out, also across responses; another tool does not wait."""
    began = {}

    @tool(concurrency=limit)
    async def narrow(number: int) -> int:
        began[number] = trio.current_time() - start
        await trio.sleep(1)
        return number

    @tool
    async def wide() -> str:
        return "at once"

    async with open_talk(tools=[narrow, wide]) as talk:
        calls = [as_function_call(f"call_{n}", "narrow", f'{{"number": {n}}}') for n in range(5)]
        talk.peer.ignored.add("response.create")
        start = trio.current_time()
        await call(talk, *calls[:3], response_id="resp_1")
        await talk.created(None, "resp_2")
        await talk.done("resp_2", *calls[3:], as_function_call("call_w", "wide", "{}"))
        assert await output(talk, "call_w") == "at once"
        for _ in range(5):
            item = await talk.acknowledge()
            assert item["output"] == item["call_id"][-1]

    assert began == {number: pytest.approx(number // limit) for number in range(5)}


async def test_waiting_for_a_turn_is_not_running(autojump_clock, open_talk, as_function_call):
    """The time that a tool has begins when it runs."""

    @tool(concurrency=1, timeout=1.5)
    async def narrow() -> str:
        await trio.sleep(1)
        return "done"

    async with open_talk(tools=[narrow]) as talk:
        started = talk.session.events(ToolStarted)
        await call(talk, *(as_function_call(f"call_{n}", "narrow", "{}") for n in range(3)))
        assert [await output(talk, f"call_{n}") for n in range(3)] == ["done"] * 3
        assert [notice.call_id for notice in await take(started)] == ["call_0", "call_1", "call_2"]


async def test_a_place_is_given_up_by_a_call_that_is_cancelled_before_its_turn(
    autojump_clock, open_talk, as_function_call
):
    """The next in the queue is not held up by one that will never run."""
    ran = []

    @tool(concurrency=1, on_interrupt="cancel")
    async def narrow(number: int) -> str:
        ran.append(number)
        await trio.sleep(1)
        return "done"

    async with open_talk(tools=[narrow]) as talk:
        await call(talk, *(as_function_call(f"call_{n}", "narrow", f'{{"number": {n}}}') for n in range(3)))
        await trio.sleep(0.5)
        talk.session.interrupt()
        await call(talk, as_function_call("call_9", "narrow", '{"number": 9}'), response_id="resp_2")
        outputs = {item["call_id"]: item["output"] for item in [await talk.acknowledge() for _ in range(4)]}

    assert ran == [0, 9]
    assert outputs.pop("call_9") == "done"
    assert all("cancelled" in words for words in outputs.values())


async def test_a_runner_that_breaks_its_promise(autojump_clock, open_talk, as_function_call, caplog):
    """A program's own runner may raise: the call gets its output, without the words of the exception."""

    class Boom(Exception):
        pass

    async with open_talk() as talk:

        class Runner:
            def definitions(self):
                return []

            def policy(self, name):
                return ToolPolicy()

            async def run(self, name, arguments, *, context):
                raise Boom("sk-secret")

        calls = talk.session._engine.tool_calls
        calls.use(attrs.evolve(calls.tools, runner=Runner()))
        failures = talk.session.events(ToolFailed)
        await call(talk, as_function_call("call_1", "any", '{"secret": 1}'))
        assert await output(talk, "call_1") == "Error: any failed."
        assert isinstance((await failures.receive()).exception, Boom)

    assert "running tool any crashed (call call_1)" in caplog.text


@attrs.frozen
class Given:
    output: object = "done"
    failure: object = None


class Runner:
    """A program's own, which gives whatever it is told to."""

    def __init__(self, outcome=None, policy=None):
        self.outcome, self.given, self.ran = outcome, ToolPolicy() if policy is None else policy, []

    def definitions(self):
        return []

    def policy(self, name):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    async def run(self, name, arguments, *, context):
        self.ran.append(name)
        return self.outcome


@pytest.mark.parametrize(
    "outcome", [None, "done", 5, Given(output=None), Given(output=b"done"), Given(failure="it broke")], ids=repr
)
async def test_a_runner_that_gives_no_outcome(autojump_clock, open_talk, as_function_call, outcome):
    """The call gets its output, whoever asked gets the reply, and the program is told what a runner gives."""
    replies = []
    async with open_talk(tools=Runner(outcome)) as talk, trio.open_nursery() as nursery:
        failures = talk.session.events(ToolFailed)

        async def ask():
            replies.append(await talk.session.ask("Hello."))

        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "any", "{}"))
        assert await output(talk, "call_1") == "Error: any failed."
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "I could not.")
        with pytest.raises(TypeError, match=r"Runner\.run\(\) gives a ToolOutcome"):
            raise (await failures.receive()).exception

    assert [reply.text for reply in replies] == ["I could not."]


@pytest.mark.parametrize("policy", [5, "finish", RuntimeError("unknown")], ids=repr)
async def test_a_runner_that_does_not_say_how_its_tool_is_run(autojump_clock, open_talk, as_function_call, policy):
    """It might have needed approval, so it is not run; the session goes on."""
    runner = Runner(Given(), policy)
    async with open_talk(tools=runner) as talk:
        failures = talk.session.events(ToolFailed)
        await call(talk, as_function_call("call_1", "any", "{}"))
        assert await output(talk, "call_1") == "Error: any failed."
        with pytest.raises((TypeError, RuntimeError), match=r"Runner\.policy\(\) gives a ToolPolicy|unknown"):
            raise (await failures.receive()).exception
        await talk.peer.expect("response.create")

    assert runner.ran == []


@pytest.mark.parametrize("on_interrupt", ["finish", "cancel"])
async def test_a_crash_while_it_is_cancelled_is_logged(
    autojump_clock, open_talk, as_function_call, caplog, on_interrupt
):
    """Its output was given before, so nothing but the log is left for it."""

    @tool(on_interrupt=on_interrupt, timeout=5)
    async def fragile() -> str:
        try:
            await trio.sleep(60)
        finally:
            raise RuntimeError("while cleaning up")
        return ""

    async with open_talk(tools=[fragile]) as talk:
        await call(talk, as_function_call("call_1", "fragile", "{}"))
        await trio.sleep(1)
        talk.session.interrupt()
        words = await output(talk, "call_1", within=10)
        await trio.sleep(1)

    assert ("cancelled" in words) == (on_interrupt == "cancel")
    assert "while cleaning up" in caplog.text


async def test_calls_that_the_end_of_the_session_cuts_short_are_told_of(autojump_clock, open_talk, as_function_call):
    """Running, waiting for its turn, waiting for approval, in the background: nothing is silently lost."""

    @tool(concurrency=1)
    async def long() -> None:
        await trio.sleep_forever()

    @tool(background=True)
    async def background() -> None:
        await trio.sleep_forever()

    @tool(approve=True)
    async def guarded() -> None:
        pass

    async with open_talk(tools=[long, background, guarded]) as talk:
        ended = talk.session.events(ToolCancelled)
        calls = [("call_1", "long"), ("call_2", "long"), ("call_3", "background"), ("call_4", "guarded")]
        await call(talk, *(as_function_call(call_id, name, "{}") for call_id, name in calls))
        await output(talk, "call_3")
        await trio.sleep(1)
        assert talk.session.statistics().tools.open == 4

    notices = [notice async for notice in ended]
    assert [(notice.call_id, notice.name) for notice in notices] == calls
    assert {notice.reason for notice in notices} == {"session_ended"}
    assert talk.session.statistics().tools.open == 0


async def test_calls_of_a_session_that_loses_its_link_are_told_of(autojump_clock, as_function_call):
    @tool
    async def long() -> None:
        await trio.sleep_forever()

    ended = None
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(Exception, match="1006"):
            async with open_session(connect=peer.connect, url=peer.url, tools=[long], reconnect=None) as session:
                ended = session.events(ToolCancelled)
                await peer.send("response.created", response={"id": "r", "conversation_id": "c"})
                output = [as_function_call("call_1", "long", "{}")]
                response = {"id": "r", "status": "completed", "conversation_id": "c", "output": output}
                await peer.send("response.done", response=response)
                await trio.sleep(1)
                await peer.drop()
                await trio.sleep_forever()

    assert await ended.receive() == ToolCancelled("call_1", "long", "session_ended")


@pytest.mark.parametrize(
    ("choice", "follow_up"),
    [
        ("required", "auto"),
        ({"type": "function", "name": "look"}, "auto"),
        ({"type": "mcp", "server_label": "docs"}, "auto"),
        ("auto", None),
        ("none", None),
    ],
)
async def test_the_reply_to_tools_is_not_forced_to_call_again(
    autojump_clock, open_talk, as_function_call, choice, follow_up
):
    """Or the model would call tools for ever."""

    @tool
    async def look() -> str:
        return "seen"

    async with open_talk(tools=[look]) as talk:
        await talk.session.update(tool_choice=choice)
        await call(talk, as_function_call("call_1", "look", "{}"))
        await output(talk, "call_1")
        request = await talk.peer.expect("response.create")

    assert request["response"].get("tool_choice") == follow_up


async def test_a_choice_that_was_for_one_response_is_not_repeated(autojump_clock, open_talk, as_function_call):
    @tool
    async def look() -> str:
        return "seen"

    async with open_talk(tools=[look]) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: talk.session.ask("Look!", tool_choice="required"))
        await talk.acknowledge()
        request = await talk.peer.expect("response.create", response={"tool_choice": "required"})
        await talk.created(request, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "look", "{}"))
        await output(talk, "call_1")
        request = await talk.peer.expect("response.create")
        assert "tool_choice" not in request["response"]
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "Seen.")


# What is said meanwhile


def said(line):
    return lambda instructions: line in instructions


async def test_a_filler_is_said_when_a_call_takes_long(autojump_clock, open_talk, as_function_call):
    """Once for a batch, after the set time; and the reply to the calls waits for it."""

    @tool(filler="One moment, please.", filler_after=3)
    async def slow(seconds: float) -> str:
        await trio.sleep(seconds)
        return "done"

    async with open_talk(tools=[slow]) as talk:
        calls = [as_function_call(f"call_{n}", "slow", f'{{"seconds": {n}}}') for n in (4, 5)]
        await call(talk, *calls)
        await talk.peer.expect_nothing(2.9)
        request = await talk.peer.expect("response.create", response={"instructions": said("One moment, please.")})
        await talk.created(request, "resp_2")
        await output(talk, "call_4")
        await output(talk, "call_5")
        await talk.peer.expect_nothing(1)
        await talk.text("resp_2", "One moment, please.")
        request = await talk.peer.expect("response.create")
        assert "instructions" not in request["response"]


async def test_no_filler_for_a_call_that_is_quick_enough(autojump_clock, open_talk, as_function_call):
    @tool(filler="One moment, please.", filler_after=3)
    async def quick() -> str:
        await trio.sleep(2.9)
        return "done"

    async with open_talk(tools=[quick]) as talk:
        await call(talk, as_function_call("call_1", "quick", "{}"))
        await output(talk, "call_1")
        request = await talk.peer.expect("response.create")
        assert "instructions" not in request["response"]
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "Done.")
        await talk.peer.expect_nothing(5)


async def test_a_filler_waits_for_the_floor_and_is_dropped_when_the_call_is_over(
    autojump_clock, open_talk, as_function_call
):
    """The user speaks when it is due, and the call is over before they have finished."""

    @tool(filler="One moment, please.", filler_after=1)
    async def slow() -> str:
        await trio.sleep(3)
        return "done"

    async with open_talk(tools=[slow]) as talk:
        await call(talk, as_function_call("call_1", "slow", "{}"))
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await output(talk, "call_1")
        await talk.peer.expect_nothing(1)
        await talk.peer.send("input_audio_buffer.cleared")
        request = await talk.peer.expect("response.create")
        assert "instructions" not in request["response"]


async def test_a_dropped_filler_does_not_stand_for_a_slow_call(autojump_clock, open_talk, as_function_call):
    """The quick call's line was due first, and the call over before the floor was free: the slow one's is said."""

    @tool(filler="Just a second.", filler_after=0.1)
    async def quick() -> str:
        await trio.sleep(0.5)
        return "done"

    @tool(filler="This takes a minute.", filler_after=0.3)
    async def slow() -> str:
        await trio.sleep(60)
        return "done"

    async with open_talk(tools=[quick, slow]) as talk:
        await call(talk, as_function_call("call_1", "quick", "{}"), as_function_call("call_2", "slow", "{}"))
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await output(talk, "call_1")
        await talk.peer.expect_nothing(2)
        await talk.peer.send("input_audio_buffer.cleared")
        await talk.created(await talk.peer.expect("response.create", response={"instructions": said("minute")}), "r2")
        await talk.text("r2", "This takes a minute.")
        await talk.peer.expect_nothing(4)


async def test_one_filler_for_calls_that_wait_together(autojump_clock, open_talk, as_function_call):
    """Both lines are due when the floor becomes free: one of them is said, and no other after it."""

    @tool(filler="One moment, please.", filler_after=0.1)
    async def slow() -> str:
        await trio.sleep(60)
        return "done"

    async with open_talk(tools=[slow]) as talk:
        await call(talk, *(as_function_call(f"call_{n}", "slow", "{}") for n in range(3)))
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(1)
        await talk.peer.send("input_audio_buffer.cleared")
        request = await talk.peer.expect("response.create", response={"instructions": said("One moment, please.")})
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "One moment, please.")
        await talk.peer.expect_nothing(10)


async def test_a_filler_in_the_queue_is_dropped_when_its_call_is_over(autojump_clock, open_talk, as_function_call):
    """It was asked for, the server refused it because it speaks itself, and meanwhile the call came to its end."""

    @tool(filler="One moment, please.", filler_after=1)
    async def slow() -> str:
        await trio.sleep(3)
        return "done"

    async with open_talk(tools=[slow]) as talk:
        await call(talk, as_function_call("call_1", "slow", "{}"))
        request = await talk.peer.expect("response.create", response={"instructions": said("One moment, please.")})
        await talk.created(None, "resp_2")  # by turn detection, a moment before
        code = "conversation_already_has_active_response"
        error = {"type": "invalid_request_error", "code": code, "message": "no", "event_id": request["event_id"]}
        await talk.peer.send("error", error=error)
        await output(talk, "call_1")
        await talk.text("resp_2", "Yes?")
        request = await talk.peer.expect("response.create")
        assert "instructions" not in request["response"]
        await talk.created(request, "resp_3")
        await talk.text("resp_3", "Done.")
        await talk.peer.expect_nothing(4)


async def test_progress_is_shown(autojump_clock, open_talk, as_function_call):
    """From an async tool and from one in a thread, in order; once the call is over nobody is told."""
    contexts = []

    @tool
    async def work(context: ToolContext) -> str:
        contexts.append(context)
        context.progress("half")
        await trio.sleep(1)
        context.progress("nearly")
        return "done"

    async with open_talk(tools=[work]) as talk:
        notices = talk.session.events(ToolStarted, ToolProgress, ToolFinished)
        await call(talk, as_function_call("call_1", "work", "{}"))
        await output(talk, "call_1")
        await talk.peer.expect("response.create")
        contexts[0].progress("too late")
        kinds = [getattr(notice, "text", type(notice).__name__) for notice in await take(notices)]

    assert kinds == ["ToolStarted", "half", "nearly", "ToolFinished"]
    assert contexts[0].session is talk.session
    assert (contexts[0].call_id, contexts[0].name) == ("call_1", "work")


async def test_progress_from_a_thread(open_talk, as_function_call):
    """Without await, and before the result."""

    @tool
    def work(context: ToolContext) -> str:
        for part in ("one", "two"):
            context.progress(part)
        return "done"

    async with open_talk(tools=[work]) as talk:
        notices = talk.session.events(ToolProgress, ToolFinished)
        await call(talk, as_function_call("call_1", "work", "{}"))
        await output(talk, "call_1")

        received = [await notices.receive() for _ in range(3)]

    assert [getattr(notice, "text", "over") for notice in received] == ["one", "two", "over"]


async def test_progress_is_said_when_the_floor_is_free_the_newest_only(autojump_clock, open_talk, as_function_call):
    @tool
    async def work(context: ToolContext) -> str:
        for part in range(4):
            context.progress(f"{part} of 4", speak=True)
            await trio.sleep(1)
        return "done"

    async with open_talk(tools=[work]) as talk:
        await call(talk, as_function_call("call_1", "work", "{}"))
        request = await talk.peer.expect("response.create", response={"instructions": said("0 of 4")})
        await talk.created(request, "resp_2")
        await trio.sleep(2.5)
        await talk.text("resp_2", "Nothing yet.")
        request = await talk.peer.expect("response.create", response={"instructions": said("2 of 4")})
        await talk.created(request, "resp_3")
        await output(talk, "call_1")  # while that is being said; the last progress was not, and never will be
        await talk.text("resp_3", "Half.")
        request = await talk.peer.expect("response.create")
        assert "instructions" not in request["response"]


async def test_progress_is_said_from_a_thread_too(open_talk, as_function_call):
    done = threading.Event()

    @tool
    def work(context: ToolContext) -> str:
        context.progress("halfway", speak=True)
        done.wait(5)
        return "done"

    async with open_talk(tools=[work]) as talk:
        await call(talk, as_function_call("call_1", "work", "{}"))
        request = await talk.peer.expect("response.create", response={"instructions": said("halfway")})
        done.set()
        await talk.created(request, "resp_2")
        await output(talk, "call_1")


@pytest.mark.parametrize("speaks", ["filler", "progress"])
async def test_nothing_is_said_over_what_is_still_to_be_heard(
    autojump_clock, open_voice, as_function_call, tone, speaks
):
    """The response is done long before its sound is: a line asked for then would be heard when the call is over."""

    @tool(filler="One moment." if speaks == "filler" else None, filler_after=1)
    async def work(context: ToolContext) -> str:
        if speaks == "progress":
            context.progress("halfway", speak=True)
        await trio.sleep(4)
        return "done"

    async with open_voice(tools=[work], drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
        await talk.peer.expect_nothing(2.9)
        await talk.peer.expect("response.create", within=0.5, response={"instructions": lambda words: words != ""})


async def test_raise_raises_timeouts_too(autojump_clock, as_function_call):
    """In a test of one's own a tool that hangs is to be seen."""

    @tool(timeout=1)
    async def slow() -> None:
        await trio.sleep_forever()

    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ToolTimeout, match="slow took longer than 1 s"):
            async with open_session(connect=peer.connect, url=peer.url, tools=[slow], tool_errors="raise"):
                await peer.send("response.created", response={"id": "r", "conversation_id": "c"})
                output = [as_function_call("call_1", "slow", "{}")]
                response = {"id": "r", "status": "completed", "conversation_id": "c", "output": output}
                await peer.send("response.done", response=response)
                await trio.sleep_forever()


@pytest.mark.slow
async def test_policies_over_a_real_socket():
    """A tool with a filler, a limit and a timeout, at the offline server."""

    @tool(timeout=0.2)
    async def get_weather(city: str, context: ToolContext) -> str:
        """Tell the weather in a city."""
        context.progress("looking out of the window")
        await trio.sleep_forever()
        return city

    async with (
        open_server() as server,
        open_session(url=server.url, tools=[get_weather]) as session,
    ):
        notices = session.events(ToolProgress, ToolFailed, ToolFinished)
        reply = await session.ask("What is the weather in Lima?")
        progress, failed, finished = [await notices.receive() for _ in range(3)]

    assert [call.name for call in reply.tool_calls] == ["get_weather"]
    assert progress.text == "looking out of the window"
    assert isinstance(failed.exception, ToolTimeout)
    assert spent(finished.output)
    assert reply.text
