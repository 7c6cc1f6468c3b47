"""A TCP connection in memory: two ends, each with a buffer that fills, that can be half closed, and reset.

Trio's own memory streams take everything and know no reset.
"""

import operator

import trio

__all__ = ["MemoryEnd", "memory_pipe"]


class _Way:
    """One direction: bytes that were sent and not received."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = bytearray()
        self.ended = False  # no more will be sent
        self.broken = False  # nobody will receive
        self.news = trio.lowlevel.ParkingLot()

    def take(self, most: int | None) -> bytes:
        data = bytes(self.bytes[:most])
        del self.bytes[:most]
        self.change()
        return data

    def change(self) -> None:
        self.news.unpark_all()


class _OneAtATime:
    """Refuses a second task that does what one is doing already."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._what} here already")
        self._busy = True

    def __exit__(self, *_: object) -> None:
        self._busy = False


class MemoryEnd(trio.abc.HalfCloseableStream):
    """One end of a pipe in memory. Made by `memory_pipe`."""

    def __init__(self, outgoing: _Way, incoming: _Way) -> None:
        self._out, self._in = outgoing, incoming
        self._closed = False
        self._reset = False
        self._peer: MemoryEnd | None = None
        self._sending = _OneAtATime("sending")
        self._receiving = _OneAtATime("receiving")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything; wait while the buffer is full.

        Raises:
            trio.BrokenResourceError: The other end is closed, or the pipe was reset.
            trio.ClosedResourceError: This end is closed.

        Cancellation:
            May leave part of it sent.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            rest = memoryview(data)
            while True:
                self._check_sending()
                room = self._out.capacity - len(self._out.bytes)
                if room > 0 and rest:
                    self._out.bytes += rest[:room]
                    rest = rest[room:]
                    self._out.change()
                if not rest:
                    return
                await self._out.news.park()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room in the buffer.

        Cancellation:
            Safe.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sending()
            while len(self._out.bytes) >= self._out.capacity:
                await self._out.news.park()
                self._check_sending()

    async def send_eof(self) -> None:
        """Say that nothing more will be sent; receiving goes on.

        Cancellation:
            It is said all the same.
        """
        with self._sending:
            if self._closed:
                raise trio.ClosedResourceError("this end is closed")
            self._out.ended = True
            self._out.change()
            await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes; none mean that the other end said that there will be no more.

        Raises:
            trio.BrokenResourceError: The pipe was reset.
            trio.ClosedResourceError: This end is closed.

        Cancellation:
            Safe: nothing is lost.
        """
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes is at least 1")
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while True:
                if self._closed:
                    raise trio.ClosedResourceError("this end is closed")
                if self._reset:
                    raise trio.BrokenResourceError("the link was reset")
                if self._in.bytes or self._in.ended:
                    return self._in.take(max_bytes)
                await self._in.news.park()

    async def aclose(self) -> None:
        """Close this end: the other one receives what was sent, then its end; what it sends breaks.

        Cancellation:
            It is closed all the same.
        """
        if not self._closed:
            self._closed = True
            self._out.ended = True
            self._in.broken = True
            self._in.bytes.clear()
        self._out.change()
        self._in.change()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Reset the pipe: what was on the way is gone, and both ends raise."""
        for end in (self, self._peer):
            if end is not None:
                end._reset = True  # noqa: SLF001  the same class
        for way in (self._out, self._in):
            way.bytes.clear()
            way.broken = True
            way.change()

    def _check_sending(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end is closed")
        if self._out.ended:
            raise trio.ClosedResourceError("this end said that it sends no more")
        if self._out.broken:
            raise trio.BrokenResourceError("the link was reset" if self._reset else "the other end is closed")


def memory_pipe(capacity: int = 64 * 1024) -> tuple[MemoryEnd, MemoryEnd]:
    """Make the two ends of a pipe in memory.

    Args:
        capacity: How many bytes may be on the way in each direction; who sends more waits.
    """
    one, other = _Way(capacity), _Way(capacity)
    here, there = MemoryEnd(one, other), MemoryEnd(other, one)
    here._peer, there._peer = there, here  # noqa: SLF001  made here
    return here, there
