"""The buffer between the session, which writes sound in bursts, and a device, which takes it block by block.

It is pure: no clock, no thread, no lock. When blocks are taken is the device's business, and so are the times that it
reports.

Theory of operation. Written samples wait in `_held` until `take` hands them over. `cut` ends the current generation: if
the last block ended in sound, the next 10 ms of what waits are faded and kept in `_fades`; everything else is dropped.
If it ended in silence there is nothing to fade: all is dropped, and an answer of which nothing was handed over stays
unheard. `take` gives first what is in `_fades`, in order, and with it where each generation ended, then samples of the
current one, then zeros. At all times, in samples: written = handed over + dropped + held.
"""

from collections import deque

import attrs

from .pcm import FADE_SAMPLES, SAMPLE_BYTES, fade_out, samples_in

__all__ = ["Mark", "PlayoutRing", "Taken"]


@attrs.frozen
class Mark:
    """A place in a generation, and in the block that was just taken."""

    generation: int
    """Which generation."""

    samples: int
    """Samples of it that were handed over, since it began."""

    offset: int | None
    """Where in the block the last of them ends, in samples; None when the block has none of them."""


@attrs.frozen
class Taken:
    """One block that was taken out."""

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """The block, filled up with zeros."""

    position: Mark
    """How far the current generation came."""

    cuts: tuple[Mark, ...]
    """Where generations ended, each told once."""


class PlayoutRing:
    """Sound that was written and is not yet handed over.

    A *gap* is silence in the middle of a generation: the ring ran dry, and went on within `pause` samples. It counts
    as an underrun. Silence that lasts longer is a pause between two answers, of which a generation may hold many.

    Args:
        capacity: Samples that fit in; a fade that is pending takes part of it.
        fade: Samples of the fade at a cut; not more than a block, so that it is over with the next one.
        pause: Samples of silence from which on it is a pause.
    """

    def __init__(self, capacity: int, *, fade: int = FADE_SAMPLES, pause: int = 12_000) -> None:
        self.generation = 0
        self.written = 0
        self.handed_over = 0
        self.dropped = 0
        self.underruns = 0
        self._capacity = capacity
        self._fade = fade
        self._pause = pause
        self._held = bytearray()
        self._fades: deque[tuple[int, int, bytes]] = deque()  # generation, its samples at the end of the fade, the fade
        self._samples = 0  # of the current generation, handed over
        self._gap = 0  # samples of silence since it ran dry

    @property
    def held(self) -> int:
        """Samples that wait to be handed over."""
        return (len(self._held) + sum(len(fade) for _, _, fade in self._fades)) // SAMPLE_BYTES

    @property
    def room(self) -> int:
        """Samples that `write` would take now."""
        return self._capacity - self.held

    def write(self, pcm: bytes) -> None:
        """Add samples of the current generation.

        Args:
            pcm: Whole samples, at most `room`.

        Raises:
            ValueError: It ends within a sample, or does not fit. Nothing was added.
        """
        samples = samples_in(pcm)
        if samples > self.room:
            raise ValueError(f"{samples} samples do not fit into the ring: there is room for {self.room}")
        self._held += pcm
        self.written += samples

    def cut(self, generation: int) -> None:
        """End the current generation: fade what sounds, drop what waits.

        Args:
            generation: The number of the next one.
        """
        sounding = self._samples and not self._gap
        keep = min(self._fade * SAMPLE_BYTES, len(self._held)) if sounding else 0
        self.dropped += (len(self._held) - keep) // SAMPLE_BYTES
        fade = fade_out(bytes(self._held[:keep]))
        self._fades.append((self.generation, self._samples + keep // SAMPLE_BYTES, fade))
        self._held.clear()
        self.generation = generation
        self._samples = self._gap = 0

    def take(self, samples: int) -> Taken:
        """Hand over the next block.

        Args:
            samples: Its length; at least as long as a fade.

        Returns:
            The block, and what the session is to be told.

        Raises:
            ValueError: The block is shorter than a fade.
        """
        if samples < self._fade:
            raise ValueError(f"a block of {samples} samples cannot hold a fade of {self._fade}")
        block = bytearray()
        cuts = []
        while self._fades:  # all fit: only the first can have samples, since nothing was taken in between
            generation, at, fade = self._fades.popleft()
            block += fade
            cuts.append(Mark(generation, at, len(block) // SAMPLE_BYTES if fade else None))
        new = self._held[: samples * SAMPLE_BYTES - len(block)]
        del self._held[: len(new)]
        block += new
        self._samples += len(new) // SAMPLE_BYTES
        sounding = len(block) // SAMPLE_BYTES
        self.handed_over += sounding
        self._count_gap(begun=bool(new), missing=samples - sounding)
        block += bytes((samples - sounding) * SAMPLE_BYTES)
        return Taken(bytes(block), Mark(self.generation, self._samples, sounding if new else None), tuple(cuts))

    def idle(self) -> Taken:
        """Let a block pass without hardware: nothing is handed over, and a fade that was pending is dropped.

        Returns:
            No sound, and what the session is to be told.
        """
        cuts = []
        for generation, at, fade in self._fades:
            self.dropped += len(fade) // SAMPLE_BYTES
            cuts.append(Mark(generation, at - len(fade) // SAMPLE_BYTES, None))
        self._fades.clear()
        return Taken(b"", Mark(self.generation, self._samples, None), tuple(cuts))

    def clear(self) -> None:
        """Drop what waits, but not a fade."""
        self.dropped += len(self._held) // SAMPLE_BYTES
        self._held.clear()

    def _count_gap(self, *, begun: bool, missing: int) -> None:
        if begun:
            self.underruns += 0 < self._gap < self._pause
            self._gap = 0
        if self._samples:
            self._gap += missing
