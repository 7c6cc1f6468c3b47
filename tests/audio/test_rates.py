"""Sample rates: nothing is lost or added, pieces make no difference, and a tone stays a tone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.audio.rates import RateConverter

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]
rates = st.sampled_from(RATES)


def tone(rate: int, hertz: float, seconds: float = 1.0, amplitude: float = 8000) -> bytes:
    time = np.arange(round(rate * seconds)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes()


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(float)


def power_and_purity(pcm: bytes, rate: int, hertz: float) -> tuple[float, float]:
    """Measure the amplitude of a tone, and by how many dB it is above everything else."""
    sound = samples(pcm)
    angle = 2 * np.pi * hertz * np.arange(len(sound)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, sound, rcond=None)
    rest = sound - basis @ weights
    return math.hypot(*weights), 10 * math.log10(np.mean((basis @ weights) ** 2) / np.mean(rest**2))


@settings(deadline=None)
@given(source=rates, target=rates, lengths=st.lists(st.integers(0, 3000), max_size=12), seed=st.integers(0, 2**32 - 1))
def test_the_length_is_exact_and_pieces_make_no_difference(source, target, lengths, seed):
    noise = np.random.default_rng(seed).integers(-9000, 9000, sum(lengths)).astype("<i2").tobytes()
    whole, pieces = RateConverter(source, target), RateConverter(source, target)

    expected = whole.convert(noise) + whole.flush()
    came, at = bytearray(), 0
    for length in lengths:
        came += pieces.convert(noise[2 * at : 2 * (at + length)])
        at += length
        assert abs(len(came) / 2 + pieces.held - at * target / source) <= 0.5
    came += pieces.flush()

    assert came == expected
    assert abs(len(came) / 2 - sum(lengths) * target / source) <= 0.5
    assert pieces.held == 0


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", RATES)
def test_what_is_held_back_is_little_and_always_the_same(source, target):
    """A block may not come late because the one before it came early: a ring would have to hold the worst of them."""
    converter = RateConverter(source, target)
    ms_held = []
    for _ in range(200):
        converter.convert(bytes(2 * (source // 100)))
        ms_held.append(converter.held * 1000 / target)

    settled = ms_held[10:]
    assert max(settled) - min(settled) <= 2000 / target + 1e-9
    assert max(settled) <= (0 if source == target else 12 if min(source, target) >= 24_000 else 40)


@pytest.mark.parametrize("toward", [True, False], ids=["in", "out"])
@pytest.mark.parametrize("other", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [200, 1000, 3000])
def test_a_tone_stays_a_tone(other, toward, hertz):
    source, target = (other, 24_000) if toward else (24_000, other)
    converter = RateConverter(source, target)
    heard = converter.convert(tone(source, hertz)) + converter.flush()

    amplitude, purity = power_and_purity(heard[len(heard) // 4 // 2 * 2 : -len(heard) // 4 // 2 * 2], target, hertz)

    assert 7900 < amplitude < 8100
    assert purity > 60


def test_what_the_lower_rate_cannot_hold_is_filtered_out():
    converter = RateConverter(48_000, 24_000)

    heard = samples(converter.convert(tone(48_000, 14_000)))

    assert np.abs(heard[1000:]).max() <= 4


def test_silence_stays_digital_silence():
    """An echo canceller and a meter tell silence from sound by it."""
    for source in RATES:
        assert not any(RateConverter(source, 24_000).convert(bytes(2 * source)))


def test_equal_rates_change_nothing():
    converter = RateConverter(24_000, 24_000)
    sound = tone(24_000, 440)

    assert converter.convert(sound) == sound
    assert (converter.held, converter.flush()) == (0, b"")


def test_channels_are_averaged_and_spread():
    left, right = tone(24_000, 440, amplitude=6000), tone(24_000, 440, amplitude=-2000)
    stereo = np.stack([samples(left), samples(right)], axis=1).astype("<i2").tobytes()

    mono = samples(RateConverter(24_000, 24_000, channels_in=2).convert(stereo))
    spread = RateConverter(24_000, 24_000, 1, 2).convert(left)

    assert np.abs(mono - samples(tone(24_000, 440, amplitude=2000))).max() <= 1
    assert samples(spread)[::2].tolist() == samples(spread)[1::2].tolist() == samples(left).tolist()


def test_a_stereo_microphone_at_another_rate():
    stereo = np.repeat(np.frombuffer(tone(48_000, 1000), "<i2"), 2).tobytes()
    converter = RateConverter(48_000, 24_000, channels_in=2)
    alone = RateConverter(48_000, 24_000)

    assert converter.convert(stereo) == alone.convert(tone(48_000, 1000))


def test_loud_sound_is_limited_and_does_not_wrap():
    loud = np.where(np.arange(4800) // 48 % 2, 32767, -32768).astype("<i2")
    converter = RateConverter(24_000, 48_000)
    heard = samples(converter.convert(loud.tobytes()) + converter.flush())

    middle = heard.reshape(-1, 96)[10:-10, 24:72]
    assert np.abs(middle).min() > 30_000, "wrapping would have turned an overshoot into its opposite"


@pytest.mark.parametrize("end", ["flush", "clear"])
def test_after_its_end_a_stream_begins_anew(end):
    converter = RateConverter(44_100, 24_000)
    first = converter.convert(tone(44_100, 440))
    getattr(converter, end)()

    assert converter.held == 0
    assert converter.convert(tone(44_100, 440)) == first


def test_half_a_frame_is_refused_and_costs_nothing():
    converter = RateConverter(48_000, 24_000, channels_in=2)
    with pytest.raises(ValueError, match="frames of 4"):
        converter.convert(bytes(6))

    assert converter.held == 0
    with pytest.raises(ValueError, match="positive"):
        RateConverter(0, 24_000)
