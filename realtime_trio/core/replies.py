"""What is owed, and what a response comes to for the requests that it settles.

A request is owed, settled by a response, and over when that was heard. If it failed, or was cut before any of it was
heard, the request is owed again, once; not where the failure is of a kind that does not pass. All of its states are in
`core.request_states`. Who may ask, and when, is in `core.arbiter`, with the theory of both.
"""

import math
from collections.abc import Callable, Collection

import attrs

from realtime_trio.events import ErrorDetails

from .actions import Action, CancelResponse, GivenUp, OwedAgain, Settled
from .request_states import ENDS, FIRST, TRANSITIONS, State, Trigger

__all__ = ["Answer", "Replies", "Request"]

_MAX_ANSWERS = 64
_MAX_ACKNOWLEDGED = 1024

_REASONS: dict[Trigger, str] = {
    "rejected for too long": "rejected",
    "refused": "refused",
    "unanswered": "unanswered",
    # what else gives a request up is what it was stopped for
    "rejected": "interrupted",
    "link lost": "interrupted",
}


@attrs.define(eq=False)
class Request:
    """Somebody's wish for a reply."""

    id: str
    number: int  # when it was owed first; also the order in which requests are asked for
    overrides: bool
    missing: set[str]  # items that the server did not acknowledge yet
    ready: int  # when the last item was acknowledged
    again: bool = False  # its settling response came to nothing once
    rejections: int = 0
    rejected_since: float = math.inf
    state: State = FIRST
    expected_until: float = -math.inf  # until then the server may answer by itself, and whatever it makes is an answer

    @property
    def may_share(self) -> bool:
        """Whether a response that was made for somebody else can answer it as well."""
        return (self.by_any or not self.overrides) and not self.missing

    @property
    def by_any(self) -> bool:
        """Whether any response that is created from now on answers it."""
        return self.expected_until > -math.inf


@attrs.define(eq=False)
class Answer:
    """A response of the default conversation, and the requests that it settles."""

    id: str
    own: bool  # asked for by a create, and not by turn detection
    requests: list[Request] = attrs.Factory(list)
    status: str | None = None  # None until it is done
    heard: bool = False
    cut: bool = False  # interrupted here, whatever the server says became of it
    stopped: bool = False  # the program itself ended it
    has_calls: bool = False  # it failed after a function call was complete: that runs, and its output gets the reply
    is_final: bool = False  # it failed, and asking again makes no sense

    @property
    def came_to_nothing(self) -> bool:
        """Whether it is over without having been an answer to anybody."""
        if self.status == "failed":
            return not self.has_calls
        return (self.status == "cancelled" or self.cut) and not self.heard


class Replies:
    """The requests of a session, from being owed to being over.

    Attributes:
        waiting: The requests that wait to be asked for, in that order.
        answers: The responses that may still change what is owed, by id.
        actions: What the session is to do or to be told.
        impossible: Moves that the table does not have: bugs of ours, which leave a request as it is and are for the
            tests to find.
    """

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.waiting: list[Request] = []
        self.answers: dict[str, Answer] = {}
        self.actions: list[Action] = []
        self.impossible: set[tuple[State, Trigger]] = set()
        self._acknowledged: dict[str, int] = {}

    def take_actions(self) -> list[Action]:
        """Return what is to be done, each action once."""
        actions, self.actions = self.actions, []
        return actions

    def owe(
        self,
        request_id: str,
        number: int,
        items: Collection[str],
        *,
        overrides: bool,
        expected_until: float = -math.inf,
    ) -> None:
        """Note a new request; see `Arbiter.owe`.

        Raises:
            ValueError: That name is in use.
        """
        if request_id in self.requests:
            raise ValueError(f"a reply is owed already under the name {request_id!r}")
        missing = set(items).difference(self._acknowledged)
        ready = number if missing or not items else max(self._acknowledged[item] for item in items)
        request = Request(request_id, number, overrides, missing, ready, expected_until=expected_until)
        self.requests[request_id] = request
        self.waiting.append(request)

    def acknowledge(self, item_id: str, number: int) -> None:
        """Note that the server has an item."""
        if item_id in self._acknowledged:
            return
        self._acknowledged[item_id] = number
        if len(self._acknowledged) > _MAX_ACKNOWLEDGED:
            del self._acknowledged[next(iter(self._acknowledged))]
        for request in self.requests.values():
            if item_id in request.missing:
                request.missing.discard(item_id)
                request.ready = number

    def move(
        self,
        request: Request,
        trigger: Trigger,
        *,
        reason: str = "",
        error: ErrorDetails | None = None,
        response_id: str | None = None,
    ) -> State:
        """Let something happen to a request: its state changes as the table says, and the books with it.

        Args:
            request: Which.
            trigger: What happens.
            reason: Why there is no reply, should that be what it comes to; where the trigger does not say it.
            error: What the server said, likewise.
            response_id: The response that came to nothing, likewise.

        Returns:
            The state after it.
        """
        before = request.state
        after = TRANSITIONS.get((before, trigger))
        if after is None:
            self.impossible.add((before, trigger))
            return before
        request.state = after
        if after != before and before == "owed":
            self.waiting.remove(request)
        if after != before and after == "owed":  # at its old place
            self.waiting.append(request)
            self.waiting.sort(key=lambda waiting: waiting.number)
        if after in ENDS:
            self.requests.pop(request.id, None)
        if after == "given up":
            self.actions.append(GivenUp(request.id, reason or _REASONS[trigger], error, response_id))
        return after

    def forget(self, request_id: str) -> None:
        """Note that nobody waits for a request; a response of ours that nobody else wants is cancelled."""
        request = self.requests.get(request_id)
        if request is None:
            return
        self.move(request, "asker left")
        for answer in self.answers.values():
            if request in answer.requests:
                answer.requests.remove(request)
                if answer.own and not answer.requests and answer.status is None:
                    answer.stopped = True
                    self.actions.append(CancelResponse(answer.id))

    def answer(self, response_id: str, *, own: bool) -> Answer:
        """Note a new response. The oldest are let go of when there are too many."""
        answer = self.answers[response_id] = Answer(response_id, own)
        for old in list(self.answers.values())[:-_MAX_ANSWERS]:
            self._finish(old)
        return answer

    def heard(self, response_id: str) -> None:
        """Note that some of a response was heard, or its text delivered."""
        answer = self.answers.get(response_id)
        if answer is not None:
            answer.heard = True
            if answer.status is not None:
                self._finish(answer)

    def interrupted(self, response_id: str) -> None:
        """Note that the user's interruption cut a response."""
        answer = self.answers.get(response_id)
        if answer is not None:
            answer.cut = True
            if answer.status is not None:
                self.judge(answer)

    def stop(self, response_id: str) -> None:
        """Note that the program itself ended a response."""
        answer = self.answers.get(response_id)
        if answer is not None:
            answer.stopped = True
            if answer.status is not None:
                self._finish(answer)

    def lose_link(self, answered: Collection[str]) -> bool:
        """Owe again what was being answered on a link that is gone. What was generated may yet be heard.

        Args:
            answered: The responses that were not done and are the reply all the same.

        Returns:
            Whether a response of turn detection is lost to which no request was settled.
        """
        is_unanswered = False
        for answer in [one for one in self.answers.values() if one.status is None]:
            if not (answer.stopped or answer.id in answered or (answer.cut and answer.heard)):
                is_unanswered = is_unanswered or not (answer.own or answer.requests or answer.cut)
                requests, answer.requests = answer.requests, []
                for request in requests:
                    self.owe_again(request, "link lost", answer, "link lost")
            self._finish(answer)
        return is_unanswered

    def settle_waiting(self, answer: Answer, covered: Callable[[Request], bool]) -> None:
        """Settle by a response the waiting requests that it answers as well."""
        for request in tuple(self.waiting):
            if request.may_share and covered(request):
                self.settle(request, "shared", answer)

    def settle(self, request: Request, trigger: Trigger, answer: Answer) -> bool:
        """Note that a response was created that may be the reply to a request. Returns whether it is."""
        if self.move(request, trigger) != "settled":
            return False
        request.rejections = 0
        request.rejected_since = math.inf
        answer.requests.append(request)
        self.actions.append(Settled(request.id, answer.id))
        return True

    def judge(self, answer: Answer) -> None:
        """Decide what a response that is done means for the requests that it settled."""
        if not answer.stopped and answer.came_to_nothing:
            reason = "failed" if answer.status == "failed" else "cancelled"
            requests, answer.requests = answer.requests, []
            for request in requests:
                if request.again or answer.is_final:
                    self.move(request, "came to nothing for good", reason=reason, response_id=answer.id)
                else:
                    request.again = True
                    self.owe_again(request, "came to nothing", answer, reason)
        elif answer.status == "completed" and not (answer.heard or answer.stopped):
            return  # generated, but an interruption may still take it from the user
        self._finish(answer)

    def owe_again(self, request: Request, trigger: Trigger, answer: Answer, reason: str) -> None:
        """Note that a response is not the reply to a request after all."""
        self.actions.append(OwedAgain(request.id, answer.id, reason))
        self.move(request, trigger)

    def _finish(self, answer: Answer) -> None:
        self.answers.pop(answer.id, None)
        for request in answer.requests:
            self.move(request, "answered")
        answer.requests = []
