"""Byte streams that misbehave on request, and a pair of them in memory. They know just enough of WebSocket frames."""

import contextlib
from collections.abc import Callable

import trio
import trio.testing

__all__ = ["UnrulyStream", "memory_link"]

_CLOSE = 0x8
_PONG = 0xA


class UnrulyStream(trio.abc.Stream):
    """A server's end of a link, which can leave frames out, stop reading, or be lost."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._muted: set[int] = set()
        self._stalled = False
        self._news = trio.lowlevel.ParkingLot()

    def mute_close(self) -> None:
        """Send no CLOSE, and stay open when the WebSocket wants to close."""
        self._muted.add(_CLOSE)

    def mute_pongs(self) -> None:
        """Send no PONG."""
        self._muted.add(_PONG)

    def stall(self) -> None:
        """Read nothing, until `resume`."""
        self._stalled = True

    def resume(self) -> None:
        """Read on."""
        self._stalled = False
        self.look_up()

    def look_up(self) -> None:
        """Let `may_read` look at its condition once more."""
        self._news.unpark_all()

    async def may_read(self, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Wait while stalled.

        Args:
            unless: What else ends the wait, looked at whenever `look_up` says so.

        Cancellation:
            Safe.
        """
        await trio.lowlevel.checkpoint()
        while self._stalled and not unless():
            await self._news.park()

    async def wait_for_hangup(self) -> None:
        """Where CLOSE is muted, wait until the other side has had enough.

        Cancellation:
            Safe.
        """
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while _CLOSE in self._muted and await self._stream.receive_some():
                pass

    async def lose(self) -> None:
        """Lose the link without a word.

        Cancellation:
            It is lost all the same.
        """
        self._muted.clear()
        await trio.aclose_forcefully(self._stream)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are.

        Cancellation:
            As the stream below.
        """
        await self._stream.send_all(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send one frame (trio-websocket hands over one at a time), if it is not of a muted kind.

        Cancellation:
            As the stream below.
        """
        if len(data) and data[0] & 0x80 and data[0] & 0x0F in self._muted:
            await trio.lowlevel.checkpoint()
            return
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might get on.

        Cancellation:
            Safe.
        """
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Wait for bytes, and while stalled, for `resume`.

        Cancellation:
            Safe.
        """
        data = await self._stream.receive_some(max_bytes)
        await self.may_read()
        return data

    async def aclose(self) -> None:
        """Close, unless CLOSE is muted: `lose` does it then.

        Cancellation:
            Closes all the same.
        """
        if _CLOSE in self._muted:
            await trio.lowlevel.checkpoint()
            return
        await self._stream.aclose()


def memory_link() -> tuple[trio.abc.Stream, UnrulyStream]:
    """Make the two ends of a link in memory, the client's first.

    It never blocks, until the server's end is stalled: then nothing that the client sends gets on.
    """
    client, theirs = trio.testing.memory_stream_pair()
    server = UnrulyStream(theirs)
    pump, pump_end = client.send_stream.send_all_hook, client.send_stream.close_hook
    assert pump is not None and pump_end is not None  # noqa: S101, PT018  a memory pair has both
    closed = False

    async def hold_up() -> None:
        await server.may_read(unless=lambda: closed)
        if closed:
            raise trio.ClosedResourceError("closed while sending")
        await pump()

    def close() -> None:
        nonlocal closed
        closed = True
        server.look_up()
        pump_end()

    client.send_stream.send_all_hook, client.send_stream.close_hook = hold_up, close
    return client, server
