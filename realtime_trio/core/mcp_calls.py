"""The calls that OpenAI's server makes of hosted MCP servers' tools, and the approvals that it asks for."""

from typing import Any, TypeAlias

import attrs

from realtime_trio.events import (
    ConversationItemDeleted,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ServerEvent,
)

from .mcp import (
    ApprovalAsked,
    ApprovalSettled,
    McpCallFailed,
    McpCallFinished,
    McpCallStarted,
    McpHappening,
    items_of,
    words_of,
)

__all__ = ["Approval", "Call", "Calls"]

_CallEvent: TypeAlias = (
    ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
)

_LOST = "the link was lost: whether the tool did its work is not known"
_NOT_ASKED = "the link over which it asked for approval was lost: it was not made"
_MOST = 1024  # calls, and requests for approval, that are remembered


@attrs.define(eq=False)
class Call:
    """One `mcp_call` item, with what was said of it.

    Attributes:
        id: The item.
        server_label: Empty until the item itself was seen; so is `name`.
        response_id: Empty as long as nothing told of which response it is.
        approval_request_id: Empty when it needed none, or as long as that is not known.
    """

    id: str
    server_label: str = ""
    name: str = ""
    arguments: str = ""
    response_id: str = ""
    approval_request_id: str = ""
    output: str | None = None
    error: McpError | None = None
    in_progress: bool = False
    completed: bool = False
    failed: bool = False
    started_told: bool = False
    cut_told: bool = False
    end_told: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it has come to something, be it told or not."""
        return self.failed or self.completed or self.has_payload

    @property
    def has_payload(self) -> bool:
        """Whether it is known to what it came."""
        return self.output is not None or self.error is not None


@attrs.define(eq=False)
class Approval:
    """One request for approval.

    Attributes:
        request: The item, in the newest version that was seen.
        response_id: Of the response that it is part of; empty if nothing told.
        asked: Whether the client was asked.
        settled: Whether it needs no answer any more.
        approved: The answer, if it was given one.
        earlier: Calls of the same tool that were over when it was made: it is not about them.
    """

    request: McpApprovalRequest
    response_id: str = ""
    asked: bool = False
    settled: bool = False
    approved: bool | None = None
    earlier: frozenset[str] = frozenset()

    def is_about(self, call: Call) -> bool:
        """Whether it asks for this call. A server need not say so: then it is the next call of that tool."""
        if call.approval_request_id:
            return call.approval_request_id == self.request.id
        same = (call.server_label, call.name) == (self.request.server_label, self.request.name)
        return same and call.id not in self.earlier


class Calls:
    """The hosted calls of one session.

    Attributes:
        calls: The newest, by item.
        approvals: The newest, by item.
    """

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.approvals: dict[str, Approval] = {}
        self._early: dict[str, bool] = {}  # answers to requests that were not seen yet

    def handle(self, event: ServerEvent) -> list[McpHappening]:
        """Follow one server event.

        Returns:
            What it tells that was not known. Of each call: that it started, at most once; that it was cut off with its
            response, at most once; how it ended, at most once, and nothing after that. Each request for approval is
            asked and settled at most once, in that order.
        """
        news: list[McpHappening] = []
        for item, final, response_id in items_of(event):
            match item:
                case McpCall(id=call_id):
                    news += self._take_call(self._call(call_id, response_id), item)
                case McpApprovalRequest():
                    news += self._take_request(item, response_id, final=final)
                case McpApprovalResponse(approval_request_id=request_id, approve=approve):
                    news += self.settle(request_id, approved=approve)
        match event:
            case (
                ResponseMcpCallArgumentsDelta(item_id=item_id)
                | ResponseMcpCallArgumentsDone(item_id=item_id)
                | ResponseMcpCallInProgress(item_id=item_id)
                | ResponseMcpCallCompleted(item_id=item_id)
                | ResponseMcpCallFailed(item_id=item_id)
            ):
                news += self._follow_call(self._call(item_id), event)
            case ConversationItemDeleted(item_id=item_id) if item_id in self.approvals:
                news += self.settle(item_id, approved=None)
            case ResponseCreated() | ResponseDone():
                news += self._next_response(event)
        return news

    def _follow_call(self, call: Call, event: _CallEvent) -> list[McpHappening]:
        match event:
            case ResponseMcpCallArgumentsDelta(response_id=response_id):
                call.response_id = call.response_id or response_id
            case ResponseMcpCallArgumentsDone(response_id=response_id, arguments=arguments):
                call.response_id = call.response_id or response_id
                call.arguments = arguments
            case ResponseMcpCallInProgress():
                call.in_progress = True
            case ResponseMcpCallCompleted():
                call.completed = True
            case ResponseMcpCallFailed():
                call.failed = True
        return self._tell(call)

    def settle(self, request_id: str, *, approved: bool | None) -> list[McpHappening]:
        """Note that a request for approval is answered, or gone."""
        approval = self.approvals.get(request_id)
        if approval is None:
            if approved is not None:
                _keep(self._early, request_id, approved)
            return []
        if approval.settled:
            return []
        approval.settled, approval.approved = True, approved
        return [ApprovalSettled(request_id, approved)] if approval.asked else []

    def lose_link(self) -> list[McpHappening]:
        """Note that the link is lost: of no call more will be known, and no request can be answered."""
        news: list[McpHappening] = []
        for approval in self.approvals.values():
            request = approval.request
            if settled := self.settle(request.id, approved=None):
                news += settled
                news.append(McpCallFailed(request.id, request.server_label, request.name, None, _NOT_ASKED))
        for call in self.calls.values():
            if call.started_told and not (call.cut_told or call.end_told):
                news.append(McpCallFailed(call.id, call.server_label, call.name, None, _LOST))
            call.failed = call.started_told = call.cut_told = call.end_told = True
        return news

    def _call(self, item_id: str, response_id: str = "") -> Call:
        call = self.calls.get(item_id)
        if call is None:
            call = Call(item_id)
            _keep(self.calls, item_id, call)
        call.response_id = call.response_id or response_id
        return call

    def _take_call(self, call: Call, item: McpCall) -> list[McpHappening]:
        call.server_label, call.name = item.server_label, item.name
        if item.arguments:
            call.arguments = item.arguments
        if isinstance(item.approval_request_id, str):
            call.approval_request_id = item.approval_request_id
        if isinstance(item.output, str):
            call.output = item.output
        if item.error:
            call.error = item.error
        return self._tell(call)

    def _take_request(self, item: McpApprovalRequest, response_id: str, *, final: bool) -> list[McpHappening]:
        approval = self.approvals.get(item.id)
        if approval is None:
            over = frozenset(call.id for call in self.calls.values() if call.is_over)
            approval = Approval(item, earlier=over)
            _keep(self.approvals, item.id, approval)
        approval.response_id = approval.response_id or response_id
        if not approval.asked:
            approval.request = item
        if item.id in self._early:
            approval.settled, approval.approved = True, self._early.pop(item.id)
        return self._ask(approval) if final else []

    def _ask(self, approval: Approval) -> list[McpHappening]:
        if approval.asked or approval.settled:
            return []
        approval.asked = True
        return [ApprovalAsked(approval.request)]

    def _tell(self, call: Call, *, now: bool = False) -> list[McpHappening]:
        """Tell what is new of a call; `now` if its payload, which comes after the verdict, is not waited for."""
        news: list[McpHappening] = []
        named = bool(call.server_label and call.name)
        over = call.has_payload or (now and call.is_over)
        if named and (call.in_progress or over) and not (call.started_told or call.end_told):
            call.started_told = True
            news.append(McpCallStarted(call.id, call.server_label, call.name, call.arguments))
        if (call.in_progress or call.is_over) and call.approval_request_id:
            news += self.settle(call.approval_request_id, approved=True)
        if over and not call.end_told and (named or now):
            call.end_told = True
            if call.error is not None or (call.failed and call.output is None):
                words = words_of(call.error)
                news.append(McpCallFailed(call.id, call.server_label, call.name, call.error, words))
            else:
                news.append(McpCallFinished(call.id, call.server_label, call.name, call.output))
        return news

    def _next_response(self, event: ResponseCreated | ResponseDone) -> list[McpHappening]:
        """Tell what was held back in the hope that more would come of it."""
        news: list[McpHappening] = []
        response = event.response
        for call in self.calls.values():
            if call.is_over and not call.end_told:
                news += self._tell(call, now=True)
        if isinstance(event, ResponseDone):
            for approval in self.approvals.values():
                news += self._ask(approval)
            if response.status in ("cancelled", "failed", "incomplete"):
                for call in self.calls.values():
                    if _is_cut(call, response):
                        news.append(_cut_off(call, str(response.status)))
        return news


def _keep(kept: dict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    if len(kept) > _MOST:
        del kept[next(iter(kept))]


def _is_cut(call: Call, response: Any) -> bool:
    ran = call.started_told and not (call.cut_told or call.end_told)
    return ran and bool(call.response_id) and call.response_id == response.id


def _cut_off(call: Call, status: str) -> McpCallFailed:
    call.cut_told = True
    words = f"its response is {status}: whether the tool did its work is not known"
    return McpCallFailed(call.id, call.server_label, call.name, None, words)
