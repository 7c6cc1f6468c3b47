"""Noise reduction in front of turn detection: steady noise and people far away start no turn, the user still does."""

import base64
import itertools
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.server.audio_formats import FORMATS
from realtime_trio.server.noise_reduction import NoiseReducer, NoiseSettings
from realtime_trio.server.seams import SAMPLE_RATE, SpeechStarted
from realtime_trio.server.turn_detection import EnergyTurnDetector

SECOND = SAMPLE_RATE
NEAR, FAR = NoiseSettings("near_field"), NoiseSettings("far_field")


def noise(seconds, level, seed=1, *, pink=False):
    white = np.random.default_rng(seed).normal(0, 1, round(seconds * SECOND))
    if pink:
        spectrum = np.fft.rfft(white) / np.sqrt(np.maximum(np.arange(len(white) // 2 + 1), 20))
        white = np.fft.irfft(spectrum, len(white))
    return white / white.std() * level


def pcm(sound):
    return np.clip(sound, -32768, 32767).astype("<i2").tobytes()


@pytest.fixture
def toronto():
    with wave.open(str(Path(__file__).parents[1] / "data" / "toronto.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def turns(sound, reduction=None, threshold=0.5):
    """Find the turns of a sound, in seconds."""
    data = pcm(sound)
    if reduction is not None:
        data = NoiseReducer(reduction).feed(data)
    found = EnergyTurnDetector(threshold).feed(data)
    return [(e.start if isinstance(e, SpeechStarted) else e.end) / SECOND for e in found]


def with_speech(background, speech, at):
    sound = background.copy()
    start = round(at * SECOND)
    sound[start : start + len(speech)] += speech
    return sound


@pytest.mark.parametrize("reduction", [NEAR, FAR], ids=["near", "far"])
@pytest.mark.parametrize("pink", [False, True])
def test_steady_noise_that_is_a_turn_without_is_none_with_it(reduction, pink):
    """A fan that runs when the session begins."""
    fan = noise(10, 1200, pink=pink)

    assert turns(fan) != []
    assert turns(fan, reduction) == []


@pytest.mark.parametrize("reduction", [NEAR, FAR], ids=["near", "far"])
def test_a_person_is_heard_through_steady_noise(toronto, reduction):
    """One turn, at the right place, 10 dB above a noise that without reduction opens turns of its own."""
    fan = noise(11, toronto.std() / 10**0.5, pink=True)
    start, end = turns(with_speech(fan, toronto, 3), reduction)

    assert 2.6 <= start <= 3.3
    assert 8.08 <= end <= 8.8


@pytest.mark.parametrize("reduction", [NEAR, FAR], ids=["near", "far"])
def test_a_quiet_room_stays_as_it_is(toronto, reduction):
    """Where there is nothing to reduce, turns begin and end within 50 ms of where they did."""
    sound = with_speech(noise(9, 12), toronto, 1.5)

    assert turns(sound, reduction) == pytest.approx(turns(sound), abs=0.05)


def test_near_field_does_not_hear_people_far_away(toronto):
    """A second person 28 dB below the user: a turn without reduction and with far_field, none with near_field."""
    sound = noise(26, 8)
    sound = with_speech(sound, toronto, 1)
    sound = with_speech(sound, toronto / 10 ** (28 / 20), 9)
    sound = with_speech(sound, toronto, 18)

    behind = [[at for at in turns(sound, reduction) if 8 < at < 17] for reduction in (None, FAR, NEAR)]

    assert behind[0] != []
    assert behind[1] != []
    assert behind[2] == []
    assert len(turns(sound, NEAR)) == 4


def test_strength_decides_how_much():
    """0 is none at all, more is more."""
    fan = noise(4, 1200)
    left = [
        np.frombuffer(NoiseReducer(NoiseSettings("far_field", strength)).feed(pcm(fan)), "<i2")[SECOND:].std()
        for strength in (0.0, 0.5, 1.0, 2.0)
    ]

    assert left[0] == pytest.approx(1200, rel=0.02)
    assert left == sorted(left, reverse=True)
    assert left[2] < 1200 / 3


def test_digital_silence_stays_silent_and_teaches_nothing():
    """A muted microphone: zeros in, zeros out, and the fan is still known afterwards."""
    fan = noise(3, 1200)
    sound = np.concatenate([fan, np.zeros(5 * SECOND), fan])
    out = np.frombuffer(NoiseReducer(NEAR).feed(pcm(sound)), "<i2")

    assert not out[round(3.05 * SECOND) : round(7.95 * SECOND)].any()
    assert turns(sound, NEAR) == []


def test_what_is_not_reduced_keeps_its_place_and_shape(toronto):
    """The output has the positions of the input, so that turns lie where the sound is."""
    data = pcm(toronto)
    out = np.frombuffer(NoiseReducer(NoiseSettings("far_field", 0.0)).feed(data), "<i2").astype(float)

    assert len(toronto) - 480 <= len(out) <= len(toronto)
    assert np.abs(out - toronto[: len(out)])[240:].max() <= 1


@given(cuts=st.lists(st.integers(0, 4 * SECOND), max_size=8), seed=st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_any_split_gives_the_same_sound(cuts, seed):
    data = pcm(np.concatenate([noise(1, 500, seed), np.zeros(SECOND // 2), noise(0.5, 9000, seed + 1)]))
    edges = sorted({0, len(data), *(2 * (cut % (len(data) // 2)) for cut in cuts)})
    reducer = NoiseReducer(NEAR)
    parts = [reducer.feed(data[start:end]) for start, end in itertools.pairwise(edges)]

    assert b"".join(parts) == NoiseReducer(NEAR).feed(data)
    assert reducer.pending * 2 == len(data) - sum(map(len, parts))


@pytest.mark.slow
def test_it_is_cheap():
    """Far below 5 % of real time in blocks of 20 ms, also on a busy machine."""
    data = pcm(noise(20, 500))
    reducer = NoiseReducer(NEAR)
    begun = time.process_time()
    for start in range(0, len(data), 960):
        reducer.feed(data[start : start + 960])
    assert time.process_time() - begun < 20 * 0.05


# ---- in a session ----


def append(bench, sound, ms=20):
    data = pcm(sound)
    sent = []
    for start in range(0, len(data), 48 * ms):
        sent += bench.send("input_audio_buffer.append", audio=base64.b64encode(data[start : start + 48 * ms]).decode())
    return sent


@pytest.fixture
def hearing_bench(make_bench):
    """A session with the default turn detector."""
    return make_bench(detector=EnergyTurnDetector())


def reduce(bench, value):
    return bench.update(audio={"input": {"noise_reduction": value}})


@pytest.mark.parametrize("kind", ["near_field", "far_field"])
def test_a_session_with_noise_reduction_is_not_woken_by_a_fan(make_bench, types_of, kind):
    loud = make_bench(detector=EnergyTurnDetector())
    assert "input_audio_buffer.speech_started" in types_of(append(loud, noise(5, 1200)))
    quiet = make_bench(detector=EnergyTurnDetector())
    reduce(quiet, {"type": kind})
    assert [] == append(quiet, noise(5, 1200))
    reduce(quiet, {"strength": 0})
    assert "input_audio_buffer.speech_started" in types_of(append(quiet, noise(5, 12000)))


@pytest.mark.parametrize("audio_format", [None, "audio/pcmu"])
def test_positions_are_those_of_the_sound_that_came(hearing_bench, toronto, audio_format):
    """Also after noise reduction went on and off in the middle of the timeline, and in blocks of odd lengths."""
    bench = hearing_bench
    reduce(bench, {"type": "near_field"})
    append(bench, noise(1.2345, 10), ms=17)
    reduce(bench, None)
    append(bench, noise(0.5, 10), ms=17)
    reduce(bench, {"type": "far_field"})
    reduce(bench, {"type": "far_field"})
    quiet = noise(8, 10)
    if audio_format is not None:
        bench.update(audio={"input": {"format": {"type": audio_format}}})
        sound = np.frombuffer(FORMATS[audio_format].from_pcm(pcm(with_speech(quiet, toronto, 1))), np.uint8)
        sent = []
        for start in range(0, len(sound), 160):
            audio = base64.b64encode(sound[start : start + 160].tobytes()).decode()
            sent += bench.send("input_audio_buffer.append", audio=audio)
    else:
        sent = append(bench, with_speech(quiet, toronto, 1), ms=17)
    started = next(event for event in sent if "audio_start_ms" in event)
    stopped = next(event for event in sent if "audio_end_ms" in event)
    assert started["audio_start_ms"] == pytest.approx(1734 + 800, abs=60)
    assert stopped["audio_end_ms"] == pytest.approx(
        1734 + 1000 + 5080 + 500, abs=80 if audio_format is None else 200
    )  # G.711 is coarse


def test_the_item_holds_the_sound_as_it_came(hearing_bench, toronto):
    """Only the turn detector hears what is reduced."""
    reduce(hearing_bench, {"type": "near_field"})
    sound = with_speech(noise(8, 300), toronto, 1)
    sent = append(hearing_bench, sound)
    begin = next(event["audio_start_ms"] for event in sent if "audio_start_ms" in event) * 24
    item_id = next(event["item_id"] for event in sent if event["type"] == "input_audio_buffer.committed")
    item = hearing_bench.one("conversation.item.retrieve", item_id=item_id)["item"]
    audio = base64.b64decode(item["content"][0]["audio"])
    assert audio in pcm(sound)
    assert pcm(sound).index(audio) == pytest.approx(2 * begin, abs=48)
