"""The guard window: how much of a part may be said while its words are still being judged.

Deliberately elsewhere: where words lie in their sound (`core.captions`), holding the sound (`core.playout`), asking the
guard and stopping what it stops (the session).

Theory of operation. Words come before they can be heard: generation is faster than speech. So the sound of a part is
held, and let go as far as the words that passed reach into it, less a *lead*, since where a word ends is an estimate.
Words are judged whole: of "forb" and "idden" neither is asked about. When all words passed, all sound is let go. Both
positions only grow, and after a stop neither moves.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import attrs

from realtime_trio.errors import ConfigurationError

from .border import check_text
from .captions import PACE, Captions, whole_words

__all__ = ["Guard", "GuardedPart", "GuardedText", "Stop"]

_FIRST_MS = 200.0  # with less than this a part does not begin: it would stop right behind its first syllable


@attrs.frozen
class GuardedText:
    """What a guard is asked about: the words of one content part so far, none of which was heard beyond those passed.

    Attributes:
        text: All of them from the part's beginning, whole words only.
        new: Those at the end of `text` that did not pass yet. Empty, like `text`, where there is sound without a word.
        complete: Whether it is known that no more words come.
        response_id: The response.
        item_id: Its item.
        content_index: The part's place in the item.
        before: The words of the response's earlier parts, which passed.
    """

    text: str
    new: str
    complete: bool = False
    response_id: str = ""
    item_id: str = ""
    content_index: int = 0
    before: str = ""


def _has_words(_: object, __: object, reason: Any) -> None:
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(f"a guard that stops gives its reason in words, not {reason!r}")


def _is_text(_: object, __: object, instead: Any) -> None:
    if instead is not None:
        check_text("what a guard says instead", instead)


@attrs.frozen
class Stop:
    """A guard's verdict: this is not to be said.

    Attributes:
        reason: Why, for the program; the model is not told.
        instead: What is to be said in its place; None for nothing. The model is asked to say it, so it may differ a
            little, and passes through the guard as well; where it is stopped too, nothing takes its place.

    Raises:
        ConfigurationError: The reason has no words, or `instead` is no text.
    """

    reason: str = attrs.field(validator=_has_words)
    instead: str | None = attrs.field(default=None, validator=_is_text)


Guard: TypeAlias = Callable[[GuardedText], Awaitable[str | Stop | None]]
"""Judges words before they are heard: None lets them pass, a reason or a `Stop` ends the response."""


@attrs.define(eq=False)
class GuardedPart:
    """One content part, from its first word or sound until all of it passed or it was stopped.

    Attributes:
        lead_ms: By how much less of the sound is let go than the words that passed seem to reach.
        text: Its words so far.
        complete: Whether that is all of them.
        passed: Characters of `text` that passed.
        open: Whether all of it passed.
        stopped: Whether it was stopped.
        allowed_ms: How much of its sound may be played, received or not; inf for all.
    """

    lead_ms: float
    usual_pace: float = PACE
    text: str = attrs.field(default="", init=False)
    complete: bool = attrs.field(default=False, init=False)
    passed: int = attrs.field(default=0, init=False)
    open: bool = attrs.field(default=False, init=False)
    stopped: bool = attrs.field(default=False, init=False)
    allowed_ms: float = attrs.field(default=0.0, init=False)
    _captions: Captions = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._captions = Captions(usual_pace=self.usual_pace)

    @property
    def received_ms(self) -> float:
        """How much of its sound has come."""
        return self._captions.received_ms

    @property
    def unjudged(self) -> int:
        """Up to which character there are words to be judged; `passed`, if there are none."""
        return max(self.passed, len(self.text) if self.complete else whole_words(self.text))

    @property
    def waits(self) -> bool:
        """Whether the guard is to be asked: there are new words, or there is nothing but sound."""
        if self.open or self.stopped:
            return False
        return self.unjudged > self.passed or bool(self.complete and not self.text and self.received_ms)

    @property
    def over(self) -> bool:
        """Whether nothing of it waits: all of it passed, or there is nothing of it."""
        return self.open or (self.complete and not self.text and not self.received_ms)

    def add_words(self, words: str) -> None:
        """Take words that come; also late ones, of a part that seemed to be over: they are judged too."""
        if words:
            self.open = False
            self._captions.note_words(len(self.text))
            self.text += words

    def add_sound(self, ms: float) -> None:
        """Take sound that comes."""
        self._captions.note_sound(ms)

    def finish(self, text: str = "") -> None:
        """Note that no more words come.

        Args:
            text: All of them, as the server has them; where they differ from what came, what differs is judged again.
        """
        if text and text != self.text:
            same = _common(text, self.text)
            self._captions.note_words(len(self.text))
            self.text = text
            self.passed = min(self.passed, same)
            self.open = False
        self.complete = True
        if self.text:  # sound without words is a question of its own
            self._open_if_passed()

    def let_pass(self, judged: str) -> None:
        """Note that the guard let words pass; with no words at all, the sound.

        Args:
            judged: The words that it was asked about, from the part's beginning. What has become of them since, in the
                server's last word on the part, is judged again.
        """
        if self.stopped or self.open:
            return
        self.passed = max(self.passed, _common(judged, self.text))
        self._open_if_passed()
        if not self.open:
            allowed = self._captions.end_of(self.text, self.passed) - self.lead_ms
            if self.allowed_ms or allowed >= _FIRST_MS:
                self.allowed_ms = max(self.allowed_ms, allowed)

    def _open_if_passed(self) -> None:
        if self.complete and not self.stopped and self.passed == len(self.text):
            self.open = True
            self.allowed_ms = math.inf

    def stop(self) -> None:
        """Note that the guard stopped it: nothing more is let go."""
        self.stopped = True

    def pace(self) -> float | None:
        """Tell how fast a part was spoken that is whole, for the next one; None if it cannot be told."""
        return self._captions.pace(self.text)


def _common(one: str, other: str) -> int:
    """Count the characters with which two texts begin alike."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:  # nearly always
        return shorter
    return next(n for n in range(shorter) if one[n] != other[n])
