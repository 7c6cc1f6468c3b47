"""The session's samples on their way to the hardware: how far they came, whatever becomes of the hardware.

The session counts samples at 24 kHz, mono, per generation; a device counts frames at its own rate, from when it was
opened. This converts the one to the other, in Trio's thread.

Theory of operation. Everything that was written and is not yet known to be handed over is kept here too (half a second
at most). When the hardware vanishes, what it took is known from its last block; the rest is written once more to what
is opened in its place, which may run at another rate. A generation is never begun anew by that, so all counts go on.
"""

from collections import deque

import attrs

from realtime_trio.device import SAMPLE_RATE, Position

from .callback import CutFrame, FinishedBlock, HandoverRing
from .pcm import SAMPLE_BYTES, samples_in
from .rates import RateConverter

__all__ = ["Format", "Handover"]


@attrs.frozen
class Format:
    """What a device speaks: interleaved 16-bit frames."""

    rate: int = SAMPLE_RATE
    """Frames a second."""

    channels: int = 1
    """Samples of a frame."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return SAMPLE_BYTES * self.channels

    def frames(self, samples: int) -> int:
        """Tell how many frames last as long as so many samples of the session, at least."""
        return -(-samples * self.rate // SAMPLE_RATE)

    def samples(self, frames: int) -> int:
        """Tell how many whole samples of the session last as long as so many frames."""
        return frames * SAMPLE_RATE // self.rate


@attrs.define
class _Stretch:
    """Samples that went through the converter without a break."""

    begin: int
    """Frames of the generation that were before it."""
    samples_before: int
    """Samples of the generation that were before it."""
    frames: int = 0
    samples: int = 0
    whole: bool = False
    """The converter holds nothing of it back."""


class _Track:
    """One generation on one opening of the hardware: frames of the one, samples of the other."""

    def __init__(self, format: Format, begun: int) -> None:
        self.handed_over = begun
        self._format = format
        self._stretches = deque([_Stretch(0, begun)])

    def wrote(self, samples: int, frames: int) -> None:
        last = self._stretches[-1]
        if last.whole:
            last = _Stretch(last.begin + last.frames, last.samples_before + last.samples)
            self._stretches.append(last)
        last.samples += samples
        last.frames += frames

    def flushed(self, frames: int) -> None:
        self._stretches[-1].frames += frames
        self._stretches[-1].whole = True

    def samples(self, frames: int) -> int:
        """Tell how many samples are handed over with so many frames."""
        while len(self._stretches) > 1 and frames >= self._stretches[1].begin:
            self._stretches.popleft()
        now = self._stretches[0]
        over = frames - now.begin
        samples = now.samples if now.whole and over >= now.frames else min(self._format.samples(over), now.samples)
        return now.samples_before + samples


class Handover:
    """A session's samples before the speaker. Used in Trio's thread only.

    Args:
        capacity: Samples that may wait.

    Attributes:
        generation: What is written now belongs to it.
        until: When the last sample that was handed over leaves the speaker; None before the first.
    """

    def __init__(self, capacity: int) -> None:
        self.generation = 0
        self._capacity = capacity
        self._written = 0  # samples of the current generation
        self._kept = bytearray()  # the last of them, from `handed_over` of its track on
        self._format = Format()
        self._tracks: dict[int, _Track] = {0: _Track(self._format, 0)}  # those whose cut was not told, and the current
        self._ring: HandoverRing | None = None
        self._converter: RateConverter | None = None
        self.until: float | None = None
        self._underruns_before = 0
        self._flush_below = 0

    @property
    def room(self) -> int:
        """Samples that `write` would take now."""
        track = self._tracks[self.generation]
        ring = self._ring
        if ring is None:
            return max(0, self._capacity - (self._written - track.handed_over))
        handed_over = track.handed_over
        if ring.generation == self.generation:
            handed_over = max(handed_over, track.samples(ring.frames))
        room = self._capacity - (self._written - handed_over)
        behind = self._format.frames(SAMPLE_RATE // 50)  # what the converter holds back may come with it
        return max(0, min(room, self._format.samples(max(0, ring.room - behind))))

    @property
    def underruns(self) -> int:
        """Times that sound came too late."""
        return self._underruns_before + (self._ring.underruns if self._ring else 0)

    def write(self, pcm: bytes) -> None:
        """Add samples of the current generation.

        Raises:
            ValueError: It ends within a sample, or does not fit. Nothing was added.
        """
        samples = samples_in(pcm)
        if samples > (room := self.room):
            raise ValueError(f"{samples} samples do not fit: there is room for {room}")
        self._kept += pcm
        self._written += samples
        self._pass_on(pcm)

    def cut(self, generation: int) -> None:
        """End the current generation. Where it ended is told by the hardware, or by `cuts_without_hardware`."""
        if self._ring is not None:
            self._ring.cut(generation)
        self.generation = generation
        self._written = 0
        self._kept.clear()
        self._tracks[generation] = _Track(self._format, 0)
        if self._converter is not None:
            self._converter.clear()

    def attach(self, ring: HandoverRing, format: Format, block_frames: int) -> None:
        """Begin with hardware that was just opened: what waits is written to it.

        Args:
            ring: What its callback takes from, already running; nothing was written to it.
            format: What it speaks.
            block_frames: Frames of its blocks.
        """
        track = self._tracks[self.generation]
        self._tracks = {self.generation: _Track(format, track.handed_over)}
        self._ring, self._format = ring, format
        self._flush_below = block_frames * 3 // 2
        self._converter = RateConverter(SAMPLE_RATE, format.rate, 1, format.channels)
        ring.cut(self.generation)  # from nothing to the generation that is current
        self._pass_on(bytes(self._kept))

    def detach(self, at: float) -> list[Position]:
        """Give up the hardware: its last block was told.

        Args:
            at: The time now.

        Returns:
            Where the cuts fell that it did not see any more, in order.
        """
        if self._ring is not None:
            self._underruns_before += self._ring.underruns
        self._ring = self._converter = None
        return self.cuts_without_hardware(at)

    def cuts_without_hardware(self, at: float) -> list[Position]:
        """Tell where the cuts fell that were made since there is no hardware: nothing moved, nothing faded."""
        ended = [generation for generation in self._tracks if generation != self.generation]
        return [self._position(generation, self._tracks.pop(generation).handed_over, at) for generation in ended]

    def position(self, block: FinishedBlock, begins_at: float) -> Position:
        """Tell how far playout came with a block of the hardware.

        Args:
            block: The block.
            begins_at: When its first frame leaves the speaker.

        Returns:
            The position after it.
        """
        track = self._tracks.get(block.generation)
        if track is None:  # its cut was told already: a late block of a device that is given up
            return self.whereabouts(block.now)
        before = track.handed_over
        track.handed_over = max(before, track.samples(block.frames))
        if block.generation == self.generation:
            del self._kept[: (track.handed_over - before) * SAMPLE_BYTES]
        self._note(block.offset, begins_at)
        return self._position(block.generation, track.handed_over, block.now)

    def cut_position(self, cut: CutFrame, now: float, begins_at: float) -> Position | None:
        """Tell where a cut fell, and forget what it ended.

        Args:
            cut: What the callback says.
            now: When it said so.
            begins_at: When the first frame of that block leaves the speaker.

        Returns:
            The place, None if that cut was told before.
        """
        track = self._tracks.pop(cut.generation, None)
        if track is None:
            return None
        self._note(cut.offset, begins_at)
        return self._position(cut.generation, max(track.handed_over, track.samples(cut.frames)), now)

    def whereabouts(self, now: float) -> Position:
        """Tell how far playout came by now, while nothing moves."""
        return self._position(self.generation, self._tracks[self.generation].handed_over, now)

    def tend(self) -> None:
        """Let the converter's rest go out when nothing follows it. Call it with every block."""
        if self._converter is None or self._ring is None or not self._converter.held:
            return
        if self._ring.generation == self.generation and self._ring.held < self._flush_below:
            rest = self._converter.flush()
            self._ring.write(rest)
            self._tracks[self.generation].flushed(len(rest) // self._format.frame_bytes)

    def _pass_on(self, pcm: bytes) -> None:
        if self._ring is None or self._converter is None:
            return
        converted = self._converter.convert(pcm)
        self._ring.write(converted)
        self._tracks[self.generation].wrote(len(pcm) // SAMPLE_BYTES, len(converted) // self._format.frame_bytes)

    def _note(self, offset: int | None, begins_at: float) -> None:
        if offset is not None:
            self.until = begins_at + offset / self._format.rate

    def _position(self, generation: int, samples: int, now: float) -> Position:
        return Position(generation, samples, self.until if samples and self.until is not None else now)
