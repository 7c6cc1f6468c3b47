"""The way in: `open_mcp`."""

import math
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Unpack

import trio

from realtime_trio.core.border import as_tuple, check_text
from realtime_trio.errors import ConfigurationError
from realtime_trio.nursery import open_services
from realtime_trio.session import ToolPolicy
from realtime_trio.tools.declaring import PolicyOptions, make_policy

from .link import Link, load_sdk
from .servers import HttpServer, McpServerAddress, StdioServer
from .toolset import McpToolset, Offer, Selection

__all__ = ["open_mcp"]

_GOODBYE_SECONDS = 1.0


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_mcp(
    server: McpServerAddress,
    *,
    prefix: str = "",
    include: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    startup_timeout: float = 30.0,
    **policy: Unpack[PolicyOptions],
) -> AsyncGenerator[McpToolset]:
    """Start an MCP server, or connect to one, and have its tools until the block is left.

        async with open_mcp(StdioServer("uvx", "mcp-server-time")) as clock:
            async with open_session(tools=[*clock]) as session:
                ...

    The model's arguments are checked against the server's schema before a call is made. Text of a result is passed on,
    structured content as JSON; of pictures, sounds and files the model is told that there are such. What the server
    calls an error the model is told as an error. Progress becomes `ToolProgress`. A call that is cancelled, by a
    timeout or an interruption for example, is cancelled at the server.

    When the server dies, calls get an error output and are reported as `ToolFailed`; the session goes on. A server at a
    URL is connected to again by the next call.

    Args:
        server: Where it is.
        prefix: Put before each tool's name, so that the tools of several servers do not clash.
        include: The names of the tools to offer, as the server has them; None for all.
        exclude: The names of tools not to offer.
        startup_timeout: How long the server may take to answer, in seconds.
        policy: How calls are run, as for `tool`: `timeout`, `on_interrupt`, `approve` and the others.

    Yields:
        The tools.

    Raises:
        ConfigurationError: The package mcp is not installed; or a tool cannot be told to a model; or an argument does
            not fit.
        McpUnavailable: The server could not be started or reached, or did not answer in time.

    Cancellation:
        The block is cancelled first; then the connection ends. A program is asked to end by closing its input, and
        killed with all that it started if it has not within 2 s.

    Tasks:
        The connection, and one that follows changes of the tools; gone when the block has ended, and so is the program.
    """
    _check(server, prefix, startup_timeout)
    make_policy(ToolPolicy(), policy, "open_mcp")  # refused before anything is started
    selection = Selection(prefix, None if include is None else _names("include", include), _names("exclude", exclude))
    await trio.to_thread.run_sync(load_sdk)
    changes = _Changes()
    link = Link(server, startup_timeout, changes.note)
    offer = Offer(link, selection, policy)
    async with open_services(f"the MCP server {server.name}") as services:
        services.start_soon(link.run)
        try:
            await link.first()
            await offer.load()
            services.start_soon(changes.follow, offer)
            yield McpToolset(offer)
        finally:
            with trio.move_on_after(_GOODBYE_SECONDS, shield=True):
                await link.leave()


class _Changes:
    """What the server said of changes, until it is looked into."""

    def __init__(self) -> None:
        self._noted = trio.Event()

    def note(self) -> None:
        """The tools are others now."""
        self._noted.set()

    async def follow(self, offer: Offer) -> None:
        """Load them anew whenever they are, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            await offer.reload()


def _check(server: object, prefix: object, startup_timeout: object) -> None:
    """Refuse at the border what would be a riddle inside."""
    if not isinstance(server, StdioServer | HttpServer):
        raise ConfigurationError(f"an MCP server is StdioServer(...) or HttpServer(...), not {type(server).__name__}")
    check_text("prefix", prefix)
    is_flag = isinstance(startup_timeout, bool)
    if is_flag or not isinstance(startup_timeout, int | float) or not 0 < startup_timeout < math.inf:
        raise ConfigurationError(f"startup_timeout is a number of seconds above 0, not {startup_timeout!r}")


def _names(what: str, names: Iterable[str]) -> frozenset[str]:
    given = as_tuple(f"{what} is a list of names", names, cure=f"{what}=['...']")
    for name in given:
        check_text(f"{what} is a list of names, and a name", name)
    return frozenset(given)
