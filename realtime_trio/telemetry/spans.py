"""Making spans: begun at once, so that others can be their children, and ended in the outbox's thread."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs
import trio
from opentelemetry import context, trace

from .instruments import Instruments
from .outbox import Outbox

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram

__all__ = ["Attributes", "Spans"]

Attributes = Mapping[str, str | bool | int | float | tuple[str, ...]]

_NANO: Final = 1_000_000_000


@attrs.define(eq=False)
class Spans:
    """Makes the spans of one session, with Trio's times.

    Attributes:
        tracer: Makes spans.
        instruments: What is measured.
        outbox: The thread in which exporters run.
    """

    tracer: trace.Tracer
    instruments: Instruments
    outbox: Outbox
    _unix: int = attrs.field(factory=time.time_ns, init=False)
    _trio: float = attrs.field(factory=trio.current_time, init=False)

    def time(self, at: float) -> int:
        """Tell a Trio time in nanoseconds since 1970."""
        return self._unix + round((at - self._trio) * _NANO)

    def begin(
        self,
        name: str,
        at: float,
        attributes: Attributes,
        *,
        parent: "Context | None" = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    ) -> trace.Span:
        """Begin a span.

        Args:
            name: Its name.
            at: Since when.
            attributes: What is known of it by now.
            parent: The context that it belongs to; the current one by default.
            kind: Whose work it is.
        """
        return self.tracer.start_span(
            name, context=parent, kind=kind, attributes=_plain(attributes), start_time=self.time(at)
        )

    def end(self, span: trace.Span, at: float, attributes: Attributes, problem: str = "") -> None:
        """End a span, in the thread.

        Args:
            span: Which.
            at: When it was over.
            attributes: What else is known of it.
            problem: The kind of error that it ended with; empty for none.
        """

        def end() -> None:
            span.set_attributes(_plain(attributes))
            if problem:
                span.set_attribute("error.type", problem)
                span.set_status(trace.StatusCode.ERROR)
            span.end(self.time(at))

        self.outbox.leave(end)

    def measure(self, instrument: "Histogram", value: float, attributes: Attributes) -> None:
        """Record a measurement, in the thread."""
        self.outbox.leave(lambda: instrument.record(value, _plain(attributes)))

    def count(self, instrument: "Counter", attributes: Attributes) -> None:
        """Count one, in the thread."""
        self.outbox.leave(lambda: instrument.add(1, _plain(attributes)))

    @staticmethod
    def inside(span: trace.Span) -> "Context":
        """Give the context in which a span is the current one."""
        return trace.set_span_in_context(span, context.get_current())


def _plain(attributes: Attributes) -> dict[str, str | bool | int | float | tuple[str, ...]]:
    """Leave out what is not known: empty texts, and numbers that are none."""
    return {
        name: value
        for name, value in attributes.items()
        if value not in ("", ()) and not (isinstance(value, float) and not math.isfinite(value))
    }
