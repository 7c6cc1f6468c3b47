"""Which words of a spoken part were heard: an estimate, from the order in which its words and its sound arrived.

Deliberately elsewhere: how much of the sound was heard (`core.playout`), what the words are (`core.item`).

Theory of operation. The server says what is spoken and never when. Two things are known. How long words take: letters
at an even pace, pauses at punctuation, and, once the part is whole, that all its words fill all its sound. That alone
is right at both ends, and off by a second or so in the middle of half a minute. And the order of arrival: how much
sound had come when a word came. Words may come ahead of their sound, behind it, or all at once, so that each arrival by
itself says little; how far ahead they are (the lead) is what changes slowly. So: take the lead that the even pace sees
at each arrival, take away the straight line from its beginning to its end (there the even pace is right, so the line is
the server's doing: a constant lead, or one that grows because words are generated faster than sound), and what remains
is how far the speaker is off the even pace. That is believed as far as it changes as speakers do, a little with each
word; words that come in lumps, out of step with the sound, would need a stranger speaker than there is.
"""

import bisect
import itertools
import math
import re
import statistics
import unicodedata
from array import array
from collections.abc import Sequence

import attrs

__all__ = ["PACE", "Captions", "whole_words"]

# How long things take to say, in letters.
_WORD = 0.5  # the gap behind each word
_DIGIT = 4.0  # "7" is read as a word
_PAUSES = {
    ",": 3.0,
    ";": 4.5,
    ":": 4.5,
    "\u2013": 4.5,
    "\u2014": 4.5,
    ".": 6.0,
    "!": 6.0,
    "?": 6.0,
    "\u3001": 3.0,
    "\u3002": 6.0,
}
_WIDE = 3.0  # one sign of Chinese, Japanese or Korean is a syllable or more

PACE = 63.0
"""Milliseconds for a letter, where nothing better is known."""

_SLOWER, _FASTER = 1.7, 0.6  # times that: what a speaker may do
_LEARNING = 1500.0  # ms of sound before a speaker's own pace is believed
_UNEVEN = 8.0  # ms per square root of a ms: how fast a speaker gets off an even pace (3 to 5 as measured)
_ENDS = 4  # arrivals at either end from which the line is drawn

_UNIT = re.compile(r"\s*(\S+)")
_CLOSING = "\"')]\u2019\u201d\u00bb"


@attrs.define(eq=False)
class _Weights:
    """How long the words of a growing text take: what was weighed is not weighed again, but for its last word.

    A part is weighed with each of its words, in the task that everything waits for: anew, that would be all of it times
    all of it.
    """

    _text: str = ""  # the words that cannot change, whatever comes behind them, and the first sign of the next
    _stops: list[int] = attrs.field(factory=list)
    _begins: list[float] = attrs.field(factory=list)
    _ends: list[float] = attrs.field(factory=list)
    _length: float = 0.0

    def of(self, text: str) -> tuple[list[int], list[float], list[float], float]:
        """Say how long words take, in letters.

        Returns:
            For each word the place in the text where it ends, when it begins and when it ends; and the length of all.
        """
        if not text.startswith(self._text):
            self._text, self._stops, self._begins, self._ends, self._length = "", [], [], [], 0.0
        stops, begins, ends, at = self._stops.copy(), self._begins.copy(), self._ends.copy(), self._length
        last = max(0, len(self._text) - 1)  # where the last word begins
        for match in _UNIT.finditer(text, last):
            for begin, end in itertools.pairwise(_breaks(text, match.start(1), match.end())):
                word = text[begin:end]
                stops.append(end)
                begins.append(at)
                at += sum(map(_length, word))
                ends.append(at)
                at += _WORD + _pause(word.rstrip(_CLOSING)[-1:])
                last = begin
        if len(stops) > len(self._stops):
            self._text, self._length = text[: last + 1], begins[-1]
            self._stops, self._begins, self._ends = stops[:-1], begins[:-1], ends[:-1]
        return stops, begins, ends, at


@attrs.define(eq=False)
class Captions:
    """Where the words of one part are in its sound, as far as can be told.

    Noting a delta costs some hundred nanoseconds; the estimate is made when it is asked for, and kept.

    Attributes:
        received_ms: How much of its sound has come.
        usual_pace: Milliseconds for a letter, for as long as this part does not tell its own.
    """

    received_ms: float = 0.0
    usual_pace: float = PACE
    # characters that were there when more came, and how much sound had come by then, ascending; arrays are small
    _before: "array[int]" = attrs.field(factory=lambda: array("L"), init=False)
    _at: "array[float]" = attrs.field(factory=lambda: array("d"), init=False)
    _plan: "_Plan | None" = attrs.field(default=None, init=False)
    _weights: _Weights | None = attrs.field(default=None, init=False)  # while words come
    _told: int = attrs.field(default=0, init=False)  # characters that were called heard, which stays so
    _closed: bool = attrs.field(default=False, init=False)
    _closed_pace: float | None = attrs.field(default=None, init=False)

    def note_words(self, before: int) -> None:
        """Note that words come.

        Args:
            before: Characters of the transcript that came before them.
        """
        if not self._closed and (not self._at or self._at[-1] < self.received_ms):
            self._before.append(before)
            self._at.append(self.received_ms)

    def note_sound(self, ms: float) -> None:
        """Note that sound comes.

        Args:
            ms: How much.
        """
        self.received_ms += ms

    def heard(self, text: str, heard_ms: float, *, whole: bool) -> str:
        """Estimate what was heard.

        Args:
            text: The transcript as far as it is known.
            heard_ms: How much of the sound was heard.
            whole: Whether the part was made to its end, all words and all sound of it. Where it was cut off, its last
                words may never have been spoken.

        Returns:
            Whole words from the beginning of `text`, never less than the last time. Nothing if nothing was heard,
            everything if all of a whole part was.
        """
        if heard_ms <= 0:
            pass
        elif whole and heard_ms >= math.floor(self.received_ms):  # positions come in whole milliseconds
            self._told = len(text)
            self.close(text)
        elif not self._closed:
            key = (len(text), self.received_ms, len(self._at), whole)
            if self._plan is None or self._plan.key != key:
                self._plan = _Plan(key, *self._times(text, whole=whole))
                if whole:
                    self._weights = None  # no more words come
            self._told = max(self._told, self._plan.characters(heard_ms))
        return text[: self._told]

    def spoken(self, text: str) -> str:
        """Estimate which words of a part that was cut off are in the sound that came of it.

        Args:
            text: The transcript as far as it is known.

        Returns:
            Whole words from the beginning of `text`, at least those that were called heard.
        """
        stops, times = self._times(text, whole=False)
        words = bisect.bisect_right(times, self.received_ms) if self.received_ms else 0
        return text[: max(self._told, stops[words - 1] if words else 0)]

    def close(self, text: str) -> None:
        """Let what was heard stay as it is, and forget how that was known: it takes more than the words themselves."""
        if not self._closed:
            self._closed_pace = self.pace(text)
            self._closed = True
            self._before, self._at, self._plan, self._weights = array("L"), array("d"), None, None

    def end_of(self, text: str, place: int) -> float:
        """Estimate when the words before a place in the text are spoken, while more words and more sound may come.

        Args:
            text: The transcript as far as it is known.
            place: A character position in it; a word that goes on behind it does not count.

        Returns:
            Milliseconds from the beginning of the sound; it need not have come yet.
        """
        stops, times = self._times(text, whole=False)
        words = bisect.bisect_right(stops, place)
        return times[words - 1] if words else 0.0

    def pace(self, text: str) -> float | None:
        """Tell how fast a whole part was spoken, for the next one by the same speaker.

        Returns:
            Milliseconds for a letter; None if the part is too short to tell, or no speaker is like that.
        """
        if self._closed:
            return self._closed_pace
        length = self._weigh(text)[-1]
        pace = self.received_ms / length if self.received_ms >= _LEARNING and length else None
        return pace if pace is not None and _is_human(pace) else None

    def _weigh(self, text: str) -> tuple[list[int], list[float], list[float], float]:
        if self._weights is None:
            self._weights = _Weights()
        return self._weights.of(text)

    def _times(self, text: str, *, whole: bool) -> tuple[list[int], list[float]]:
        """Give the places in the text where words end, and when they do, in ms of its sound."""
        stops, begins, ends, length = self._weigh(text)
        if not stops:
            return [], []
        places = [_weight_at(before, stops, begins, length) for before in self._before]
        pace = self._pace(places, length, whole=whole)
        offs = _offs([place * pace for place in places], self._at, length * pace)
        times: list[float] = []
        latest = 0.0
        for end in ends:
            latest = max(latest, end * pace - offs.at(end * pace))
            times.append(latest)
        return stops, times

    def _pace(self, places: list[float], length: float, *, whole: bool) -> float:
        """Tell how many ms a letter takes."""
        if whole and self.received_ms:
            return self.received_ms / length
        if len(places) > 1:
            # the first lump is the lead, not the pace
            sound, words = self._at[-1] - self._at[1], places[-1] - places[1]
            if sound >= _LEARNING and words > 0 and _is_human(sound / words):
                return sound / words
        return self.usual_pace  # words that run away from their sound say nothing of the speaker


@attrs.frozen
class _Plan:
    """What was worked out for one state of a part."""

    key: tuple[int, float, int, bool]
    stops: list[int]
    times: list[float]

    def characters(self, heard_ms: float) -> int:
        words = bisect.bisect_right(self.times, heard_ms)
        return self.stops[words - 1] if words else 0


@attrs.frozen
class _Offs:
    """By how many ms the words are earlier than at an even pace; 0 at both ends."""

    times: list[float]
    values: list[float]

    @property
    def roughness(self) -> float:
        """How much they change from one to the next, in ms per square root of a ms; a pause or two do not count."""
        steps = [
            abs(later - value) / math.sqrt(end - begin)
            for (begin, end), (value, later) in zip(
                itertools.pairwise(self.times), itertools.pairwise(self.values), strict=True
            )
            if end > begin
        ]
        return statistics.median(steps) if steps else 0.0

    def at(self, time: float) -> float:
        after = bisect.bisect_left(self.times, time)
        if after == 0:
            return self.values[0] if self.values else 0.0
        if after == len(self.times):
            return self.values[-1]
        begin, end = self.times[after - 1], self.times[after]
        part = (time - begin) / (end - begin) if end > begin else 1.0
        return self.values[after - 1] + part * (self.values[after] - self.values[after - 1])


def _offs(times: list[float], arrivals: Sequence[float], length: float) -> _Offs:
    """Find how far the speaker is off the even pace.

    Args:
        times: When the words behind each arrival begin at an even pace.
        arrivals: How much sound had come by then.
        length: When all words are over at that pace.

    Returns:
        What the arrivals say, as far as it is to be believed.
    """
    # Words that are ahead of their sound are told by where a lump of them begins, those behind it by where one ends:
    # whichever fits a speaker better. At the very beginning and end there is no room for a lead, so these say nothing.
    ahead = _remains(times[1:], arrivals[1:])
    behind = _remains(times[1:], arrivals[:-1])
    best = min(ahead, behind, key=lambda offs: offs.roughness)
    rough = best.roughness
    belief = 1.0 if rough <= _UNEVEN else (_UNEVEN / rough) ** 2
    return _Offs([0.0, *best.times, length], [0.0, *(belief * value for value in best.values), 0.0])


def _remains(times: list[float], arrivals: Sequence[float]) -> _Offs:
    """Take the straight line from its beginning to its end away from the lead."""
    count = len(times)
    few = min(_ENDS, count // 3)
    if not few:
        return _Offs([], [])
    leads = [time - arrival for time, arrival in zip(times, arrivals, strict=True)]
    begin, end = sum(times[:few]) / few, sum(times[-few:]) / few
    first, last = sum(leads[:few]) / few, sum(leads[-few:]) / few
    slope = (last - first) / (end - begin) if end > begin else 0.0
    return _Offs(times, [lead - first - slope * (time - begin) for time, lead in zip(times, leads, strict=True)])


def whole_words(text: str) -> int:
    """Tell up to which place a growing text has whole words.

    Its last word may go on, unless white space follows it, or it ends a sentence.
    """
    if text[-1:].isspace() or _pause(text.rstrip(_CLOSING)[-1:]) == _PAUSES["."]:
        return len(text)
    last = len(text) - len((text.rsplit(maxsplit=1) or [""])[-1])
    if text[last:].isascii():
        return last if last < len(text) else 0
    return next((n for n in range(len(text) - 1, last, -1) if _starts_word(text[n])), last)


def _breaks(text: str, begin: int, end: int) -> list[int]:
    """Divide a run without white space where scripts without spaces allow it: before each sign that is wide."""
    if text[begin:end].isascii():
        return [begin, end]
    inside = [n for n in range(begin + 1, end) if _starts_word(text[n])]
    return [begin, *inside, end]


def _starts_word(sign: str) -> bool:
    return _is_wide(sign) and sign.isalnum()


def _length(sign: str) -> float:
    if sign.isdigit():
        return _DIGIT
    if not sign.isalnum():
        return 0.0
    return _WIDE if _is_wide(sign) else 1.0


def _pause(mark: str) -> float:
    """Say how long the pause at a punctuation mark is; wide marks are like the others."""
    return _PAUSES.get(mark, 0.0) or _PAUSES.get(unicodedata.normalize("NFKC", mark)[-1:], 0.0)


def _is_wide(sign: str) -> bool:
    return not sign.isascii() and unicodedata.east_asian_width(sign) in "WF"


def _weight_at(place: int, stops: list[int], begins: list[float], length: float) -> float:
    """Say when what stands behind a place in the text is spoken, in letters."""
    index = bisect.bisect_right(stops, place)
    return begins[index] if index < len(begins) else length


def _is_human(pace: float) -> bool:
    return _FASTER <= pace / PACE <= _SLOWER
