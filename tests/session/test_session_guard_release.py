"""How what a guard lets pass is handed on: when, in which pieces, and what is known to be heard of it."""

import pytest
import trio


class Guard:
    """Lets everything pass, at its own pace; notes what it was asked."""

    def __init__(self, delay=0.0):
        self.asked = []
        self.delay = delay

    async def __call__(self, text):
        self.asked.append(text)
        await trio.sleep(self.delay)


def place(item_id="item_a"):
    return {"response_id": "resp_1", "item_id": item_id, "output_index": 0, "content_index": 0}


async def say(talk, words, item_id="item_a"):
    await talk.peer.send("response.output_audio_transcript.delta", **place(item_id), delta=words)


async def said(talk, words, item_id="item_a"):
    await talk.peer.send("response.output_audio_transcript.done", **place(item_id), transcript=words)


async def begin(talk, request=None):
    """Have a response created; give it."""
    responses = talk.session.responses()
    await talk.created(request, "resp_1")
    return await responses.receive()


async def test_the_latency_is_that_of_the_first_sound_that_passed(autojump_clock, open_voice, tone):
    """What comes behind it passes later, and is no part of the wait."""
    async with open_voice(guard=Guard(delay=0.4)) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.ask, "Well?")
        await talk.acknowledge()
        response = await begin(talk, await talk.peer.expect("response.create"))
        await talk.audio("resp_1", tone(500))
        await said(talk, "Well, here we are. ")
        await trio.sleep(0.41)
        for _ in range(5):
            await talk.audio("resp_1", tone(100))
            await trio.sleep(0.01)
        await trio.sleep(1)
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await response.heard()

    assert response.latency.guard_ms == pytest.approx(400, abs=5)
    assert response.latency.buffer_ms >= 30


async def test_a_part_is_not_begun_for_a_syllable(autojump_clock, open_talk, tone):
    """It would stop right behind it: what passed is held until it is worth beginning."""
    async with open_talk(guard=Guard(), modality="audio") as talk:
        response = await begin(talk)
        await talk.audio("resp_1", tone(3000))
        await say(talk, "Hello ")
        await trio.sleep(1)

        assert "".join(response.transcript_deltas.entries) == "Hello "
        assert response.audio_chunks.entries == ()

        await say(talk, "to everybody ")
        await trio.sleep(1)

        assert len(b"".join(response.audio_chunks.entries)) >= 200 * 48
        await said(talk, "Hello to everybody ")
        await talk.done("resp_1")


async def test_sound_is_cut_between_samples(autojump_clock, open_talk, tone):
    """Wherever the words that passed end: half a sample makes noise of all that follows."""
    async with open_talk(guard=Guard(), modality="audio", guard_lead_ms=200.02) as talk:
        response = await begin(talk)
        await talk.audio("resp_1", tone(3000))
        await say(talk, "Ten letters ")
        await trio.sleep(1)
        (chunk,) = response.audio_chunks.entries

        assert len(chunk) == 22150  # (10.5 * 63 - 200.02) * 48 is 22151.04
        await said(talk, "Ten letters ")
        await talk.done("resp_1")


async def test_the_next_part_is_let_go_by_the_pace_of_the_last(autojump_clock, open_talk, tone):
    """A slow speaker's words reach farther into the sound."""
    async with open_talk(guard=Guard(), modality="audio") as talk:
        response = await begin(talk)
        words = "Ten letters then ten letters "
        await say(talk, words)
        await talk.audio("resp_1", tone(2650))  # 24 letters and 5 gaps of half a letter, 100 ms each
        await said(talk, words)
        await trio.sleep(1)
        first = b"".join(response.audio_chunks.entries)
        assert len(first) == 2650 * 48

        await say(talk, "Ten letters ", "item_b")
        await talk.audio("resp_1", tone(3000), "item_b")
        await trio.sleep(1)
        second = len(b"".join(response.audio_chunks.entries)) - len(first)

        assert second / 48 == pytest.approx(10.5 * 100 - 200, abs=1)
        await said(talk, "Ten letters ", "item_b")
        await talk.done("resp_1")


async def test_a_part_that_begins_behind_the_end_is_judged_to_its_last_word(autojump_clock, open_talk):
    """No more words of it can come, so nobody waits for the end of the word."""
    guard = Guard(delay=1)
    async with open_talk(guard=guard) as talk:
        response = await begin(talk)
        await talk.peer.send("response.output_text.delta", **place(), delta="All is well. ")
        await talk.done("resp_1")
        await trio.sleep(0.5)
        await talk.peer.send("response.output_text.delta", **place("item_b"), delta="And lat")
        await trio.sleep(5)

        assert [(one.text, one.complete) for one in guard.asked][1:] == [("And lat", True)]
        assert response.text == "All is well. And lat"
        assert response.is_heard


@pytest.mark.parametrize("kind", ["text", "sound"])
async def test_what_was_delivered_and_then_cut_is_not_asked_for_again(autojump_clock, open_talk, tone, kind):
    """Where nothing is played, what the program was given counts as heard."""
    async with open_talk(guard=Guard(), modality="audio" if kind == "sound" else "text") as talk:
        replies = []
        async with trio.open_nursery() as nursery:

            async def ask():
                replies.append(await talk.session.ask("Well?"))

            nursery.start_soon(ask)
            await talk.acknowledge()
            response = await begin(talk, await talk.peer.expect("response.create"))
            if kind == "text":
                await talk.peer.send("response.output_text.delta", **place(), delta="All is well. And ")
            else:
                await talk.audio("resp_1", tone(500))
                await talk.peer.send("response.content_part.done", **place(), part={"type": "audio"})
            await trio.sleep(1)
            assert response.text == "All is well. And " or len(b"".join(response.audio_chunks.entries)) == 500 * 48
            await talk.done("resp_1", status="cancelled")
            await talk.peer.expect_nothing(5)

    assert [one.status for one in replies] == ["cancelled"]
