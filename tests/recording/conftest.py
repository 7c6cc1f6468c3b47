"""Sessions that are recorded, against a scripted peer."""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from realtime_trio import open_session
from realtime_trio.recording import read_recording
from realtime_trio.testing import open_scripted_peer


class Answers:
    """What the peer says."""

    def __init__(self, peer):
        self.peer = peer

    async def created(self, response_id="resp_1", request=None):
        metadata = request["response"]["metadata"] if request else None
        value = {"object": "realtime.response", "id": response_id, "status": "in_progress", "output": [],
                 "conversation_id": "conv_1", "metadata": metadata}  # fmt: skip
        await self.peer.send("response.created", response=value)

    async def audio(self, pcm, response_id="resp_1", item_id="item_a"):
        await self.peer.send(
            "response.output_audio.delta", response_id=response_id, item_id=item_id, output_index=0,
            content_index=0, delta=base64.b64encode(pcm).decode(),
        )  # fmt: skip

    async def audio_done(self, response_id="resp_1", item_id="item_a"):
        await self.peer.send(
            "response.output_audio.done", response_id=response_id, item_id=item_id, output_index=0, content_index=0
        )

    async def done(self, response_id="resp_1", *output, status="completed"):
        value = {"object": "realtime.response", "id": response_id, "status": status, "output": list(output),
                 "conversation_id": "conv_1"}  # fmt: skip
        await self.peer.send("response.done", response=value)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "recording"


@pytest.fixture
def open_recorded(folder):
    @asynccontextmanager
    async def open_recorded(**options: object) -> AsyncGenerator:
        options = {"record": folder, **options}
        async with open_scripted_peer(greet=True) as peer, open_session(connect=peer.connect, **options) as session:
            yield session, Answers(peer)

    return open_recorded


@pytest.fixture
def lines(folder):
    """The lines of a kind that were recorded."""

    def lines(*kinds):
        return [entry for entry in read_recording(folder).entries() if not kinds or entry.kind in kinds]

    return lines
