"""The books of a session: what it used, what that costs, and which of its responses did not come to their end.

Counting is in `core.usage`, prices are in `core.prices`, limits in `core.budget`. When a limit is reached, or the
account gives no answers any more and no call waits for the one that shows it, the session ends: how is in `closing.py`.
"""

from collections.abc import Callable
from decimal import Decimal

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.budget import Budget, BudgetKind, Watch
from realtime_trio.core.failures import failure
from realtime_trio.core.prices import Prices
from realtime_trio.core.recent import Recent
from realtime_trio.core.usage import Meter, SessionUsage
from realtime_trio.device import SAMPLE_RATE
from realtime_trio.errors import AccountRefused, ConfigurationError, QuotaExceeded

from .closing import Closing
from .inside import Inside
from .notices import BudgetSpent, BudgetWarning, Notice, ResponseNotCompleted
from .sound import Sound
from .turns import Turns

__all__ = ["Accounts", "check_accounts"]

_MINUTE = 60.0
_MOST_REPORTED = 1024


def check_accounts(prices: object, budget: object) -> None:
    """Refuse what is no table of prices or no budget, and a budget that nothing is reckoned by.

    Raises:
        ConfigurationError: It is so.
    """
    if prices is not None and not isinstance(prices, Prices):
        raise ConfigurationError(f"prices is a Prices(...), not {type(prices).__name__}")
    if budget is not None and not isinstance(budget, Budget):
        raise ConfigurationError(f"budget is a Budget(...), not {type(budget).__name__}")
    if budget is not None and budget.money is not None and prices is None:
        raise ConfigurationError("Budget(money=...) needs your prices to reckon with: prices=Prices(...)")


@attrs.define(eq=False, repr=False)
class Accounts(Inside):
    """What one session used, and what that costs.

    Attributes:
        turns: The live responses, and who waits for them.
        sound: What is sent and received.
        publish: Takes notices.
        closing: Ends the session.
        prices: The user's table, if there is one.
        budget: The user's limits, if there are any.
    """

    turns: Turns
    sound: Sound
    publish: Callable[[Notice], None]
    closing: Closing
    prices: Prices | None = None
    budget: Budget | None = None
    _watch: Watch | None = attrs.field(init=False)
    _meter: Meter = attrs.field(factory=Meter, init=False)
    _reported: Recent[str] = attrs.field(factory=lambda: Recent(_MOST_REPORTED), init=False)
    _received: float = attrs.field(default=0.0, init=False)  # seconds of sound
    _created_at: float | None = attrs.field(default=None, init=False)
    _ended_at: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._watch = None if self.budget is None else Watch(self.budget)

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

    async def run(self) -> None:
        """Look at the clock when the session's age alone reaches something."""
        for minutes in self._watch.moments() if self._watch is not None else ():
            await trio.sleep_until((self._created_at or 0.0) + minutes * _MINUTE)
            self._check()

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
                if live := self.turns.live.get(response.id or ""):
                    live.prices = self.prices
                self._check()
            case events.ResponseOutputAudioDelta(delta=delta):
                self._received += len(delta) / self.sound.output_bytes_per_second
            case events.ResponseDone(response=response):
                self._report(response)
                self._check()
            case events.ConversationItemInputAudioTranscriptionCompleted():
                self._check()
            case _:
                pass

    def lost(self, problem: object) -> None:
        """Take note of an error that no call will raise: where it means that nothing is answered any more, end it."""
        if isinstance(problem, QuotaExceeded | AccountRefused):
            self.closing.begin(problem, finish_turn=False)

    def _check(self) -> None:
        """See whether a limit is reached."""
        if self._watch is None:
            return
        spent: dict[BudgetKind, Decimal | int | float] = {
            "money": self.cost or Decimal(0),
            "tokens": self._meter.total_tokens,
            "minutes": self.minutes,
            "turns": self._meter.turns,
        }
        for crossing in self._watch.check(spent):
            notice = BudgetSpent if crossing.is_over else BudgetWarning
            self.publish(notice(crossing.kind, crossing.spent, crossing.limit))
            if crossing.is_over and self._watch.budget.then == "end":
                error = crossing.error(self.prices.currency if self.prices is not None else "")
                self.closing.begin(error, finish_turn=crossing.kind == "turns")

    def _report(self, final: events.Response) -> None:
        """Say to everybody, once, that a response did not come to its end by itself."""
        status = final.status or ""
        if status not in ("failed", "incomplete") or (final.id or "") in self._reported:
            return
        if final.id:
            self._reported.add(final.id)
        details = final.status_details or None
        problem = failure(final) if status == "failed" else None
        reason = problem.code if problem is not None else (details.reason or None) if details is not None else None
        self.publish(ResponseNotCompleted(final.id or "", status, reason, problem))
        live = self.turns.live.get(final.id or "")
        if live is None or not self.turns.is_awaited(live):
            self.lost(problem)
