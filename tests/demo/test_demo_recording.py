"""What an earlier talk left is given up when the next one begins, and not before; and nothing delays Ctrl-C."""

import threading
from contextlib import asynccontextmanager

import attrs
import numpy as np
import pytest
import trio

from realtime_trio.audio import read_wav
from realtime_trio.demo import voices
from realtime_trio.demo.recording import LateRecorder, RecordedDevice
from realtime_trio.demo.voices import open_user_voice
from realtime_trio.errors import AudioError
from realtime_trio.server import fittings, open_server
from realtime_trio.server.babble import babble_source
from realtime_trio.testing import FakeDevice


def test_the_file_is_left_alone_until_the_beginning(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(b"precious")

    with LateRecorder(path) as recorder:
        recorder.write(b"\1\0", b"\3\0")
        recorder.flush()
        assert recorder.seconds == 0

    assert path.read_bytes() == b"precious"


def test_what_came_before_the_beginning_is_in_it(tmp_path):
    path = tmp_path / "talk.wav"

    with LateRecorder(path) as recorder:
        assert not path.exists()
        recorder.write(b"\1\0", b"\3\0")
        recorder.begin()
        recorder.write(b"\5\0", b"\7\0")
        assert recorder.seconds == 2 / 24_000

    assert read_wav(path) == b"\2\0\6\0"  # left and right, averaged


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(AudioError, match="cannot be written"):
        LateRecorder(tmp_path)


@pytest.mark.parametrize("where", ["user", "server"])
async def test_ctrl_c_does_not_wait_for_a_voice_that_is_tried(where, monkeypatch):
    release = threading.Event()

    def slow():
        release.wait(20)

    def slow_source():
        release.wait(20)
        return babble_source()

    monkeypatch.setattr(voices, "why_no_espeak", slow)
    monkeypatch.setattr(fittings, "default_voice", slow_source)
    began = trio.current_time()
    with trio.move_on_after(0.05) as scope:
        async with open_user_voice() if where == "user" else open_server(recogniser="none"):
            await trio.sleep_forever()
    took = trio.current_time() - began
    release.set()

    assert scope.cancelled_caught
    assert took < 5


# With a device that has a speaker of its own


class Tape:
    """A recorder in memory, that may have no more room."""

    def __init__(self, room=10**9):
        self.captured, self.played, self.room = bytearray(), bytearray(), room

    def write(self, captured, played):
        if len(self.captured) >= self.room:
            raise AudioError("talk.wav cannot be written any further: No space left on device")
        self.captured += captured
        self.played += played

    def flush(self):
        pass


def tone(ms, level=1000):
    return level.to_bytes(2, "little") * (24 * ms)


async def record(device, tape, *, steps, listens=lambda: True, write=b"", after=0):
    """Open the device, write at a block, and let blocks pass."""
    problems = []
    recorded = RecordedDevice(device, tape, listens=listens, on_problem=problems.append)
    async with recorded.open() as stream:
        for step in range(steps):
            if write and step == after:
                assert stream.room >= len(write) // 2
                stream.write(write)
            device.step()
            await stream.receive_block()
    return problems


class Paired(FakeDevice):
    """A device whose microphone and speaker belong together, as a sound card's do."""

    def open(self):
        return self._paired()

    @asynccontextmanager
    async def _paired(self):
        async with super().open() as stream:
            yield _PairedStream(stream, self)


class _PairedStream:
    def __init__(self, stream, device):
        self._stream, self._device = stream, device
        self._seen = 0
        self.write, self.cut = stream.write, stream.cut

    @property
    def room(self):
        return self._stream.room

    async def receive_block(self):
        block = await self._stream.receive_block()
        played = bytes(self._device.played[self._seen : self._seen + len(block.captured)])
        self._seen += len(played)
        return attrs.evolve(block, played=played)


async def test_both_sides_are_recorded_as_a_listener_has_them(autojump_clock):
    """The speaker's side comes as much later as sound takes from the device to the ear."""
    device, tape = Paired(output_latency_ms=60), Tape()
    device.speak(tone(200))

    assert await record(device, tape, steps=20, write=tone(100), after=5) == []

    sounds = np.flatnonzero(np.frombuffer(bytes(tape.played), dtype="<i2"))
    assert len(tape.captured) == len(tape.played)
    assert bytes(tape.captured[: 48 * 200]) == tone(200)
    assert len(sounds) == 2_400
    # what is handed over with a block sounds after it, and the device's latency later
    assert sounds[0] / 24 == pytest.approx(5 * 20 + 20 + 60, abs=0.1)


async def test_what_nobody_is_meant_to_hear_is_not_recorded(autojump_clock):
    device, tape = Paired(), Tape()
    device.speak(tone(400))
    passed = iter(range(100))

    await record(device, tape, steps=20, listens=lambda: next(passed) % 2 == 0)

    assert bytes(tape.captured) == (tone(20) + bytes(48 * 20)) * 10


async def test_a_full_disk_is_told_once_and_the_talk_goes_on(autojump_clock):
    device, tape = Paired(), Tape(room=48 * 20 * 3)

    (problem,) = await record(device, tape, steps=20)

    assert "No space left" in str(problem)
    assert len(tape.captured) == 48 * 20 * 3


async def test_a_device_that_does_not_say_what_it_plays_is_recorded_too(autojump_clock):
    device, tape = FakeDevice(), Tape()
    device.speak(tone(40))

    await record(device, tape, steps=4, write=tone(20))

    assert bytes(tape.captured).rstrip(b"\0") == tone(40).rstrip(b"\0")
    assert len(tape.captured) >= 48 * 80
    assert not any(tape.played)
