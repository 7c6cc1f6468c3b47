"""What runs in PortAudio's own thread: bytes move, frames are counted, nothing waits.

Everything here counts *frames of the device*, at its rate and with its channels; what they mean in samples of the
session is reckoned in Trio's thread (`realtime_trio.audio.handover`).

Theory of operation. Two threads share these objects without a lock of ours. Each number has one thread that writes it;
the other only reads it. Sound goes one way through `HandoverRing` (Trio's thread writes, the callback takes), finished
blocks go the other way through deques, whose `append` and `popleft` are atomic. A cut is a note: the new generation,
and how many frames had been written when it was made. The callback looks first how much was written, then for notes: so
a frame that was written after a cut is never taken for one before it.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from .pcm import fade_out

__all__ = ["Callback", "CutFrame", "FinishedBlock", "HandoverRing", "StreamTime"]


class StreamTime(Protocol):
    """The times that PortAudio gives a callback, in seconds of its own clock; 0 where it does not know."""

    @property
    def currentTime(self) -> float:  # noqa: N802  PortAudio's names
        """When the callback was called."""
        ...

    @property
    def inputBufferAdcTime(self) -> float:  # noqa: N802
        """When the first frame of the block was captured."""
        ...

    @property
    def outputBufferDacTime(self) -> float:  # noqa: N802
        """When the first frame of the block leaves the speaker."""
        ...


class CutFrame(NamedTuple):
    """Where a cut fell."""

    block: int
    """Number of the block in which it fell."""

    generation: int
    """The generation that it ended."""

    frames: int
    """Frames of that generation that were handed over by this ring, fade included."""

    offset: int | None
    """Where in the block the last of them ends; None when the block has none of them."""


class FinishedBlock(NamedTuple):
    """What one call of the callback did. An input or an output alone leaves the other half at its default."""

    number: int
    now: float
    """When the callback was called, on Trio's clock."""

    captured: bytes = b""
    captured_ago: float | None = None
    """Seconds before `now` at which the first captured frame was captured; None when PortAudio does not know."""

    played: bytes = b""
    played_in: float | None = None
    """Seconds after `now` at which the first frame leaves the speaker; None when PortAudio does not know."""

    generation: int = 0
    """The generation that the next block begins with."""

    frames: int = 0
    """Frames of it that were handed over by this ring."""

    offset: int | None = None
    """Where in the block the last of them ends; None when the block has none of them."""


class HandoverRing:
    """Sound on its way from Trio's thread to the callback: one writes, one takes, nobody waits.

    What a gap is, and that it counts as an underrun, is told at `realtime_trio.audio.ring.PlayoutRing`, whose counts
    these are too.

    Args:
        capacity: Frames that fit in. What a cut drops takes up its place until the callback comes by.
        frame_bytes: Bytes of a frame: 2 for each channel.
        fade: Frames of the fade at a cut; at most a block.
        pause: Frames of silence from which on it is a pause, not a gap.

    Attributes:
        generation: The one that the callback is at; none, -1, before the first `cut`.
        frames: Frames of it that were handed over.
        offset: Where in the last block they ended; None when it had none of them.
        underruns: Times that sound came too late.
    """

    def __init__(self, capacity: int, *, frame_bytes: int, fade: int, pause: int) -> None:
        self._capacity = capacity
        self._frame_bytes = frame_bytes
        self._fade = fade
        self._pause = pause
        self._memory = memoryview(bytearray(capacity * frame_bytes))
        fade_out(bytes(fade * frame_bytes))  # makes the ramp, here and not in the callback's thread
        # written in Trio's thread
        self._written = 0
        self._cuts: deque[tuple[int, int]] = deque()  # the new generation, `_written` at that moment
        # written in the callback's thread
        self._taken = 0  # handed over or dropped
        self._gap = 0
        self._sounding = False  # the last block ended in sound
        self.generation = -1
        self.frames = 0
        self.offset: int | None = None
        self.underruns = 0

    @property
    def held(self) -> int:
        """Frames that wait, those of an earlier generation too that the callback has not dropped yet."""
        return self._written - self._taken

    @property
    def room(self) -> int:
        """Frames that `write` would take now."""
        return self._capacity - self.held

    @property
    def unseen(self) -> bool:
        """Whether there is a cut that the callback has not seen."""
        return bool(self._cuts)

    def write(self, pcm: bytes | bytearray | memoryview) -> None:
        """Add whole frames of the current generation, at most `room`. In Trio's thread.

        Raises:
            ValueError: They do not fit. Nothing was added.
        """
        frames = len(pcm) // self._frame_bytes
        if frames > self.room:
            raise ValueError(f"{frames} frames do not fit into the ring: there is room for {self.room}")
        begin = self._written % self._capacity * self._frame_bytes
        first = min(len(pcm), len(self._memory) - begin)
        self._memory[begin : begin + first] = pcm[:first]
        self._memory[: len(pcm) - first] = pcm[first:]
        self._written += frames  # last: from here on the callback may take them

    def cut(self, generation: int) -> None:
        """End the current generation; the callback sees it with its next block. In Trio's thread."""
        self._cuts.append((generation, self._written))

    def take(self, out: Any, frames: int) -> list[tuple[int, int, int | None]]:
        """Fill a block with the next frames, then with zeros. In the callback's thread.

        Afterwards `generation`, `frames` and `offset` tell the position.

        Args:
            out: A writable buffer of exactly so many frames.
            frames: The length of the block.

        Returns:
            Where generations ended: which, how many frames of it were handed over, and where in the block it ended.
        """
        written = self._written  # before looking for cuts: see the theory above
        filled = 0
        ended: list[tuple[int, int, int | None]] = []
        while self._cuts:
            generation, end = self._cuts.popleft()
            keep = min(self._fade, end - self._taken, frames - filled) if self._sounding else 0
            if keep:
                size = self._frame_bytes
                out[filled * size : (filled + keep) * size] = fade_out(self._next(keep))
                filled += keep
            ended.append((self.generation, self.frames + keep, filled if keep else None))
            self._taken = end
            self.frames = self._gap = 0
            self.generation = generation  # after its count: Trio's thread reads them the other way round
            self._sounding = False
        new = min(max(written - self._taken, 0), frames - filled)
        self._copy(out, filled, new)
        self._taken += new
        self.frames += new
        filled += new
        self.offset = filled if new else None
        self._fill(out, filled, frames)
        self._count_gap(begun=new > 0, missing=frames - filled)
        return ended

    def _next(self, frames: int) -> bytes:
        first = self._taken % self._capacity
        size = self._frame_bytes
        until_end = min(frames, self._capacity - first)
        piece = bytes(self._memory[first * size : (first + until_end) * size])
        return piece + bytes(self._memory[: (frames - until_end) * size])

    def _copy(self, out: Any, at: int, frames: int) -> None:
        if frames:
            out[at * self._frame_bytes : (at + frames) * self._frame_bytes] = self._next(frames)

    def _fill(self, out: Any, filled: int, frames: int) -> None:
        if filled < frames:
            out[filled * self._frame_bytes : frames * self._frame_bytes] = bytes((frames - filled) * self._frame_bytes)

    def _count_gap(self, *, begun: bool, missing: int) -> None:
        if begun:
            self.underruns += 0 < self._gap < self._pause
            self._gap = 0
        if self.frames:
            self._gap += missing
        self._sounding = self.frames > 0 and not self._gap


class Callback:
    """The callback of one PortAudio stream: duplex, input or output.

    Nothing that it does can raise into PortAudio, which would end the stream: a failure is counted, and zeros go out.

    Args:
        ring: What is played; None for an input alone.
        clock: Reads Trio's clock; may be called in any thread.
        wake: Tells Trio that there is something new; may be called in any thread, does not wait, does not raise.
        most_waiting: Blocks that wait to be fetched; when there are more, the oldest go.
    """

    def __init__(
        self,
        ring: HandoverRing | None,
        *,
        clock: Callable[[], float],
        wake: Callable[[], object],
        most_waiting: int,
    ) -> None:
        self.ring = ring
        self.blocks: deque[FinishedBlock] = deque()
        """Finished blocks, oldest first; Trio's thread takes them from the left."""
        self.cuts: deque[CutFrame] = deque()
        """Where cuts fell, apart from the blocks: no cut is lost with one that nobody fetched in time."""
        self.passed = 0
        """Blocks that were finished, ever."""
        self.overruns = 0
        """Blocks that nobody fetched in time, and those that PortAudio dropped."""
        self.late = 0
        """Blocks that came too late for the hardware while something sounded."""
        self.failures = 0
        """Calls that went wrong here. It is a mistake of ours; the block was silence."""
        self.failure = ""
        """What the first of them was: the exception's words and place. Not the exception: its traceback holds sound."""
        self.retired = False
        """Set in Trio's thread: from now on silence, and nothing is counted."""
        self.finished = False
        """PortAudio will not call again."""
        self.behind = 0.0
        """Seconds by which the last captured block came later after its capture than the quickest did."""
        self._clock = clock
        self._wake = wake
        self._most_waiting = most_waiting
        self._quickest: float | None = None

    def duplex(self, indata: Any, outdata: Any, frames: int, time: StreamTime, status: Any) -> None:
        """Do one block of a duplex stream."""
        try:
            if self.retired:
                outdata[:] = bytes(len(outdata))
                return
            self._pass_on(bytes(indata), outdata, frames, time, status)
        except Exception as error:  # noqa: BLE001  an exception here would end the stream; `Watchdog` tells of it
            self._fail(error)
            outdata[:] = bytes(len(outdata))
        self._wake()

    def input(self, indata: Any, frames: int, time: StreamTime, status: Any) -> None:
        """Do one block of an input."""
        try:
            if self.retired:
                return
            self._pass_on(bytes(indata), None, frames, time, status)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)
        self._wake()

    def output(self, outdata: Any, frames: int, time: StreamTime, status: Any) -> None:
        """Do one block of an output."""
        try:
            if self.retired:
                outdata[:] = bytes(len(outdata))
                return
            self._pass_on(b"", outdata, frames, time, status)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)
            outdata[:] = bytes(len(outdata))
        self._wake()

    def finish(self) -> None:
        """Note that PortAudio will not call again, for whatever reason."""
        self.finished = True
        self._wake()

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or _told(error)
        self.failures += 1  # last: who sees the count finds the words

    def _pass_on(self, captured: bytes, outdata: Any, frames: int, time: StreamTime, status: Any) -> None:
        now = self._clock()
        number = self.passed
        ago = None
        if captured:
            ago = _known(time.currentTime, time.inputBufferAdcTime)
            self._watch_delay(time.currentTime - time.inputBufferAdcTime)
        ring = self.ring
        if outdata is None or ring is None:
            block = FinishedBlock(number, now, captured, ago)
        else:
            for generation, handed_over, offset in ring.take(outdata, frames):
                self.cuts.append(CutFrame(number, generation, handed_over, offset))
            to_speaker = _known(time.outputBufferDacTime, time.currentTime)
            block = FinishedBlock(
                number, now, captured, ago, bytes(outdata), to_speaker, ring.generation, ring.frames, ring.offset
            )
        if status:
            self.overruns += bool(status.input_overflow)
            self.late += bool(status.output_underflow) and block.offset is not None
        while len(self.blocks) >= self._most_waiting:
            self._forget_oldest()
        self.blocks.append(block)
        self.passed += 1

    def _watch_delay(self, delay: float) -> None:
        if self._quickest is None or delay < self._quickest:
            self._quickest = delay
        self.behind = delay - self._quickest

    def _forget_oldest(self) -> None:
        try:
            self.blocks.popleft()
        except IndexError:
            return  # it was fetched meanwhile
        self.overruns += 1


def _told(error: Exception) -> str:
    """Say what an exception says, without the sound that it may hold, and where it was raised."""
    words = type(error).__name__
    with contextlib.suppress(Exception):  # whatever it is, telling of it must not raise into PortAudio
        if not any(isinstance(value, bytes | bytearray | memoryview) for value in error.args):
            words += f": {str(error)[:_MOST_WORDS]}"
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is not None:
        words += f" ({place.tb_frame.f_globals.get('__name__')}, line {place.tb_lineno})"
    return words


_MOST_WORDS = 200  # characters
_LONGEST = 2.0  # seconds; a driver that says more than that does not know


def _known(later: float, earlier: float) -> float | None:
    """Tell the difference of two times of PortAudio's, unless one is missing or makes no sense."""
    if later <= 0 or earlier <= 0:
        return None
    difference = later - earlier
    return difference if 0 <= difference < _LONGEST else None
