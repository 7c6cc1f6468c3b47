"""The WebSocket link: text messages in, text messages out, and an end that comes in bounded time and has a reason.

This module alone knows `trio_websocket`; its exceptions and everybody else's become ours here. Events, queues and the
order of what is sent are the connection's business.

How an end is noticed, and who says why:

- The peer says CLOSE: its code and reason.
- The link drops: code 1006.
- Sending makes no progress for `send_timeout`: 1006 "stalled". trio-websocket answers pings under its send lock, so a
  blocked uplink stops its reader too; without this rule nobody would ever notice.
- Nothing at all arrives for `pong_timeout` after our ping while we listen: 1006 "keepalive". "While we listen" matters:
  trio-websocket reads on only when its last message was taken, so a missing pong says nothing about the link as long
  as the application leaves messages lying. The stopwatch therefore runs only while a read is waiting for bytes, and
  any bytes count as a sign of life, since a pong may stand behind a long message.
"""

import contextlib
import re
import ssl
import urllib.parse
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, TypeAlias, cast

import attrs
import trio
import trio_websocket
import wsproto.utilities

from realtime_trio.config import shown_url
from realtime_trio.errors import ConnectError, ConnectionClosed, RemoteProtocolError, SessionExpired
from realtime_trio.nursery import Services, open_services

from .link import Link
from .problems import refusal, refusal_in, tcp_problem, tls_problem

__all__ = [
    "Connect",
    "Handshake",
    "MessageStream",
    "Target",
    "open_websocket",
    "receive_handshake",
    "websocket_over",
]

# trio-websocket's own 4 KiB cost 94 microseconds per audio message, these 37
_RECEIVE_BYTES: Final = 64 * 1024
_MAX_MESSAGE_SIZE: Final = 64 * 2**20
_GOING_AWAY: Final = 1001
_PROTOCOL_ERROR: Final = 1002
_LOST: Final = 1006
_EXPIRY: Final = re.compile(r"maximum duration|session.{0,20}expired", re.IGNORECASE)
_ENDS: Final = (trio_websocket.ConnectionClosed, wsproto.utilities.LocalProtocolError)


class MessageStream(Protocol):
    """A link that carries whole text messages. `open_websocket` gives one; a user's own `connect` may give another."""

    async def send_message(self, message: str, /) -> None:
        """Send one message; only one task at a time does, and it is not cancelled in the middle.

        Raises:
            ConnectionClosed: The link is over. From then on `receive_message` hands out what had arrived, and raises.

        Cancellation:
            May leave part of the message on the wire: nothing can be sent after it.
        """

    async def receive_message(self) -> str:
        """Wait for the next message.

        Raises:
            ConnectionClosed: The link is over and every message was handed out.
            RemoteProtocolError: Something arrived that is not text. The link goes on.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and let go of everything, within a second whatever the peer does. Nothing is raised.

        Cancellation:
            Closes all the same, and is not heard before that.
        """


@attrs.frozen(kw_only=True)
class Target:
    """Where to connect, what to send along, and how long to wait for what."""

    url: str = attrs.field(repr=lambda url: repr(shown_url(url)))
    """The whole `ws://` or `wss://` URL."""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=lambda pairs: repr([name for name, _ in pairs]))
    """Headers of the handshake; their values are not shown."""
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    """For `wss://`; None means the system's default."""
    connect_timeout: float = 15.0
    """Seconds for name resolution, TCP, TLS and the handshake together."""
    send_timeout: float = 5.0
    """Seconds without progress in sending after which the link counts as dead."""
    ping_interval: float = 20.0
    """Seconds between our pings."""
    pong_timeout: float = 20.0
    """Seconds of silence after a ping after which the link counts as dead."""
    close_timeout: float = 1.0
    """Seconds that the goodbye may take."""
    max_message_size: int = _MAX_MESSAGE_SIZE
    """Characters that one message may have; a longer one ends the connection with code 1009."""

    @property
    def host(self) -> str:
        """The host, without brackets."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, 443 or 80 if the URL names none."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether the URL asks for TLS."""
        return self.url.startswith("wss:")


Connect: TypeAlias = Callable[[Target], AbstractAsyncContextManager[MessageStream]]
"""What opens the link to a target: `open_websocket`, or a scripted peer's `connect`."""


@asynccontextmanager
async def open_websocket(target: Target) -> AsyncGenerator[MessageStream]:
    """Connect over TCP, with TLS for `wss://`, and keep the link alive until the body ends.

    Args:
        target: Where to.

    Yields:
        The open link.

    Raises:
        ConnectError: Name resolution, TCP, TLS or the handshake failed, or took longer than `connect_timeout`.
        Refused: The server answered with another status than 101.

    Cancellation:
        Closes the link, in at most `close_timeout`.

    Tasks:
        One that reads, one that pings, one that watches whether sending gets on. An end of the link is raised by the
        stream's methods, not by this block.
    """
    deadline = trio.current_time() + target.connect_timeout
    try:
        with trio.fail_at(deadline):
            stream = await _open_stream(target)
    except trio.TooSlowError:
        raise _too_slow(target) from None
    async with websocket_over(stream, target, deadline=deadline) as websocket:
        yield websocket


@asynccontextmanager
async def websocket_over(
    stream: trio.abc.Stream, target: Target, *, deadline: float | None = None
) -> AsyncGenerator[MessageStream]:
    """Speak WebSocket as a client over a stream that is open already, for example one in memory.

    Args:
        stream: The stream. It is closed at the end in any case.
        target: Its URL and headers go into the handshake; its times and sizes apply.
        deadline: Trio time by which the handshake has to be done; by default `connect_timeout` from now.

    Yields:
        The open link.

    Raises:
        ConnectError: The handshake failed or took too long.
        Refused: The server answered with another status than 101.

    Cancellation:
        Closes the link, in at most `close_timeout`.

    Tasks:
        As `open_websocket`.
    """
    if deadline is None:
        deadline = trio.current_time() + target.connect_timeout
    link = Link(stream, target.send_timeout)
    try:
        async with open_services("the WebSocket") as services:
            services.start_soon(link.watch_sending)
            reader = _Reader(services, link)
            connection = await _shake_hands(reader, link, target, deadline)
            websocket = _WebSocket(connection, link, reader, target.close_timeout)
            services.start_soon(websocket.keep_alive, target.ping_interval, target.pong_timeout)
            try:
                yield websocket
            finally:
                await websocket.aclose()
    finally:
        await trio.aclose_forcefully(link)


@attrs.define
class Handshake:
    """A client's request to speak WebSocket, not answered yet."""

    path: str
    """The path of the URL."""
    query: dict[str, str]
    """The query of the URL, the last value of each name."""
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=lambda pairs: repr([name for name, _ in pairs]))
    """The client's headers, names in lower case. Their values are not shown."""
    _request: trio_websocket.WebSocketRequest = attrs.field(repr=False, alias="request")
    _wrap: Callable[[trio_websocket.WebSocketConnection], MessageStream] = attrs.field(repr=False, alias="wrap")

    def header(self, name: str) -> str | None:
        """Return the first header of this name (any case), or None."""
        return next((value for other, value in self.headers if other == name.lower()), None)

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the client proposes, in its order."""
        return tuple(self._request.proposed_subprotocols)

    async def accept(self, *, headers: Iterable[tuple[str, str]] = (), subprotocol: str | None = None) -> MessageStream:
        """Answer 101.

        Returns:
            The link; it is closed at the end of `receive_handshake`'s block.

        Raises:
            ConnectionClosed: The client is gone.

        Cancellation:
            Leaves half an answer: close the link then.
        """
        pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        try:
            connection = await self._request.accept(extra_headers=pairs, subprotocol=subprotocol)
        except _ENDS:
            raise ConnectionClosed(_LOST, "the client left during the handshake") from None
        return self._wrap(connection)

    async def reject(self, status: int, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer with a status instead.

        Raises:
            ConnectionClosed: The client is gone.

        Cancellation:
            Leaves half an answer: close the link then.
        """
        pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        try:
            await self._request.reject(status, extra_headers=pairs, body=body)
        except _ENDS:
            raise ConnectionClosed(_LOST, "the client left during the handshake") from None


@asynccontextmanager
async def receive_handshake(
    stream: trio.abc.Stream,
    *,
    timeout: float = 15.0,  # noqa: ASYNC109  it is for the handshake alone, the block goes on
    send_timeout: float = 5.0,
    close_timeout: float = 1.0,
    max_message_size: int = _MAX_MESSAGE_SIZE,
) -> AsyncGenerator[Handshake]:
    """Speak WebSocket as a server: wait for the client's request. The link lives as long as the block.

    Args:
        stream: A stream that a client opened. It is closed at the end in any case.
        timeout: Seconds in which the request has to come.
        send_timeout: Seconds without progress in sending after which the link counts as dead.
        close_timeout: Seconds that the goodbye may take.
        max_message_size: Characters that one message may have.

    Yields:
        The request, to be accepted or rejected.

    Raises:
        ConnectError: No proper request came in time.

    Cancellation:
        Closes the link, in at most `close_timeout`.

    Tasks:
        One that reads, one that watches whether sending gets on.
    """
    link = Link(stream, send_timeout)
    accepted: list[_WebSocket] = []
    try:
        async with open_services("the WebSocket") as services:
            services.start_soon(link.watch_sending)
            reader = _Reader(services, link)

            def wrap(connection: trio_websocket.WebSocketConnection) -> MessageStream:
                accepted.append(_WebSocket(connection, link, reader, close_timeout))
                return accepted[-1]

            request = None
            with trio.move_on_after(timeout) as scope:
                reader.on_end = scope.cancel
                request = await trio_websocket.wrap_server_stream(
                    cast("trio.Nursery", reader),
                    link,
                    max_message_size=max_message_size,
                    receive_buffer_size=_RECEIVE_BYTES,
                )
            if request is None:
                raise ConnectError("no WebSocket handshake came" if reader.ended else "no handshake came in time")
            reader.on_end = _nothing
            link.end_handshake()
            try:
                yield _handshake_of(request, wrap)
            finally:
                for websocket in accepted:
                    await websocket.aclose()
    finally:
        await trio.aclose_forcefully(link)


def _handshake_of(
    request: trio_websocket.WebSocketRequest,
    wrap: Callable[[trio_websocket.WebSocketConnection], MessageStream],
) -> Handshake:
    path, _, query = request.path.partition("?")
    return Handshake(
        path=path,
        query=dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
        headers=tuple(
            (name.decode("ascii", "replace").lower(), value.decode("latin-1")) for name, value in request.headers
        ),
        request=request,
        wrap=wrap,
    )


async def _open_stream(target: Target) -> trio.abc.Stream:
    """Resolve, connect, and put TLS on top where the URL says so."""
    host, port = target.host, target.port
    try:
        stream = await trio.open_tcp_stream(host, port)
    except (OSError, UnicodeError) as error:
        raise tcp_problem(host, port, error) from error
    if not target.secure:
        return stream
    context = target.ssl_context or ssl.create_default_context()
    tls = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await tls.do_handshake()
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stream)
        raise tls_problem(host, port, error.__cause__) from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return tls


async def _shake_hands(
    reader: "_Reader", link: Link, target: Target, deadline: float
) -> trio_websocket.WebSocketConnection:
    """Do the client's half of the handshake."""
    parts = urllib.parse.urlsplit(target.url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    connection = None
    with trio.move_on_at(deadline) as scope:
        reader.on_end = scope.cancel
        connection = await trio_websocket.wrap_client_stream(
            cast("trio.Nursery", reader),
            cast("trio.SocketStream", link),
            host if parts.port is None else f"{host}:{parts.port}",
            urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")),
            extra_headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in target.headers],
            max_message_size=target.max_message_size,
            receive_buffer_size=_RECEIVE_BYTES,
        )
    where = f"{host} port {target.port}"
    if connection is None:
        if reader.rejection is not None:
            raise refusal(where, reader.rejection.status_code, reader.rejection.headers, reader.rejection.body or b"")
        if (refused := refusal_in(where, link.handshake_bytes)) is not None:
            raise refused
        if not reader.ended:
            raise _too_slow(target)
        what = "answered something that is not a WebSocket handshake" if link.handshake_bytes else "hung up"
        raise ConnectError(f"{where} {what} when asked for a WebSocket: check the URL")
    reader.on_end = _nothing
    link.end_handshake()
    return connection


def _too_slow(target: Target) -> ConnectError:
    return ConnectError(
        f"{target.host} port {target.port} did not answer within {target.connect_timeout:g} s: "
        "is the network up, and the address right?"
    )


def _nothing() -> None:
    pass


class _Reader:
    """Stands in for the nursery in which trio-websocket starts its reader: shelters that task, and knows its end.

    trio-websocket's handshake waits for ever when the peer hangs up in the middle of it, its reader lets foreign
    exceptions out, and Ctrl-C may land in it. All three are dealt with here.
    """

    def __init__(self, services: Services, link: Link) -> None:
        self._services = services
        self._link = link
        self.ended = False
        self.rejection: trio_websocket.ConnectionRejected | None = None
        self.crash = ""
        self.on_end: Callable[[], None] = _nothing

    def start_soon(self, reader_task: Callable[[], Awaitable[None]]) -> None:
        self._services.start_soon(self._run, reader_task)

    async def _run(self, reader_task: Callable[[], Awaitable[None]]) -> None:
        try:
            await reader_task()
        except trio_websocket.ConnectionRejected as rejection:
            self.rejection = rejection
        except (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # an end like any other: the connection knows its reason
        except Exception as error:  # noqa: BLE001  bytes from outside must not bring down the task of a third party
            self.crash = type(error).__name__
        finally:
            self.ended = True
            self.on_end()
            await trio.aclose_forcefully(self._link)


class _WebSocket:
    """A `MessageStream` over trio-websocket."""

    def __init__(
        self, connection: trio_websocket.WebSocketConnection, link: Link, reader: _Reader, close_timeout: float
    ) -> None:
        self._connection = connection
        self._link = link
        self._reader = reader
        self._close_timeout = close_timeout
        self._closed = False

    async def send_message(self, message: str, /) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this side closed the connection")
        try:
            await self._connection.send_message(message)
        except _ENDS:
            raise self._end() from None

    async def receive_message(self) -> str:
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._end() from None
        if isinstance(message, str):
            return message
        raise RemoteProtocolError(f"a binary message of {len(message)} bytes arrived; the protocol is text")

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        if not self._closed:
            self._closed = True
            # after part of a frame, the peer would take our CLOSE for the rest of it
            if not self._link.torn:
                with trio.move_on_after(self._close_timeout, shield=True), contextlib.suppress(*_ENDS):
                    await self._connection.aclose(code, reason or None)
        await trio.aclose_forcefully(self._link)

    async def keep_alive(self, interval: float, patience: float) -> None:
        """Ping, and give the link up when nothing comes back."""
        with trio.CancelScope() as scope:
            self._reader.on_end = scope.cancel
            while not self._reader.ended:
                await trio.sleep(interval)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ping, nursery.cancel_scope)
                    await self._link.silent_for(patience)
                    await self._link.give_up("keepalive")
                    nursery.cancel_scope.cancel(reason="no pong came")

    @trio.lowlevel.enable_ki_protection
    async def _ping(self, waiting: trio.CancelScope) -> None:
        with contextlib.suppress(*_ENDS):
            await self._connection.ping()
        waiting.cancel(reason="the pong came, or the link ended")

    def _end(self) -> Exception:
        """Say why the link is over."""
        if self._closed:
            return trio.ClosedResourceError("this side closed the connection")
        if self._link.verdict is not None:
            return ConnectionClosed(_LOST, self._link.verdict)
        closed = self._connection.closed
        if closed is None:
            cause = f" ({self._reader.crash})" if self._reader.crash else ""
            return ConnectionClosed(_PROTOCOL_ERROR, f"the peer sent something that is not WebSocket{cause}")
        code = int(closed.code)  # trio-websocket may have wsproto's enumeration here
        reason = closed.reason or ("the link was lost" if code == _LOST else "")
        if code == _GOING_AWAY and _EXPIRY.search(reason):
            return SessionExpired(code, reason)
        return ConnectionClosed(code, reason)
