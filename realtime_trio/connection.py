"""The typed connection: events out through one writer task, events in through the caller's own task.

What events mean, and which answer belongs to which call, is the session's business; how bytes travel is the
transport's.
"""

import itertools
import secrets
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self

import attrs
import msgspec
import trio

from . import config
from .errors import ConfigurationError, ConnectionClosed, SessionExpired
from .events import (
    UNSET,
    AudioFormat,
    AudioInput,
    ClientEvent,
    Error,
    InputAudioBufferAppend,
    Kind,
    ServerEvent,
    SessionAudio,
    SessionCreated,
    SessionInputAudioBufferAppend,
    SessionUpdate,
    SessionUpdated,
    decode,
    encode,
)
from .nursery import open_services
from .send_queue import QueuedEvent, SendQueue, fills_input, is_urgent
from .transport import Connect, MessageStream, Target, open_websocket

__all__ = ["Connection", "ConnectionStatistics", "open_connection"]

_PCM16_BYTES_PER_SECOND: Final = 48_000
_G711_BYTES_PER_SECOND: Final = 8_000
# Events that nobody waits for and that may not be dropped; a program that gets this far ahead does not look back.
_MOST_WAITING_EVENTS: Final = 1024
# How long what arrived before the link died may still take to come out of a stream that does not say that it is over.
_LAST_WORDS: Final = 1.0
_NORMAL: Final = 1000


@attrs.frozen(kw_only=True)
class ConnectionStatistics:
    """A connection at one moment. Times are seconds of audio, counts are since it was opened."""

    sent: int
    """Events that the writer took."""
    received: int
    """Events that `receive` returned."""
    waiting: int
    """Events that wait for the writer."""
    waiting_audio: float
    """Seconds of audio among them that `send_nowait` left."""
    dropped_appends: int
    """Appends that were given up because the link was too slow."""
    dropped_audio: float
    """Seconds of audio in them."""
    tasks_waiting_send: int
    """Tasks that wait in `send`."""


class _Sender:
    """A task that waits in `send`: what it waits for, and how it ended."""

    __slots__ = ("done", "taken")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.taken = False


class Connection:
    """An open connection. Make one with `open_connection`.

    Args:
        stream: The link.
        kind: The kind of session.
        queue_seconds: Seconds of audio that may wait for the writer.
    """

    def __init__(self, stream: MessageStream, *, kind: Kind = "realtime", queue_seconds: float = 2.0) -> None:
        self._stream = stream
        self._kind: Kind = kind
        self._queue_seconds = queue_seconds
        self._bytes_per_second = _PCM16_BYTES_PER_SECOND
        self._queue = SendQueue()
        self._senders: dict[QueuedEvent, _Sender] = {}
        self._handed: QueuedEvent | None = None  # given to the waiting writer past the queue: it counts as taken
        self._work = trio.lowlevel.ParkingLot()  # where the writer waits
        self._busy = False
        self._idle = trio.lowlevel.ParkingLot()  # where others wait until it is not busy
        self._end: ConnectionClosed | None = None
        self._told = False
        self._lost_events = 0
        self._expired = False
        self._closed = False
        self._receiving: trio.CancelScope | None = None
        self._id_prefix = f"evt_{secrets.token_hex(6)}_"
        self._ids = itertools.count(1)
        self._sent = 0
        self._received = 0
        self._dropped_appends = 0
        self._dropped_audio = 0.0

    @property
    def kind(self) -> Kind:
        """The kind of session."""
        return self._kind

    @property
    def dropped_appends(self) -> int:
        """Appends that `send_nowait` gave up so far because the link was too slow."""
        return self._dropped_appends

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
        event_id, entry = self._prepare(event, droppable=False)
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._work:  # the writer waits, so the queue is empty: what is put into its hand it takes for certain
            self._handed = entry
            self._sent += 1
            self._wake_writer()
            await trio.lowlevel.cancel_shielded_checkpoint()
            return event_id
        sender = self._senders[entry] = _Sender()
        self._put(entry)
        try:
            await sender.done.wait()
        except BaseException:
            if not sender.taken:
                self._queue.remove(entry)
            raise
        finally:
            self._senders.pop(entry, None)
        if not sender.taken:
            raise self._reason()
        return event_id

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
            trio.WouldBlock: 1024 events wait already, and this one is not audio.
        """
        event_id, entry = self._prepare(event, droppable=True)
        if not entry.audio_bytes and len(self._queue) >= _MOST_WAITING_EVENTS:
            raise trio.WouldBlock
        self._put(entry)
        for dropped in self._queue.trim_audio(int(self._queue_seconds * self._bytes_per_second)):
            self._dropped_appends += 1
            self._dropped_audio += dropped.audio_bytes / self._bytes_per_second
        return event_id

    async def receive(self) -> ServerEvent:
        """Wait for the next server event, in wire order. It is decoded in the caller's task.

        Each event is handed to exactly one caller. An event that is not known comes as `events.UnknownEvent`, one that
        does not fit its type as `events.MalformedEvent`.

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
            finally:
                self._receiving = None
        if message is None:
            raise self._reason()
        event = decode(message)
        self._received += 1
        if isinstance(event, Error) and event.error.code == "session_expired":
            self._expired = True
        elif isinstance(event, SessionCreated | SessionUpdated):
            self._note_format(event.session)
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

    def statistics(self) -> ConnectionStatistics:
        """Return counts and lengths of this moment."""
        return ConnectionStatistics(
            sent=self._sent,
            received=self._received,
            waiting=len(self._queue),
            waiting_audio=self._queue.audio_bytes / self._bytes_per_second,
            dropped_appends=self._dropped_appends,
            dropped_audio=self._dropped_audio,
            tasks_waiting_send=len(self._senders),
        )

    async def flush(self) -> None:
        """Wait until everything that was left by `send_nowait` is on its way.

        Raises:
            ConnectionClosed: The link is over, and something was not sent.

        Cancellation:
            Safe.
        """
        await self._wait_until_idle()
        if self._end is not None and self._lost_events:
            raise self._reason()

    async def aclose(self, code: int = _NORMAL, reason: str = "") -> None:
        """Close the connection, within a second whatever the peer does. What still waits is not sent.

        Args:
            code: The WebSocket close code.
            reason: A few words for the peer.

        Cancellation:
            Closes all the same.
        """
        self._closed = True
        self._release()
        with trio.CancelScope(shield=True):
            while self._handed is not None:  # the writer is about to take it: one step
                await trio.lowlevel.checkpoint()
        await self._stream.aclose(code, reason)

    async def _write(self) -> None:
        """Send what is queued, for ever. The one task that sends: nobody else's cancellation can tear a frame."""
        while True:
            entry = self._next_entry()
            if entry is None:
                self._rest()
                await self._work.park()
                continue
            try:
                await self._stream.send_message(entry.message)
            except ConnectionClosed as end:
                self._lost_events += 1
                self._finish(end)
                return
            except trio.ClosedResourceError:
                return

    def _next_entry(self) -> QueuedEvent | None:
        """Take what is to be sent next."""
        if self._handed is not None:
            entry, self._handed = self._handed, None
            return entry
        if not self._queue:
            return None
        entry = self._queue.take()
        self._sent += 1
        if (sender := self._senders.get(entry)) is not None:
            sender.taken = True
            sender.done.set()
        return entry

    def _prepare(self, event: ClientEvent, *, droppable: bool) -> tuple[str, QueuedEvent]:
        """Refuse what cannot be sent, encode the rest."""
        if self._closed or self._end is not None:
            raise self._reason()
        event_id = event.event_id
        if not isinstance(event_id, str):
            event_id = f"{self._id_prefix}{next(self._ids)}"
            event = msgspec.structs.replace(event, event_id=event_id)
        message = encode(event)
        size = 0
        if isinstance(event, InputAudioBufferAppend | SessionInputAudioBufferAppend):
            size = len(event.audio) if droppable else 0
        elif isinstance(event, SessionUpdate):
            self._note_format(event.session)
        return event_id, QueuedEvent(message, urgent=is_urgent(event), fills_input=fills_input(event), audio_bytes=size)

    def _put(self, entry: QueuedEvent) -> None:
        self._queue.put(entry)
        self._wake_writer()

    def _wake_writer(self) -> None:
        self._busy = True
        self._work.unpark()

    def _rest(self) -> None:
        """Nothing waits, and nothing is being sent."""
        self._busy = False
        self._idle.unpark_all()

    async def _wait_until_idle(self) -> None:
        if self._busy:
            await self._idle.park()
        else:
            await trio.lowlevel.checkpoint()

    def _note_format(self, session: object) -> None:
        """Learn how long a byte of input audio is."""
        audio = getattr(session, "audio", UNSET)
        source = audio.input if isinstance(audio, SessionAudio) else UNSET
        form = source.format if isinstance(source, AudioInput) else UNSET
        if isinstance(form, AudioFormat):
            pcm = form.type not in {"audio/pcmu", "audio/pcma"}
            self._bytes_per_second = _PCM16_BYTES_PER_SECOND if pcm else _G711_BYTES_PER_SECOND

    def _finish(self, end: ConnectionClosed) -> None:
        """Take note that the link is over: once, with its first reason."""
        if self._end is None and not self._closed:
            self._end = end
            self._release()

    def _release(self) -> None:
        """Wake everybody who waits: nothing more will be sent."""
        while self._queue:
            if self._queue.take() not in self._senders:
                self._lost_events += 1
        for sender in self._senders.values():
            sender.done.set()
        self._rest()
        if self._receiving is not None:
            self._receiving.deadline = min(self._receiving.deadline, trio.current_time() + _LAST_WORDS)

    def _reason(self) -> Exception:
        """Make the exception for whoever is to be told: a fresh one each time, since several tasks may be."""
        if self._end is None or self._closed:
            return trio.ClosedResourceError("this side closed the connection")
        self._told = True
        kind = SessionExpired if self._expired else type(self._end)
        return kind(self._end.code, self._end.reason)

    async def _say_goodbye(self) -> None:
        """Give what still waits a second to leave.

        Raises:
            ConnectionClosed: Events were lost to the end of the link, and nobody was told of it so far.
        """
        with trio.move_on_after(_LAST_WORDS):
            await self._wait_until_idle()
        if self._end is not None and self._lost_events and not self._told:
            raise self._reason()


@asynccontextmanager
async def open_connection(
    *,
    url: str | None = None,
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
    exception), and the connection is closed, in at most another second.

    Args:
        url: A whole WebSocket URL or a base such as `https://api.openai.com/v1`; `OPENAI_BASE_URL`.
        api_key: `OPENAI_API_KEY`.
        model: `OPENAI_REALTIME_MODEL`, or the default of the kind.
        kind: `"realtime"`, `"transcription"` or `"translation"`.
        headers: Extra HTTP headers.
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
        Closes the connection, in at most a second.

    Tasks:
        The writer, and the link's own. They never crash the body: an end of the link is raised by the connection's
        methods.
    """
    settings = config.resolve(
        url=url,
        api_key=api_key,
        model=model,
        kind=kind,
        headers=headers,
        organization=organization,
        project=project,
        allow_insecure=allow_insecure,
        own_link=connect is not open_websocket,
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
        connection = Connection(stream, kind=kind, queue_seconds=queue_seconds)
        services.start_soon(connection._write)  # noqa: SLF001  its own module starts it
        try:
            yield connection
            await connection._say_goodbye()  # noqa: SLF001
        finally:
            await connection.aclose()
