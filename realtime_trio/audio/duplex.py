"""A simulated microphone and speaker: what one block of them holds, as a function of what was written and said.

No clock is read here: time is an argument. `realtime_trio.audio.clocked` drives it with Trio's clock, the fake device
of `realtime_trio.testing` by hand.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from realtime_trio.device import SAMPLE_RATE, AudioBlock

from .pcm import SAMPLE_BYTES, mix, samples_from_ms, samples_in
from .playout import Playout

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
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played.
        output_latency_ms: Milliseconds from handing a sample over to its leaving the speaker.
        source: Where the captured sound comes from.
        echo: The room: turns what left the speaker during a block into what of it the microphone heard meanwhile, as
            long; called once for each block. None when the microphone cannot hear the speaker.
        tells_played: Whether blocks carry what was played, as a device must whose microphone may hear its speaker.

    Attributes:
        block: Samples of a block.
        playout: What was written to the speaker.
        source: As given.

    Raises:
        ValueError: A length contradicts another.
    """

    def __init__(
        self,
        *,
        block_ms: float,
        ring_ms: float,
        output_latency_ms: float,
        source: Source,
        echo: Callable[[bytes], bytes] | None = None,
        tells_played: bool = False,
    ) -> None:
        self.block = samples_from_ms(block_ms)
        self.playout = Playout(block_ms=block_ms, ring_ms=ring_ms, latency_ms=output_latency_ms)
        self.source = source
        self._echo = echo
        self._tells_played = tells_played
        self._steps = 0
        # what was handed over and has not left the speaker: a block is heard while the next is captured, or later
        self._on_its_way = bytearray((self.block + samples_from_ms(output_latency_ms)) * SAMPLE_BYTES)

    def step(self, at: float, *, available: bool = True) -> Step:
        """Do what happens at one tick: the block up to now was captured, the block from now on is handed over.

        Args:
            at: Trio time of the tick.
            available: Whether there is hardware. Without, the block is silent, and nothing is handed over.

        Returns:
            The block.
        """
        begun_at = at - self.block / SAMPLE_RATE
        heard = bytes(self._on_its_way[: self.block * SAMPLE_BYTES])
        captured = self.source.take(self._steps * self.block, self.block, begun_at=begun_at)
        if self._echo is not None:
            captured = mix(captured, self._echo(heard))
        self._steps += 1
        if available:
            played = self.playout.take(at)
        else:
            played, captured = self.playout.idle(at), bytes(len(captured))
        self._on_its_way += played.pcm
        del self._on_its_way[: len(heard)]
        told = played.pcm if self._tells_played else b""
        return Step(AudioBlock(captured, begun_at, played.position, played.cut, told), played.pcm, heard)

    def last_step(self) -> tuple[bytes, bytes]:
        """Stop: nothing is handed over any more but the fade of a cut, if one is pending.

        Returns:
            That fade; and all that still leaves the speaker, with it at the end.
        """
        fade = self.playout.stop()
        return fade, bytes(self._on_its_way) + fade
