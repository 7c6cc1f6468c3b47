"""What an earlier talk left is given up when the next one begins, and not before; and nothing delays Ctrl-C."""

import threading

import pytest
import trio

from realtime_trio.audio import read_wav
from realtime_trio.demo import voices
from realtime_trio.demo.recording import LateRecorder
from realtime_trio.demo.voices import open_user_voice
from realtime_trio.errors import AudioError
from realtime_trio.server import fittings, open_server
from realtime_trio.server.babble import babble_source


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
