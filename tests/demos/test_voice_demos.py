"""The programs that talk: with a device that says what a person would, and on a machine that has none."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

DEMOS = Path(__file__).parents[2] / "demos"
TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"
LIMIT = 120  # seconds

# a recording in place of a microphone, whoever's machine it is
WITH_A_PERSON = """
import runpy, sys
import realtime_trio.audio
from realtime_trio.audio import WavDevice
device = WavDevice(sys.argv[2])
realtime_trio.audio.SoundCard = lambda: device
runpy.run_path(sys.argv[1], run_name="__main__")
"""
WITHOUT_PORTAUDIO = """
import runpy, sys
sys.modules["sounddevice"] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""

pytestmark = pytest.mark.slow


@contextmanager
def started(folder, script, name, *arguments):
    with subprocess.Popen(
        [sys.executable, "-u", "-c", script, str(DEMOS / f"{name}.py"), *map(str, arguments)], cwd=folder,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def read_until(process, words):
    """Read lines until one begins with these words."""
    seen = []
    while line := process.stdout.readline():
        seen.append(line)
        if line.startswith(words):
            return line
    raise AssertionError(f"it ended early: {''.join(seen)}{process.stderr.read()}")


def test_hands_free(tmp_path):
    with started(tmp_path, WITH_A_PERSON, "hands_free", TORONTO) as process:
        said = read_until(process, "you:")
        answer = read_until(process, "assistant:")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)

    assert len(said) > len("you:       ")
    assert len(answer) > len("assistant: ")
    assert (errors, process.returncode) == ("", 0)


def test_push_to_talk(tmp_path):
    """The person of the recording speaks while Enter was pressed once."""
    with started(tmp_path, WITH_A_PERSON, "push_to_talk", TORONTO) as process:
        read_until(process, "Press Enter")
        process.stdin.write("\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)  # the person speaks for five seconds
        process.stdin.write("\n")
        process.stdin.flush()
        answer = read_until(process, "assistant:")
        _, errors = process.communicate(timeout=LIMIT)  # which ends the input

    assert len(answer) > len("assistant: ")
    assert (errors, process.returncode) == ("", 0)


@pytest.mark.parametrize("pressed", [False, True], ids=["waiting", "speaking"])
def test_ctrl_c_ends_push_to_talk_without_a_word(tmp_path, pressed):
    with started(tmp_path, WITH_A_PERSON, "push_to_talk", TORONTO) as process:
        read_until(process, "Press Enter")
        if pressed:
            process.stdin.write("\n")
            process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)  # it goes on until it is told
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT)  # while its input is open
        errors = process.stderr.read()

    assert (errors, process.returncode) == ("", 0)


@pytest.mark.parametrize("name", ["hands_free", "push_to_talk"])
def test_where_there_is_no_sound_it_says_what_to_do(tmp_path, name):
    with started(tmp_path, WITHOUT_PORTAUDIO, name) as process:
        shown, errors = process.communicate(timeout=LIMIT)

    assert process.returncode == 1
    assert "(rules, not the real model)" in shown
    assert "pip install sounddevice" in errors
    assert "python -m realtime_trio.demo --list-devices" in errors
    assert len(errors.splitlines()) == 1
