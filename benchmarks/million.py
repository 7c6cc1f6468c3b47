"""A million deltas in one answer: what each costs, and what the session holds behind them.

Transcript, sound (2 ms each; an answer may have ten minutes of it, then it is interrupted) and written text, by a link
that is no socket, so that it is the session that is measured. `--quick` pours ten thousand: to see that it works.
"""

import base64
import contextlib
import json
import resource
import sys
import time
from collections import deque
from pathlib import Path

import trio

from realtime_trio import open_session

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from flatness import held_by, kilobytes
from measuring import machine

SESSION = {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["audio"]}
RESPONSE = {
    "object": "realtime.response",
    "id": "resp_1",
    "status": "in_progress",
    "output": [],
    "conversation_id": "c",
}
ITEM = {"id": "item_1", "object": "realtime.item", "type": "message", "role": "assistant", "content": []}
PLACE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
SOUND = base64.b64encode(bytes(96)).decode()
DELTAS = {
    "transcript": ("response.output_audio_transcript.delta", "a"),
    "sound": ("response.output_audio.delta", SOUND),
    "text": ("response.output_text.delta", "a"),
}


def event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, "event_id": "event_1", **fields})


class Link:
    """A server's end that says the same thing again and again."""

    def __init__(self, delta: str, times: int) -> None:
        self._first = deque([event("session.created", session=SESSION)])
        self._delta = delta
        self._left = times
        self._wake = trio.Event()
        self._count = 0
        self.over = trio.Event()

    @contextlib.asynccontextmanager
    async def connect(self, _target: object):
        yield self

    async def send_message(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        if json.loads(message)["type"] == "session.update":
            self.say(event("session.updated", session=SESSION))

    def say(self, *messages: str) -> None:
        self._first.extend(messages)
        self._wake.set()

    async def receive_message(self) -> str:
        self._count += 1
        if self._count % 50 == 0:
            await trio.lowlevel.checkpoint()
        while not self._first:
            if self._left and self._begun():
                self._left -= 1
                return self._delta
            if not self._left:
                self.over.set()
            self._wake = trio.Event()
            await self._wake.wait()
        return self._first.popleft()

    def _begun(self) -> bool:
        return self._count > 5  # created, updated, and the beginning of the answer

    async def aclose(self, *_words: object) -> None:
        await trio.lowlevel.checkpoint()


async def pour(kind: str, times: int) -> tuple[float, int]:
    """Pour so many; give the CPU seconds that takes, and what the session holds behind it."""
    name, delta = DELTAS[kind]
    link = Link(event(name, **PLACE, delta=delta), times)
    async with open_session(connect=link.connect, url="ws://localhost/", drain=False) as session:
        begun = time.process_time()
        link.say(
            event("response.created", response=RESPONSE),
            event("response.output_item.added", response_id="resp_1", output_index=0, item=ITEM),
            event("conversation.item.added", item=ITEM, previous_item_id=None),
        )
        await link.over.wait()
        taken = time.process_time() - begun
        assert session.statistics().link.received >= times
        return taken, held_by(session)


def main(*options: str) -> None:
    """Measure each kind."""
    print(machine("realtime_trio", "trio", "msgspec"))
    times = 10_000 if "--quick" in options else 1_000_000
    for kind in DELTAS:
        taken, held = trio.run(pour, kind, times)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(
            f"{times:,} deltas of {kind}: {taken:.1f} s, {taken / times * 1e6:.0f} µs each; "
            f"the session holds {kilobytes(held)}, the process {most:.0f} MB at most",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
