"""When a reply is owed to the outcome of hosted MCP calls.

Theory of operation. OpenAI's guide shows the model's words on a call in the response that made the call, after it. Its
own example for Ruby, and users' reports, show the other order: the response is done, the call ends (after an approval
that may be much later), nothing more comes, and the client has to ask. A server may also go on by itself, in a new
response. What is safe with all three:

* a response that has an assistant's message behind its last call has spoken on them: nothing is owed;
* else one reply is owed, when all its calls are over: they ended, or were refused (the model is to hear that, too);
* any response of the conversation that is created after that has the outcomes before it, whoever asked for it, and
  settles what is owed. The session gives the server a moment (`FOLLOW_UP_SECONDS`) to make one by itself.

A response with function calls beside is left to the reply that their outputs get.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from realtime_trio.events import (
    McpApprovalRequest,
    McpCall,
    Message,
    Response,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)

from .calls import ready_calls
from .mcp_calls import Approval, Call, Calls

__all__ = ["FOLLOW_UP_SECONDS", "McpReplies", "McpReply", "ReplyContinued", "ReplyOwed", "ReplyPending"]

FOLLOW_UP_SECONDS = 0.5
"""How long a server is given to go on by itself after a call, before the session asks.

Too short, and both ask: the arbiter sees that the server's response settles it, and withdraws. Too long, and every
call costs that much silence, with a server that waits to be asked.
"""

_MOST_TURNS = 256


@attrs.frozen
class ReplyPending:
    """The calls of a response that is done are not over. What follows is about the same response."""

    response_id: str


@attrs.frozen
class ReplyOwed:
    """The calls of a response are over, and nothing was said on them."""

    response_id: str


@attrs.frozen
class ReplyContinued:
    """What a response had to wait for went on in another response, which has not ended."""

    response_id: str
    by: str


McpReply: TypeAlias = ReplyPending | ReplyOwed | ReplyContinued


class McpReplies:
    """What is owed to hosted calls, by the responses that made them.

    Args:
        calls: The calls; it has to have followed an event before it is handled here.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._active: dict[str, None] = {}  # responses of the conversation that are not done
        self._done: dict[str, None] = {}  # and those that are: a response.done that is told twice is one
        self._turns: dict[str, set[str]] = {}  # responses that are done: the calls and approvals they wait for

    def handle(self, event: ServerEvent) -> list[McpReply]:
        """Follow one server event."""
        news: list[McpReply] = []
        match event:
            case ResponseCreated(response=response) if response.conversation_id is not None:
                if isinstance(response.id, str):
                    self._active[response.id] = None
                    _limit(self._active)
            case ResponseDone(response=response) if isinstance(response.id, str):
                self._active.pop(response.id, None)
                if response.conversation_id is not None and response.id not in self._done:
                    self._done[response.id] = None
                    _limit(self._done)
                    news += self._end(response.id, response)
        return news + self.review()

    def lose_link(self) -> list[McpReply]:
        """Note that the link is lost, after the calls have: no response goes on, and nothing more is waited for."""
        self._active.clear()
        return self.review()

    def review(self) -> list[McpReply]:
        """Look again at what is waited for: something was learnt of a call or an approval."""
        news: list[McpReply] = []
        for response_id, keys in list(self._turns.items()):
            open_keys = {key for key in keys if self._is_open(key)}
            by = next((other for key in open_keys if (other := self._continues_in(key, response_id))), None)
            if by is not None:
                del self._turns[response_id]
                news.append(ReplyContinued(response_id, by))
            elif not open_keys:
                del self._turns[response_id]
                news.append(ReplyOwed(response_id))
        return news

    def _end(self, response_id: str, response: Response) -> list[McpReply]:
        output = response.output if isinstance(response.output, list) else []
        keys = {call.id for call in self._calls.calls.values() if call.response_id == response_id}
        keys |= {one.request.id for one in self._calls.approvals.values() if one.response_id == response_id}
        last = -1
        for index, item in enumerate(output):
            if isinstance(item, McpCall | McpApprovalRequest):
                keys.add(item.id)
                last = index
        complete = response.status == "completed"
        if not complete:  # what was cut off with it is not waited for
            keys = {key for key in keys if key in self._calls.approvals}
        waiting = {key for key in keys if self._is_open(key)}
        if waiting:
            self._turns[response_id] = waiting
            _limit(self._turns)
            return [ReplyPending(response_id)] if complete else []
        spoken = any(isinstance(item, Message) for item in output[last + 1 :])
        if not keys or not complete or spoken or ready_calls(response):
            return []
        return [ReplyOwed(response_id)]

    def _is_open(self, key: str) -> bool:
        """Whether it is still to be seen what becomes of a call or of a request for approval."""
        approval = self._calls.approvals.get(key)
        if approval is None:
            call = self._calls.calls.get(key)
            return call is not None and not call.is_over
        if not approval.settled:
            return True
        return bool(approval.approved) and not any(call.is_over for call in self._about(approval))

    def _continues_in(self, key: str, response_id: str) -> str | None:
        """Find the response in which an approved call goes on, when it is not the one that asked for approval."""
        approval = self._calls.approvals.get(key)
        if approval is None or not approval.settled:
            return None
        homes = (call.response_id for call in self._about(approval))
        return next((home for home in homes if home != response_id and home in self._active), None)

    def _about(self, approval: Approval) -> Iterator[Call]:
        return (call for call in self._calls.calls.values() if approval.is_about(call))


def _limit(kept: dict[str, Any]) -> None:
    if len(kept) > _MOST_TURNS:
        del kept[next(iter(kept))]
