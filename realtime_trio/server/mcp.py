"""What a session does with MCP servers: their listings and calls, in one place for those who use both; without I/O."""

from collections.abc import Iterable, Mapping
from typing import Any

from realtime_trio.server import guesses
from realtime_trio.server.items import Conversation
from realtime_trio.server.mcp_calls import McpCalls, PendingCall
from realtime_trio.server.mcp_items import McpItem
from realtime_trio.server.mcp_listings import McpListings
from realtime_trio.server.misbehaviour import Misbehaviour
from realtime_trio.server.outbox import Outbox
from realtime_trio.server.seams import ToolCall, ToolSpec

__all__ = ["Mcp"]

_Tools = Iterable[Mapping[str, Any]]


class Mcp:
    """The MCP servers of a session.

    Attributes:
        listings: Which there are.
        calls: The calls that are not over.
        reply: Where the model speaks on a call: in the same response, in a new one, or nowhere unless it is asked.
    """

    def __init__(self, outbox: Outbox, conversation: Conversation, misbehaviour: Misbehaviour) -> None:
        last = guesses.MCP_LISTED_AFTER_ITEM is not misbehaviour.other_order
        self.listings = McpListings(outbox, conversation, completed_last=last)
        self.calls = McpCalls(outbox, conversation)
        self.reply = misbehaviour.mcp_reply or guesses.MCP_REPLY

    def offered(self, tools: _Tools, choice: Any) -> tuple[tuple[ToolSpec, ...], str]:
        """Give the tools of a configuration that the model may call now, and which it must.

        Args:
            tools: The configuration's tools.
            choice: Its `tool_choice`.

        Returns:
            The tools, and the choice as a brain is told it.
        """
        tools = list(tools)
        functions = (tool for tool in tools if tool["type"] == "function")
        specs = (
            *(
                ToolSpec(
                    name=tool["name"],
                    description=tool.get("description", ""),
                    parameters=tool.get("parameters", {}),
                )
                for tool in functions
            ),
            *self.listings.offered(tools),
        )
        if not isinstance(choice, dict):
            return specs, str(choice)
        if choice["type"] == "function":
            return specs, str(choice["name"])
        mine = tuple(spec for spec in specs if spec.server_label == choice["server_label"])
        return mine, str(choice.get("name") or "required")

    def server_of(self, tools: _Tools, wanted: ToolCall) -> str | None:
        """Tell which MCP server's tool a brain wants to call; None for a client's function."""
        if wanted.server_label is not None:
            return wanted.server_label
        offered, _ = self.offered(tools, "auto")
        named = [spec.server_label for spec in offered if spec.name == wanted.name]
        return None if None in named else next(iter(named), None)

    def begin_call(self, tools: _Tools, item: McpItem, response_id: str, output_index: int, *, can_ask: bool) -> bool:
        """Begin a call whose arguments are told.

        Returns:
            Whether its item is complete, as far as its response is concerned.
        """
        over = self.calls.begin(
            PendingCall(item, response_id, output_index),
            needs_approval=self.listings.needs_approval(tools, item.server_label, item.name),
            can_ask=can_ask,
        )
        return over or self.reply != "same_response"
