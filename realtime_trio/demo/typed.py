"""Typed lines, from a terminal or a pipe, while the talk goes on.

The terminal does the editing; nothing here changes its mode. What a line leads to is decided in `running.py`.
"""

import contextlib
import os
import sys

import trio

__all__ = ["is_ours", "read_lines"]

_CHUNK = 4096  # bytes; a terminal gives a line at a time
_ELSEWHERE = 0.5  # seconds between two looks at whether this program has the terminal again


async def read_lines(lines: trio.MemorySendChannel[str], stdin: int = 0) -> None:
    """Read lines until the end of the input, and close the channel then.

    Args:
        lines: Where they go, without line ends; empty ones too.
        stdin: The file descriptor.

    Cancellation:
        A line that was not whole is lost. On Windows, where a console cannot be waited for, the next line is.
    """
    with lines:
        received = b""
        while data := await _read(stdin):
            received += data
            *whole, received = received.split(b"\n")
            for line in whole:
                await lines.send(_text(line))
        if received:
            await lines.send(_text(received))


def _text(line: bytes) -> str:
    return line.decode(sys.stdin.encoding or "utf-8", errors="replace").rstrip("\r")


async def _read(stdin: int) -> bytes:
    try:
        while True:
            await trio.lowlevel.wait_readable(stdin)
            if is_ours(stdin):
                return os.read(stdin, _CHUNK)
            await trio.sleep(_ELSEWHERE)
    except (OSError, TypeError):  # a file, or anything on Windows: nothing that can be waited for
        with contextlib.suppress(OSError):
            # not sys.stdin: a thread that is left behind would hold its lock when the interpreter ends
            return await trio.to_thread.run_sync(os.read, stdin, _CHUNK, abandon_on_cancel=True)
    return b""


def is_ours(stdin: int) -> bool:
    """Tell whether reading is allowed: a program in the background that reads its terminal is stopped."""
    try:
        return not os.isatty(stdin) or os.tcgetpgrp(stdin) == os.getpgrp()
    except (OSError, AttributeError):
        return True
