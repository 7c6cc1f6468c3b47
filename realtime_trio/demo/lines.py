"""Lines of the talk, printed one after the other, in its order also where their words come late.

What becomes a line is decided in `follower.py`. Where the whole screen is drawn anew, they go to `view_state.Board`.

Theory of operation. Each line has its place from the moment it is begun. The first one that is not finished is shown
as far as it has come; those after it wait. So the words of an answer appear as they come, and the transcript of a
question, which may arrive when its answer has begun, still stands above it. A line that is waited for longer than its
patience, by others that have words, is left behind, and what comes for it later becomes a line of its own.
"""

import math
import os
import textwrap
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

import attrs

__all__ = ["Line", "Lines", "Showing", "can_be_drawn_on", "folded", "printable", "wants_colour"]

_LONGEST_NAME = 12
_NARROWEST = 16  # columns: what is narrower is not folded
_NO_WORDS = "(no words yet)"
_COLOURS = {
    "user": "36",  # cyan
    "you": "36",
    "assistant": "32",  # green
    "tool": "33",  # yellow
    "interrupted": "35",  # magenta
    "device": "33",  # yellow
    "link": "33",
    "echo": "33",
    "error": "31",  # red
}
_DIM = "2"


def wants_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether colours are welcome: on a terminal, unless `NO_COLOR` is set."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def folded(line: str, width: int | None, indent: int) -> str:
    """Break a line between words, so that it fits.

    Args:
        line: What is too long, perhaps.
        width: Columns that there are; None for no limit.
        indent: Columns by which all but the first are moved in.

    Returns:
        One line, or several with line ends between them.
    """
    if width is None or len(line) <= width or width < indent + _NARROWEST:
        return line
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, replace_whitespace=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip


def can_be_drawn_on(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream is a terminal of which any place can be written to."""
    return stream.isatty() and environ.get("TERM") not in {"dumb", "unknown"}


@attrs.define(eq=False)
class Line:
    """One line, from its beginning to its end.

    Attributes:
        who: Whose line it is: `"user"`, `"assistant"`, `"tool"` and so on.
        at: Seconds since the talk began.
        late_at: When nobody waits for its first words any longer.
        words: What it says so far.
        over: Whether nothing more is to come.
        shown: How many characters of it are on the screen; None before it has a line there.
        heard: How many characters of it were heard; None where hearing does not come into it.
        cut: Whether the rest will never be heard.
    """

    who: str
    at: float
    late_at: float = math.inf
    words: str = attrs.field(default="", init=False)
    over: bool = attrs.field(default=False, init=False)
    shown: int | None = attrs.field(default=None, init=False)
    heard: int | None = attrs.field(default=None, init=False)
    cut: bool = attrs.field(default=False, init=False)


class Showing(Protocol):
    """Something that shows the lines of a talk: `Lines`, or `view_state.Board`."""

    def begin(self, who: str, *, patience: float = math.inf) -> Line:
        """Begin a line: it has its place from here on; others wait `patience` seconds for its first words."""
        ...

    def extend(self, line: Line, words: str) -> None:
        """Add words to a line; after its end they are lost."""
        ...

    def finish(self, line: Line, words: str | None = None) -> None:
        """End a line, with all that it says in place of what it said so far."""
        ...

    def say(self, who: str, words: str) -> None:
        """Show a whole line."""
        ...

    def refresh(self) -> None:
        """Show what can be shown by now."""
        ...

    def flush(self) -> None:
        """End every line: the talk is over."""
        ...


class Lines:
    """Prints lines in order. It is a `Showing`.

    Args:
        write: Shows a piece of text.
        now: Tells the seconds since the talk began.
        colour: Whether to use colours.
    """

    def __init__(self, write: Callable[[str], object], *, now: Callable[[], float], colour: bool = False) -> None:
        self._write = write
        self._now = now
        self._colour = colour
        self._lines: deque[Line] = deque()

    def begin(self, who: str, *, patience: float = math.inf) -> Line:
        """Begin a line: it has its place from here on.

        Args:
            who: Whose it is.
            patience: Seconds that the lines after it wait for its first words.
        """
        at = self._now()
        line = Line(who, at, late_at=at + patience)
        self._lines.append(line)
        return line

    def extend(self, line: Line, words: str) -> None:
        """Add words to a line; after its end they are lost."""
        if not line.over:
            line.words += printable(words)
            self.refresh()

    def finish(self, line: Line, words: str | None = None) -> None:
        """End a line.

        Args:
            line: Which.
            words: All that it says, in place of what it said so far; a line that ended before gets another for them.
        """
        if line.over and words is not None and printable(words) != line.words:
            self.say(line.who, f"{words} (said at {line.at:.1f} s)")
            return
        if words is not None and line.shown is None:
            line.words = printable(words)
        line.over = True
        self.refresh()

    def say(self, who: str, words: str) -> None:
        """Show a whole line, after those that were begun before."""
        self.finish(self.begin(who), words)

    def refresh(self) -> None:
        """Show what can be shown by now."""
        while self._lines:
            line = self._lines[0]
            waited_for = not (line.over or line.words) and any(other.words for other in self._lines)
            if waited_for and self._now() >= line.late_at:
                line.words, line.over = _NO_WORDS, True
            self._show(line)
            if not line.over:
                return
            self._lines.popleft()

    def flush(self) -> None:
        """Show everything, finished or not: the talk is over."""
        for line in tuple(self._lines):
            line.over = True
        self.refresh()

    def _show(self, line: Line) -> None:
        words = line.words.lstrip()
        if words and line.shown is None:
            line.shown = 0
            name = f"{line.who:<{_LONGEST_NAME}}"
            self._write(f"{self._dyed(f'{line.at:6.1f} s', _DIM)}  {self._dyed(name, _COLOURS.get(line.who, ''))}")
        if line.shown is None:
            return
        if len(words) > line.shown:
            self._write(words[line.shown :])
            line.shown = len(words)
        if line.over:
            self._write("\n")

    def _dyed(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


def printable(words: str) -> str:
    """Keep a model's words from moving the cursor or breaking the line."""
    return "".join(char if char.isprintable() else " " for char in words)
