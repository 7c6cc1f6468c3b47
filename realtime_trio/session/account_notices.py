"""What happens to a budget, and to responses that did not come to their end; the other notices are in `notices.py`."""

from decimal import Decimal

import attrs

from realtime_trio.core.budget import BudgetKind
from realtime_trio.errors import ResponseFailed

__all__ = ["BudgetSpent", "BudgetWarning", "ResponseNotCompleted"]


@attrs.frozen
class BudgetWarning:
    """A large share of what the session may use is used; see `Budget.warn_at`. Once for each kind.

    Attributes:
        kind: `"money"`, `"tokens"`, `"minutes"` or `"turns"`.
        spent: How much.
        limit: The limit.
    """

    kind: BudgetKind
    spent: Decimal | int | float
    limit: Decimal | int | float


@attrs.frozen
class BudgetSpent:
    """A limit of the session's budget is reached; see `Budget.then` for what happens now. Once for each kind.

    Attributes:
        kind: `"money"`, `"tokens"`, `"minutes"` or `"turns"`.
        spent: How much.
        limit: The limit.
    """

    kind: BudgetKind
    spent: Decimal | int | float
    limit: Decimal | int | float


@attrs.frozen
class ResponseNotCompleted:
    """A response failed, or was cut short by a limit or a filter; also one that turn detection or another client made.

    It comes whether or not a call waits for the response, which then raises `error` or returns what there is.

    Attributes:
        response_id: Which one.
        status: `"failed"` or `"incomplete"`.
        reason: Failed: the server's code, for example `"insufficient_quota"`, when there is one. Incomplete:
            `"max_output_tokens"` or `"content_filter"`.
        error: Failed: what a call that waits for it raises, for example `QuotaExceeded`. It may yet be asked for again.
    """

    response_id: str
    status: str
    reason: str | None
    error: ResponseFailed | None
