"""Finds the user's turns by loudness: 10 ms frames against an adaptive noise floor.

Pure and cheap (about 1/1000 of real time), so it runs inside the server's task. What a turn leads to (items, responses,
interruptions) is the protocol's business; whether a pause is the end of what somebody says, that of `semantic`.

How it decides. Each frame has a level in dB below full scale. The floor is the lowest smoothed level of the last
2.5 s, so it falls at once and rises when a noise has lasted that long; speech has dips that keep it down. A frame is
loud when it stands out of the floor by a margin and is not below an absolute level; both grow with `threshold`. In a
loud room the margin is smaller: its noise stands out of itself by less than that, and nobody speaks 12 dB above it.

A turn starts when, within 130 ms, two thirds of the frames are loud and the first and the last of those are more than
100 ms apart: a click or a cough below 100 ms is no turn, wherever it falls on the frames, and a voice is noticed after
120 ms. What is far below a louder frame before it counts as quiet, so that a knock that only rings on is none either.

It ends when nothing loud came for `silence_duration_ms`; while it is open, frames are judged 4 dB more kindly, because
words end quietly.

Digital silence (a muted microphone, half duplex, a file) says nothing of the room: it brings the floor back to what the
room was between turns, or to what an unheard room is taken for. Were it left alone, speech between such silences
would in the end be all that the floor knows, and be taken for the noise.
"""

import math
from collections import deque
from collections.abc import Sequence

import attrs
import numpy as np

from realtime_trio.server.seams import SAMPLE_RATE, SpeechStarted, SpeechStopped

__all__ = ["FRAME_SAMPLES", "EnergyTurnDetector"]

FRAME_SAMPLES = SAMPLE_RATE // 100
"""Samples per 10 ms frame, the step in which positions are found."""

_FRAME_BYTES = 2 * FRAME_SAMPLES
_ONSET_FRAMES = 13  # a turn starts when, of the last 130 ms ...
_ONSET_LOUD = 9  # ... 90 are loud ...
_ONSET_SPAN = 12  # ... spread over 120: sound of 100 ms can touch 11 frames
_DYING_DB = 15.0  # what comes after the loudest frame of the onset, that far below it, is the echo of a knock
_GOING_ON_FRAMES = 10
_GOING_ON_LOUD = 4  # a turn goes on while 40 of 100 ms are loud: one click in the closing silence does not prolong it
_KINDNESS_DB = 4.0
_FLOOR_STEP = 50  # the floor is the minimum over this many frames (0.5 s) ...
_FLOOR_STEPS = 5  # ... and this many steps before them
_SMOOTHING = 0.18  # of each frame in the smoothed level: 50 ms
_ROOM_SMOOTHING = 0.01  # of each frame in what is taken for the room between turns: 1 s
_FIRST_FLOOR_DB = -50.0  # what a room is taken for until it was heard: a recording may begin in the middle of a word
_LOWEST_FLOOR_DB = -75.0
_QUIET_ROOM_DB, _LOUD_ROOM_DB = -50.0, -42.0  # from the one to the other the margin shrinks ...
_LOUD_ROOM_MARGIN = 0.42  # ... by this: from 12 to 7 dB at the default threshold
_MUTED_DB = -85.0  # below one step of dither: not a room, a gate
_FULL_SCALE = 32768.0


def _levels(pcm: bytes) -> list[float]:
    """Give the level of each whole frame in dB below full scale, without its constant part."""
    frames = np.frombuffer(pcm, dtype="<i2").reshape(-1, FRAME_SAMPLES).astype(np.float64)
    power = frames.var(axis=1) / _FULL_SCALE**2
    levels: list[float] = (10 * np.log10(power + 1e-12)).tolist()
    return levels


class _NoiseFloor:
    """The lowest smoothed level of the last 2.5 to 3 seconds."""

    def __init__(self) -> None:
        self._steps = deque([_FIRST_FLOOR_DB], maxlen=_FLOOR_STEPS)
        self._lowest = math.inf
        self._smooth: float | None = None
        self._frames = 0
        self._room = _FIRST_FLOOR_DB
        self.level = _FIRST_FLOOR_DB

    def learn(self, level: float) -> None:
        """Take the level of the next frame into account."""
        if level < _MUTED_DB:
            level = min(self.level, max(_FIRST_FLOOR_DB, self._room))
        self._smooth = level if self._smooth is None else self._smooth + (level - self._smooth) * _SMOOTHING
        self._lowest = min(self._lowest, self._smooth)
        self._frames += 1
        if self._frames == _FLOOR_STEP:
            self._steps.append(self._lowest)
            self._frames, self._lowest = 0, math.inf
        self.level = max(_LOWEST_FLOOR_DB, min(self._lowest, *self._steps))

    def learn_room(self, level: float) -> None:
        """Take the level of a frame into account in which nobody speaks."""
        if level >= _MUTED_DB:
            self._room += (level - self._room) * _ROOM_SMOOTHING


@attrs.define(eq=False)
class EnergyTurnDetector:
    """A `TurnDetector` that goes by loudness. It needs speech about 10 dB above the noise.

    Args:
        threshold: 0 (whatever is louder than the room is speech) to 1 (24 dB above it). 0.5 asks for 12 dB.
        prefix_padding_ms: How much sound from before the noticed start belongs to the turn.
        silence_duration_ms: How much silence ends the turn.
    """

    _threshold: float = 0.5
    _prefix_padding_ms: int = 300
    _silence_duration_ms: int = 500
    _rest: bytes = attrs.field(default=b"", init=False, repr=False)
    _frame_start: int = attrs.field(default=0, init=False)  # first sample of the next frame
    _earliest: int = attrs.field(default=0, init=False)  # no turn may begin before this sample
    _floor: _NoiseFloor = attrs.field(factory=_NoiseFloor, init=False, repr=False)
    _recent: deque[float | None] = attrs.field(  # the level of each loud frame, None for the others
        factory=lambda: deque(maxlen=_ONSET_FRAMES), init=False, repr=False
    )
    _loud_until: int | None = attrs.field(
        default=None, init=False
    )  # while a turn is open: where its last loud frame ended

    @property
    def speaking(self) -> bool:
        """Whether a turn is open."""
        return self._loud_until is not None

    @property
    def position(self) -> int:
        """Samples fed so far."""
        return self._frame_start + len(self._rest) // 2

    def configure(self, *, threshold: float, prefix_padding_ms: int, silence_duration_ms: int) -> None:
        """Change the settings from the next frame on; an open turn and the noise floor stay.

        Args:
            threshold: 0 to 1.
            prefix_padding_ms: Sound from before the noticed start.
            silence_duration_ms: Silence that ends the turn.
        """
        self._threshold = threshold
        self._prefix_padding_ms = prefix_padding_ms
        self._silence_duration_ms = silence_duration_ms

    def feed(self, pcm: bytes) -> Sequence[SpeechStarted | SpeechStopped]:
        """Take the next sound of the input timeline, of any length.

        Returns:
            The starts and stops that were found in it, alternating, with ascending positions.
        """
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % _FRAME_BYTES
        self._rest = pcm[whole:]
        found: list[SpeechStarted | SpeechStopped] = []
        for level in _levels(pcm[:whole]) if whole else ():
            event = self._frame(level)
            if event is not None:
                found.append(event)
        return found

    def reset(self) -> None:
        """Forget the open turn. The next one begins here at the earliest."""
        self._earliest = self.position
        self._loud_until = None
        self._recent.clear()

    def _frame(self, level: float) -> SpeechStarted | SpeechStopped | None:
        self._floor.learn(level)
        loud_room = min(1.0, max(0.0, (self._floor.level - _QUIET_ROOM_DB) / (_LOUD_ROOM_DB - _QUIET_ROOM_DB)))
        margin = 24 * self._threshold * (1 - _LOUD_ROOM_MARGIN * loud_room)
        quietest = -70 + 40 * self._threshold
        kindness = _KINDNESS_DB if self.speaking else 0.0
        loud = level > max(self._floor.level + margin, quietest) - kindness
        self._recent.append(level if loud else None)
        self._frame_start += FRAME_SAMPLES
        if self._loud_until is None:
            if not loud:
                self._floor.learn_room(level)
            return self._maybe_start()
        latest = list(self._recent)[-_GOING_ON_FRAMES:]
        if loud and len(latest) - latest.count(None) >= _GOING_ON_LOUD:
            self._loud_until = self._frame_start
        if self._frame_start - self._loud_until < self._silence_duration_ms * SAMPLE_RATE // 1000:
            return None
        self._loud_until = None
        self._recent.clear()
        self._earliest = self._frame_start
        return SpeechStopped(self._frame_start)

    def _maybe_start(self) -> SpeechStarted | None:
        if self._recent[-1] is None:
            return None
        levels = [-math.inf if level is None else level for level in self._recent]
        peak = levels.index(max(levels))
        loud = [i for i, level in enumerate(levels) if level > (levels[peak] - _DYING_DB if i > peak else -math.inf)]
        if len(loud) < _ONSET_LOUD or loud[-1] - loud[0] + 1 < _ONSET_SPAN:
            return None
        self._loud_until = self._frame_start
        onset = self._frame_start - FRAME_SAMPLES * (len(self._recent) - loud[0])
        padded = onset - self._prefix_padding_ms * SAMPLE_RATE // 1000
        return SpeechStarted(max(self._earliest, padded))
