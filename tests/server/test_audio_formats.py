"""G.711 and PCM16, held against the standard's own numbers and against each other."""

import numpy as np
import pytest

from realtime_trio.server.audio_formats import FORMATS

PCM, MU, A = (FORMATS[f"audio/pcm{name}"] for name in ("", "u", "a"))


@pytest.mark.parametrize(
    ("audio_format", "code", "value"),
    [
        (MU, 0x00, -32124),
        (MU, 0x80, 32124),
        (MU, 0xFF, 0),
        (MU, 0x7F, 0),
        (MU, 0xF0, 120),
        (A, 0x55, -8),
        (A, 0xD5, 8),
        (A, 0xAA, 32256),
        (A, 0x2A, -32256),
    ],
)
def test_codes_have_the_values_of_the_standard(audio_format, code, value):
    assert value == audio_format.law.values[code]


@pytest.mark.parametrize("audio_format", [MU, A])
def test_a_tone_survives_the_way_out_and_back(audio_format):
    time = np.arange(24_000) / 24_000
    tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    coded = audio_format.from_pcm(tone.tobytes())
    assert 8000 == len(coded)
    back = np.frombuffer(audio_format.to_pcm(coded), np.int16)
    assert len(tone) == len(back)
    error = (back - tone.astype(float))[500:-500]
    assert 30 < 10 * np.log10(np.mean(tone.astype(float) ** 2) / np.mean(error**2))


@pytest.mark.parametrize(("audio_format", "second"), [(PCM, 48_000), (MU, 8000), (A, 8000)])
def test_sizes_positions_and_times_agree(audio_format, second):
    assert second == audio_format.byte_offset(24_000)
    assert 24_000 == audio_format.samples(second)
    assert 1000 == audio_format.milliseconds(second)
    assert 48_000 == len(audio_format.to_pcm(bytes(second))) == len(audio_format.to_pcm_rough(bytes(second)))
    assert b"" == audio_format.to_pcm(b"") == audio_format.from_pcm(b"")
