"""The replies that are owed, from the moment somebody wants one until it was heard or cannot be had.

Who may speak and when is `core.arbiter`'s decision, which is carried out here; the responses themselves live in
`turns.py`. Responses beside the conversation are `beside.py`'s.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs
import msgspec

from realtime_trio import events
from realtime_trio.core.arbiter import METADATA_KEY, Arbiter, Ask, CancelResponse, GivenUp, OwedAgain, Settled
from realtime_trio.core.failures import failure, refusal
from realtime_trio.errors import NotAcknowledged, RealtimeError, ServerError

from .beside import Beside
from .calls import server_error
from .exchanges import Exchange, Request
from .inside import Inside
from .notices import Notice, ReplyLost
from .responses import Response

__all__ = ["Requests"]

_MOST_UNWANTED = 256


@attrs.define(eq=False, repr=False)
class Requests(Inside):
    """The requests of one session.

    Attributes:
        arbiter: Decides who may speak.
        send: Hands a client event to the writer and returns its event id.
        publish: Takes notices.
        live: The live responses by id.
        stop: Stops a response that nobody wants any more.
        prepare: Told before each response is asked for.
        beside: The responses beside the conversation.
    """

    arbiter: Arbiter
    send: Callable[[events.ClientEvent], str]
    publish: Callable[[Notice], None]
    live: Mapping[str, Response]
    stop: Callable[[str, float], None]
    prepare: Callable[[Request], None]
    beside: Beside
    _requests: dict[str, Request] = attrs.field(factory=dict, init=False)
    _unwanted: dict[str, None] = attrs.field(factory=dict, init=False)  # given up, the newest last
    _create_id: str = attrs.field(default="", init=False)  # the event id of the newest create
    _closed: Exception | None = attrs.field(default=None, init=False)
    _finishes_turn: bool = attrs.field(default=False, init=False)

    def owe(self, request: Request, items: Sequence[str], now: float) -> None:
        """Ask for a reply to these items: at the next `act`, or as soon as nobody else speaks.

        Raises:
            LocalProtocolError: It can never be asked for: the words for it cannot be written as JSON.
        """
        if request.overrides:
            events.encode(
                _create(request)
            )  # who wants it is to hear of that, and not whoever is there when its turn comes
        if self._closed is not None and not self._is_let_through(request):
            request.fail(self._closed)
            return
        overrides = request.overrides or None
        if overrides is not None and overrides.conversation == "none":
            self.beside.ask(request, _create(request), now)
            return
        self._requests[request.id] = request
        own = overrides is not None or request.interruption is not None
        self.arbiter.owe(request.id, items=items, overrides=own, expected_until=request.expected_until)

    @property
    def owed(self) -> int:
        """How many are not over that the server brought about; a program may want as many as it likes."""
        return sum(
            not (request.exchanges or request.is_awaited or request.is_programs) for request in self._requests.values()
        )

    @property
    def number(self) -> int:
        """How many are not over, those beside the conversation apart."""
        return len(self._requests)

    @property
    def asked(self) -> Request | None:
        """The request that is asked for and not created yet."""
        return self._requests.get(self.arbiter.asked or "")

    def forget(self, request: Request) -> None:
        """Nobody waits for this reply any more: what was not sent is dropped, what was sent is cancelled."""
        self.arbiter.forget(request.id)
        self._disown(request.id)
        self._requests.pop(request.id, None)
        self.beside.forget(request)

    def close(self, error: Exception, *, finish_turn: bool) -> None:
        """Ask for nothing any more: what waits, or was not begun, fails with this error. What was begun goes on.

        Args:
            error: Why.
            finish_turn: Whether replies to tool calls may still be asked for.
        """
        self._closed, self._finishes_turn = error, finish_turn
        self._turn_away()

    def abandon(self, exchange: Exchange) -> None:
        """Nobody waits for this exchange any more: forget what nobody else waits for either."""
        exchange.abandoned = True
        for request in exchange.requests:
            if exchange in request.exchanges:
                request.exchanges.remove(exchange)
            if not request.exchanges:
                self.forget(request)

    def settled_by(self, response: Response) -> list[Request]:
        """The requests to which this response is the reply."""
        return [request for request in self._requests.values() if request.response is response]

    def exchanges_of(self, response: Response) -> list[Exchange]:
        """What waits for a response, or for what follows from it."""
        return [exchange for request in self.settled_by(response) for exchange in request.exchanges]

    def is_awaited(self, response: Response) -> bool:
        """Whether a call waits for a response of the conversation."""
        return any(request.exchanges or request.is_awaited for request in self.settled_by(response))

    def is_unwanted(self, response: Response) -> bool:
        """Whether a response is the answer to a request that was given up."""
        return response.metadata.get(METADATA_KEY) in self._unwanted

    def answers(self, problem: events.ErrorDetails) -> bool:
        """Tell whether an error is about to reach the one who asked for a response."""
        event_id = problem.event_id or ""
        return bool(event_id) and (event_id == self._create_id or self.beside.is_asked(event_id))

    def act(self, now: float) -> None:
        """Do what the arbiter says is to be done at this time."""
        self._turn_away()  # a response that was begun may have come to nothing
        for one in list(self._requests.values()):
            if one.response is None and one.wanted is not None and not one.wanted():
                self.forget(one)
        for action in self.arbiter.poll(now):
            match action:
                case Ask(request_id=request_id):
                    self.prepare(self._requests[request_id])
                    self._create_id = self.send(_create(self._requests[request_id]))
                    self.arbiter.sent(request_id, self._create_id, now)
                case Settled(request_id=request_id, response_id=response_id):
                    self._settle(request_id, response_id)
                case OwedAgain(request_id=request_id):
                    if request := self._requests.get(request_id):
                        request.response = None
                case GivenUp():
                    self._give_up(action)
                case CancelResponse(response_id=response_id):
                    self.stop(response_id, now)

    def retire(self) -> None:
        """Release who waited for the whole of a response that is heard."""
        self.beside.retire()
        for request in list(self._requests.values()):
            settled = request.response
            if settled is not None and settled.is_done and settled.is_heard:
                del self._requests[request.id]
                request.release()

    def end(self, error: Exception) -> None:
        """The session is over."""
        for request in self._requests.values():
            request.fail(error)
        self.beside.end(error)

    def _is_let_through(self, request: Request) -> bool:
        return self._finishes_turn and request.continues

    def _turn_away(self) -> None:
        for request_id in (*self.arbiter.owed, self.arbiter.asked or ""):
            request = self._requests.get(request_id)
            if self._closed is not None and request is not None and not self._is_let_through(request):
                self.forget(request)
                request.fail(self._closed)

    def _disown(self, request_id: str) -> None:
        """Remember that a response to it, should one come after all, is nobody's."""
        self._unwanted[request_id] = None
        while len(self._unwanted) > _MOST_UNWANTED:
            del self._unwanted[next(iter(self._unwanted))]

    def _settle(self, request_id: str, response_id: str) -> None:
        request, response = self._requests.get(request_id), self.live.get(response_id)
        if request is not None and response is not None:
            request.settle(response)

    def _give_up(self, action: GivenUp) -> None:
        request = self._requests.pop(action.request_id, None)
        if request is None:
            return
        self._disown(request.id)
        exchange = request.exchanges[0] if request.exchanges else None
        last = exchange.responses[-1] if exchange and exchange.responses else request.response
        match action.reason:
            case "interrupted" | "cancelled":
                if not request.created.settled:
                    request.created.break_(RealtimeError("the reply was interrupted before it was created"))
                request.release()  # the exchange ends with the status of its last response, "cancelled"
                return
            case "failed" if last is not None:
                problem: Exception = failure(last.final)
            case "unanswered":
                wait = f"{self.beside.timeout:g} s"
                problem = NotAcknowledged(f"the server did not answer a response.create within {wait}")
            case _ if action.error is not None:
                problem = refusal(action.error) or server_error(action.error)
            case _:
                problem = ServerError("the server kept refusing a response", code=action.reason)
        if not (request.exchanges or request.is_awaited):
            self.publish(ReplyLost(problem))
        request.fail(problem)


def _create(request: Request) -> events.ResponseCreate:
    """Make the `response.create` by which the response will be known as the answer to this request."""
    params = request.overrides or events.ResponseCreateParams()
    metadata = {**(params.metadata or {}), METADATA_KEY: request.id}
    return events.ResponseCreate(response=msgspec.structs.replace(params, metadata=metadata))
