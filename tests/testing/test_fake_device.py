"""The device that tests step by hand does what a real one does, and what a bad one does."""

import pytest
import trio
import trio.testing

from realtime_trio.audio.pcm import fade_out
from realtime_trio.device import AudioDevice, AudioStream, DeviceChange, Position
from realtime_trio.errors import DeviceUnavailable
from realtime_trio.testing.devices import FakeDevice

SOUND = b"\x01\x02" * 1000


async def test_nothing_moves_by_itself(autojump_clock) -> None:
    """Blocks pass when the test says so, all at the present moment."""
    device = FakeDevice()
    assert isinstance(device, AudioDevice)
    async with device.open() as stream:
        assert isinstance(stream, AudioStream)
        assert device.is_open
        stream.write(SOUND)
        with trio.move_on_after(10) as waited:
            await stream.receive_block()
        assert waited.cancelled_caught
        said = device.speak(b"\x05\x05" * 500)

        device.step(2)
        first, second = await stream.receive_block(), await stream.receive_block()

        now = trio.current_time()
        assert first.position == Position(0, 480, pytest.approx(now + 0.02))
        assert second.position == Position(0, 960, pytest.approx(now + 0.02))
        assert first.captured + second.captured == (b"\x05\x05" * 500).ljust(1920, b"\0")
        assert await said.captured() == pytest.approx(now - 0.02 + 20 / 24_000)
        assert device.played == SOUND[:1920]
        assert device.written == SOUND
    assert not device.is_open
    assert device.openings == 1


async def test_late_reports() -> None:
    """Positions and cuts are told two blocks late, sound is not."""
    device = FakeDevice(report_delay=2, output_latency_ms=40)
    async with device.open() as stream:
        stream.write(SOUND)
        device.step()
        stream.cut(1)
        device.speak(b"\x05\x05")
        device.step(3)
        blocks = [await stream.receive_block() for _ in range(4)]

        assert [block.position.samples for block in blocks] == [0, 0, 480, 0]
        assert [block.cut and block.cut.samples for block in blocks] == [None, None, None, 720]
        assert blocks[1].captured.startswith(b"\x05\x05")
        assert blocks[2].position.until == pytest.approx(trio.current_time() + 0.06, abs=0.01)
        assert device.cuts == [1]


async def test_leaving_plays_the_fade() -> None:
    device = FakeDevice()
    async with device.open() as stream:
        stream.write(SOUND)
        device.step()
        stream.cut(1)
    assert device.played == SOUND[:960] + fade_out(SOUND[960:1440])


async def test_it_vanishes() -> None:
    """Blocks that waited are received, then the error is raised, at every call."""
    device = FakeDevice()
    async with device.open() as stream:
        device.step()
        device.fail(DeviceUnavailable("unplugged"))
        device.step()
        await stream.receive_block()
        for _ in range(2):
            with pytest.raises(DeviceUnavailable, match="unplugged"):
                await stream.receive_block()


async def test_blocks_say_what_was_played_when_it_echoes() -> None:
    device = FakeDevice(echoes=True)
    async with device.open() as stream:
        stream.write(SOUND)
        device.step(3)
        played = b"".join([(await stream.receive_block()).played for _ in range(3)])

    assert played == device.played == SOUND.ljust(2880, b"\0")


async def test_its_hardware_goes_away_and_comes_back() -> None:
    """Meanwhile blocks are silent, nothing is handed over, and a cut is told all the same, without a fade."""
    device = FakeDevice(echoes=True)
    async with device.open() as stream:
        stream.write(SOUND)
        device.step()
        device.change(available=False, words="unplugged")
        device.speak(SOUND * 2)
        device.step(2)
        stream.cut(1)
        stream.write(SOUND[:100])
        device.step()
        device.change(available=True, words="back")
        device.step()
        blocks = [await stream.receive_block() for _ in range(5)]

    assert [block.change for block in blocks] == [
        None,
        DeviceChange(available=False, words="unplugged"),
        None,
        None,
        DeviceChange(available=True, words="back"),
    ]
    assert [block.position.samples for block in blocks] == [480, 480, 480, 0, 50]
    assert [block.cut and block.cut.samples for block in blocks] == [None, None, None, 480, None]
    assert [any(block.captured) for block in blocks] == [False, False, False, False, True]
    assert device.played == SOUND[:960] + bytes(3 * 960) + SOUND[:100].ljust(960, b"\0")


async def test_it_runs_by_itself_when_told(autojump_clock) -> None:
    async with trio.open_nursery() as nursery:
        device = FakeDevice(block_ms=10)
        nursery.start_soon(device.run)
        begun = trio.current_time()
        await trio.sleep(0.1)
        async with device.open() as stream:
            for _ in range(30):
                block = await stream.receive_block()
        assert trio.current_time() == pytest.approx(begun + 0.4)
        assert block.captured_at == pytest.approx(begun + 0.39)
        nursery.cancel_scope.cancel()


async def test_when_it_is_closed() -> None:
    device = FakeDevice()
    with pytest.raises(trio.ClosedResourceError):
        device.step()
    with pytest.raises(trio.ClosedResourceError):
        device.fail(DeviceUnavailable("gone"))
    with pytest.raises(trio.ClosedResourceError):
        device.change(available=False, words="gone")
    async with device.open() as stream:
        said = device.speak(SOUND)
        with pytest.raises(trio.BusyResourceError):
            async with device.open():
                pass
    with pytest.raises(trio.ClosedResourceError):
        await said.captured()
    for call in (lambda: stream.write(b""), lambda: stream.cut(1)):
        with pytest.raises(trio.ClosedResourceError):
            call()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_block()


async def test_two_receivers_are_refused() -> None:
    device = FakeDevice()
    async with device.open() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.receive_block)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await stream.receive_block()
        device.step()
