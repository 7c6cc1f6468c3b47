"""Blocks on the session's terms: pairs stay pairs at every rate, and their times run evenly."""

import math
import random
import struct
from itertools import pairwise

import numpy as np
import pytest

from realtime_trio.audio.blocks import Assembler, SmoothClock
from realtime_trio.audio.callback import Callback, FinishedBlock
from realtime_trio.audio.handover import Format

FORMATS = [Format(), Format(48_000), Format(44_100, 2), Format(16_000, 2)]
NO_LATENCY = (0.0, 0.0)


def sine(format: Format, frames: int, first: int = 0) -> bytes:
    """Make 300 Hz of a device's format, the same in every channel."""
    values = (round(9000 * math.sin(2 * math.pi * 300 * (first + n) / format.rate)) for n in range(frames))
    return b"".join(struct.pack("<h", value) * format.channels for value in values)


def make_callback() -> Callback:
    return Callback(None, clock=lambda: 0.0, wake=lambda: None, most_waiting=100)


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, dtype="<i2").astype(float)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("block_ms", [10, 20])
def test_a_duplex_stream_gives_pairs_that_belong_together(format: Format, block_ms: int) -> None:
    """Echo in the same frame as the sound itself: it stays there, to the sample, through the converters."""
    callback = make_callback()
    assembler = Assembler(24 * block_ms, callback, callback, (format, format), NO_LATENCY)
    frames = format.rate * block_ms // 1000
    pairs = []
    for number in range(30):
        sound = sine(format, frames, number * frames)
        callback.blocks.append(FinishedBlock(number, number * block_ms / 1000, sound, 0.0, sound, 0.0))
        pair = assembler.take()
        pairs += [pair] if pair else []
        assert assembler.take() is None, "one for one: nothing bursts"

    assert len(pairs) >= 28
    assert all(len(pair.captured) == len(pair.played) == 48 * block_ms for pair in pairs)
    captured, played = (b"".join(getattr(pair, half) for pair in pairs) for half in ("captured", "played"))
    assert captured == played
    assert [played.block.number for played in assembler.played] == list(range(30))
    at = [pair.captured_at for pair in pairs]
    assert at[0] == pytest.approx(0, abs=0.001), "its first sample was captured first, whatever the converter holds"
    assert [later - earlier for earlier, later in pairwise(at)] == pytest.approx(
        [block_ms / 1000] * (len(at) - 1), abs=1e-6
    )
    expected = samples(sine(Format(), len(captured) // 2))
    middle = slice(1200, -1200)
    two_samples = 2 * 9000 * 2 * math.pi * 300 / 24_000  # of the sine's slope: soxr is not more exact in this mode
    assert np.abs(samples(captured)[middle] - expected[middle]).max() < two_samples, "a sample is where its time says"


def test_formats_of_both_halves_may_differ() -> None:
    callback = make_callback()
    formats = Format(48_000, 2), Format(48_000, 1)
    assembler = Assembler(480, callback, callback, formats, NO_LATENCY)
    for number in range(10):
        captured, played = (sine(spoken, 960, number * 960) for spoken in formats)
        callback.blocks.append(FinishedBlock(number, number / 50, captured, 0.0, played, 0.0))

    pairs = []
    while (pair := assembler.take()) is not None:
        pairs.append(pair)

    assert len(pairs) == 9
    assert all(pair.captured == pair.played for pair in pairs)


@pytest.mark.parametrize("rates", [(24_000, 24_000), (16_000, 48_000)])
def test_two_streams_are_paired_on_the_microphone_s_clock(rates: tuple[int, int]) -> None:
    microphone, speaker = make_callback(), make_callback()
    formats = Format(rates[0]), Format(rates[1])
    assembler = Assembler(480, microphone, speaker, formats, NO_LATENCY)
    pairs = []
    for number in range(100):
        at = number / 50
        played = sine(formats[1], rates[1] // 50, number * rates[1] // 50)
        speaker.blocks.append(FinishedBlock(number, at, played=played, played_in=0.05))
        microphone.blocks.append(FinishedBlock(number, at + 0.003, sine(formats[0], rates[0] // 50), 0.02))
        while (pair := assembler.take()) is not None:
            pairs.append(pair)

    assert len(pairs) >= 97
    assert pairs[-1].captured_at == pytest.approx(pairs[0].captured_at + (len(pairs) - 1) / 50, abs=1e-4)
    assert samples(pairs[-1].played).std() > 5000
    assert assembler.played[3].begins_at == pytest.approx(3 / 50 + 0.05, abs=1e-4)


def test_a_microphone_without_times_is_as_late_as_portaudio_says() -> None:
    callback = make_callback()
    assembler = Assembler(480, callback, callback, (Format(), Format()), (0.05, 0.07))
    callback.blocks.append(FinishedBlock(0, 10.0, bytes(960), None, bytes(960), None))

    pair = assembler.take()

    assert pair is not None
    assert pair.captured_at == pytest.approx(9.95)
    assert assembler.played[0].begins_at == pytest.approx(10.07)


def test_a_device_that_says_it_takes_no_time_has_needed_a_block_at_least() -> None:
    callback = make_callback()
    assembler = Assembler(480, callback, callback, (Format(), Format()), NO_LATENCY)
    callback.blocks.append(FinishedBlock(0, 10.0, bytes(960), None, bytes(960), None))

    pair = assembler.take()

    assert pair is not None
    assert pair.captured_at == pytest.approx(9.98)


def test_what_was_missed_is_a_gap_in_time() -> None:
    """The queue was full: a second of blocks is gone, and the next one says when it really was."""
    callback = make_callback()
    assembler = Assembler(480, callback, callback, (Format(), Format()), NO_LATENCY)
    times = []
    for number in (0, 1, 2, 53, 54):
        callback.blocks.append(FinishedBlock(number, number / 50, bytes(960), 0.0, bytes(960), 0.0))
        pair = assembler.take()
        assert pair is not None
        times.append(pair.captured_at)

    assert times == pytest.approx([0, 0.02, 0.04, 1.06, 1.08])


def test_the_first_block_does_not_begin_in_the_past_of_the_silence_before_it() -> None:
    callback = make_callback()
    assembler = Assembler(480, callback, callback, (Format(), Format()), NO_LATENCY)
    callback.blocks.append(FinishedBlock(0, 10.0, bytes(960), 0.03, bytes(960), 0.0))

    pair = assembler.take(earliest=9.99)

    assert pair is not None
    assert pair.captured_at == 9.99


def test_times_without_jitter_out_of_measurements_full_of_it() -> None:
    """A callback may wait tens of milliseconds for its turn; nobody's capture time moves with that."""
    clock = SmoothClock(24_000)
    chance = random.Random(1)
    begins = [clock.begin_of(480, 5 + n / 50 + chance.choice([0, 0, 0.001, 0.03])) for n in range(2000)]

    steps = [later - earlier for earlier, later in pairwise(begins)]
    assert all(abs(step - 0.02) <= 0.001 + 1e-9 for step in steps)
    assert all(abs(begin - (5 + n / 50)) < 0.02 for n, begin in enumerate(begins) if n > 200)


def test_time_does_not_run_backwards() -> None:
    clock = SmoothClock(24_000)
    for n in range(100):
        clock.begin_of(480, n / 50)

    begins = [clock.begin_of(480, n / 50 - 1) for n in range(100, 110)]

    assert begins == sorted(begins)
    assert begins[0] > 1.98


def test_a_clock_that_runs_faster_is_followed() -> None:
    clock = SmoothClock(24_000)

    begins = [clock.begin_of(480, n * 0.02 * (1 - 200e-6)) for n in range(20_000)]

    assert abs(begins[-1] - 19_999 * 0.02 * (1 - 200e-6)) < 0.002


def test_one_absurd_measurement_is_ignored_and_a_real_standstill_is_not() -> None:
    clock = SmoothClock(24_000)
    for n in range(100):
        clock.begin_of(480, n / 50)

    assert clock.begin_of(480, 2.0 + 0.8) == pytest.approx(2.0, abs=0.0011)
    assert clock.begin_of(480, 2.02) == pytest.approx(2.02, abs=0.002)
    moved = [clock.begin_of(480, 5.0 + n / 50) for n in range(8)]
    assert moved[3] < 2.2, "not sooner than after five that say the same"
    assert moved[4] == pytest.approx(5.08)
    assert moved[7] == pytest.approx(5.14, abs=0.002)
