"""The cancels under way: whether a `response.cancel` did something is known when the response is done, or refused."""

from collections.abc import Callable

import attrs

from realtime_trio import events

from .promise import Promise
from .responses import Response

__all__ = ["Cancels"]


@attrs.define(eq=False)
class Cancels:
    """The cancels of one session that somebody waits for.

    Attributes:
        send: Hands a client event to the writer and returns its event id.
    """

    send: Callable[[events.ClientEvent], str]
    _open: dict[str, tuple[Response, Promise[bool]]] = attrs.field(factory=dict, init=False)  # by event id

    def ask(self, response: Response) -> Promise[bool]:
        """Ask for the end of a response. Gives whether it was cancelled, once that is known."""
        outcome = Promise[bool]()
        self._open[self.send(events.ResponseCancel(response_id=response.id))] = (response, outcome)
        return outcome

    def done(self, response: Response) -> None:
        """A response is done, in whatever way."""
        for event_id, (cancelled, outcome) in list(self._open.items()):
            if cancelled is response:
                del self._open[event_id]
                outcome.keep(response.status == "cancelled")

    def refused(self, problem: events.ErrorDetails) -> None:
        """An error came; it may say that nothing was active."""
        if problem.code != "response_cancel_not_active":
            return
        event_id = problem.event_id or ""
        if event_id not in self._open:  # unnamed, or named otherwise: it can only be the only one
            event_id = next(iter(self._open)) if len(self._open) == 1 else ""
        if event_id:
            cancelled = False
            self._open.pop(event_id)[1].keep(cancelled)

    def end(self, error: Exception) -> None:
        """The session is over."""
        for _, outcome in self._open.values():
            outcome.break_(error)
        self._open.clear()
