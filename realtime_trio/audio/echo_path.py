"""Whether the microphone hears the speaker, and how long that takes: found by correlating the two now and then.

How it works. Over the last two seconds, the cross-spectrum of what was played and what was captured is whitened (only
its phase is kept, GCC-PHAT), so that every frequency has the same say and speech does not correlate with itself.
Turned back into time it is a spike at the delay of the echo, over an even floor; the spike's height over the mean of
the floor says how sure that is. Without an echo the highest value is 4 to 7 times the mean, with one it is over 20
also in bad rooms, whatever the loudness of either. What the user says at the same time only raises the floor.

One analysis takes about half a millisecond, and there are two per second of playing, so it needs no thread.
"""

from typing import Any

import numpy as np

from .pcm import SAMPLE_RATE

__all__ = ["EchoPath", "correlation"]

_DECIMATION = 3
_RATE = SAMPLE_RATE // _DECIMATION  # 8 kHz: speech has nothing above 4 kHz that would tell more
_WINDOW = 16_384  # samples of it: 2 s, long against every delay
_LONGEST_DELAY_S = 0.7  # what the canceller can follow at most
_LAGS = round(_RATE * _LONGEST_DELAY_S)
_EVERY_S = 0.5  # of playing
_FEWEST_S = 0.4  # of playing in the window, before it says anything
_SURE = 10.0  # spike over mean: there is a path ...
_NOTHING = 8.0  # ... and below this nothing was found
_MISSES = 4  # so many analyses without a spike, one after the other: there is no path
_LOUD = 10 ** (-55 / 20) * 32768  # below, the reference cannot be heard in any room

_Floats = np.ndarray[Any, np.dtype[np.float32]]


def correlation(played: _Floats, captured: _Floats, lags: int) -> tuple[int, float]:
    """Find where what was played comes again in what was captured.

    Args:
        played: The reference.
        captured: As long; a power of two is quick.
        lags: How many samples of delay are looked at.

    Returns:
        The delay in samples, and how many times as high as the mean the correlation is there.
    """
    cross = np.conj(np.fft.rfft(played)) * np.fft.rfft(captured)
    height = np.abs(cross)
    spikes = np.abs(np.fft.irfft(cross / (height + 1e-9 * (height.max() + 1)))[:lags])
    at = int(spikes.argmax())
    mean = float(spikes.mean())
    return at, float(spikes[at]) / mean if mean else 0.0


class EchoPath:
    """Follows one pair of speaker and microphone.

    Attributes:
        found: Whether there is a path; None while too little was played to know.
        delay_ms: From handing over to capture, where a path was found; whatever the device's buffers do, included.
        confidence: The spike over the mean at the last analysis; 0 before the first.
    """

    def __init__(self) -> None:
        self.found: bool | None = None
        self.delay_ms: float | None = None
        self.confidence = 0.0
        self._played = np.zeros(_WINDOW, np.float32)
        self._captured = np.zeros(_WINDOW, np.float32)
        self._loud = np.zeros(_WINDOW // 80 + 1, bool)  # one mark for each 10 ms of the window
        self._next = 0  # where the next sample goes: the two arrays are rings
        self._since = 0.0  # seconds of playing since the last analysis
        self._misses = 0

    def feed(self, captured: _Floats, played: _Floats) -> None:
        """Take the next 10 ms frame of both.

        Args:
            captured: 240 samples of the microphone, before any cancelling.
            played: 240 samples of the reference.
        """
        size = len(played) // _DECIMATION
        # Summing three samples is a poor filter, but the same for both: what it folds down correlates all the same.
        start, end = self._next, self._next + size
        sums_played = played.reshape(size, _DECIMATION).sum(axis=1)
        sums_captured = captured.reshape(size, _DECIMATION).sum(axis=1)
        fits = min(size, _WINDOW - start)
        self._played[start : start + fits], self._captured[start : start + fits] = (
            sums_played[:fits],
            sums_captured[:fits],
        )
        if fits < size:
            self._played[: size - fits], self._captured[: size - fits] = sums_played[fits:], sums_captured[fits:]
        self._next = end % _WINDOW
        loud = float(np.dot(played, played)) > len(played) * _LOUD**2
        self._loud[start // size] = loud
        if loud:
            self._since += size / _RATE
            if self._since >= _EVERY_S:
                self._since = 0.0
                self._analyse()

    def _analyse(self) -> None:
        if self._loud.sum() < _FEWEST_S * 100:
            return
        # the oldest sample first; the seam of the ring would be a second spike
        at, self.confidence = correlation(
            np.roll(self._played, -self._next), np.roll(self._captured, -self._next), _LAGS
        )
        if self.confidence >= _SURE:
            self.found, self.delay_ms, self._misses = True, at * 1000 / _RATE, 0
        elif self.confidence <= _NOTHING:
            self._misses += 1
            if self._misses >= _MISSES:
                self.found, self.delay_ms = False, None
        else:
            self._misses = 0
