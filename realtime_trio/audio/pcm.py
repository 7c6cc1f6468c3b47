"""Arithmetic on sound as the API speaks it: PCM, 16 bit, little endian, mono, 24 kHz.

Files stand in `realtime_trio.audio.wav`, buffers in `realtime_trio.audio.ring`; nothing here keeps anything.

Everywhere a *sample* is two bytes; half a sample is refused where it comes in (`samples_in`), because every sample
after it would be noise.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from realtime_trio.device import SAMPLE_RATE

__all__ = [
    "FADE_SAMPLES",
    "SAMPLE_BYTES",
    "SAMPLE_RATE",
    "fade_out",
    "level_dbfs",
    "mix",
    "ms_from_samples",
    "samples_from_ms",
    "samples_in",
    "silence",
]

SAMPLE_BYTES = 2
"""Bytes of one sample."""

FADE_SAMPLES = SAMPLE_RATE // 100
"""The longest fade at a cut: 10 ms, enough to hear no click."""

_INT16 = np.dtype("<i2")


def samples_in(pcm: bytes | bytearray | memoryview) -> int:
    """Count whole samples.

    Args:
        pcm: The sound.

    Returns:
        Its length in samples.

    Raises:
        ValueError: It ends within a sample.
    """
    if len(pcm) % SAMPLE_BYTES:
        raise ValueError(
            f"{len(pcm)} bytes are no whole number of 16-bit samples: keep the odd byte for the next piece"
        )
    return len(pcm) // SAMPLE_BYTES


def samples_from_ms(ms: float) -> int:
    """Convert milliseconds to samples, to the nearest."""
    return round(ms * SAMPLE_RATE / 1000)


def ms_from_samples(samples: int) -> float:
    """Convert samples to milliseconds, without rounding."""
    return samples * 1000 / SAMPLE_RATE


def silence(ms: float) -> bytes:
    """Make digital silence, to the nearest sample.

    Args:
        ms: Its length in milliseconds.

    Returns:
        Zeros.
    """
    return bytes(samples_from_ms(ms) * SAMPLE_BYTES)


def mix(*sounds: bytes) -> bytes:
    """Add sounds that begin together. What is too loud is limited, what is shorter ends in silence.

    Args:
        sounds: Any number of them.

    Returns:
        Their sum, as long as the longest.

    Raises:
        ValueError: One ends within a sample.
    """
    total = np.zeros(max((samples_in(sound) for sound in sounds), default=0), dtype=np.int32)
    for sound in sounds:
        total[: len(sound) // SAMPLE_BYTES] += np.frombuffer(sound, dtype=_INT16)
    return total.clip(-32768, 32767).astype(_INT16).tobytes()


def fade_out(pcm: bytes) -> bytes:
    """Lower a whole piece to silence, along half a cosine: its last sample is 0.

    Args:
        pcm: The piece; at a cut at most `FADE_SAMPLES` long.

    Returns:
        A piece of the same length.

    Raises:
        ValueError: It ends within a sample.
    """
    ramp = _ramp(samples_in(pcm))
    return np.rint(np.frombuffer(pcm, dtype=_INT16) * ramp).astype(_INT16).tobytes()


@lru_cache(maxsize=1024)  # a cut in PortAudio's thread finds it ready made
def _ramp(length: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / max(length, 1))


def level_dbfs(pcm: bytes) -> float:
    """Measure the level: root mean square, in dB relative to a square wave at full scale (a full sine is -3).

    Args:
        pcm: The sound.

    Returns:
        The level, 0 or less; minus infinity for silence, and for no sound at all.

    Raises:
        ValueError: It ends within a sample.
    """
    if not samples_in(pcm):
        return -math.inf
    power = float(np.mean(np.square(np.frombuffer(pcm, dtype=_INT16).astype(np.float64))))
    return 10 * math.log10(power / 32768**2) if power else -math.inf
