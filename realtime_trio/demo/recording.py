"""Where the talk's sound goes: into a file that is left alone until there is a talk.

What a recording looks like is `StereoRecorder`'s business; when the talk begins, `running.py`'s.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime_trio.audio import StereoRecorder
from realtime_trio.errors import AudioError

__all__ = ["LateRecorder"]


class LateRecorder:
    """A `Recorder` that holds what it is told until `begin`: what an earlier talk left is not lost to a failed start.

    Args:
        path: The file; one that exists is replaced at the beginning.

    Raises:
        AudioError: The file could not be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[tuple[bytes, bytes]] = []
        self._recorder: StereoRecorder | None = None
        _check_writable(path)

    @property
    def seconds(self) -> float:
        """Length of what was recorded."""
        return self._recorder.seconds if self._recorder is not None else 0.0

    def begin(self) -> None:
        """Replace the file, and write what was held.

        Raises:
            AudioError: It cannot be written.
        """
        self._recorder = StereoRecorder(self._path)
        for captured, played in self._held:
            self._recorder.write(captured, played)
        self._held.clear()

    def write(self, captured: bytes, played: bytes) -> None:
        """Take the next stretch of time.

        Args:
            captured: PCM16 mono 24 kHz.
            played: The same, of the same length.

        Raises:
            AudioError: The disk refuses it.
        """
        if self._recorder is None:
            self._held.append((captured, played))
        else:
            self._recorder.write(captured, played)

    def flush(self) -> None:
        """Bring the file up to date.

        Raises:
            AudioError: The disk refuses it.
        """
        if self._recorder is not None:
            self._recorder.flush()

    def close(self) -> None:
        """Bring the file up to date and close it. A second call does nothing.

        Raises:
            AudioError: The disk refuses the rest.
        """
        if self._recorder is not None:
            self._recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _check_writable(path: Path) -> None:
    """Try it, so that nobody waits for a server first; nothing is changed."""
    there = os.path.lexists(path)
    try:
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise AudioError(f"{path} cannot be written: {error.strerror or error}") from error
