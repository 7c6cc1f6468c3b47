"""Hosted MCP servers in a session: what is told of them, who approves of their calls, and the reply that is owed.

What the server's events mean is `core.mcp`'s and its neighbours'; who decides on approvals is `approvals.py`'s.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.failures import failure
from realtime_trio.core.mcp import (
    ApprovalAsked,
    ApprovalSettled,
    McpCallFailed,
    McpCallFinished,
    McpHappening,
    McpServer,
)
from realtime_trio.core.mcp_calls import Calls
from realtime_trio.core.mcp_listings import Listings
from realtime_trio.core.mcp_replies import FOLLOW_UP_SECONDS, McpReplies, McpReply, ReplyContinued, ReplyPending
from realtime_trio.errors import NotAcknowledged, RealtimeError, ServerError

from .approvals import Approvals
from .exchanges import Exchange, new_id
from .inside import Inside
from .notices import ApprovalRequest, Notice, ToolFailed
from .responses import Response, ToolCall
from .turns import Turns

__all__ = ["HostedMcp"]

_MOST_REMEMBERED = 64


@attrs.define(eq=False, repr=False)
class HostedMcp(Inside):
    """The hosted MCP servers of one session.

    Attributes:
        approvals: Decides on calls.
        turns: Knows who waits for a response.
        start_soon: Starts a child task of the session.
        deliver: Creates an item and returns when the server has acknowledged it.
        owe: Asks for a reply on behalf of exchanges; until the time that it is given the server may make one by itself.
        publish: Takes notices.
        crash: Where an approval hook's exception goes with `tool_errors="raise"`; None to report it only.
    """

    approvals: Approvals
    turns: Turns
    start_soon: Callable[..., None]
    deliver: Callable[[events.Item], Awaitable[object]]
    owe: Callable[[list[Exchange], float], object]
    publish: Callable[[Notice], None]
    crash: Callable[[Exception], object] | None = None
    _listings: Listings = attrs.field(factory=Listings, init=False)
    _calls: Calls = attrs.field(factory=Calls, init=False)
    _replies: McpReplies = attrs.field(init=False)
    _held: dict[str, list[Exchange]] = attrs.field(factory=dict, init=False)  # by the response they wait on
    _ended: dict[str, list[ToolCall]] = attrs.field(factory=dict, init=False)  # by the response, until it is done
    # where the newest responses that are done put their calls: an exchange itself would keep all its sound
    _belongs: dict[str, list[list[ToolCall]]] = attrs.field(factory=dict, init=False)
    _asking: dict[str, trio.CancelScope] = attrs.field(factory=dict, init=False)  # by the request for approval
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._replies = McpReplies(self._calls)
        self.turns.tell_lost = self.handle

    @property
    def servers(self) -> Mapping[str, McpServer]:
        """What is known of each server, by label."""
        return self._listings.servers

    async def changed(self) -> None:
        """Wait until something was learnt of a server, or the session is over."""
        await self._changed.wait()

    def handle(self, event: events.ServerEvent) -> None:
        """Follow one server event; after the turns did, before they act on it."""
        before = self._listings.servers
        news = self._listings.handle(event)
        if news or before.keys() != self._listings.servers.keys():
            self._wake()
        for happening in [*news, *self._calls.handle(event)]:
            self._take(happening)
        done, waiting = "", list[Exchange]()
        if isinstance(event, events.ResponseDone) and isinstance(event.response.id, str):
            done = event.response.id
            waiting = self._waiting_for(done)
            self._belongs[done] = [exchange.tool_calls for exchange in waiting]
            if len(self._belongs) > _MOST_REMEMBERED:
                del self._belongs[next(iter(self._belongs))]
            for call in self._ended.pop(done, ()):
                self._put_in(call, self._belongs[done])
        replies = self._replies.handle(event)
        for reply in replies:
            self._reply(reply, waiting if reply.response_id == done else None)
        if done and not any(reply.response_id == done for reply in replies):
            self._release_continued(done)

    def lose_link(self) -> None:
        """Note that the link is lost, after the turns have: its calls and its requests for approval are over."""
        self._listings.lose_link()
        for request_id in self._asking:
            self.approvals.lose(request_id)
        for happening in self._calls.lose_link():
            self._take(happening)
        for response_id, calls in self._ended.items():
            for call in calls:
                self._put_in(call, [exchange.tool_calls for exchange in self._waiting_for(response_id)])
        self._ended.clear()
        for reply in self._replies.lose_link():
            self._reply(reply)
        for response_id in list(self._held):
            self._lose_continued(response_id)

    def end(self, error: Exception) -> None:
        """The session is over: nobody needs to wait any more."""
        for exchanges in self._held.values():
            for exchange in exchanges:
                exchange.over.break_(error)
        self._held.clear()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _take(self, happening: McpHappening) -> None:
        match happening:
            case ApprovalAsked(request=request):
                self._asking[request.id] = trio.CancelScope()
                self.start_soon(self._answer, request, name=f"approval of {request.name}")
                return
            case ApprovalSettled(request_id=request_id):
                if scope := self._asking.pop(request_id, None):
                    scope.cancel(reason="it needs no answer any more")
                return
            case McpCallFinished(output=output):
                self._note_end(happening, output or "")
            case McpCallFailed(problem=problem):
                self._note_end(happening, problem)
        self.publish(happening)

    def _note_end(self, ended: McpCallFinished | McpCallFailed, output: str) -> None:
        """Put a call among those of the exchange that it belongs to: at once, or when its response is done."""
        call = self._calls.calls.get(ended.call_id)
        if call is None:
            return  # one that was not made: it waited for approval
        value = ToolCall(call.id, ended.name, call.arguments, output)
        if call.response_id in self._belongs:
            self._put_in(value, self._belongs[call.response_id])
        elif self.turns.live.get(call.response_id) is not None:
            self._ended.setdefault(call.response_id, []).append(value)

    def _put_in(self, call: ToolCall, places: list[list[ToolCall]]) -> None:
        for calls in places:
            calls.append(call)

    # Approvals

    async def _answer(self, request: events.McpApprovalRequest) -> None:
        scope = self._asking.get(request.id)
        if scope is None:
            return  # settled before this task began
        decision = None
        with scope:
            asked = ApprovalRequest(request.id, "mcp", request.name, request.arguments, request.server_label)
            decision = await self.approvals.decide(asked)
        if decision is None or self._asking.pop(request.id, None) is None:
            return  # somebody else answered it
        if decision.failure is not None:
            self.publish(ToolFailed(request.id, request.name, decision.failure))
            if self.crash is not None:
                self.crash(decision.failure)
        answer = events.McpApprovalResponse(
            id=new_id("item"),
            approval_request_id=request.id,
            approve=decision.approved,
            reason=decision.reason or events.UNSET,
        )
        try:
            await self.deliver(answer)
        except (ServerError, NotAcknowledged) as error:
            if self._calls.settle(request.id, approved=None):  # else its call runs: the answer did arrive
                words = f"the answer to its request for approval did not arrive: {error}"
                self.publish(McpCallFailed(request.id, request.server_label, request.name, None, words))
        else:
            self._calls.settle(request.id, approved=decision.approved)
        for reply in self._replies.review():
            self._reply(reply)

    # The reply that is owed

    def _waiting_for(self, response_id: str) -> list[Exchange]:
        continued = self._held.get(response_id, [])
        return [*continued, *(one for one in self.turns.exchanges_of(response_id) if one not in continued)]

    def _reply(self, reply: McpReply, waiting: list[Exchange] | None = None) -> None:
        """Carry out what is said of a reply; `waiting` is who waits for its response, which this event has ended."""
        response_id = reply.response_id
        held = self._held.pop(response_id, [])
        waiting = held if waiting is None else waiting
        match reply:
            case ReplyPending():
                for exchange in waiting:
                    if exchange not in held:
                        exchange.hold()
                self._held[response_id] = waiting
                return
            case ReplyContinued(by=by):
                self._held.setdefault(by, []).extend(held)
                live = self.turns.live.get(by)
                for exchange in held:
                    if live is not None and live not in exchange.responses:
                        exchange.responses.append(live)
                return
        wanted = [exchange for exchange in waiting if not exchange.abandoned]
        if wanted or not waiting:
            self.owe(wanted, trio.current_time() + FOLLOW_UP_SECONDS)
        for exchange in held:
            exchange.release()

    def _lose_continued(self, response_id: str) -> None:
        """Let go of who waited for a response that is lost: what it was to say is asked for."""
        if response_id in self.turns.live:
            self._release_continued(response_id)
            return
        held = self._held.pop(response_id)
        wanted = [exchange for exchange in held if not exchange.abandoned]
        if wanted:
            self.owe(wanted, -math.inf)
        for exchange in held:
            exchange.release()

    def _release_continued(self, done: str) -> None:
        """Let go of who waited for a response that has said everything, as soon as it was heard."""
        held, live = self._held.pop(done, []), self.turns.live.get(done)
        if held:
            self.start_soon(_release, held, live)


async def _release(exchanges: list[Exchange], response: Response | None) -> None:
    with suppress(RealtimeError, trio.ClosedResourceError):  # the session's end, which everybody else hears of
        if response is not None:
            await response.heard()
    for exchange in exchanges:
        if response is not None and response.status == "failed":
            exchange.over.break_(failure(response.final))
        exchange.release()
