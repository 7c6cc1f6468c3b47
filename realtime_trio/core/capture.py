"""The capture ledger: when was the sample spoken that the server counts as millisecond N of its input?

The server's `audio_start_ms` and `audio_end_ms` count all audio ever written to its buffer; what people feel as latency
counts from when they spoke. This maps one to the other. What is sent, and when, is decided elsewhere.
"""

import bisect

import attrs

__all__ = ["CaptureLedger"]

_LIMIT = 4096
_JITTER = 0.005  # seconds; more is a gap


@attrs.define(eq=False)
class CaptureLedger:
    """A map from the input timeline (milliseconds of audio sent) to capture times (seconds of the caller's clock).

    Consecutive blocks of one unbroken capture share an anchor, so a long talk costs a few numbers; the oldest anchors
    are forgotten beyond 4,096.

    Attributes:
        rate: Samples a second.
        sent: Samples sent so far.
    """

    rate: int = 24_000
    sent: int = 0
    _starts: list[int] = attrs.field(factory=list, init=False)
    _times: list[float] = attrs.field(factory=list, init=False)

    def append(self, samples: int, captured_at: float) -> None:
        """Note that a block was sent: `samples` long, its first sample captured at `captured_at`."""
        if not self._starts or abs(self._expected() - captured_at) > _JITTER:
            self._starts.append(self.sent)
            self._times.append(captured_at)
            del self._starts[:-_LIMIT], self._times[:-_LIMIT]
        self.sent += samples

    def drop(self, samples: int, before_end: int) -> None:
        """Note that a piece was given up before it was sent, so that the server's timeline does not have it.

        Args:
            samples: How long it was.
            before_end: How much was appended after it.
        """
        end = max(0, self.sent - before_end)
        begin = max(0, end - samples)
        goes_on = self.time_of_sample(end)
        kept = [(start, time) for start, time in zip(self._starts, self._times, strict=True) if start < begin]
        if goes_on is not None and end < self.sent:
            kept.append((begin, goes_on))
        kept += [(s - (end - begin), t) for s, t in zip(self._starts, self._times, strict=True) if s > end]
        self._starts, self._times = [start for start, _ in kept], [time for _, time in kept]
        self.sent -= end - begin

    def restart(self) -> None:
        """Begin anew: another link has a timeline of its own."""
        self.sent = 0
        self._starts.clear()
        self._times.clear()

    def _expected(self) -> float:
        return self._times[-1] + (self.sent - self._starts[-1]) / self.rate

    def time_of(self, ms: int) -> float | None:
        """Tell when the sample at `ms` of the input timeline was captured, None when that is not known."""
        return self.time_of_sample(ms * self.rate // 1000)

    def time_of_sample(self, position: int) -> float | None:
        """Tell when a sample of the input timeline was captured, None when that is not known."""
        index = bisect.bisect_right(self._starts, position) - 1
        if index < 0 or position > self.sent:
            return None
        return self._times[index] + (position - self._starts[index]) / self.rate
