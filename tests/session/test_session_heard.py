"""Which words a session says were heard, and how long they took to come."""

import pytest
import trio

from realtime_trio import Interrupted, open_server, open_session
from realtime_trio.audio import ClockedDevice

SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}


async def test_a_barge_in_says_which_words_were_heard(autojump_clock, open_voice, tone):
    """The record and the mirror have the same words, and keep them when the server drops its transcript."""
    words = "One two three four five six seven eight nine ten eleven twelve."
    async with open_voice(drain=False) as talk:
        interruptions = talk.session.events(Interrupted)
        await talk.created(None, "resp_1")
        item = {"id": "item_a", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        await talk.peer.send("response.output_item.added", response_id="resp_1", output_index=0, item=item)
        await talk.peer.send("conversation.item.added", item=item, previous_item_id=None)
        for word in words.split(" "):
            await talk.peer.send(
                "response.output_audio_transcript.delta",
                response_id="resp_1",
                item_id="item_a",
                output_index=0,
                content_index=0,
                delta=f"{word} ",
            )
            await talk.audio("resp_1", tone(400))
        await talk.audio_done("resp_1")
        await talk.done("resp_1", {**item, "status": "completed"})
        await trio.sleep(2.5)
        await talk.peer.send(SPEECH_STARTED)
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.peer.send(
            "conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=truncate["audio_end_ms"]
        )
        record = (await interruptions.receive()).interruption
        await trio.sleep(0.1)
        mirrored = talk.session.conversation.get("item_a")

        assert record.heard_text == mirrored.heard_text
        assert words.startswith(record.heard_text)
        assert 5 <= len(record.heard_text.split()) <= 7
        assert record.generated_text == mirrored.generated_text == words + " "
        assert mirrored.heard_ms == record.cut_ms


@pytest.mark.parametrize("seconds", [1.0, 3.3, 7.0])
async def test_the_words_of_an_interruption_are_those_that_came_out(autojump_clock, seconds):
    """From the offline server's voice to the device: right to the word that was being said, and one beside it."""

    async def speak(request):
        yield "Toronto is cold today, with light rain and a gentle wind from the lake. "
        yield "You may want to take an umbrella, and perhaps a warm jacket for the evening."

    async with (
        open_server(listen=False, brain=speak) as server,
        open_session(connect=server.connect, audio=ClockedDevice(output_latency_ms=30), drain=False) as session,
    ):
        await session.send_text("Well?")
        await trio.sleep(seconds)
        record = await session.interrupt()
        (part,) = record.parts
        words = server.spoken_words(part.item_id)
        said = sum(following.start / 24 <= part.cut_ms for following in words[1:])

        assert 700 * seconds < part.cut_ms < 1000 * seconds + 20
        assert part.generated_text.startswith(part.heard_text)
        assert abs(len(part.heard_text.split()) - said) <= 2
        assert session.conversation.get(part.item_id).heard_text == part.heard_text
