"""A simulated microphone and speaker: what one block of them holds, as a function of what was written and said.

No clock is read here: time is an argument. `realtime_trio.audio.clocked` drives it with Trio's clock, the fake device
of `realtime_trio.testing` by hand.
"""

from collections import deque

import attrs
import trio

from realtime_trio.device import SAMPLE_RATE, AudioBlock, Position

from .pcm import FADE_SAMPLES, SAMPLE_BYTES, samples_in
from .ring import Mark, PlayoutRing

__all__ = ["Microphone", "SimulatedDuplex", "Step", "Utterance"]


@attrs.define(eq=False)
class Utterance:
    """Sound that was put before a microphone."""

    first: int
    """Where it begins, in samples since the microphone was opened."""

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """The sound."""

    captured_until: float | None = None
    """Trio time at which its last sample was captured; None until then."""

    _over: trio.Event = attrs.field(factory=trio.Event, init=False, repr=False)

    @property
    def end(self) -> int:
        """Where it ends, in samples since the microphone was opened."""
        return self.first + len(self.pcm) // SAMPLE_BYTES

    async def captured(self) -> float:
        """Wait until the microphone has captured its end.

        Returns:
            Trio time at which its last sample was captured.

        Raises:
            trio.ClosedResourceError: The device was closed before.

        Cancellation:
            Safe: the sound goes on.
        """
        await self._over.wait()
        if self.captured_until is None:
            raise trio.ClosedResourceError("the device was closed before the microphone had captured all of it")
        return self.captured_until

    def finish(self, at: float | None) -> None:
        """Wake who waits: it was captured at that time, or never will be."""
        self.captured_until = at
        self._over.set()


class Microphone:
    """Silence, but for what is said into it, one utterance after the other."""

    def __init__(self) -> None:
        self._waiting: deque[Utterance] = deque()
        self._end = 0

    def say(self, pcm: bytes, *, earliest: int = 0) -> Utterance:
        """Say something as soon as what was said before is over.

        Args:
            pcm: The sound.
            earliest: Where it begins at the earliest, in samples since the beginning.

        Returns:
            It, with the place where it begins.

        Raises:
            ValueError: It ends within a sample.
        """
        samples_in(pcm)
        said = Utterance(max(earliest, self._end), pcm)
        self._end = said.end
        self._waiting.append(said)
        return said

    def take(self, first: int, samples: int, *, begun_at: float) -> bytes:
        """Capture one block.

        Args:
            first: Its place, in samples since the beginning; blocks are taken in order, without gaps.
            samples: Its length.
            begun_at: Trio time at which its first sample was captured.

        Returns:
            The block.
        """
        block = bytearray(samples * SAMPLE_BYTES)
        for said in tuple(self._waiting):
            if said.first >= first + samples:
                break
            begin, end = max(said.first, first), min(said.end, first + samples)
            block[(begin - first) * SAMPLE_BYTES : (end - first) * SAMPLE_BYTES] = said.pcm[
                (begin - said.first) * SAMPLE_BYTES : (end - said.first) * SAMPLE_BYTES
            ]
            if said.end <= first + samples:
                self._waiting.popleft()
                said.finish(begun_at + (said.end - first) / SAMPLE_RATE)
        return bytes(block)

    def close(self) -> None:
        """Give up what was not captured."""
        for said in self._waiting:
            said.finish(None)
        self._waiting.clear()


@attrs.frozen
class Step:
    """One block of a simulated device, seen from both sides."""

    block: AudioBlock
    """What the session is told."""

    played: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """What was handed over for the speaker."""


class SimulatedDuplex:
    """A microphone and a speaker on one clock, block by block.

    Args:
        block: Samples of a block.
        ring: Samples of sound that may wait to be played.
        output_latency: Seconds from handing a sample over to its leaving the speaker.
        microphone: Where the captured sound comes from.
    """

    def __init__(self, *, block: int, ring: int, output_latency: float, microphone: Microphone) -> None:
        self.ring = PlayoutRing(ring, fade=min(FADE_SAMPLES, block))
        self.microphone = microphone
        self._block = block
        self._latency = output_latency
        self._steps = 0
        self._until: float | None = None  # the last sample that was handed over leaves the speaker then
        self._cuts: deque[Position] = deque()

    def step(self, at: float) -> Step:
        """Do what happens at one tick: the block up to now was captured, the block from now on is handed over.

        Args:
            at: Trio time of the tick.

        Returns:
            The block. Its `cut` is the oldest that was not told yet.
        """
        begun_at = at - self._block / SAMPLE_RATE
        captured = self.microphone.take(self._steps * self._block, self._block, begun_at=begun_at)
        self._steps += 1
        taken = self.ring.take(self._block)
        self._cuts.extend(self._position(mark, at) for mark in taken.cuts)
        position = self._position(taken.position, at)
        cut = self._cuts.popleft() if self._cuts else None
        return Step(AudioBlock(captured, begun_at, position, cut), taken.pcm)

    def last_step(self) -> bytes:
        """Give what still comes out of the speaker when the device is stopped: the fade of a cut, if one is pending."""
        self.ring.clear()
        rest = self.ring.take(self._block)
        ends = [mark.offset for mark in rest.cuts if mark.offset is not None]
        return rest.pcm[: max(ends, default=0) * SAMPLE_BYTES]

    def _position(self, mark: Mark, at: float) -> Position:
        if mark.offset is not None:
            self._until = at + self._latency + mark.offset / SAMPLE_RATE
        until = self._until if mark.samples and self._until is not None else at
        return Position(mark.generation, mark.samples, until)
