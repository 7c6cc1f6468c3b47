"""Where the talk's sound goes: into a file that is left alone until there is a talk; also with a sound card.

What a recording looks like is `StereoRecorder`'s business; when the talk begins, `running.py`'s.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime_trio.audio import Recorder, StereoRecorder
from realtime_trio.device import SAMPLE_RATE, AudioBlock, AudioDevice, AudioStream, Position
from realtime_trio.errors import AudioError

__all__ = ["LateRecorder", "RecordedDevice"]

_LONGEST_LATENCY = 1.0  # seconds: what a device claims beyond that is a mistake of its clock


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


class RecordedDevice:
    """A device whose sound is also recorded: what is captured, and what is heard of it at the same moment.

    It is an `AudioDevice`. A recorder that fails is told of once, and the talk goes on.

    Args:
        device: The device.
        recorder: Told everything, block by block.
        listens: Tells whether the microphone counts at this moment; else silence is recorded for it.
        on_problem: Called when the recorder fails.
    """

    def __init__(
        self,
        device: AudioDevice,
        recorder: Recorder,
        *,
        listens: Callable[[], bool],
        on_problem: Callable[[AudioError], object],
    ) -> None:
        self._device = device
        self._recorder = recorder
        self._listens = listens
        self._on_problem = on_problem

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        """Open it. See `AudioDevice.open`.

        Returns:
            A context manager that gives the stream.
        """
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[AudioStream]:
        async with self._device.open() as stream:
            recorded = _RecordedStream(stream, self._recorder, self._listens, self._on_problem)
            try:
                yield recorded
            finally:
                recorded.finish()


class _RecordedStream:
    """An open `RecordedDevice`. It is an `AudioStream`; see there.

    What was handed over leaves the speaker a little later than what is captured with it enters the microphone. How
    much later is known with the first sound; until then there is only silence to be moved.
    """

    def __init__(
        self,
        stream: AudioStream,
        recorder: Recorder,
        listens: Callable[[], bool],
        on_problem: Callable[[AudioError], object],
    ) -> None:
        self._stream = stream
        self._recorder: Recorder | None = recorder
        self._listens = listens
        self._on_problem = on_problem
        self._before: Position | None = None
        self._sounded = False
        self._on_its_way = bytearray()

    @property
    def room(self) -> int:
        return self._stream.room

    def write(self, pcm: bytes) -> None:
        self._stream.write(pcm)

    def cut(self, generation: int) -> None:
        self._stream.cut(generation)

    async def receive_block(self) -> AudioBlock:
        block = await self._stream.receive_block()
        if not self._sounded:
            self._on_its_way += self._latency(block)
        played = block.played or bytes(len(block.captured))
        self._on_its_way += played
        self._record(
            block.captured if self._listens() else bytes(len(block.captured)),
            bytes(self._on_its_way[: len(played)]),
        )
        del self._on_its_way[: len(played)]
        return block

    def _latency(self, block: AudioBlock) -> bytes:
        """Give the silence that goes before the first sound, once there is one."""
        before, self._before = self._before, block.position
        fresh = block.position.samples - (
            before.samples if before and before.generation == block.position.generation else 0
        )
        if fresh <= 0:
            return b""
        self._sounded = True
        length = len(block.captured) // 2 / SAMPLE_RATE
        seconds = block.position.until - length - block.captured_at
        return bytes(2 * round(min(max(seconds, 0.0), _LONGEST_LATENCY) * SAMPLE_RATE))

    def finish(self) -> None:
        """Record what is still on its way to the speaker."""
        if self._on_its_way:
            self._record(bytes(len(self._on_its_way)), bytes(self._on_its_way))

    def _record(self, captured: bytes, played: bytes) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.write(captured, played)
        except AudioError as error:
            self._recorder = None
            self._on_problem(error)
