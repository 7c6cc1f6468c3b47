"""Clients that mean harm: the server serves the others, tells nothing of them, and its memory has an end."""

import contextlib
import json
from contextlib import AsyncExitStack

import pytest
import trio

from realtime_trio import Refused, open_session
from realtime_trio.errors import ConfigurationError, ConnectionClosed
from realtime_trio.server import driver, open_server
from realtime_trio.server.crowd import MOST_AT_THE_DOOR
from realtime_trio.transport import Target, open_websocket

SLOW = b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: localhost\r\n"


async def ask(server, question="What is 2 plus 3?", **options):
    with trio.fail_after(20):
        async with open_session(url=server.url, modality="text", **options) as session:
            return (await session.ask(question)).text


def target(server) -> Target:
    return Target(url=server.url + "?model=m")


async def append_for_ever(server, task_status):
    """Send sound, read nothing."""
    async with open_websocket(target(server)) as link:
        task_status.started()
        message = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 64_000})
        while True:
            await link.send_message(message)


async def ask_for_ever(server, task_status):
    """Have it talk without end, and read nothing."""
    async with open_websocket(target(server)) as link:
        task_status.started()
        long = {"conversation": "none", "instructions": "Count from 1 to 900.", "output_modalities": ["audio"]}
        while True:
            await link.send_message(json.dumps({"type": "response.create", "response": long}))
            await trio.sleep(0.01)


async def talk_rubbish(server, task_status):
    """Send what is no event, and a large message that is none."""
    async with open_websocket(target(server)) as link:
        task_status.started()
        for text in ("[" * 100_000, '{"type": "\ufffd"}', '"' + "x" * 2**20, "null", '{"a":' * 50_000):
            await link.send_message(text)
        while True:
            await link.send_message("{")


async def whisper(server, task_status):
    """Begin a handshake and never end it, byte by byte."""
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        task_status.started()
        for byte in SLOW * 1000:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.05)


async def half_close(server, task_status):
    """Say that nothing more comes, in the middle of a frame."""
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        await stream.send_all(SLOW + b"Upgrade: websocket\r\n")
        await stream.send_eof()
        task_status.started()
        await trio.sleep_forever()


@pytest.mark.slow
@pytest.mark.parametrize("nuisance", [append_for_ever, ask_for_ever, talk_rubbish, whisper, half_close])
async def test_others_are_served(nuisance):
    """Five of them, and a client that behaves gets its answer."""

    async def quietly(task_status):  # noqa: ASYNC128 - the nuisance does
        with contextlib.suppress(ConnectionClosed, trio.BrokenResourceError):  # it was shown the door
            await nuisance(server, task_status)

    async with open_server(recogniser="none") as server, trio.open_nursery() as nursery:
        for _ in range(5):
            await nursery.start(quietly)
        assert await ask(server) == "2 plus 3 is 5."
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_crowd_at_the_door_keeps_nobody_out():
    """Those who stand there longest without asking for anything make room."""
    async with open_server(recogniser="none") as server, AsyncExitStack() as stack:
        idle = [
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", server.port))
            for _ in range(MOST_AT_THE_DOOR + 40)
        ]
        assert await ask(server) == "2 plus 3 is 5."
        with trio.fail_after(10):
            assert await idle[0].receive_some() == b""


async def test_more_sessions_than_it_takes():
    """Refused, with words; those that there are go on, and their places can be had again."""
    async with open_server(recogniser="none", max_sessions=2) as server:
        async with open_websocket(target(server)), open_session(url=server.url, modality="text") as session:
            with pytest.raises(Refused) as caught:
                await ask(server)
            assert caught.value.status == 503
            assert "too_many_sessions" in caught.value.body
            assert (await session.ask("What is 2 plus 3?")).text == "2 plus 3 is 5."
        assert await ask(server) == "2 plus 3 is 5."


async def test_a_server_for_nobody_is_refused():
    with pytest.raises(ConfigurationError, match="max_sessions=0"):
        async with open_server(listen=False, max_sessions=0):
            raise AssertionError("opened")


@pytest.mark.slow
async def test_a_session_that_takes_too_much_memory_is_closed(monkeypatch):
    monkeypatch.setattr(driver, "MOST_BYTES", 2**20)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * 50_000}]}
    async with open_server(recogniser="none") as server, open_websocket(target(server)) as link:
        with pytest.raises(ConnectionClosed) as caught, trio.fail_after(20):
            while True:
                await link.send_message(json.dumps({"type": "conversation.item.create", "item": item}))
                await link.receive_message()
        assert (caught.value.code, caught.value.reason) == (1008, "session_too_large")
        assert await ask(server) == "2 plus 3 is 5."


@pytest.mark.parametrize("kind", ["conversation.item.retrieve", "conversation.item.delete", "response.cancel"])
async def test_no_session_reads_another(kind):
    """Its items and responses are unknown to others, by their very ids too."""
    async with (
        open_server(recogniser="none") as server,
        open_session(url=server.url, modality="text") as mine,
        open_websocket(target(server)) as link,
    ):
        await mine.send_text("My secret is 4711.", when="now_silently")
        reply = await mine.ask("What is 2 plus 3?")
        texts = [await link.receive_message()]
        ids = [reply.responses[-1].id] if kind == "response.cancel" else [item.id for item in mine.conversation]
        for one in ids:
            named = {"response_id": one} if kind == "response.cancel" else {"item_id": one}
            await link.send_message(json.dumps({"type": kind, **named}))
            texts.append(await link.receive_message())
            assert json.loads(texts[-1])["type"] == "error"
        response = {"conversation": "none", "input": [{"type": "item_reference", "id": ids[0]}]}
        await link.send_message(json.dumps({"type": "response.create", "response": response}))
        texts.append(await link.receive_message())
        assert json.loads(texts[-1])["type"] == "error"
        assert not any("4711" in text for text in texts)
        assert next(iter(mine.conversation)).text == "My secret is 4711."
