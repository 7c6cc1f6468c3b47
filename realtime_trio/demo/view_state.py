"""What the screen shows, as a value: who speaks, how loud, what was said, and how far it was heard.

How it is drawn is in `screen.py`. Levels and states are looked up in `watch.py`; the lines of the talk come from
`follower.py` and land on the `Board` here.
"""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

from realtime_trio.device import EchoState

from .lines import Line, printable

__all__ = ["CUT", "Board", "Entry", "Meter", "Microphone", "Phase", "ViewState", "echo_words", "phase_of"]

CUT = "//"
"""Stands where speech was cut; what follows was not heard."""

Phase: TypeAlias = Literal[
    "listening", "thinking", "speaking", "paused", "interrupted", "ready", "muted", "device lost", "disconnected"
]
"""What the talk is doing, in one word. `"paused"`: the assistant waits to know whether the user means to interrupt;
`"ready"`: it listens when a key is pressed."""

Microphone: TypeAlias = Literal["open", "muted", "closed", "held back", "lost"]
"""What becomes of the microphone's sound. `"closed"` until a key is pressed; `"held back"` by the echo gate, or by half
duplex, while the assistant speaks."""

_SHOWN_AFTER_CUT = 2.0  # seconds for which an interruption is what is going on
_FLOOR_DBFS = -60.0
_FALL_DB_PER_S = 40.0  # of a meter, so that a word can be seen
_STEP_DB = 1.5  # of a meter: finer cannot be seen, and what did not change need not be drawn
_MOST_ENTRIES = 200  # more than a screen can hold; all of them stay on the board


@attrs.frozen
class Entry:
    """One line of the talk.

    Attributes:
        at: Seconds since the talk began.
        who: Whose line it is, as in `lines.Line`.
        words: What it says so far.
        heard: Characters of `words` that were heard; None where hearing does not come into it.
        cut: Whether the rest will never be heard.
    """

    at: float
    who: str
    words: str
    heard: int | None = None
    cut: bool = False


@attrs.frozen(kw_only=True)
class ViewState:
    """All that the screen shows.

    Attributes:
        server: Whom the user talks to.
        elapsed_s: Whole seconds since the talk began.
        phase: What is going on.
        user_speaks: Whether the user is heard to speak, or holds the floor by key.
        assistant_speaks: Whether the assistant is to be heard.
        microphone: What becomes of the microphone's sound.
        microphone_dbfs: How loud it is; 0 is full scale.
        speaker_dbfs: How loud the speaker is.
        queued_ms: Sound that waits to be played.
        echo: How the microphone is kept free of the speaker; None when nothing does that.
        notice: What to do about a device that is gone; empty when all is well.
        entries: The talk, oldest first; at least the last lines that a screen can hold.
        hints: What the user may try to say.
        push_to_talk: Whether a key opens the microphone.
    """

    server: str
    elapsed_s: int = 0
    phase: Phase = "listening"
    user_speaks: bool = False
    assistant_speaks: bool = False
    microphone: Microphone = "open"
    microphone_dbfs: float = -math.inf
    speaker_dbfs: float = -math.inf
    queued_ms: int = 0
    echo: EchoState | None = None
    notice: str = ""
    entries: tuple[Entry, ...] = ()
    hints: tuple[str, ...] = ()
    push_to_talk: bool = False


def phase_of(
    *,
    lost: bool,
    disconnected: bool,
    paused: bool,
    user_speaks: bool,
    assistant_speaks: bool,
    expected: bool,
    muted: bool,
    closed: bool,
    since_cut: float,
) -> Phase:
    """Name what is going on, by what matters most to somebody who looks at the screen.

    Args:
        lost: Whether the device is gone.
        disconnected: Whether there is no connection.
        paused: Whether the sound waits for the verdict on an interruption.
        user_speaks: Whether the user is speaking.
        assistant_speaks: Whether the assistant is to be heard.
        expected: Whether an answer is on its way.
        muted: Whether the microphone is muted.
        closed: Whether it opens by key only, and no key is pressed.
        since_cut: Seconds since speech was cut; infinite when it never was.
    """
    rules: tuple[tuple[bool, Phase], ...] = (
        (lost, "device lost"),
        (disconnected, "disconnected"),
        (paused, "paused"),
        (assistant_speaks, "speaking"),
        (since_cut < _SHOWN_AFTER_CUT, "interrupted"),
        (user_speaks, "listening"),
        (expected, "thinking"),
        (muted, "muted"),
        (closed, "ready"),
        (True, "listening"),
    )
    return next(phase for holds, phase in rules if holds)


@attrs.define
class Meter:
    """A level for the eye: it rises at once, and falls slowly enough to be read."""

    _dbfs: float = attrs.field(default=_FLOOR_DBFS, init=False)

    def feed(self, dbfs: float, seconds: float) -> float:
        """Take a level.

        Args:
            dbfs: How loud it is now.
            seconds: How much time has passed since the last one.

        Returns:
            What to show: `-inf`, or -60 to 0 in steps that can be seen.
        """
        fallen = max(self._dbfs - _FALL_DB_PER_S * seconds, _FLOOR_DBFS)
        self._dbfs = min(max(dbfs, fallen), 0.0)
        return -math.inf if self._dbfs <= _FLOOR_DBFS else round(self._dbfs / _STEP_DB) * _STEP_DB


class Board:
    """Holds the lines of a talk for a screen that is drawn anew. It is a `lines.Showing`.

    Nothing waits here for a line that comes late: it has its place all the same.

    Args:
        now: Tells the seconds since the talk began.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: list[Line] = []

    def begin(self, who: str, *, patience: float = math.inf) -> Line:
        """Begin a line; see `Showing`.

        Args:
            who: Whose it is.
            patience: Means nothing here.
        """
        line = Line(who, at := self._now(), late_at=at + patience)
        self._lines.append(line)
        return line

    def extend(self, line: Line, words: str) -> None:
        """Add words to a line; after its end they are lost."""
        if not line.over:
            line.words += printable(words)

    def finish(self, line: Line, words: str | None = None) -> None:
        """End a line, also again: late words replace those that stand there."""
        if words is not None:
            line.words = printable(words)
        line.over = True

    def say(self, who: str, words: str) -> None:
        """Show a whole line."""
        self.finish(self.begin(who), words)

    def refresh(self) -> None:
        """Do nothing: the screen looks by itself."""

    def flush(self) -> None:
        """End every line."""
        for line in self._lines:
            line.over = True

    def entries(self, most: int = _MOST_ENTRIES) -> tuple[Entry, ...]:
        """Give the last lines as values, oldest first.

        Args:
            most: How many, at most.
        """
        return tuple(
            Entry(line.at, line.who, line.words, line.heard, line.cut)
            for line in self._lines[-most:]
            if line.words or not line.over
        )


def echo_words(echo: EchoState | None, *, brief: bool = False) -> str:
    """Say how the microphone is kept free of the speaker.

    Args:
        echo: The state; None when nothing does it.
        brief: Whether to leave out by whom.
    """
    if echo is None:
        return "not cancelled"
    if echo.backend == "half duplex":
        return "half duplex" if brief else "half duplex: the microphone is closed while the assistant speaks"
    if echo.path is False:
        words = "none (headphones)"
    elif echo.return_loss_db is None:
        words = "nothing played yet"
    elif echo.path is None:
        words = "looking for it"
    else:
        delay = f", {echo.delay_ms:.0f} ms away" if echo.delay_ms is not None else ""
        words = f"{echo.return_loss_db:.0f} dB taken out{delay}"
    return words if brief else f"{words}; {echo.backend}"
