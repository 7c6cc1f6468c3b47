"""The response arbiter: everything that wants an answer from the model asks here, and one request at a time goes out.

Deliberately elsewhere: whose floor it is (`core.floor`), sending (the session), what a response says.

Theory of operation. A *request* says that a reply is owed for a set of items. It goes through these states:

```
            poll: slot and floor are free            response.created
 owed ─────────────────────────────────────> asked ──────────────────> settled ──> response.done, and heard: over
  ^ │                                          │                          │
  │ └── a VAD response whose turn was committed after our items: settled   │ failed, or cut before any of it was heard
  ├──── rejected: "already has an active response" ┘ (never counts)         │
  └────────────────────────────────────────────────────────────────────────┘ once; the second time it is given up
```

What is not obvious:

* While one of ours is asked for, a VAD response may come first. Ours will then be rejected; only the rejection tells
  so, and only then is it decided whether that VAD response (the *rival*) answers our items too or whether to ask again.
* "Already active" may name a response of which we do not know (its `response.created` is on its way, or another client
  made it). Then there is no `response.done` to wait for and the time to the next try doubles from 0.25 s.
* A server that loses a `response.done` must not silence us for ever: a response of which nothing came for 30 s does not
  hold the slot any more. If it lives after all, asking is rejected, which does no harm.
"""

import math
from collections.abc import Collection

import attrs

from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDone,
    Error,
    ErrorDetails,
    InputAudioBufferCommitted,
    Response,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)

from .actions import METADATA_KEY, Action, Ask, CancelResponse, GivenUp, OwedAgain, Settled
from .floor import Floor

__all__ = [
    "ALREADY_ACTIVE",
    "METADATA_KEY",
    "Action",
    "Arbiter",
    "Ask",
    "CancelResponse",
    "GivenUp",
    "OwedAgain",
    "Settled",
]

ALREADY_ACTIVE = "conversation_already_has_active_response"
"""The code of the error that a user never gets to see."""

_ANSWER_SECONDS = 10.0
_FIRST_BACKOFF = 0.25
_LAST_BACKOFF = 4.0
_QUIET_SECONDS = 30.0
_REJECTED_SECONDS = 120.0  # rejected for so long by a response that shows no other sign of life
_MAX_ANSWERS = 64
_MAX_ACKNOWLEDGED = 1024


@attrs.define(eq=False)
class _Request:
    id: str
    number: int  # when it was owed first; also the order in which requests are asked for
    overrides: bool
    missing: set[str]  # items that the server did not acknowledge yet
    ready: int  # when the last item was acknowledged
    again: bool = False  # its settling response came to nothing once
    rejections: int = 0
    rejected_since: float = math.inf


@attrs.define(eq=False)
class _Answer:
    """A response of the default conversation, and the requests that it settles."""

    id: str
    own: bool
    requests: list[_Request] = attrs.Factory(list)
    status: str | None = None  # None until it is done
    heard: bool = False
    cut: bool = False  # interrupted here, whatever the server says became of it
    stopped: bool = False  # the program itself ended it


@attrs.define(eq=False)
class _Asked:
    request: _Request
    number: int
    since: float
    event_id: str | None = None
    recalled: str = ""  # "": wanted; "again": cancel on created, owe again; "drop": cancel on created; "forgotten"
    rival: _Answer | None = None


class Arbiter:
    """Who may speak, and when.

    After every call, take what `poll` gives, and poll again at `deadline`. Times are seconds of any steady clock.

    Attributes:
        floor: Whose turn it is, and what the effective turn detection does by itself.
    """

    def __init__(self) -> None:
        self.floor = Floor()
        self._count = 0  # numbers events and requests in the order in which they came
        self._requests: dict[str, _Request] = {}
        self._waiting: list[_Request] = []
        self._asked: _Asked | None = None
        self._guess: tuple[_Asked, _Answer] | None = None  # the last that was settled by order alone
        self._answers: dict[str, _Answer] = {}
        self._active: tuple[str, float] | None = None  # the response in the slot, and when anything came of it
        self._retry_at = -math.inf
        self._committed = 0  # the last commit that announces a response and got none yet
        self._committed_at = -math.inf
        self._acknowledged: dict[str, int] = {}
        self._echoes = False  # the server was seen to echo metadata
        self._actions: list[Action] = []

    @property
    def active(self) -> str | None:
        """The id of the response that occupies the default conversation's slot."""
        return None if self._active is None else self._active[0]

    @property
    def asked(self) -> str | None:
        """The id of the request that is asked for and not created yet."""
        return None if self._asked is None else self._asked.request.id

    @property
    def owed(self) -> tuple[str, ...]:
        """The ids of the requests that wait to be asked for, in that order."""
        return tuple(request.id for request in self._waiting)

    @property
    def idle(self) -> bool:
        """Whether no reply is owed and none is asked for."""
        return not self._waiting and self._asked is None

    @property
    def deadline(self) -> float:
        """When to poll again if nothing happens before: -inf for at once, inf for never."""
        if self._actions:
            return -math.inf
        if self._asked is not None:
            return self._asked.since + _ANSWER_SECONDS
        if not self._waiting:
            return math.inf
        return self._slot_free_at()

    # what the session wants

    def owe(self, request_id: str, *, items: Collection[str] = (), overrides: bool = False) -> None:
        """Note that a reply is owed. Call it once the items were handed to the writer: creates keep their order.

        Args:
            request_id: A new name for it, at most 512 characters.
            items: The ids of the items that the reply is to take into account.
            overrides: Whether the response is to have parameters of its own; then no other response settles it.

        Raises:
            ValueError: That name is in use.
        """
        if request_id in self._requests:
            raise ValueError(f"a reply is owed already under the name {request_id!r}")
        self._count += 1
        missing = set(items).difference(self._acknowledged)
        ready = self._count if missing or not items else max(self._acknowledged[item] for item in items)
        request = _Request(request_id, self._count, overrides, missing, ready)
        self._requests[request_id] = request
        self._waiting.append(request)

    def sent(self, request_id: str, event_id: str | None, now: float) -> None:
        """Note that the create was sent, and under which event id, so that an error can be matched to it."""
        if self._asked is not None and self._asked.request.id == request_id:
            self._asked.event_id = event_id
            self._asked.since = now

    def forget(self, request_id: str) -> None:
        """Note that nobody waits for this reply any more.

        What was not sent is dropped. What was sent is cancelled, at once or when it is created, unless others want the
        same response or turn detection made it.
        """
        request = self._requests.pop(request_id, None)
        if request is None:
            return
        if self._asked is not None and self._asked.request is request:
            self._asked.recalled = "forgotten"
        elif request in self._waiting:
            self._waiting.remove(request)
        for answer in self._answers.values():
            if request in answer.requests:
                answer.requests.remove(request)
                if answer.own and not answer.requests and answer.status is None:
                    answer.stopped = True
                    self._actions.append(CancelResponse(answer.id))

    def recall(self, *, again: bool) -> str | None:
        """Cancel what is asked for and not created yet, as soon as it is created.

        Args:
            again: Owe it again then (the user spoke first), or settle it with the cancelled response (the program said
                stop).

        Returns:
            The request that this is about, if there is one.
        """
        if self._asked is None or self._asked.recalled == "forgotten":
            return None
        if self._asked.recalled != "drop":  # once the program said stop, the user's speech does not change that
            self._asked.recalled = "again" if again else "drop"
        return self._asked.request.id

    # what became of responses, apart from events

    def heard(self, response_id: str) -> None:
        """Note that some of a response was heard, or its text delivered. Tell it before its `response.done`."""
        answer = self._answers.get(response_id)
        if answer is not None:
            answer.heard = True
            if answer.status is not None:
                self._finish(answer)

    def interrupted(self, response_id: str) -> None:
        """Note that the user's interruption cut a response: if none of it was heard, its replies are owed again."""
        answer = self._answers.get(response_id)
        if answer is not None:
            answer.cut = True
            if answer.status is not None:
                self._judge(answer)

    def stop(self, response_id: str) -> None:
        """Note that the program itself ended a response: whatever was heard of it, nothing is owed again."""
        answer = self._answers.get(response_id)
        if answer is not None:
            answer.stopped = True
            if answer.status is not None:
                self._finish(answer)

    def take_floor(self, now: float) -> None:
        """Give the floor to the user (push-to-talk pressed), until an event frees it or for 60 s."""
        self.floor.take(now, by_key=True)

    def free_floor(self) -> None:
        """Take the floor from the user for a reason that no event tells (capture lost)."""
        self.floor.free()

    def reconnected(self) -> None:
        """Start over on a new connection: what was in progress on the old one is owed again, without counting it."""
        self.floor.free()
        self.floor.keep_promise()
        self._active = None
        self._committed = 0
        self._retry_at = -math.inf
        asked, self._asked = self._asked, None
        if asked is not None:
            self._put_back(asked)
        for answer in list(self._answers.values()):
            if answer.status is None and not answer.heard and not answer.stopped:
                for request in answer.requests:
                    self._wait(request)
                answer.requests = []
            self._finish(answer)

    def item_acknowledged(self, item_id: str) -> None:
        """Note that the server has an item. `handle` does it for `conversation.item.added`, `.created` and `.done`."""
        if item_id in self._acknowledged:
            return
        self._acknowledged[item_id] = self._count
        if len(self._acknowledged) > _MAX_ACKNOWLEDGED:
            del self._acknowledged[next(iter(self._acknowledged))]
        for request in self._requests.values():
            if item_id in request.missing:
                request.missing.discard(item_id)
                request.ready = self._count

    def handle(self, event: ServerEvent, now: float) -> None:
        """Follow one server event.

        Args:
            event: Any event; most change nothing, none raises.
            now: When it came.
        """
        self._count += 1
        self.floor.handle(event, now)
        match event:
            case ResponseCreated(response=response):
                self._created(response, now)
            case ResponseDone(response=response):
                self._done(response)
            case Error(error=error):
                self._refused(error, now)
            case InputAudioBufferCommitted():
                self._committed = self._count if self.floor.create_response else 0
                self._committed_at = now
            case (
                ConversationItemAdded(item=item) | ConversationItemCreated(item=item) | ConversationItemDone(item=item)
            ):
                item_id = getattr(item, "id", None)
                if isinstance(item_id, str):
                    self.item_acknowledged(item_id)
            case _:
                if self._active is not None and getattr(event, "response_id", None) == self._active[0]:
                    self._active = (self._active[0], now)

    def poll(self, now: float) -> list[Action]:
        """Take everything that is to be done at this time.

        Args:
            now: The time.

        Returns:
            The actions, in the order in which they are to be done; each is given once.
        """
        asked = self._asked
        if asked is not None and now >= asked.since + _ANSWER_SECONDS:
            self._asked = None
            if not self._settle_by_rival(asked) and asked.recalled != "forgotten":
                self._give_up(asked.request, "unanswered")
        if self._active is not None and now >= self._active[1] + _QUIET_SECONDS:
            self._active = None
        if self._waiting and self._asked is None and now >= self._slot_free_at():
            request = self._waiting.pop(0)
            self._count += 1
            self._asked = _Asked(request, self._count, now)
            self._actions.append(Ask(request.id))
        actions, self._actions = self._actions, []
        return actions

    # inside

    def _slot_free_at(self) -> float:
        """From when on something may be asked for, as far as is known."""
        quiet = -math.inf if self._active is None else self._active[1] + _QUIET_SECONDS
        return max(self.floor.deadline, self._retry_at, quiet)

    def _created(self, response: Response, now: float) -> None:
        response_id = response.id
        if not isinstance(response_id, str) or response_id in self._answers:
            return
        tag = response.metadata.get(METADATA_KEY) if isinstance(response.metadata, dict) else None
        self._echoes = self._echoes or tag is not None
        asked = self._asked
        out_of_band = response.conversation_id is None
        by_order = not (tag is not None or out_of_band or self._echoes or self._turn_is_unanswered(now))
        own = asked is not None and (tag == asked.request.id or by_order)
        if out_of_band and not own:
            return  # it settles nothing and occupies nothing
        answer = self._answers[response_id] = _Answer(response_id, own)
        self._active = (response_id, now)
        self._forget_old_answers()
        if asked is not None and own:
            self._asked = None
            self._guess = (asked, answer) if by_order else None
            self._answer_ours(answer, asked)
        elif tag is None:
            self.floor.keep_promise()
            self._answer_by_vad(answer)

    def _turn_is_unanswered(self, now: float) -> bool:
        """Whether turn detection is likely to have made a response that did not come yet."""
        return self.floor.is_promised(now) or (self._committed > 0 and now < self._committed_at + _ANSWER_SECONDS)

    def _answer_ours(self, answer: _Answer, asked: _Asked) -> None:
        if asked.recalled in ("again", "forgotten"):
            answer.stopped = True
            if asked.recalled == "again":
                self._wait(asked.request)
            self._actions.append(CancelResponse(answer.id))
            return
        self._settle(asked.request, answer)
        if asked.recalled:
            answer.stopped = True
            self._actions.append(CancelResponse(answer.id))
        elif not asked.request.overrides:
            for request in tuple(self._waiting):
                if not request.overrides and not request.missing and request.number < asked.number:
                    self._waiting.remove(request)
                    self._settle(request, answer)

    def _answer_by_vad(self, answer: _Answer) -> None:
        committed, self._committed = self._committed, 0
        for request in tuple(self._waiting):
            if _covered(request, committed):
                self._waiting.remove(request)
                self._settle(request, answer)
        if self._asked is not None and _covered(self._asked.request, committed):
            self._asked.rival = answer

    def _done(self, response: Response) -> None:
        answer = self._answers.get(response.id) if isinstance(response.id, str) else None
        if answer is None and response.conversation_id is None:
            return  # out of band
        self._retry_at = -math.inf
        if self._active is not None and self._active[0] == response.id:
            self._active = None
        if answer is not None and answer.status is None:
            answer.status = response.status if isinstance(response.status, str) else "completed"
            self._judge(answer)

    def _refused(self, error: ErrorDetails, now: float) -> None:
        if self._retract(error):
            return
        asked = self._asked
        if asked is None:
            return
        named = isinstance(error.event_id, str) and asked.event_id is not None
        if named and error.event_id != asked.event_id:
            return  # it answers something else
        if error.code == ALREADY_ACTIVE:
            self._asked = None
            self._rejected(asked, error, now)
        elif named:
            self._asked = None
            if asked.recalled != "forgotten":
                self._give_up(asked.request, "refused", error)

    def _rejected(self, asked: _Asked, error: ErrorDetails, now: float) -> None:
        if asked.recalled == "drop":
            self._give_up(asked.request, "interrupted", error)
        elif not self._settle_by_rival(asked):
            request = asked.request
            request.rejected_since = min(request.rejected_since, now)
            if self._active is not None:  # asking again waits for its end, and it lives
                self._active = (self._active[0], now)
            elif now >= request.rejected_since + _REJECTED_SECONDS and asked.recalled != "forgotten":
                self._give_up(request, "rejected", error)
                return
            else:
                self._retry_at = now + min(_LAST_BACKOFF, _FIRST_BACKOFF * 2.0**request.rejections)
                request.rejections += 1
            self._put_back(asked)

    def _retract(self, error: ErrorDetails) -> bool:
        """Take back what was settled by order alone, when an error to our create tells that it is another's."""
        if self._guess is None or not isinstance(error.event_id, str) or error.event_id != self._guess[0].event_id:
            return False
        (asked, answer), self._guess = self._guess, None
        requests, answer.requests = answer.requests, []
        for request in requests:
            if request is asked.request and error.code != ALREADY_ACTIVE:
                self._give_up(request, "refused", error)
            else:
                self._actions.append(OwedAgain(request.id, answer.id, "rejected"))
                self._wait(request)
        return True

    def _settle_by_rival(self, asked: _Asked) -> bool:
        rival = asked.rival
        if rival is None or asked.recalled in ("drop", "forgotten") or _came_to_nothing(rival):
            return False
        self._settle(asked.request, rival)
        if rival.status is not None:
            self._judge(rival)
        return True

    def _settle(self, request: _Request, answer: _Answer) -> None:
        request.rejections = 0
        request.rejected_since = math.inf
        answer.requests.append(request)
        self._actions.append(Settled(request.id, answer.id))

    def _judge(self, answer: _Answer) -> None:
        """Decide what a response that is done means for the requests that it settled."""
        if not answer.stopped and _came_to_nothing(answer):
            reason = "failed" if answer.status == "failed" else "cancelled"
            for request in answer.requests:
                if request.again:
                    self._give_up(request, reason, response_id=answer.id)
                else:
                    request.again = True
                    self._actions.append(OwedAgain(request.id, answer.id, reason))
                    self._wait(request)
            answer.requests = []
        elif answer.status == "completed" and not (answer.heard or answer.stopped):
            return  # generated, but an interruption may still take it from the user
        self._finish(answer)

    def _finish(self, answer: _Answer) -> None:
        self._answers.pop(answer.id, None)
        for request in answer.requests:
            self._requests.pop(request.id, None)

    def _give_up(
        self, request: _Request, reason: str, error: ErrorDetails | None = None, response_id: str | None = None
    ) -> None:
        self._requests.pop(request.id, None)
        self._actions.append(GivenUp(request.id, reason, error, response_id))

    def _put_back(self, asked: _Asked) -> None:
        if asked.recalled not in ("drop", "forgotten"):
            self._wait(asked.request)
        elif asked.recalled == "drop":
            self._give_up(asked.request, "interrupted")

    def _wait(self, request: _Request) -> None:
        self._waiting.append(request)
        self._waiting.sort(key=lambda waiting: waiting.number)

    def _forget_old_answers(self) -> None:
        for answer in list(self._answers.values())[:-_MAX_ANSWERS]:
            self._finish(answer)


def _covered(request: _Request, committed: int) -> bool:
    """Whether a response to a turn that was committed then answers this request as well."""
    return not request.overrides and not request.missing and request.ready < committed


def _came_to_nothing(answer: _Answer) -> bool:
    """Whether a response is over without having been an answer to anybody."""
    return answer.status == "failed" or ((answer.status == "cancelled" or answer.cut) and not answer.heard)
