"""Sound for the tests of echo: a voice that is played, and what a microphone near the speaker hears of it."""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from realtime_trio.audio import read_wav
from realtime_trio.audio.pcm import SAMPLE_RATE
from realtime_trio.device import CleanBlock, EchoControl

BLOCK_MS = 20
RECORDING = Path(__file__).parents[1] / "data" / "toronto.wav"


def pcm(samples: np.ndarray) -> bytes:
    return np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes()


def samples(sound: bytes) -> np.ndarray:
    return np.frombuffer(sound, "<i2").astype(float)


@cache
def voice(seconds: float) -> np.ndarray:
    """Somebody who speaks on and on."""
    recording = samples(read_wav(RECORDING))[: 5 * SAMPLE_RATE]
    return np.resize(recording, int(seconds * SAMPLE_RATE))


@cache
def other_voice(seconds: float) -> np.ndarray:
    """Somebody else, who says other things: the same backwards, and lower."""
    recording = samples(read_wav(RECORDING))[: 5 * SAMPLE_RATE][::-1]
    slow = np.interp(np.arange(0, len(recording), 0.8), np.arange(len(recording)), recording)
    return np.resize(slow, int(seconds * SAMPLE_RATE))


def room_noise(length: int, *, dbfs: float = -70.0) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 32768 * 10 ** (dbfs / 20), length)


def shifted(sound: np.ndarray, ms: float) -> np.ndarray:
    """Delay a sound; with less than nothing it comes early."""
    by = round(ms * SAMPLE_RATE / 1000)
    return np.roll(sound, by) * (np.arange(len(sound)) >= by)


def echo_of(played: np.ndarray, *, delay_ms: float = 120.0, gain: float = 0.5) -> np.ndarray:
    """What a small room makes of it: a delay, then 40 ms of reflections that die away."""
    random = np.random.default_rng(4)
    length = SAMPLE_RATE // 25
    response = random.normal(0, 1, length) * np.exp(-np.arange(length) / (length / 5)) * 0.1
    response[0] = 1.0
    size = 1 << math.ceil(math.log2(len(played) + length))
    reflected = np.fft.irfft(np.fft.rfft(played, size) * np.fft.rfft(response, size), size)[: len(played)]
    return gain * shifted(reflected, delay_ms)


def run(
    echo: EchoControl, captured: np.ndarray, played: np.ndarray, *, block_ms: float = BLOCK_MS
) -> Iterator[CleanBlock]:
    """Give both to an echo control, block by block."""
    microphone, speaker = pcm(captured), pcm(played)
    step = 2 * round(block_ms * SAMPLE_RATE / 1000)
    for start in range(0, len(microphone) - step + 1, step):
        yield echo.process(microphone[start : start + step], speaker[start : start + step])


def joined(blocks: list[CleanBlock]) -> np.ndarray:
    return samples(b"".join(block.pcm for block in blocks))


def level(sound: np.ndarray) -> float:
    """Tell how loud it is, in dB below full scale."""
    return 10 * math.log10(float(np.mean(sound**2)) / 32768**2 + 1e-12)
