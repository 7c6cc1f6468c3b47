"""The items of MCP: listings, calls, requests for approval and the answers to them."""

import json
from typing import Any

import attrs

from realtime_trio import events
from realtime_trio.server.items import Item, Tokens, text_tokens

__all__ = ["McpItem", "approval_from_json"]


@attrs.define(eq=False, kw_only=True)
class McpItem(Item):
    """An item whose type is `mcp_list_tools`, `mcp_call`, `mcp_approval_request` or `mcp_approval_response`.

    Attributes:
        server_label: The MCP server.
        tools: Those of a listing.
        result: What a call gave; None when it gave nothing (yet).
        error: Why a call failed.
        approval_request_id: The request that a call waits or waited for, or that a response answers.
        approve: The answer.
        reason: The reason for it.
    """

    server_label: str = ""
    tools: tuple[events.McpToolDefinition, ...] = ()
    result: str | None = None
    error: events.McpError | None = None
    approval_request_id: str | None = None
    approve: bool = False
    reason: str | None = None

    @property
    def answer(self) -> str | None:
        """What a call came to, as the brain is told."""
        if self.error is not None:
            return json.dumps({"error": getattr(self.error, "message", "")})
        return self.result

    def wire(self, *, with_audio: bool = False) -> events.Item:  # noqa: ARG002 - there is none
        """Tell the item as a value of the wire, as it stands now."""
        match self.type:
            case "mcp_list_tools":
                return events.McpListTools(id=self.id, server_label=self.server_label, tools=list(self.tools))
            case "mcp_approval_response":
                return events.McpApprovalResponse(
                    id=self.id,
                    approval_request_id=self.approval_request_id or "",
                    approve=self.approve,
                    reason=self.reason or events.UNSET,
                )
            case "mcp_approval_request":
                return events.McpApprovalRequest(
                    id=self.id, server_label=self.server_label, name=self.name, arguments=self.arguments
                )
            case _:
                return events.McpCall(
                    id=self.id,
                    server_label=self.server_label,
                    name=self.name,
                    arguments=self.arguments,
                    approval_request_id=self.approval_request_id or events.UNSET,
                    output=events.UNSET if self.result is None else self.result,
                    error=self.error or events.UNSET,
                )

    def tokens(self) -> Tokens:
        """Count it in tokens: a listing by what the model reads of it, an approval is not read."""
        match self.type:
            case "mcp_list_tools":
                return Tokens(text=sum(text_tokens(_in_words(tool)) for tool in self.tools))
            case "mcp_call":
                return Tokens(text=sum(text_tokens(part) for part in (self.name, self.arguments, self.answer or "")))
            case _:
                return Tokens()


def approval_from_json(value: dict[str, Any]) -> McpItem | None:
    """Make a client's answer to a request for approval, whose shape was checked; None of another item."""
    if value["type"] != "mcp_approval_response":
        return None
    return McpItem(
        id=value["id"],
        type="mcp_approval_response",
        approval_request_id=value["approval_request_id"],
        approve=value["approve"],
        reason=value.get("reason"),
    )


def _in_words(tool: events.McpToolDefinition) -> str:
    words: list[Any] = [tool.name, tool.description or "", tool.input_schema]
    return json.dumps(words)
