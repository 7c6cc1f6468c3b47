"""The calls of a session that are about tools: which there are, and whether a call may run."""

from collections.abc import Callable
from typing import Any

from realtime_trio import events as wire
from realtime_trio.core.border import check_each
from realtime_trio.errors import LocalProtocolError

from .acknowledged import AcknowledgedCalls
from .approvals import Decision
from .tool_choice import name_of
from .tool_set import ToolSet

__all__ = ["ToolControl"]


class ToolControl(AcknowledgedCalls):
    """The part of `Session` by which a program rules its tools."""

    async def add_tools(self, *tools: Any) -> wire.RealtimeSession:
        """Let the model call more tools, from the next response on.

        Changes that are made at the same time do not lose each other.

        Args:
            tools: Functions, `Tool`s, or `events.McpTool`s.

        Returns:
            The whole configuration in effect.

        Raises:
            ConfigurationError: One has a name that there is, or is no tool; nothing was sent.
            ServerError: The server refused it; nothing was changed.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent, and takes effect when the server acknowledges it.
        """
        check_each("add_tools", tools)
        return await self._change_tools(lambda now: now.adding(tools, self._make_tools))

    async def remove_tools(self, *names: str | Callable[..., Any]) -> wire.RealtimeSession:
        """Take tools from the model, from the next response on. Calls of responses that began before still run.

        Args:
            names: Of functions, or the functions themselves; an MCP server goes by its label.

        Returns:
            The whole configuration in effect.

        Raises:
            ConfigurationError: There is none of such a name; nothing was sent.
            ServerError: The server refused it; nothing was changed.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent, and takes effect when the server acknowledges it.
        """
        check_each("remove_tools", names)
        called = [name_of(one) for one in names]
        return await self._change_tools(lambda now: now.removing(called, self._make_tools))

    def approve(self, request_id: str) -> bool:
        """Let a call run of which `ApprovalNeeded` told.

        Args:
            request_id: The `id` of its `ApprovalRequest`.

        Returns:
            Whether it still waited; False if it was decided before, cancelled, or ended with the session.

        Raises:
            LocalProtocolError: There never was such a request, or it was a hosted MCP server's, and the link was lost.
        """
        return self._engine.approvals.answer(request_id, Decision(approved=True))

    def refuse(self, request_id: str, reason: str = "") -> bool:
        """Do not let a call run of which `ApprovalNeeded` told; the model is told so.

        Args:
            request_id: The `id` of its `ApprovalRequest`.
            reason: Why, in words for the model.

        Returns:
            Whether it still waited; False if it was decided before, cancelled, or ended with the session.

        Raises:
            LocalProtocolError: There never was such a request, it was a hosted MCP server's and the link was lost, or
                the reason is no text; nothing was decided.
        """
        if not isinstance(reason, str):
            raise LocalProtocolError(f"a reason is a text, not {type(reason).__name__}. Nothing was decided.")
        return self._engine.approvals.answer(request_id, Decision(approved=False, reason=reason))

    async def _change_tools(self, change: Callable[[ToolSet], ToolSet]) -> wire.RealtimeSession:
        tool_calls = self._engine.tool_calls
        changed: list[ToolSet] = []

        def event() -> wire.SessionUpdate:  # when it is its turn to be sent: an earlier change is known by then
            changed.append(change(tool_calls.tools))
            return wire.SessionUpdate(session=wire.RealtimeSession(tools=changed[-1].definitions()))

        await self._engine.call("update", event, then=lambda _: tool_calls.use(changed[-1]))
        return self.config
