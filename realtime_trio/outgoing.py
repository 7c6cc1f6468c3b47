"""The way out of a connection: events in their order, through the one task that sends.

Which event overtakes which is `send_queue`'s business; how long a link lives, and why it ended, is the connection's.
"""

import itertools
import logging
import secrets
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from .errors import ConnectionClosed, LocalProtocolError
from .events import (
    UNSET,
    AudioFormat,
    AudioInput,
    ClientEvent,
    InputAudioBufferAppend,
    SessionAudio,
    SessionInputAudioBufferAppend,
    SessionUpdate,
    encode,
)
from .send_queue import QueuedEvent, SendQueue, fills_input, is_urgent
from .transport import MessageStream

__all__ = ["Outgoing"]

_log = logging.getLogger("realtime_trio.connection")

_PCM16_BYTES_PER_SECOND: Final = 48_000
_G711_BYTES_PER_SECOND: Final = 8_000
# Events that may not be dropped, so no audio, which is bounded in seconds; a program that gets this far ahead does not
# look back.
_MOST_WAITING_EVENTS: Final = 1024


class _Sender:
    """A task that waits in `send`: what it waits for, and how it ended."""

    __slots__ = ("done", "taken")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.taken = False


class Outgoing:
    """What is to be sent, and who sends it.

    Args:
        stream: The link.
        queue_seconds: Seconds of audio that may wait for the writer.
        on_end: Told when sending found the link over.
        reason: Makes the exception for whoever asks for more then.

    Attributes:
        sent: Events that were taken so far.
        lost: Events that were left here and never sent, because the link was over.
        dropped_appends: Appends that were given up because the link was too slow.
        dropped_audio: Seconds of audio in them.
    """

    def __init__(
        self,
        stream: MessageStream,
        *,
        queue_seconds: float,
        on_end: Callable[[ConnectionClosed], None],
        reason: Callable[[], Exception],
    ) -> None:
        self._stream = stream
        self._queue_seconds = queue_seconds
        self._on_end = on_end
        self._reason = reason
        self._bytes_per_second = _PCM16_BYTES_PER_SECOND
        self._queue = SendQueue()
        self._senders: dict[QueuedEvent, _Sender] = {}
        self._handed: QueuedEvent | None = None  # given to the waiting writer past the queue: it counts as taken
        self._work = trio.lowlevel.ParkingLot()  # where the writer waits
        self._busy = False
        self._idle = trio.lowlevel.ParkingLot()  # where others wait until it is not busy
        self._over = False
        self._id_prefix = f"evt_{secrets.token_hex(6)}_"
        self._ids = itertools.count(1)
        self.sent = 0
        self.lost = 0
        self.dropped_appends = 0
        self.dropped_audio = 0.0

    @property
    def waiting(self) -> int:
        """Events that wait for the writer."""
        return len(self._queue)

    @property
    def waiting_audio(self) -> float:
        """Seconds of audio among them that may be dropped."""
        return self._queue.audio_bytes / self._bytes_per_second

    @property
    def tasks_waiting(self) -> int:
        """Tasks that wait in `send`."""
        return len(self._senders)

    async def send(self, event: ClientEvent) -> str:
        """Hand an event to the writer, and wait until it is taken; see `Connection.send`.

        Cancellation:
            Safe: before it is taken, nothing is sent; afterwards it is sent as a whole.
        """
        event_id, entry = self._prepare(event, droppable=False)
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._work:  # the writer waits, so the queue is empty: what is put into its hand it takes for certain
            self._handed = entry
            self.sent += 1
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
        """Leave an event for the writer; see `Connection.send_nowait`."""
        event_id, entry = self._prepare(event, droppable=True)
        if not entry.audio_bytes and self._queue.other_events >= _MOST_WAITING_EVENTS:
            raise trio.WouldBlock
        self._put(entry)
        for dropped in self._queue.trim_audio(int(self._queue_seconds * self._bytes_per_second)):
            self.dropped_appends += 1
            self.dropped_audio += dropped.audio_bytes / self._bytes_per_second
        return event_id

    async def run(self) -> None:
        """Send what is queued, until the link is over. No other task sends, so nobody's cancellation tears a frame.

        Cancellation:
            May leave half a frame on the wire; the connection cancels it when that no longer matters.
        """
        while True:
            entry = self._next_entry()
            if entry is None:
                self._rest()
                await self._work.park()
                continue
            try:
                await self._stream.send_message(entry.message)
            except ConnectionClosed as end:
                self.lost += 1
                self._on_end(end)
                return
            except trio.ClosedResourceError:
                return
            _log.debug("sent %s, %d characters", entry.type, len(entry.message))

    async def wait_until_idle(self) -> None:
        """Wait until nothing waits and nothing is being sent, or the link is over.

        Cancellation:
            Safe.
        """
        if self._busy:
            await self._idle.park()
        else:
            await trio.lowlevel.checkpoint()

    async def let_go(self) -> None:
        """Wait until the writer began to send what it was given: one step.

        Cancellation:
            Is not heard.
        """
        with trio.CancelScope(shield=True):
            while self._handed is not None:  # noqa: ASYNC110  one step; an event for each send would cost more
                await trio.lowlevel.checkpoint()

    def release(self) -> None:
        """Take nothing more, forget what waits, and wake everybody who waits for it to be sent."""
        self._over = True
        while self._queue:
            if self._queue.take() not in self._senders:
                self.lost += 1
        for sender in self._senders.values():
            sender.done.set()
        self._rest()

    def follow_format(self, session: object) -> None:
        """Learn how long a byte of input audio is."""
        audio = getattr(session, "audio", UNSET)
        source = audio.input if isinstance(audio, SessionAudio) else UNSET
        form = source.format if isinstance(source, AudioInput) else UNSET
        if isinstance(form, AudioFormat):
            pcm = form.type not in {"audio/pcmu", "audio/pcma"}
            self._bytes_per_second = _PCM16_BYTES_PER_SECOND if pcm else _G711_BYTES_PER_SECOND

    def _next_entry(self) -> QueuedEvent | None:
        """Take what is to be sent next."""
        if self._handed is not None:
            entry, self._handed = self._handed, None
            return entry
        if not self._queue:
            return None
        entry = self._queue.take()
        self.sent += 1
        if (sender := self._senders.get(entry)) is not None:
            sender.taken = True
            sender.done.set()
        return entry

    def _prepare(self, event: ClientEvent, *, droppable: bool) -> tuple[str, QueuedEvent]:
        """Refuse what cannot be sent, encode the rest."""
        if self._over:
            raise self._reason()
        if not isinstance(event, ClientEvent):
            raise LocalProtocolError(
                f"{type(event).__name__} is not an event that a client sends: give one of realtime_trio.events, "
                "such as ResponseCreate() or ConversationItemCreate(item=...)"
            )
        event_id = event.event_id
        if not isinstance(event_id, str):
            event_id = f"{self._id_prefix}{next(self._ids)}"
            event = msgspec.structs.replace(event, event_id=event_id)
        message = encode(event)
        size = 0
        if isinstance(event, InputAudioBufferAppend | SessionInputAudioBufferAppend):
            size = len(event.audio) if droppable else 0
        elif isinstance(event, SessionUpdate):
            self.follow_format(event.session)
        return event_id, QueuedEvent(
            message,
            urgent=is_urgent(event),
            fills_input=fills_input(event),
            audio_bytes=size,
            type=event.type,
        )

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
