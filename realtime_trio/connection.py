"""The typed connection: events out through one writer task, events in through the caller's own task.

What events mean, and which answer belongs to which call, is the session's business; how events wait and leave is
in `outgoing`; how bytes travel is the transport's.
"""

import inspect
import logging
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self, TypeVar

import trio
from msgspec.structs import replace

from . import config
from .connection_statistics import ConnectionStatistics
from .errors import ConfigurationError, ConnectionClosed, RemoteProtocolError, SessionExpired, redact
from .events import (
    ClientEvent,
    ConversationItemInputAudioTranscriptionFailed,
    Error,
    ErrorDetails,
    Kind,
    MalformedEvent,
    ResponseDone,
    ResponseError,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    TranscriptionError,
    UnknownEvent,
    decode,
)
from .log_words import learn, name_of
from .nursery import open_services
from .outgoing import Outgoing
from .transport import Connect, MessageStream, Target, open_websocket

__all__ = ["Connection", "ConnectionStatistics", "open_connection"]

_log = logging.getLogger("realtime_trio.connection")

# How long what arrived before the link died may still take to come out of a stream that does not say that it is over.
_LAST_WORDS: Final = 1.0
_NORMAL: Final = 1000
_MOST_WORDS: Final = 16_384  # characters that a server may say of an error: they are looked through for credentials
_ODD: Final = {MalformedEvent: ", which does not fit", UnknownEvent: ", which is not known"}

_Problem = TypeVar("_Problem", ErrorDetails, ResponseError, TranscriptionError)


class Connection:
    """An open connection. Make one with `open_connection`.

    Args:
        stream: The link.
        kind: The kind of session.
        queue_seconds: Seconds of audio that may wait for the writer.
        redact: Takes credentials out of the server's words.
    """

    def __init__(
        self,
        stream: MessageStream,
        *,
        kind: Kind = "realtime",
        queue_seconds: float = 2.0,
        redact: Callable[[str], str] = redact,
    ) -> None:
        self._stream = stream
        self._redact = redact
        self._kind: Kind = kind
        self._outgoing = Outgoing(stream, queue_seconds=queue_seconds, on_end=self._finish, reason=self._reason)
        self._end: ConnectionClosed | None = None
        self._told = False
        self._expired = False
        self._closed = False
        self._receiving: trio.CancelScope | None = None
        self._received = 0
        self._opened_at = trio.current_time()
        learn(self)

    @property
    def kind(self) -> Kind:
        """The kind of session."""
        return self._kind

    @property
    def dropped_appends(self) -> int:
        """Appends that `send_nowait` gave up so far because the link was too slow."""
        return self._outgoing.dropped_appends

    async def send(self, event: ClientEvent) -> str:
        """Hand an event to the writer, and wait until it is taken.

        Events are taken in order, except that cancel, truncate and delete overtake what fills the input audio buffer.

        Args:
            event: What to send. Without an `event_id` it gets a fresh one.

        Returns:
            The `event_id` that it is sent with.

        Raises:
            LocalProtocolError: It cannot be encoded. Nothing was sent.
            ConnectionClosed: The link is over.
            trio.ClosedResourceError: This side closed the connection.

        Cancellation:
            Safe: before it is taken, nothing is sent; afterwards it is sent as a whole.
        """
        return await self._outgoing.send(event)

    def send_nowait(self, event: ClientEvent) -> str:
        """Leave an event for the writer.

        Audio (an append) is bounded in seconds: when there is too much, the oldest appends left by this method are
        dropped, whole ones, and counted (`dropped_appends`, `statistics`).

        Args:
            event: What to send. Without an `event_id` it gets a fresh one.

        Returns:
            The `event_id` that it is sent with.

        Raises:
            LocalProtocolError: It cannot be encoded. Nothing was sent.
            ConnectionClosed: The link is over.
            trio.ClosedResourceError: This side closed the connection.
            trio.WouldBlock: 1024 events that are not audio wait already, and neither is this one.
        """
        return self._outgoing.send_nowait(event)

    async def receive(self) -> ServerEvent:
        """Wait for the next server event, in wire order. It is decoded in the caller's task.

        Each event is handed to exactly one caller. An event that is not known comes as `events.UnknownEvent`, one that
        does not fit its type as `events.MalformedEvent`. The server's words about errors come redacted.

        Returns:
            The oldest event not handed out yet.

        Raises:
            ConnectionClosed: The link is over and every event was handed out.
            SessionExpired: It is over because the session reached its maximum age.
            RemoteProtocolError: What arrived is no event at all. The connection goes on.
            trio.BusyResourceError: Another task is already waiting here.
            trio.ClosedResourceError: This side closed the connection.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        if self._receiving is not None:
            raise trio.BusyResourceError("another task is already receiving")
        if self._closed:
            await trio.lowlevel.checkpoint()
            raise self._reason()
        message = None
        with trio.CancelScope() as scope:
            self._receiving = scope
            if self._end is not None:
                scope.deadline = trio.current_time() + _LAST_WORDS
            try:
                message = await self._stream.receive_message()
            except ConnectionClosed as end:
                self._finish(end)
            except trio.ClosedResourceError:
                self._closed = True
                self._release()
            finally:
                self._receiving = None
        if message is None:
            raise self._reason()
        try:
            event = decode(message)
        except RemoteProtocolError:
            _log.debug("received something that is no event, %d characters", len(message))
            raise
        self._received += 1
        odd = _ODD.get(type(event), "")
        what = name_of(event.type, "an event without a proper type") if odd else event.type
        _log.debug("received %s%s, %d characters", what, odd, len(message))
        return self._noted(event)

    def _noted(self, event: ServerEvent) -> ServerEvent:
        """Learn from an event what the connection has to know, and take credentials out of what it says of errors."""
        if isinstance(event, Error):
            self._expired = self._expired or event.error.code == "session_expired"
            return replace(event, error=self._redacted(event.error))
        if isinstance(event, ConversationItemInputAudioTranscriptionFailed):
            return replace(event, error=self._redacted(event.error))
        if isinstance(event, ResponseDone) and (details := event.response.status_details) and details.error:
            details = replace(details, error=self._redacted(details.error))
            return replace(event, response=replace(event.response, status_details=details))
        if isinstance(event, SessionCreated | SessionUpdated):
            self._outgoing.follow_format(event.session)
        return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerEvent:
        """Return the next event; end quietly when the peer closed with code 1000, or this side did.

        Raises:
            ConnectionClosed: Any other end.
            RemoteProtocolError: What arrived is no event at all.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        try:
            return await self.receive()
        except ConnectionClosed as end:
            if end.code != _NORMAL:
                raise
        except trio.ClosedResourceError:
            pass
        raise StopAsyncIteration

    def _redacted(self, problem: _Problem) -> _Problem:
        said = {name: getattr(problem, name, None) for name in ("message", "code", "type", "param")}
        words = {name: text[:_MOST_WORDS] for name, text in said.items() if isinstance(text, str)}
        return replace(problem, **{name: self.redact(text) for name, text in words.items()})

    def redact(self, text: str) -> str:
        """Take the credentials of this connection, and all that looks like one, out of a server's words."""
        return self._redact(text)

    def statistics(self) -> ConnectionStatistics:
        """Return counts and lengths of this moment."""
        way_out = self._outgoing
        return ConnectionStatistics(
            sent=way_out.sent,
            received=self._received,
            waiting=way_out.waiting,
            waiting_audio=way_out.waiting_audio,
            dropped_appends=way_out.dropped_appends,
            dropped_audio=way_out.dropped_audio,
            tasks_waiting_send=way_out.tasks_waiting,
            age=trio.current_time() - self._opened_at,
            round_trip=self.round_trip,
        )

    @property
    def round_trip(self) -> float | None:
        """What `statistics` says of it, for who asks often."""
        return getattr(self._stream, "round_trip", None)

    @property
    def server_time(self) -> float | None:
        """What the server's clock said in its handshake, in Unix seconds; None where that is not known."""
        return getattr(self._stream, "server_time", None)

    @property
    def answered_at(self) -> float | None:
        """What had been sent by this time, in Trio's, has arrived: a ping came back; None where that is not known."""
        return getattr(self._stream, "answered_at", None)

    def ping_soon(self) -> None:
        """Have `answered_at` be of this moment as soon as the peer answers, where the stream can ping."""
        ping_soon: Callable[[], None] | None = getattr(self._stream, "ping_soon", None)
        if ping_soon is not None:
            ping_soon()

    @property
    def opened_at(self) -> float | None:
        """When the server said so, in Trio's time; None where that is not known."""
        return getattr(self._stream, "opened_at", None)

    async def flush(self) -> None:
        """Wait until everything that was left by `send_nowait` is on its way.

        Raises:
            ConnectionClosed: The link is over, and something was not sent.

        Cancellation:
            Safe.
        """
        await self._outgoing.wait_until_idle()
        if self._end is not None and self._outgoing.lost:
            raise self._reason()

    async def aclose(self, code: int = _NORMAL, reason: str = "") -> None:
        """Close the connection, within half a second whatever the peer does. What still waits is not sent.

        Args:
            code: The WebSocket close code.
            reason: A few words for the peer.

        Cancellation:
            Closes all the same.
        """
        self._closed = True
        self._release()
        await self._outgoing.let_go()
        await self._stream.aclose(code, reason)

    def _finish(self, end: ConnectionClosed) -> None:
        """Take note that the link is over: once, with its first reason."""
        if self._end is None and not self._closed:
            self._end = end
            self._release()

    def _release(self) -> None:
        """Wake everybody who waits: nothing more will be sent."""
        self._outgoing.release()
        if self._receiving is not None:
            self._receiving.deadline = min(self._receiving.deadline, trio.current_time() + _LAST_WORDS)

    def _reason(self) -> Exception:
        """Make the exception for whoever is to be told: a fresh one each time, since several tasks may be."""
        if self._end is None or self._closed:
            return trio.ClosedResourceError("this side closed the connection")
        self._told = True
        kind = SessionExpired if self._expired else type(self._end)
        return kind(self._end.code, self.redact(self._end.reason))

    async def _say_goodbye(self) -> None:
        """Give what still waits a second to leave.

        Raises:
            ConnectionClosed: Events were lost to the end of the link, and nobody was told of it so far.
        """
        with trio.move_on_after(_LAST_WORDS):
            await self._outgoing.wait_until_idle()
        if self._end is not None and self._outgoing.lost and not (self._told or self._closed):
            raise self._reason()


@asynccontextmanager
async def open_connection(
    *,
    url: str | config.Secret | None = None,
    api_key: str | config.Secret | None = None,
    model: str | None = None,
    kind: Kind = "realtime",
    headers: config.Headers = (),
    organization: str | None = None,
    project: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    allow_insecure: bool = False,
    connect: Connect = open_websocket,
    connect_timeout: float = 15.0,
    max_message_size: int = 64 * 2**20,
    queue_seconds: float = 2.0,
) -> AsyncGenerator[Connection]:
    """Open a typed connection: whole events out and in, and nothing decided in between.

    Settings that are not given come from the environment, then from `.env` in the working directory; see
    `realtime_trio.config.resolve`. At the end of the body what still waits is sent, for at most a second (not after an
    exception), and the connection is closed, in at most half a second more.

    Args:
        url: A whole WebSocket URL or a base such as `https://api.openai.com/v1`; `OPENAI_BASE_URL`.
        api_key: `OPENAI_API_KEY`.
        model: `OPENAI_REALTIME_MODEL`, or the default of the kind.
        kind: `"realtime"`, `"transcription"` or `"translation"`.
        headers: Extra HTTP headers, as a mapping or as pairs of name and value.
        organization: `OPENAI_ORG_ID`.
        project: `OPENAI_PROJECT_ID`.
        ssl_context: For `wss://`; the system's default otherwise.
        allow_insecure: Send credentials over plain `ws://` to another machine all the same.
        connect: What opens the link; another than the default needs neither a key nor a URL.
        connect_timeout: Seconds for name resolution, TCP, TLS and the handshake together.
        max_message_size: Characters that one message may have; a longer one ends the connection with code 1009.
        queue_seconds: Seconds of audio that `Connection.send_nowait` may leave for the writer.

    Yields:
        The connection.

    Raises:
        ConfigurationError: A setting is missing or contradicts another. Nothing was opened.
        ConnectError: No connection came about.
        Refused: The server answered with an HTTP status.
        ConnectionClosed: At the end of the body: the link was lost, events with it, and no call has said so.

    Cancellation:
        Closes the connection, in at most half a second.

    Tasks:
        The writer, and the link's own. They never crash the body: an end of the link is raised by the connection's
        methods.
    """
    # whoever shows a traceback with its locals, as crash reports do, is not to show these
    url, api_key, headers = config.hide(url), config.hide(api_key), config.HiddenHeaders(headers)
    settings = config.resolve(
        url=url,
        api_key=api_key,
        model=model,
        kind=kind,
        headers=headers,
        organization=organization,
        project=project,
        allow_insecure=allow_insecure,
        # what only passes on what the default opens needs a key and a URL as much
        own_link=inspect.unwrap(connect) is not inspect.unwrap(open_websocket),
    )
    if ssl_context is not None and settings.url.startswith("ws:"):
        raise ConfigurationError("ssl_context= contradicts a ws:// URL, which uses no TLS: write wss://")
    target = Target(
        url=settings.url,
        headers=settings.headers,
        ssl_context=ssl_context,
        connect_timeout=connect_timeout,
        max_message_size=max_message_size,
    )
    async with connect(target) as stream, open_services("the connection") as services:
        connection = Connection(stream, kind=kind, queue_seconds=queue_seconds, redact=target.redact)
        services.start_soon(connection._outgoing.run)  # noqa: SLF001  its own module starts it
        try:
            yield connection
            await connection._say_goodbye()  # noqa: SLF001
        finally:
            await connection.aclose()
