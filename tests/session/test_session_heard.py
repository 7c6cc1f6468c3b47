"""Which words a session says were heard, and how long they took to come."""

import trio

from realtime_trio import Interrupted

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
