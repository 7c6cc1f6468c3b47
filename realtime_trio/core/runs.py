"""Runs of samples: what one content part received, and what the device did with one generation of sound.

How the two are brought together is in `core.playout`.
"""

import math
from collections import deque
from collections.abc import Mapping

import attrs

__all__ = ["SAMPLES_PER_MS", "SAMPLE_RATE", "WIDTH", "Chunk", "Generation", "Part", "PartKey", "Span"]

SAMPLE_RATE = 24_000
"""Samples per second of everything in the ledger: mono PCM16."""

SAMPLES_PER_MS = 24

WIDTH = 2
"""Bytes per sample."""

_GRAIN = 1e-3  # of a sample: what floating point may be off by
_MARK_SECONDS = 10.0  # marks this much older than the newest one are folded; no output latency comes near it
_MAX_MARKS = 2048  # for devices whose clock stands still


@attrs.frozen
class PartKey:
    """Where a piece of audio belongs.

    Attributes:
        response_id: The response that made it.
        item_id: The item in the conversation.
        content_index: The content part in that item.
    """

    response_id: str
    item_id: str
    content_index: int


@attrs.define(eq=False)
class Span:
    """A run of one part's samples inside one generation."""

    generation: int
    start: int
    length: int


@attrs.define(eq=False)
class Part:
    """What one content part received, and where its samples went."""

    key: PartKey
    received: int = 0  # stragglers included: this is what the server has
    done: bool = False
    queue: deque[memoryview] = attrs.Factory(deque)  # not taken yet
    queued: int = 0
    spans: list[Span] = attrs.Factory(list)
    carry: bytes = b""  # half a sample, when a delta ended in the middle of one
    limit: int | None = None  # how many of its samples may be taken; None for all

    @property
    def ready(self) -> int:
        """How many samples may be taken now."""
        if self.limit is None:
            return self.queued
        return max(0, min(self.queued, self.limit - sum(span.length for span in self.spans)))

    def pop(self, most: int) -> memoryview:
        """Take the next samples, at most so many, from one piece of what was received."""
        data = self.queue.popleft()
        length = min(most, len(data) // WIDTH)
        if length * WIDTH < len(data):
            self.queue.appendleft(data[length * WIDTH :])
        self.queued -= length
        return data[: length * WIDTH]

    def in_flight(self, generations: Mapping[int, "Generation"]) -> bool:
        """Whether samples of it are in the device and were neither handed over nor cut."""
        for span in self.spans:
            log = generations.get(span.generation)
            if log is not None and not log.fixed and span.start + span.length > log.handed:
                return True
        return False

    def append(self, generation: int, start: int, length: int) -> None:
        """Note that its next samples were taken."""
        last = self.spans[-1] if self.spans else None
        if last is not None and last.generation == generation and last.start + last.length == start:
            last.length += length
        else:
            self.spans.append(Span(generation, start, length))

    def give_back(self, length: int) -> None:
        """Note that its last samples were taken in vain: they did not come out."""
        while length:
            last = self.spans[-1]
            step = min(length, last.length)
            last.length -= step
            length -= step
            if not last.length:
                self.spans.pop()


@attrs.define(eq=False)
class Chunk:
    """Taken samples that the device has not handed over yet; `data` is None once they are not wanted back."""

    start: int
    length: int
    part: Part
    data: memoryview | None


@attrs.define(eq=False)
class Generation:
    """What the device said about one generation."""

    number: int
    taken: int = 0
    handed: int = 0
    fixed: bool = False  # its end is known: nothing more of it will be handed over
    base: int = 0  # samples that left the speaker before the oldest mark
    marks: deque[tuple[int, float]] = attrs.Factory(deque)  # (samples, when the last of them leaves the speaker)
    in_flight: deque[Chunk] = attrs.Factory(deque)

    def hand_over(self, samples: int, until: float) -> None:
        """Note that the device is this far, and when the last of it leaves the speaker."""
        if samples <= self.handed:
            return
        self.handed = samples
        while self.marks and self.marks[-1][1] > until:
            self.marks.pop()  # the newer word counts: an older sample cannot come out later than this one
        self.marks.append((samples, until))
        while len(self.marks) > _MAX_MARKS:
            self.base = self.marks.popleft()[0]
        self.fold(until)
        while self.in_flight and self.in_flight[0].start + self.in_flight[0].length <= samples:
            self.in_flight.popleft()

    def fold(self, now: float) -> None:
        """Forget when samples left the speaker that did so long ago."""
        while self.marks and self.marks[0][1] < now - _MARK_SECONDS:
            self.base = self.marks.popleft()[0]

    def heard(self, now: float) -> int:
        """How many samples left the speaker by `now`."""
        floor, block = self.base, None
        for mark in reversed(self.marks):
            if mark[1] <= now:
                floor = mark[0]
                break
            block = mark
        if block is None:
            return floor
        samples, until = block
        return max(floor, samples - math.ceil((until - now) * SAMPLE_RATE - _GRAIN))

    def heard_at(self, samples: int) -> float:
        """When the sample before position `samples` leaves the speaker; inf if it was not handed over yet."""
        if samples <= self.base:
            return -math.inf
        before = -math.inf
        for position, until in self.marks:
            if position >= samples:
                return max(before, until - (position - samples) / SAMPLE_RATE)
            before = until
        return math.inf
