"""What went wrong with a response: the server's code becomes a class, and its words the time to ask again.

Who is told is the session's business; when a reply is asked for again, `core.arbiter`'s.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

import attrs

from realtime_trio.errors import AccountRefused, ContentFiltered, QuotaExceeded, RateLimited, ResponseFailed
from realtime_trio.events import ErrorDetails, RateLimitsUpdated, Response, ServerEvent

__all__ = ["CLASSES", "LONGEST_WAIT", "Limits", "failure", "refusal"]

CLASSES: Final[Mapping[str, type[ResponseFailed]]] = {
    "insufficient_quota": QuotaExceeded,
    "billing_hard_limit_reached": QuotaExceeded,
    "invalid_api_key": AccountRefused,
    "account_deactivated": AccountRefused,
    "rate_limit_exceeded": RateLimited,
    "inference_rate_limit_exceeded": RateLimited,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
}
"""The class of each code that has one of its own; what is not here is a plain `ResponseFailed`."""

LONGEST_WAIT: Final = 10.0
"""Seconds for which a reply waits before it is asked for again; nobody listens to a longer silence."""

_UNKNOWN_WAIT = 1.0  # seconds, after a limit of which the server did not say when it ends
_WAIT = re.compile(r"\btry again in ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def failure(final: Response) -> ResponseFailed:
    """Make the exception for a response that ended with status `failed`."""
    details = final.status_details or None
    problem = (details.error or None) if details is not None else None
    code = (problem.code or None) if problem is not None else None
    message = (problem.message or None) if problem is not None else None
    kind = (problem.type or None) if problem is not None else None
    why = ": ".join(str(part) for part in (code or kind, message) if part) or "the server gave no reason"
    words = f"response {final.id or ''} failed: {why}"
    return _make(words, str(code or ""), str(kind or ""), final.id or None, final) or ResponseFailed(
        words, response_id=final.id or None, code=code, response=final
    )


def refusal(problem: ErrorDetails) -> ResponseFailed | None:
    """Make the exception for a response that the server refused to begin, where its code has a class of its own."""
    why = f"{problem.code or problem.type}: {problem.message}"
    return _make(f"the server refused a response: {why}", problem.code or "", problem.type, None, None)


def _make(
    words: str, code: str, kind: str, response_id: str | None, response: Response | None
) -> ResponseFailed | None:
    known = next((one for one in (code, kind) if one in CLASSES), None)  # some errors have no code, but such a type
    if known is None:
        return None
    made, code = CLASSES[known], code or known
    if made is RateLimited:
        return RateLimited(words, response_id=response_id, code=code, response=response, retry_after=_wait_in(words))
    return made(words, response_id=response_id, code=code, response=response)


def _wait_in(words: str) -> float | None:
    """Read "Please try again in 1m2.5s" as seconds."""
    found = _WAIT.search(words)
    if found is None:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PIECE.findall(found[1]))


@attrs.define(eq=False)
class Limits:
    """The account's limits as the server last said them, and when to ask again after one was reached.

    Attributes:
        until: Nothing is asked for before; -inf while no limit is known to be reached.
    """

    until: float = -math.inf
    _ends: dict[str, float] = attrs.field(factory=dict, init=False)  # of limits that are used up, by name

    def handle(self, event: ServerEvent, now: float) -> None:
        """Follow one server event."""
        if isinstance(event, RateLimitsUpdated):
            self._ends = {
                limit.name or "": now + limit.reset_seconds
                for limit in event.rate_limits
                if limit.remaining == 0 and isinstance(limit.reset_seconds, int | float)
            }

    def failed(self, final: Response, now: float) -> bool:
        """Note that a response failed. Returns whether it may be asked for again, once `until` has passed."""
        return self._note(failure(final), now)

    def refused(self, problem: ErrorDetails, now: float) -> bool:
        """Note that a response was refused. Returns whether it may be asked for again, once `until` has passed."""
        limited = refusal(problem)
        return isinstance(limited, RateLimited) and self._note(limited, now)

    def _note(self, problem: ResponseFailed, now: float) -> bool:
        if not isinstance(problem, RateLimited):
            return not problem.is_final
        known = max(self._ends.values(), default=now) - now
        wait = problem.retry_after if problem.retry_after is not None else known if known > 0 else _UNKNOWN_WAIT
        if wait > LONGEST_WAIT:
            return False
        self.until = now + wait
        return True
