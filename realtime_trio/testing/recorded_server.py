"""What a server said in a recording, said again: each of its links on a connection of its own, at its times.

Who says what the user said is in `recorded.py`.
"""

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import trio

from realtime_trio.errors import ConnectError
from realtime_trio.recording import Entry, RecordedSession
from realtime_trio.transport import MessageStream, Target

from .peer import ScriptedPeer, open_scripted_peer

__all__ = ["RecordedServer", "open_recorded_server"]

_IDS: Final = frozenset({"event_id", "id", "item_id", "previous_item_id", "call_id", "response_id"})
_OURS: Final = "realtime_trio"  # the key of metadata by which a session knows its requests
_REDACTED: Final = "[redacted]"  # stands for many things
_NEVER_SENT: Final = range(1004, 1008)  # close codes that no CLOSE carries: the link just ended


class RecordedServer:
    """The links of a recording, one after the other for whoever connects. Make one with `open_recorded_server`.

    Attributes:
        peers: Those that were opened, in the order in which that happened.
        url: What to connect to.
    """

    def __init__(self, links: list["_Link"]) -> None:
        self.peers = [link.peer for link in links if link.peer is not None]
        self.url = self.peers[0].url if self.peers else "ws://recorded.localhost/v1/realtime"
        self._links = links
        self._tried = 0

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncGenerator[MessageStream]:
        """Connect to the next link, or fail as that did then.

        Raises:
            ConnectError: It failed then; or there was none.

        Cancellation:
            Closes the link.
        """
        if self._tried == len(self._links):
            raise ConnectError(f"the recorded session opened {self._tried} links, and here another is wanted")
        link = self._links[self._tried]
        self._tried += 1
        if link.peer is None:
            raise ConnectError(link.problem)
        async with link.peer.connect(target) as stream:
            yield stream

    async def finished(self) -> None:
        """Wait until all of them have said everything.

        Cancellation:
            Safe.
        """
        for link in self._links:
            await link.over.wait()


@asynccontextmanager
async def open_recorded_server(
    recording: RecordedSession, entries: Iterable[Entry], *, began: float, patience: float
) -> AsyncGenerator[RecordedServer]:
    """Have what a server said said again.

    Args:
        recording: Where.
        entries: Its lines.
        began: At which of its seconds the first of them is said.
        patience: Seconds that are waited for what the client had sent then.

    Yields:
        The server.

    Raises:
        AssertionError: The client does not send what it had sent then.

    Cancellation:
        Drops the connections.

    Tasks:
        One for each link.
    """
    lines: dict[int, list[Entry]] = {}
    for entry in entries:
        if isinstance(number := entry.data.get("link"), int):
            lines.setdefault(number, []).append(entry)
    now: dict[str, str] = {}
    base = _Base(began)
    links = [_Link(recording, of_link, base, now, patience) for _, of_link in sorted(lines.items())]
    async with AsyncExitStack() as stack:
        for link in links:
            if link.is_open:
                link.peer = await stack.enter_async_context(open_scripted_peer(link.play, patience=patience))
                link.peer.ignored.add("input_audio_buffer.append")
        yield RecordedServer(links)


class _Base:
    """When the recording's time is now: it begins with the first link."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._base: float | None = None

    def time(self, at: float) -> float:
        if self._base is None:
            self._base = trio.current_time() - self._began
        return self._base + at


class _Link:
    """What the server said on one link, as a script."""

    def __init__(
        self, recording: RecordedSession, entries: list[Entry], base: _Base, now: dict[str, str], patience: float
    ) -> None:
        self.over = trio.Event()
        self.peer: ScriptedPeer | None = None
        # a recording of the first format, or one that was killed, may lack these lines
        self.is_open = any(entry.kind in {"connected", "sent", "received"} for entry in entries)
        self.problem = next((str(entry.data.get("reason")) for entry in entries if entry.kind == "disconnected"), "")
        if not self.is_open:
            self.over.set()
        self._recording = recording
        self._entries = [
            entry
            for entry in entries
            if entry.kind == "received"
            or (entry.kind == "sent" and entry.type != "input_audio_buffer.append")
            or (entry.kind == "disconnected" and entry.data.get("reason") != "closed here")
        ]
        self._base = base
        self._patience = patience
        self._now = now  # ids of the recording, and what stands for them now

    async def play(self, peer: ScriptedPeer) -> None:
        self._base.time(0)
        for entry in self._entries:
            at = self._base.time(entry.at)
            if entry.kind == "sent":
                within = max(0.0, at - trio.current_time()) + self._patience
                self._learn(entry.event, await peer.expect(entry.type, within=within))
                continue
            await trio.sleep_until(at)
            await self._say(peer, entry)
        self.over.set()

    async def _say(self, peer: ScriptedPeer, entry: Entry) -> None:
        if entry.kind == "disconnected":
            code = entry.data.get("code")
            if code is None or code in _NEVER_SENT:
                await peer.drop()
            else:
                await peer.close(code, str(entry.data.get("reason") or ""))
        elif entry.event:
            await peer.send(self._translated(json.loads(self._recording.message(entry))))
        else:
            await peer.send_text(self._recording.message(entry))

    def _learn(self, then: Any, now: Any, key: str = "") -> None:
        """Note which ids stand for which."""
        if isinstance(then, dict) and isinstance(now, dict):
            for name in then.keys() & now.keys():
                self._learn(then[name], now[name], _OURS if key == "metadata" else name)
        elif isinstance(then, list) and isinstance(now, list):
            for one, other in zip(then, now, strict=False):
                self._learn(one, other, key)
        elif isinstance(then, str) and isinstance(now, str) and key in _IDS | {_OURS} and then != _REDACTED:
            self._now[then] = now

    def _translated(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._now.get(value, value)
        if isinstance(value, dict):
            return {name: self._translated(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._translated(item) for item in value]
        return value
