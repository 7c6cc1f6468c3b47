"""Arithmetic on sound."""

import itertools
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import pcm

samples = st.lists(st.integers(-32768, 32767), max_size=50)


def sound(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def values_of(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 2}h", data))


def test_lengths() -> None:
    """20 ms are 480 samples, and back."""
    assert pcm.samples_from_ms(20) == 480
    assert pcm.ms_from_samples(1) == pytest.approx(1 / 24)
    assert pcm.silence(10) == bytes(480)
    assert pcm.samples_in(bytes(6)) == 3


@pytest.mark.parametrize("call", [pcm.samples_in, pcm.mix, pcm.fade_out, pcm.level_dbfs])
def test_half_a_sample_is_refused(call) -> None:
    """An odd byte would turn everything after it into noise."""
    with pytest.raises(ValueError, match="odd byte"):
        call(b"abc")


@given(samples, samples)
def test_mix_is_a_limited_sum(left: list[int], right: list[int]) -> None:
    """It adds sample by sample, limits, and is as long as the longest."""
    length = max(len(left), len(right))
    padded = [values + [0] * (length - len(values)) for values in (left, right)]
    expected = [min(max(a + b, -32768), 32767) for a, b in zip(*padded, strict=True)]

    assert expected == values_of(pcm.mix(sound(left), sound(right)))


def test_mix_of_nothing() -> None:
    assert pcm.mix() == b""


@given(samples)
def test_fade_out_only_lowers_and_ends_at_zero(values: list[int]) -> None:
    """No sample grows or changes its sign; the last is 0; nothing is added or lost."""
    faded = values_of(pcm.fade_out(sound(values)))

    assert len(faded) == len(values)
    assert all(abs(after) <= abs(before) and after * before >= 0 for before, after in zip(values, faded, strict=True))
    assert faded[-1:] in ([], [0])


def test_fade_out_is_smooth() -> None:
    """Over 10 ms of full scale no step is larger than 1 % of it."""
    faded = [32767, *values_of(pcm.fade_out(sound([32767] * 240)))]

    assert max(before - after for before, after in itertools.pairwise(faded)) < 328


def test_level() -> None:
    """Full scale is 0 dB, a sine 3 dB less, half of it 6 dB less; silence has no level."""
    sine = sound([round(32767 * math.sin(2 * math.pi * n / 24)) for n in range(240)])

    assert pcm.level_dbfs(sound([-32768] * 10)) == 0
    assert pcm.level_dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert pcm.level_dbfs(sound([16384] * 10)) == pytest.approx(-6.02, abs=0.01)
    assert pcm.level_dbfs(bytes(10)) == pcm.level_dbfs(b"") == -math.inf
