"""interruption="confirm" and "never": what the server is told, what is heard, and who asks for the answers."""

import base64
import logging

import pytest
import trio

from realtime_trio import events
from realtime_trio.session import Interrupted, Paused, Resumed


async def start(talk, item_id="item_u", start_ms=0):
    await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=item_id)


async def stop(talk, end_ms, item_id="item_u"):
    """The end of speech, and the item that it becomes. `end_ms` is as the server says it, silence included."""
    await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=item_id)
    await talk.peer.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
    item = {"type": "message", "role": "user", "id": item_id, "status": "completed", "content": []}
    for kind in ("added", "done"):
        await talk.peer.send(f"conversation.item.{kind}", item=item, previous_item_id=None)


async def transcribe(talk, words, item_id="item_u"):
    await talk.peer.send(
        "conversation.item.input_audio_transcription.completed",
        item_id=item_id,
        content_index=0,
        transcript=words,
        usage={"type": "duration", "seconds": 1},
    )


async def hear(talk, piece, item_id="item_u"):
    """A piece of a transcript."""
    await talk.peer.send(
        "conversation.item.input_audio_transcription.delta", item_id=item_id, content_index=0, delta=piece
    )


async def fail_to_transcribe(talk, item_id="item_u"):
    await talk.peer.send(
        "conversation.item.input_audio_transcription.failed",
        item_id=item_id,
        content_index=0,
        error={"type": "transcription_error", "code": "audio_unintelligible", "message": "nothing was understood"},
    )


async def speak(talk, tone, ms=3000):
    """The assistant speaks for so long, and has begun a second ago."""
    await talk.created(None, "resp_1")
    await talk.audio("resp_1", tone(ms))
    await talk.audio_done("resp_1")
    await talk.done("resp_1")
    await trio.sleep(1.01)


@pytest.fixture(params=["confirm", "never"])
def policy(request):
    return request.param


async def test_the_server_is_told_neither_to_interrupt_nor_to_answer(autojump_clock, open_voice, policy):
    """Before the session begins, and in every update of the turn detection."""
    async with open_voice(interruption=policy, drain=False) as talk:
        (opening,) = [event for event in talk.peer.received if event["type"] == "session.update"]
        assert opening["session"]["audio"]["input"]["turn_detection"] == {
            "type": "server_vad",
            "create_response": False,
            "interrupt_response": False,
        }
        detection = talk.session.config.audio.input.turn_detection
        assert detection.create_response is False
        await talk.session.update(turn_detection=events.SemanticVad(eagerness="high", create_response=True))
        assert talk.peer.received[-1]["session"]["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "high",
            "create_response": False,
            "interrupt_response": False,
        }
        await talk.session.update(instructions="Be brief.")
        assert "audio" not in talk.peer.received[-1]["session"]


async def test_a_turn_in_silence_is_answered(autojump_clock, open_voice, policy):
    """The reply that the server does not make by itself is asked for when the turn is over."""
    async with open_voice(interruption=policy, drain=False) as talk:
        await start(talk)
        await talk.peer.expect_nothing(1)
        await stop(talk, 900)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")
        await talk.peer.expect_nothing(3)


async def test_never_answers_when_it_has_finished(autojump_clock, open_voice, tone, played_ms):
    """What was being said is heard whole; what the user said is kept, and answered after it."""
    async with open_voice(interruption="never", drain=False) as talk:
        await speak(talk, tone)
        await start(talk)
        await stop(talk, 2000)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.audio("resp_2", tone(1000, 3000), "item_b")
        await talk.audio_done("resp_2", "item_b")
        await talk.done("resp_2")
        await trio.sleep(5)
        await talk.peer.expect_nothing(1)
        assert played_ms(talk.device) == 4000
        samples = [sample for sample in memoryview(bytes(talk.device.played)).cast("h") if sample]
        assert samples == sorted(samples)  # one after the other


async def test_never_is_still_interrupted_by_the_program(autojump_clock, open_voice, tone):
    async with open_voice(interruption="never", drain=False) as talk:
        await speak(talk, tone)
        talk.session.interrupt()
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")


async def test_a_noise_pauses_and_goes_on_from_the_same_sample(autojump_clock, open_voice, tone, caplog):
    """Nothing of the answer is lost, its item stays whole; the noise's item goes; nobody answers it."""
    with caplog.at_level(logging.WARNING, "realtime_trio.session"):
        async with open_voice(interruption="confirm", drain=False) as talk:
            notices = talk.session.events(Paused, Resumed, Interrupted)
            await talk.created(None, "resp_1")
            # every sample tells its place
            ramp = b"".join((1 + n % 32000).to_bytes(2, "little") for n in range(24 * 1300))
            await talk.audio("resp_1", base64.b64encode(ramp).decode())
            await talk.audio_done("resp_1")
            await talk.done("resp_1")
            await trio.sleep(0.51)
            await start(talk, start_ms=200)
            await trio.sleep(0.1)
            silent_from = len(talk.device.played)
            assert talk.session.sound().paused
            await trio.sleep(0.4)
            assert not any(talk.device.played[silent_from:])
            await stop(talk, 200 + 300 + 200 + 500)
            await talk.peer.expect("conversation.item.delete", item_id="item_u")
            await trio.sleep(3)
            await talk.peer.expect_nothing(1)

            assert await notices.receive() == Paused("item_u", "duration")
            assert await notices.receive() == Resumed("item_u")
            assert not talk.session.sound().paused
            played = [sample for sample in memoryview(bytes(talk.device.played)).cast("h") if sample]
            wanted = memoryview(ramp).cast("h").tolist()
            assert len(played) == pytest.approx(len(wanted), abs=2)  # the fade ends in zeros
            assert played[: 24 * 470] == wanted[: 24 * 470]
            assert played[-24 * 700 :] == wanted[-24 * 700 :]
    assert "transcription" in caplog.text  # it says that it can only go by duration


async def test_long_speech_is_real(autojump_clock, open_voice, tone, played_ms):
    """Judged by its length, when it is over."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        await speak(talk, tone, 10_000)
        await start(talk)
        await trio.sleep(0.6)
        await stop(talk, 300 + 401 + 500)
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")
        await talk.peer.expect_nothing(3)


async def test_speech_that_does_not_end_is_real_in_time(autojump_clock, open_voice, tone):
    """It interrupts while the user still speaks; a response that is being generated is cancelled."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(10_000))
        await trio.sleep(1.01)
        began = trio.current_time()
        await start(talk)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        assert trio.current_time() - began == pytest.approx(0.9, abs=0.03)  # 400 ms and the silence it could end in
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(2)  # the floor is still the user's
        await stop(talk, 5000)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")


async def test_a_loud_microphone_decides_earlier(autojump_clock, open_voice, tone):
    """What is heard here for over 400 ms needs no word of the server."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        await speak(talk, tone, 10_000)
        talk.device.speak(base64.b64decode(tone(3000, 8000)))
        began = trio.current_time()
        await start(talk)
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        assert trio.current_time() - began == pytest.approx(0.44, abs=0.05)


@pytest.mark.parametrize(("words", "is_real"), [("Uh-huh.", False), ("Stop!", True), ("", False)])
async def test_a_short_word_is_judged_by_its_transcript(autojump_clock, open_voice, tone, words, is_real):
    async with open_voice(interruption="confirm", transcription="gpt-4o-mini-transcribe", drain=False) as talk:
        notices = talk.session.events(Paused, Resumed)
        await speak(talk, tone, 10_000)
        await start(talk)
        await stop(talk, 300 + 250 + 500)
        await talk.peer.expect_nothing(0.5)
        await transcribe(talk, words)
        assert await notices.receive() == Paused("item_u", "words")
        if is_real:
            await talk.peer.expect("conversation.item.truncate", item_id="item_a")
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.done("resp_2")
        else:
            await talk.peer.expect("conversation.item.delete", item_id="item_u")
            assert await notices.receive() == Resumed("item_u")
        await talk.peer.expect_nothing(3)


async def test_a_word_is_judged_as_soon_as_it_is_made_out(autojump_clock, open_voice, tone):
    """Not when the whole transcript is there: a piece of it is enough."""
    async with open_voice(interruption="confirm", transcription="whisper-1", drain=False) as talk:
        await speak(talk, tone, 10_000)
        await start(talk)
        await stop(talk, 300 + 250 + 500)
        for piece in ("oh ", "sto"):  # a backchannel, and what may still become one
            await hear(talk, piece)
            await talk.peer.expect_nothing(0.3)
        await hear(talk, "p it")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a", within=0.1)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")


@pytest.mark.parametrize("when", ["before the end", "after the end"])
async def test_a_transcript_that_fails_is_not_waited_for(autojump_clock, open_voice, tone, when):
    """It then goes by duration: what was short is a noise, at once instead of 1.5 s later."""
    async with open_voice(interruption="confirm", transcription="whisper-1", drain=False) as talk:
        await speak(talk, tone, 10_000)
        await start(talk)
        if when == "before the end":
            await fail_to_transcribe(talk)
            await stop(talk, 300 + 250 + 500)
        else:
            await stop(talk, 300 + 250 + 500)
            await talk.peer.expect_nothing(0.5)
            await fail_to_transcribe(talk)
        await talk.peer.expect("conversation.item.delete", item_id="item_u", within=0.1)
        assert not talk.session.sound().paused
        await talk.peer.expect_nothing(3)


@pytest.mark.parametrize("how", ["from the beginning", "by an update"])
@pytest.mark.parametrize("spoken_ms", [350, 450])
async def test_duration_is_reckoned_without_the_silence_and_padding_that_are_configured(
    autojump_clock, open_voice, tone, how, spoken_ms
):
    """Whatever turn detection was told to wait for, and to put before the beginning."""
    own = events.ServerVad(silence_duration_ms=800, prefix_padding_ms=100)
    detection = own if how == "from the beginning" else "server_vad"
    async with open_voice(interruption="confirm", turn_detection=detection, drain=False) as talk:
        if how == "by an update":
            talk.peer.answer_updates()
            await talk.session.update(turn_detection=own)
        await speak(talk, tone, 10_000)
        await start(talk, start_ms=1000)
        await trio.sleep(0.5)
        await stop(talk, 1000 + 100 + spoken_ms + 800)
        if spoken_ms > 400:
            await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        else:
            await talk.peer.expect("conversation.item.delete", item_id="item_u")


async def test_no_padding_is_no_padding(autojump_clock, open_voice, tone):
    """Zero is a setting like any other."""
    detection = events.ServerVad(prefix_padding_ms=0)
    async with open_voice(interruption="confirm", turn_detection=detection, drain=False) as talk:
        await speak(talk, tone, 10_000)
        await start(talk, start_ms=1000)
        await trio.sleep(0.5)
        await stop(talk, 1000 + 450 + 500)
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")


async def test_speech_that_does_not_end_is_given_the_silence_that_is_configured(autojump_clock, open_voice, tone):
    """Before that it may be over already."""
    detection = events.ServerVad(silence_duration_ms=1200)
    async with open_voice(interruption="confirm", turn_detection=detection, drain=False) as talk:
        await speak(talk, tone, 10_000)
        began = trio.current_time()
        await start(talk)
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        assert trio.current_time() - began == pytest.approx(1.6, abs=0.03)


@pytest.mark.parametrize("is_real", [False, True])
async def test_speech_while_an_answer_is_asked_for_and_not_begun(autojump_clock, open_voice, tone, played_ms, is_real):
    """There is something to interrupt, so it is doubted; after a noise the answer is heard whole, and alone."""
    async with open_voice(interruption="confirm", drain=False) as talk, trio.open_nursery() as nursery:
        notices = talk.session.events(Paused, Resumed)
        nursery.start_soon(talk.session.send_text, "Hello?")
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await start(talk)
        await talk.created(request, "resp_1")
        await talk.audio("resp_1", tone(1000))
        await trio.sleep(0.5)
        assert talk.session.sound().paused
        assert await notices.receive() == Paused("item_u", "duration")
        assert played_ms(talk.device) == 0
        await stop(talk, 300 + (450 if is_real else 250) + 500)
        if is_real:
            await talk.peer.expect("response.cancel", response_id="resp_1")
            await talk.peer.expect("conversation.item.delete", item_id="item_a")
            await talk.done("resp_1", status="cancelled")
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.done("resp_2")
        else:
            await talk.peer.expect("conversation.item.delete", item_id="item_u")
            assert await notices.receive() == Resumed("item_u")
            await talk.audio_done("resp_1")
            await talk.done("resp_1")
        await talk.peer.expect_nothing(3)
        assert played_ms(talk.device) == (0 if is_real else 1000)


async def test_two_noises_in_a_row(autojump_clock, open_voice, tone, played_ms):
    """The sound goes on when the last one is known to be none; both items go."""
    async with open_voice(interruption="confirm", transcription="whisper-1", drain=False) as talk:
        await speak(talk, tone)
        await start(talk, "item_1")
        await stop(talk, 1000, "item_1")
        await start(talk, "item_2", 1500)
        await transcribe(talk, "mhm", "item_1")
        await talk.peer.expect("conversation.item.delete", item_id="item_1")
        assert talk.session.sound().paused
        await stop(talk, 2400, "item_2")
        await transcribe(talk, "yeah", "item_2")
        await talk.peer.expect("conversation.item.delete", item_id="item_2")
        await trio.sleep(4)
        assert played_ms(talk.device) == pytest.approx(3000, abs=1)


async def test_a_doubt_is_forgotten_when_the_buffer_is_cleared(autojump_clock, open_voice, tone, played_ms):
    """What was being said becomes no item: the assistant goes on."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        await speak(talk, tone)
        await start(talk)
        await trio.sleep(0.1)
        await talk.peer.send("input_audio_buffer.cleared")
        await trio.sleep(4)
        await talk.peer.expect_nothing(1)
        assert played_ms(talk.device) == pytest.approx(3000, abs=1)


@pytest.mark.parametrize(("words", "is_real"), [("mhm", False), ("Stop!", True)])
async def test_a_doubt_that_is_an_item_already_survives_that_the_buffer_is_cleared(
    autojump_clock, open_voice, tone, words, is_real
):
    """Of two, the one that was committed is still judged, and answered if it was meant."""
    async with open_voice(interruption="confirm", transcription="whisper-1", drain=False) as talk:
        await speak(talk, tone, 10_000)
        await start(talk, "item_1")
        await stop(talk, 300 + 250 + 500, "item_1")
        await start(talk, "item_2", 1500)
        await talk.peer.send("input_audio_buffer.cleared")
        await talk.peer.expect_nothing(1)
        assert talk.session.sound().paused
        await transcribe(talk, words, "item_1")
        if is_real:
            await talk.peer.expect("conversation.item.truncate", item_id="item_a")
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.done("resp_2")
        else:
            await talk.peer.expect("conversation.item.delete", item_id="item_1")
            assert not talk.session.sound().paused  # the second one is not waited for
        await talk.peer.expect_nothing(3)


async def test_the_program_interrupts_while_in_doubt(autojump_clock, open_voice, tone, played_ms):
    """Nothing is being said any more: what the user says is a turn like any other, and its answer is heard at once."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        notices = talk.session.events(Paused, Resumed, Interrupted)
        await speak(talk, tone)
        await start(talk)
        await trio.sleep(0.1)
        before = played_ms(talk.device)
        talk.session.interrupt()
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        assert not talk.session.sound().paused
        await stop(talk, 700)  # short: a noise, if the assistant were speaking
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.audio("resp_2", tone(1000), "item_b")
        await talk.audio_done("resp_2", "item_b")
        await talk.done("resp_2")
        await trio.sleep(2)
        assert played_ms(talk.device) == pytest.approx(before + 1000, abs=1)
        assert isinstance(await notices.receive(), Paused)
        assert isinstance(await notices.receive(), Interrupted)
        with trio.move_on_after(1) as nothing_more:
            await notices.receive()
        assert nothing_more.cancelled_caught


async def test_what_is_said_while_muted_interrupts_nothing(autojump_clock, open_voice, tone):
    """The doubt goes by what the server may hear."""
    async with open_voice(interruption="confirm", drain=False) as talk:
        await speak(talk, tone)
        await start(talk)
        talk.session.mute()
        talk.device.speak(base64.b64decode(tone(3000, 8000)))
        await trio.sleep(0.7)
        await stop(talk, 1000)
        await talk.peer.expect("conversation.item.delete", item_id="item_u")


@pytest.mark.parametrize("transcription", [None, "whisper-1"])
async def test_it_says_that_it_goes_by_duration_only_when_it_does(autojump_clock, open_voice, caplog, transcription):
    with caplog.at_level(logging.WARNING, "realtime_trio.session"):
        async with open_voice(interruption="confirm", transcription=transcription, drain=False):
            await trio.sleep(0.1)
    assert ("duration" in caplog.text) == (transcription is None)


async def test_without_a_device_the_server_decides_what_is_long(autojump_clock, open_talk):
    """A program that plays by itself is told by the notices."""
    async with open_talk(interruption="confirm", drain=False, modality="audio") as talk:
        notices = talk.session.events(Paused, Resumed, Interrupted)
        await talk.created(None, "resp_1")
        await trio.sleep(0.1)
        await start(talk)
        await stop(talk, 300 + 1000 + 500)
        assert isinstance(await notices.receive(), Paused)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        assert isinstance(await notices.receive(), Interrupted)
        await talk.done("resp_1", status="cancelled")
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")
