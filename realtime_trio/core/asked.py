"""What is asked for and not created yet, and what becomes of it where a response is not its own by name.

When something is asked for, and why, is in `core.arbiter`; the books of what is owed are in `core.replies`.
"""

import attrs

from realtime_trio.events import ErrorDetails

from .replies import Answer, Replies, Request

__all__ = ["ALREADY_ACTIVE", "Asked", "retract", "settle_by_rival"]

ALREADY_ACTIVE = "conversation_already_has_active_response"
"""The code of the error that a user never gets to see."""


@attrs.define(eq=False)
class Asked:
    """A create that is sent.

    Attributes:
        request: What it asks for.
        number: When that was, in the order of events.
        since: When that was, in seconds.
        event_id: The create.
        rival: A response of turn detection that came first; it may turn out to be the reply.
    """

    request: Request
    number: int
    since: float
    event_id: str | None = None
    rival: Answer | None = None


def settle_by_rival(asked: Asked, replies: Replies) -> bool:
    """Take the VAD response that came first for the reply, if it may be that and the reply is still wanted."""
    rival = asked.rival
    if rival is None or rival.came_to_nothing or asked.request.state not in ("asked", "recalled"):
        return False
    replies.settle(asked.request, "shared", rival)
    if rival.status is not None:
        replies.judge(rival)
    return True


def retract(asked: Asked, answer: Answer, error: ErrorDetails, replies: Replies) -> None:
    """Take back what was settled by order alone: an error to its create tells that the response is another's."""
    requests, answer.requests = answer.requests, []
    for request in requests:
        if request.by_any:
            answer.requests.append(request)  # it is one all the same
        elif request is asked.request and error.code != ALREADY_ACTIVE:
            replies.move(request, "refused", error=error)
        else:
            replies.owe_again(request, "another's", answer, "rejected")
