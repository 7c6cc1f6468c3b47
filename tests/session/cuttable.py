"""A link that a test can cut: what is in front of any server's `connect`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from realtime_trio.errors import ConnectionClosed
from realtime_trio.transport import MessageStream, Target


class _Stream:
    """A message stream until it is cut."""

    def __init__(self, stream: MessageStream) -> None:
        self._stream = stream
        self._receiving = trio.CancelScope()
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        self._receiving.cancel()

    async def send_message(self, message: str) -> None:
        if self.is_cut:
            raise ConnectionClosed(None, "cut")
        await self._stream.send_message(message)

    async def receive_message(self) -> str:
        if not self.is_cut:
            with trio.CancelScope() as self._receiving:
                return await self._stream.receive_message()
        raise ConnectionClosed(None, "cut")

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._stream.aclose(code, reason)


class Cuttable:
    """Connections to a server, which can be cut and refused.

    Attributes:
        links: All that were made, the newest last.
        refusals: What the next attempts end with, the next first.
    """

    def __init__(self, connect) -> None:
        self._connect = connect
        self.links: list[_Stream] = []
        self.refusals: list[Exception] = []
        self.attempts: list[float] = []

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncGenerator[MessageStream]:
        self.attempts.append(trio.current_time())
        if self.refusals:
            raise self.refusals.pop(0)
        async with self._connect(target) as stream:
            self.links.append(_Stream(stream))
            yield self.links[-1]

    def cut(self) -> None:
        """Cut the newest link."""
        self.links[-1].cut()
