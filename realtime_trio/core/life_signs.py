"""When anything last came of the responses that are being generated: a server may lose one and never say so.

What is done then is the session's business; that such a response holds nobody up is `core.slot`'s.
"""

import math

from realtime_trio.events import (
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseError,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ServerEvent,
    StatusDetails,
)

__all__ = ["LOST", "QUIET_SECONDS", "LifeSigns", "lost_response"]

LOST = "response_lost"
"""The code of a response that is taken for lost; no server says that."""

QUIET_SECONDS = 30.0
"""A response of which nothing comes for so long is taken for lost."""

_CALL_SECONDS = 600.0  # while the server waits for an MCP server's tool
_LATE_SECONDS = 1.0
_MOST = 1024


class LifeSigns:
    """The responses that are being generated, those beside the conversation too.

    Anything that names a response is a sign of its life. Of what happens in a call of a hosted MCP server nothing is
    told, so that while there is one, responses may be silent for longer.
    """

    def __init__(self) -> None:
        self._last: dict[str, float] = {}  # by response, the one that has been silent for longest first
        self._calls: set[str] = set()

    @property
    def deadline(self) -> float:
        """When `take_lost` has something to give, if nothing comes before; inf for never."""
        return next(iter(self._last.values()), math.inf) + self._patience

    @property
    def _patience(self) -> float:
        return _CALL_SECONDS if self._calls else QUIET_SECONDS

    def quiet_at(self, response_id: str) -> float:
        """From when on a response is taken for lost; -inf for one that is not being generated."""
        return self._last.get(response_id, -math.inf) + self._patience

    def handle(self, event: ServerEvent, now: float) -> None:
        """Follow one server event; any may be a sign of life."""
        match event:
            case ResponseCreated(response=response):
                if isinstance(response.id, str):
                    self._last.setdefault(response.id, now)
                    if len(self._last) > _MOST:
                        del self._last[next(iter(self._last))]
            case ResponseDone(response=response):
                self._last.pop(response.id or "", None)
            case ResponseMcpCallInProgress(item_id=item_id):
                self._calls.add(item_id)
            case ResponseMcpCallCompleted(item_id=item_id) | ResponseMcpCallFailed(item_id=item_id):
                self._calls.discard(item_id)
                self._last = dict.fromkeys(self._last, now)
            case _:
                self.sign(getattr(event, "response_id", None), now)
        if not self._last:
            self._calls.clear()

    def sign(self, response_id: str | None, now: float) -> None:
        """Note that a response lives."""
        if response_id in self._last:
            del self._last[response_id]
            self._last[response_id] = now

    def take_lost(self, now: float) -> list[str]:
        """Give the responses that are taken for lost at this time, each once.

        Where that is noticed late, it is we who stood still: then what they have said meanwhile is yet to be read.
        """
        if self.deadline + _LATE_SECONDS < now:
            self._last = dict.fromkeys(self._last, now)
        lost = []
        while self._last and self.deadline <= now:
            lost.append(next(iter(self._last)))
            del self._last[lost[-1]]
        if not self._last:
            self._calls.clear()
        return lost

    def lose_link(self) -> None:
        """Note that the link is lost: no response is being generated."""
        self._last.clear()
        self._calls.clear()


def lost_response(response: Response, status: str) -> ResponseDone:
    """Make the end of a response that the server has lost.

    Args:
        response: The response as it was seen last.
        status: How it ends.
    """
    words = f"the server has not said anything of it for {QUIET_SECONDS:g} s"
    details = StatusDetails(type=status, error=ResponseError(type=LOST, code=LOST, message=words))
    return ResponseDone(
        event_id="",
        response=Response(
            id=response.id,
            conversation_id=response.conversation_id,
            metadata=response.metadata,
            status=status,
            status_details=details,
        ),
    )
