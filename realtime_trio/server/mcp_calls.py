"""The calls of MCP servers' tools in a session: approval, running, outcome; without I/O.

```
            begin            approved             finished
 (asked) ──────────> waiting ────────> running ────────────> over
            └── needs no approval ───────^    refused, dropped ──^
```
The arguments were told before, by the response that makes the call (`responses`). Who runs it is the driver.
"""

from typing import Literal

import attrs

from realtime_trio import events
from realtime_trio.server import guesses, problems
from realtime_trio.server.items import Conversation
from realtime_trio.server.mcp_items import McpItem
from realtime_trio.server.mcp_listings import tell_item
from realtime_trio.server.outbox import CallTool, Outbox, StopCall

__all__ = ["McpCalls", "PendingCall"]


@attrs.define(eq=False)
class PendingCall:
    """A call that has come to nothing yet.

    Attributes:
        item: The call's item.
        response_id: The response that made it.
        output_index: Where it stands there.
        status: Whether it waits for the client's approval, or runs.
    """

    item: McpItem
    response_id: str
    output_index: int
    status: Literal["waiting", "running"] = "waiting"


class McpCalls:
    """The calls of a session that are not over."""

    def __init__(self, outbox: Outbox, conversation: Conversation) -> None:
        self._outbox = outbox
        self._conversation = conversation
        self._pending: dict[str, PendingCall] = {}  # by item

    def of_response(self, response_id: str) -> bool:
        """Tell whether a response has made a call that is not over."""
        return any(call.response_id == response_id for call in self._pending.values())

    def begin(self, call: PendingCall, *, needs_approval: bool, can_ask: bool) -> bool:
        """Take a call whose arguments are told.

        Args:
            call: The call.
            needs_approval: Whether the client is asked first.
            can_ask: Whether it can be asked: the request is an item of the conversation.

        Returns:
            Whether it is over: it needs an approval that nobody can give.
        """
        self._pending[call.item.id] = call
        if not needs_approval:
            self._run(call)
            return False
        if not can_ask:
            self._refuse(call, "An out-of-band response cannot ask for approval.")
            return True
        request = McpItem(
            id=self._outbox.new_id("mcpr"),
            type="mcp_approval_request",
            server_label=call.item.server_label,
            name=call.item.name,
            arguments=call.item.arguments,
        )
        call.item.approval_request_id = request.id
        self._conversation.insert(request)
        tell_item(self._outbox, self._conversation, request)
        return False

    def check_answer(self, answer: McpItem) -> None:
        """Refuse an answer that nobody waits for.

        Raises:
            Problem: There is no such request, or it was answered, or its call was cut off.
        """
        if self._asked(answer) is None:
            raise problems.unknown_approval(answer.approval_request_id or "")

    def answered(self, answer: McpItem) -> PendingCall | None:
        """Take the client's answer to a request for approval.

        Returns:
            The call, if it is over: it was refused.
        """
        call = self._asked(answer)
        if call is None:
            return None
        if answer.approve:
            self._run(call)
            return None
        return self._refuse(call, f"{guesses.MCP_REFUSED} {answer.reason or ''}".rstrip())

    def finished(self, item_id: str, outcome: str | events.McpError) -> PendingCall | None:
        """Take the outcome of a call that ran.

        Returns:
            The call, which is over; None when nobody waits for it any more.
        """
        call = self._pending.pop(item_id, None)
        if call is None:
            return None
        kind: type[events.ResponseMcpCallCompleted | events.ResponseMcpCallFailed]
        if isinstance(outcome, str):
            call.item.result, kind = outcome, events.ResponseMcpCallCompleted
        else:
            call.item.error, kind = outcome, events.ResponseMcpCallFailed
        self._outbox.send(kind(event_id=self._outbox.event_id(), item_id=call.item.id, output_index=call.output_index))
        return call

    def is_pending(self, item_id: str) -> bool:
        """Tell whether an item is a call that is not over."""
        return item_id in self._pending

    def drop(self, item_id: str) -> None:
        """Let go of a call, if the item is one, because its response was cut off."""
        call = self._pending.pop(item_id, None)
        if call is not None and call.status == "running":
            self._outbox.do(StopCall(item_id))

    def _asked(self, answer: McpItem) -> PendingCall | None:
        waiting = (call for call in self._pending.values() if call.status == "waiting")
        return next((call for call in waiting if call.item.approval_request_id == answer.approval_request_id), None)

    def _run(self, call: PendingCall) -> None:
        call.status = "running"
        self._outbox.send(
            events.ResponseMcpCallInProgress(
                event_id=self._outbox.event_id(), item_id=call.item.id, output_index=call.output_index
            )
        )
        item = call.item
        self._outbox.do(CallTool(item.id, item.server_label, item.name, item.arguments))

    def _refuse(self, call: PendingCall, words: str) -> PendingCall:
        self.finished(call.item.id, events.McpToolExecutionError(message=words))
        return call
