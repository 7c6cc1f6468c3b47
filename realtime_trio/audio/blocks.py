"""From what the callbacks did to blocks of the session: at 24 kHz, mono, in pairs, on a clock without jitter.

It runs in Trio's thread, but knows no task and reads no clock.

Theory of operation. A duplex stream at 24 kHz and mono needs nothing: what was captured and what was played go on as
they are. At other rates both halves go through converters of the same delay, so the pair stays a pair. Two streams of
their own are aligned by `Pairing`. In every case the n-th captured sample of the stream has one time, and a block is
told the time of its first.
"""

import math
from collections import deque
from collections.abc import Iterator

import attrs

from realtime_trio.device import SAMPLE_RATE

from .callback import Callback, FinishedBlock
from .handover import Format
from .pairing import Pair, Pairing
from .pcm import SAMPLE_BYTES
from .rates import RateConverter

__all__ = ["Assembler", "PlayedBlock", "SmoothClock"]

_JUMP = 0.1  # seconds that a block may be off before it is something else than jitter
_JUMPS = 5  # blocks in a row that have to say so
_SLEW = 0.001  # seconds by which one block may differ from the length of the last
_GAIN = 0.01


class SmoothClock:
    """When a stream's blocks begin: their number times their length, led gently by what is measured.

    A measured time is off by as much as the callback had to wait for its turn. What follows on here never differs by
    more than a millisecond from block to block, unless the stream has really stood still.

    Args:
        rate: Frames a second.

    Attributes:
        earliest: The first block does not begin before it.
    """

    def __init__(self, rate: int) -> None:
        self.earliest = -math.inf
        self._rate = rate
        self._next: float | None = None
        self._seen = 0
        self._off = 0

    def begin_of(self, frames: int, measured: float, *, missing: int = 0) -> float:
        """Tell when the next block begins.

        Args:
            frames: Its length.
            measured: When it seems to begin.
            missing: Frames that went by unseen before it.

        Returns:
            When it begins.
        """
        if self._next is None:
            begin = max(measured, self.earliest)
        else:
            expected = self._next + missing / self._rate
            self._seen += 1
            error = measured - expected
            self._off = self._off + 1 if abs(error) > _JUMP else 0
            if self._off >= _JUMPS:
                begin = max(measured, self._next)
                self._off = self._seen = 0
            else:
                begin = expected + max(-_SLEW, min(_SLEW, error * max(_GAIN, 1 / (self._seen + 1))))
        self._next = begin + frames / self._rate
        return begin


class _Converted:
    """One direction of the hardware as samples of the session, each with its time."""

    def __init__(self, format: Format, latency: float) -> None:
        self.format = format
        self.latency = latency
        self.clock = SmoothClock(format.rate)
        self._converter = RateConverter(format.rate, SAMPLE_RATE, format.channels, 1)
        self._frames = 0  # that came in
        self._samples = 0  # that went out
        self._number = -1

    def begins_at(self, block: FinishedBlock, pcm: bytes, measured: float) -> float:
        """Tell when a block's first frame is captured, or leaves the speaker."""
        frames = len(pcm) // self.format.frame_bytes
        missing = (block.number - self._number - 1) * frames
        self._number = block.number
        return self.clock.begin_of(frames, measured, missing=missing)

    def convert(self, pcm: bytes, begins_at: float) -> tuple[bytes, float]:
        """Convert what begins at a time; give what is ready, and when that begins."""
        converted = self._converter.convert(pcm)
        at = begins_at + self._samples / SAMPLE_RATE - self._frames / self.format.rate
        self._frames += len(pcm) // self.format.frame_bytes
        self._samples += len(converted) // SAMPLE_BYTES
        return converted, at


class _Lockstep:
    """Pairs of a duplex stream that runs at another rate: both halves are always equally long. It is as `Pairing`."""

    dropped = inserted = restarts = 0

    def __init__(self, block: int) -> None:
        self._size = block * SAMPLE_BYTES
        self._captured = bytearray()
        self._played = bytearray()
        self._at = 0.0  # of the first captured sample that waits

    def push_captured(self, pcm: bytes, at: float) -> None:
        self._at = at - len(self._captured) / SAMPLE_BYTES / SAMPLE_RATE
        self._captured += pcm

    def push_played(self, pcm: bytes) -> None:
        self._played += pcm

    def take(self) -> list[Pair]:
        pairs = []
        while len(self._captured) >= self._size:
            pairs.append(Pair(bytes(self._captured[: self._size]), self._at, bytes(self._played[: self._size])))
            del self._captured[: self._size], self._played[: self._size]
            self._at += self._size / SAMPLE_BYTES / SAMPLE_RATE
        return pairs


@attrs.frozen
class PlayedBlock:
    """What went out in one call of the callback."""

    block: FinishedBlock
    begins_at: float
    """When its first frame leaves the speaker."""
    length: float
    """Seconds that it lasts."""


class Assembler:
    """Blocks of the session out of what one opening of the hardware does.

    Args:
        block: Samples of a block of the session.
        input: The callback that captures.
        output: The callback that plays; the same one for a duplex stream.
        formats: What the input and the output speak.
        latencies: Seconds that PortAudio says they take, for callbacks that know no better.
    """

    def __init__(
        self,
        block: int,
        input: Callback,
        output: Callback,
        formats: tuple[Format, Format],
        latencies: tuple[float, float],
    ) -> None:
        self._input, self._output = input, output
        self._in, self._out = (_Converted(*both) for both in zip(formats, latencies, strict=True))
        self._pairs: Pairing | _Lockstep = _Lockstep(block) if input is output else Pairing(block)
        self._ready: deque[Pair] = deque()
        self.played: deque[PlayedBlock] = deque()
        """What went out since this was last emptied, oldest first."""

    @property
    def corrections(self) -> int:
        """Times that the clocks' difference was put right."""
        return self._pairs.dropped + self._pairs.inserted

    @property
    def realignments(self) -> int:
        """Times that two streams were aligned anew."""
        return self._pairs.restarts

    def take(self, *, earliest: float | None = None) -> Pair | None:
        """Take the next pair, if it is complete. What went out meanwhile is in `played`.

        Args:
            earliest: The first pair of all does not begin before that time; before the last one's end, that is.

        Returns:
            The pair.
        """
        if earliest is not None:
            self._in.clock.earliest = earliest
        while not self._ready and self._step():
            self._ready.extend(self._pairs.take())
        return self._ready.popleft() if self._ready else None

    def _step(self) -> bool:
        """Take in one captured block and what was played until then; tell whether there was anything."""
        any_new = False
        if self._output is not self._input:
            for played in _drained(self._output.blocks):
                any_new = True
                self._pairs.push_played(self._play(played))
        block = next(_drained(self._input.blocks), None)
        if block is None:
            return any_new
        length = len(block.captured) / self._in.format.frame_bytes / self._in.format.rate
        ago = max(length, self._in.latency) if block.captured_ago is None else block.captured_ago
        begins_at = self._in.begins_at(block, block.captured, block.now - ago)
        self._pairs.push_captured(*self._in.convert(block.captured, begins_at))
        if self._output is self._input:
            self._pairs.push_played(self._play(block))
        return True

    def _play(self, block: FinishedBlock) -> bytes:
        ahead = self._out.latency if block.played_in is None else block.played_in
        begins_at = self._out.begins_at(block, block.played, block.now + ahead)
        length = len(block.played) / self._out.format.frame_bytes / self._out.format.rate
        self.played.append(PlayedBlock(block, begins_at, length))
        return self._out.convert(block.played, begins_at)[0]


def _drained(blocks: deque[FinishedBlock]) -> Iterator[FinishedBlock]:
    while True:
        try:
            yield blocks.popleft()
        except IndexError:
            return
