"""The remote MCP servers that the offline server plays: functions under labels, listed and called in this process."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from realtime_trio import events
from realtime_trio.errors import ConfigurationError, ToolError, redact
from realtime_trio.tools import Tool, tool

__all__ = ["HostedTools", "McpCallError", "McpTools", "ReadOnly"]

_NO_SUCH_TOOL = -32602


@attrs.frozen
class ReadOnly:
    """Marks a tool of an MCP server that changes nothing: its listing says so, and filters can ask for it.

    Attributes:
        function: The function, or what `realtime_trio.tool` made of it.
    """

    function: Callable[..., Any]


McpTools: TypeAlias = Mapping[str, Iterable[Callable[..., Any] | ReadOnly]]
"""Tools by the label of the MCP server that has them."""


class McpCallError(Exception):
    """What a function raises to fail as an MCP server fails.

    Attributes:
        error: What the client is told.
    """

    def __init__(
        self,
        message: str,
        *,
        type: Literal["tool_execution_error", "protocol_error", "http_error"] = "tool_execution_error",
        code: int = 0,
    ) -> None:
        """Choose the error.

        Args:
            message: Its words.
            type: The tool failed, the MCP server broke the protocol, or it answered with an HTTP error.
            code: The code of the last two.
        """
        super().__init__(message)
        message = _sendable(message)
        self.error: events.McpError
        match type:
            case "protocol_error":
                self.error = events.McpProtocolError(code=code, message=message)
            case "http_error":
                self.error = events.McpHttpError(code=code, message=message)
            case _:
                self.error = events.McpToolExecutionError(message=message)


class HostedTools:
    """All of the MCP servers that a server plays.

    Args:
        servers: Their tools, by label.

    Raises:
        ConfigurationError: A tool cannot be described, or two tools of a server have the same name.
    """

    def __init__(self, servers: McpTools) -> None:
        self._servers = {label: dict(_described(label, tools)) for label, tools in servers.items()}

    def definitions(self, label: str) -> list[events.McpToolDefinition] | None:
        """List the tools of a server; None when there is none."""
        found = self._servers.get(label)
        return None if found is None else [definition for definition, _ in found.values()]

    async def call(self, label: str, name: str, arguments: str) -> str | events.McpError:
        """Call a tool.

        Args:
            label: The MCP server.
            name: The tool.
            arguments: JSON text.

        Returns:
            Its output, or why it failed.

        Cancellation:
            Cancels the function.
        """
        found = self._servers.get(label, {}).get(name)
        if found is None:
            return events.McpProtocolError(code=_NO_SUCH_TOOL, message=f"Unknown tool: {name}")
        try:
            return _sendable(await found[1].run(arguments))
        except McpCallError as error:
            return error.error
        except ToolError as error:
            return events.McpToolExecutionError(message=_sendable(redact(str(error))))
        except Exception as error:  # noqa: BLE001 - a test's function may raise anything
            return events.McpToolExecutionError(message=_sendable(redact(f"{type(error).__name__}: {error}")))
        except BaseExceptionGroup as group:  # cancelled while something crashed: the cancellation has to pass on alone
            _, rest = group.split(Exception)
            raise group if rest is None else rest from None


_Described: TypeAlias = tuple[events.McpToolDefinition, Tool[..., Any]]


def _described(label: str, tools: Iterable[Callable[..., Any] | ReadOnly]) -> Iterable[tuple[str, _Described]]:
    names: set[str] = set()
    for given in tools:
        function = given.function if isinstance(given, ReadOnly) else given
        one = function if isinstance(function, Tool) else tool(function)
        if one.name in names:
            raise ConfigurationError(f"mcp={{{label!r}: ...}}: two tools have the name {one.name!r}")
        names.add(one.name)
        hints = {"annotations": {"readOnlyHint": True}} if isinstance(given, ReadOnly) else {}
        definition = events.McpToolDefinition(
            name=one.name,
            description=one.description or events.UNSET,
            input_schema=json.loads(json.dumps(one.parameters)),
            **hints,
        )
        yield one.name, (definition, one)


def _sendable(text: str) -> str:
    """Replace lone surrogates, which no message can carry."""
    return text.encode("utf-8", "replace").decode()
