"""Keys are what they are pressed for, however a terminal sends them; and the terminal is put right afterwards."""

import contextlib
import os
import subprocess
import sys
from collections import deque

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.demo.keys import KeyReader, open_keys, waiting_signs

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is a Unix thing")


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (" ", ["talk"]),
        ("mIq", ["mute", "interrupt", "quit"]),
        ("M", ["mute"]),
        ("\x04", ["quit"]),
        ("xyz\r\n", []),
        ("\x1b[A\x1b[B", []),  # arrows
        ("\x1bOm", []),  # the keypad in application mode
        ("\x1bm", []),  # Alt and m
        ("\x1b[<0;10;20m", []),  # the mouse
        ("\x1b[200~q\x1b[201~", ["quit"]),  # pasted
        ("\x1b[15;2~i", ["interrupt"]),  # shift and F5
        ("é", []),
    ],
)
def test_keys_that_mean_something_are_found(sent, keys):
    assert list(KeyReader().feed(sent)) == keys


@given(st.lists(st.sampled_from(["m", "i", "q", " ", "x", "\x1b[A", "\x1bOm", "\x1b[1;5m", "\x1b[200~"])), st.data())
def test_it_does_not_matter_how_it_is_torn(pieces, data):
    text = "".join(pieces)
    wanted = [key for piece in pieces for key in KeyReader().feed(piece)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    reader = KeyReader()

    torn = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert [key for piece in torn for key in reader.feed(piece)] == wanted


def test_what_never_ends_is_no_sequence():
    reader = KeyReader()

    assert list(reader.feed("\x1b[" + "1" * 40)) == []
    assert list(reader.feed("q")) == ["quit"]


@pytest.mark.parametrize(
    ("signs", "keys"),
    [
        (["m", "\x03"], ["mute", "quit"]),
        (["\xe0", "H", " "], ["talk"]),  # an arrow
        (["\0", "m", "m"], ["mute"]),  # a function key whose second sign looks like a key of ours
        (["\xe0m", "i"], ["interrupt"]),
    ],
)
def test_keys_of_a_windows_console(signs, keys):
    reader = KeyReader()

    assert [key for piece in signs for key in reader.feed_console(piece)] == keys


def test_a_windows_console_is_emptied_without_waiting():
    typed = deque("mq")

    assert waiting_signs(lambda: bool(typed), typed.popleft) == "mq"
    assert waiting_signs(lambda: bool(typed), typed.popleft) == ""


@pytest.fixture
def terminal():
    """A pseudo-terminal: the side of the keyboard, and the side of the program."""
    import pty

    keyboard, program = pty.openpty()
    yield keyboard, program
    for end in (keyboard, program):
        with contextlib.suppress(OSError):  # a test closed it
            os.close(end)


def mode(program):
    import termios

    return termios.tcgetattr(program)


@needs_pty
async def test_keys_come_one_by_one_without_enter(terminal):
    keyboard, program = terminal

    with trio.fail_after(5), open_keys(program) as keys:
        os.write(keyboard, b"m")
        first = await keys.receive()
        os.write(keyboard, b"\x1b[A iq")
        rest = [await keys.receive() for _ in range(3)]

    assert [first, *rest] == ["mute", "talk", "interrupt", "quit"]


@needs_pty
async def test_the_terminal_is_put_right_whatever_happens(terminal):
    import termios

    _, program = terminal
    before = mode(program)

    with pytest.raises(RuntimeError, match="crash"), open_keys(program):
        during = mode(program)
        raise RuntimeError("crash")

    assert not during[3] & (termios.ICANON | termios.ECHO)
    assert during[3] & termios.ISIG, "Ctrl-C remains a signal"
    assert mode(program) == before


@needs_pty
async def test_ctrl_s_and_ctrl_z_are_harmless_meanwhile(terminal):
    """The one would stop the screen, the other the program, with the microphone open."""
    keyboard, program = terminal

    with trio.fail_after(5), open_keys(program) as keys:
        os.write(keyboard, b"\x13\x1aq")

        assert await keys.receive() == "quit"
        assert os.write(program, b"still there") == 11


@needs_pty
async def test_no_key_is_lost_to_a_cancelled_wait(terminal):
    keyboard, program = terminal

    with open_keys(program) as keys:
        with trio.move_on_after(0.02) as waited:
            await keys.receive()
        os.write(keyboard, b"mi")
        with trio.fail_after(5):
            pressed = [await keys.receive(), await keys.receive()]

    assert waited.cancelled_caught
    assert pressed == ["mute", "interrupt"]


@needs_pty
async def test_keys_end_when_the_window_is_closed(terminal):
    keyboard, program = terminal

    with trio.fail_after(5), open_keys(program) as keys:
        os.close(keyboard)

        assert [key async for key in keys] == []


@needs_pty
def test_a_crash_of_the_program_leaves_a_usable_terminal(terminal):
    _, program = terminal
    before = mode(program)
    script = """
import trio
from realtime_trio.demo.keys import open_keys
async def main():
    with open_keys(0):
        raise SystemExit(7)
trio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", script], stdin=program, check=False, timeout=60)

    assert done.returncode == 7
    assert mode(program) == before
