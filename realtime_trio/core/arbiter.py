"""The response arbiter: everything that wants an answer from the model asks here, and one request at a time goes out.

Deliberately elsewhere: whose floor it is (`core.floor`), the conversation's slot (`core.slot`), the records of what is
owed and what a response comes to (`core.replies`), sending (the session), what a response says.

Theory of operation. A *request* says that a reply is owed for a set of items. Its life is the table in
`core.request_states`, drawn in docs/states.md: owed, asked for when slot and floor are free, settled by the
`response.created` of its own create, and over when that was heard. A VAD response settles it too, if its turn was
committed after the items. A rejection ("already has an active response") never counts; a response that failed or was
cut before any of it was heard counts once.

What is not obvious: while one of ours is asked for, a VAD response may come first. Ours will then be rejected; only the
rejection tells so, and only then is it decided whether that VAD response (the *rival*) answers our items too or whether
to ask again. After a failure the reply is asked for once more: at once, when a rate limit has passed, or not at all
where it does not pass (`core.failures`).
"""

import math
from collections.abc import Collection

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
from .announced import Announced
from .asked import ALREADY_ACTIVE, Asked, retract, settle_by_rival
from .calls import ready_calls
from .failures import Limits
from .floor import Floor
from .life_signs import LifeSigns
from .replies import Answer, Replies, Request
from .slot import Slot

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

_REJECTED_SECONDS = 120.0  # rejected for so long by a response that shows no other sign of life


class Arbiter:
    """Who may speak, and when.

    After every call, take what `poll` gives, and poll again at `deadline`. Times are seconds of any steady clock.

    Args:
        answer_seconds: How long a create may go without an answer.

    Attributes:
        floor: Whose turn it is, and what the effective turn detection does by itself.
        life: When anything last came of each response.
    """

    def __init__(self, answer_seconds: float = 10.0) -> None:
        self.floor = Floor()
        self._answer_seconds = answer_seconds
        self._count = 0  # numbers events and requests in the order in which they came
        self._replies = Replies()
        self._asked: Asked | None = None
        self._guess: tuple[Asked, Answer] | None = None  # the last that was settled by order alone
        self.life = LifeSigns()
        self._slot = Slot(self.life)
        self._limits = Limits()
        self._announced = Announced()
        self._echoes = False  # the server was seen to echo metadata
        self._is_linked = True

    @property
    def active(self) -> str | None:
        """The id of the response that occupies the default conversation's slot."""
        return self._slot.response_id

    @property
    def asked(self) -> str | None:
        """The id of the request that is asked for and not created yet."""
        return None if self._asked is None else self._asked.request.id

    @property
    def rival(self) -> str | None:
        """The id of the response that may yet turn out to be the reply to what is asked for; it may be over by then."""
        return None if self._asked is None or self._asked.rival is None else self._asked.rival.id

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
        if not self._is_linked:
            return math.inf
        if self._asked is not None:
            return self._asked.since + self._answer_seconds
        if not self._replies.waiting:
            return math.inf
        return max(self._free_at(), min(request.expected_until for request in self._replies.waiting))

    # what the session wants

    def owe(
        self,
        request_id: str,
        *,
        items: Collection[str] = (),
        overrides: bool = False,
        expected_until: float = -math.inf,
    ) -> None:
        """Note that a reply is owed. Call it once the items were handed to the writer: creates keep their order.

        Args:
            request_id: A new name for it, at most 512 characters.
            items: The ids of the items that the reply is to take into account.
            overrides: Whether the response is to have parameters of its own; then no other response settles it.
            expected_until: The server may answer by itself: until then it is not asked, and whatever response of the
                conversation it makes settles this.

        Raises:
            ValueError: That name is in use.
        """
        self._count += 1
        self._replies.owe(request_id, self._count, items, overrides=overrides, expected_until=expected_until)

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
        self._replies.forget(request_id)

    def recall(self, *, again: bool) -> str | None:
        """Cancel what is asked for and not created yet, as soon as it is created.

        Args:
            again: Owe it again then (the user spoke first), or settle it with that (the program said stop).

        Returns:
            The request that this is about, if there is one.
        """
        if self._asked is None:
            return None
        request = self._asked.request
        state = self._replies.move(request, "user spoke" if again else "program stopped")
        return None if state == "abandoned" else request.id

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

    def lose_link(self, now: float, answered: Collection[str] = ()) -> bool:
        """Note that the link is lost: nothing is asked for, and nothing times out, until `regain_link`.

        What was asked for, or being answered, is owed again, without counting it.

        Args:
            now: When.
            answered: The responses that were being generated and are the reply all the same.

        Returns:
            Whether there is a turn of the user's that turn detection was to answer, so that no request is about it.
        """
        announced, self._announced = self._announced, Announced()
        is_unanswered = self.floor.is_promised(now) or (announced.is_open and announced.is_likely(now))
        self._is_linked = False
        self.floor.lose_link()
        self.life.lose_link()
        self._slot.empty()
        asked, self._asked = self._asked, None
        if asked is not None:
            rival = asked.rival
            is_over = rival is not None and (rival.status is not None or rival.id in answered)
            if not (is_over and settle_by_rival(asked, self._replies)):
                self._replies.move(asked.request, "link lost")
        return self._replies.lose_link(answered) or is_unanswered

    def regain_link(self, now: float) -> None:
        """Note that there is a new link, on which what is owed may be asked for."""
        self._is_linked = True
        self.floor.regain_link(now)

    def is_stopped(self, response_id: str) -> bool:
        """Whether the program itself ended a response that is not done, or nobody wants it."""
        answer = self._replies.answers.get(response_id)
        return answer is not None and answer.stopped

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
        self.life.handle(event, now)
        self.floor.handle(event, now)
        self._limits.handle(event, now)
        match event:
            case ResponseCreated(response=response):
                self._created(response, now)
            case ResponseDone(response=response):
                self._done(response, now)
            case Error(error=error):
                self._refused(error, now)
            case InputAudioBufferCommitted():
                self.item_acknowledged(event.item_id)
                self._announced.commit(self._count if self.floor.detection.creates else 0, now)
            case ConversationItemAdded() | ConversationItemCreated() | ConversationItemDone():
                if isinstance(added := getattr(event.item, "id", None), str):
                    self.item_acknowledged(added)

    def poll(self, now: float) -> list[Action]:
        """Take everything that is to be done at this time.

        Args:
            now: The time.

        Returns:
            The actions, in the order in which they are to be done, each once.
        """
        if not self._is_linked:
            return self._replies.take_actions()
        asked = self._asked
        if asked is not None and now >= asked.since + self._answer_seconds:
            self._asked = None
            if not settle_by_rival(asked, self._replies):
                self._replies.move(asked.request, "unanswered")
        self.floor.pass_time(now)
        self._slot.pass_time(now)
        request = next((one for one in self._replies.waiting if now >= one.expected_until), None)
        if request is not None and self._asked is None and now >= self._free_at():
            self._replies.move(request, "its turn came")
            self._count += 1
            self._asked = Asked(request, self._count, now)
            self._replies.actions.append(Ask(request.id))
        return self._replies.take_actions()

    # inside

    def _free_at(self) -> float:
        """From when on something may be asked for, as far as is known."""
        return max(self.floor.deadline, self._slot.free_at, self._limits.until)

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
        self._announced.is_open = False
        answer = self._replies.answer(response_id, own=own or tag is not None)
        self._slot.take(response_id)
        if asked is not None and own:
            self._asked = None
            self._guess = (asked, answer) if by_order else None
            self._answer_ours(answer, asked)
        elif tag is None:
            self.floor.keep_promise()
            self._answer_by_vad(answer)

    def _turn_is_unanswered(self, now: float) -> bool:
        """Whether turn detection is likely to have made a response that did not come yet."""
        return self.floor.is_promised(now) or self._announced.is_likely(now)

    def _answer_ours(self, answer: Answer, asked: Asked) -> None:
        wanted = asked.request.state == "asked"
        self._replies.settle(asked.request, "created", answer)
        if not wanted:
            answer.stopped = True
            self._replies.actions.append(CancelResponse(answer.id))
        elif not asked.request.overrides:
            self._replies.settle_waiting(answer, lambda request: request.number < asked.number)

    def _answer_by_vad(self, answer: Answer) -> None:
        committed = self._announced.take()

        def answers(request: Request) -> bool:
            return request.by_any or request.ready < committed

        self._replies.settle_waiting(answer, answers)
        if self._asked is not None and self._asked.request.may_share and answers(self._asked.request):
            self._asked.rival = answer

    def _done(self, response: Response, now: float) -> None:
        answer = self._replies.answers.get(response.id) if isinstance(response.id, str) else None
        if answer is None and response.conversation_id is None:
            return  # out of band
        self._slot.leave(response.id or None)
        if answer is not None and answer.status is None:
            answer.status = response.status if isinstance(response.status, str) else "completed"
            if answer.status == "failed":
                answer.is_final = not self._limits.failed(response, now)
                answer.has_calls = bool(ready_calls(response))
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
            put_off = self._limits.refused(error, now) and asked.request.state in ("asked", "recalled")
            if put_off and not asked.request.again:
                asked.request.again = True
                self._replies.move(asked.request, "put off")
            else:
                self._replies.move(asked.request, "refused", error=error)

    def _rejected(self, asked: Asked, error: ErrorDetails, now: float) -> None:
        if settle_by_rival(asked, self._replies):
            return
        request = asked.request
        self._slot.rejected(request.rejections, now)
        request.rejected_since = min(request.rejected_since, now)
        request.rejections += self.active is None
        too_long = self.active is None and now >= request.rejected_since + _REJECTED_SECONDS
        if too_long and request.state in ("asked", "recalled"):
            self._replies.move(request, "rejected for too long", error=error)
        else:
            self._replies.move(request, "rejected", error=error)

    def _retract(self, error: ErrorDetails) -> bool:
        """Take back what was settled by order alone, when an error to our create tells that it is another's."""
        if self._guess is None or not isinstance(error.event_id, str) or error.event_id != self._guess[0].event_id:
            return False
        (asked, answer), self._guess = self._guess, None
        retract(asked, answer, error, self._replies)
        return True
