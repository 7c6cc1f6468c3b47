"""The response arbiter: everything that wants an answer from the model asks here, and one request at a time goes out.

Deliberately elsewhere: whose floor it is (`core.floor`), the records of what is owed and what a response comes to
(`core.replies`), sending (the session), what a response says.

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
from .replies import Answer, Replies, Request

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


@attrs.define(eq=False)
class _Asked:
    request: Request
    number: int
    since: float
    event_id: str | None = None
    recalled: str = ""  # "": wanted; "again": cancel on created, owe again; "drop": cancel on created; "forgotten"
    rival: Answer | None = None


class Arbiter:
    """Who may speak, and when.

    After every call, take what `poll` gives, and poll again at `deadline`. Times are seconds of any steady clock.

    Args:
        answer_seconds: How long a create may go without an answer.

    Attributes:
        floor: Whose turn it is, and what the effective turn detection does by itself.
    """

    def __init__(self, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self.floor = Floor()
        self._answer_seconds = answer_seconds
        self._count = 0  # numbers events and requests in the order in which they came
        self._replies = Replies()
        self._asked: _Asked | None = None
        self._guess: tuple[_Asked, Answer] | None = None  # the last that was settled by order alone
        self._active: tuple[str, float] | None = None  # the response in the slot, and when anything came of it
        self._retry_at = -math.inf
        self._committed = 0  # the last commit that announces a response and got none yet
        self._committed_at = -math.inf
        self._echoes = False  # the server was seen to echo metadata

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
        return tuple(request.id for request in self._replies.waiting)

    @property
    def idle(self) -> bool:
        """Whether no reply is owed and none is asked for."""
        return not self._replies.waiting and self._asked is None

    @property
    def deadline(self) -> float:
        """When to poll again if nothing happens before: -inf for at once, inf for never."""
        if self._replies.actions:
            return -math.inf
        if self._asked is not None:
            return self._asked.since + self._answer_seconds
        if not self._replies.waiting:
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
        self._count += 1
        self._replies.owe(request_id, self._count, items, overrides=overrides)

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
        request = self._replies.forget(request_id)
        if self._asked is not None and self._asked.request is request:
            self._asked.recalled = "forgotten"

    def recall(self, *, again: bool) -> str | None:
        """Cancel what is asked for and not created yet, as soon as it is created.

        Args:
            again: Owe it again then (the user spoke first), or settle it with that (the program said stop).

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
        self._replies.heard(response_id)

    def interrupted(self, response_id: str) -> None:
        """Note that the user's interruption cut a response: if none of it was heard, its replies are owed again."""
        self._replies.interrupted(response_id)

    def stop(self, response_id: str) -> None:
        """Note that the program itself ended a response: whatever was heard of it, nothing is owed again."""
        self._replies.stop(response_id)

    def take_floor(self, now: float) -> None:
        """Give the floor to the user (push-to-talk pressed), until the key is released."""
        self.floor.take(now, by_key=True)

    def hold_floor(self, now: float) -> None:
        """Keep the floor for the user, who has spoken, until the turn is committed, or for 60 s."""
        self.floor.take(now)

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
        self._replies.lose_link()

    def item_acknowledged(self, item_id: str) -> None:
        """Note that the server has an item. `handle` does it for `conversation.item.added`, `.created` and `.done`."""
        self._replies.acknowledge(item_id, self._count)

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
                self.item_acknowledged(event.item_id)
                self._committed = self._count if self.floor.detection.creates else 0
                self._committed_at = now
            case ConversationItemAdded() | ConversationItemCreated() | ConversationItemDone():
                if isinstance(added := getattr(event.item, "id", None), str):
                    self.item_acknowledged(added)
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
        if asked is not None and now >= asked.since + self._answer_seconds:
            self._asked = None
            if not self._settle_by_rival(asked) and asked.recalled != "forgotten":
                self._replies.give_up(asked.request, "unanswered")
        if self._active is not None and now >= self._active[1] + _QUIET_SECONDS:
            self._active = None
        if self._replies.waiting and self._asked is None and now >= self._slot_free_at():
            request = self._replies.waiting.pop(0)
            self._count += 1
            self._asked = _Asked(request, self._count, now)
            self._replies.actions.append(Ask(request.id))
        return self._replies.take_actions()

    # inside

    def _slot_free_at(self) -> float:
        """From when on something may be asked for, as far as is known."""
        quiet = -math.inf if self._active is None else self._active[1] + _QUIET_SECONDS
        return max(self.floor.deadline, self._retry_at, quiet)

    def _created(self, response: Response, now: float) -> None:
        response_id = response.id
        if not isinstance(response_id, str) or response_id in self._replies.answers:
            return
        tag = response.metadata.get(METADATA_KEY) if isinstance(response.metadata, dict) else None
        self._echoes = self._echoes or tag is not None
        asked = self._asked
        out_of_band = response.conversation_id is None
        by_order = not (tag is not None or out_of_band or self._echoes or self._turn_is_unanswered(now))
        own = asked is not None and (tag == asked.request.id or by_order)
        if out_of_band and not own:
            return  # it settles nothing and occupies nothing
        answer = self._replies.answer(response_id, own=own)
        self._active = (response_id, now)
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

    def _answer_ours(self, answer: Answer, asked: _Asked) -> None:
        if asked.recalled in ("again", "forgotten"):
            answer.stopped = True
            if asked.recalled == "again":
                self._replies.wait(asked.request)
            self._replies.actions.append(CancelResponse(answer.id))
            return
        self._replies.settle(asked.request, answer)
        if asked.recalled:
            answer.stopped = True
            self._replies.actions.append(CancelResponse(answer.id))
        elif not asked.request.overrides:
            self._replies.settle_waiting(answer, lambda request: request.number < asked.number)

    def _answer_by_vad(self, answer: Answer) -> None:
        committed, self._committed = self._committed, 0
        self._replies.settle_waiting(answer, lambda request: request.ready < committed)
        if self._asked is not None and self._asked.request.may_share and self._asked.request.ready < committed:
            self._asked.rival = answer

    def _done(self, response: Response) -> None:
        answer = self._replies.answers.get(response.id) if isinstance(response.id, str) else None
        if answer is None and response.conversation_id is None:
            return  # out of band
        self._retry_at = -math.inf
        if self._active is not None and self._active[0] == response.id:
            self._active = None
        if answer is not None and answer.status is None:
            answer.status = response.status if isinstance(response.status, str) else "completed"
            self._replies.judge(answer)

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
                self._replies.give_up(asked.request, "refused", error)

    def _rejected(self, asked: _Asked, error: ErrorDetails, now: float) -> None:
        if asked.recalled == "drop":
            self._replies.give_up(asked.request, "interrupted", error)
        elif not self._settle_by_rival(asked):
            request = asked.request
            request.rejected_since = min(request.rejected_since, now)
            if self._active is not None:  # asking again waits for its end, and it lives
                self._active = (self._active[0], now)
            elif now >= request.rejected_since + _REJECTED_SECONDS and asked.recalled != "forgotten":
                self._replies.give_up(request, "rejected", error)
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
                self._replies.give_up(request, "refused", error)
            else:
                self._replies.actions.append(OwedAgain(request.id, answer.id, "rejected"))
                self._replies.wait(request)
        return True

    def _settle_by_rival(self, asked: _Asked) -> bool:
        rival = asked.rival
        if rival is None or asked.recalled in ("drop", "forgotten") or rival.came_to_nothing:
            return False
        self._replies.settle(asked.request, rival)
        if rival.status is not None:
            self._replies.judge(rival)
        return True

    def _put_back(self, asked: _Asked) -> None:
        if asked.recalled not in ("drop", "forgotten"):
            self._replies.wait(asked.request)
        elif asked.recalled == "drop":
            self._replies.give_up(asked.request, "interrupted")
