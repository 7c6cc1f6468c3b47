"""What became of the assistant's sound: which part was handed over from where to where, when, and where it was cut."""

import math
from collections.abc import Callable
from typing import Final

import attrs
import trio

from realtime_trio.core.playout import SAMPLE_RATE, PartKey, PlayoutLedger

__all__ = ["LedgerLog"]

_LONGEST: Final = 1.0  # seconds that one line tells of: so much is lost at most when the process is killed
_SEAM: Final = 0.05  # seconds by which a device's times may differ from what samples say, within one stretch
_MOST_OVER: Final = 4096


@attrs.define
class _Stretch:
    """Samples of one part that left the speaker one after the other."""

    start: int
    end: int
    until: float

    @property
    def begins(self) -> float:
        return self.until - (self.end - self.start) / SAMPLE_RATE


@attrs.define(eq=False)
class _Followed:
    """One part, as far as it was recorded."""

    handed: int = 0
    stretch: _Stretch | None = None


class LedgerLog:
    """Turns the playout ledger's positions into lines of the recording.

    Args:
        ledger: Knows how far each part came.
        note: Adds a line.
        since_beginning: Tells a Trio time in the recording's seconds.
    """

    def __init__(
        self, ledger: PlayoutLedger, note: Callable[..., None], since_beginning: Callable[[float], float]
    ) -> None:
        self._ledger = ledger
        self._note = note
        self._since_beginning = since_beginning
        self._followed: dict[PartKey, _Followed] = {}
        self._over: dict[PartKey, int] = {}

    def follow(self, response_id: str, item_id: str, content_index: int) -> None:
        """Take note that a part gets sound."""
        key = PartKey(response_id, item_id, content_index)
        if key not in self._followed and key not in self._over:
            self._followed[key] = _Followed()

    def look(self, until: float | None) -> None:
        """Record what is new. Everything that was handed over since the last time left one after the other.

        Args:
            until: When the last sample of it leaves the speaker; None when the device does not know.
        """
        last = trio.current_time() if until is None else until
        news = [(key, part, self._handed(key) - part.handed) for key, part in self._followed.items()]
        behind = sum(new for _, _, new in news)
        for key, part, new in news:
            if new:
                behind -= new
                self._extend(key, part, new, last - behind / SAMPLE_RATE)
        for key in list(self._followed):
            self._settle(key)

    def finish(self) -> None:
        """Record what is left to be told: the device was closed."""
        for key, part in self._followed.items():
            self._flush(key, part)
        self._followed.clear()

    def _handed(self, key: PartKey) -> int:
        return self._ledger.heard_samples(key, math.inf)

    def _extend(self, key: PartKey, part: _Followed, new: int, until: float) -> None:
        begins = until - new / SAMPLE_RATE
        stretch = part.stretch
        if stretch is not None and (
            abs(stretch.until - begins) > _SEAM or stretch.end - stretch.start >= _LONGEST * SAMPLE_RATE
        ):
            self._flush(key, part)
            stretch = None
        if stretch is None:
            part.stretch = _Stretch(part.handed, part.handed + new, until)
        else:
            stretch.end += new
            stretch.until = until
        part.handed += new

    def _settle(self, key: PartKey) -> None:
        """Close what nothing more is to be told of."""
        part = self._followed[key]
        if self._ledger.blocked(key.response_id):
            cut = self._ledger.cut_samples(key)
            if cut is None:
                return
            self._flush(key, part)
            received = self._ledger.received_samples(key)
            self._note("cut", **_name(key), sample=cut, received=received)
        elif self._ledger.done(key) and part.handed == self._ledger.received_samples(key):
            self._flush(key, part)
        else:
            return
        self._over[key] = part.handed
        del self._followed[key]
        while len(self._over) > _MOST_OVER:
            del self._over[next(iter(self._over))]

    def _flush(self, key: PartKey, part: _Followed) -> None:
        if (stretch := part.stretch) is not None:
            part.stretch = None
            begins, until = self._since_beginning(stretch.begins), self._since_beginning(stretch.until)
            times = {"begins": round(begins, 6), "until": round(until, 6)}
            self._note("played", **_name(key), **{"from": stretch.start, "to": stretch.end}, **times)


def _name(key: PartKey) -> dict[str, object]:
    return {"response": key.response_id, "item": key.item_id, "part": key.content_index}
