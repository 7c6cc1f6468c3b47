"""One link with faults: two byte streams, what is passed on between them, and what happens to it on the way.

The faults as values are in `faults`, what makes links in `faulty_proxy`. It knows nothing of WebSocket.

How it works. Each direction of a connection has one task that takes (and counts) and one that gives. Between them
stands a queue with the bytes, each piece with the time when it is due, and with the faults at their places among them:
so a fault happens when all bytes before it were passed on. Only a stall acts on the taking side, so that the sender
feels it.
"""

import contextlib
import math
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

import trio

from realtime_trio.errors import ConfigurationError

from .faults import Cut, Delay, Direction, Fault, HalfClose, Merge, Reset, Split, Stall
from .memory_pipe import MemoryEnd

__all__ = ["FaultyConnection", "Stream"]

_PIECE: Final = 64 * 1024
_HELD: Final = 64 * 1024  # what a direction may hold that is not delayed
_HELD_BACK: Final = 4 * 1024 * 1024  # and what one that is may
_LINGER: Final = 1.0  # seconds in which the ends of a link that was cut may notice
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


Stream: TypeAlias = MemoryEnd | trio.SocketStream
"""A byte stream that can be half closed, and reset."""


class _Way:
    """One direction of a connection.

    Args:
        source: Where bytes are taken.
        sink: Where they are given.
        faults: What happens to it.
    """

    def __init__(self, source: Stream, sink: Stream, faults: Iterable[Fault]) -> None:
        self.taken = 0
        self.given = 0
        self._source, self._sink = source, sink
        self._faults = deque(sorted(faults, key=lambda fault: fault.after))
        self._most = _HELD_BACK if any(isinstance(fault, Delay) for fault in self._faults) else _HELD
        self._queue: deque[tuple[float, bytes | Fault | None]] = deque()
        self._held = 0
        self._delay = 0.0
        self._still_until = -math.inf
        self._split: Split | None = None
        self._merge: Merge | None = None
        self._ended = False
        self._news = trio.lowlevel.ParkingLot()
        self.stalls_both: Callable[[float], None] = lambda _: None

    def stall(self, seconds: float) -> None:
        """Take nothing for so long."""
        self._still_until = max(self._still_until, trio.current_time() + seconds)

    def resume(self) -> None:
        """Take again."""
        self._still_until = -math.inf
        self._news.unpark_all()

    def strike(self, fault: Fault) -> None:
        """Have a fault happen: a stall at once, others when what is held by now was given."""
        if isinstance(fault, Stall):
            (self.stalls_both if fault.both else self.stall)(fault.seconds)
        else:
            self._put(fault)

    async def take(self) -> None:
        """Take bytes until there are no more; raise when the source is gone."""
        await self._reach()
        while True:
            room = self._faults[0].after - self.taken if self._faults else _PIECE
            data = await self._source.receive_some(min(room, _PIECE))
            if not data:
                self._put(None)
                return
            await self._still()  # a stall that began while this was waiting: as if it had not been read
            self.taken += len(data)
            self._held += len(data)
            self._put(bytes(data))
            await self._reach()
            while self._held >= self._most:
                await self._news.park()

    async def give(self) -> Cut | Reset | None:
        """Give bytes on, until there are no more, or the connection is to end."""
        while True:
            while not self._queue:
                await self._news.park()
            due, what = self._queue.popleft()
            await trio.sleep_until(due)
            match what:
                case bytes():
                    await self._pass_on(what)
                case Cut() | Reset():
                    return what
                case Split():
                    self._split = what
                case Merge():
                    self._merge = what
                case None | HalfClose():
                    self._ended = True
                    await self._sink.send_eof()
                    if what is None:
                        return None

    async def _pass_on(self, data: bytes) -> None:
        self._held -= len(data)
        if self._merge is not None:
            data = await self._gather(data, self._merge)
        self._news.unpark_all()
        if self._ended:
            return
        size = self._split.size if self._split is not None else len(data)
        for start in range(0, len(data), size):
            await self._sink.send_all(data[start : start + size])
            self.given += len(data[start : start + size])

    async def _gather(self, data: bytes, merge: Merge) -> bytes:
        """Wait for more bytes, and put them together."""
        with trio.move_on_after(merge.seconds):
            while len(data) < merge.size:
                if not self._queue:
                    self._news.unpark_all()
                    await self._news.park()
                    continue
                more = self._queue[0][1]
                if not isinstance(more, bytes):
                    break
                self._queue.popleft()
                self._held -= len(more)
                data += more
        return data

    async def _reach(self) -> None:
        """Note the faults whose place is reached."""
        while self._faults and self._faults[0].after <= self.taken:
            fault = self._faults.popleft()
            if isinstance(fault, Delay):
                self._delay = fault.seconds
            else:
                self.strike(fault)
        await self._still()

    async def _still(self) -> None:
        while trio.current_time() < self._still_until:
            with trio.move_on_at(self._still_until):
                await self._news.park()

    def _put(self, what: bytes | Fault | None) -> None:
        self._queue.append((trio.current_time() + self._delay, what))
        self._news.unpark_all()


class FaultyConnection:
    """One connection through a proxy.

    Attributes:
        number: Its number, the first being 1.
        faults: What was planned for it.
    """

    def __init__(self, number: int, faults: tuple[Fault, ...], client: Stream, server: Stream) -> None:
        self.number = number
        self.faults = faults
        self._client, self._server = client, server
        self._ways: dict[Direction, _Way] = {
            "up": _Way(client, server, (fault for fault in faults if fault.direction == "up")),
            "down": _Way(server, client, (fault for fault in faults if fault.direction == "down")),
        }
        for way in self._ways.values():
            way.stalls_both = self._stall
        self._running = trio.CancelScope()
        self._verdict: Cut | Reset | None = None
        self._ended = trio.Event()

    def __repr__(self) -> str:
        return f"<connection {self.number}: {self.up} bytes up, {self.down} down{', ended' if self.ended else ''}>"

    @property
    def up(self) -> int:
        """How many bytes the server was given."""
        return self._ways["up"].given

    @property
    def down(self) -> int:
        """How many bytes the client was given."""
        return self._ways["down"].given

    @property
    def ended(self) -> bool:
        """Whether it is over, for whatever reason."""
        return self._ended.is_set()

    async def wait_ended(self) -> None:
        """Wait until it is over.

        Cancellation:
            Safe.
        """
        await self._ended.wait()

    def strike(self, fault: Fault) -> None:
        """Have a fault happen now, wherever the connection is; if it is over, nothing does.

        Args:
            fault: Any but a `Delay`, with no place (`after`).

        Raises:
            ConfigurationError: It can only be planned.
        """
        if isinstance(fault, Delay) or fault.after:
            raise ConfigurationError(f"{fault!r} has to be planned, when the proxy is opened")
        self._ways[fault.direction].strike(fault)

    def resume(self) -> None:
        """End every stall."""
        for way in self._ways.values():
            way.resume()

    def _stall(self, seconds: float) -> None:
        for way in self._ways.values():
            way.stall(seconds)

    async def run(self) -> None:
        """Pass bytes on until it is over.

        Cancellation:
            Closes both ends.
        """
        try:
            with self._running:
                async with trio.open_nursery() as nursery:
                    for way in self._ways.values():
                        nursery.start_soon(self._task, way.take)
                        nursery.start_soon(self._task, way.give)
            self._ended.set()
            if self._verdict is not None:
                await self._end(self._verdict)
        finally:
            self._ended.set()
            try:
                await trio.aclose_forcefully(self._client)
            finally:  # when cancelled, the first one says so
                await trio.aclose_forcefully(self._server)

    async def _task(self, work: Callable[[], Awaitable[Cut | Reset | None]]) -> None:
        try:
            verdict = await work()
        except _GONE:
            verdict = Reset()
        if verdict is not None:
            self._verdict = verdict
            self._running.cancel(reason="the link is over")

    async def _end(self, verdict: Cut | Reset) -> None:
        if isinstance(verdict, Cut):
            await self._let_go()
        else:
            for end in (self._client, self._server):
                _reset(end)

    async def _let_go(self) -> None:
        """Say to both ends that it is over, and take what they still send: else closing would reset them."""
        with trio.move_on_after(_LINGER):
            async with trio.open_nursery() as nursery:
                for end in (self._client, self._server):
                    nursery.start_soon(_hang_up, end)


async def _hang_up(end: Stream) -> None:
    with contextlib.suppress(*_GONE):
        await end.send_eof()
        while await end.receive_some(_PIECE):
            pass


def _reset(end: Stream) -> None:
    """Reset a link: the kernel does it to a socket that is closed, when it may not linger."""
    if isinstance(end, MemoryEnd):
        end.reset()
    else:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
