"""An open link over trio-websocket, the same on both sides: its messages, its pings, and why it ended.

How it is opened is in `client` and `serving`; what watches the bytes below is in `link`.
"""

import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio
import trio_websocket
import wsproto.utilities
from wsproto.frame_protocol import FrameProtocol

from realtime_trio.errors import ConnectionClosed, RemoteProtocolError, SessionExpired, redact
from realtime_trio.nursery import Services

from .link import Link

__all__ = ["ENDS", "LOST", "RECEIVE_BYTES", "ReaderNursery", "WebSocket", "nothing"]

# trio-websocket's own 4 KiB cost 94 microseconds per audio message, these 37
RECEIVE_BYTES: Final = 64 * 1024
LOST: Final = 1006
ENDS: Final = (trio_websocket.ConnectionClosed, wsproto.utilities.LocalProtocolError)
"""What trio-websocket raises when the link is over: by itself, or by what our side did before."""

_GOING_AWAY: Final = 1001
_PROTOCOL_ERROR: Final = 1002
_ROUND_TRIPS: Final = 8  # pings of which the shortest counts: a pong that had to wait says nothing of the network
_EXPIRY: Final = re.compile(r"maximum duration|session.{0,20}expired", re.IGNORECASE)


def nothing() -> None:
    """Do nothing, where nobody wants to know of the reader's end."""


class ReaderNursery:
    """Stands in for the nursery in which trio-websocket starts its reader: shelters that task, and knows its end.

    trio-websocket's handshake waits for ever when the peer hangs up in the middle of it, its reader lets foreign
    exceptions out, and Ctrl-C may land in it. All three are dealt with here.
    """

    def __init__(self, services: Services, link: Link) -> None:
        self._services = services
        self._link = link
        self.ended = False
        self.goodbye: trio.CancelScope | None = None
        """Where our CLOSE is sent, and the peer's awaited."""
        self.rejection: trio_websocket.ConnectionRejected | None = None
        self.crash = ""
        self.on_end: Callable[[], None] = nothing

    def start_soon(self, reader_task: Callable[[], Awaitable[None]]) -> None:
        """Start trio-websocket's reader: the one thing that it does with a nursery."""
        self._services.start_soon(self._run, reader_task)

    async def _run(self, reader_task: Callable[[], Awaitable[None]]) -> None:
        try:
            await reader_task()
        except trio_websocket.ConnectionRejected as rejection:
            self.rejection = rejection
        except (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # an end like any other: the connection knows its reason
        except wsproto.utilities.LocalProtocolError as error:
            self.crash = type(error).__name__
            if self.goodbye is not None:  # it would answer a ping, which nobody may after a CLOSE: read on without it
                await self._wait_for_hangup()
                self.goodbye.cancel(reason="the peer hung up")
        except Exception as error:  # noqa: BLE001  bytes from outside must not bring down the task of a third party
            self.crash = type(error).__name__
        finally:
            self.ended = True
            self.on_end()
            await trio.aclose_forcefully(self._link)

    async def _wait_for_hangup(self) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self._link.receive_some():
                pass


class WebSocket:
    """A `MessageStream` over trio-websocket."""

    def __init__(
        self,
        connection: trio_websocket.WebSocketConnection,
        link: Link,
        reader: ReaderNursery,
        close_timeout: float,
        redact: Callable[[str], str] = redact,
    ) -> None:
        self._connection = connection
        self._link = link
        self._reader = reader
        self._close_timeout = close_timeout
        self._redact = redact
        self._closed = False
        self._frames = FrameProtocol(client=True, extensions=[])
        self._answered_at: float | None = None
        self._pause = trio.CancelScope()
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self.server_time: float | None = None
        """What the server's clock said in its handshake, in Unix seconds."""
        self.opened_at: float | None = None
        """When that came, in Trio's time."""

    @property
    def round_trip(self) -> float | None:
        """Seconds from a ping to its pong, the shortest of late; None until the first one came."""
        return min(self._round_trips, default=None)

    @property
    def answered_at(self) -> float | None:
        """When the last ping that was answered left, in Trio's time: what had been sent by then has arrived."""
        return self._answered_at

    def ping_soon(self) -> None:
        """Ping at once, if no pong is awaited: for who wants to know what has arrived (`answered_at`)."""
        self._pause.cancel(reason="somebody wants to know whether the link lives")

    async def send_message(self, message: str, /) -> None:
        """Send one message; see `MessageStream`.

        Raises:
            ConnectionClosed: The link is over.
            trio.ClosedResourceError: This side closed the connection.

        Cancellation:
            May leave part of the message on the wire: nothing is sent after it.
        """
        if self._closed:
            raise trio.ClosedResourceError("this side closed the connection")
        if self._connection.closed is not None:  # also while either side is saying goodbye
            raise self._end()
        try:
            if self._connection.is_client:
                # wsproto's frame, past trio-websocket's lock, which lets every other task run first: `link` has its own
                await self._link.send_all(self._frames.send_data(message, fin=True))
            else:
                await self._connection.send_message(message)
        except ENDS:
            raise self._end() from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(self._link)  # who receives may not have noticed
            raise self._end(lost=True) from None

    async def receive_message(self) -> str:
        """Wait for the next message; see `MessageStream`.

        Raises:
            ConnectionClosed: The link is over and every message was handed out.
            RemoteProtocolError: Something arrived that is not text. The link goes on.
            trio.ClosedResourceError: This side closed the connection.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._end() from None
        if isinstance(message, str):
            return message
        raise RemoteProtocolError(f"a binary message of {len(message)} bytes arrived; the protocol is text")

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and let go of everything; see `MessageStream`.

        Cancellation:
            Closes all the same, and is not heard before that.
        """
        if not self._closed:
            self._closed = True
            # after part of a frame, the peer would take our CLOSE for the rest of it
            if not self._link.torn:
                with trio.move_on_after(self._close_timeout, shield=True) as goodbye, contextlib.suppress(*ENDS):
                    self._reader.goodbye = goodbye
                    await self._connection.aclose(code, reason or None)
        await trio.aclose_forcefully(self._link)

    async def keep_alive(self, interval: float, patience: float) -> None:
        """Ping, at once and then at intervals, and give the link up when nothing comes back.

        Cancellation:
            Safe: the link stays as it is.
        """
        with trio.CancelScope() as scope:
            self._reader.on_end = scope.cancel
            while not self._reader.ended:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ping, nursery.cancel_scope)
                    await self._link.silent_for(patience)
                    await self._link.give_up("keepalive")
                    nursery.cancel_scope.cancel(reason="no pong came")
                with trio.move_on_after(interval) as self._pause:
                    await trio.sleep_forever()

    @trio.lowlevel.enable_ki_protection
    async def _ping(self, waiting: trio.CancelScope) -> None:
        sent_at = trio.current_time()
        with contextlib.suppress(*ENDS):
            await self._connection.ping()
            self._round_trips.append(trio.current_time() - sent_at)
            self._answered_at = sent_at
        waiting.cancel(reason="the pong came, or the link ended")

    def _end(self, *, lost: bool = False) -> Exception:
        """Say why the link is over; `lost` when sending found that it is gone."""
        if self._closed:
            return trio.ClosedResourceError("this side closed the connection")
        if self._link.verdict is not None:
            return ConnectionClosed(LOST, self._link.verdict)
        closed = self._connection.closed
        if closed is None and lost and not self._reader.ended:
            return ConnectionClosed(LOST, "the link was lost")
        if closed is None:
            cause = f" ({self._reader.crash})" if self._reader.crash else ""
            return ConnectionClosed(_PROTOCOL_ERROR, f"the peer sent something that is not WebSocket{cause}")
        code = int(closed.code)  # trio-websocket may have wsproto's enumeration here
        reason = self._redact(closed.reason or "") or ("the link was lost" if code == LOST else "")
        if code == _GOING_AWAY and _EXPIRY.search(reason):
            return SessionExpired(code, reason)
        return ConnectionClosed(code, reason)
