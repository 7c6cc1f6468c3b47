"""Where what was played comes again in what was captured: found by correlating the two now and then.

How it works. The cross-spectrum of two stretches is whitened (only its phase is kept, GCC-PHAT), so that every
frequency has the same say and speech does not correlate with itself. Turned back into time it is a spike at the delay
of the echo, over an even floor; the spike's height over the mean of the floor says how sure that is, whatever the
loudness of either. What the user says at the same time only raises the floor.

It answers two questions. `EchoPath`: does this microphone hear this speaker at all, and after how long? There, over two
seconds, the spike is 4 to 8 times the mean without an echo, and was over 30 in every simulated room with one.
`is_residue`: is this loud sound, after cancelling, still the echo? There, over half a second, it is 4 to 9 for a voice
near the microphone, and over 11 mostly for what a canceller leaves when the delay has jumped or the loudspeaker is
driven too hard.

One correlation over two seconds takes about half a millisecond, and there are two per second of playing; one over half
a second takes a fifth of that, and only loud blocks need it. So none of it needs a thread.
"""

from typing import Any

import numpy as np

from .pcm import SAMPLE_RATE

__all__ = ["CAPTURED", "CLEANED", "PLAYED", "EchoPath", "Floats", "History", "correlation", "is_residue"]

_DECIMATION = 3
_RATE = SAMPLE_RATE // _DECIMATION  # 8 kHz: speech has nothing above 4 kHz that would tell more
_WINDOW = 16_384  # samples of it: 2 s, long against every delay
_LAGS = 5_600  # 0.7 s: what the canceller can follow at most
_EVERY_S = 0.75  # of playing
_FEWEST_FRAMES = 40  # of 10 ms that were played, before anything is said
_SURE = 12.0  # spike over mean: there is a path ...
_NOTHING = 9.0  # ... and below this nothing was found
_MISSES = 4  # so many analyses without a spike, one after the other: there is no path
_SHORT = 4_096  # samples: 0.5 s
_RESIDUE = 11.0

Floats = np.ndarray[Any, np.dtype[np.float32]]

PLAYED, CAPTURED, CLEANED = 0, 1, 2
"""The rows of a history."""


def correlation(played: Floats, captured: Floats, lags: int) -> tuple[int, float]:
    """Find where what was played comes again in what was captured.

    Args:
        played: The reference; a power of two samples is quick.
        captured: As long, of the same time.
        lags: How many samples of delay are looked at.

    Returns:
        The delay in samples, and how many times as high as the mean the correlation is there.
    """
    cross = np.conj(np.fft.rfft(played)) * np.fft.rfft(captured)
    height = np.abs(cross)
    spikes = np.abs(np.fft.irfft(cross / (height + 1e-9 * (float(height.max()) + 1)))[:lags])
    at = int(spikes.argmax())
    mean = float(spikes.mean())
    return at, float(spikes[at]) / mean if mean else 0.0


class History:
    """The last two seconds of what was played, captured and cleaned, at 8 kHz."""

    def __init__(self) -> None:
        self._rows = np.zeros((3, 4 * _WINDOW), np.float32)
        self._end = _WINDOW

    def add(self, frames: Floats) -> None:
        """Add sound.

        Args:
            frames: A row for each of the three, at 24 kHz; a multiple of three samples, at most two seconds.
        """
        size = frames.shape[1] // _DECIMATION
        if self._end + size > self._rows.shape[1]:
            self._rows[:, :_WINDOW] = self._rows[:, self._end - _WINDOW : self._end]
            self._end = _WINDOW
        # Summing three samples is a poor filter, but the same for all: what it folds down correlates all the same.
        self._rows[:, self._end : self._end + size] = frames[:, 0::3] + frames[:, 1::3] + frames[:, 2::3]
        self._end += size

    def last(self, row: int, samples: int = _WINDOW) -> Floats:
        """Give the most recent samples of one row, as a view that the next `add` may change."""
        return self._rows[row, self._end - samples : self._end]


class EchoPath:
    """Whether the microphone hears the speaker, and how long that takes.

    Args:
        history: Where both are kept.

    Attributes:
        found: Whether there is a path; None while too little was played to know.
        delay_ms: From handing over to capture, where a path was found; whatever the device's buffers do, included.
        confidence: The spike over the mean at the last analysis; 0 before the first.
    """

    def __init__(self, history: History) -> None:
        self.found: bool | None = None
        self.delay_ms: float | None = None
        self.confidence = 0.0
        self._history = history
        self._since_s = 0.0  # of playing, since the last analysis
        self._played_frames = 0
        self._misses = 0

    def note(self, played_frames: int) -> None:
        """Count frames that were played and can be heard; now and then that is the time to look.

        Args:
            played_frames: How many frames of 10 ms, of those that the history got last.
        """
        self._played_frames += played_frames
        self._since_s += played_frames / 100
        if self._since_s >= _EVERY_S and self._played_frames >= _FEWEST_FRAMES:
            self._since_s = 0.0
            self._look()

    def _look(self) -> None:
        at, self.confidence = correlation(self._history.last(PLAYED), self._history.last(CAPTURED), _LAGS)
        if self.confidence >= _SURE:
            self.found, self.delay_ms, self._misses = True, at * 1000 / _RATE, 0
        elif self.confidence <= _NOTHING:
            self._misses += 1
            if self._misses >= _MISSES:
                self.found, self.delay_ms = False, None
        else:
            self._misses = 0


def is_residue(history: History) -> bool:
    """Tell whether what was cleaned last still goes with what was played, up to half a second before.

    Args:
        history: Its last half second is judged. What is quiet in it hardly counts against what is loud.
    """
    recent = np.zeros(2 * _SHORT, np.float32)
    recent[_SHORT:] = history.last(CLEANED, _SHORT)
    _, confidence = correlation(history.last(PLAYED, 2 * _SHORT), recent, _SHORT)
    return confidence >= _RESIDUE
