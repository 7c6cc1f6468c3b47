"""The tools of one MCP server, as tools of the session."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import trio

from realtime_trio.core.names import function_name
from realtime_trio.errors import ConfigurationError, McpUnavailable, RealtimeError, ToolError, redact
from realtime_trio.session import ToolContext
from realtime_trio.tools import Tool

from .link import Link
from .results import progress_words, told

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as Definition

__all__ = ["McpToolset", "Offer", "Selection"]

_MOST_PAGES = 100


@attrs.frozen
class Selection:
    """Which of a server's tools the model is offered, and under which names.

    Attributes:
        prefix: Put before each name.
        include: Names, as the server has them; None for all.
        exclude: The same: those that are left out.
    """

    prefix: str = ""
    include: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    def check(self, names: set[str], server: str) -> None:
        """See that whatever is selected by name exists.

        Raises:
            ConfigurationError: It does not: a name that is misspelt would offer more, or less, than is meant.
        """
        for name in sorted((self.include or frozenset()) | self.exclude):
            if name not in names:
                raise ConfigurationError(f"{server} has no tool {name!r}: it has {', '.join(sorted(names)) or 'none'}")

    def takes(self, name: str) -> bool:
        """Whether this tool is offered."""
        return name not in self.exclude and (self.include is None or name in self.include)

    def name_of(self, name: str) -> str:
        """Give the name that the model is told: MCP allows characters that OpenAI's API refuses."""
        return function_name(self.prefix + name)


class Offer:
    """What one server offers at the moment: asks for it, makes tools of it, and notes when it changes.

    Attributes:
        link: The connection.
        tools: By the names that the model is told.
        instructions: What the server says of itself.
        is_seen: Whether somebody took the tools since they changed.
    """

    def __init__(self, link: Link, selection: Selection, policy: Mapping[str, Any]) -> None:
        self.link = link
        self.tools: dict[str, Tool[..., Any]] = {}
        self.instructions = ""
        self.is_seen = True
        self._selection = selection
        self._policy = policy
        self._change = trio.Event()
        self._problem: RealtimeError | None = None

    async def load(self) -> None:
        """Ask the server for its tools."""
        definitions, self.instructions = await self.link.call(self._list)
        self.tools = self._made_of(definitions)
        self._selection.check({one.name for one in definitions}, f"the MCP server {self.link.server.name}")

    async def reload(self) -> None:
        """Ask again, and tell those who wait for a change."""
        before = {name: tool.definition() for name, tool in self.tools.items()}
        try:
            definitions, _ = await self.link.call(self._list)
            self.tools = self._made_of(definitions)
        except RealtimeError as problem:
            self._problem = problem
        else:
            if before == {name: tool.definition() for name, tool in self.tools.items()}:
                return
            self.is_seen = False
        self._change.set()
        self._change = trio.Event()

    async def changed(self) -> None:
        """Wait until there are tools that nobody has seen, or raise why there are none."""
        while self.is_seen and self._problem is None:
            await self._change.wait()
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
        await trio.lowlevel.checkpoint()

    async def _list(self, client: "Client") -> "tuple[list[Definition], str]":
        from mcp import MCPError
        from pydantic import ValidationError

        definitions: list[Definition] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            try:
                page = await client.list_tools(cursor=cursor)
            except MCPError as error:
                raise self._misbehaves(f"did not list its tools: {error}", error) from error
            except (RuntimeError, ValidationError) as error:  # an answer that MCP does not allow
                raise self._misbehaves("did not list its tools as MCP has it", error) from error
            definitions += page.tools
            cursor = page.next_cursor
            if cursor is None:
                return definitions, client.instructions or ""
        raise self._misbehaves(f"has more than {_MOST_PAGES} pages of tools")

    def _made_of(self, definitions: "list[Definition]") -> dict[str, Tool[..., Any]]:
        tools: dict[str, Tool[..., Any]] = {}
        server = f"the MCP server {self.link.server.name}"
        for definition in definitions:
            if not self._selection.takes(definition.name):
                continue
            try:
                tool = self._made(definition)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"the tool {definition.name!r} of {server} cannot be told to a model: {error} "
                    f"Leave it out with exclude=[{definition.name!r}]."
                ) from error
            if tool.name in tools:
                raise ConfigurationError(
                    f"{server} has two tools that would both be called {tool.name!r}: leave one out with "
                    f"exclude=[{definition.name!r}]."
                )
            tools[tool.name] = tool
        return tools

    def _made(self, definition: "Definition") -> Tool[..., Any]:
        async def run(arguments: dict[str, Any], context: ToolContext | None = None) -> str:
            return await self._run(definition.name, arguments, context)

        name = self._selection.name_of(definition.name)
        description = definition.description or definition.title or ""
        return Tool.from_schema(name, description, definition.input_schema, run, **self._policy)

    async def _run(self, name: str, arguments: dict[str, Any], context: ToolContext | None) -> str:
        async def report(progress: float, total: float | None, message: str | None) -> None:
            if context is not None:
                context.progress(progress_words(progress, total, message))

        async def call(client: "Client") -> "CallToolResult":
            return await client.call_tool(name, arguments, progress_callback=report)

        from mcp import MCPError
        from pydantic import ValidationError

        try:
            result = await self.link.call(call)
        except MCPError as error:
            raise ToolError(f"Error: {name} was refused: {error}") from error
        except (RuntimeError, ValidationError) as error:  # an answer that its own schema, or MCP, does not allow
            raise self._misbehaves(f"answered {name} with what is not allowed", error) from error
        if result.is_error:
            raise ToolError(f"Error: {told(result)}")
        return told(result)

    def _misbehaves(self, what: str, error: Exception | None = None) -> McpUnavailable:
        del error  # its words may repeat what was sent, or received: it is the cause, for the log
        return McpUnavailable(f"the MCP server {self.link.server.name} {redact(what, *self.link.server.secrets)}")


class McpToolset:
    """The tools of an MCP server. Made by `open_mcp`.

    Iterating gives them, each a `Tool`, as they are now: `open_session(tools=[*toolset])`.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    @property
    def name(self) -> str:
        """The server: the program and its script, or the URL without credentials."""
        return self._offer.link.server.name

    @property
    def instructions(self) -> str:
        """What the server says of itself, for the instructions of the session if you trust it; empty if it does not."""
        return self._offer.instructions

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        self._offer.is_seen = True
        return iter(tuple(self._offer.tools.values()))

    def __len__(self) -> int:
        return len(self._offer.tools)

    def __repr__(self) -> str:
        return f"<McpToolset {self.name}: {', '.join(self._offer.tools) or 'no tools'}>"

    async def changed(self) -> None:
        """Wait until the tools are others than those that were iterated over last.

            while True:
                await toolset.changed()
                await session.update(tools=[*toolset])

        Raises:
            ConfigurationError: What the server offers now cannot be told to a model. The toolset is as before.
            McpUnavailable: The server said that its tools changed, and then not how.

        Cancellation:
            Safe: the change is not missed.
        """
        await self._offer.changed()
