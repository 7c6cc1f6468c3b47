"""Losing and replacing links, as spans; what becomes of responses and turns then is said by `observer.py`."""

from typing import Any

import attrs
from opentelemetry import trace

from realtime_trio.log_words import problem_of
from realtime_trio.session import LinkLost, Reconnected

from .spans import Attributes, Spans
from .turns import Turn
from .under_way import PROVIDER

__all__ = ["Links"]


@attrs.define(eq=False)
class Links:
    """The links of one session.

    Attributes:
        spans: Makes spans.
    """

    spans: Spans
    _lost: trace.Span | None = attrs.field(default=None, init=False)
    _waiting: list[tuple[Turn, frozenset[str]]] = attrs.field(factory=list, init=False)

    def lost(self, notice: LinkLost, turns: list[Turn], parent: trace.Span, now: float) -> None:
        """A link was lost. What was being answered may be asked for again: it is still the same turn."""
        for turn in turns:
            if turn.responses:
                self._waiting.append((turn, frozenset(turn.responses)))
                turn.owes = True
        attributes = {
            **PROVIDER,
            "realtime_trio.reconnect.reason": "lost",
            "realtime_trio.reconnect.problem": problem_of(notice.problem),
        }
        where = self.spans.inside(parent)
        self._lost = self.spans.begin("realtime_trio.reconnect", now, attributes, parent=where)

    def replaced(self, notice: Reconnected, parent: trace.Span, now: float, model: Attributes) -> None:
        """Another link carries the session."""
        again = frozenset(notice.asked_again)
        for turn, response_ids in self._waiting:
            turn.owes = turn.owes and bool(response_ids & again)
        self._waiting.clear()
        span, self._lost = self._lost, None
        if span is None:
            attributes = {**PROVIDER, "realtime_trio.reconnect.reason": notice.reason}
            where = self.spans.inside(parent)
            span = self.spans.begin("realtime_trio.reconnect", now, attributes, parent=where)
        told: dict[str, Any] = {
            "realtime_trio.reconnect.attempts": notice.attempts,
            "realtime_trio.reconnect.gap_ms": notice.gap_ms,
            "realtime_trio.reconnect.restored": notice.restored,
            "realtime_trio.reconnect.left_out": len(notice.left_out),
            "realtime_trio.reconnect.asked_again": len(notice.asked_again),
            "realtime_trio.reconnect.cut_off": len(notice.cut_off),
            "realtime_trio.reconnect.dropped_audio_ms": notice.dropped_audio_ms,
        }
        self.spans.end(span, now, told)
        self.spans.count(self.spans.instruments.reconnects, {**model, "realtime_trio.reconnect.reason": notice.reason})

    def end(self, now: float) -> None:
        """The session is over; a link that was lost was not replaced."""
        if self._lost is not None:
            self.spans.end(self._lost, now, {}, "session_ended")
