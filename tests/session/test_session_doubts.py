"""interruption="confirm" at its edges: every `Paused` has its end, and what is known is the configuration in effect."""

import base64

import pytest
import trio

from realtime_trio import Interrupted, Paused, Resumed, events


async def start(talk, item_id="item_u", start_ms=0):
    await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=item_id)


async def stop(talk, end_ms, item_id="item_u"):
    await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=item_id)
    await talk.peer.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)


async def speak(talk, tone, ms=10_000):
    await talk.created(None, "resp_1")
    await talk.audio("resp_1", tone(ms))
    await talk.audio_done("resp_1")
    await talk.done("resp_1")
    await trio.sleep(1.01)


async def test_a_cleared_buffer_ends_the_pause_in_words_too(autojump_clock, open_voice, tone):
    async with open_voice(interruption="confirm", drain=False) as talk:
        notices = talk.session.events(Paused, Resumed, Interrupted)
        await speak(talk, tone)
        await start(talk)
        await talk.peer.send("input_audio_buffer.cleared")
        assert isinstance(await notices.receive(), Paused)
        assert await notices.receive() == Resumed("item_u")


async def test_real_before_there_was_a_sound(autojump_clock, open_voice):
    """Paused for a response that was asked for: it is cancelled when it is created, and owed again."""
    async with open_voice(interruption="confirm", drain=False) as talk, trio.open_nursery() as nursery:
        notices = talk.session.events(Paused, Resumed, Interrupted)
        nursery.start_soon(talk.session.send_text, "Hello?")
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await start(talk)
        assert isinstance(await notices.receive(), Paused)
        notice = await notices.receive()
        assert isinstance(notice, Interrupted)
        assert notice.interruption.response_ids == ()
        await talk.created(request, "resp_1")
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(1)
        await stop(talk, 3000)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")
        await talk.peer.expect_nothing(3)


async def test_a_noisy_room_without_echo_control(autojump_clock, open_voice, tone):
    """A headset in a noisy place: the noise that is always there is no voice."""
    async with open_voice(interruption="confirm", echo="off", drain=False) as talk:
        notices = talk.session.events(Interrupted, Resumed)
        talk.device.speak(base64.b64decode(tone(30_000, 500)))  # -36 dBFS
        await trio.sleep(10)
        await speak(talk, tone)
        await start(talk, start_ms=11_000)
        await trio.sleep(0.6)
        await stop(talk, 11_000 + 300 + 100 + 500)
        assert isinstance(await notices.receive(), Resumed)


async def test_a_partial_update_changes_nothing_that_it_does_not_name(autojump_clock, open_voice, tone):
    async with open_voice(interruption="confirm", transcription="whisper-1", drain=False) as talk:
        notices = talk.session.events(Paused)
        await talk.peer.send("session.updated", session={"type": "realtime", "instructions": "Be brief."})
        await speak(talk, tone)
        await start(talk)
        assert await notices.receive() == Paused("item_u", "words")


async def test_semantic_turn_detection_waits_for_seconds(autojump_clock, open_voice, tone):
    """Nothing was heard for long here, so the silence that it waits in makes no speech of a noise."""
    detection = events.SemanticVad(eagerness="low")
    async with open_voice(
        interruption="confirm", turn_detection=detection, transcription="whisper-1", drain=False
    ) as talk:
        notices = talk.session.events(Paused, Resumed, Interrupted)
        await speak(talk, tone, 20_000)
        await start(talk)
        assert isinstance(await notices.receive(), Paused)
        await trio.sleep(6)
        await stop(talk, 300 + 250 + 6000)
        await talk.peer.send(
            "conversation.item.input_audio_transcription.completed",
            item_id="item_u",
            content_index=0,
            transcript="uh-huh",
            usage={"type": "duration", "seconds": 1},
        )
        assert await notices.receive() == Resumed("item_u")


@pytest.mark.parametrize("policy", ["confirm", "never"])
async def test_the_idle_timeout_is_answered(autojump_clock, open_voice, policy):
    """Nobody spoke, and the answer to that is asked for here too."""
    detection = events.ServerVad(idle_timeout_ms=5000)
    async with open_voice(interruption=policy, turn_detection=detection, drain=False) as talk:
        await talk.peer.send(
            "input_audio_buffer.timeout_triggered", audio_start_ms=0, audio_end_ms=5000, item_id="item_u"
        )
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")
        await talk.peer.expect_nothing(3)


async def test_dropped_audio_does_not_shift_the_input(autojump_clock, open_voice):
    """The server counts what it got: after seconds were dropped, its last millisecond is still the present."""
    async with open_voice(drain=False) as talk:
        responses = talk.session.responses()
        await trio.sleep(1)
        talk.peer.stall()
        await trio.sleep(4)
        talk.peer.resume()
        await trio.sleep(3)
        appends = [event for event in talk.peer.received if event["type"] == "input_audio_buffer.append"]
        got_ms = sum(len(base64.b64decode(event["audio"])) for event in appends) // 48
        assert talk.session.statistics().input.dropped_ms > 1000
        ended_at = trio.current_time() - 0.5
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=got_ms, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_1")
        assert (await responses.receive()).speech_ended_at == pytest.approx(ended_at, abs=0.05)


async def test_a_cancelled_append_is_not_counted(autojump_clock, open_talk):
    """A piece that was never sent shifts nothing."""
    async with open_talk(drain=False) as talk:
        responses = talk.session.responses()
        with trio.CancelScope() as scope:
            scope.cancel()
            await talk.session.append_audio(bytes(48_000))
        await talk.peer.expect_nothing(0.5)
        talk.peer.ignored.add("input_audio_buffer.append")
        appended_at = trio.current_time()
        await talk.session.append_audio(bytes(48_000))
        await trio.sleep(1)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=1000, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_1")
        assert (await responses.receive()).speech_ended_at == pytest.approx(appended_at + 0.5)


async def test_of_two_doubts_a_real_one_ends_the_other(autojump_clock, open_voice, tone, played_ms):
    """Nothing is being said any more: the second sound is a turn, and the answer is not held back for it."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        await speak(talk, tone)
        await start(talk, "item_1")
        await start(talk, "item_2", 500)
        await trio.sleep(0.5)
        await stop(talk, 300 + 1000 + 500, "item_1")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        before = played_ms(talk.device)
        assert not talk.session.sound().paused
        await stop(talk, 500 + 300 + 200 + 500, "item_2")  # short: alone it would be a noise
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.audio("resp_2", tone(500), "item_b")
        await talk.audio_done("resp_2", "item_b")
        await talk.done("resp_2")
        await trio.sleep(2)
        assert played_ms(talk.device) == pytest.approx(before + 500)
