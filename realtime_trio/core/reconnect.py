"""What is done when a link ends that nobody wanted to end: try again or give up, and how long to wait in between.

When a link that works is replaced because of its age is in `core.rotation`; what a new link is told is in
`core.restore` and `core.effective_settings`. Who opens it is the session.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import attrs

from realtime_trio.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    NotAcknowledged,
    Refused,
    ServerError,
    SessionExpired,
)

__all__ = ["LIVED", "LONGEST_RETRY_AFTER", "Backoff", "Fatal", "ReconnectPolicy", "Retry", "Verdict", "verdict"]

LIVED: Final = 30.0
"""Seconds after which a link counts as one that worked: the next loss is the first of a new row."""

LONGEST_RETRY_AFTER: Final = 60.0
"""Seconds of a server's `Retry-After` that are waited at most before it is asked again."""

_FIRST_JITTER = 0.25  # of the first wait: who lost the link together does not come back in one moment
_CLIENT_ERRORS = range(400, 500)
_MAY_WORK_LATER = frozenset({408, 425, 429})
_TOO_MANY = 429
# A rate limit's words may point to the account's billing page too, so the plain word says nothing.
_NO_MONEY = re.compile(r"insufficient_quota|billing_\w+|billing details|exceeded your current quota", re.IGNORECASE)
_FINAL_CODES = frozenset({1000, 1002, 1003, 1007, 1008, 1009, 1010, *range(3000, 5000)})


@attrs.frozen(kw_only=True)
class ReconnectPolicy:
    """How a session goes on when its link is lost, or becomes too old.

    Attributes:
        attempts: How often in a row a new link is tried; one that lived 30 s starts the count anew.
        first_wait: Seconds. The first attempt is made at once (after up to a quarter of this), each further one after
            twice the wait of the one before, less up to a half by chance.
        longest_wait: Seconds; no wait is longer, unless the server asks for a longer one, up to 60 s.
        keep_audio: Seconds of the user's sound that are kept for a new link: what was not committed, what is said while
            there is none, and turns of which no transcript came.
        max_age: Seconds after which a link is replaced by a new one, less if the server says so; `math.inf` leaves it
            to the server.

    Raises:
        ConfigurationError: A value is out of range, or they contradict each other.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 8.0
    keep_audio: float = 30.0
    max_age: float = 3600.0

    def __attrs_post_init__(self) -> None:
        if not (_is_number(self.attempts, int) and self.attempts > 0):
            raise ConfigurationError(
                f"ReconnectPolicy(attempts=...) is a whole number above 0, not {self.attempts!r}; reconnect=None lets "
                "a lost link end the session"
            )
        for name in ("first_wait", "longest_wait", "keep_audio"):
            value = getattr(self, name)
            if not (_is_number(value, int | float) and 0 <= value < math.inf):
                raise ConfigurationError(f"ReconnectPolicy({name}=...) is a number of seconds from 0 on, not {value!r}")
        if self.longest_wait < self.first_wait:
            raise ConfigurationError(
                f"ReconnectPolicy(longest_wait={self.longest_wait:g}) is shorter than its first_wait, which is "
                f"{self.first_wait:g} s"
            )
        if not (_is_number(self.max_age, int | float) and self.max_age > 0):
            raise ConfigurationError(f"ReconnectPolicy(max_age=...) is seconds above 0, not {self.max_age!r}")


@attrs.frozen
class Fatal:
    """To try again makes no sense: the problem is what the session ends with."""


@attrs.frozen
class Retry:
    """It may work another time.

    Attributes:
        after: Seconds that the server wants to be left alone, when it said so.
    """

    after: float | None = None


Verdict: TypeAlias = Fatal | Retry


def verdict(problem: Exception) -> Verdict:
    """Judge the end of a link, or an attempt at a new one.

    Args:
        problem: What was raised.

    Returns:
        `Retry` where the world, or the server's day, is to blame; `Fatal` for all that would only happen again.
    """
    match problem:
        case Refused():
            return _of_refusal(problem)
        case ConnectError():
            return Fatal() if _is_distrust(problem) else Retry()
        case SessionExpired() | NotAcknowledged() | ServerError(type="server_error"):  # the last as a 5xx
            return Retry()
        case ConnectionClosed(code=code):
            return Fatal() if code in _FINAL_CODES else Retry()
        case _:
            return Fatal()


def _of_refusal(problem: Refused) -> Verdict:
    if problem.status == _TOO_MANY and _NO_MONEY.search(problem.body):
        return Fatal()
    if problem.status in _CLIENT_ERRORS and problem.status not in _MAY_WORK_LATER:
        return Fatal()
    return Retry(problem.retry_after)


def _is_distrust(problem: BaseException) -> bool:
    """Whether TLS did not accept the certificate; this layer knows such an error by what only it carries."""
    return any(hasattr(cause, "verify_code") for cause in _causes(problem))


def _causes(problem: BaseException) -> Iterator[BaseException]:
    cause = problem.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


@attrs.define(eq=False)
class Backoff:
    """How long to wait before each attempt in a row.

    Attributes:
        policy: The session's.
        random: Gives a number from 0 to 1 each time, evenly.
        attempts: How many were allowed so far in this row.
    """

    policy: ReconnectPolicy
    random: Callable[[], float]
    attempts: int = attrs.field(default=0, init=False)
    _wait: float = attrs.field(default=0.0, init=False)

    def next(self, retry_after: float | None = None) -> float | None:
        """Allow one more attempt.

        Args:
            retry_after: Seconds for which the server wants to be left alone, when it said so.

        Returns:
            Seconds to wait before it; None if all are used up.
        """
        if self.attempts >= self.policy.attempts:
            return None
        if self.attempts == 0:
            self._wait = self.policy.first_wait
            wait = self.random() * _FIRST_JITTER * self.policy.first_wait
        else:
            wait = self._wait * (1 + self.random()) / 2
            self._wait = min(2 * self._wait, self.policy.longest_wait)
        self.attempts += 1
        if retry_after is not None and retry_after > wait:
            wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
        return wait

    def lived(self, seconds: float) -> None:
        """Note that a link ended that had carried the session for so long."""
        if seconds >= LIVED:
            self.attempts = 0


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
