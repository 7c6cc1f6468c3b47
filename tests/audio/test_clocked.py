"""Devices on Trio's clock: when blocks happen, what they hold, where a cut falls, what a recording tells."""

import struct
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import ClockedDevice, Room, StereoRecorder
from realtime_trio.audio.pcm import fade_out, silence
from realtime_trio.device import AudioBlock, AudioDevice, AudioStream, Position
from realtime_trio.errors import AudioError

BLOCK = 480


def numbered(count: int, first: int = 0) -> bytes:
    return struct.pack(f"<{count}h", *(1 + (first + n) % 32_000 for n in range(count)))


def without_zeros(pcm: bytes) -> list[int]:
    return [value for (value,) in struct.iter_unpack("<h", pcm) if value]


class Tape:
    """A recorder in memory."""

    def __init__(self) -> None:
        self.captured = b""
        self.played = b""
        self.flushed = 0

    def write(self, captured: bytes, played: bytes) -> None:
        assert len(captured) == len(played)
        self.captured += captured
        self.played += played

    def flush(self) -> None:
        self.flushed += 1


def virtual(main, *arguments):
    """Run under a clock that jumps, once per example."""
    return trio.run(main, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))


async def receive(stream: AudioStream, blocks: int) -> list[AudioBlock]:
    return [await stream.receive_block() for _ in range(blocks)]


async def test_it_is_a_device(autojump_clock) -> None:
    device: AudioDevice = ClockedDevice()
    assert isinstance(device, AudioDevice)
    async with device.open() as stream:
        assert isinstance(stream, AudioStream)


async def test_blocks_come_at_their_times_and_never_drift(autojump_clock) -> None:
    """Minutes of blocks end to the microsecond where they have to, however late some were received."""
    async with ClockedDevice().open() as stream:
        opened = trio.current_time()
        for n in range(1, 2000):
            block = await stream.receive_block()
            assert block.captured_at == pytest.approx(opened + (n - 1) * 0.02, abs=1e-9)
            assert trio.current_time() >= opened + n * 0.02 - 1e-9
            if n % 7 == 0:
                await trio.sleep(0.005 * (n % 11))
        await trio.sleep_until(opened + 300)
        assert ClockedDevice().statistics().blocks == 0
        for _ in range(100):
            block = await stream.receive_block()
        assert trio.current_time() == opened + 300
        assert block.captured_at == pytest.approx(opened + 300 - 0.02, abs=1e-6)


async def test_a_late_loop_catches_up(autojump_clock) -> None:
    """What was due meanwhile happened at its own time: the ring was played, then zeros."""
    device = ClockedDevice()
    async with device.open() as stream:
        opened = trio.current_time()
        assert stream.room == 7200
        stream.write(numbered(1000))
        await trio.sleep(0.1)
        blocks = await receive(stream, 5)

        assert trio.current_time() == opened + 0.1
        assert [block.position.samples for block in blocks] == [480, 960, 1000, 1000, 1000]
        assert [block.position.until - opened for block in blocks] == pytest.approx(
            [0.04, 0.06, 0.06 + 40 / 24_000] + [0.06 + 40 / 24_000] * 2
        )
        assert stream.room == 7200
        assert device.statistics().underruns == 0
        stream.write(numbered(480))
        await receive(stream, 1)
        assert device.statistics().underruns == 1
        assert device.statistics().blocks == 6


async def test_output_latency_is_in_until(autojump_clock) -> None:
    async with ClockedDevice(output_latency_ms=30).open() as stream:
        opened = trio.current_time()
        (before,) = await receive(stream, 1)
        stream.write(numbered(240))
        (after,) = await receive(stream, 1)

        assert before.position == Position(0, 0, pytest.approx(opened + 0.02))
        assert after.position == Position(0, 240, pytest.approx(opened + 0.04 + 0.03 + 0.01))


@pytest.mark.slow
@given(
    pieces=st.lists(st.integers(0, 7200), min_size=1, max_size=8),
    cut_after_ms=st.integers(0, 400),
    latency_ms=st.sampled_from([0, 20, 35]),
)
def test_a_cut_at_any_moment_reports_what_came_out(pieces: list[int], cut_after_ms: int, latency_ms: int) -> None:
    """However the sound was handed over, what was played is its beginning, faded, as long as the report says."""

    async def main() -> None:
        tape, written = Tape(), b""

        async def feed(stream: AudioStream) -> None:
            nonlocal written
            for count in pieces:
                piece = numbered(min(count, stream.room), len(written) // 2)
                stream.write(piece)
                written += piece
                await trio.sleep(0.013)

        async with ClockedDevice(output_latency_ms=latency_ms, recorder=tape).open() as stream:
            with trio.move_on_after(cut_after_ms / 1000):
                await feed(stream)
                await trio.sleep_forever()
            stream.cut(1)
            waiting = [await stream.receive_block() for _ in range(cut_after_ms // 20)]
            block = await stream.receive_block()
            await trio.sleep(0.5)

        assert [before.cut for before in waiting] == [None] * len(waiting)
        assert block.position == Position(1, 0, pytest.approx(block.captured_at + 0.02))
        assert block.cut is not None
        before = waiting[-1].position.samples if waiting else 0
        assert before <= block.cut.samples <= before + 240
        expected = written[: before * 2] + fade_out(written[before * 2 : block.cut.samples * 2])
        # gaps between the pieces were filled with zeros, which no sample of `numbered` is
        assert without_zeros(tape.played) == without_zeros(expected)

    virtual(main)


async def test_two_cuts_within_a_block_are_told_one_by_one(autojump_clock) -> None:
    async with ClockedDevice().open() as stream:
        stream.write(numbered(2000))
        await receive(stream, 1)
        stream.cut(1)
        stream.write(numbered(100))
        stream.cut(2)
        first, second, third = await receive(stream, 3)

        assert first.cut == Position(0, 720, pytest.approx(first.captured_at + 0.02 + 0.01))
        assert second.cut is not None
        assert (second.cut.generation, second.cut.samples) == (1, 0)
        assert third.cut is None
        assert first.position.generation == 2


async def test_a_cut_survives_blocks_that_nobody_received(autojump_clock) -> None:
    """After two seconds the oldest blocks go, but a cut is told with the next block that is received."""
    device = ClockedDevice()
    async with device.open() as stream:
        opened = trio.current_time()
        stream.write(numbered(2000))
        await trio.sleep(0.02)
        stream.cut(1)
        await trio.sleep(3)
        (block, after) = await receive(stream, 2)

        assert device.statistics().overruns == 51
        assert block.captured_at == pytest.approx(opened + 1.02)
        assert block.cut is not None
        assert (block.cut.generation, block.cut.samples) == (0, 720)
        assert after.cut is None


async def test_speaking(autojump_clock) -> None:
    """What is said is captured from that very sample on, one after the other, and the end of it is told."""
    tape = Tape()
    device = ClockedDevice(recorder=tape)
    early = device.speak(numbered(100))
    async with device.open() as stream, trio.open_nursery() as nursery:
        opened = trio.current_time()

        async def receive_all() -> None:
            while True:
                await stream.receive_block()

        nursery.start_soon(receive_all)
        assert await early.captured() == opened + 100 / 24_000
        await trio.sleep_until(opened + 0.1)
        first, second = device.speak(numbered(1000)), device.speak(numbered(500, 1000))
        assert await second.captured() == pytest.approx(opened + 0.1 + 1500 / 24_000)
        assert first.captured_until == pytest.approx(opened + 0.1 + 1000 / 24_000)
        await trio.sleep_until(opened + 0.2 + 1 / 24_000 + 0.01)
        device.speak(numbered(10))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    expected = numbered(100) + bytes(2 * 2300) + numbered(1500)
    expected = expected.ljust(2 * (4800 + 241), b"\0") + numbered(10)
    assert tape.captured.rstrip(b"\0") == expected.rstrip(b"\0")


@pytest.mark.slow
@given(st.lists(st.integers(1, 3000), max_size=6), st.sampled_from([10, 20, 33]))
def test_speech_is_the_same_however_it_is_cut_up(pieces: list[int], block_ms: int) -> None:
    """Neither the pieces that are said nor the length of a block change what is captured."""

    async def main() -> bytes:
        device = ClockedDevice(block_ms=block_ms)
        for n, count in enumerate(pieces):
            device.speak(numbered(count, sum(pieces[:n])))
        captured = b""
        async with device.open() as stream:
            while len(captured) <= sum(pieces) * 2:
                captured += (await stream.receive_block()).captured
        return captured

    assert without_zeros(virtual(main)) == without_zeros(numbered(sum(pieces)))


async def test_speech_that_is_never_captured(autojump_clock) -> None:
    """Who waits for it is told so."""
    device = ClockedDevice()
    async with device.open():
        said = device.speak(silence(1000))
        with trio.move_on_after(0.1):
            await said.captured()
    with pytest.raises(trio.ClosedResourceError):
        await said.captured()
    with pytest.raises(trio.ClosedResourceError):
        device.speak(b"\0\0")


async def test_the_recording_shows_what_was_heard_when(autojump_clock, tmp_path: Path) -> None:
    """Left and right are on one clock: what leaves the speaker while the microphone captures stands beside it."""
    path = tmp_path / "conversation.wav"
    with StereoRecorder(path) as recorder:
        device = ClockedDevice(output_latency_ms=10, recorder=recorder)
        async with device.open() as stream:
            device.speak(silence(40 + 10) + numbered(10))  # heard at 50 ms
            await receive(stream, 1)
            stream.write(numbered(10))  # handed over at 40 ms, leaves the speaker at 50 ms
            await receive(stream, 4)
    frames = path.read_bytes()[44:]

    left, right = frames[0::4] + b"", frames[2::4] + b""
    assert left == right
    assert left.rstrip(b"\0") == bytes(1200) + numbered(10)[0::2]


async def test_leaving_plays_the_fade_and_drops_the_rest(autojump_clock) -> None:
    """A cut just before the end is heard out; without one, what was handed over is."""
    tape = Tape()
    async with ClockedDevice(recorder=tape).open() as stream:
        stream.write(numbered(5000))
        await receive(stream, 2)
        stream.cut(1)
        stream.write(numbered(100))
    assert tape.played[960:].rstrip(b"\0") == (numbered(960) + fade_out(numbered(240, 960))).rstrip(b"\0")
    assert tape.flushed == 1

    tape = Tape()
    async with ClockedDevice(recorder=tape).open() as stream:
        stream.write(numbered(5000))
        await receive(stream, 2)
    assert tape.played[960:] == numbered(960)


async def test_when_it_is_closed(autojump_clock) -> None:
    """Nothing waits for ever on it, and it can be opened again."""
    device = ClockedDevice()
    async with trio.open_nursery() as nursery:
        async with device.open() as stream:
            with pytest.raises(trio.BusyResourceError):
                async with device.open():
                    pass

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await stream.receive_block()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await stream.receive_block()
        for call in (lambda: stream.write(b""), lambda: stream.cut(1), lambda: stream.room):
            with pytest.raises(trio.ClosedResourceError):
                call()
    async with device.open() as stream:
        assert (await stream.receive_block()).position == Position(0, 0, pytest.approx(trio.current_time()))


async def test_a_cancelled_receive_consumes_nothing(autojump_clock) -> None:
    async with ClockedDevice().open() as stream:
        opened = trio.current_time()
        with trio.move_on_after(0.01):
            await stream.receive_block()
        await trio.sleep_until(opened + 0.05)
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive_block()
        assert [block.captured_at - opened for block in await receive(stream, 3)] == pytest.approx([0, 0.02, 0.04])


async def test_a_recorder_that_fails(autojump_clock) -> None:
    """A full disk is told to who receives, and leaving the device stays quiet."""

    class Full(Tape):
        def write(self, captured: bytes, played: bytes) -> None:
            raise AudioError("full")

    async with ClockedDevice(recorder=Full()).open() as stream:
        with pytest.raises(AudioError, match="full"):
            await stream.receive_block()


@pytest.mark.parametrize("options", [{"block_ms": 0}, {"ring_ms": 10}, {"output_latency_ms": -1}])
def test_options_that_contradict(options) -> None:
    with pytest.raises(ValueError, match="block_ms has to be positive"):
        ClockedDevice(**options)


async def test_what_is_played_is_heard_by_the_microphone(autojump_clock) -> None:
    """It comes after the output's latency and the room's delay, and blocks say what was played."""
    device = ClockedDevice(output_latency_ms=10, echo=Room(delay_ms=15, gain_db=-20))
    device.speak(silence(20) + b"\x07\x00" * 480)
    async with device.open() as stream:
        stream.write(b"\xe8\x03" * 480)  # 1000, handed over at 20 ms, heard from 45 ms on
        blocks = await receive(stream, 5)

    captured = b"".join(block.captured for block in blocks)
    heard = [value for (value,) in struct.iter_unpack("<h", captured)]
    assert heard == [0] * 480 + [7] * 480 + [0] * 120 + [100] * 480 + [0] * (5 * 480 - 1560)
    assert [any(block.played) for block in blocks] == [True, False, False, False, False]
    assert all(len(block.played) == len(block.captured) for block in blocks)


async def test_without_a_room_nothing_is_told_of_what_was_played(autojump_clock) -> None:
    """An echo canceller would only spoil what cannot hold an echo."""
    async with ClockedDevice().open() as stream:
        stream.write(numbered(480))
        assert (await stream.receive_block()).played == b""


async def test_fast_while_there_is_something_to_hear_or_to_play(autojump_clock) -> None:
    """Twenty times real time through the speech and the second after it, then real time, until something is played."""
    device = ClockedDevice(pace="fast")
    device.speak(numbered(24_000))
    async with device.open() as stream:
        opened = trio.current_time()
        blocks = await receive(stream, 100)
        assert trio.current_time() - opened == pytest.approx(0.1)
        assert b"".join(block.captured for block in blocks) == numbered(24_000).ljust(96_000, b"\0")

        begun = trio.current_time()
        await receive(stream, 10)
        assert trio.current_time() - begun == pytest.approx(0.2)

        stream.write(numbered(7200))
        begun = trio.current_time()
        await receive(stream, 8)  # the first is under way already
        assert trio.current_time() - begun == pytest.approx(0.02 + 7 * 0.001)
        await receive(stream, 1)
        assert trio.current_time() - begun == pytest.approx(0.02 + 7 * 0.001 + 0.02), "less than half full: no hurry"


async def test_fast_is_as_fast_as_the_sound_comes(autojump_clock) -> None:
    """Sound that comes at five times real time is played whole, at five times, and without a gap."""
    tape = Tape()
    device = ClockedDevice(pace="fast", recorder=tape)
    sound = numbered(30_000) * 4  # five seconds

    async def feed(stream: AudioStream) -> None:
        rest = sound
        while rest:
            fits = min(stream.room, 2400) * 2
            stream.write(rest[:fits])
            rest = rest[fits:]
            await trio.sleep(fits / 48_000 / 5)

    async with device.open() as stream, trio.open_nursery() as nursery:
        begun = trio.current_time()
        nursery.start_soon(feed, stream)
        samples = 0
        while samples < len(sound) // 2:
            samples = (await stream.receive_block()).position.samples
        assert trio.current_time() - begun < 1.5

    assert tape.played.strip(b"\0") == sound
    assert device.statistics().underruns == 0


async def test_fast_waits_for_who_is_slow(autojump_clock) -> None:
    """Real time loses blocks when nobody receives them for two seconds; whoever is in a hurry loses none."""
    device = ClockedDevice(pace="fast")
    device.speak(numbered(30_000))
    captured = b""
    async with device.open() as stream:
        while len(captured) < 60_000:
            await trio.sleep(3)
            captured += (await stream.receive_block()).captured
        assert device.statistics().overruns == 0
    assert captured[:60_000] == numbered(30_000)


async def test_speaking_in_a_hurry(autojump_clock) -> None:
    """Also then it is captured from the sample on that the device's own time has come to."""
    device = ClockedDevice(pace="fast")
    device.speak(silence(100))
    async with device.open() as stream:
        await receive(stream, 5)
        await trio.sleep(0.0005)
        said = device.speak(numbered(10))
        assert said.first == pytest.approx(5 * 480 + 240, abs=1)
        (block,) = await receive(stream, 1)
        assert without_zeros(block.captured) == without_zeros(numbered(10))


def test_a_pace_that_is_none() -> None:
    with pytest.raises(ValueError, match="real_time"):
        ClockedDevice(pace="slow")  # type: ignore[arg-type]
