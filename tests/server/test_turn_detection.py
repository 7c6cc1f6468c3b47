"""Turns are found where speech is, in real and synthetic voices, whatever the sound is cut into."""

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.server.babble import BabbleVoice
from realtime_trio.server.seams import SAMPLE_RATE, SpeechStarted, SpeechStopped
from realtime_trio.server.turn_detection import EnergyTurnDetector

SECOND = SAMPLE_RATE


def silence(seconds):
    return bytes(2 * round(seconds * SECOND))


def noise(seconds, level, seed=1):
    samples = np.random.default_rng(seed).normal(0, level, round(seconds * SECOND))
    return samples.astype("<i2").tobytes()


def mixed(pcm, other):
    total = np.frombuffer(pcm, "<i2").astype(int) + np.frombuffer(other[: len(pcm)], "<i2")
    return np.clip(total, -32768, 32767).astype("<i2").tobytes()


def babble(text, voice="alloy"):
    async def speak():
        return (await BabbleVoice().speak(text, voice=voice)).pcm

    return trio.run(speak, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture
def toronto():
    """The recording of a person: 5.52 s, of which the last 440 ms are quiet."""
    with wave.open(str(Path(__file__).parents[1] / "data" / "toronto.wav")) as file:
        return file.readframes(file.getnframes())


def seconds(events):
    return [(event.start if isinstance(event, SpeechStarted) else event.end) / SECOND for event in events]


@pytest.mark.parametrize("before", [0.0, 1.0])
def test_a_persons_recording_is_one_turn(toronto, before):
    """Start and end are right to a tenth of a second."""
    detector = EnergyTurnDetector()
    events = detector.feed(silence(before) + toronto + silence(2))

    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    start, end = seconds(events)
    assert max(0.0, before - 0.3) <= start <= before + 0.1
    assert before + 5.08 + 0.5 - 0.1 <= end <= before + 5.08 + 0.5 + 0.1
    assert not detector.speaking


def test_a_persons_recording_is_one_turn_in_a_noisy_room(toronto):
    """White noise 20 dB below the voice changes nothing but the edges."""
    sound = silence(1) + toronto + silence(2)
    level = np.frombuffer(toronto, "<i2").std() / 10
    events = EnergyTurnDetector().feed(mixed(sound, noise(9, level)))

    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    assert seconds(events) == pytest.approx([0.78, 6.58], abs=0.2)


def test_a_persons_recording_is_one_turn_in_a_loud_room(toronto):
    """White noise 10 dB below the voice, in a room that was heard before."""
    level = np.frombuffer(toronto, "<i2").std() / 10**0.5
    detector = EnergyTurnDetector()
    detector.feed(noise(4, level, seed=2))
    events = detector.feed(mixed(toronto + silence(2), noise(8, level)))

    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    assert seconds(events) == pytest.approx([4 - 0.2, 4 + 5.58], abs=0.2)


@pytest.mark.parametrize("db", [-50, -40, -35, -30, -25])
def test_a_room_that_breathes_is_no_speech(db):
    """A noise that swells and sinks by 3 dB: at most one turn, while the room is not known yet."""
    time = np.arange(30 * SECOND) / SECOND
    breathing = np.frombuffer(noise(30, 1000), "<i2") / 1000 * 10 ** (1.5 * np.sin(2 * np.pi * time / 7) / 20)
    sound = (breathing * 32768 * 10 ** (db / 20)).astype("<i2").tobytes()

    assert len(EnergyTurnDetector().feed(sound)) <= 2


@pytest.mark.parametrize("voice", ["alloy", "cedar", "shimmer"])
def test_each_babbled_sentence_is_one_turn(voice):
    texts = ["What time is it?", "Well, count to twenty, please: now.", "Stop!"]
    sound = b"".join(silence(1) + babble(text, voice) for text in texts) + silence(1)
    events = EnergyTurnDetector().feed(sound)

    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped] * len(texts)


def test_speech_between_digital_silences_is_not_taken_for_the_room():
    """A file or a synthetic voice has no room: then speech must not become the measure of itself."""
    sentence = babble("count to forty", "cedar")
    sound = b"".join(silence(3) + sentence for _ in range(12)) + silence(1)

    events = EnergyTurnDetector().feed(sound)

    assert len(events) == 2 * 12


def test_noise_alone_is_no_turn():
    """A room's hum, also when it is there from the first sample."""
    assert EnergyTurnDetector().feed(noise(10, 60)) == []


def test_a_noise_that_stays_becomes_the_room():
    """A fan that is switched on opens a turn, but cannot hold it open for ever."""
    detector = EnergyTurnDetector()
    events = detector.feed(silence(1) + noise(8, 1500))

    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    assert detector.feed(noise(3, 1500, seed=2)) == []


def test_a_click_is_no_turn():
    """Of 100 ms, 60 must be loud."""
    click = noise(0.03, 8000)

    assert EnergyTurnDetector().feed(silence(1) + click + silence(1)) == []


def test_a_muted_microphone_teaches_nothing():
    """After a minute of zeros the room's noise is still known."""
    detector = EnergyTurnDetector()
    detector.feed(noise(5, 120))

    assert detector.feed(silence(60) + noise(5, 120)) == []


def test_threshold_decides_how_loud_speech_must_be():
    quiet = (np.frombuffer(babble("What time is it now?"), "<i2") // 64).astype("<i2").tobytes()
    sound = silence(1) + quiet + silence(1)

    assert EnergyTurnDetector(0.5).feed(sound) == []
    assert len(EnergyTurnDetector(0.1).feed(sound)) == 2


def test_padding_and_silence_are_as_configured():
    sound = silence(2) + noise(1, 5000) + silence(2)
    first = EnergyTurnDetector(0.5, 300, 500).feed(sound)
    second = EnergyTurnDetector(0.5, 100, 200).feed(sound)

    assert seconds(first) == pytest.approx([1.7, 3.5], abs=0.021)
    assert seconds(second) == pytest.approx([1.9, 3.2], abs=0.021)


def test_configure_takes_effect_within_an_open_turn():
    detector = EnergyTurnDetector()
    detector.feed(silence(1) + noise(1, 5000))
    detector.configure(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=1500)

    assert seconds(detector.feed(silence(2))) == pytest.approx([3.5], abs=0.021)


def test_padding_never_reaches_into_the_turn_before():
    gap = 0.55
    sound = silence(1) + noise(1, 5000) + silence(gap) + noise(1, 5000, seed=2) + silence(1)
    events = EnergyTurnDetector(0.5, 1000, 500).feed(sound)

    assert len(events) == 4
    assert events[2].start == events[1].end


def test_reset_forgets_the_turn_and_keeps_the_timeline():
    detector = EnergyTurnDetector()
    detector.feed(silence(1) + noise(1, 5000))
    assert detector.speaking
    detector.reset()

    assert not detector.speaking
    assert detector.position == 2 * SECOND
    events = detector.feed(noise(1, 5000) + silence(1))
    assert events[0] == SpeechStarted(2 * SECOND)
    assert events[1].end == pytest.approx(3.5 * SECOND, abs=480)


@st.composite
def sounds(draw):
    """Stretches of silence, noise and speech-like bursts."""
    pieces = draw(
        st.lists(st.tuples(st.sampled_from([0, 20, 300, 3000, 12000]), st.floats(0.02, 1.5)), min_size=1, max_size=8)
    )
    return b"".join(noise(length, level, seed) for seed, (level, length) in enumerate(pieces))


@given(sound=sounds(), cuts=st.lists(st.integers(0, 10**6), max_size=12), threshold=st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_any_split_gives_the_same_turns_in_order(sound, cuts, threshold):
    """Also splits inside a sample. Starts and stops alternate, positions ascend and lie on the timeline."""
    whole = EnergyTurnDetector(threshold).feed(sound)
    detector = EnergyTurnDetector(threshold)
    edges = sorted({0, len(sound), *(cut % (len(sound) + 1) for cut in cuts)})
    parts = []
    for start, end in itertools.pairwise(edges):
        found = detector.feed(sound[start:end])
        assert all(at <= detector.position / SECOND for at in seconds(found))
        parts += found

    assert parts == whole
    assert detector.position == len(sound) // 2
    assert [type(event) for event in whole] == ([SpeechStarted, SpeechStopped] * len(whole))[: len(whole)]
    positions = seconds(whole)
    assert positions == sorted(positions)
    assert detector.speaking == (len(whole) % 2 == 1)


# ---- what a real microphone gives ----


@pytest.mark.parametrize("offset", range(0, 20, 3))
@pytest.mark.parametrize("ms", [5, 40, 80, 99])
def test_a_knock_or_a_cough_below_100_ms_is_no_turn(ms, offset):
    """Wherever it falls on the frames, and in a room with a little noise."""
    sound = silence(1 + offset / 1000) + noise(ms / 1000, 8000) + silence(1)

    assert EnergyTurnDetector().feed(mixed(sound, noise(3, 60, seed=3))) == []


def test_a_knock_that_rings_on_is_no_turn():
    """A door in a room that reverberates for 0.3 s: loud for longer than 100 ms, but only dying away."""
    ringing = np.random.default_rng(5).normal(0, 12000, SECOND // 2) * 10 ** (
        -3 * np.arange(SECOND // 2) / SECOND / 0.3
    )
    sound = silence(1) + ringing.clip(-32768, 32767).astype("<i2").tobytes() + silence(1)

    assert EnergyTurnDetector().feed(mixed(sound, noise(3, 60, seed=3))) == []


@pytest.mark.parametrize("before", [0.4, 0.407, 1.013])
def test_the_start_is_told_within_135_ms(toronto, before):
    """Of the first loud sound, however the sound arrives: the block that ends then already tells it."""
    told = []
    for sound in (noise(1, 3000), babble("Alloy.", "alloy"), babble("Who are you?", "cedar")):
        detector = EnergyTurnDetector()
        timeline = mixed(silence(before) + sound + silence(1), noise(4, 40, seed=9))
        for start in range(0, len(timeline), 480):
            if detector.feed(timeline[start : start + 480]):
                break
        told.append(detector.position / SECOND - before)
    assert max(told) <= 0.135


def test_a_gate_that_closes_in_a_noisy_room_does_not_forget_the_room():
    """Zeros at cadence while muted, or while half duplex: when the microphone is back, its noise is no speech."""
    detector = EnergyTurnDetector()
    detector.feed(noise(8, 900))

    for seed in range(3):
        assert detector.feed(silence(5) + noise(1, 900, seed)) == []
    assert len(detector.feed(noise(0.5, 900, 5) + noise(1, 9000) + noise(2, 900, 6))) == 2


def test_zeros_at_cadence_end_a_turn():
    detector = EnergyTurnDetector()
    detector.feed(silence(1) + noise(1, 5000))
    found = [event for _ in range(50) for event in detector.feed(silence(0.02))]

    assert seconds(found) == pytest.approx([2.5], abs=0.021)


def test_pre_roll_that_comes_at_once_is_judged_as_any_sound(toronto):
    """Positions are those of the sound, not of its arrival: 300 ms of the past may come in one piece."""
    sound = silence(2) + toronto + silence(1)
    steady = EnergyTurnDetector().feed(sound)
    detector = EnergyTurnDetector()
    edge = round(2.3 * SECOND) * 2
    found = list(detector.feed(sound[: round(1.9 * SECOND) * 2]))
    found += detector.feed(sound[round(1.9 * SECOND) * 2 : edge])  # the pre-roll, in one piece
    for start in range(edge, len(sound), 960):
        found += detector.feed(sound[start : start + 960])

    assert found == steady
