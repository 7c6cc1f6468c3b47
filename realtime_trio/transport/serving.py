"""The server's half: a client's handshake, to be accepted or rejected.

The link itself, once it is open, is in `websocket`; the client's half is in `client`. Listening is the
server's business.
"""

import urllib.parse
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import cast

import attrs
import trio
import trio_websocket

from realtime_trio.errors import ConnectError, ConnectionClosed
from realtime_trio.nursery import open_services

from .contract import MAX_MESSAGE_SIZE, MessageStream
from .link import Link
from .websocket import ENDS, LOST, RECEIVE_BYTES, ReaderNursery, WebSocket, nothing

__all__ = ["Handshake", "receive_handshake"]


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
        except ENDS:
            raise ConnectionClosed(LOST, "the client left during the handshake") from None
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
        except ENDS:
            raise ConnectionClosed(LOST, "the client left during the handshake") from None


@asynccontextmanager
async def receive_handshake(
    stream: trio.abc.Stream,
    *,
    timeout: float = 15.0,  # noqa: ASYNC109  it is for the handshake alone, the block goes on
    send_timeout: float = 5.0,
    close_timeout: float = 1.0,
    max_message_size: int = MAX_MESSAGE_SIZE,
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
    accepted: list[WebSocket] = []
    try:
        async with open_services("the WebSocket") as services:
            services.start_soon(link.watch_sending)
            reader = ReaderNursery(services, link)

            def wrap(connection: trio_websocket.WebSocketConnection) -> MessageStream:
                accepted.append(WebSocket(connection, link, reader, close_timeout))
                return accepted[-1]

            request = None
            with trio.move_on_after(timeout) as scope:
                reader.on_end = scope.cancel
                request = await trio_websocket.wrap_server_stream(
                    cast("trio.Nursery", reader),
                    link,
                    max_message_size=max_message_size,
                    receive_buffer_size=RECEIVE_BYTES,
                )
            if request is None:
                raise ConnectError("no WebSocket handshake came" if reader.ended else "no handshake came in time")
            reader.on_end = nothing
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
