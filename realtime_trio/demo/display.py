"""Puts the screen on a terminal, some fifteen times a second and only when something changed.

What is on it is a `ViewState`, drawn by `screen.py`. Each picture is made by the task, which takes a millisecond or
two, and written by a thread: a slow terminal delays pictures, and never the sound.
"""

import contextlib
import io
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import trio
from rich.console import Console
from rich.live import Live

from realtime_trio.nursery import open_services

from .screen import ScreenView
from .view_state import ViewState

__all__ = ["open_display"]

_FRAME = 1 / 15  # seconds


class _Sheet(io.TextIOWrapper):
    """What rich writes to, in the terminal's own signs, for somebody else to take away."""

    def __init__(self, encoding: str) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding=encoding, errors="replace", newline="", write_through=True)

    def take(self) -> bytes:
        """Take what was written."""
        self.flush()
        written = self._bytes.getvalue()
        self._bytes.seek(0)
        self._bytes.truncate()
        return written


@asynccontextmanager
async def open_display(look: Callable[[], ViewState], *, stdout: int = 1) -> AsyncGenerator[None]:
    """Have the terminal's whole screen until the block is left; then it is as it was, whatever ends the block.

    Args:
        look: Gives what is to be seen at this moment.
        stdout: The file descriptor of the terminal.

    Yields:
        Nothing; the screen is kept up to date meanwhile.

    Cancellation:
        Safe: the screen is put right.

    Tasks:
        One, which draws. It ends when the terminal is gone.
    """
    sheet = _Sheet(sys.stdout.encoding or "utf-8")
    console = Console(file=sheet, force_terminal=True, legacy_windows=False)
    live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    try:
        live.start()
        async with open_services("the screen") as services:
            services.start_soon(_draw, look, live, sheet, stdout)
            yield
    finally:
        live.stop()
        with contextlib.suppress(OSError):  # the terminal is gone
            _write(stdout, sheet.take())


async def _draw(look: Callable[[], ViewState], live: Live, sheet: _Sheet, stdout: int) -> None:
    drawn: object = None
    with contextlib.suppress(OSError):  # the terminal is gone: nobody looks any more
        while True:
            seen = look(), live.console.size
            if seen != drawn:
                drawn = seen
                live.update(ScreenView(seen[0]), refresh=True)
                await trio.to_thread.run_sync(_write, stdout, sheet.take(), abandon_on_cancel=True)
            await trio.sleep(_FRAME)


def _write(stdout: int, picture: bytes) -> None:
    if sys.platform == "win32":  # a console there takes UTF-8 through Python's own stream only
        sys.stdout.buffer.write(picture)
        sys.stdout.flush()
        return
    rest = memoryview(picture)
    while rest:
        rest = rest[os.write(stdout, rest) :]
