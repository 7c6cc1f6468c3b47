"""The client's half: TCP, TLS and the handshake, and an error with a cure for whatever goes wrong on the way.

The link itself, once it is open, is in `websocket`; the server's half is in `serving`.
"""

import logging
import ssl
import urllib.parse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import trio
import trio_websocket

from realtime_trio.errors import ConnectError
from realtime_trio.nursery import open_services, plain

from .contract import MessageStream, Target
from .http_dates import date_in
from .link import Link
from .problems import refusal, refusal_in, tcp_problem, tls_problem
from .websocket import RECEIVE_BYTES, ReaderNursery, WebSocket, nothing

__all__ = ["open_websocket", "websocket_over"]

_log = logging.getLogger("realtime_trio.transport")


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
    where = f"{target.host} port {target.port}"
    try:
        with trio.fail_at(deadline):
            stream = await _open_stream(target)
    except trio.TooSlowError:
        raise _too_slow(where, target) from None
    _log.debug("%s: connected over %s", where, "TLS" if target.secure else "TCP")
    async with websocket_over(stream, target, deadline=deadline, where=where) as websocket:
        yield websocket


@asynccontextmanager
async def websocket_over(
    stream: trio.abc.Stream, target: Target, *, deadline: float | None = None, where: str = "the server"
) -> AsyncGenerator[MessageStream]:
    """Speak WebSocket as a client over a stream that is open already, for example one in memory.

    Args:
        stream: The stream. It is closed at the end in any case.
        target: Its URL and headers go into the handshake; its times and sizes apply.
        deadline: Trio time by which the handshake has to be done; by default `connect_timeout` from now.
        where: What the other end is called in errors. The URL's host may never have been asked.

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
            reader = ReaderNursery(services, link)
            begun = trio.current_time()
            connection = await _shake_hands(reader, link, target, deadline, where)
            _log.debug("%s: the handshake is done, after %.3f s", where, trio.current_time() - begun)
            websocket = WebSocket(connection, link, reader, target.close_timeout, target.redact)
            websocket.server_time, websocket.opened_at = date_in(connection.handshake_headers), trio.current_time()
            services.start_soon(websocket.keep_alive, target.ping_interval, target.pong_timeout)
            try:
                yield websocket
            finally:
                await websocket.aclose()
                _log.debug("%s: closed", where)
    finally:
        await trio.aclose_forcefully(link)


async def _open_stream(target: Target) -> trio.abc.Stream:
    """Resolve, connect, and put TLS on top where the URL says so."""
    host, port = target.host, target.port
    try:
        stream = await trio.open_tcp_stream(host, port)
    except (OSError, UnicodeError) as error:
        raise tcp_problem(host, port, error) from error
    except BaseExceptionGroup as group:  # Trio tries each address in a task of its own; Ctrl-C may land in one
        raise plain(group, "the connection attempt") from None
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
    reader: ReaderNursery, link: Link, target: Target, deadline: float, where: str
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
            receive_buffer_size=RECEIVE_BYTES,
        )
    if connection is None:
        if reader.rejection is not None:
            answer = reader.rejection
            raise refusal(where, answer.status_code, answer.headers, answer.body or b"", target.redact)
        if (refused := refusal_in(where, link.handshake_bytes, target.redact)) is not None:
            raise refused
        if not reader.ended:
            raise _too_slow(where, target)
        what = "answered something that is not a WebSocket handshake" if link.handshake_bytes else "hung up"
        raise ConnectError(f"{where} {what} when asked for a WebSocket: check the URL")
    reader.on_end = nothing
    link.end_handshake()
    return connection


def _too_slow(where: str, target: Target) -> ConnectError:
    return ConnectError(
        f"{where} did not answer within {target.connect_timeout:g} s: is the network up, and the address right?"
    )
