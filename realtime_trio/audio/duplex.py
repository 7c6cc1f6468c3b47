"""A simulated microphone and speaker: what one block of them holds, as a function of what was written and said.

No clock is read here: time is an argument. `realtime_trio.audio.clocked` drives it with Trio's clock, the fake device
of `realtime_trio.testing` by hand.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from realtime_trio.device import SAMPLE_RATE, AudioBlock, Position

from .pcm import FADE_SAMPLES, SAMPLE_BYTES, mix, samples_in
from .ring import Mark, PlayoutRing

__all__ = ["Microphone", "SimulatedDuplex", "Source", "Step", "Utterance"]


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


class Source(Protocol):
    """Where captured sound comes from."""

    def take(self, first: int, samples: int, *, begun_at: float) -> bytes:
        """Capture one block.

        Args:
            first: Its place, in samples since the beginning; blocks are taken in order, without gaps.
            samples: Its length.
            begun_at: Trio time at which its first sample was captured.

        Returns:
            The block, of that length.
        """
        ...

    def close(self) -> None:
        """Give up what was not captured: the device was closed."""
        ...


class Microphone:
    """Silence, but for what is said into it, one utterance after the other. It is a `Source`."""

    def __init__(self) -> None:
        self._waiting: deque[Utterance] = deque()
        self._end = 0

    @property
    def end(self) -> int:
        """Where the last utterance ends, in samples since the beginning; 0 when nothing was said."""
        return self._end

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
        """Capture one block. See `Source.take`."""
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
    """One block of a simulated device, seen from all sides."""

    block: AudioBlock
    """What the session is told."""

    played: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """What was handed over for the speaker."""

    heard: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """What left the speaker while the block was captured: what was handed over before, by the output's latency."""


class SimulatedDuplex:
    """A microphone and a speaker on one clock, block by block.

    Args:
        block: Samples of a block.
        ring: Samples of sound that may wait to be played.
        output_latency: Samples from handing one over to its leaving the speaker.
        source: Where the captured sound comes from.
        echo: The room: turns what left the speaker during a block into what of it the microphone heard meanwhile, as
            long; called once for each block. None when the microphone cannot hear the speaker.
        tells_played: Whether blocks carry what was played, as a device must whose microphone may hear its speaker.
    """

    def __init__(
        self,
        *,
        block: int,
        ring: int,
        output_latency: int,
        source: Source,
        echo: Callable[[bytes], bytes] | None = None,
        tells_played: bool = False,
    ) -> None:
        self.ring = PlayoutRing(ring, fade=min(FADE_SAMPLES, block))
        self.source = source
        self._echo = echo
        self._tells_played = tells_played
        self._block = block
        self._latency = output_latency / SAMPLE_RATE
        self._steps = 0
        self._until: float | None = None  # the last sample that was handed over leaves the speaker then
        self._cuts: deque[Position] = deque()
        # what was handed over and has not left the speaker: a block is heard while the next is captured, or later
        self._on_its_way = bytearray((block + output_latency) * SAMPLE_BYTES)

    def step(self, at: float, *, available: bool = True) -> Step:
        """Do what happens at one tick: the block up to now was captured, the block from now on is handed over.

        Args:
            at: Trio time of the tick.
            available: Whether there is hardware. Without, the block is silent, and nothing is handed over.

        Returns:
            The block. Its `cut` is the oldest that was not told yet.
        """
        begun_at = at - self._block / SAMPLE_RATE
        heard = bytes(self._on_its_way[: self._block * SAMPLE_BYTES])
        captured = self.source.take(self._steps * self._block, self._block, begun_at=begun_at)
        if self._echo is not None:
            captured = mix(captured, self._echo(heard))
        self._steps += 1
        nothing = bytes(self._block * SAMPLE_BYTES)
        taken, captured = (self.ring.take(self._block), captured) if available else (self.ring.idle(), nothing)
        played = taken.pcm or nothing
        self._on_its_way += played
        del self._on_its_way[: len(heard)]
        self._cuts.extend(self._position(mark, at) for mark in taken.cuts)
        position = self._position(taken.position, at)
        cut = self._cuts.popleft() if self._cuts else None
        told = played if self._tells_played else b""
        return Step(AudioBlock(captured, begun_at, position, cut, told), played, heard)

    def last_step(self) -> tuple[bytes, bytes]:
        """Stop: nothing is handed over any more but the fade of a cut, if one is pending.

        Returns:
            That fade; and all that still leaves the speaker, with it at the end.
        """
        self.ring.clear()
        rest = self.ring.take(self._block)
        ends = [mark.offset for mark in rest.cuts if mark.offset is not None]
        fade = rest.pcm[: max(ends, default=0) * SAMPLE_BYTES]
        return fade, bytes(self._on_its_way) + fade

    def _position(self, mark: Mark, at: float) -> Position:
        if mark.offset is not None:
            self._until = at + self._latency + mark.offset / SAMPLE_RATE
        until = self._until if mark.samples and self._until is not None else at
        return Position(mark.generation, mark.samples, until)
