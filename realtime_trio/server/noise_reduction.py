"""Noise reduction in front of turn detection: `audio.input.noise_reduction`, near field and far field.

Spectral subtraction. Sound is looked at in windows of 20 ms, every 10 ms, in 24 bands. The noise in a band is the
lowest smoothed power of the last 1.5 s, begun with what the first 50 ms hold, so a fan is known almost at once and a
voice, which has gaps in every band, is not taken for one. Each band is turned down by what the noise is of its power.

`far_field` stops there, and is gentle, because a voice from afar is little louder than the room. `near_field` takes
more, and turns down all that is far below the user's own voice: somebody with a microphone at the mouth is louder than
the people behind.

Pure, and about 1/200 of real time. What is reduced goes to the turn detector only; what the buffer keeps, and the
recogniser hears, is the sound as it came.
"""

from collections import deque

import attrs
import numpy as np
import numpy.typing as npt

from realtime_trio.server import guesses
from realtime_trio.server.seams import SAMPLE_RATE

__all__ = ["NoiseReducer", "NoiseSettings"]

_Sound = npt.NDArray[np.float64]

_HOP = SAMPLE_RATE // 100
_WINDOW: _Sound = np.sqrt(np.hanning(2 * _HOP + 1)[:-1])
_BANDS = 24
_SMOOTHING = 0.25  # of each window in the smoothed power: 40 ms
_SLOW = 0.1  # of each window in the power in which noise is looked for: 100 ms
_FIRST = 5  # windows that are taken for the room
_STEP = 30  # the noise is the minimum over this many windows (0.3 s) ...
_STEPS = 4  # ... and this many steps before them
_MUTED = 4.0  # power per sample, below one step of dither twice over: not a room, a gate
_LEAST = 16.0  # power per sample to which a quiet room is reduced at most: below it lies digital silence
_VOICE_DECAY = 10 ** (-0.02 / 100)  # the user's own level is forgotten by 1 dB in 5 s
_ONSET = 8.0  # times the smoothed power: that is no chance
_VOICE_ABOVE = 10.0  # times the noise: only that is the user


def _edges() -> npt.NDArray[np.intp]:
    """Divide the spectrum: bands of 200 Hz at least, wider towards the top."""
    wanted = np.geomspace(100, SAMPLE_RATE / 2, _BANDS)
    bins = np.rint(wanted / (SAMPLE_RATE / 2) * _HOP).astype(np.intp)
    edges = np.concatenate([[0], bins[:-1]])
    for index in range(1, _BANDS):
        edges[index] = max(edges[index], edges[index - 1] + 4)
    return edges


_EDGES = _edges()
_WIDTHS = np.diff(np.append(_EDGES, _HOP + 1))
_BIAS: _Sound = 1 / (1 - 2.3 * np.sqrt(_SLOW / (2 - _SLOW) / (0.7 * _WIDTHS)))
"""How many times its lowest smoothed power the mean of a steady noise is: the more, the narrower the band."""


@attrs.frozen
class NoiseSettings:
    """What a client asks for.

    Attributes:
        kind: `near_field` or `far_field`.
        strength: 0 for nothing; 1 is normal; more takes more.
    """

    kind: str
    strength: float = 1.0


class _BandNoise:
    """The noise in every band."""

    def __init__(self) -> None:
        self._steps: deque[_Sound] = deque(maxlen=_STEPS)
        self._lowest: _Sound | None = None
        self._smooth: _Sound = np.zeros(_BANDS)
        self._windows = 0
        self.power: _Sound = np.zeros(_BANDS)

    def learn(self, power: _Sound) -> None:
        """Take the power of the next window into account."""
        self._windows += 1
        if self._windows <= _FIRST:
            self._smooth += (power - self._smooth) / self._windows
            self.power = self._smooth
            return
        self._smooth = self._smooth + (power - self._smooth) * _SLOW
        self._lowest = self._smooth if self._lowest is None else np.minimum(self._lowest, self._smooth)
        lowest = np.minimum.reduce([self._lowest, *self._steps])
        self.power = lowest * _BIAS
        if self._windows % _STEP == 0:
            self._steps.append(self._lowest)
            self._lowest = None


class NoiseReducer:
    """Turns noise down in a stream of PCM16 at 24 kHz.

    Args:
        settings: How.
    """

    def __init__(self, settings: NoiseSettings) -> None:
        near = settings.kind == "near_field"
        over, least_db = guesses.NEAR_FIELD_REDUCTION if near else guesses.FAR_FIELD_REDUCTION
        self._over = over * settings.strength
        self._least = 10 ** (-least_db * settings.strength / 10)
        self._near = near and settings.strength > 0
        self._noise = _BandNoise()
        self._power: _Sound = np.zeros(_BANDS)  # smoothed, but for onsets
        self._left = 0.0  # the smoothed power of what was left
        self._voice = 0.0  # the highest of it, slowly forgotten: the user's own
        self._rest: npt.NDArray[np.int16] = np.zeros(0, np.int16)
        self._before: _Sound = np.zeros(_HOP)  # the hop before the next one
        self._tail: _Sound | None = None  # the second half of the last window; None before the first

    @property
    def pending(self) -> int:
        """Samples that were fed and not given back yet, at most 480."""
        return len(self._rest) + (0 if self._tail is None else _HOP)

    def feed(self, pcm: bytes) -> bytes:
        """Take the next sound, of any length in whole samples.

        Returns:
            What can be given back of all that was fed, in order; its samples have the places of those fed.
        """
        sound = np.concatenate([self._rest, np.frombuffer(pcm, "<i2")])
        whole = len(sound) // _HOP * _HOP
        self._rest = sound[whole:]
        hops = sound[:whole].reshape(-1, _HOP).astype(np.float64)
        out = [given for hop in hops if (given := self._hop(hop)) is not None]
        if not out:
            return b""
        rounded = np.rint(np.clip(np.concatenate(out), -32768, 32767))
        return bytes(rounded.astype("<i2").tobytes())

    def _hop(self, hop: _Sound) -> _Sound | None:
        spectrum = np.fft.rfft(np.concatenate([self._before, hop]) * _WINDOW)
        self._before = hop
        power = np.add.reduceat(spectrum.real**2 + spectrum.imag**2, _EDGES) / _HOP**2
        if power.sum() > _MUTED:
            self._noise.learn(power)
        gain = np.sqrt(self._gain(power))
        reduced = np.fft.irfft(spectrum * np.repeat(gain, _WIDTHS)) * _WINDOW
        tail, self._tail = self._tail, reduced[_HOP:]
        return None if tail is None else tail + reduced[:_HOP]

    def _gain(self, power: _Sound) -> _Sound:
        """Decide what is left of each band's power."""
        noise = self._noise.power
        room = max(float(noise.sum()), 1e-9)
        self._power += (power - self._power) * np.where(power > _ONSET * self._power, 1.0, _SMOOTHING)
        power = self._power  # single windows of a noise vary a lot
        least = max(self._least, min(1.0, _LEAST / room))
        gain: _Sound = np.maximum(least, 1 - self._over * noise / np.maximum(power, 1e-9))
        if not self._near:
            return gain
        self._left += (float((gain * power).sum()) - self._left) * _SMOOTHING
        self._voice *= _VOICE_DECAY
        if self._left > _VOICE_ABOVE * room:
            self._voice = max(self._left, self._voice)
        if self._left < self._voice * 10 ** (-guesses.NEAR_FIELD_VOICES_DB / 10):
            # down to what is left of the noise, and no further: a gate that breathes would look like speech
            gain = gain * min(1.0, max(least * room, _LEAST) / max(self._left, 1e-9))
        return gain
