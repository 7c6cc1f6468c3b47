"""What an interruption does to tool calls: every policy, every source of an interruption, in every state of a call."""

import pytest
import trio

from realtime_trio import ToolCancelled, ToolDetached, ToolFinished, ToolStarted, open_server, open_session, tool

OUTPUT = "function_call_output"

# (the way, the session's interruption policy, the reason that is told; None where it is no interruption)
WAYS = [
    ("speech", "immediate", "speech_started"),
    ("speech", "confirm", "speech_started"),  # nothing is being said, so nothing is doubted
    ("speech", "never", None),
    ("interrupt", "immediate", "requested"),
    ("interrupt", "never", "requested"),
    ("press", "immediate", "pressed"),
    ("press", "never", "pressed"),
]


async def call(talk, *calls, response_id="resp_1"):
    await talk.created(None, response_id)
    await talk.done(response_id, *calls)


async def interrupt(talk, way):
    match way:
        case "speech":
            await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
            await trio.sleep(0.01)
        case "interrupt":
            talk.session.interrupt()
        case "press":
            talk.session.press()
            await talk.session.release()  # a tap


async def give_floor_back(talk, way):
    if way == "speech":
        await talk.peer.send("input_audio_buffer.cleared")
    await trio.sleep(0.01)


@pytest.fixture
def open_tools(open_voice):
    def open_tools(way, interruption, tools, **options):
        detection = None if way == "press" else "server_vad"
        return open_voice(drain=False, turn_detection=detection, interruption=interruption, tools=tools, **options)

    return open_tools


def held(subscription):
    """The notices that came so far."""
    return list(subscription._held)


def make_tools(**policy):
    ran = []

    @tool(**policy)
    async def work(seconds: float = 2.0) -> str:
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            ran.append("cancelled")
            raise
        ran.append("finished")
        return f"worked {seconds}"

    return work, ran


def is_silent(talk):
    talk.peer.ignored |= {"input_audio_buffer.clear", "response.cancel"}


@pytest.mark.parametrize("source", WAYS)
@pytest.mark.parametrize("on_interrupt", ["finish", "cancel", "detach"])
async def test_while_it_runs(autojump_clock, open_tools, as_function_call, source, on_interrupt):
    way, interruption, reason = source
    work, ran = make_tools(on_interrupt=on_interrupt)
    async with open_tools(way, interruption, [work]) as talk:
        is_silent(talk)
        notices = talk.session.events(ToolCancelled, ToolDetached)
        await call(talk, as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        await interrupt(talk, way)
        told = held(notices)
        if reason is None or on_interrupt == "finish":
            assert told == []
            item = await talk.acknowledge(item={"type": OUTPUT, "output": "worked 2.0"})
            await give_floor_back(talk, way)
            await talk.peer.expect("response.create")
            assert ran == ["finished"]
        elif on_interrupt == "cancel":
            assert told == [ToolCancelled("call_1", "work", reason)]
            item = await talk.acknowledge(item={"type": OUTPUT, "output": lambda words: "work was cancelled" in words})
            assert ("The user interrupted" in item["output"]) == (way != "interrupt")
            await give_floor_back(talk, way)
            await talk.peer.expect_nothing(4)  # no reply is owed for it
            assert ran == ["cancelled"]
        else:
            assert told == [ToolDetached("call_1", "work")]
            await talk.acknowledge(item={"type": OUTPUT, "output": lambda words: "goes on in the background" in words})
            await give_floor_back(talk, way)
            item = await talk.acknowledge(item={"type": "message", "role": "system"})
            words = item["content"][0]["text"]
            assert "work" in words
            assert "call_1" in words
            assert "worked 2.0" in words
            await talk.peer.expect("response.create")
            assert ran == ["finished"]


@pytest.mark.parametrize("waits", ["for its turn", "for approval"])
@pytest.mark.parametrize("on_interrupt", ["finish", "cancel", "detach"])
async def test_while_it_waits(autojump_clock, open_tools, as_function_call, on_interrupt, waits):
    """A call that did not begin yet obeys as well."""
    work, _ = make_tools(on_interrupt=on_interrupt, concurrency=1, approve=waits == "for approval")
    async with open_tools("interrupt", "immediate", [work]) as talk:
        started = talk.session.events(ToolStarted)
        calls = [as_function_call("call_1", "work", '{"seconds": 1}')]
        if waits == "for its turn":
            blocker = as_function_call("call_0", "work", '{"seconds": 3}')
            calls = [blocker, *calls]
        await call(talk, *calls)
        await trio.sleep(0.5)
        talk.session.interrupt()
        await trio.sleep(0.1)
        if waits == "for approval":
            assert talk.session.approve("call_1") == (on_interrupt != "cancel")
        outputs = {}
        for _ in calls:
            item = await talk.acknowledge(item={"type": OUTPUT})
            outputs[item["call_id"]] = item["output"]
        words = outputs["call_1"]
        if on_interrupt == "finish":
            assert words == "worked 1.0"
        elif on_interrupt == "cancel":
            assert "cancelled" in words
        else:
            assert "background" in words
            for number in range(len(calls)):
                item = await talk.acknowledge(item={"role": "system"})
                if number + 1 < len(calls):
                    await talk.created(await talk.peer.expect("response.create"), "resp_2")
                    await talk.done("resp_2")
            assert "worked 1.0" in item["content"][0]["text"]
        if on_interrupt != "cancel":
            await talk.peer.expect("response.create")
        await talk.peer.expect_nothing(4)
        ran_at_all = "call_1" in [notice.call_id for notice in held(started)]

    assert ran_at_all == (on_interrupt != "cancel")


@pytest.mark.parametrize("on_interrupt", ["cancel", "detach"])
async def test_one_reply_for_what_is_left_of_a_batch(autojump_clock, open_tools, as_function_call, on_interrupt):
    """A call that goes on to its end owes the batch its reply; the interrupted ones do not."""
    work, _ = make_tools(on_interrupt=on_interrupt)

    @tool
    async def steady() -> str:
        await trio.sleep(3)
        return "steady"

    async with open_tools("interrupt", "immediate", [work, steady]) as talk:
        calls = [
            as_function_call("call_1", "work", '{"seconds": 60}'),
            as_function_call("call_2", "steady", "{}"),
            as_function_call("call_3", "work", '{"seconds": 60}'),
        ]
        await call(talk, *calls)
        await trio.sleep(1)
        talk.session.interrupt()
        assert {(await talk.acknowledge())["call_id"] for _ in range(2)} == {"call_1", "call_3"}
        await talk.peer.expect_nothing(1.9)
        await talk.acknowledge(item={"call_id": "call_2", "output": "steady"})
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_2")
        await talk.done("resp_2")
        await talk.peer.expect_nothing(4)


async def test_an_interruption_between_a_call_and_the_end_of_its_response(
    autojump_clock, open_tools, as_function_call, tone
):
    """The call was complete, so it is answered; its tool is one that an interruption cancels, so it never begins."""
    work, ran = make_tools(on_interrupt="cancel")
    async with open_tools("speech", "immediate", [work]) as talk:
        notices = talk.session.events(ToolCancelled, ToolStarted)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await interrupt(talk, "speech")
        await talk.peer.expect("conversation.item.truncate")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"), status="cancelled")
        await talk.acknowledge(item={"type": OUTPUT, "output": lambda words: "cancelled" in words})
        await talk.peer.expect_nothing(3)
        assert held(notices) == [ToolCancelled("call_1", "work", "speech_started")]

    assert ran == []


@pytest.mark.parametrize("meant", [True, False])
async def test_doubtful_speech_over_an_answer(autojump_clock, open_tools, as_function_call, tone, meant):
    """Under "confirm" tools are interrupted by what is taken for speech in the end, and not by a noise."""
    work, ran = make_tools(on_interrupt="cancel")
    async with open_tools("speech", "confirm", [work]) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(10_000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", '{"seconds": 6}'))
        await trio.sleep(1)
        await interrupt(talk, "speech")
        await trio.sleep(0.2)
        assert talk.session.statistics().tools.open == 1
        if meant:
            await talk.peer.expect("conversation.item.truncate", within=3)
            await talk.acknowledge(item={"type": OUTPUT, "output": lambda words: "cancelled" in words})
        else:
            stopped = {"audio_end_ms": 300 + 100 + 500, "item_id": "item_u"}
            await talk.peer.send("input_audio_buffer.speech_stopped", **stopped)
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            item = {"type": "message", "role": "user", "id": "item_u", "content": []}
            await talk.peer.send("conversation.item.added", item=item, previous_item_id=None)
            await talk.peer.expect("conversation.item.delete", item_id="item_u")
            await talk.peer.expect("conversation.item.create", within=6, item={"output": "worked 6.0"})

    assert ran == (["cancelled"] if meant else ["finished"])


async def test_a_program_that_interrupts_with_words_interrupts_tools(autojump_clock, open_tools, as_function_call):
    """What the user types counts as what they say."""
    work, _ = make_tools(on_interrupt="cancel")
    async with open_tools("interrupt", "immediate", [work]) as talk, trio.open_nursery() as nursery:
        await call(talk, as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        nursery.start_soon(lambda: talk.session.send_text("Never mind.", when="interrupt"))
        kinds = {(await talk.acknowledge())["type"] for _ in range(2)}
        await talk.peer.expect("response.create")

    assert kinds == {OUTPUT, "message"}


async def test_an_ask_whose_calls_were_interrupted_returns(autojump_clock, open_tools, as_function_call):
    """Nothing is owed to it any more; what the model was told is in it."""
    work, _ = make_tools(on_interrupt="cancel")
    replies = []
    async with open_tools("interrupt", "immediate", [work]) as talk, trio.open_nursery() as nursery:
        finished = talk.session.events(ToolFinished)

        async def ask():
            replies.append(await talk.session.ask("Work!"))

        nursery.start_soon(ask)
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        talk.session.interrupt()
        await talk.acknowledge()
        await finished.receive()

    (reply,) = replies
    assert "cancelled" in reply.tool_calls[0].output
    assert [response.id for response in reply.responses] == ["resp_1"]


async def test_tools_of_a_loop_of_turns(autojump_clock, open_tools, as_function_call):
    """An interruption is over when it is over: the next calls are not touched by it."""
    work, ran = make_tools(on_interrupt="cancel")
    async with open_tools("interrupt", "immediate", [work]) as talk:
        talk.session.interrupt()
        await call(talk, as_function_call("call_1", "work", "{}"))
        await talk.acknowledge(item={"output": "worked 2.0"})
        await talk.peer.expect("response.create")

    assert ran == ["finished"]


async def test_speech_is_none_for_the_tools_of_a_protected_answer(autojump_clock, open_tools, as_function_call):
    """What `interruption="never"` protects is the whole answer, with the calls on the way to it."""
    work, ran = make_tools(on_interrupt="cancel")
    async with open_tools("speech", "immediate", [work]) as talk, trio.open_nursery() as nursery:
        talk.peer.ignored.add("session.update")
        nursery.start_soon(lambda: talk.session.ask("Work!", interruption="never", modality="text"))
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        await interrupt(talk, "speech")
        await talk.acknowledge(item={"type": OUTPUT, "output": "worked 2.0"})
        await give_floor_back(talk, "speech")
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Done.")

    assert ran == ["finished"]


@pytest.mark.slow
@pytest.mark.parametrize("on_interrupt", ["cancel", "detach"])
async def test_over_a_real_socket(on_interrupt):
    """The offline server takes what a session says of an interrupted call."""

    @tool(on_interrupt=on_interrupt)
    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        await trio.sleep(0.5)
        return f"sunny in {city}"

    async def interrupt_it(session, started):
        await started.receive()
        session.interrupt()

    async with (
        open_server() as server,
        open_session(url=server.url, tools=[get_weather]) as session,
        trio.open_nursery() as nursery,
    ):
        finished = session.events(ToolFinished)
        nursery.start_soon(interrupt_it, session, session.events(ToolStarted))
        with trio.fail_after(20):
            reply = await session.ask("What is the weather in Lima?")
            told = (await finished.receive()).output
            again = await session.ask("Hello!")

    (output,) = [one.output for one in reply.tool_calls]
    assert output == told if on_interrupt == "cancel" else told == "sunny in Lima"
    assert ("cancelled" in output) == (on_interrupt == "cancel")
    assert again.text


async def test_who_waits_for_a_cancelled_tool_is_told_that_it_was(autojump_clock, open_voice, as_function_call):
    """Nothing was answered: `ask` does not call that completed."""
    work, _ = make_tools(on_interrupt="cancel")
    async with open_voice(drain=False, tools=[work]) as talk, trio.open_nursery() as nursery:
        replies = []

        async def ask():
            replies.append(await talk.session.ask("Well?"))

        nursery.start_soon(ask)
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
        await trio.sleep(1)
        talk.session.interrupt()
        await talk.acknowledge(item={"type": OUTPUT})
        await talk.peer.expect_nothing(4)

    assert replies[0].status == "cancelled"
    assert [one.name for one in replies[0].tool_calls] == ["work"]
