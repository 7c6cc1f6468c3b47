"""A session against a scripted peer, over memory streams."""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio import Session, open_session
from realtime_trio.testing import FakeDevice, ScriptedPeer, open_scripted_peer


class Talk:
    """One session and the peer at the other end."""

    def __init__(self, session: Session, peer: ScriptedPeer) -> None:
        self.session = session
        self.peer = peer

    async def created(self, request: dict | None, response_id: str, **fields: object) -> None:
        """Send response.created; `request` is the client's response.create, None for one that VAD made."""
        metadata = request["response"]["metadata"] if request else None
        value = {
            "object": "realtime.response",
            "id": response_id,
            "status": "in_progress",
            "output": [],
            "conversation_id": "conv_1",
            "metadata": metadata,
            **fields,
        }
        await self.peer.send("response.created", response=value)

    async def done(self, response_id: str, *output: dict, status: str = "completed", **fields: object) -> None:
        """Send response.done."""
        value = {
            "object": "realtime.response",
            "id": response_id,
            "status": status,
            "output": list(output),
            "conversation_id": "conv_1",
            "usage": {"total_tokens": 3, "input_tokens": 1, "output_tokens": 2},
            **fields,
        }
        await self.peer.send("response.done", response=value)

    async def text(self, response_id: str, text: str, item_id: str = "item_a") -> None:
        """Send a whole text answer, from the first delta to response.done."""
        for piece in text.split(" "):
            await self.peer.send(
                "response.output_text.delta",
                response_id=response_id,
                item_id=item_id,
                output_index=0,
                content_index=0,
                delta=piece if piece == text.split(" ", maxsplit=1)[0] else f" {piece}",
            )
        await self.done(response_id, message(item_id, text))

    async def audio(self, response_id: str, pcm_base64: str, item_id: str = "item_a", content_index: int = 0) -> None:
        """Send one audio delta."""
        await self.peer.send(
            "response.output_audio.delta",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=content_index,
            delta=pcm_base64,
        )

    async def audio_done(self, response_id: str, item_id: str = "item_a", content_index: int = 0) -> None:
        await self.peer.send(
            "response.output_audio.done",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=content_index,
        )

    async def acknowledge(self, **wanted: object) -> dict:
        """Expect an item and acknowledge it."""
        event = await self.peer.expect("conversation.item.create", **wanted)
        for kind in ("added", "done"):
            await self.peer.send(f"conversation.item.{kind}", item=event["item"], previous_item_id=None)
        return event["item"]


def message(item_id: str, text: str) -> dict:
    return {
        "type": "message",
        "role": "assistant",
        "id": item_id,
        "status": "completed",
        "content": [{"type": "output_text", "text": text}],
    }


def function_call(call_id: str, name: str, arguments: str, status: str = "completed") -> dict:
    return {
        "type": "function_call",
        "id": f"item_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


@pytest.fixture
def open_talk():
    @asynccontextmanager
    async def open_talk(**options: object) -> AsyncGenerator[Talk]:
        async with (
            open_scripted_peer(greet=True) as peer,
            open_session(connect=peer.connect, url=peer.url, **options) as session,
        ):
            yield Talk(session, peer)

    return open_talk


@pytest.fixture
def as_message():
    return message


@pytest.fixture
def as_function_call():
    return function_call


@pytest.fixture
def tone():
    """Sound of one level, as the wire has it."""

    def tone(ms: int, level: int = 1000) -> str:
        return base64.b64encode(level.to_bytes(2, "little", signed=True) * (24 * ms)).decode()

    return tone


@pytest.fixture
def played_ms():
    """How much sound came out of a device, silence left out."""

    def played_ms(device: FakeDevice) -> float:
        samples = memoryview(bytes(device.played)).cast("h")
        return sum(1 for sample in samples if sample) / 24

    return played_ms


@pytest.fixture
def open_voice(open_talk):
    """A session with a device that keeps Trio's time; the microphone's appends are passed over."""

    @asynccontextmanager
    async def open_voice(*, device=None, **options):
        device = device or FakeDevice(output_latency_ms=30)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(device.run)
            async with open_talk(audio=device, **options) as talk:
                talk.device = device
                talk.peer.ignored.add("input_audio_buffer.append")
                yield talk
            nursery.cancel_scope.cancel()

    return open_voice
