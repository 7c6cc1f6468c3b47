"""What is fuzzed: bytes in; nothing may come out but the library's own exceptions. `run.py` finds the bytes."""

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from realtime_trio import RealtimeError, open_session, tool
from realtime_trio.errors import RemoteProtocolError
from realtime_trio.events import decode, decode_client, encode
from realtime_trio.testing import FakeDevice

_SESSION = {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["audio"]}


def decoder(data: bytes) -> None:
    """Read bytes as an event of either side; what is one is written and read again."""
    for read in (decode, decode_client):
        with contextlib.suppress(RemoteProtocolError):
            event = read(data)
            assert repr(event)
            assert type(read(encode(event))) is type(event)


def session(data: bytes) -> None:
    """Let a server say these lines to a session with a microphone, a speaker and a tool."""
    trio.run(_talk, data.decode("utf-8", "replace").splitlines(), clock=MockClock(autojump_threshold=0))


@tool
async def note(text: str) -> str:
    """Note something."""
    await trio.sleep(0.05)
    return text


async def _talk(lines: list[str]) -> None:
    link = _Link(lines)
    device = FakeDevice(output_latency_ms=30, echoes=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(device.run)
        with trio.fail_after(3600), contextlib.suppress(RealtimeError):
            async with open_session(
                connect=link.connect, audio=device, tools=[note], interruption="confirm", ack_timeout=1
            ):
                link.begin.set()
                await link.over.wait()
                await trio.sleep(1)
        nursery.cancel_scope.cancel()


class _Link:
    """A server's end that greets, says its lines, and answers nothing."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = [_told("session.created"), _told("session.updated"), *lines]
        self._next = 0
        self.begin = trio.Event()
        self.over = trio.Event()
        self._configured = trio.Event()

    @asynccontextmanager
    async def connect(self, _target: object) -> AsyncIterator["_Link"]:
        yield self

    async def send_message(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        if '"session.update"' in message:
            self._configured.set()

    async def receive_message(self) -> str:
        await trio.lowlevel.checkpoint()
        place, self._next = self._next, self._next + 1
        if place == 1:
            await self._configured.wait()
        elif place > 1:
            await self.begin.wait()
        if place >= len(self._lines):
            self.over.set()
            await trio.sleep_forever()
        return self._lines[place]

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        pass


def _told(kind: str) -> str:
    return json.dumps({"type": kind, "event_id": "event_1", "session": _SESSION})


TARGETS = {"decoder": decoder, "session": session}
