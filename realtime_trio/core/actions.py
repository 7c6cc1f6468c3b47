"""What the response arbiter tells the session to do, or tells the askers.

When it does so is in `core.arbiter`.
"""

from typing import TypeAlias

import attrs

from realtime_trio.events import ErrorDetails

__all__ = ["METADATA_KEY", "Action", "Ask", "CancelResponse", "GivenUp", "OwedAgain", "Settled"]

METADATA_KEY = "realtime_trio"
"""The reserved key of `response.create`'s metadata; its value is the request's id."""


@attrs.frozen
class Ask:
    """Send `response.create` for this request now, with its id under `METADATA_KEY`, then call `Arbiter.sent`."""

    request_id: str


@attrs.frozen
class Settled:
    """This response is the reply. It may yet come to nothing: then `OwedAgain` or `GivenUp` follows its `done`."""

    request_id: str
    response_id: str


@attrs.frozen
class OwedAgain:
    """The response is not the reply after all; the request will be asked for again, then settled or given up.

    Attributes:
        reason: `"failed"`, `"cancelled"` (before any of it was heard), or, which do not count, `"rejected"` (it was
            taken for ours by order, and an error to our request told that it is another's) and `"link lost"`.
    """

    request_id: str
    response_id: str
    reason: str


@attrs.frozen
class GivenUp:
    """There will be no reply. The request is forgotten.

    Attributes:
        reason: `"unanswered"` (no answer to the create for 10 s), `"refused"` (`error` says why), `"rejected"` (for
            120 s, by a response that nobody knows), `"interrupted"` (recalled before the server took it), `"failed"` or
            `"cancelled"` (twice; `response_id` is the last one).
    """

    request_id: str
    reason: str
    error: ErrorDetails | None = None
    response_id: str | None = None


@attrs.frozen
class CancelResponse:
    """Send `response.cancel` with this id: nobody wants the response any more. Play nothing of it."""

    response_id: str


Action: TypeAlias = Ask | Settled | OwedAgain | GivenUp | CancelResponse
