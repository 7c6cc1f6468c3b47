"""A room between a simulated speaker and a simulated microphone, so that the one is heard by the other.

For tests and demonstrations of echo cancellation; real rooms come with real devices.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .pcm import samples_from_ms, samples_in

__all__ = ["Room"]

_Floats = np.ndarray[Any, np.dtype[np.float64]]


class Room:
    """What a microphone hears of a speaker: delayed, weaker, and with reflections. Use one for each device.

    It is called with what left the speaker, piece by piece, and gives what is heard meanwhile.

    Args:
        delay_ms: How long the sound is under way, beside the output latency of the device.
        gain_db: How much of it arrives: -6 is half.
        response: The impulse response of the room at 24 kHz, in place of a single arrival. `delay_ms` and `gain_db`
            come on top.

    Raises:
        ValueError: The delay is negative, or the response is empty.
    """

    def __init__(self, delay_ms: float = 30, gain_db: float = -12, response: Sequence[float] = (1.0,)) -> None:
        if delay_ms < 0 or not len(response):
            raise ValueError("delay_ms must not be negative, and a response needs a sample")
        self._weights: _Floats = np.asarray(response, dtype=np.float64) * 10 ** (gain_db / 20)
        # what has left the speaker and can still be heard
        self._past: _Floats = np.zeros(samples_from_ms(delay_ms) + len(self._weights) - 1)

    def __call__(self, played: bytes) -> bytes:
        """Hear the next piece.

        Args:
            played: PCM16 mono 24 kHz, what left the speaker.

        Returns:
            What the microphone hears of the speaker in the same time, as long.

        Raises:
            ValueError: It ends within a sample.
        """
        count = samples_in(played)
        if not count:
            return b""
        sound = np.concatenate([self._past, np.frombuffer(played, dtype="<i2")])
        self._past = sound[count:]
        heard = np.convolve(sound[: count + len(self._weights) - 1], self._weights, mode="valid")
        return bytes(np.rint(heard).clip(-32768, 32767).astype("<i2").tobytes())
