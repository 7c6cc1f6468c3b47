"""Semantic VAD: a finished sentence is answered soon, an unfinished one is waited for, and nobody waits too long."""

import base64
import json

import numpy as np
import pytest
import trio

from realtime_trio.server import SpeechStarted, SpeechStopped, Transcript, guesses, open_server
from realtime_trio.server.espeak import EspeakVoice
from realtime_trio.server.finishing import score, score_melody, score_words
from realtime_trio.server.outbox import Overhear, Recognise, StartResponse
from realtime_trio.server.recogniser import SphinxRecogniser
from realtime_trio.server.seams import SAMPLE_RATE
from realtime_trio.server.semantic import wait_ms
from realtime_trio.server.turn_detection import EnergyTurnDetector
from realtime_trio.transport import Target

EAGERNESS = ["low", "medium", "high", "auto"]
PAUSE = guesses.SEMANTIC_PAUSE_MS


# ---- how finished it sounds ----


UNFINISHED = [
    *("what is the weather in", "I would like to know if", "and", "well um", "what is twelve plus", "count to"),
    *("uhhhm", "so I said,", "what is twelve…", "and then...", "tell me the", "errr", "My favourite is"),
]


@pytest.mark.parametrize("text", UNFINISHED)
def test_what_trails_off_is_unfinished(text):
    assert guesses.SEMANTIC_SCORES["unfinished"] == score_words(text) == score(Transcript(text), b"")


@pytest.mark.parametrize("text", ["What time is it?", "Stop!", "count to twenty.", "I have it and that is all."])
def test_a_full_stop_is_one(text):
    assert guesses.SEMANTIC_SCORES["sentence"] == score_words(text)


@pytest.mark.parametrize("text", ["what time is it", "count to twenty", "what is twelve plus three", "thumb", "herb"])
def test_words_that_may_end_a_sentence_are_left_to_the_recogniser_and_the_melody(text):
    assert score_words(text) is None
    assert guesses.SEMANTIC_SCORES["sentence"] == score(Transcript(text), b"")
    assert score(Transcript(text, certain=False), b"") < guesses.SEMANTIC_SCORES["sentence"]


def voice(seconds, first, last):
    """A buzz whose pitch goes from one frequency to the other, and two thirds of a second of nothing."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (first * time + (last - first) * time**2 / 2 / seconds)
    sound = sum(np.sin(n * phase) / n for n in range(1, 12)) * 4000
    return sound.astype("<i2").tobytes() + bytes(2 * SAMPLE_RATE // 5)


@pytest.mark.parametrize("pitch", [90, 140, 220])
def test_without_words_the_melody_decides(pitch):
    scores = guesses.SEMANTIC_SCORES
    assert scores["melody"] == score_melody(voice(0.6, 1.2 * pitch, 0.8 * pitch))
    assert scores["melody"] == score_melody(voice(0.6, 0.8 * pitch, 1.4 * pitch))
    assert scores["drawn_out"] == score_melody(voice(0.6, pitch, pitch))
    assert scores["unheard"] == score_melody(voice(0.15, pitch, pitch))


@pytest.mark.parametrize("pcm", [b"", bytes(10), bytes(48_000), b"\1\0" * 24_000])
def test_no_sound_has_no_melody(pcm):
    assert guesses.SEMANTIC_SCORES["unheard"] == score_melody(pcm)
    assert guesses.SEMANTIC_SCORES["unheard"] == score(None, pcm)
    assert guesses.SEMANTIC_SCORES["unheard"] == score(Transcript(" "), pcm)


@pytest.mark.parametrize(("eagerness", "longest"), [("low", 8000), ("medium", 4000), ("high", 2000), ("auto", 4000)])
def test_the_wait_is_as_long_as_the_documentation_says_and_shorter_the_more_finished(eagerness, longest):
    waits = [wait_ms(done, eagerness) for done in (0.0, 0.1, 0.5, 0.65, 0.95, 1.0)]
    assert longest == waits[0]
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] >= PAUSE
    assert waits[1] > 4 * waits[-2]


def test_the_eager_wait_less_than_the_patient():
    for done in (0.0, 0.65, 1.0):
        high, medium, low = (wait_ms(done, eagerness) for eagerness in ("high", "medium", "low"))
        assert high < medium < low
        assert medium == wait_ms(done, "auto")


# ---- in a session, without I/O ----

TURN_ENDS = ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]


@pytest.fixture
def talk(bench):
    """A session under semantic VAD in which somebody has spoken for a second and paused."""
    bench.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert PAUSE == bench.detector.settings["silence_duration_ms"]
    bench.append(1000, SpeechStarted(0))
    assert [] == bench.append(PAUSE, SpeechStopped(24 * (1000 + PAUSE)))
    return bench


def asked(bench):
    return bench.of_kind(Overhear)[-1]


def understand(bench, text, *, certain=True, pause=None):
    transcript = None if text is None else Transcript(text, certain)
    bench.protocol.overheard(asked(bench).pause if pause is None else pause, transcript, bench.now)
    return bench.take()


def ends_after(bench, limit=10_000):
    """Append silence until the turn ends; return how many ms after its last sound that is."""
    for waited in range(PAUSE, limit, 20):
        sent = bench.append(20)
        if sent:
            assert TURN_ENDS == [event["type"] for event in sent[:2]]
            assert waited + 20 - 1000 < sent[0]["audio_end_ms"] - 1000 <= waited + 20
            return sent[0]["audio_end_ms"] - 1000
    return None


def test_a_finished_sentence_ends_soon(talk):
    assert 1000 + PAUSE == len(asked(talk).pcm) // 48
    understand(talk, "what time is it")
    assert wait_ms(guesses.SEMANTIC_SCORES["sentence"], "auto") == pytest.approx(ends_after(talk), abs=20)


def test_an_unfinished_one_is_waited_for(talk):
    understand(talk, "what is the weather in", certain=False)
    assert wait_ms(guesses.SEMANTIC_SCORES["unfinished"], "auto") == pytest.approx(ends_after(talk), abs=20)


def test_without_a_recogniser_it_goes_by_the_sound(talk):
    understand(talk, None)
    assert wait_ms(guesses.SEMANTIC_SCORES["unheard"], "auto") == pytest.approx(ends_after(talk), abs=20)


@pytest.mark.parametrize(("eagerness", "longest"), [("low", 8000), ("medium", 4000), ("high", 2000)])
def test_a_recogniser_that_never_answers_is_waited_for_until_the_maximum(talk, eagerness, longest):
    talk.update(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}})
    assert longest == pytest.approx(ends_after(talk), abs=20)


def test_an_answer_that_comes_late_ends_the_turn_where_it_would_have_ended(talk, types_of):
    assert [] == talk.append(3000)
    sent = understand(talk, "what time is it")
    assert TURN_ENDS == types_of(sent[:2])
    wait = wait_ms(guesses.SEMANTIC_SCORES["sentence"], "auto")
    assert 1000 + wait == pytest.approx(sent[0]["audio_end_ms"], abs=1)
    assert "response.created" == sent[-1]["type"]


def test_speech_after_a_pause_is_the_same_turn(talk):
    """One item, and the second question is about all of it."""
    (started,) = [event for event in talk.log if event["type"] == "input_audio_buffer.speech_started"]
    understand(talk, "what is twelve plus", certain=False)
    assert [] == talk.append(1500)
    assert [] == talk.append(500, SpeechStarted(24 * 2700))
    assert [] == talk.append(PAUSE, SpeechStopped(24 * (3200 + PAUSE)))
    assert 3200 + PAUSE == len(asked(talk).pcm) // 48
    understand(talk, "what is twelve plus three")
    sent = talk.append(500)
    assert started["item_id"] == sent[0]["item_id"] == sent[1]["item_id"]
    assert 1 == len(talk.of_kind(StartResponse))


def test_the_answer_about_a_pause_that_is_over_is_ignored(talk):
    first = asked(talk).pause
    talk.append(500, SpeechStarted(24 * 1300))
    assert [] == understand(talk, "what time is it", pause=first)
    talk.append(PAUSE, SpeechStopped(24 * (1700 + PAUSE)))
    assert [] == understand(talk, "what time is it", pause=first)
    assert [] == talk.append(1000)


def test_sound_that_comes_at_once_is_not_one_turn(talk, types_of):
    """The recogniser has had no time to answer; a long silence parts two turns all the same."""
    sent = talk.append(4000, SpeechStarted(24 * 3700), SpeechStopped(24 * 5000))
    assert types_of(sent).count("input_audio_buffer.speech_started") == 1
    assert types_of(sent)[:2] == TURN_ENDS
    wait = wait_ms(guesses.SEMANTIC_SCORES["unheard"], "auto")
    assert 1000 + wait == pytest.approx(sent[0]["audio_end_ms"], abs=1)


def test_what_is_sure_is_not_recognised_twice(talk):
    talk.update(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    understand(talk, "what time is it")
    sent = talk.append(1000)
    completed = next(event for event in sent if event["type"].endswith("transcription.completed"))
    assert "what time is it" == completed["transcript"]
    assert [] == talk.of_kind(Recognise)
    (begun,) = talk.of_kind(StartResponse)
    assert ((), "what time is it") == (
        begun.hear_first,
        talk.protocol.brain_request(begun.response_id).history[-1].text,
    )


def test_what_is_unsure_is_recognised_as_a_whole(talk):
    understand(talk, "what time", certain=False)
    talk.append(4000)
    assert 1 == len(talk.of_kind(Recognise))


def test_of_a_long_turn_only_its_end_is_asked_about(bench):
    bench.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    bench.append(20_000, SpeechStarted(0))
    bench.append(PAUSE, SpeechStopped(24 * (20_000 + PAUSE)))
    assert 1000 * guesses.SEMANTIC_HEARD_SECONDS == len(asked(bench).pcm) // 48
    understand(bench, "what time is it")
    bench.append(1000)
    assert 20_000 < len(bench.of_kind(Recognise)[0].pcm) // 48


@pytest.mark.parametrize("end", ["clear", "commit", "off", "server_vad"])
def test_a_turn_that_is_held_open_can_be_ended_otherwise(talk, types_of, end):
    if end in ("clear", "commit"):
        sent = talk.send(f"input_audio_buffer.{end}")
        assert f"input_audio_buffer.{end}ted" == sent[0]["type"] or "input_audio_buffer.cleared" == sent[0]["type"]
    else:
        detection = None if end == "off" else {"type": end}
        talk.update(audio={"input": {"turn_detection": detection}})
    assert [] == understand(talk, "what time is it")
    assert [] == talk.append(9000)


# ---- on the wire ----


@pytest.mark.parametrize("text", ["what time is it", "what time is it and"])
@pytest.mark.parametrize("kind", ["recogniser", "eavesdropper"])
async def test_a_server_asks_its_recogniser_in_each_pause(autojump_clock, judged, user_speech, text, kind):
    heard = []

    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            heard.append("recognise")
            await trio.sleep(0.1)
            return Transcript(text)

    class Quick(Ear):
        async def overhear(self, pcm: bytes) -> Transcript:
            heard.append("overhear")
            await trio.sleep(0.01)
            return Transcript(text)

    ear = Quick() if kind == "eavesdropper" else Ear()
    stopped = await waited(judged, user_speech + bytes(48_000 * 4), ear)
    assert text.endswith("and") == (stopped > 2)
    assert ("overhear" if kind == "eavesdropper" else "recognise") == heard[0]
    assert 1 == heard.count(heard[0])


async def test_a_recogniser_that_fails_in_a_pause_ends_nothing(autojump_clock, judged, user_speech, caplog):
    class Broken:
        async def recognise(self, pcm: bytes) -> Transcript:
            raise OSError("broken")

    assert 0.2 < await waited(judged, user_speech, Broken()) < 1.5
    assert "broken" in caplog.text


async def waited(judged, sound: bytes, recogniser) -> float:
    """Send sound in real time under semantic VAD; return seconds from its last loud sample to the end of the turn."""
    loud = np.flatnonzero(np.abs(np.frombuffer(sound, "<i2")) > 300)[-1] / SAMPLE_RATE
    async with (
        open_server(listen=False, recogniser=recogniser) as server,
        server.connect(Target(url="ws://localhost/v1/realtime?model=m")) as link,
        trio.open_nursery() as nursery,
    ):
        detection = {"type": "semantic_vad", "eagerness": "medium"}
        session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        await link.send_message(json.dumps({"type": "session.update", "session": session}))

        async def speak() -> None:
            for start in range(0, len(sound), 960):
                audio = base64.b64encode(sound[start : start + 960]).decode()
                await link.send_message(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
                await trio.sleep(0.02)

        nursery.start_soon(speak)
        with trio.fail_after(100):
            while (event := judged(await link.receive_message()))["type"] != "input_audio_buffer.speech_stopped":
                pass
        nursery.cancel_scope.cancel()
    return event["audio_end_ms"] / 1000 - loud


# ---- with the recogniser that comes with the extra ----


@pytest.mark.slow
async def test_pocketsphinx_tells_beginnings_from_sentences():
    pytest.importorskip("pocketsphinx", reason="the extra [offline] is not installed, or has no wheel for this Python")
    pytest.importorskip("espeakng_loader", reason="the extra [offline] is not installed")
    beginnings = ["what is twelve plus", "count to", "what is the weather in", "tell me the", "um"]
    sentences = ["what time is it", "count to twenty", "what is the weather in paris", "tell me a long story"]
    right = []
    async with EspeakVoice.open() as espeak, SphinxRecogniser.open() as recogniser:
        for text in beginnings + sentences:
            speech = await espeak.speak(text, voice="ash")
            timeline = bytes(SAMPLE_RATE) + speech.pcm + bytes(SAMPLE_RATE)
            started, paused = EnergyTurnDetector(silence_duration_ms=PAUSE).feed(timeline)
            transcript = await recogniser.overhear(timeline[2 * started.start : 2 * paused.end])
            done = score(transcript, timeline[2 * started.start : 2 * paused.end]) > 0.5
            right.append(done == (text in sentences))
        assert Transcript("", certain=False) == await recogniser.overhear(bytes(100))
    assert sum(right) >= len(right) - 1
