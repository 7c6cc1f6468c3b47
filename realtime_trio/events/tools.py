"""Tools that a session or a response offers to the model, and the smaller options that both of them share.

How a function tool is made from a Python function, and run, is elsewhere: `realtime_trio.tools`.
"""

from typing import Any, TypeAlias

from msgspec import UNSET

from ._base import Maybe, Shape, Tagged
from .unknown import UnknownShape, UnknownTool

__all__ = [
    "FunctionTool",
    "McpApproval",
    "McpFilter",
    "McpTool",
    "Prompt",
    "Reasoning",
    "RetentionRatio",
    "TokenLimits",
    "Tool",
    "ToolChoice",
    "ToolChoiceFunction",
    "ToolChoiceMcp",
    "TracingConfig",
]


class FunctionTool(Tagged, tag="function", frozen=True, kw_only=True):
    """A function that this client runs.

    Wire: `function`.
    """

    name: Maybe[str] = UNSET
    description: Maybe[str] = UNSET
    """When and how to call it, and what it answers."""
    parameters: Maybe[dict[str, Any]] = UNSET
    """A JSON Schema of the arguments."""


class McpFilter(Shape, frozen=True, kw_only=True):
    """Some of an MCP server's tools."""

    tool_names: Maybe[list[str]] = UNSET
    read_only: Maybe[bool] = UNSET
    """Those that say of themselves that they change nothing."""


class McpApproval(Shape, frozen=True, kw_only=True):
    """Which of an MCP server's tools need the client's approval before each call."""

    always: Maybe[McpFilter] = UNSET
    never: Maybe[McpFilter] = UNSET


class McpTool(Tagged, tag="mcp", frozen=True, kw_only=True):
    """The tools of an MCP server, which OpenAI's server calls by itself.

    Exactly one of `server_url`, `connector_id` and `tunnel_id` says where it is.

    Wire: `mcp`.
    """

    server_label: str
    """Names the MCP server within the session."""
    server_url: Maybe[str] = UNSET
    connector_id: Maybe[str] = UNSET
    """For example `"connector_gmail"`."""
    tunnel_id: Maybe[str] = UNSET
    """`tunnel_` and 32 letters or digits."""
    authorization: Maybe[str] = UNSET
    """An OAuth access token. Never shown in a repr."""
    headers: Maybe[dict[str, str]] = UNSET
    """HTTP headers for the MCP server. Never shown in a repr."""
    server_description: Maybe[str] = UNSET
    allowed_tools: Maybe[list[str] | McpFilter] = UNSET
    """Names of tools, or a filter."""
    require_approval: Maybe[str | McpApproval] = UNSET
    """`"always"` (the default), `"never"`, or which."""
    allowed_callers: Maybe[list[str]] = UNSET
    """`"direct"`, `"programmatic"`."""
    defer_loading: Maybe[bool] = UNSET


Tool: TypeAlias = FunctionTool | McpTool | UnknownTool


class ToolChoiceFunction(Tagged, tag="function", frozen=True, kw_only=True):
    """The model must call this function.

    Wire: `function`.
    """

    name: str


class ToolChoiceMcp(Tagged, tag="mcp", frozen=True, kw_only=True):
    """The model must call this MCP server, or one tool of it.

    Wire: `mcp`.
    """

    server_label: str
    name: Maybe[str] = UNSET


ToolChoice: TypeAlias = str | ToolChoiceFunction | ToolChoiceMcp | UnknownShape
"""`"auto"`, `"none"`, `"required"`, or one tool."""


class Reasoning(Shape, frozen=True, kw_only=True):
    """How much a reasoning model thinks before it answers."""

    effort: Maybe[str] = UNSET
    """`"minimal"`, `"low"` (the default), `"medium"`, `"high"` or `"xhigh"`."""


class TokenLimits(Shape, frozen=True, kw_only=True):
    """Limits of the context, in tokens."""

    post_instructions: Maybe[int] = UNSET
    """Of the conversation after the instructions and tools."""


class RetentionRatio(Tagged, tag="retention_ratio", frozen=True, kw_only=True):
    """When the context is full, drop its oldest items down to this part of it (fewer cache misses than `"auto"`).

    Wire: `retention_ratio`.
    """

    retention_ratio: float
    """From 0 to 1."""
    token_limits: Maybe[TokenLimits] = UNSET


class TracingConfig(Shape, frozen=True, kw_only=True):
    """How a session is named in OpenAI's traces."""

    workflow_name: Maybe[str] = UNSET
    group_id: Maybe[str] = UNSET
    metadata: Maybe[Any] = UNSET


class Prompt(Shape, frozen=True, kw_only=True):
    """A prompt stored at OpenAI."""

    id: str
    version: Maybe[str] = UNSET
    variables: Maybe[dict[str, Any]] = UNSET
    """A text each, or an object (`input_text`, `input_image`, `input_file`) as the Responses API has it."""
