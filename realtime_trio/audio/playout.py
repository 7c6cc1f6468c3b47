"""The speaker's half of a device, ready made: generations, cuts, fades and positions, block by block.

A device of your own adds a clock, a microphone and a way to the speaker; docs/devices.md shows one. The buffer inside
is `realtime_trio.audio.ring`. No clock is read here: time is an argument.
"""

from collections import deque

import attrs

from realtime_trio.device import SAMPLE_RATE, Position

from .pcm import FADE_SAMPLES, SAMPLE_BYTES, samples_from_ms
from .ring import Mark, PlayoutRing

__all__ = ["Played", "Playout"]


@attrs.frozen
class Played:
    """One block for the speaker, with what the session is to be told of it."""

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """The block, filled up with silence."""

    position: Position
    """For `AudioBlock.position`."""

    cut: Position | None
    """For `AudioBlock.cut`: the oldest that was not told yet."""


class Playout:
    """What was written and is to be played. It has `room`, `write` and `cut` as an `AudioStream` has to have them.

    Args:
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be handed over.
        latency_ms: Milliseconds from handing a sample over to its leaving the speaker.

    Raises:
        ValueError: `block_ms` is not positive, `ring_ms` is less, or `latency_ms` negative.
    """

    def __init__(self, *, block_ms: float = 20, ring_ms: float = 300, latency_ms: float = 0) -> None:
        if samples_from_ms(block_ms) < 1 or ring_ms < block_ms or latency_ms < 0:
            raise ValueError("block_ms has to be positive, ring_ms at least a block, the latency not negative")
        self._block = samples_from_ms(block_ms)
        self._latency = latency_ms / 1000
        self._ring = PlayoutRing(samples_from_ms(ring_ms), fade=min(FADE_SAMPLES, self._block))
        self._cuts: deque[Position] = deque()
        self._until: float | None = None  # the last sample that was handed over leaves the speaker then

    @property
    def room(self) -> int:
        """Samples that `write` would take now."""
        return self._ring.room

    @property
    def held(self) -> int:
        """Samples that wait to be handed over."""
        return self._ring.held

    @property
    def underruns(self) -> int:
        """Times that sound came too late: it ran dry and went on within half a second."""
        return self._ring.underruns

    def write(self, pcm: bytes) -> None:
        """Queue samples of the current generation. See `AudioStream.write`."""
        self._ring.write(pcm)

    def cut(self, generation: int) -> None:
        """Stop the sound, begin a new generation. See `AudioStream.cut`."""
        self._ring.cut(generation)

    def take(self, at: float) -> Played:
        """Take the next block, to hand it over now.

        Args:
            at: Trio time at which its first sample is handed over.

        Returns:
            The block.
        """
        taken = self._ring.take(self._block)
        return self._told(taken.pcm, taken.position, taken.cuts, at)

    def idle(self, at: float) -> Played:
        """Let a block pass without hardware: what waits goes on waiting, and cuts are told, without a fade.

        Args:
            at: Trio time of the block.

        Returns:
            A silent block.
        """
        taken = self._ring.idle()
        return self._told(bytes(self._block * SAMPLE_BYTES), taken.position, taken.cuts, at)

    def stop(self) -> bytes:
        """Drop what waits: the device is being closed.

        Returns:
            The fade of a cut that has not been handed over, which is still to be heard; mostly nothing.
        """
        self._ring.clear()
        rest = self._ring.take(self._block)
        ends = [mark.offset for mark in rest.cuts if mark.offset is not None]
        return rest.pcm[: max(ends, default=0) * SAMPLE_BYTES]

    def _told(self, pcm: bytes, position: Mark, cuts: tuple[Mark, ...], at: float) -> Played:
        self._cuts.extend(self._position(mark, at) for mark in cuts)
        return Played(pcm, self._position(position, at), self._cuts.popleft() if self._cuts else None)

    def _position(self, mark: Mark, at: float) -> Position:
        if mark.offset is not None:
            self._until = at + self._latency + mark.offset / SAMPLE_RATE
        until = self._until if mark.samples and self._until is not None else at
        return Position(mark.generation, mark.samples, until)
