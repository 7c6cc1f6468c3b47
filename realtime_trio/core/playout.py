"""The playout ledger: which sample of which content part came out of the speaker, and when.

Deliberately elsewhere: devices and rings (`realtime_trio.audio`), what the server is told (`core.interruption`).

Theory of operation. Audio goes through four places: received, taken (into the device's ring), handed over (to the
sound system), heard (left the speaker). The device knows nothing of parts; it counts the written samples of a
*generation*, a number that every cut raises, so that a report which arrives late can never be taken for a newer sound.
The ledger remembers which span of each generation belongs to which part, and so turns the device's two numbers into the
two positions of a part, which are never mixed: *heard* follows the clock of the converter (for people: captions,
latency), *cut* is all that was handed over when the callback took the cut, fade included (for the server: it comes out
whatever we do).

One voice at a time: a part that has begun is played to its end before another begins, however the deltas interleave.
When it runs dry before it is finished, that is an underrun and not a reason to start another reply in the middle of it.

Taken samples are kept until they were handed over (a ring's worth), so that a cut which spares some responses can put
back what the device threw away of those: `cut(())` is a pause that loses no sample.

A part may be held, for as long as its words are being judged: then it keeps its place, and is not handed out further
than it was released. It counts as received and not played, so whatever asks how far the sound is gets the truth.
"""

import math
from collections import deque
from collections.abc import Collection

from .runs import SAMPLE_RATE, SAMPLES_PER_MS, WIDTH, Chunk, Generation, Part, PartKey

__all__ = ["SAMPLES_PER_MS", "SAMPLE_RATE", "PartKey", "PlayoutLedger"]

_MAX_PARTS = 256  # settled parts beyond this are forgotten, the oldest first
_MAX_GENERATIONS = 64
_MAX_BLOCKED = 4096


class PlayoutLedger:
    """Received audio in the order in which it is to be played, and the position of each part of it.

    Nothing here waits or reads a clock: times are arguments, in seconds of whatever clock the device uses.
    """

    def __init__(self) -> None:
        self._generation = 0
        self._logs: dict[int, Generation] = {0: Generation(0)}
        self._parts: dict[PartKey, Part] = {}  # in order of first audio
        self._of: dict[str, list[Part]] = {}  # the same by response: each block asks about one, a long talk has many
        self._current: Part | None = None  # begun: it has the voice until it is over
        self._waiting: deque[Part] = deque()  # not begun, each with something to play
        self._blocked: dict[str, None] = {}
        self._ended: dict[str, None] = {}

    @property
    def generation(self) -> int:
        """The number of the generation that `take` takes for: starts at 0, one more at each cut."""
        return self._generation

    @property
    def queued(self) -> int:
        """Samples that were received and not taken yet."""
        return sum(part.queued for part in self._in_order())

    @property
    def is_dry(self) -> bool:
        """Whether a part that has begun waits for more from the server; one that is held waits for something else."""
        part = self._current
        waits = part is not None and part.spans and not part.queued and part.limit is None and not self._over(part)
        return part is not None and bool(waits) and not part.in_flight(self._logs)

    # what the server says

    def receive(self, part: PartKey, pcm: bytes) -> bool:
        """Add an audio delta behind everything that its part has already.

        Args:
            part: Where it belongs.
            pcm: PCM16LE, mono, 24 kHz.

        Returns:
            False if that response was cut or discarded: this is a straggler, of which only the length is noted.
        """
        record = self._record(part)
        pcm = record.carry + pcm if record.carry else pcm
        samples = len(pcm) // WIDTH
        record.carry = pcm[samples * WIDTH :]
        record.received += samples
        if part.response_id in self._blocked:
            return False
        if samples:
            record.queue.append(memoryview(pcm)[: samples * WIDTH])  # pieces of it are taken without copying the rest
            record.queued += samples
            if record is not self._current and record not in self._waiting:
                self._waiting.append(record)
        return True

    def finish(self, part: PartKey) -> None:
        """Note that all audio of this part was received (`response.output_audio.done`)."""
        self._record(part).done = True

    def end(self, response_id: str) -> None:
        """Note that the response is over (`response.done`): no part of it is waited for any more.

        This matters when a response fails and its parts never get their own `done`.
        """
        _remember(self._ended, response_id)

    # what may be played of it

    def hold(self, part: PartKey) -> None:
        """Let nothing of this part be taken before it is released; what comes behind it waits as well."""
        self._record(part).limit = 0

    def release(self, part: PartKey, samples: int | None = None) -> None:
        """Let samples of a held part be taken, counted from its beginning, received or not; what was let go stays so.

        Args:
            part: One that is held; others are not changed.
            samples: How many; None for all.
        """
        record = self._parts.get(part)
        if record is not None and record.limit is not None:
            record.limit = None if samples is None else max(record.limit, samples)

    # what the device takes and reports

    def take(self, samples: int) -> bytes:
        """Hand out the next samples for the device's ring.

        Args:
            samples: At most this many.

        Returns:
            PCM16LE of the current generation, possibly of several parts; empty when there is nothing to play now, and
            while a cut that spared some of the taken samples is not reported yet (they come again, first).
        """
        log = self._logs[self._generation]
        if any(chunk.data is not None for old in self._open_cuts() for chunk in old.in_flight):
            return b""
        pieces: list[memoryview] = []
        while samples > 0 and (part := self._voice()) is not None and (ready := part.ready):
            data = part.pop(min(samples, ready))
            length = len(data) // WIDTH
            part.append(log.number, log.taken, length)
            log.in_flight.append(Chunk(log.taken, length, part, data))
            log.taken += length
            samples -= length
            pieces.append(data)
        return b"".join(pieces)

    def report(self, generation: int, samples: int, until: float) -> None:
        """Note how far the device is.

        Of one block, give `cut_report` first: a report about a newer generation ends all older ones where they were
        last seen.

        Args:
            generation: The generation that it plays.
            samples: How many written samples of this generation it handed over since the generation began.
            until: When the last of them leaves the speaker, in seconds.
        """
        log = self._logs.get(generation)
        if log is None or log.fixed:
            return  # about something that is over: a straggler of the device
        for old in self._open_cuts():
            if old.number < generation:
                self._fix(old, old.handed, None)
        log.hand_over(min(samples, log.taken), until)

    def cut(self, response_ids: Collection[str] | None = None) -> int:
        """Stop the sound: a new generation begins, and these responses will not be played any more.

        Args:
            response_ids: Whose audio is dropped, for good. None: that of all known responses. What is spared goes on
                from the sample at which the cut falls, so an empty collection is a pause.

        Returns:
            The new generation, which the device is to be told.
        """
        if response_ids is None:
            response_ids = set(self._of)
        log = self._logs[self._generation]
        for response_id in response_ids:
            self.discard(response_id)
        for chunk in log.in_flight:
            if chunk.part.key.response_id in self._blocked:
                chunk.data = None
        self._generation += 1
        self._logs[self._generation] = Generation(self._generation)
        if log.handed == log.taken:
            self._fix(log, log.taken, None)  # nothing was pending: the cut cannot fall anywhere else
        for old in self._logs.values():
            if old.fixed and log.marks and old is not log:
                old.fold(log.marks[-1][1])
        for number in list(self._logs)[:-_MAX_GENERATIONS]:
            if self._logs[number].fixed:
                del self._logs[number]  # spans end where their generation did, so they are known without it
        return self._generation

    def discard(self, response_id: str) -> None:
        """Drop what is queued of a response and refuse the rest, without touching what the device has already."""
        _remember(self._blocked, response_id)
        for part in self._in_order():
            if part.key.response_id == response_id:
                part.queue.clear()
                part.queued = 0
        if self._current is not None and self._current.key.response_id == response_id:
            self._current = None
        self._waiting = deque(part for part in self._waiting if part.key.response_id != response_id)

    def cut_report(self, generation: int, samples: int, until: float | None = None) -> None:
        """Note where a cut fell: this fixes the cut positions of what was playing.

        Args:
            generation: The old generation, the one that was cut.
            samples: How many of its written samples come out, the fade included.
            until: When the last of them leaves the speaker, if the device knows.
        """
        log = self._logs.get(generation)
        if log is None or log.fixed or generation == self._generation:
            return
        for old in self._open_cuts():
            if old.number < generation:
                self._fix(old, old.handed, None)
        self._fix(log, samples, until)

    # positions

    def heard_samples(self, part: PartKey, now: float) -> int:
        """Samples of this part that left the speaker by `now`; 0 for a part that is not known. Never shrinks."""
        record = self._parts.get(part)
        if record is None:
            return 0
        total = 0
        for span in record.spans:
            log = self._logs.get(span.generation)
            total += span.length if log is None else min(span.length, max(0, log.heard(now) - span.start))
        return total

    def heard_ms(self, part: PartKey, now: float) -> int:
        """Whole milliseconds of this part that left the speaker by `now`."""
        return self.heard_samples(part, now) // SAMPLES_PER_MS

    def received_samples(self, part: PartKey) -> int:
        """Samples of this part that the server sent, those refused after a cut included."""
        record = self._parts.get(part)
        return 0 if record is None else record.received

    def received_ms(self, part: PartKey) -> int:
        """Whole milliseconds of this part that the server sent, those refused after a cut included."""
        return self.received_samples(part) // SAMPLES_PER_MS

    def cut_samples(self, part: PartKey) -> int | None:
        """Samples of a cut part that come out; None if its response was not cut, or it is not known yet."""
        if part.response_id not in self._blocked:
            return None
        record = self._parts.get(part)
        if record is None:
            return 0
        return None if record.in_flight(self._logs) else sum(span.length for span in record.spans)

    def cut_ms(self, part: PartKey) -> int | None:
        """Whole milliseconds of a cut part that come out; None if it was not cut, or it is not known yet."""
        samples = self.cut_samples(part)
        return None if samples is None else samples // SAMPLES_PER_MS

    def done(self, part: PartKey) -> bool:
        """Whether all audio of this part was received."""
        record = self._parts.get(part)
        return record is not None and record.done

    def blocked(self, response_id: str) -> bool:
        """Whether this response was cut or discarded, so that its audio is refused."""
        return response_id in self._blocked

    def parts(self, response_id: str | None = None) -> tuple[PartKey, ...]:
        """The known parts, of one response or of all, in the order of their first audio."""
        return tuple(self._parts if response_id is None else [part.key for part in self._of.get(response_id, ())])

    def pending(self, response_id: str) -> bool:
        """Whether audio of this response was received that is not handed over yet (and will be, if nothing cuts it)."""
        return any(part.queued or part.in_flight(self._logs) for part in self._of.get(response_id, ()))

    def begun(self, response_id: str) -> bool:
        """Whether the device was given sound of this response."""
        return any(part.spans for part in self._of.get(response_id, ()))

    def played(self, response_id: str, now: float) -> bool:
        """Whether all audio that was received of this response left the speaker; also true when there is none."""
        return self.played_at(response_id) <= now

    def played_at(self, response_id: str) -> float:
        """When all audio that was received of this response will have left the speaker.

        Returns:
            A time in seconds; -inf if there is no audio or it is long past; inf while some was not handed over yet, and
            for good if some of it was cut.
        """
        latest = -math.inf
        for part in self._of.get(response_id, ()):
            if sum(span.length for span in part.spans) < part.received:
                return math.inf
            for span in part.spans:
                log = self._logs.get(span.generation)
                if log is not None:
                    latest = max(latest, log.heard_at(span.start + span.length))
        return latest

    def sounds_at(self, response_id: str) -> float:
        """When the first sample of this response leaves the speaker.

        Returns:
            A time in seconds; inf while none of it was handed over, -inf if it is long past.
        """
        earliest = math.inf
        for part in self._of.get(response_id, ()):
            if part.spans:
                first = part.spans[0]
                log = self._logs.get(first.generation)
                at = -math.inf if log is None else log.heard_at(first.start + 1)
                earliest = min(earliest, at - 1 / SAMPLE_RATE)
        return earliest

    def drained(self, now: float) -> bool:
        """Whether nothing is left to be heard of what was received (what was cut does not count)."""
        return self.drained_at() <= now

    def drained_at(self) -> float:
        """When nothing will be left to be heard: -inf if nothing ever was, inf while something is not handed over."""
        if any(part.queued for part in self._in_order()):
            return math.inf
        return max(log.heard_at(log.taken) for log in self._logs.values())

    # inside

    def _record(self, key: PartKey) -> Part:
        record = self._parts.get(key)
        if record is None:
            if len(self._parts) >= _MAX_PARTS:
                self._forget_oldest()
            record = self._parts[key] = Part(key)
            self._of.setdefault(key.response_id, []).append(record)
        return record

    def _forget_oldest(self) -> None:
        for key, part in self._parts.items():
            if not part.queued and part is not self._current and not part.in_flight(self._logs):
                del self._parts[key]
                self._of[key.response_id].remove(part)
                if not self._of[key.response_id]:
                    del self._of[key.response_id]
                return

    def _in_order(self) -> list[Part]:
        """The parts that have something to play, in the order in which they will be."""
        return [part for part in (self._current, *self._waiting) if part is not None]

    def _voice(self) -> Part | None:
        current = self._current
        if current is not None:
            if current.queue:
                return current
            if not self._over(current):
                return None
            self._current = None
        if self._waiting:
            self._current = self._waiting.popleft()
        return self._current

    def _over(self, part: Part) -> bool:
        """Whether nothing more of this part is to be expected. A response makes its parts one after the other."""
        response_id = part.key.response_id
        return part.done or response_id in self._ended or any(p.key.response_id == response_id for p in self._waiting)

    def _open_cuts(self) -> list[Generation]:
        """Older generations of which it is not known yet where the cut fell."""
        return [log for log in self._logs.values() if not log.fixed and log.number < self._generation]

    def _fix(self, log: Generation, samples: int, until: float | None) -> None:
        """End an old generation at a position; put back what the device threw away of responses that were spared."""
        end = min(max(samples, log.handed), log.taken)
        returned: list[tuple[Part, memoryview]] = []
        for chunk in log.in_flight:
            keep = min(chunk.length, max(0, end - chunk.start))
            if keep < chunk.length:
                chunk.part.give_back(chunk.length - keep)
                if chunk.data is not None and chunk.part.key.response_id not in self._blocked:
                    returned.append((chunk.part, chunk.data[keep * WIDTH :]))
        if end > log.handed:
            if until is None:  # the rest follows the last that was reported, without a gap
                until = log.marks[-1][1] + (end - log.handed) / SAMPLE_RATE if log.marks else -math.inf
            log.hand_over(end, until)
        log.in_flight.clear()
        log.taken = end
        log.fixed = True
        if returned:
            for part, data in reversed(returned):
                part.queue.appendleft(data)
                part.queued += len(data) // WIDTH
            order = dict.fromkeys([part for part, _ in returned] + self._in_order())
            self._current = None
            self._waiting = deque(part for part in order if part.queue)


def _remember(names: dict[str, None], name: str) -> None:
    """Add a name to a bounded set, the oldest go."""
    names[name] = None
    while len(names) > _MAX_BLOCKED:
        del names[next(iter(names))]
