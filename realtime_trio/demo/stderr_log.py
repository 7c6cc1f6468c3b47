"""Keeps what C libraries print out of a full screen: PortAudio and ALSA write to file descriptor 2, past Python.

What is printed meanwhile is kept in a temporary file, to be shown when the program fails.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

__all__ = ["StderrLog"]

_STDERR = 2
_MOST = 4_000  # bytes of it that are kept


class StderrLog:
    """What was written to standard error while it was elsewhere.

    Attributes:
        text: The end of it, in whole lines; empty when nothing was written.
    """

    def __init__(self) -> None:
        self.text = ""

    @contextmanager
    def aside(self) -> Generator[None]:
        """Point standard error, of Python and of every C library, at a temporary file until the block is left.

        Where there is no room for a file, or no standard error, nothing is changed.
        """
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(tempfile.TemporaryFile())
                before = os.dup(_STDERR)
            except OSError:
                yield
                return
            stack.callback(os.close, before)
            _flush()
            os.dup2(file.fileno(), _STDERR)
            try:
                yield
            finally:
                _flush()
                os.dup2(before, _STDERR)
                self._keep(file)

    def _keep(self, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MOST))
        text = file.read().decode(errors="replace")
        self.text = text if size <= _MOST else text.partition("\n")[2]


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
        sys.stderr.flush()
