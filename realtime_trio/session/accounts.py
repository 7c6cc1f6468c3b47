"""The books of a session: what it used, what that costs, and which of its responses did not come to their end.

Counting is in `core.usage`, prices are in `core.prices`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.failures import failure
from realtime_trio.core.prices import Prices
from realtime_trio.core.usage import Meter, SessionUsage
from realtime_trio.device import SAMPLE_RATE

from .notices import Notice, ResponseNotCompleted
from .responses import Response
from .sound import Sound

__all__ = ["Accounts"]

_MINUTE = 60.0


@attrs.define(eq=False)
class Accounts:
    """What one session used, and what that costs.

    Attributes:
        live: The live responses by id.
        sound: What is sent and received.
        publish: Takes notices.
        prices: The user's table, if there is one.
    """

    live: Mapping[str, Response]
    sound: Sound
    publish: Callable[[Notice], None]
    prices: Prices | None = None
    _meter: Meter = attrs.field(factory=Meter, init=False)
    _reported: set[str] = attrs.field(factory=set, init=False)
    _received: float = attrs.field(default=0.0, init=False)  # seconds of sound
    _created_at: float | None = attrs.field(default=None, init=False)
    _ended_at: float | None = attrs.field(default=None, init=False)

    @property
    def usage(self) -> SessionUsage:
        """What was used so far."""
        return self._meter.usage(
            minutes=self.minutes,
            audio_in_minutes=self.sound.capture.ledger.sent / SAMPLE_RATE / _MINUTE,
            audio_out_minutes=self._received / _MINUTE,
        )

    @property
    def cost(self) -> Decimal | None:
        """What that costs; None without prices."""
        return None if self.prices is None else self.prices.cost(self._meter.usage())

    @property
    def minutes(self) -> float:
        """How old the session is, or was when it ended."""
        if self._created_at is None:
            return 0.0
        now = trio.current_time() if self._ended_at is None else self._ended_at
        return (now - self._created_at) / _MINUTE

    def begin(self) -> None:
        """The block is about to be entered: what was put into the conversation before is no turn of the user's."""
        self._meter.begin()

    def end(self) -> None:
        """The session is over."""
        if self._ended_at is None:
            self._ended_at = trio.current_time()

    def handle(self, event: events.ServerEvent, now: float) -> None:
        """Follow one server event, after the turns did."""
        self._meter.handle(event)
        match event:
            case events.SessionCreated() if self._created_at is None:
                self._created_at = now
            case events.ResponseCreated(response=response):
                if live := self.live.get(response.id or ""):
                    live.prices = self.prices
            case events.ResponseOutputAudioDelta(delta=delta):
                self._received += len(delta) / self.sound.output_bytes_per_second
            case events.ResponseDone(response=response):
                self._report(response)
            case _:
                pass

    def _report(self, final: events.Response) -> None:
        """Say to everybody, once, that a response did not come to its end by itself."""
        status = final.status or ""
        if status not in ("failed", "incomplete") or (final.id or "") in self._reported:
            return
        self._reported.update({final.id} if final.id else ())
        details = final.status_details or None
        problem = failure(final) if status == "failed" else None
        reason = problem.code if problem is not None else (details.reason or None) if details is not None else None
        self.publish(ResponseNotCompleted(final.id or "", status, reason, problem))
