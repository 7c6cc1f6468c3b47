"""The demo as a person has it: at a terminal, in a process of its own, with a voice at the microphone."""

import os
import re
import select
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal is a Unix thing", allow_module_level=True)

import fcntl
import pty
import termios

TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"
LIMIT = 120  # seconds

# a recording in place of a microphone, whoever's machine it is; `crash` says what goes wrong, and when
WITH_A_PERSON = """
import os, runpy, sys
sys.modules["pocketsphinx"] = sys.modules["espeakng_loader"] = None  # they take a while to load
from realtime_trio.audio import ClockedDevice, DeviceInfo, read_wav
import realtime_trio.demo.running as running
import realtime_trio.demo.watch as watch

def sound_card(options):
    device = ClockedDevice(output_latency_ms=40)
    device.speak(read_wav(os.environ["MICROPHONE"]))
    return device

async def wanted_devices(options):
    device = DeviceInfo(0, "USB Audio", "ALSA", 1, 2, 48000.0, True, True)
    return device, device

running.sound_card, running.wanted_devices = sound_card, wanted_devices
look = watch.Watch.look

def noisy_look(self):
    os.write(2, b"ALSA lib pcm.c: underrun occurred\\n")
    if "CRASH" in os.environ and self._session.sound().muted:
        raise RuntimeError("the screen fell down")
    return look(self)

watch.Watch.look = noisy_look
runpy.run_module("realtime_trio.demo", run_name="__main__", alter_sys=True)
"""

pytestmark = pytest.mark.slow


class Terminal:
    """A terminal with a person before it."""

    def __init__(self, process, keyboard, program):
        self.process = process
        self.sent = ""
        self._keyboard = keyboard
        self._program = program

    def press(self, keys):
        os.write(self._keyboard, keys.encode())

    def resize(self, width, height):
        fcntl.ioctl(self._program, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def mode(self):
        return termios.tcgetattr(self._program)

    def until(self, pattern):
        """Read until the text since the last call has this in it; give the text since then."""
        new, deadline = "", time.monotonic() + LIMIT
        while not re.search(pattern, new):
            assert time.monotonic() < deadline, f"no {pattern!r} in: {new[-4000:]}"
            new += self._read() or ""
        return new

    def rest(self):
        """Read until the program has ended; give what it still said, and its exit code."""
        new = ""
        while self.process.poll() is None:
            new += self._read() or ""
        while (more := self._read()) is not None:
            new += more
        return new, self.process.returncode

    def _read(self):
        ready, _, _ = select.select([self._keyboard], [], [], 0.2)
        if not ready:
            return None
        text = os.read(self._keyboard, 65536).decode(errors="replace")
        self.sent += text
        return text


@contextmanager
def at_a_terminal(folder, *arguments, size=(80, 24), **environment):
    keyboard, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-c", WITH_A_PERSON, *arguments], cwd=folder, stdin=program, stdout=program, stderr=program,
        start_new_session=True, preexec_fn=take_terminal,  # noqa: PLW1509 - no thread runs here
        env={**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", "MICROPHONE": str(TORONTO), **environment},
    ) as process:  # fmt: skip
        try:
            yield Terminal(process, keyboard, program)
        finally:
            process.kill()
            os.close(keyboard)
            os.close(program)


def take_terminal():
    """Make it the controlling terminal of the new session: then Ctrl-C is what it is."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
SHOWN_CURSOR = "\x1b[?25h"


def plain(text):
    """Take out what moves the cursor and what colours."""
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)


def test_a_turn_on_the_screen_and_its_summary_after_it(tmp_path):
    with at_a_terminal(tmp_path) as terminal:
        before = terminal.mode()
        terminal.until(re.escape(ENTERED))
        during = terminal.mode()
        terminal.until("assistant")
        time.sleep(1.0)  # not for a state: so that a second of it is heard
        terminal.press("q")
        rest, code = terminal.rest()
        after = terminal.mode()

    assert code == 0
    assert during != before
    assert after == before
    screen, _, printed = (terminal.sent + rest).rpartition(LEFT)
    assert "underrun" not in screen + printed
    printed = plain(printed)
    assert re.search(r"^ +\d+\.\d s  user  ", printed, re.MULTILINE)
    assert re.search(r"^ +\d+\.\d s  assistant  .*//", printed, re.MULTILINE), "it was cut short, and that is marked"
    assert "turn  total = detection + server + network + buffer, in ms" in printed
    assert re.search(r"^  sound +\d+ blocks: ", printed, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["conversation.wav"]


@pytest.mark.parametrize("width", [40, 120])
def test_the_screen_is_as_wide_as_the_window_and_follows_it(tmp_path, width):
    with at_a_terminal(tmp_path, size=(width, 20)) as terminal:
        terminal.until("─" * width)
        terminal.resize(60, 20)
        terminal.until("(?<!─)" + "─" * 60 + "(?!─)")
        terminal.press("q")
        _, code = terminal.rest()

    assert code == 0


def test_ctrl_c_puts_the_terminal_right(tmp_path):
    with at_a_terminal(tmp_path) as terminal:
        before = terminal.mode()
        terminal.until("listening")
        terminal.press("\x03")
        rest, code = terminal.rest()
        after = terminal.mode()

    assert code == 130
    assert after == before
    assert LEFT in terminal.sent
    assert SHOWN_CURSOR in terminal.sent
    assert "Summary" in plain(rest)


def test_a_crash_puts_the_terminal_right_and_shows_what_the_sound_system_said(tmp_path):
    with at_a_terminal(tmp_path, CRASH="1") as terminal:
        before = terminal.mode()
        terminal.until("listening")
        terminal.press("m")
        rest, code = terminal.rest()
        after = terminal.mode()

    printed = plain((terminal.sent + rest).rpartition(LEFT)[2])
    assert code == 1
    assert after == before
    assert "ALSA lib pcm.c: underrun occurred" in printed
    assert "RuntimeError: the screen fell down" in printed


def test_a_dumb_terminal_gets_lines(tmp_path):
    with at_a_terminal(tmp_path, TERM="dumb") as terminal:
        terminal.until("assistant")
        terminal.press("q")
        rest, code = terminal.rest()

    assert code == 0
    assert "\x1b" not in terminal.sent + rest
    assert "Keys: m mutes" in terminal.sent
