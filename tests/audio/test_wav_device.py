"""The device of files: one is heard, what is played is written to another."""

import struct
from pathlib import Path

import pytest
import trio

from realtime_trio.audio import WavDevice, WavWriter, read_wav
from realtime_trio.errors import AudioError


def numbered(count: int, first: int = 0) -> bytes:
    return struct.pack(f"<{count}h", *(1 + (first + n) % 32_000 for n in range(count)))


class Tape:
    """A recorder in memory."""

    def __init__(self) -> None:
        self.captured = b""
        self.played = b""

    def write(self, captured: bytes, played: bytes) -> None:
        self.captured += captured
        self.played += played

    def flush(self) -> None: ...


async def test_wav_device(autojump_clock, tmp_path: Path) -> None:
    """The file is heard in real time, then silence; what was played is in the other file, and both on a tape."""
    source, target, tape = tmp_path / "in.wav", tmp_path / "out.wav", Tape()
    with WavWriter(source) as writer:
        writer.write(numbered(1000))

    device = WavDevice(source, target, recorder=tape)
    async with device.open() as stream:
        opened = trio.current_time()
        assert device.recording is not None
        stream.write(numbered(700))
        blocks = [await stream.receive_block() for _ in range(4)]
        assert device.recording.captured_until == pytest.approx(opened + 1000 / 24_000)

    captured = b"".join(block.captured for block in blocks)
    assert captured == numbered(1000).ljust(4 * 960, b"\0")
    assert read_wav(target) == tape.played == bytes(960) + numbered(700) + bytes(2 * 3 * 480 + 2 * 480 - 1400)
    assert tape.captured.startswith(captured)


async def test_wav_device_with_nothing(autojump_clock) -> None:
    """Without files it is silent, and says so."""
    device = WavDevice()
    assert device.recording is None
    async with device.open() as stream:
        assert (await stream.receive_block()).captured == bytes(960)


def test_wav_device_with_a_bad_file(tmp_path: Path) -> None:
    """It is told before anything is opened."""
    with pytest.raises(AudioError, match=r"none.wav cannot be read"):
        WavDevice(tmp_path / "none.wav")


async def test_as_fast_as_it_goes(autojump_clock, tmp_path: Path) -> None:
    """Ten seconds pass in half a second, and the recording says the same as in real time."""
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    with WavWriter(source) as writer:
        writer.write(numbered(240_000))

    device = WavDevice(source, target, pace="fast")
    assert device.recording is not None
    async with device.open() as stream:
        opened = trio.current_time()
        stream.write(numbered(700))
        while device.recording.captured_until is None:
            await stream.receive_block()
        assert trio.current_time() - opened == pytest.approx(0.5)
    sound = read_wav(target)
    assert sound[:960] == bytes(960)
    assert sound[960:2360] == numbered(700)
    assert len(sound) == 2 * (240_000 + 480)
