"""What a session may use, and when it has used so much that something is to be said or done.

What it used is counted in `core.usage`; what is then done is in the session's `closing.py`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import attrs

from realtime_trio.errors import BudgetExceeded, ConfigurationError

from .prices import Amount, exact, is_amount

__all__ = ["Budget", "BudgetKind", "Crossing", "Watch"]

BudgetKind: TypeAlias = Literal["money", "tokens", "minutes", "turns"]

_ROUNDING = 1e-9  # minutes: a timer that fires for a moment has reached it


def _money(value: Amount | None) -> Decimal | None:
    return None if value is None else exact(value)


@attrs.frozen(kw_only=True)
class Budget:
    """What a session may use. Only what is given is limited.

    `BudgetWarning` is published when a share of a limit is used, `BudgetSpent` when it is reached. With `then="end"`
    nothing new is asked for from then on, nobody listens to the user any more, what is being said is heard to its end,
    and the session ends with `BudgetExceeded`. What a response costs is known when it is done, so money and tokens may
    be exceeded by the responses that are on their way.

    Attributes:
        money: What responses and transcription may cost, in the currency of `open_session(prices=...)`.
        tokens: Input and output of all responses.
        minutes: The session's age, whatever happens in it.
        turns: How often the model answers the user. The last answer is given, with its tool calls.
        warn_at: The share of each limit at which a warning is given; 1 for no warning.
        then: `"end"`, or `"warn"`: the notices are all that happens.

    Raises:
        ConfigurationError: There is no limit, or a value is out of range.
    """

    money: Decimal | None = attrs.field(default=None, converter=_money)
    tokens: int | None = None
    minutes: float | None = None
    turns: int | None = None
    warn_at: float = 0.8
    then: Literal["end", "warn"] = "end"

    def __attrs_post_init__(self) -> None:
        if self.money is not None and not is_amount(self.money):
            raise ConfigurationError(f"Budget(money=...) is a number that is not below 0, not {self.money!r}")
        for name in ("tokens", "turns"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value, int) and value > 0):
                raise ConfigurationError(f"Budget({name}=...) is a whole number above 0, not {value!r}")
        if self.minutes is not None and not (_is_number(self.minutes, int | float) and 0 < self.minutes < float("inf")):
            raise ConfigurationError(f"Budget(minutes=...) is a number above 0, not {self.minutes!r}")
        if not self.limits:
            raise ConfigurationError("a Budget without a limit limits nothing: give money, tokens, minutes or turns")
        if not (_is_number(self.warn_at, int | float) and 0 < self.warn_at <= 1):
            raise ConfigurationError(f"Budget(warn_at=...) is a share above 0 and up to 1, not {self.warn_at!r}")
        if self.then not in ("end", "warn"):
            raise ConfigurationError(f"Budget(then=...) is 'end' or 'warn', not {self.then!r}")

    @property
    def limits(self) -> dict[BudgetKind, Decimal | int | float]:
        """The limits that are given, by what they are of."""
        given: dict[BudgetKind, Decimal | int | float | None] = {
            "money": self.money,
            "tokens": self.tokens,
            "minutes": self.minutes,
            "turns": self.turns,
        }
        return {kind: limit for kind, limit in given.items() if limit is not None}


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


@attrs.frozen
class Crossing:
    """A limit, or the share of it at which to warn, is reached.

    Attributes:
        kind: Of what.
        spent: How much.
        limit: The limit.
        is_over: Whether it is the limit itself.
    """

    kind: BudgetKind
    spent: Decimal | int | float
    limit: Decimal | int | float
    is_over: bool

    def error(self, currency: str) -> BudgetExceeded:
        """Make the exception that ends a session."""
        unit = currency if self.kind == "money" else self.kind
        limit = f"{self.limit:f}" if isinstance(self.limit, Decimal) else f"{self.limit:g}"
        spent = f"{self.spent:f}" if isinstance(self.spent, Decimal) else f"{self.spent:.10g}"
        return BudgetExceeded(
            f"the budget of {limit} {unit} is spent ({spent}): see `budget` of open_session",
            kind=self.kind,
            spent=self.spent,
            limit=self.limit,
        )


@attrs.define(eq=False)
class Watch:
    """Tells each crossing once.

    Attributes:
        budget: The limits.
    """

    budget: Budget
    _told: set[tuple[BudgetKind, bool]] = attrs.field(factory=set, init=False)

    def check(self, spent: Mapping[BudgetKind, Decimal | int | float]) -> list[Crossing]:
        """Tell what was reached since the last time; a limit's warning always comes before it.

        Args:
            spent: How much was used, of everything that is limited.
        """
        crossings = []
        for kind, limit in self.budget.limits.items():
            used = spent[kind]
            for share, is_over in ((self.budget.warn_at, False), (1, True)):
                if (kind, is_over) in self._told or (share == 1 and not is_over):
                    continue
                if self._reaches(kind, used, limit, share):
                    self._told.add((kind, is_over))
                    crossings.append(Crossing(kind, used, limit, is_over))
        return crossings

    def moments(self) -> list[float]:
        """Tell at which age, in minutes, something is reached without anything happening."""
        minutes = self.budget.minutes
        return [] if minutes is None else [minutes * self.budget.warn_at, minutes]

    @staticmethod
    def _reaches(kind: BudgetKind, used: Decimal | int | float, limit: Decimal | int | float, share: float) -> bool:
        if kind == "minutes":
            return float(used) + _ROUNDING >= float(limit) * share
        return exact(used) >= exact(limit) * exact(share)
