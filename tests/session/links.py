"""A link to the offline server, in memory, that can break in ways from which no end of it is heard."""

from contextlib import asynccontextmanager
from typing import Literal

import trio
from trio.testing import memory_stream_pair

from realtime_trio.transport import websocket_over

__all__ = ["BreakableLinks", "Peer"]

Peer = Literal["well", "dead", "stalled"]


class _Link(trio.abc.Stream):
    """The client's end of one link. What broke is never whole again; closing wakes who waits, as for every stream."""

    def __init__(self, stream: trio.abc.Stream, links: "BreakableLinks") -> None:
        self._stream = stream
        self._links = links
        self._closed = trio.Event()

    async def _wait_for_nothing(self) -> None:
        await self._closed.wait()
        raise trio.ClosedResourceError("closed here")

    async def send_all(self, data):
        if self._links.peer == "stalled":
            await self._wait_for_nothing()
        elif self._links.peer == "dead":  # the system takes it, and nobody else does
            await trio.lowlevel.checkpoint()
        else:
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self):
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes=None):
        data = await self._stream.receive_some(max_bytes)
        if self._links.peer != "well":
            await self._wait_for_nothing()
        return data

    async def aclose(self):
        self._closed.set()
        await self._stream.aclose()


class BreakableLinks:
    """All links to one server; `open_session(connect=links.connect)`.

    Attributes:
        peer: How the other side is.
    """

    def __init__(self, server) -> None:
        self._server = server
        self.peer: Peer = "well"

    def become(self, peer: Peer) -> None:
        """Let the other side be otherwise from now on.

        Args:
            peer: "dead": nothing comes any more, not even an end, and what is sent is lost; "stalled": nor does sending
                get on. A link that was either in the middle of something is not well again.
        """
        self.peer = peer

    @asynccontextmanager
    async def connect(self, target):
        ours, theirs = memory_stream_pair()
        self._server.accept_stream(theirs)
        async with websocket_over(_Link(ours, self), target) as stream:
            yield stream
