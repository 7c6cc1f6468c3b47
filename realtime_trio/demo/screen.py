"""Draws the talk: a `ViewState` becomes a screenful of text, as wide and as high as there is room for.

Nothing here knows of time, sessions or devices, and nothing is kept from one screen to the next. What puts it on a
terminal is in `display.py`. Nothing is written that could be wider or narrower than it looks (no emoji), and where a
terminal knows ASCII only, ASCII does.
"""

import itertools
from collections.abc import Iterable, Iterator

import attrs
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from .view_state import CUT, Entry, Microphone, Phase, ViewState, echo_words

__all__ = ["ScreenView"]

_WIDE = 60  # columns from which on there is room for times and names beside the words
_NAME = 8  # columns of the names on the left
_REMARK = 18  # columns for what stands beside a meter
_LONGEST_BAR = 32
_SOFTEST_DBFS = -60.0
_FEWEST_LINES = 4  # of the talk: what else there is makes room for them
_EIGHTHS = " ▏▎▍▌▋▊▉█"

_PHASES: dict[Phase, tuple[str, str]] = {
    "listening": ("listening", "bold cyan"),
    "thinking": ("thinking", "bold yellow"),
    "speaking": ("speaking", "bold green"),
    "paused": ("paused: was that meant?", "bold yellow"),
    "interrupted": ("interrupted", "bold magenta"),
    "ready": ("ready: space to talk", "bold cyan"),
    "muted": ("muted", "bold red"),
    "device lost": ("device lost", "bold white on red"),
    "disconnected": ("no connection: trying again", "bold white on red"),
}
_MICROPHONE: dict[Microphone, str] = {
    "open": "",
    "muted": "muted (m opens)",
    "closed": "closed",
    "held back": "held back",
    "lost": "gone",
}
_STYLES = {
    "user": "cyan",
    "you": "cyan",
    "assistant": "green",
    "tool": "yellow",
    "interrupted": "magenta",
    "error": "bold red",
    "device": "yellow",
    "link": "yellow",
    "echo": "yellow",
}
_KEYS = (("m", "mute"), ("i", "interrupt"), ("q", "quit"))
_TALK_KEY = ("space", "talk / done")
_NARROW_KEYS = (("space", "talk/done"), ("m", "mute"), ("i", "cut"), ("q", "quit"))
_NO_KEY_UP = "a terminal knows no key-up: press space to talk, again when you are done"
_NO_KEY_UP_NARROW = "press space to talk, again when done"


@attrs.frozen
class ScreenView:
    """A screenful of the talk, for rich: as high and as wide as the room that it is given."""

    state: ViewState

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it: exactly `options.height` lines, where that is given."""
        height = options.height or console.height
        pen = _Pen(console, options.max_width, plain=options.ascii_only)
        lines = list(pen.draw(self.state, height))
        for index, line in enumerate(lines):
            yield from (segment for segment in line.render(console) if segment.text)
            if index < len(lines) - 1:
                yield Segment.line()


@attrs.frozen
class _Pen:
    console: Console
    width: int
    plain: bool

    @property
    def wide(self) -> bool:
        return self.width >= _WIDE

    def draw(self, state: ViewState, height: int) -> Iterator[Text]:
        """Give exactly so many lines: the talk gets what room the rest leaves."""
        above, below = self._above(state), self._below(state)
        while len(above) + len(below) + _FEWEST_LINES > height and (below or len(above) > 1):
            if below:
                below.pop(0)  # the keys last
            else:
                above.pop()
        room = max(height - len(above) - len(below), 0)
        talk = self._talk(state.entries, room)
        blank = (Text("") for _ in range(room - len(talk)))
        yield from itertools.islice(itertools.chain(above, talk, blank, below), height)

    # Above the talk

    def _above(self, state: ViewState) -> list[Text]:
        word, style = _PHASES[state.phase]
        clock = f"{state.elapsed_s // 60}:{state.elapsed_s % 60:02d}"
        lines = [
            self._apart(Text.assemble((f" {word} ", f"{style} reverse")), Text(clock, "dim")),
            self._meter("mic", state.microphone_dbfs, "cyan", self._microphone(state)),
            self._meter("speaker", state.speaker_dbfs, "green", self._speaker(state)),
            self._line(Text.assemble((f"{'echo':<{_NAME}}", "dim"), echo_words(state.echo, brief=not self.wide))),
        ]
        if state.notice:
            lines.extend(Text(state.notice, "yellow").wrap(self.console, self.width)[:2])
        lines.append(self._rule(state.server))
        return lines

    @staticmethod
    def _microphone(state: ViewState) -> Text:
        if state.user_speaks:
            return Text("you speak", "bold cyan")
        return Text(_MICROPHONE[state.microphone], "red" if state.microphone == "muted" else "dim")

    @staticmethod
    def _speaker(state: ViewState) -> Text:
        queued = f" +{state.queued_ms / 1000:.1f} s" if state.queued_ms else ""
        if state.assistant_speaks:
            return Text.assemble(("assistant", "bold green"), (queued, "dim"))
        return Text(queued, "dim")

    def _meter(self, name: str, dbfs: float, style: str, remark: Text) -> Text:
        level = f"{dbfs:.0f}" if dbfs > _SOFTEST_DBFS else "-"
        level = f"{level:>4} dB  " if self.wide else f"{level:>4}  "
        bar = self._bar(dbfs, max(min(_LONGEST_BAR, self.width - _NAME - len(level) - _REMARK), 4))
        return self._line(Text.assemble((f"{name:<{_NAME}}", "dim"), (bar, style), (level, "dim"), remark))

    def _bar(self, dbfs: float, cells: int) -> str:
        share = min(max(1 - dbfs / _SOFTEST_DBFS, 0.0), 1.0) if dbfs > _SOFTEST_DBFS else 0.0
        if self.plain:
            return f"{'#' * round(share * cells):.<{cells}}"
        eighths = round(share * cells * 8)
        part = _EIGHTHS[eighths % 8] if eighths % 8 else ""
        return f"{_EIGHTHS[8] * (eighths // 8)}{part}".ljust(cells, "·")

    # The talk

    def _talk(self, entries: Iterable[Entry], room: int) -> list[Text]:
        """Wrap the last entries, as many as there is room for."""
        lines: list[Text] = []
        for entry in reversed(tuple(entries)):
            if len(lines) >= room:
                break
            lines[:0] = self._wrapped(entry)
        return lines[len(lines) - room :] if len(lines) > room else lines

    def _wrapped(self, entry: Entry) -> list[Text]:
        style = _STYLES.get(entry.who, "")
        margin = Text.assemble((f"{entry.at:5.1f} s ", "dim")) if self.wide else Text()
        margin.append(f" {entry.who:<12}" if self.wide else f"{entry.who}: ", style)
        indent = cell_len(margin.plain) if self.wide else 2
        words = _words(entry)
        if not self.wide:  # the name stands in front, and what follows is moved in a little
            words = Text.assemble(margin, words)
        wrapped = list(words.wrap(self.console, max(self.width - indent, 8)))
        first, *rest = wrapped or [Text()]
        first = Text.assemble(margin, first) if self.wide else first
        return [first, *(Text.assemble(" " * indent, line) for line in rest)]

    # Below the talk

    def _below(self, state: ViewState) -> list[Text]:
        lines = [self._rule()]
        if state.hints:
            lines.append(self._hints(state.hints))
        keys: tuple[tuple[str, str], ...] = _KEYS
        if state.push_to_talk:
            lines.append(self._line(Text(_NO_KEY_UP if self.wide else _NO_KEY_UP_NARROW, "dim")))
            keys = (_TALK_KEY, *_KEYS) if self.wide else _NARROW_KEYS
        gap = "   " if self.wide else " "
        lines.append(
            self._line(Text.assemble(*(part for key, does in keys for part in ((key, "bold"), f" {does}{gap}"))))
        )
        return lines

    def _hints(self, hints: Iterable[str]) -> Text:
        """As many as there is room for, none of them in pieces."""
        line = Text("try saying: ", "dim")
        for index, hint in enumerate(hints):
            more = f"{', ' if index else ''}{hint}"
            if cell_len(line.plain + more) > self.width:
                break
            line.append(more, "italic")
        return line

    # Lines

    def _rule(self, title: str = "") -> Text:
        sign = "-" if self.plain else "─"
        line = Text(f"{sign * 2} {title} " if title else "", "dim")
        line.truncate(self.width, overflow="ellipsis" if not self.plain else "crop")
        line.append(sign * max(self.width - cell_len(line.plain), 0), "dim")
        return line

    def _apart(self, left: Text, right: Text) -> Text:
        gap = max(self.width - cell_len(left.plain) - cell_len(right.plain), 1)
        return self._line(Text.assemble(left, " " * gap, right))

    def _line(self, line: Text) -> Text:
        line.truncate(self.width, overflow="crop" if self.plain else "ellipsis")
        return line


def _words(entry: Entry) -> Text:
    """Tell apart what was heard, what is still to be heard, and what never will be."""
    if not entry.words:
        return Text("...", "dim")
    begin = len(entry.words) - len(entry.words.lstrip())
    heard = len(entry.words) if entry.heard is None else max(entry.heard, begin)
    said, rest = entry.words[begin:heard], entry.words[heard:]
    style = "dim" if entry.who in {"tool", "interrupted"} else ""
    if not entry.cut:
        return Text.assemble((said, style), (rest, "dim"))
    return Text.assemble((said.rstrip(), style), (f" {CUT} ", "bold magenta"), (rest.strip(), "dim strike"))
