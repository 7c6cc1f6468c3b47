"""The shape of what clients say about MCP servers: those of a configuration, and answers to requests for approval."""

from collections.abc import Mapping
from typing import Any

from realtime_trio.server import guesses, problems
from realtime_trio.server.checks import (
    Check,
    array,
    boolean,
    choice,
    join,
    mapping,
    nullable,
    obj,
    string,
)

__all__ = ["LOCATIONS", "check_labels", "mcp_items", "mcp_tool"]

LOCATIONS = ("server_url", "connector_id", "tunnel_id")
"""The fields of which one says where an MCP server is."""

_text = string()
_filter = obj({}, {"tool_names": array(_text), "read_only": boolean})
_CONNECTORS = (
    "dropbox",
    "gmail",
    "googlecalendar",
    "googledrive",
    "microsoftteams",
    "outlookcalendar",
    "outlookemail",
    "sharepoint",
)


def _allowed_tools(value: Any, path: str) -> None:
    (_filter if isinstance(value, dict) else array(_text))(value, path)


def _require_approval(value: Any, path: str) -> None:
    if isinstance(value, dict):
        obj({}, {"always": _filter, "never": _filter})(value, path)
    else:
        choice("always", "never")(value, path)


_mcp_tool = obj(
    {"type": _text, "server_label": string(shortest=1)},
    {
        "server_url": nullable(string(shortest=1)),
        "connector_id": nullable(choice(*(f"connector_{name}" for name in _CONNECTORS))),
        "tunnel_id": nullable(_text),
        "authorization": nullable(_text),
        "headers": nullable(mapping(_text)),
        "server_description": nullable(_text),
        "allowed_tools": nullable(_allowed_tools),
        "require_approval": nullable(_require_approval),
        "allowed_callers": nullable(array(choice("direct", "programmatic"))),
        "defer_loading": nullable(boolean),
    },
)


def mcp_tool(value: Any, path: str) -> None:
    """Accept an MCP server, with one location at most: none is for a server that the session knows."""
    _mcp_tool(value, path)
    given = [name for name in LOCATIONS if value.get(name) is not None]
    if len(given) > 1:
        raise problems.mcp_conflict(join(path, given[1]), f"Only one of {', '.join(LOCATIONS)} can be given.")
    headers = value.get("headers") or {}
    if value.get("authorization") is not None and any(name.lower() == "authorization" for name in headers):
        raise problems.mcp_conflict(
            join(path, "authorization"), "'authorization' and an 'Authorization' header cannot both be given."
        )


def check_labels(tools: list[Mapping[str, Any]], path: str) -> None:
    """Refuse tools of which two have the same server label."""
    labels: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.get("type") != "mcp":
            continue
        if tool["server_label"] in labels:
            raise problems.mcp_duplicate(join(f"{path}[{index}]", "server_label"), tool["server_label"])
        labels.add(tool["server_label"])


def _made_by_the_server(value: Any, path: str) -> None:
    raise problems.unsupported(join(path, "type"), f"'{value['type']}' items of a client's")


mcp_items: dict[str, Check] = {
    "mcp_approval_response": obj(
        {
            "type": _text,
            "id": string(longest=guesses.MAXIMUM_ITEM_ID_LENGTH, shortest=1),
            "approval_request_id": _text,
            "approve": boolean,
        },
        {"reason": nullable(_text)},
    ),
    **dict.fromkeys(("mcp_approval_request", "mcp_call", "mcp_list_tools"), _made_by_the_server),
}
"""The items of MCP, by type."""
