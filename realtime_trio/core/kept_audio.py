"""The user's sound as it went to the server: what is lost with a link, and what can be said again on the next one.

Deliberately elsewhere: when a sample was spoken (`core.capture`), what is sent at all (`core.uplink`), and sending it
again.

Theory of operation. The server counts its input in milliseconds of all the sound that it was sent on this link, and
says of each turn where it begins and ends. So the sound is kept as one row of bytes with positions, in the wire's
format. A commit takes the stretch of an item out of it, and what lies before is of no use any more. What is left is
what a new link has to be sent first: all that was not committed, or, where turn detection listens and hears nobody, the
last second; and what was captured while there was no link. Everything is bounded by one sum. When it is reached, long
silence goes first, then the sound of the oldest items, then the oldest of what is owed to the server, which is counted.
"""

# ruff: noqa: SLF001 - the table of handlers names private methods of the class above it

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from realtime_trio import events
from realtime_trio.events import AudioInput, ClientEvent, RealtimeSession, ServerEvent

from .detection import Detection
from .kept_block import RATE, KeptBlock

__all__ = ["KeptAudio", "KeptBlock"]

_PCM = (24_000, 2)  # samples a second, and bytes of one
_G711 = (8_000, 1)
_CERTAIN = 1.0  # seconds that turn detection may need to say that it hears somebody
_DOUBT = 10.0  # seconds of silence that are kept while there is room, should the link have been dead for so long
_MOST_MARKS = 64
_MOST_MISSING = 1024


@attrs.define
class _Placed:
    begin: int  # in bytes of this link's input
    block: KeptBlock
    sent_at: float

    @property
    def end(self) -> int:
        return self.begin + len(self.block.audio)


@attrs.define
class _Turn:
    """Speech that turn detection heard, in bytes of the input."""

    item_id: str
    begin: int | None  # None: it was not told
    end: int | None = None


@attrs.define
class _Mark:
    """Something that the program did to the buffer, and that the server has not answered."""

    kind: type
    event_id: object
    place: int


class KeptAudio:
    """The sound of one session, over all its links.

    Args:
        seconds: How much is kept, in all.
        rate: Samples a second on the wire. It is learnt from `session.updated` when it changes, as is the next.
        width: Bytes of a sample on the wire.
    """

    def __init__(self, seconds: float, *, rate: int = _PCM[0], width: int = _PCM[1]) -> None:
        self._seconds = seconds
        self._rate, self._width = rate, width
        self._placed: deque[_Placed] = deque()
        self._size = 0  # bytes in them
        self._end = 0  # of the input on this link
        self._released = 0  # up to here the sound was committed or cleared
        self._sounds: dict[str, bytes] = {}  # of items, the oldest first
        self._sounds_size = 0
        self._detection = Detection()
        self._turn: _Turn | None = None
        self._marks: list[_Mark] = []
        self._resent = 0  # how much of the input was sent on an earlier link before
        self._lost_at: int | None = None  # where the input was when the link was lost
        self._heard_from: float | None = None
        self._begun_at = 0.0
        self._given_up: deque[_Placed] = deque()  # what this link was not sent, each where it would have been
        self._begins = False  # whether nothing was heard on this link yet
        self._dropped = 0
        self._missing: deque[tuple[int, int]] = deque()  # up to where, and how many samples, in order

    def append(self, audio: bytes, samples: int, captured_at: float) -> None:
        """Take a block that is sent, or would be if there were a link.

        Args:
            audio: In the wire's format, whole samples.
            samples: How many captured samples at 24 kHz it was made of.
            captured_at: When the first of them was captured, in seconds.
        """
        if not audio:
            return
        sent_at = captured_at + samples / RATE  # or later, where it is pre-roll
        self._placed.append(_Placed(self._end, KeptBlock(audio, samples, captured_at), sent_at))
        self._end += len(audio)
        self._size += len(audio)
        if self._begins and self._end - self._resent > self._bytes(_DOUBT):
            self._heard()  # or never to be heard of
        self._fit()

    def sent(self, event: ClientEvent) -> None:
        """Note what the program does to the buffer, in order with `append`; other events say nothing here.

        One that is sent again on a new link is not told again: `begin_link` knows.
        """
        if isinstance(event, events.InputAudioBufferCommit | events.InputAudioBufferClear):
            self._marks.append(_Mark(type(event), event.event_id, self._end))
            del self._marks[:-_MOST_MARKS]

    def handle(self, event: ServerEvent) -> None:
        """Follow what the server says about its input; other events change nothing."""
        if self._begins:
            self._heard()
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def give_up(self, samples: int, behind: int) -> None:
        """Note that a slow link was not sent a piece of the input after all: the server's timeline does not have it.

        Args:
            samples: How long it was, at 24 kHz.
            behind: How much was appended after it.
        """
        end = max(0, self._end - behind * self._rate // RATE * self._width)
        begin = max(0, end - samples * self._rate // RATE * self._width)
        placed, self._placed = self._placed, deque()
        for one in placed:
            if one.begin < end and one.end > begin:
                piece = one.block.split(max(0, begin - one.begin))[1] if one.begin < begin else one.block
                piece = piece.split(min(end, one.end) - max(begin, one.begin))[0] if one.end > end else piece
                self._given_up.append(_Placed(begin, piece, one.sent_at))
            before = max(0, min(begin, one.end) - one.begin)
            after = max(0, one.end - max(end, one.begin))
            if before:
                self._placed.append(
                    attrs.evolve(one, block=one.block.split(before)[0] if one.end > begin else one.block)
                )
            if after:
                block = one.block.split(len(one.block.audio) - after)[1] if one.begin < end else one.block
                self._placed.append(attrs.evolve(one, begin=one.end - after - (end - begin), block=block))

        def shifted(place: int) -> int:
            return place if place <= begin else max(begin, place - (end - begin))

        self._size = sum(len(one.block.audio) for one in self._placed)
        self._end, self._released, self._resent = (
            shifted(place) for place in (self._end, self._released, self._resent)
        )
        for mark in self._marks:
            mark.place = shifted(mark.place)

    def of_item(self, item_id: str) -> bytes | None:
        """Give the sound of an item, in the wire's format; None if it is not, or not wholly, kept."""
        return self._sounds.get(item_id)

    def lose_link(self, heard_from: float | None = None) -> None:
        """The link is gone: all that is appended from now on is owed to the next.

        Args:
            heard_from: When the server was heard from last, on the clock of `captured_at`. What was sent after that may
                never have reached it; None if there is no reason to think so.
        """
        if self._begins and heard_from is not None and heard_from >= self._begun_at + _CERTAIN:
            self._begins, self._lost_at = False, None  # it said nothing, since there was nothing to say
        if self._begins:  # and so all of it is owed
            self._begins = False
        elif self._lost_at is None:
            self._lost_at, self._heard_from = self._end, heard_from

    def uncommitted(self) -> list[KeptBlock]:
        """Give what a new link has to be sent first, in order; the same blocks again as long as it begins with them."""
        owed_from = self._owed_from()
        result: list[KeptBlock] = []
        marks = sorted({mark.place for mark in self._marks if mark.kind is events.InputAudioBufferCommit})
        for placed in self._placed:
            begin, block = placed.begin, placed.block
            if placed.end <= owed_from:
                continue
            if begin < owed_from:
                block, begin = block.split(owed_from - begin)[1], owed_from
            for place in marks:
                if begin < place < placed.end:
                    first, block = block.split(place - begin)
                    result.append(attrs.evolve(first, ends_turn=True))
                    begin = place
            if block.ends_turn != (placed.end in marks):
                block = attrs.evolve(block, ends_turn=not block.ends_turn)
            result.append(block)
        if self._lost_at is not None and not self._begins:
            result += [placed.block for placed in self._given_up if placed.begin >= owed_from]
            result.sort(key=lambda block: block.captured_at)
        return result

    def begin_link(self) -> None:
        """A new link is there, with a timeline of its own, on which `uncommitted` is sent first.

        What is appended while that is being sent belongs to it, until the first event of the new link is handled.
        """
        self._lose_missing()
        blocks = self.uncommitted()
        commits = [mark for mark in self._marks if mark.kind is events.InputAudioBufferCommit]
        sent_at = max((placed.sent_at for placed in self._placed), default=0.0)
        self._placed.clear()
        self._given_up.clear()
        self._marks.clear()
        self._end = self._released = 0
        for block in blocks:
            self._placed.append(_Placed(self._end, block, sent_at))
            self._end += len(block.audio)
            if block.ends_turn:
                self._marks.append(_Mark(events.InputAudioBufferCommit, None, self._end))
        for mark, again in zip(reversed(commits), reversed(self._marks), strict=False):
            again.event_id = mark.event_id
        self._size = self._resent = self._end
        self._turn = self._heard_from = None
        self._lost_at, self._begins, self._begun_at = 0, True, sent_at

    def _heard(self) -> None:
        """The new link is there indeed."""
        self._begins, self._lost_at, self._resent = False, None, self._end

    def fail_link(self) -> None:
        """The link that was begun last came to nothing: all that was sent on it is owed to the next."""
        if self._lost_at is None:
            self._resent = self._lost_at = self._end

    def take_dropped(self) -> int:
        """Say how many samples at 24 kHz went to the bound that no link has taken for certain, since last asked."""
        if self._lost_at is not None:
            self._lose_missing()
        dropped, self._dropped = self._dropped, 0
        return dropped

    @property
    def seconds(self) -> float:
        """How much is kept now."""
        return (self._size + self._sounds_size + self._given_up_size) / (self._rate * self._width)

    # inside

    def _bytes(self, seconds: float) -> int:
        return int(seconds * self._rate) * self._width

    def _at(self, ms: int) -> int:
        """Give the position of a millisecond of the input."""
        return min(max(0, ms * self._rate // 1000 * self._width), self._end)

    @property
    def _is_quiet(self) -> bool:
        """Whether the server listens and hears nobody."""
        return self._detection.is_on and self._turn is None and self._lost_at is None

    def _owed_from(self) -> int:
        """Say where that begins which the next link has to be sent."""
        cleared = [mark.place for mark in self._marks if mark.kind is events.InputAudioBufferClear]
        least = max([self._released, *cleared])
        if not self._detection.is_on:
            return least
        if self._turn is not None:
            return max(least, self._turn.begin or 0)
        until = self._end if self._lost_at is None else self._lost_at
        if until - self._resent < self._bytes(_CERTAIN):
            return least  # it has hardly heard what it was sent again
        owed_from = until - self._bytes(_CERTAIN)
        if self._heard_from is not None:
            since = self._heard_from - _CERTAIN
            unheard = (placed.begin for placed in self._placed if placed.sent_at >= since)
            owed_from = min(owed_from, next(unheard, owed_from))
        return max(least, owed_from)

    def _fit(self) -> None:
        """Keep to the bound."""
        most = self._bytes(self._seconds)
        too_much = self._size + self._sounds_size - most
        if too_much > 0 and self._is_quiet:
            silence = max(0, self._size - self._bytes(_DOUBT))
            too_much -= self._drop(min(too_much, silence))
        while too_much > 0 and self._sounds:
            too_much -= self._forget(next(iter(self._sounds)))
        if too_much > 0:
            self._drop(too_much)
        while self._given_up and self._size + self._sounds_size + self._given_up_size > most:
            self._given_up.popleft()

    @property
    def _given_up_size(self) -> int:
        return sum(len(placed.block.audio) for placed in self._given_up)

    def _drop(self, size: int) -> int:
        """Give up the oldest of what is not committed. Returns how many bytes."""
        end = self._end - self._size + size
        owed_from = end if self._is_quiet else self._owed_from()
        self._cut(min(end, owed_from))
        if missing := self._cut(end):
            self._missing.append((end, missing))  # on a link that lives, it may yet be committed
            if len(self._missing) > _MOST_MISSING:
                (_, first), (place, second) = self._missing.popleft(), self._missing.popleft()
                self._missing.appendleft((place, first + second))
        return size

    def _lose_missing(self) -> None:
        """What was given up of this link's input, and not committed there, is lost."""
        self._dropped += sum(samples for _, samples in self._missing)
        self._missing.clear()

    def _cut(self, place: int) -> int:
        """Keep nothing that lies before a position. Returns how many samples that was."""
        samples = 0
        while self._placed and self._placed[0].end <= place:
            block = self._placed.popleft().block
            self._size -= len(block.audio)
            samples += block.samples
        if self._placed and self._placed[0].begin < place:
            first = self._placed[0]
            self._size -= place - first.begin
            gone, first.block = first.block.split(place - first.begin)
            first.begin = place
            samples += gone.samples
        return samples

    def _release(self, place: int) -> None:
        """What lies before a position is of no use any more."""
        self._released = max(self._released, place)
        self._cut(self._released)
        while self._given_up and self._given_up[0].begin < self._released:
            self._given_up.popleft()
        while self._missing and self._missing[0][0] <= self._released:
            self._missing.popleft()

    def _forget(self, item_id: str) -> int:
        """Give up the sound of an item. Returns how many bytes."""
        size = len(self._sounds.pop(item_id, b""))
        self._sounds_size -= size
        return size

    def _take(self, item_id: str, begin: int, end: int) -> None:
        """Set a stretch aside as the sound of an item, if all of it is there."""
        self._forget(item_id)
        begin = max(begin, self._released)
        if self._end - self._size <= begin < end:
            pieces = [
                placed.block.audio[max(0, begin - placed.begin) : end - placed.begin]
                for placed in self._placed
                if placed.begin < end and placed.end > begin
            ]
            self._sounds[item_id] = b"".join(pieces)
            self._sounds_size += end - begin
        self._release(end)
        self._fit()

    # what the server says

    def _configured(self, event: events.SessionUpdated) -> None:
        before, self._detection = self._detection, self._detection.after(event.session)
        if before.is_on and not self._detection.is_on:
            self._release(self._turn.begin or 0 if self._turn else self._end - self._bytes(_CERTAIN))
            self._turn = None
        audio = event.session.audio if isinstance(event.session, RealtimeSession) else None
        given = audio.input.format if audio and isinstance(audio.input, AudioInput) else None
        if given and isinstance(given.type, str):
            self._speak(*(_G711 if given.type in ("audio/pcmu", "audio/pcma") else _PCM))

    def _speak(self, rate: int, width: int) -> None:
        """From now on the sound is in another format; nothing can be done any more with what is kept."""
        if (rate, width) == (self._rate, self._width):
            return
        for item_id in tuple(self._sounds):
            self._forget(item_id)
        self._drop(self._size)
        self._lose_missing()
        ratio = rate * width / (self._rate * self._width)
        self._rate, self._width = rate, width
        self._end, self._released, self._resent = (
            int(place * ratio) // width * width for place in (self._end, self._released, self._resent)
        )
        for mark in self._marks:
            mark.place = int(mark.place * ratio) // width * width
        if self._turn is not None:
            self._turn = _Turn(self._turn.item_id, None)
        if self._lost_at is not None:
            self._lost_at = self._end

    def _started(self, event: events.InputAudioBufferSpeechStarted) -> None:
        self._turn = _Turn(event.item_id, self._at(event.audio_start_ms))
        self._release(self._turn.begin or 0)

    def _stopped(self, event: events.InputAudioBufferSpeechStopped) -> None:
        if self._turn is None or self._turn.item_id != event.item_id:
            self._turn = _Turn(event.item_id, None)
        self._turn.end = self._at(event.audio_end_ms)

    def _timed_out(self, event: events.InputAudioBufferTimeoutTriggered) -> None:
        self._turn = _Turn(event.item_id, self._at(event.audio_start_ms), self._at(event.audio_end_ms))

    def _committed(self, event: events.InputAudioBufferCommitted) -> None:
        turn, self._turn = self._turn, None
        begin, end = self._released, None
        if turn is not None and turn.item_id == event.item_id:
            begin, end = turn.begin or 0, turn.end
        if end is None:  # the program's own commit
            end = self._answered(events.InputAudioBufferCommit)
        self._take(event.item_id, begin, end)

    def _cleared(self, event: events.InputAudioBufferCleared) -> None:  # noqa: ARG002 like its neighbours
        self._turn = None
        self._release(self._answered(events.InputAudioBufferClear))

    def _answered(self, kind: type) -> int:
        """Give the place where the program did what is answered now; the end where it was not told here."""
        mark = next((mark for mark in self._marks if mark.kind is kind), None)
        if mark is None:
            return self._end
        self._marks.remove(mark)
        return mark.place

    def _refused(self, event: events.Error) -> None:
        named = event.error.event_id
        self._marks = [mark for mark in self._marks if not (named and mark.event_id == named)]

    def _transcribed(self, event: events.ConversationItemInputAudioTranscriptionCompleted) -> None:
        self._forget(event.item_id)

    def _deleted(self, event: events.ConversationItemDeleted) -> None:
        self._forget(event.item_id)


_HANDLERS: dict[type, Callable[[KeptAudio, Any], None]] = {
    events.SessionUpdated: KeptAudio._configured,
    events.InputAudioBufferSpeechStarted: KeptAudio._started,
    events.InputAudioBufferSpeechStopped: KeptAudio._stopped,
    events.InputAudioBufferTimeoutTriggered: KeptAudio._timed_out,
    events.InputAudioBufferCommitted: KeptAudio._committed,
    events.InputAudioBufferCleared: KeptAudio._cleared,
    events.ConversationItemInputAudioTranscriptionCompleted: KeptAudio._transcribed,
    events.ConversationItemDeleted: KeptAudio._deleted,
    events.Error: KeptAudio._refused,
}
