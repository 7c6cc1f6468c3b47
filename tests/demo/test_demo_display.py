"""The screen on a terminal: drawn when something changed, never in the way of the sound, and taken away at the end."""

import os
import sys
from itertools import pairwise

import attrs
import pytest
import trio

from realtime_trio.demo.display import open_display
from realtime_trio.demo.view_state import ViewState

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is a Unix thing")

ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def terminal(monkeypatch):
    """A pseudo-terminal: what its owner reads, and what the program writes to."""
    import pty

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    owner, program = pty.openpty()
    yield owner, program
    os.close(owner)
    os.close(program)


def read_all(owner):
    """Read what is there by now."""
    os.set_blocking(owner, False)
    seen = b""
    try:
        while data := os.read(owner, 65536):
            seen += data
    except BlockingIOError:
        pass
    return seen


async def test_what_does_not_change_is_not_drawn_again(terminal):
    owner, program = terminal
    state = ViewState(server="somebody")

    async with open_display(lambda: state, stdout=program):
        await trio.sleep(0.3)
        first = read_all(owner)
        await trio.sleep(0.3)
        second = read_all(owner)
        state = attrs.evolve(state, phase="speaking")
        await trio.sleep(0.3)
        third = read_all(owner)
    last = read_all(owner)

    assert first.startswith(ENTERED)
    assert b"somebody" in first
    assert second == b""
    assert b"speaking" in third
    assert LEFT in last


async def test_a_terminal_that_takes_nothing_does_not_hold_up_the_sound(terminal):
    """As on a slow line, or while somebody holds a scroll bar."""
    owner, program = terminal
    count = 0

    def look():
        nonlocal count
        count += 1
        return ViewState(server="x" * 60, elapsed_s=count)

    times = []
    async with open_display(look, stdout=program):
        for _ in range(50):  # a second, in which a pseudo-terminal's buffer fills up
            times.append(trio.current_time())
            await trio.sleep(0.02)
        drawn = count
        await trio.sleep(0.3)
        stuck = count == drawn
        seen = read_all(owner)
        while LEFT not in seen and count == drawn:  # it goes on as soon as there is room
            await trio.sleep(0.02)
            seen += read_all(owner)

    assert stuck, "the terminal did take nothing, else this proves nothing"
    assert max(after - before for before, after in pairwise(times)) < 0.5


async def test_a_crash_takes_the_screen_away(terminal):
    owner, program = terminal

    with pytest.raises(RuntimeError, match="crash"):
        async with open_display(lambda: ViewState(server=""), stdout=program):
            await trio.sleep(0.1)
            raise RuntimeError("crash")

    assert LEFT in read_all(owner)
