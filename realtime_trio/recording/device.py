"""The device's side of a recording: what was captured and what was heard in the same moment, block by block.

Theory of operation. What is handed over with a block leaves the speaker a little later than what is captured with it
enters the microphone. How much later is known with the first sound; from then on the assistant's side is moved by that
much. A device whose speaker cannot get into its microphone does not say what it played: then that is put together from
what was written to it, and how much of it was handed over.
"""

from collections.abc import Callable
from typing import Final

from realtime_trio.device import SAMPLE_RATE, AudioBlock, AudioStream, Position

__all__ = ["RecordedStream"]

_WIDTH: Final = 2  # bytes a sample
_LONGEST_LATENCY: Final = 1.0  # seconds: what a device claims beyond that is a mistake of its clock
_CLOCK_EVERY: Final = 10.0  # seconds between two lines that tie the sound to the clock
_DRIFT: Final = 0.05  # seconds by which they may part before that
_MOST_PENDING: Final = 2 * SAMPLE_RATE * _WIDTH  # of what was written; a ring holds less


class RecordedStream:
    """An open device that is recorded. It is an `AudioStream`; see there.

    Args:
        stream: The device's own.
        record: Takes what was captured and what was heard.
        note: Adds a line to the recording.
        since_beginning: Tells a Trio time in the recording's seconds.
        listens: Tells whether the microphone is meant to be heard; else silence is recorded for it.
        look: Called when the session has seen a block, with what the next one needs known.
    """

    def __init__(
        self,
        stream: AudioStream,
        *,
        record: Callable[[bytes, bytes], None],
        note: Callable[..., None],
        since_beginning: Callable[[float], float],
        listens: Callable[[], bool],
        look: Callable[[float | None], None],
    ) -> None:
        self._stream = stream
        self._record = record
        self._note = note
        self._since_beginning = since_beginning
        self._listens = listens
        self._look = look
        self._written: dict[int, bytearray] = {0: bytearray()}  # by generation: not handed over yet
        self._generation = 0  # that is written to
        self._position = Position(0, 0, 0.0)
        self._until: float | None = None
        self._sounded = False
        self._late = 0  # bytes by which handed over sound is ahead of the blocks
        self._on_its_way = bytearray()
        self._samples = 0
        self._clock: tuple[int, float] | None = None

    @property
    def room(self) -> int:
        """As `AudioStream.room`."""
        return self._stream.room

    def write(self, pcm: bytes) -> None:
        """As `AudioStream.write`."""
        self._stream.write(pcm)
        pending = self._written.setdefault(self._generation, bytearray())
        pending += pcm
        del pending[:-_MOST_PENDING]

    def cut(self, generation: int) -> None:
        """As `AudioStream.cut`."""
        self._stream.cut(generation)
        self._generation = generation

    async def receive_block(self) -> AudioBlock:
        """As `AudioStream.receive_block`; the block is recorded before it is handed out.

        Cancellation:
            As that of the device.
        """
        self._look(self._until)  # the session has seen the block before
        block = await self._stream.receive_block()
        self._take(block)
        return block

    def finish(self) -> None:
        """Record what is still on its way to the speaker."""
        self._look(self._until)
        if self._on_its_way:
            self._record(bytes(len(self._on_its_way)), bytes(self._on_its_way))
            self._on_its_way.clear()

    def _take(self, block: AudioBlock) -> None:
        length = len(block.captured)
        handed = self._handed_over(block)
        if block.played:
            handed = block.played
        if handed and not self._sounded and any(handed):
            self._sounded = True
            self._on_its_way += self._latency(block)
        self._on_its_way += handed
        self._late += len(handed) - length
        if self._late < 0:  # nothing was played in the rest of the block
            self._on_its_way += bytes(-self._late)
            self._late = 0
        self._tell_clock(block)
        heard = bytes(self._on_its_way[:length])
        del self._on_its_way[:length]
        self._record(block.captured if self._listens() else bytes(length), heard)
        self._samples += length // _WIDTH
        last = block.position if block.position.samples or block.cut is None else block.cut
        self._until = last.until if last.samples else self._until

    def _handed_over(self, block: AudioBlock) -> bytes:
        """Put together what was handed over with this block, from what was written."""
        handed = b""
        if block.cut is not None:
            handed += self._advance(block.cut)
        return handed + self._advance(block.position)

    def _advance(self, to: Position) -> bytes:
        if to.generation < self._position.generation:
            return b""
        since = self._position.samples if to.generation == self._position.generation else 0
        self._position = to
        for old in [generation for generation in self._written if generation < to.generation]:
            del self._written[old]
        pending = self._written.get(to.generation, bytearray())
        fresh = max(0, to.samples - since) * _WIDTH
        handed = bytes(pending[:fresh])
        del pending[:fresh]
        return handed

    def _latency(self, block: AudioBlock) -> bytes:
        """Give the silence that goes before the first sound."""
        length = len(block.captured) / _WIDTH / SAMPLE_RATE
        seconds = block.position.until - length - block.captured_at
        return bytes(_WIDTH * round(min(max(seconds, 0.0), _LONGEST_LATENCY) * SAMPLE_RATE))

    def _tell_clock(self, block: AudioBlock) -> None:
        """Tie the sound to the clock: at its beginning, every ten seconds, and where they part."""
        at = self._since_beginning(block.captured_at)
        if self._clock is not None:
            sample, then = self._clock
            expected = then + (self._samples - sample) / SAMPLE_RATE
            if at - then < _CLOCK_EVERY and abs(at - expected) < _DRIFT:
                return
        self._clock = self._samples, at
        self._note("clock", sample=self._samples, captured=round(at, 6))
