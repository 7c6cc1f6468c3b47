"""Devices with a program at the other end: what it sends is captured, what the session plays it gets."""

import struct

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import BridgeDevice, memory_pair
from realtime_trio.audio.pcm import fade_out
from realtime_trio.device import AudioBlock, AudioDevice, AudioStream, Position

BLOCK = 960  # bytes


def numbered(count: int, first: int = 0) -> bytes:
    return struct.pack(f"<{count}h", *(1 + (first + n) % 32_000 for n in range(count)))


async def receive(stream: AudioStream, blocks: int) -> list[AudioBlock]:
    return [await stream.receive_block() for _ in range(blocks)]


def captured(blocks: list[AudioBlock]) -> bytes:
    return b"".join(block.captured for block in blocks)


async def test_it_is_a_device(autojump_clock) -> None:
    device: AudioDevice = BridgeDevice()
    assert isinstance(device, AudioDevice)
    async with device.open() as stream:
        assert isinstance(stream, AudioStream)


async def test_both_ways(autojump_clock) -> None:
    """What is pushed comes with the next block, what is written comes out 20 ms every 20 ms, silence included."""
    device = BridgeDevice(output_latency_ms=30)
    async with device.open() as stream:
        opened = trio.current_time()
        stream.write(numbered(700))
        device.push_captured(numbered(240))
        first, second = await receive(stream, 2)
        played = [await device.receive_played() for _ in range(2)]

        assert captured([first, second]) == numbered(240).ljust(2 * BLOCK, b"\0")
        assert b"".join(played) == numbered(700).ljust(2 * BLOCK, b"\0")
        assert second.position == Position(0, 700, pytest.approx(opened + 0.04 + 0.03 + 220 / 24_000))
        assert first.played == b""
        waiting = trio.current_time()
        assert await stream.receive_block()
        assert await device.receive_played() == bytes(BLOCK)
        assert trio.current_time() == pytest.approx(waiting + 0.02)


async def test_a_cut_is_what_the_far_person_gets(autojump_clock) -> None:
    device = BridgeDevice()
    async with device.open() as stream:
        stream.write(numbered(5000))
        await receive(stream, 2)
        stream.cut(1)
        block = (await receive(stream, 2))[0]
        played = b"".join([await device.receive_played() for _ in range(4)])

        assert block.cut == Position(0, 1200, pytest.approx(block.captured_at + 0.02 + 0.01))
        assert played == (numbered(960) + fade_out(numbered(240, 960))).ljust(4 * BLOCK, b"\0")


@pytest.mark.slow
@given(pieces=st.lists(st.integers(0, 20_000), max_size=5), pause_ms=st.integers(0, 50))
def test_whatever_is_sent_with_patience_is_captured_whole(pieces, pause_ms) -> None:
    sound = b"".join(numbered(count, sum(pieces[:n])) for n, count in enumerate(pieces))
    blocks: list[AudioBlock] = []

    async def main() -> None:
        device = BridgeDevice()

        async def listen() -> None:
            async with device.open() as stream:
                while True:
                    blocks.append(await stream.receive_block())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            at = 0
            for count in pieces:
                await device.send_captured(sound[2 * at : 2 * (at + count)])
                at += count
                await trio.sleep(pause_ms / 1000)
            await trio.sleep(0.3)
            nursery.cancel_scope.cancel()
        assert device.dropped_ms == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    heard = [value for (value,) in struct.iter_unpack("<h", captured(blocks)) if value]
    assert heard == [value for (value,) in struct.iter_unpack("<h", sound)]


async def test_sending_takes_as_long_as_the_buffer_is_full(autojump_clock) -> None:
    """A second of sound is taken after 800 ms: 200 may wait. Who gives up by then has sent only so much."""
    device = BridgeDevice()
    async with device.open() as stream, trio.open_nursery() as nursery:

        async def listen() -> None:
            while True:
                await stream.receive_block()

        nursery.start_soon(listen)
        begun = trio.current_time()
        await device.send_captured(numbered(24_000))
        assert trio.current_time() - begun == pytest.approx(0.8)
        with trio.move_on_after(0.1):
            await device.send_captured(numbered(24_000))
        assert device.dropped_ms == 0
        nursery.cancel_scope.cancel()


async def test_a_live_line_loses_the_oldest(autojump_clock) -> None:
    """Half a second arrives at once after a stall: what is older than the buffer would only be delay."""
    device = BridgeDevice(buffer_ms=200)
    async with device.open() as stream:
        device.push_captured(numbered(12_000))
        assert device.dropped_ms == 300
        assert captured(await receive(stream, 10)) == numbered(4800, 12_000 - 4800)


async def test_who_does_not_listen_for_a_second_loses_the_oldest(autojump_clock) -> None:
    device = BridgeDevice()
    async with device.open() as stream:
        stream.write(numbered(7200))
        for _ in range(60):
            await stream.receive_block()
        assert await device.receive_played() == numbered(480, 10 * 480)
        assert device.statistics().overruns == 10


async def test_what_is_said_before_the_session_begins_waits_for_it(autojump_clock) -> None:
    device = BridgeDevice()
    device.push_captured(numbered(480))
    async with trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def listen() -> None:
            got.append(await device.receive_played())

        nursery.start_soon(listen)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        async with device.open() as stream:
            assert (await stream.receive_block()).captured == numbered(480)
            await trio.testing.wait_all_tasks_blocked()
    assert got == [bytes(BLOCK)]


async def test_when_the_session_is_over(autojump_clock) -> None:
    """The fade is still received, then both ends are told; and another session can have it."""
    device = BridgeDevice()
    async with trio.open_nursery() as nursery, device.open() as stream:
        with pytest.raises(trio.BusyResourceError):
            async with device.open():
                pass
        stream.write(numbered(5000))
        await receive(stream, 1)
        stream.cut(1)

        async def send() -> None:
            with pytest.raises(trio.BrokenResourceError, match="session is over"):
                await device.send_captured(bytes(48_000))

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert [await device.receive_played() for _ in range(2)] == [numbered(480), fade_out(numbered(240, 480))]
    with pytest.raises(trio.EndOfChannel):
        await device.receive_played()
    with pytest.raises(trio.BrokenResourceError):
        device.push_captured(b"\0\0")

    async with device.open() as stream:
        device.push_captured(numbered(480))
        assert (await stream.receive_block()).captured == numbered(480)
        assert await device.receive_played() == bytes(BLOCK)


async def test_it_echoes_when_told(autojump_clock) -> None:
    device = BridgeDevice(echoes=True)
    async with device.open() as stream:
        stream.write(numbered(480))
        assert (await stream.receive_block()).played == numbered(480)


async def test_what_is_refused(autojump_clock) -> None:
    with pytest.raises(ValueError, match="buffer_ms has to be at least"):
        BridgeDevice(buffer_ms=10)
    for call in (BridgeDevice().push_captured, BridgeDevice().send_captured):
        with pytest.raises(ValueError, match="odd byte"):
            await call(b"\0")


async def test_a_pair_hears_each_other(autojump_clock) -> None:
    left, right = memory_pair()
    assert isinstance(left, AudioDevice)
    async with left.open() as here:
        here.write(numbered(480))
        await receive(here, 2)  # nobody is there yet
        async with right.open() as there:
            here.write(numbered(1000))
            there.write(numbered(700, 5000))
            said, answered = [], []
            for _ in range(6):
                said.append(await there.receive_block())
                answered.append(await here.receive_block())

    assert captured(said).strip(b"\0") == numbered(1000)
    assert captured(answered).strip(b"\0") == numbered(700, 5000)
