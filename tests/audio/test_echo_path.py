"""Whether a microphone hears a speaker is found at once, with certainty, whatever else is heard."""

import time

import numpy as np
import pytest

from realtime_trio.audio.echo_path import CAPTURED, CLEANED, PLAYED, EchoPath, History, correlation, is_residue
from realtime_trio.audio.pcm import SAMPLE_RATE

from .echo_signals import echo_of, other_voice, room_noise, voice

FRAME = SAMPLE_RATE // 100


def follow(captured: np.ndarray, played: np.ndarray) -> tuple[EchoPath, History]:
    history = History()
    path = EchoPath(history)
    rows = np.stack([played, captured, captured]).astype(np.float32)
    for start in range(0, rows.shape[1] - FRAME + 1, FRAME):
        frame = rows[:, start : start + FRAME]
        history.add(frame)
        path.note(int(frame[PLAYED].any()))
    return path, history


@pytest.mark.parametrize("delay_ms", [0, 3, 40, 250, 600])
def test_the_delay_is_found(delay_ms):
    played = voice(4)

    path, _ = follow(echo_of(played, delay_ms=delay_ms) + room_noise(len(played)), played)

    assert path.found is True
    assert path.delay_ms == pytest.approx(delay_ms, abs=0.5)


def test_it_is_found_under_the_users_own_voice():
    played = voice(4)

    path, _ = follow(echo_of(played, gain=0.3) + other_voice(4) + room_noise(len(played)), played)

    assert path.found is True
    assert path.delay_ms == pytest.approx(120, abs=0.5)


def test_it_is_known_after_a_second_of_sound():
    played = voice(1)

    path, _ = follow(echo_of(played) + room_noise(len(played)), played)

    assert path.found is True


def test_a_voice_alone_is_no_echo():
    played = voice(12)

    path, _ = follow(other_voice(12) + room_noise(len(played)), played)

    assert path.found is False
    assert path.delay_ms is None
    assert path.confidence < 9


def test_no_echo_is_only_believed_after_several_looks():
    played = voice(2)

    path, _ = follow(other_voice(2), played)

    assert path.found is None


def test_a_delay_that_changes_is_followed():
    played = voice(8)
    captured = np.where(
        np.arange(len(played)) < 4 * SAMPLE_RATE, echo_of(played, delay_ms=40), echo_of(played, delay_ms=140)
    )

    path, _ = follow(captured + room_noise(len(played)), played)

    assert path.delay_ms == pytest.approx(140, abs=0.5)


def test_the_history_goes_on_over_its_end():
    """Its rows are moved to the front now and then: what is read must not notice."""
    seconds = 20
    rows = np.tile(np.arange(seconds * SAMPLE_RATE, dtype=np.float32) // 3, (3, 1)) * np.float32(1 / 3)
    history = History()

    for start in range(0, rows.shape[1], 2 * FRAME):
        history.add(rows[:, start : start + 2 * FRAME])
        for row in (PLAYED, CAPTURED, CLEANED):
            assert history.last(row, 1)[0] == pytest.approx((start + 2 * FRAME) // 3 - 1)

    assert np.allclose(np.diff(history.last(PLAYED)), 1, atol=0.05)


def test_silence_correlates_with_nothing():
    assert correlation(np.zeros(64, np.float32), np.zeros(64, np.float32), 32) == (0, 0.0)


@pytest.mark.parametrize("gain", [0.05, 0.5, 2.0])
def test_residue_is_known_whatever_its_loudness(gain):
    played = voice(2)

    _, history = follow(echo_of(played, delay_ms=120, gain=gain) + room_noise(len(played), dbfs=-80), played)

    assert is_residue(history)


def test_a_voice_is_no_residue():
    for seconds in np.arange(1.0, 5.0, 0.25):
        _, history = follow(other_voice(5)[: int(seconds * SAMPLE_RATE)], voice(5)[: int(seconds * SAMPLE_RATE)])

        assert not is_residue(history)


def test_a_look_is_short_enough_for_the_event_loop():
    """Half a millisecond where this was written; the bound is what no machine should exceed, busy as it may be."""
    played, captured = voice(2)[:16_384].astype(np.float32), other_voice(2)[:16_384].astype(np.float32)

    def cost() -> float:
        begin = time.perf_counter()
        correlation(played, captured, 5_600)
        return time.perf_counter() - begin

    assert min(cost() for _ in range(20)) < 0.01
