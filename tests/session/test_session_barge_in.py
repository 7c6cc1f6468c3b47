"""Interrupting, on the wire: every way to do it, in every moment in which users do it.

Each test is told which way: the user speaks (turn detection), the program says so, or a key is pressed.
"""

import pytest
import trio

from realtime_trio import Interrupted

SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}
WAYS = ["speech_started", "interrupt", "press"]


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def open_turn(open_voice, way):
    """A session that can be interrupted this way."""

    def open_turn(**options):
        return open_voice(drain=False, turn_detection=None if way == "press" else "server_vad", **options)

    return open_turn


async def add_item(talk, response_id):
    """Announce an item of a response, so that the mirror knows it."""
    item = {"type": "message", "role": "assistant", "id": "item_a", "status": "in_progress", "content": []}
    await talk.peer.send("response.output_item.added", response_id=response_id, output_index=0, item=item)


async def interrupt(talk, way, *, cancels=()):
    """Do it, and check what the server is told at once: to cancel, unless it does so by itself."""
    match way:
        case "speech_started":
            await talk.peer.send(SPEECH_STARTED)
        case "interrupt":
            talk.session.interrupt()
        case _:
            talk.peer.ignored.add("input_audio_buffer.clear")  # see test_session_push_to_talk.py
            talk.session.press()
    if way != "speech_started":
        for response_id in cancels:
            await talk.peer.expect("response.cancel", response_id=response_id)


async def test_while_it_speaks(autojump_clock, open_turn, way, tone, played_ms):
    """The sound ends, and the server is told where."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await interrupt(talk, way, cancels=["resp_1"])
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a", content_index=0)
        await talk.peer.expect_nothing(4)
        assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)
        assert 900 < truncate["audio_end_ms"] < 1100


async def test_when_generation_is_over_and_forty_seconds_are_queued(autojump_clock, open_turn, way, tone, played_ms):
    """There is nothing to cancel, but to cut and to truncate."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(41_000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(1)
        await interrupt(talk, way)
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.peer.expect_nothing(45)
        assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)


async def test_before_the_first_sound(autojump_clock, open_turn, way, tone, played_ms):
    """What comes late is not played, and its item leaves the conversation."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await trio.sleep(0.2)
        await interrupt(talk, way, cancels=["resp_1"])
        await talk.audio("resp_1", tone(500))
        await talk.peer.expect("conversation.item.delete", item_id="item_a")
        await talk.audio_done("resp_1")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(3)
        assert played_ms(talk.device) == 0


async def test_before_it_is_created(autojump_clock, open_turn, way, tone, played_ms):
    """What was asked for and is not there yet is cancelled as soon as it has an id.

    The user who speaks first gets an answer to both; a program that said stop gets none.
    """
    async with open_turn() as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.send_text, "Hello?")
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await interrupt(talk, way)
        await talk.created(request, "resp_1")
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.audio("resp_1", tone(500))
        if way == "interrupt":
            await talk.peer.expect("conversation.item.delete", item_id="item_a")
        await talk.done("resp_1", status="cancelled")
        await trio.sleep(1)
        assert played_ms(talk.device) == 0


async def test_between_two_items(autojump_clock, open_turn, way, tone, played_ms):
    """The first was heard whole: nothing is said about it. The second was not heard: it goes."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(1000), "item_1")
        await talk.audio_done("resp_1", "item_1")
        await trio.sleep(1.5)
        await interrupt(talk, way, cancels=["resp_1"])
        await talk.audio("resp_1", tone(1000), "item_2")
        await talk.peer.expect("conversation.item.delete", item_id="item_2")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(3)
        assert played_ms(talk.device) == 1000


async def test_text_only(autojump_clock, open_turn, way, as_message):
    """Text is cancelled, and never truncated or deleted."""
    async with open_turn(modality="text") as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        await add_item(talk, "resp_1")
        await talk.peer.send(
            "response.output_text.delta",
            response_id="resp_1",
            item_id="item_a",
            output_index=0,
            content_index=0,
            delta="Well",
        )
        await trio.sleep(0.1)
        await interrupt(talk, way, cancels=["resp_1"])
        await talk.done("resp_1", as_message("item_a", "Well"), status="cancelled")
        await talk.peer.expect_nothing(3)
        response = await responses.receive()
        assert response.interrupted
        assert response.text == "Well"
        assert talk.session.conversation.get("item_a").generated_text == "Well"


async def test_twice_in_a_row(autojump_clock, open_turn, way, tone):
    """The second finds nothing to interrupt, and says nothing."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await interrupt(talk, way, cancels=["resp_1"])
        await interrupt(talk, way)
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(3)


async def test_two_responses_one_after_the_other(autojump_clock, open_turn, way, tone, played_ms):
    """Both are ended: the one that is heard, and the one that waits behind it."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000), "item_1")
        await talk.audio_done("resp_1", "item_1")
        await talk.done("resp_1")
        await talk.created(None, "resp_2")
        await talk.audio("resp_2", tone(3000), "item_2")
        await trio.sleep(1)
        await interrupt(talk, way, cancels=["resp_2"])
        await talk.peer.expect("conversation.item.delete", item_id="item_2")
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_1")
        await talk.peer.expect_nothing(5)
        assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)


async def test_with_a_tool_running(autojump_clock, open_turn, way, tone, as_function_call):
    """The tool goes on; its output is delivered, and spoken of when the user has finished."""

    async def slow() -> str:
        """Take a while."""
        await trio.sleep(2)
        return "done"

    async with open_turn(tools=[slow]) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1", as_function_call("call_1", "slow", "{}"))
        await trio.sleep(1)
        await interrupt(talk, way)
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        output = await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_1"})
        assert output["output"] == "done"
        if way == "interrupt":
            await talk.peer.expect("response.create")
            return
        await talk.peer.expect_nothing(2)  # the floor is the user's
        if way == "press":
            with trio.move_on_after(0.5):
                await talk.session.release()
            await talk.peer.expect("input_audio_buffer.commit")
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=3000, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        if way == "speech_started":
            await talk.created(None, "resp_2")  # turn detection's own answer takes the output into account
            await talk.done("resp_2")
            await talk.peer.expect_nothing(3)
        else:
            await talk.peer.expect("response.create")


async def test_stragglers_are_not_heard(autojump_clock, open_turn, way, tone, played_ms):
    """Deltas that were under way reach the mirror and the events, and not the speaker."""
    async with open_turn() as talk:
        await talk.created(None, "resp_1")
        await add_item(talk, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await interrupt(talk, way, cancels=["resp_1"])
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        for _ in range(5):
            await talk.audio("resp_1", tone(400, 3000))
        await talk.peer.send(
            "response.output_audio_transcript.delta",
            response_id="resp_1",
            item_id="item_a",
            output_index=0,
            content_index=0,
            delta="late words",
        )
        await trio.sleep(3)
        assert played_ms(talk.device) == pytest.approx(truncate["audio_end_ms"], abs=1)
        assert talk.session.conversation.get("item_a").generated_text == "late words"


async def test_a_late_done_does_not_end_the_next_response(autojump_clock, open_turn, way, tone, played_ms):
    """The cancelled response's `done` comes when a new one, which turn detection made, speaks already."""
    async with open_turn() as talk:
        interruptions = talk.session.events(Interrupted)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await interrupt(talk, way, cancels=["resp_1"])
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.created(None, "resp_2")
        await talk.audio("resp_2", tone(1000), "item_b")
        await talk.done("resp_1", status="cancelled")
        await talk.audio("resp_2", tone(1000), "item_b")
        await talk.audio_done("resp_2", "item_b")
        await talk.done("resp_2")
        await trio.sleep(4)
        assert played_ms(talk.device) == pytest.approx(truncate["audio_end_ms"] + 2000, abs=1)
        assert (await interruptions.receive()).interruption.response_ids == ("resp_1",)
        await talk.peer.expect_nothing(1)
