"""A device of files: one is the microphone, another keeps what the speaker plays."""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Literal

import attrs

from realtime_trio.device import AudioStream

from .clocked import ClockedDevice
from .clocked_stream import Recorder
from .duplex import Utterance
from .wav import WavWriter, read_wav

__all__ = ["WavDevice"]


class WavDevice(ClockedDevice):
    """A WAV file as the microphone, and another for what the speaker plays. It is an `AudioDevice`.

    When the file has ended, the microphone goes on with silence, or with what `speak` puts before it.

    Args:
        input: The file that is heard from the moment of opening; without one, silence.
        output: The file that is written, on the device's clock, from opening to closing; one that exists is replaced.
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played.
        output_latency_ms: Milliseconds from handing a sample over to its leaving the speaker.
        recorder: Told everything, beside the output; for example a `StereoRecorder`.
        pace: `"fast"`: the file is heard, and answers are played, twenty times as fast; see `ClockedDevice`. The
            device's own time, which is that of the recordings, then runs as fast as its blocks pass.

    Raises:
        AudioError: The input cannot be read; the words say why, and a way out.
    """

    def __init__(
        self,
        input: str | os.PathLike[str] | None = None,
        output: str | os.PathLike[str] | None = None,
        *,
        block_ms: float = 20,
        ring_ms: float = 300,
        output_latency_ms: float = 0,
        recorder: Recorder | None = None,
        pace: Literal["real_time", "fast"] = "real_time",
    ) -> None:
        self._output = output
        self._beside = recorder
        super().__init__(
            block_ms=block_ms, ring_ms=ring_ms, output_latency_ms=output_latency_ms, recorder=recorder, pace=pace
        )
        self.recording: Utterance | None = self.speak(read_wav(input)) if input is not None else None
        """The input, as something said: `await device.recording.captured()` waits for its end."""

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AudioStream]:
        with ExitStack() as files:
            if self._output is not None:
                self._recorder = _PlayedOnly(files.enter_context(WavWriter(self._output)), self._beside)
            async with super()._opened() as stream:
                yield stream


@attrs.frozen
class _PlayedOnly:
    """Write what is played to a file, and tell another recorder both."""

    writer: WavWriter
    beside: Recorder | None

    def write(self, captured: bytes, played: bytes) -> None:
        self.writer.write(played)
        if self.beside is not None:
            self.beside.write(captured, played)

    def flush(self) -> None:
        self.writer.flush()
        if self.beside is not None:
            self.beside.flush()
