"""What was captured beside what was played, when the two are streams of their own, on clocks of their own.

An echo canceller needs pairs of equal length that stay aligned. A duplex stream gives them by itself. A microphone and
a speaker that are two devices give two streams whose clocks differ by some 50 parts in a million (10 ms in three
minutes), and that begin, stall and burst each for itself. It is pure: no clock, no thread, no lock.

Theory of operation. What is captured is the clock here, and is never touched: each sample comes out once, in order.
What was played waits in a queue, and each captured block takes its own length from the head of that queue. The *margin*
is what the queue holds beyond that when a block is complete:

    below 0   the captured block has to wait, and with it the user's voice
    0 to 20   good: no wait, and the reference is not late
    above 20  the reference comes later than it has to; later than the echo, nothing could be cancelled any more

A single block says little (hosts deliver in bursts); but a margin that was wrong at every block of a second is the
clocks' difference, and is put right by leaving out, or inserting, 10 ms of the reference. AEC3 takes that well; what
was learnt of the room holds.

A captured block waits up to 200 ms for a late reference, since both are mostly late together and then alignment holds.
After that the stream of the speaker counts as stopped: captured sound goes out at once, with silence, until there is
something played again, and then alignment begins anew with what was handed over last.
"""

from collections import deque

import attrs

from .pcm import SAMPLE_BYTES, SAMPLE_RATE, samples_from_ms, samples_in

__all__ = ["Pair", "Pairing"]


@attrs.frozen
class Pair:
    """One block of both streams."""

    captured: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """What the microphone gave."""

    captured_at: float
    """When its first sample was captured, on the clock of `push_captured`."""

    played: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """What was handed over for the speaker about then, as long as `captured`; silence where nothing is known."""


class Pairing:
    """Two streams of PCM16 mono 24 kHz in, aligned blocks out.

    Args:
        block: Samples of a block that comes out; what goes in may have any length.
        tolerance_ms: How much of the reference may wait beyond a block before some is left out.
        patience_ms: For how long a margin has to be wrong.
        slip_ms: How much is then left out or inserted.
        stall_ms: How long a captured block waits for the reference. Of the reference, twice as much is kept.

    Attributes:
        dropped: Times that 10 ms (`slip_ms`) of the reference were left out: the speaker's clock is the faster.
        inserted: Times that as much silence was inserted: it is the slower.
        restarts: Times that alignment was given up and begun anew, because one side had stopped.
    """

    def __init__(
        self,
        block: int,
        *,
        tolerance_ms: float = 20,
        patience_ms: float = 1000,
        slip_ms: float = 10,
        stall_ms: float = 200,
    ) -> None:
        self.dropped = self.inserted = self.restarts = 0
        self._block = block * SAMPLE_BYTES
        self._tolerance, self._patience, self._slip, self._stall = (
            samples_from_ms(ms) * SAMPLE_BYTES for ms in (tolerance_ms, patience_ms, slip_ms, stall_ms)
        )
        if not 0 < self._slip <= self._tolerance or self._block < SAMPLE_BYTES:
            raise ValueError("a block has to hold samples, and slip_ms has to be positive and at most tolerance_ms")
        self._captured = bytearray()
        self._played = bytearray()
        self._times: deque[tuple[int, float]] = deque()  # byte of the captured stream, when it was captured
        self._taken = 0  # bytes of the captured stream that went out
        self._complete = 0  # bytes of it in blocks that are complete: their margin was looked at
        self._aligned = False
        self._early = self._late = 0  # bytes captured since the margin was last not too large, not too small

    @property
    def margin(self) -> int:
        """Samples of the reference that wait, beyond those for what waits of the captured stream; may be negative."""
        return (len(self._played) - len(self._captured)) // SAMPLE_BYTES

    def push_captured(self, pcm: bytes, at: float) -> None:
        """Add what the microphone gave.

        Args:
            pcm: Any number of whole samples.
            at: When the first of them was captured, in seconds.

        Raises:
            ValueError: It ends within a sample.
        """
        if not samples_in(pcm):
            return
        self._times.append((self._taken + len(self._captured), at))
        self._captured += pcm
        while self._taken + len(self._captured) >= self._complete + self._block:
            self._complete += self._block
            self._regulate()

    def push_played(self, pcm: bytes) -> None:
        """Add what was handed over for the speaker, silence included.

        Args:
            pcm: Any number of whole samples.

        Raises:
            ValueError: It ends within a sample.
        """
        samples_in(pcm)
        self._played += pcm
        surplus = len(self._played) - 2 * self._stall
        if surplus > 0:  # the microphone has stopped; what its next block goes with will be decided then
            del self._played[:surplus]
            self._lose()

    def take(self) -> list[Pair]:
        """Take all the pairs that are complete; call it after every push.

        Returns:
            The pairs, in order, each one block long.
        """
        pairs = []
        while len(self._captured) >= self._block:
            if self._aligned and len(self._played) < self._block:
                if len(self._captured) < self._block + self._stall:
                    break
                self._lose()
            pairs.append(self._pair())
        return pairs

    def _regulate(self) -> None:
        """Look at the margin of a block that has just become complete; align if it is not yet so."""
        if not self._aligned:
            whole = len(self._captured) // self._block * self._block  # several, where the host delivers in bursts
            if len(self._played) >= self._block:
                del self._played[: -(whole + self._slip)]  # what was handed over last, and a little for jitter
                self._aligned = True
            return
        margin = len(self._played) - (self._complete - self._taken)
        self._early = self._early + self._block if margin > self._tolerance else 0
        self._late = self._late + self._block if margin < 0 else 0
        if self._early > self._patience:
            del self._played[: self._slip]
            self.dropped += 1
            self._early = 0
        elif self._late > self._patience:
            self._played[:0] = bytes(self._slip)
            self.inserted += 1
            self._late = 0

    def _lose(self) -> None:
        self.restarts += self._aligned
        self._aligned = False
        self._early = self._late = 0

    def _pair(self) -> Pair:
        captured = bytes(self._captured[: self._block])
        played = bytes(self._block)
        if self._aligned:
            played = bytes(self._played[: self._block])
            del self._played[: self._block]
        at = self._time_of(self._taken)
        del self._captured[: self._block]
        self._taken += self._block
        return Pair(captured, at, played)

    def _time_of(self, byte: int) -> float:
        while len(self._times) > 1 and self._times[1][0] <= byte:
            self._times.popleft()
        first, at = self._times[0]
        return at + (byte - first) / (SAMPLE_BYTES * SAMPLE_RATE)
