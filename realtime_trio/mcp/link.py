"""The connection to one MCP server, with the official SDK, in a task of its own.

The SDK's context managers are nurseries (of anyio): whatever goes wrong in one comes out of it as a group, and cancels
what runs inside. So they are entered in a task that has nothing else to do, and everybody else calls through it: a
server's end is told to those whose calls it took, and to nobody else.
"""

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from realtime_trio.errors import ConfigurationError, McpUnavailable, redact
from realtime_trio.log_words import problem_of

from .servers import HttpServer, McpServerAddress, StdioServer

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["Link", "load_sdk"]

T = TypeVar("T")

_log = logging.getLogger("realtime_trio.mcp")

_CONNECTION_CLOSED = -32000  # JSON-RPC errors that the SDK makes itself when there is nobody to ask any more
_CONNECT_SECONDS = 30.0
_READ_SECONDS = 300.0  # a server may hold a stream of events open
_LISTEN_AGAIN_SECONDS = 1.0
_CURE = "install it with: pip install 'realtime_trio[mcp]'"


def load_sdk() -> None:
    """Load the SDK, which takes most of a second.

    Raises:
        ConfigurationError: It is not there, or too old.
    """
    try:
        from mcp import Client  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(f"MCP servers need the package mcp, 2.3 or newer ({error}): {_CURE}") from error


@attrs.define(eq=False)
class _Connection:
    """One try to be connected, and what came of it.

    Attributes:
        scope: Around all of it.
        client: What calls go through; None before it is up, and after it is lost.
        problem: Why it did not come about, or is lost.
        calls: Those that wait for an answer.
    """

    scope: trio.CancelScope
    client: "Client | None" = None
    problem: McpUnavailable | None = None
    calls: set[trio.CancelScope] = attrs.field(factory=set)

    def lose(self, problem: McpUnavailable) -> None:
        """Note that it is gone: who waits for an answer hears of it."""
        self.problem = self.problem or problem  # what was noticed first
        self.client = None
        self.scope.cancel(reason=str(problem))
        for scope in self.calls:
            scope.cancel(reason=str(problem))

    def lost(self) -> McpUnavailable:
        """Make the exception anew: several calls may raise it."""
        problem = self.problem or McpUnavailable("the MCP server is not connected")
        copy = McpUnavailable(str(problem))
        copy.__cause__ = problem.__cause__
        return copy


class Link:
    """The connection to one MCP server.

    Args:
        server: Where it is.
        startup_timeout: How long it may take until it answers, in seconds.
        on_tools_changed: Called when it says that its tools are others now.
    """

    def __init__(
        self, server: McpServerAddress, startup_timeout: float, on_tools_changed: Callable[[], object]
    ) -> None:
        self.server = server
        self._name = f"the MCP server {server.name}"
        self._timeout = startup_timeout
        self._on_tools_changed = on_tools_changed
        self._status: int | None = None  # the last HTTP status that was none of success
        self._connection = _Connection(trio.CancelScope())
        self._waiting: list[trio.Event] = []  # for the next connection, or for word that there is none
        self._wanted = trio.Event()
        self._leaving = trio.Event()
        self._left = trio.Event()

    async def run(self) -> None:
        """Serve until cancelled, or until `leave`.

        When the connection is lost, a server at a URL is connected to again by the next call; a program is not started
        again, because what it knew is gone.
        """
        while not self._leaving.is_set():
            await self._serve()
            if isinstance(self.server, StdioServer):
                self._turn()
                break
            if not self._leaving.is_set():
                await self._wanted.wait()
        self._left.set()

    async def leave(self) -> None:
        """Say goodbye to a server at a URL. A program is ended when `run` is cancelled."""
        self._leaving.set()
        self._wanted.set()
        if isinstance(self.server, HttpServer):
            await self._left.wait()

    async def first(self) -> None:
        """Wait for the first connection.

        Raises:
            McpUnavailable: It did not come about.
        """
        await self._next()
        if self._connection.client is None:
            raise self._connection.lost()

    async def call(self, function: "Callable[[Client], Awaitable[T]]") -> T:
        """Ask something of the server.

        Raises:
            McpUnavailable: It cannot be reached, or its end came before the answer, or the toolset is closed.
            Exception: What the SDK raises otherwise.

        Cancellation:
            The request is cancelled at the server.
        """
        from mcp import MCPError

        if self._connection.client is None and not self._leaving.is_set():
            if isinstance(self.server, StdioServer):
                raise McpUnavailable(f"{self._name} has ended, and is not started again") from self._connection.problem
            self._wanted.set()
            await self._next()
        connection = self._connection
        if connection.client is None or self._leaving.is_set():
            raise self._lost(connection)
        with trio.CancelScope() as scope:
            connection.calls.add(scope)
            try:
                return await function(connection.client)
            except MCPError as error:
                if error.code != _CONNECTION_CLOSED:
                    raise
                connection.lose(McpUnavailable(f"{self._name} ended before it answered"))
            finally:
                connection.calls.discard(scope)
        raise self._lost(connection)

    def _lost(self, connection: _Connection) -> McpUnavailable:
        if not self._leaving.is_set():
            return connection.lost()
        return McpUnavailable(f"{self._name} is closed, for its `async with open_mcp(...)` was left: stay inside")

    async def _next(self) -> None:
        turned = trio.Event()
        self._waiting.append(turned)
        await turned.wait()

    def _turn(self) -> None:
        """Wake who waits: it is up, or cannot be had."""
        waiting, self._waiting = self._waiting, []
        self._wanted = trio.Event()
        for turned in waiting:
            turned.set()

    async def _serve(self) -> None:
        """Connect once, and stay until that is over."""
        self._status = None
        self._connection = connection = _Connection(trio.CancelScope(deadline=trio.current_time() + self._timeout))
        was_up = False
        problem = McpUnavailable(f"{self._name} did not answer within {self._timeout:g} s")
        try:
            with connection.scope, self._explained():
                async with self._open_client() as client, trio.open_nursery() as nursery:
                    following = trio.Event()
                    nursery.start_soon(self._follow_changes, client, following)
                    await following.wait()  # before the tools are asked for: no change falls between
                    connection.scope.deadline = math.inf
                    problem = McpUnavailable(f"{self._name} ended")
                    connection.client, was_up = client, True
                    _log.info("%s is connected", self._name)
                    self._turn()
                    await self._leaving.wait()
                    nursery.cancel_scope.cancel(reason="the toolset is closed")
        except McpUnavailable as error:
            problem = error
        connection.lose(problem)
        if self._leaving.is_set():
            _log.info("%s is closed", self._name)
        else:
            # what cannot be had at first is raised
            level = logging.WARNING if was_up else logging.DEBUG
            _log.log(level, "%s is lost: %s", self._name, problem_of(problem.__cause__ or problem))
        if self._leaving.is_set() or not was_up:
            self._turn()  # else who waits came while it broke down, and waits for the next one

    async def _follow_changes(self, client: "Client", following: trio.Event) -> None:
        """Follow changes of the tools at a server that tells of them only if asked to (the protocol of 2026)."""
        from mcp import MCPError
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

        tools = client.server_capabilities.tools
        # an older server tells unasked; and if the server is gone, the next call will say so
        with suppress(ListenNotSupportedError, MCPError):
            while tools and tools.list_changed:
                with suppress(SubscriptionLost):
                    async with client.listen(tools_list_changed=True) as changes:
                        if following.is_set():  # what was told in between is lost
                            self._on_tools_changed()
                        following.set()
                        async for _ in changes:
                            self._on_tools_changed()
                await trio.sleep(_LISTEN_AGAIN_SECONDS)
        following.set()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what went wrong into one exception that says which server, what, and what can be done."""
        try:
            yield
        except Exception as error:
            raise self._explain(error) from error
        except BaseExceptionGroup as group:
            crashes, rest = group.split(Exception)
            if rest is not None or crashes is None:  # cancelled: what broke on the way out interests nobody
                raise (rest or group) from None
            raise self._explain(crashes) from group

    def _explain(self, error: BaseException) -> McpUnavailable:
        import httpx2
        from mcp import MCPError

        while isinstance(error, ExceptionGroup):  # several requests broke at once, for one reason
            error = error.exceptions[0]
        words = redact(str(error) or type(error).__name__, *self.server.secrets)
        match error:
            case FileNotFoundError() | PermissionError() | NotADirectoryError() if isinstance(self.server, StdioServer):
                why, cure = error.strerror, "Is it installed, on PATH, and is the directory (cwd) right?"
                return McpUnavailable(f"{self._name} cannot be started: {why}. {cure}")
            case MCPError(code=code) if code == _CONNECTION_CLOSED and isinstance(self.server, StdioServer):
                return McpUnavailable(
                    f"{self._name} ended before it answered: what it wrote to its standard error says why. Of the "
                    "environment it is given PATH, HOME and the like only, and what env= names"
                )
            case _ if self._status is not None:
                cure = "check the headers" if self._status in (401, 403) else "check the URL"
                return McpUnavailable(f"{self._name} answered with the HTTP status {self._status}: {cure}")
            case httpx2.TransportError():
                return McpUnavailable(f"{self._name} cannot be reached: {words}. Does it run?")
            case _:
                return McpUnavailable(f"{self._name} does not speak MCP as it should: {words}")

    @asynccontextmanager
    async def _open_client(self) -> "AsyncIterator[Client]":
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client
        from mcp_types import ToolListChangedNotification

        async def take(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                self._on_tools_changed()

        if isinstance(self.server, StdioServer):
            parameters = StdioServerParameters(
                command=self.server.command, args=list(self.server.args), env=self.server.env, cwd=self.server.cwd
            )
            errors: Any = self.server.stderr  # None: inherited
            transport = stdio_client(parameters, errlog=errors)
            async with Client(transport, message_handler=take, cache=None) as client:
                yield client
        else:
            async with (
                self._open_http(self.server) as transport,
                Client(transport, message_handler=take, cache=None) as client,
            ):
                yield client

    @asynccontextmanager
    async def _open_http(self, server: HttpServer) -> AsyncIterator[Any]:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async def note(response: httpx2.Response) -> None:
            if response.is_error:
                self._status = response.status_code

        timeout = httpx2.Timeout(_CONNECT_SECONDS, read=_READ_SECONDS)
        hooks: dict[str, list[Any]] = {"response": [note]}
        async with httpx2.AsyncClient(headers=server.headers, timeout=timeout, event_hooks=hooks) as client:
            yield streamable_http_client(server.url, http_client=client)
