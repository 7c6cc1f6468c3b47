"""What is owed, and what a response comes to for the requests that it settles.

A request is owed, settled by a response, and over when that was heard. If it failed, or was cut before any of it was
heard, the request is owed again, once. Who may ask, and when, is in `core.arbiter`, with the theory of both.
"""

import math
from collections.abc import Callable, Collection

import attrs

from realtime_trio.events import ErrorDetails

from .actions import Action, CancelResponse, GivenUp, OwedAgain, Settled

__all__ = ["Answer", "Replies", "Request"]

_MAX_ANSWERS = 64
_MAX_ACKNOWLEDGED = 1024


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

    @property
    def may_share(self) -> bool:
        """Whether a response that was made for somebody else can answer it as well."""
        return not self.overrides and not self.missing


@attrs.define(eq=False)
class Answer:
    """A response of the default conversation, and the requests that it settles."""

    id: str
    own: bool
    requests: list[Request] = attrs.Factory(list)
    status: str | None = None  # None until it is done
    heard: bool = False
    cut: bool = False  # interrupted here, whatever the server says became of it
    stopped: bool = False  # the program itself ended it

    @property
    def came_to_nothing(self) -> bool:
        """Whether it is over without having been an answer to anybody."""
        return self.status == "failed" or ((self.status == "cancelled" or self.cut) and not self.heard)


class Replies:
    """The requests of a session, from being owed to being over.

    Attributes:
        waiting: The requests that wait to be asked for, in that order.
        answers: The responses that may still change what is owed, by id.
        actions: What the session is to do or to be told.
    """

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.waiting: list[Request] = []
        self.answers: dict[str, Answer] = {}
        self.actions: list[Action] = []
        self._acknowledged: dict[str, int] = {}

    def take_actions(self) -> list[Action]:
        """Return what is to be done, each action once."""
        actions, self.actions = self.actions, []
        return actions

    def owe(self, request_id: str, number: int, items: Collection[str], *, overrides: bool) -> None:
        """Note a new request; see `Arbiter.owe`.

        Raises:
            ValueError: That name is in use.
        """
        if request_id in self.requests:
            raise ValueError(f"a reply is owed already under the name {request_id!r}")
        missing = set(items).difference(self._acknowledged)
        ready = number if missing or not items else max(self._acknowledged[item] for item in items)
        request = Request(request_id, number, overrides, missing, ready)
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

    def forget(self, request_id: str) -> Request | None:
        """Drop a request; a response of ours that nobody else wants is cancelled. Returns the request, if known."""
        request = self.requests.pop(request_id, None)
        if request is None:
            return None
        if request in self.waiting:
            self.waiting.remove(request)
        for answer in self.answers.values():
            if request in answer.requests:
                answer.requests.remove(request)
                if answer.own and not answer.requests and answer.status is None:
                    answer.stopped = True
                    self.actions.append(CancelResponse(answer.id))
        return request

    def wait(self, request: Request) -> None:
        """Owe a request again, at its old place."""
        self.waiting.append(request)
        self.waiting.sort(key=lambda waiting: waiting.number)

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

    def lose_link(self) -> None:
        """Owe again what was being answered on a link that is gone."""
        for answer in list(self.answers.values()):
            if answer.status is None and not answer.heard and not answer.stopped:
                for request in answer.requests:
                    self.wait(request)
                answer.requests = []
            self._finish(answer)

    def settle_waiting(self, answer: Answer, covered: Callable[[Request], bool]) -> None:
        """Settle by a response the waiting requests that it answers as well."""
        for request in tuple(self.waiting):
            if request.may_share and covered(request):
                self.waiting.remove(request)
                self.settle(request, answer)

    def settle(self, request: Request, answer: Answer) -> None:
        """Note that a response is the reply to a request."""
        request.rejections = 0
        request.rejected_since = math.inf
        answer.requests.append(request)
        self.actions.append(Settled(request.id, answer.id))

    def judge(self, answer: Answer) -> None:
        """Decide what a response that is done means for the requests that it settled."""
        if not answer.stopped and answer.came_to_nothing:
            reason = "failed" if answer.status == "failed" else "cancelled"
            for request in answer.requests:
                if request.again:
                    self.give_up(request, reason, response_id=answer.id)
                else:
                    request.again = True
                    self.actions.append(OwedAgain(request.id, answer.id, reason))
                    self.wait(request)
            answer.requests = []
        elif answer.status == "completed" and not (answer.heard or answer.stopped):
            return  # generated, but an interruption may still take it from the user
        self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        self.answers.pop(answer.id, None)
        for request in answer.requests:
            self.requests.pop(request.id, None)

    def give_up(
        self, request: Request, reason: str, error: ErrorDetails | None = None, response_id: str | None = None
    ) -> None:
        """Tell the asker that no reply will come."""
        self.requests.pop(request.id, None)
        self.actions.append(GivenUp(request.id, reason, error, response_id))
