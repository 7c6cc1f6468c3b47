"""Which MCP servers a session knows, and which of their tools the model may call; without I/O.

A listing begins with a configuration that names a server, or names it otherwise than before. What the server has is
told by the driver. Calls are in `mcp_calls`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from realtime_trio import events
from realtime_trio.server import guesses, problems
from realtime_trio.server.items import Conversation
from realtime_trio.server.mcp_items import McpItem
from realtime_trio.server.mcp_shapes import LOCATIONS
from realtime_trio.server.outbox import ListTools, Outbox
from realtime_trio.server.seams import ToolSpec

__all__ = ["McpListings", "needs_approval"]

_RELISTED_WITH = (*LOCATIONS, "authorization", "headers", "allowed_tools")
"""The fields of an MCP tool with which its listing goes out of date."""


@attrs.define(eq=False)
class _Listing:
    """What is known of one server."""

    definition: Mapping[str, Any]
    item_id: str = ""
    status: Literal["listing", "ready", "failed"] = "listing"
    tools: tuple[events.McpToolDefinition, ...] = ()

    def asks_anew(self, definition: Mapping[str, Any]) -> bool:
        """Say whether this definition needs another listing."""
        changed = any(definition.get(name) != self.definition.get(name) for name in _RELISTED_WITH)
        return changed or self.status == "failed"


class McpListings:
    """The MCP servers of a session."""

    def __init__(self, outbox: Outbox, conversation: Conversation, *, completed_last: bool) -> None:
        self._outbox = outbox
        self._conversation = conversation
        self._completed_last = completed_last
        self._servers: dict[str, _Listing] = {}

    @property
    def pending(self) -> frozenset[str]:
        """The items of the listings under way."""
        return frozenset(server.item_id for server in self._servers.values() if server.status == "listing")

    # ---- configurations ----

    def check(self, tools: Sequence[Mapping[str, Any]], path: str) -> None:
        """Refuse a server that is named for the first time without saying where it is.

        Raises:
            Problem: There is one.
        """
        for index, tool in enumerate(tools):
            if tool.get("type") == "mcp" and tool["server_label"] not in self._servers and not _has_location(tool):
                raise problems.mcp_nowhere(f"{path}[{index}].server_url")

    def use(self, tools: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """Begin the listings that a configuration needs.

        Returns:
            Their items.
        """
        begun = []
        for tool in tools:
            if tool["type"] != "mcp":
                continue
            definition = self._definition(tool)
            known = self._servers.get(tool["server_label"])
            if known is None or known.asks_anew(definition):
                begun.append(self._list(definition))
            else:
                known.definition = definition
        return tuple(begun)

    def _definition(self, tool: Mapping[str, Any]) -> Mapping[str, Any]:
        """Complete a definition without a location by what was said of the server before."""
        known = self._servers.get(tool["server_label"])
        return tool if known is None or _has_location(tool) else {**known.definition, **tool}

    def _list(self, definition: Mapping[str, Any]) -> str:
        item_id = self._outbox.new_id("mcpl")
        self._servers[definition["server_label"]] = _Listing(definition, item_id)
        self._outbox.send(events.McpListToolsInProgress(event_id=self._outbox.event_id(), item_id=item_id))
        self._outbox.do(ListTools(item_id, definition["server_label"]))
        return item_id

    def listed(self, item_id: str, found: Sequence[events.McpToolDefinition] | None) -> None:
        """Take what a server has; None when it could not be asked. Ignored when it is being asked anew."""
        server = next((server for server in self._servers.values() if server.item_id == item_id), None)
        if server is None or server.status != "listing":
            return
        tools = None if found is None else _allowed(found, server.definition.get("allowed_tools"))
        if tools is None:
            server.status = "failed"
            self._outbox.send(events.McpListToolsFailed(event_id=self._outbox.event_id(), item_id=item_id))
            return
        server.status, server.tools = "ready", tools
        completed = events.McpListToolsCompleted(event_id=self._outbox.event_id(), item_id=item_id)
        if not self._completed_last:
            self._outbox.send(completed)
        item = McpItem(id=item_id, type="mcp_list_tools", server_label=server.definition["server_label"], tools=tools)
        self._conversation.insert(item)
        tell_item(self._outbox, self._conversation, item)
        if self._completed_last:
            self._outbox.send(completed)

    # ---- what the model may call ----

    def offered(self, tools: Iterable[Mapping[str, Any]]) -> tuple[ToolSpec, ...]:
        """Give the tools of the servers in a configuration, as far as they are listed by now."""
        return tuple(
            ToolSpec(
                name=found.name,
                description=found.description or "",
                parameters=found.input_schema,
                server_label=tool["server_label"],
            )
            for tool in tools
            if tool["type"] == "mcp"
            for found in self._listed(tool["server_label"])
        )

    def _listed(self, label: str) -> tuple[events.McpToolDefinition, ...]:
        server = self._servers.get(label)
        return server.tools if server is not None and server.status == "ready" else ()

    def needs_approval(self, tools: Iterable[Mapping[str, Any]], label: str, name: str) -> bool:
        """Tell whether the client has to approve a call of that tool, in that configuration."""
        given = next((tool for tool in tools if tool.get("server_label") == label), None)
        found = next((tool for tool in self._listed(label) if tool.name == name), None)
        if given is None or found is None:  # then it fails, whoever approves
            return False
        return needs_approval(self._definition(given).get("require_approval"), found)


def tell_item(outbox: Outbox, conversation: Conversation, item: McpItem) -> None:
    """Tell an item that came into the conversation whole."""
    previous = conversation.previous_id(item)
    kinds = (events.ConversationItemAdded, events.ConversationItemDone)
    for kind in kinds if guesses.MCP_ITEMS_ADDED else kinds[1:]:
        outbox.send(kind(event_id=outbox.event_id(), item=item.wire(), previous_item_id=previous))


def _has_location(tool: Mapping[str, Any]) -> bool:
    return any(tool.get(name) is not None for name in LOCATIONS)


def _allowed(
    found: Sequence[events.McpToolDefinition], allowed: Sequence[str] | Mapping[str, Any] | None
) -> tuple[events.McpToolDefinition, ...] | None:
    """Give those tools that are allowed; None when one is allowed that does not exist."""
    if allowed is None:
        return tuple(found)
    wanted = {"tool_names": allowed} if not isinstance(allowed, Mapping) else allowed
    if not set(wanted.get("tool_names", ())) <= {tool.name for tool in found}:
        return None
    return tuple(tool for tool in found if _matches(wanted, tool))


def _matches(wanted: Mapping[str, Any], tool: events.McpToolDefinition) -> bool:
    """Say whether a filter names a tool."""
    if "tool_names" in wanted and tool.name not in wanted["tool_names"]:
        return False
    hints = tool.annotations if isinstance(tool.annotations, Mapping) else {}
    return "read_only" not in wanted or wanted["read_only"] == bool(hints.get("readOnlyHint", False))


def needs_approval(rule: str | Mapping[str, Any] | None, tool: events.McpToolDefinition) -> bool:
    """Tell whether a tool needs approval under a `require_approval`."""
    if not isinstance(rule, Mapping):
        return rule != "never"
    if "always" in rule and _matches(rule["always"], tool):
        return True
    if "never" in rule and _matches(rule["never"], tool):
        return False
    return guesses.MCP_UNNAMED_NEED_APPROVAL
