"""The session's way to the server, whichever connection carries it at the time.

Theory of operation. A connection ends, a session goes on: what is above knows one `Line`, which is open while a
connection carries it and waits in between. Who sends with `send` waits for the next connection; what is left with
`send_nowait` while there is none is dropped where it only makes sense on the old one, or is asked again by who
remembers it (`calls.py`, `turns.py`). The ids of items stay those under which the session got to know them: what a
new connection calls them is translated here and known nowhere else (`core.item_ids`). When one connection follows
another, and what it is told first, is decided in `succession.py`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs
import msgspec
import trio

from realtime_trio import events
from realtime_trio.connection import Connection, ConnectionStatistics
from realtime_trio.core.effective_settings import EffectiveSettings
from realtime_trio.core.item_ids import ItemIds
from realtime_trio.errors import ConnectionClosed, RemoteProtocolError

from .exchanges import new_id
from .inside import Inside
from .subscription import again

__all__ = ["Line"]

_SUMS = ("sent", "received", "dropped_appends", "dropped_audio")  # of a connection's statistics, that add up


def _nothing(event: events.ClientEvent) -> Sequence[events.ClientEvent]:  # noqa: ARG001 a default
    return ()


@attrs.define(eq=False, repr=False)
class Line(Inside):
    """One session's line.

    Attributes:
        connection: What carries the session; while the line is not open, what carried it last.
        recovers: Whether another connection follows one that was lost; else its end is everybody's.
        ids: What the connection calls the items that it did not get to know first.
        settings: What the session is configured with.
        shorten: Makes what tells a connection that a spoken item ends earlier of which it has the words only.
        taken: Told of each event that a writer took, or that is left for the next connection to be told of.
        is_open: Whether a connection carries the session now.
        heard_at: When something came last, in Trio's time; None before that.
    """

    connection: Connection
    recovers: bool = False
    ids: ItemIds = attrs.field(factory=ItemIds, init=False)
    settings: EffectiveSettings = attrs.field(factory=EffectiveSettings, init=False)
    shorten: Callable[[events.ConversationItemTruncate], Sequence[events.ClientEvent]] = attrs.field(
        default=_nothing, init=False
    )
    taken: Callable[[events.ClientEvent], object] = attrs.field(default=_nothing, init=False)
    is_open: bool = attrs.field(default=True, init=False)
    heard_at: float | None = attrs.field(default=None, init=False)
    _number: int = attrs.field(default=0, init=False)  # of times that the connection was lost or left
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _end: Exception | None = attrs.field(default=None, init=False)
    _receiving: trio.CancelScope | None = attrs.field(default=None, init=False)
    _told: deque[events.ServerEvent] = attrs.field(factory=deque, init=False)  # to be received before anything else
    _failure: ConnectionClosed | None = attrs.field(default=None, init=False)
    _former: dict[str, float] = attrs.field(factory=lambda: dict.fromkeys(_SUMS, 0), init=False)

    # Out

    async def send(self, event: events.ClientEvent) -> str:
        """Hand an event to the writer of whichever connection carries the session, and wait until it is taken.

        Returns:
            The `event_id` that it is sent with.

        Raises:
            LocalProtocolError: It cannot be encoded. Nothing was sent.
            ConnectionClosed: The link is over, and none follows.
            trio.ClosedResourceError: The session is closed.

        Cancellation:
            Safe: before it is taken, nothing is sent; afterwards it is sent as a whole.
        """
        event = _named(event)
        while True:
            await self.opened()
            number = self._number
            self._configure(event)
            try:
                for part in self._outgoing(event):
                    await self.connection.send(part)
            except (ConnectionClosed, trio.ClosedResourceError):
                if not self.recovers:
                    raise
                while number == self._number:  # the reader has not noticed yet
                    await self._changed_or_over()
                continue
            if number == self._number:  # else it may have gone down with the connection
                self.taken(event)
                return event.event_id or ""

    def send_nowait(self, event: events.ClientEvent) -> str:
        """Leave an event for the writer; where no connection takes it, it is not sent.

        Returns:
            The `event_id` that it is, or would have been, sent with.

        Raises:
            LocalProtocolError: It cannot be encoded. Nothing was sent.
            ConnectionClosed: The link is over, and none follows.
            trio.ClosedResourceError: The session is closed.
            trio.WouldBlock: Too many events wait already.
        """
        event = _named(event)
        self._configure(event)
        if self.is_open:
            try:
                for part in self._outgoing(event):
                    self.connection.send_nowait(part)
            except (ConnectionClosed, trio.ClosedResourceError):
                if not self.recovers or self._end is not None:
                    raise
        self.taken(event)
        return event.event_id or ""

    def _configure(self, event: events.ClientEvent) -> None:
        if isinstance(event, events.SessionUpdate) and isinstance(event.session, events.RealtimeSession):
            self.settings.sent(event.event_id or "", event.session)

    def _outgoing(self, event: events.ClientEvent) -> Iterable[events.ClientEvent]:
        answer = self.ids.answer(event)
        if answer is None:
            return (self.ids.outgoing(event),)
        self.tell(answer)
        return self.shorten(event) if isinstance(event, events.ConversationItemTruncate) else ()

    # In

    async def receive(self) -> events.ServerEvent:
        """Wait for the next server event, from whichever connection carries the session.

        Raises:
            ConnectionClosed: That connection is over, and every event of it was handed out.
            RemoteProtocolError: What arrived is no event at all.
            trio.ClosedResourceError: The session is closed.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        while True:
            if self._told:
                await trio.lowlevel.checkpoint()
                return self._told.popleft()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if not self.is_open:
                await self._changed_or_over()
                continue
            event = await self._receive_from(self.connection)
            if event is not None:
                return event

    async def _receive_from(self, connection: Connection) -> events.ServerEvent | None:
        """Wait for one event; None if it does not count, or another connection carries the session."""
        self._receiving = trio.CancelScope()
        with self._receiving:
            try:
                event = await connection.receive()
            except (ConnectionClosed, RemoteProtocolError, trio.ClosedResourceError):
                if connection is self.connection and self.is_open:
                    raise
                return None
            finally:
                self._receiving = None
            if connection is self.connection and self.is_open:
                self.heard_at = trio.current_time()
                self.settings.handle(event)
                return self.ids.incoming(event)
        return None

    def tell(self, event: events.ServerEvent) -> None:
        """Have an event received next that no server sends."""
        self._told.append(event)
        if self._receiving is not None:
            self._receiving.cancel(reason="there is something to be told")

    @property
    def is_over(self) -> bool:
        """Whether no connection carries the session any more."""
        return self._end is not None

    # Which connection

    def lose(self) -> None:
        """Nothing carries the session until `use`: who wants to send waits, and nothing is received."""
        self.is_open = False
        self._number += 1
        self._wake()

    def use(self, connection: Connection, ids: ItemIds, told: Iterable[events.ServerEvent]) -> None:
        """Let a connection carry the session from now on.

        Args:
            connection: It has all that the session needs; nobody else receives from it any more.
            ids: What it calls the items.
            told: What it has said meanwhile, as it said it.
        """
        former = self.connection.statistics()
        for name in _SUMS:
            self._former[name] += getattr(former, name)
        self.connection, self.ids, self.is_open = connection, ids, True
        for event in told:
            self.settings.handle(event)
            if (known := ids.incoming(event)) is not None:
                self._told.append(known)
        self._wake()

    def fail(self, end: ConnectionClosed) -> None:
        """No connection follows by the way that was meant: have who receives know why."""
        self._failure = end
        self._wake()

    def end(self, reason: Exception) -> None:
        """The session is over: let nobody wait for another connection."""
        self._end = reason
        self._wake()

    def _wake(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel(reason="another connection carries the session")
        self._changed.set()
        self._changed = trio.Event()

    async def opened(self) -> None:
        """Wait until a connection carries the session; raises why none will."""
        while not self.is_open:
            await self._changed_or_over()

    async def _changed_or_over(self) -> None:
        if self._end is not None:
            raise again(self._end)
        await self._changed.wait()

    # What there is to know

    def statistics(self) -> ConnectionStatistics:
        """Return counts and lengths of this moment; the counts are those of all connections together."""
        now = self.connection.statistics()
        return attrs.evolve(now, **{name: getattr(now, name) + self._former[name] for name in _SUMS})

    @property
    def dropped_appends(self) -> int:
        """Appends that `send_nowait` gave up so far because a link was too slow."""
        return self.connection.dropped_appends + int(self._former["dropped_appends"])

    @property
    def round_trip(self) -> float | None:
        """Seconds to the peer and back, where that is known."""
        return self.connection.round_trip


def _named(event: events.ClientEvent) -> events.ClientEvent:
    """Give an event an id of ours, if it has none: it may have to be known on more than one connection."""
    if isinstance(event.event_id, str) or isinstance(event, events.InputAudioBufferAppend):
        return event
    return msgspec.structs.replace(event, event_id=new_id("evt"))
