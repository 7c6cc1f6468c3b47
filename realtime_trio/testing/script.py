"""What a simulated talker is told to say, and what came of it: plain values.

Who speaks the lines, and hears the answers, is `talker.py`.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import attrs

from realtime_trio.errors import ConfigurationError

__all__ = ["Line", "Script", "Silence", "Talk", "Turn", "words_of"]

_ELLIPSIS = re.compile(r"\s*(?:\.\.\.|\u2026)\s*")
_AFTER = 0.5  # seconds of silence before somebody speaks who is in no hurry


def _seconds(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not 0 <= value < math.inf:
        raise ConfigurationError(f"{attribute.name}={value!r}: it is a number of seconds, from 0")


@attrs.frozen
class Line:
    """Something that the talker says, and when.

    By default it is said half a second after the answer to the line before was heard. At most one of `after`, `over`,
    `at_word` and `at` may be given.

    Attributes:
        text: The words. An ellipsis ("the weather in ... Lima") is a pause.
        after: Seconds of silence before it, once the answer to the line before was heard.
        over: Say it when the assistant has been speaking for so many seconds: a barge-in.
        at_word: Say it when the assistant has said this word, or these words, of the answer: a barge-in too. The
            session's `heard_text` tells, which is usually right to a word.
        at: Say it so many seconds after the talk began, whoever speaks.
        answered: Whether an answer is expected; without one the next line does not wait for it, and nobody complains.
        mumbled: Said quickly, by the way: the "uh-huh" of a listener. No answer is expected.
        pause: Seconds of each pause in it.
    """

    text: str
    after: float | None = attrs.field(default=None, kw_only=True, validator=_seconds)
    over: float | None = attrs.field(default=None, kw_only=True, validator=_seconds)
    at_word: str | None = attrs.field(default=None, kw_only=True)
    at: float | None = attrs.field(default=None, kw_only=True, validator=_seconds)
    answered: bool = attrs.field(default=True, kw_only=True)
    mumbled: bool = attrs.field(default=False, kw_only=True)
    pause: float = attrs.field(default=0.7, kw_only=True, validator=_seconds)

    def __attrs_post_init__(self) -> None:
        if not any(self.pieces):
            raise ConfigurationError(f"a line has words, unlike {self.text!r}; to say nothing is Silence(seconds)")
        moments = {"after": self.after, "over": self.over, "at_word": self.at_word, "at": self.at}
        given = [name for name, value in moments.items() if value is not None]
        if len(given) > 1:
            raise ConfigurationError(f"{self.text!r} is to be said at one moment, not by {' and '.join(given)}")
        if self.at_word is not None and not words_of(self.at_word):
            raise ConfigurationError(f"at_word={self.at_word!r}: there is no word in it")

    @property
    def pieces(self) -> list[str]:
        """What is said between its pauses; empty where it begins or ends with one."""
        return _ELLIPSIS.split(self.text.strip())

    @property
    def is_answered(self) -> bool:
        """Whether an answer to it is waited for."""
        return self.answered and not self.mumbled

    @property
    def silence_before(self) -> float:
        """Seconds of silence before it, where no other moment was given."""
        return _AFTER if self.after is None else self.after


@attrs.frozen
class Silence:
    """The talker says nothing for so long, counted from the end of the line before, whatever is heard meanwhile.

    Attributes:
        seconds: How long.
    """

    seconds: float = attrs.field(validator=_seconds)


Script: TypeAlias = Sequence[str | Line | Silence]
"""What a talker says: a text stands for `Line(text)`."""


@attrs.frozen
class Turn:
    """What one side said at a stretch.

    Attributes:
        who: `"user"` is the talker.
        text: The words; of the assistant's those that were heard.
        began: When its sound began, in seconds since the talk began.
        ended: When its sound ended.
        cut: Whether it was interrupted.
    """

    who: Literal["user", "assistant"]
    text: str
    began: float
    ended: float
    cut: bool = False


@attrs.frozen
class Talk:
    """A talk that was had. As a text (`str`) it is a line for each turn.

    Attributes:
        turns: What both sides said, by when it began.
    """

    turns: tuple[Turn, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """What the talker said, line by line."""
        return tuple(turn.text for turn in self.turns if turn.who == "user")

    @property
    def heard(self) -> tuple[str, ...]:
        """What the talker heard, answer by answer: of an interrupted one, only the words up to the cut."""
        return tuple(turn.text for turn in self.turns if turn.who == "assistant")

    def __str__(self) -> str:
        return "\n".join(
            f"{turn.began:6.1f} s  {turn.who:<9}  {turn.text}{' //' if turn.cut else ''}" for turn in self.turns
        )


def words_of(text: str) -> list[str]:
    """Give the words of a text, for comparing: no case, no punctuation."""
    return re.findall(r"\w+(?:['\u2019-]\w+)*", text.casefold())
