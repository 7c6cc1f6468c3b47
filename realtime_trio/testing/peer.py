"""A server that does what a test tells it, line by line: over memory streams under a mock clock, or over a socket.

It speaks real WebSocket and knows nothing of conversations: what it sends may come late, in the wrong order, or make no
sense. The server that behaves is `realtime_trio.server`.
"""

import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import attrs
import msgspec
import trio
import trio.testing

from realtime_trio.errors import ConnectError, ConnectionClosed, RemoteProtocolError
from realtime_trio.events import ServerEvent, encode
from realtime_trio.nursery import Services, open_services
from realtime_trio.transport import Handshake, MessageStream, Target, receive_handshake, websocket_over

from .expectations import PATIENCE, Event, Expectations
from .json_match import merge
from .wire import UnrulyStream, memory_link

__all__ = ["ScriptedPeer", "open_scripted_peer"]

Script: TypeAlias = Callable[["ScriptedPeer"], Awaitable[object]]
"""What a peer does by itself on every connection."""

_DEFAULT_SESSION: Final = {
    "type": "realtime",
    "id": "sess_scripted",
    "object": "realtime.session",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
}


@attrs.frozen
class _Refusal:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class ScriptedPeer(Expectations):
    """A scripted server. Make one with `open_scripted_peer`.

    One connection at a time is current: the newest. What the client sent is first in, first out in `expect`, and all of
    it stands in `received`.
    """

    def __init__(self, services: Services, *, greet: bool, script: Script | None, patience: float) -> None:
        super().__init__(patience)
        self._services = services
        self._greet = greet
        self._script = script
        self._stream: MessageStream | None = None
        self._wire: UnrulyStream | None = None
        self._refusal: _Refusal | None = None
        self._next_id = 0
        self._answers: dict[str, Callable[[Event], Iterable[Event]]] = {}
        self._scripts = 0
        self.url = "ws://scripted.localhost/v1/realtime"
        """Where it listens; over memory streams, only a name."""
        self.session: Event = dict(_DEFAULT_SESSION)
        """The configuration that `greet` announces and that session.update is merged into."""
        self.handshakes: list[Handshake] = []
        """The handshakes of all clients: path, query, headers."""

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncGenerator[MessageStream]:
        """Connect to this peer over memory streams: for `open_connection(connect=peer.connect)` and `open_session`.

        Args:
            target: Its headers and times are used, and its URL in the handshake.

        Yields:
            The client's end.

        Raises:
            Refused: The peer was told to `refuse`.

        Cancellation:
            Closes the link.
        """
        client, server = memory_link()
        self._services.start_soon(self._serve, server)
        async with websocket_over(client, target) as stream:
            yield stream

    def accept_stream(self, stream: trio.abc.Stream, /) -> None:
        """Serve a client that is at the other end of a byte stream, for example of a `memory_pipe`.

        Args:
            stream: The peer's end. It is closed when the client is gone.
        """
        self._services.start_soon(self._serve, stream)

    async def send(self, event: ServerEvent | Mapping[str, Any] | str, /, **fields: object) -> Event:
        """Send an event, whether it makes sense or not.

        Args:
            event: A typed event, a JSON object, or a type with the fields as keywords:
                `await peer.send("response.done", response={...})`. A missing `event_id` is filled in.
            **fields: The fields, when `event` is a type.

        Returns:
            What was sent, as JSON has it.

        Raises:
            ConnectionClosed: The client is gone.

        Cancellation:
            May leave half an event on the wire.
        """
        if isinstance(event, str):
            value: Event = {"type": event, **fields}
        elif isinstance(event, Mapping):
            value = {**event, **fields}
        else:
            value = {**json.loads(encode(event)), **fields}
        if "event_id" not in value:
            self._next_id += 1
            value["event_id"] = f"event_{self._next_id}"
        await self.send_text(msgspec.json.encode(value).decode())
        return value

    async def send_text(self, text: str) -> None:
        """Send a message as it is: it need not be JSON.

        Raises:
            ConnectionClosed: The client is gone.

        Cancellation:
            May leave half a message on the wire.
        """
        await (await self.connected()).send_message(text)

    async def send_bytes(self, data: bytes) -> None:
        """Put bytes on the wire that need not be WebSocket at all.

        Cancellation:
            May leave some of them unsent.
        """
        await self.connected()
        assert self._wire is not None  # noqa: S101  a connection has one
        await self._wire.send_raw(data)

    async def greet(self, *, update: bool = True, **session: object) -> Event | None:
        """Send session.created; then answer the session.update that follows, as a server does.

        Args:
            update: Wait for the update.
            **session: Fields of the configuration that differ from the default.

        Returns:
            The update, when one was waited for.

        Raises:
            AssertionError: Something else came.

        Cancellation:
            Safe between events.
        """
        await self.connected()
        self.session |= session
        await self.send("session.created", session=self.session)
        if not update:
            return None
        event = await self.expect("session.update")
        await self.send("session.updated", session=self._merged(event))
        return event

    def answer(self, type: str, reply: Callable[[Event], Iterable[Event]]) -> None:
        """Answer every event of a type by itself; `expect` does not see those.

        Args:
            type: The client's event.
            reply: Makes the events to send from it.
        """
        self._answers[type] = reply

    def answer_updates(self) -> None:
        """Answer every session.update by itself with the merged configuration."""
        self.answer("session.update", lambda event: [{"type": "session.updated", "session": self._merged(event)}])

    async def connected(self) -> MessageStream:
        """Wait until a client is connected.

        Returns:
            The link to the newest.

        Raises:
            AssertionError: None came.

        Cancellation:
            Safe.
        """
        with trio.move_on_after(self._patience):
            while self._stream is None:
                await self._news.wait()
        if self._stream is None:
            raise AssertionError("expected a client to connect, but none came")
        return self._stream

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, as a server does.

        Cancellation:
            Closes all the same.
        """
        await (await self.connected()).aclose(code, reason)

    async def drop(self) -> None:
        """Lose the link: no CLOSE, just the end.

        Cancellation:
            The link is lost all the same.
        """
        await self.connected()
        assert self._wire is not None  # noqa: S101  a connection has one
        await self._wire.lose()

    def refuse(self, status: int, body: str | bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer every handshake from now on with this HTTP status; 101 means that clients are let in again."""
        data = body.encode() if isinstance(body, str) else body
        self._refusal = None if status == 101 else _Refusal(status, data, tuple(headers))  # noqa: PLR2004

    def never_answer_close(self) -> None:
        """Take every event, but leave the client's CLOSE unanswered and the link open."""
        self._need_wire().mute_close()

    def never_answer_pings(self) -> None:
        """Leave the client's pings unanswered."""
        self._need_wire().mute_pongs()

    def stall(self) -> None:
        """Stop reading: the client's bytes go nowhere, until `resume`."""
        self._need_wire().stall()

    def resume(self) -> None:
        """Read on."""
        self._need_wire().resume()

    def _need_wire(self) -> UnrulyStream:
        if self._wire is None:
            raise AssertionError("no client is connected: await peer.connected() first")
        return self._wire

    def _merged(self, event: Event) -> Event:
        self.session = merge(self.session, event.get("session") or {})
        return self.session

    async def _serve(self, stream: trio.abc.Stream) -> None:
        """Serve one client from its handshake to its end."""
        wire = stream if isinstance(stream, UnrulyStream) else UnrulyStream(stream)
        try:
            async with receive_handshake(wire) as handshake:
                self.handshakes.append(handshake)
                if self._refusal is not None:
                    await handshake.reject(self._refusal.status, self._refusal.body, self._refusal.headers)
                    return
                link = await handshake.accept()
                self._stream, self._wire, self.closed = link, wire, None
                self._tell()
                async with trio.open_nursery() as nursery:
                    if self._script is not None:
                        self._scripts += 1
                        nursery.start_soon(self._play, self._script)
                    await self._read(link)
            await wire.wait_for_hangup()
        except (ConnectError, ConnectionClosed):
            pass  # the client gave up during the handshake
        finally:
            with trio.move_on_after(1, shield=True):
                await wire.lose()
            self._tell()

    async def _play(self, script: Script) -> None:
        try:
            await script(self)
        except ConnectionClosed:
            pass  # the client left while something was sent: whether it may is for the other side of the test
        finally:
            self._scripts -= 1
            self._tell()

    async def _read(self, link: MessageStream) -> None:
        """Take what the client sends, until it is gone."""
        try:
            if self._greet:
                await self.send("session.created", session=self.session)
            while True:
                event = await _receive(link)
                self.received.append(event)
                reply = self._answers.get(str(event.get("type")))
                if reply is None:
                    self._take(event)
                else:
                    for answer in reply(event):
                        await self.send(answer)
        except (ConnectionClosed, trio.ClosedResourceError) as end:
            if self._stream is link:
                self.closed = end if isinstance(end, ConnectionClosed) else ConnectionClosed(None, "closed here")
                self._stream = None
                self._tell()

    async def wait_for_scripts(self) -> None:
        """Wait until the script of every connection is at its end.

        Raises:
            AssertionError: One is not, after the peer's patience.

        Cancellation:
            Safe.
        """
        with trio.move_on_after(self._patience):
            while self._scripts:
                await self._news.wait()
        if self._scripts:
            raise AssertionError("the script is not at its end, but the test is")


async def _receive(link: MessageStream) -> Event:
    try:
        event = json.loads(await link.receive_message())
    except (RemoteProtocolError, ValueError):
        return {"type": "not JSON"}
    return event if isinstance(event, dict) else {"type": "not an object", "value": event}


@asynccontextmanager
async def open_scripted_peer(
    script: Script | None = None,
    *,
    greet: bool = False,
    port: int | None = None,
    ssl_context: ssl.SSLContext | None = None,
    patience: float = PATIENCE,
) -> AsyncGenerator[ScriptedPeer]:
    """Open a scripted server.

    ```python
    async def test_it_says_hello(autojump_clock):
        async with open_scripted_peer(greet=True) as peer, open_session(connect=peer.connect) as session:
            ...
    ```

    Args:
        script: Runs on every connection, beside the client: `await peer.expect(...)`, `await peer.send(...)`. What it
            raises is raised here.
        greet: Send session.created on every connection, and answer every session.update.
        port: Listen on this port of 127.0.0.1 (0: any that is free) instead of over memory streams; connect to
            `peer.url` then. Needs the real clock.
        ssl_context: Listen with TLS.
        patience: Seconds that `expect` waits.

    Yields:
        The peer.

    Raises:
        AssertionError: The script found something that it did not expect, or is not at its end when the body is.

    Cancellation:
        Drops the connections.

    Tasks:
        One per client.
    """
    async with open_services("the scripted peer") as services:
        peer = ScriptedPeer(services, greet=greet, script=script, patience=patience)
        if greet:
            peer.answer_updates()
        if port is None:
            yield peer
            await peer.wait_for_scripts()
            return
        listeners: list[trio.SocketListener] = await trio.open_tcp_listeners(port, host="127.0.0.1")
        number = listeners[0].socket.getsockname()[1]
        secure = [
            listener if ssl_context is None else trio.SSLListener(listener, ssl_context) for listener in listeners
        ]
        peer.url = f"{'ws' if ssl_context is None else 'wss'}://127.0.0.1:{number}/v1/realtime"
        services.start_soon(trio.serve_listeners, peer._serve, secure)  # noqa: SLF001  its own module starts it
        yield peer
        await peer.wait_for_scripts()
