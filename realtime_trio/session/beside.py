"""Responses beside the conversation (`conversation="none"`): any number at once, and no arbiter has a say in them.

They are known by the metadata key of their request; where a server echoes none, by the order in which they were asked
for.
"""

import math
from collections.abc import Callable

import attrs

from realtime_trio import events
from realtime_trio.core.arbiter import METADATA_KEY
from realtime_trio.core.failures import failure, refusal
from realtime_trio.errors import ConnectionClosed, NotAcknowledged

from .calls import server_error
from .exchanges import Request
from .inside import Inside
from .responses import Response

__all__ = ["Beside"]


@attrs.define(eq=False)
class _Asked:
    request: Request
    create: events.ResponseCreate
    until: float
    wanted: bool = True


@attrs.define(eq=False, repr=False)
class Beside(Inside):
    """The out-of-band requests of one session.

    Attributes:
        send: Hands a client event to the writer and returns its event id.
        timeout: Seconds that a response may take to be created.
    """

    send: Callable[[events.ClientEvent], str]
    timeout: float
    _asked: dict[str, _Asked] = attrs.field(factory=dict, init=False)  # by the event id of the create
    _waiting: list[_Asked] = attrs.field(factory=list, init=False)  # for a link
    _is_linked: bool = attrs.field(default=True, init=False)
    _settled: list[Request] = attrs.field(factory=list, init=False)
    _echoes: bool = attrs.field(default=False, init=False)  # the server was seen to echo metadata

    @property
    def deadline(self) -> float:
        """When `expire` has something to do; inf for never."""
        return min((asked.until for asked in self._asked.values()), default=math.inf)

    def ask(self, request: Request, create: events.ResponseCreate, now: float) -> None:
        """Ask for a response at once."""
        asked = _Asked(request, create, now + self.timeout)
        if self._is_linked:
            self._asked[self.send(create)] = asked
        else:
            self._waiting.append(asked)

    def forget(self, request: Request) -> None:
        """Nobody waits for it any more: it is cancelled, as soon as it has an id."""
        self._waiting = [asked for asked in self._waiting if asked.request is not request]
        for asked in self._asked.values():
            if asked.request is request:
                asked.wanted = False
        if request in self._settled and request.response is not None:
            self._settled.remove(request)
            self.stop(request.response)

    def created(self, response: Response) -> bool:
        """Take a new response for the one that was asked for. Returns whether it is out of band."""
        tag = response.metadata.get(METADATA_KEY)
        event_id = next((key for key, asked in self._asked.items() if asked.request.id == tag), None)
        self._echoes = self._echoes or tag is not None
        if event_id is None and response.out_of_band and not self._echoes:
            event_id = next(iter(self._asked), None)
        if event_id is None:
            return response.out_of_band
        response.out_of_band = True
        asked = self._asked.pop(event_id)
        if asked.wanted:
            asked.request.settle(response)
            self._settled.append(asked.request)
        else:
            self.stop(response)
        return True

    def is_asked(self, event_id: str) -> bool:
        """Whether this create waits for its answer."""
        return event_id in self._asked

    def refused(self, problem: events.ErrorDetails) -> bool:
        """Give an error to the request it answers. Returns whether there was one."""
        asked = self._asked.pop(problem.event_id or "", None)
        if asked is not None:
            asked.request.fail(refusal(problem) or server_error(problem))
        return asked is not None

    def lose_link(self) -> None:
        """Note that the link is lost: what was not created is asked for on the next one.

        What was created and is not done ends with an error: who has it has a part of it already.
        """
        self._is_linked = False
        self._waiting = [asked for asked in self._asked.values() if asked.wanted]
        self._asked.clear()
        for request in list(self._settled):
            response = request.response
            if response is not None and not response.is_done:
                self._settled.remove(request)
                error = ConnectionClosed(None, f"the link was lost while {response.id} was being generated")
                response.end(error)
                request.fail(error)

    def regain_link(self, now: float) -> None:
        """Note that there is a new link."""
        self._is_linked = True
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            self.ask(asked.request, asked.create, now)

    def retire(self) -> None:
        """Release who waited for a response that is done."""
        for request in [one for one in self._settled if one.response is not None and one.response.is_done]:
            self._settled.remove(request)
            final = request.response.final if request.response is not None else None
            if final is not None and final.status == "failed":
                request.fail(failure(final))
            else:
                request.release()

    def expire(self, now: float) -> None:
        """Give up what was not created in time."""
        for event_id, asked in list(self._asked.items()):
            if asked.until <= now:
                del self._asked[event_id]
                asked.request.fail(NotAcknowledged(f"no response was created within {self.timeout:g} s"))

    def end(self, error: Exception) -> None:
        """The session is over."""
        for request in [*self._settled, *(asked.request for asked in (*self._asked.values(), *self._waiting))]:
            request.fail(error)

    def stop(self, response: Response) -> None:
        """Cancel, once, a response that nobody wants any more, whose block was left, or that has no end."""
        if response.interrupted:
            return
        if not response.is_done:
            self.send(events.ResponseCancel(response_id=response.id))
        response.cut()
        response.finish_heard()
