"""Frames that we write ourselves, read by wsproto; and that nothing else gets between their pieces."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameDecoder

from realtime_trio.transport.frames import client_text_frame
from realtime_trio.transport.link import Link


def read_as_a_server(data):
    """Decode one frame as wsproto does for a server, which refuses what is not masked."""
    decoder = FrameDecoder(client=False)
    decoder.receive_bytes(data)
    payload = b""
    while (frame := decoder.process_buffer()) is not None:
        payload += frame.payload
        if frame.message_finished:
            return frame.opcode.name, payload.decode()
    raise AssertionError("the frame is not whole")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 125, 126, 127, 65_535, 65_536, 200_001])
def test_every_length_is_read_back(size):
    message = ("{" + "a" * size)[:size]

    assert ("TEXT", message) == read_as_a_server(client_text_frame(message))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_is_read_back(message):
    assert ("TEXT", message) == read_as_a_server(client_text_frame(message))


def test_the_mask_is_a_fresh_one_each_time():
    assert 20 == len({client_text_frame("hello") for _ in range(20)})


def test_a_lone_surrogate_is_refused():
    with pytest.raises(UnicodeEncodeError):
        client_text_frame("\ud800")


class Gated(trio.abc.Stream):
    """A stream whose first piece waits at a gate."""

    def __init__(self):
        self.sent = bytearray()
        self.gate = trio.Event()

    async def send_all(self, data):
        self.sent += data
        await self.gate.wait()

    async def wait_send_all_might_not_block(self):
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes=None):
        await trio.sleep_forever()

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def test_two_that_send_take_turns_also_in_the_middle_of_long_data():
    """A pong must not land inside a long frame, which leaves in pieces."""
    stream = Gated()
    link = Link(stream, send_timeout=5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send_all, b"a" * 50_000)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(link.send_all, b"b" * 20)
        await trio.testing.wait_all_tasks_blocked()
        stream.gate.set()

    assert b"a" * 50_000 + b"b" * 20 == bytes(stream.sent)


async def test_who_is_cancelled_while_another_sends_has_torn_nothing():
    stream = Gated()
    link = Link(stream, send_timeout=5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send_all, b"a" * 20)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await link.send_all(b"b" * 20)
        torn = link.torn
        stream.gate.set()

    assert scope.cancelled_caught
    assert not torn
    assert b"a" * 20 == bytes(stream.sent)
