"""A proxy that does to links what a bad network does: over sockets, or in memory under a mock clock.

It passes bytes on and knows nothing of WebSocket. What can go wrong is in `faults`, how it is done in `faulty_link`.
"""

import urllib.parse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

import trio

from realtime_trio.errors import ConfigurationError, ConnectError
from realtime_trio.nursery import Services, open_services
from realtime_trio.transport import MessageStream, Target, websocket_over

from .faults import Fault, FaultPlan, plans
from .faulty_link import FaultyConnection, Stream
from .memory_pipe import memory_pipe

__all__ = ["FaultyProxy", "TakesStreams", "open_faulty_proxy"]


@runtime_checkable
class TakesStreams(Protocol):
    """What takes clients in memory: the offline server, and a scripted peer."""

    url: str

    def accept_stream(self, stream: trio.abc.Stream, /) -> None:
        """Serve a client that is at the other end of a byte stream."""


class FaultyProxy:
    """A proxy with faults. Made by `open_faulty_proxy`.

    Attributes:
        url: Where it listens, for `open_session(url=proxy.url)`; in memory the server's own URL, which is only a name.
        connections: Every connection that came through it, in order.
    """

    def __init__(self, services: Services, server: str | TakesStreams, plan: FaultPlan, capacity: int) -> None:
        self.url = server if isinstance(server, str) else server.url
        self.connections: list[FaultyConnection] = []
        self._services = services
        self._server = server
        self._plan = plans(plan)
        self._capacity = capacity
        self._came = 0
        self._open = True
        self._news = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncGenerator[MessageStream]:
        """Connect in memory: for `open_session(connect=proxy.connect, url=proxy.url)`, also under a mock clock.

        Args:
            target: Its path, query and headers count; its host does not.

        Yields:
            The client's end.

        Raises:
            ConfigurationError: This proxy is one over sockets: connect to its `url`.
            ConnectError: A fault had it that no connection came about, or the proxy has ended.
            Refused: The server does not let this client in.

        Cancellation:
            Closes the link.
        """
        if isinstance(self._server, str):
            raise ConfigurationError("this proxy listens on a socket: connect to its url, without connect=")
        if not self._open:
            raise ConnectError("the proxy has ended")
        client, ours = memory_pipe(self._capacity)
        self._services.start_soon(self.serve, ours)
        async with websocket_over(client, target) as link:
            yield link

    async def connection(self, number: int) -> FaultyConnection:
        """Wait until there is such a connection.

        Args:
            number: The first is 1.

        Returns:
            The connection, which may be over.

        Cancellation:
            Safe.
        """
        await trio.lowlevel.checkpoint()
        while len(self.connections) < number:
            await self._news.park()
        return self.connections[number - 1]

    def plan(self, plan: FaultPlan) -> None:
        """Plan faults for connections that are still to come, instead of what was planned for them.

        Args:
            plan: As `open_faulty_proxy` takes it.
        """
        self._plan |= plans(plan)

    def strike(self, fault: Fault) -> None:
        """Have a fault happen to the newest connection now. See `FaultyConnection.strike`.

        Raises:
            ConfigurationError: It can only be planned, or there is no connection.
        """
        if not self.connections:
            raise ConfigurationError("there is no connection yet: plan the fault, or wait for connection(1)")
        self.connections[-1].strike(fault)

    def close(self) -> None:
        """Take no more clients in memory."""
        self._open = False

    async def serve(self, client: Stream) -> None:
        """Pass one client through.

        Args:
            client: A stream that it opened.

        Cancellation:
            Closes the connection.
        """
        self._came += 1
        number = self._came
        server = await self._open_server_end()
        if server is None:
            await trio.aclose_forcefully(client)
            return
        connection = FaultyConnection(number, self._plan.get(number, ()), client, server)
        self.connections.append(connection)
        self._news.unpark_all()
        await connection.run()

    async def _open_server_end(self) -> Stream | None:
        """Connect to the server; None if it is not there."""
        if not isinstance(self._server, str):
            ours, theirs = memory_pipe(self._capacity)
            self._server.accept_stream(theirs)
            return ours
        parts = urllib.parse.urlsplit(self._server)
        try:
            return await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)
        except OSError:
            return None


@asynccontextmanager
async def open_faulty_proxy(
    server: str | TakesStreams, plan: FaultPlan = (), *, capacity: int = 64 * 1024
) -> AsyncGenerator[FaultyProxy]:
    """Open a proxy that has faults, before a server that has none.

    ```python
    async def test_a_lost_link_costs_no_word(autojump_clock):
        async with (
            open_server(listen=False) as server,
            open_faulty_proxy(server, Cut(direction="down", after=20_000)) as proxy,
            open_session(connect=proxy.connect, url=proxy.url) as session,
        ):
            ...
    ```

    Args:
        server: What takes streams, for a proxy in memory: an `open_server(listen=False)`, or an `open_scripted_peer()`.
            Or a server's `ws://` URL: then the proxy listens on a port of 127.0.0.1, and needs the real clock.
        plan: The faults of the first connection; for others a mapping `{2: [Cut(after=100)], 3: Stall()}`. A
            connection without faults is clean.
        capacity: In memory, how many bytes fit into each buffer on the way. With sockets the system says.

    Yields:
        The proxy.

    Raises:
        ConfigurationError: The plan is none, or the URL is not a `ws://` one.

    Cancellation:
        Closes all connections.

    Tasks:
        Four a connection.
    """
    if isinstance(server, str) and urllib.parse.urlsplit(server).scheme != "ws":
        raise ConfigurationError("a faulty proxy passes plain ws:// on, and nothing else")
    async with open_services("the faulty proxy") as services:
        proxy = FaultyProxy(services, server, plan, capacity)
        if isinstance(server, str):
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            proxy.url = urllib.parse.urlunsplit(urllib.parse.urlsplit(server)._replace(netloc=f"127.0.0.1:{port}"))
            services.start_soon(trio.serve_listeners, proxy.serve, [listener])
        try:
            yield proxy
        finally:
            proxy.close()
