"""Devices without hardware that keep Trio's time: one that a program speaks to, one that plays and records files.

They are for machines without a sound card, for demonstrations, and for tests: under Trio's autojump clock an hour
passes in a moment. What a block holds is decided in `realtime_trio.audio.duplex`; here is only when.

Theory of operation. Block n is due at `opened + n * block`, reckoned from the start, so nothing drifts. There is no
task: whatever touches the stream first lets all the blocks happen that are due by now, at their own times, as hardware
would have done. A loop that comes late therefore finds the blocks that it missed, with zeros played where the ring had
run dry.
"""

import math
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Protocol

import attrs
import trio

from realtime_trio.device import SAMPLE_RATE, AudioBlock, AudioStream, Position
from realtime_trio.errors import AudioError

from .duplex import Microphone, SimulatedDuplex, Utterance
from .pcm import SAMPLE_BYTES, samples_from_ms
from .wav import WavWriter, read_wav

__all__ = ["ClockedDevice", "DeviceStatistics", "Recorder", "WavDevice"]

_WAITING_MS = 2_000  # blocks that wait to be received; when there are more, the oldest go


class Recorder(Protocol):
    """Something that a device tells what was to be heard, on its clock. `StereoRecorder` is one."""

    def write(self, captured: bytes, played: bytes) -> None:
        """Take the next stretch of time: what the microphone captured, and what left the speaker meanwhile.

        Args:
            captured: PCM16 mono 24 kHz.
            played: The same, of the same length.
        """
        ...

    def flush(self) -> None:
        """Bring everything to where it is kept: the device was closed."""
        ...


@attrs.frozen
class DeviceStatistics:
    """What a device went through since it was opened."""

    blocks: int
    """Blocks that have passed."""

    underruns: int
    """Times that sound came too late: the ring ran dry and went on within half a second."""

    overruns: int
    """Blocks that were thrown away because nobody received them in time."""

    lost: int = 0
    """Blocks that passed while there was no hardware."""


class ClockedDevice:
    """A microphone and a speaker that exist only in Trio's time. It is an `AudioDevice`.

    The microphone captures silence, and what `speak` puts before it. What is played goes nowhere but to the recorder.

    Args:
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played.
        output_latency_ms: Milliseconds from handing a sample over to its leaving the speaker.
        recorder: Told everything, block by block. Whoever made it closes it.
    """

    def __init__(
        self,
        *,
        block_ms: float = 20,
        ring_ms: float = 300,
        output_latency_ms: float = 0,
        recorder: Recorder | None = None,
    ) -> None:
        self._block = samples_from_ms(block_ms)
        self._ring = samples_from_ms(ring_ms)
        self._latency = samples_from_ms(output_latency_ms)
        if self._block < 1 or self._ring < self._block or self._latency < 0:
            raise ValueError("block_ms has to be positive, ring_ms at least a block, output_latency_ms not negative")
        self._recorder = recorder
        self._microphone = Microphone()
        self._stream: _ClockedStream | None = None

    def speak(self, pcm: bytes) -> Utterance:
        """Put sound before the microphone: from now on, or after what was said before.

        Said before the device is opened, it waits for that.

        Args:
            pcm: PCM16 mono 24 kHz; pauses in it are for the caller to write.

        Returns:
            What was said; `await utterance.captured()` waits for its end.

        Raises:
            ValueError: It ends within a sample.
            trio.ClosedResourceError: The device was opened, and is no more.
        """
        return self._microphone.say(pcm, earliest=self._stream.now_in_samples() if self._stream else 0)

    def statistics(self) -> DeviceStatistics:
        """Tell what happened since it was opened (the last time)."""
        return self._stream.statistics() if self._stream else DeviceStatistics(0, 0, 0)

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        """Start the clock. See `AudioDevice.open`.

        Returns:
            A context manager that gives the stream. It can be opened again after it was left.

        Raises:
            trio.BusyResourceError: On entering: it is open.
        """
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AudioStream]:
        if self._stream is not None and not self._stream.closed:
            raise trio.BusyResourceError("this device is open already")
        await trio.lowlevel.checkpoint()
        duplex = SimulatedDuplex(
            block=self._block,
            ring=self._ring,
            output_latency=self._latency / SAMPLE_RATE,
            microphone=self._microphone,
        )
        self._stream = _ClockedStream(duplex, self._block, self._latency, self._recorder)
        try:
            yield self._stream
        finally:
            self._stream.close()
            self._microphone = Microphone()


class _ClockedStream:
    """An open `ClockedDevice`. It is an `AudioStream`; see there."""

    def __init__(self, duplex: SimulatedDuplex, block: int, latency: int, recorder: Recorder | None) -> None:
        self.closed = False
        self._duplex = duplex
        self._recorder = recorder
        self._block = block
        self._opened_at = trio.current_time()
        self._steps = 0
        self._overruns = 0
        self._waiting: deque[AudioBlock] = deque()
        self._most_waiting = max(1, samples_from_ms(_WAITING_MS) // block)
        self._forgotten_cuts: deque[Position] = deque()  # of blocks that were thrown away: a cut is always told
        # what was handed over and has not left the speaker: the block from now on, and the output's latency before it
        self._on_its_way = bytearray((block + latency) * SAMPLE_BYTES)
        self._receiving = False

    @property
    def room(self) -> int:
        self._catch_up()
        return self._duplex.ring.room

    def write(self, pcm: bytes) -> None:
        self._catch_up()
        self._duplex.ring.write(pcm)

    def cut(self, generation: int) -> None:
        self._catch_up()
        self._duplex.ring.cut(generation)

    async def receive_block(self) -> AudioBlock:
        if self._receiving:
            raise trio.BusyResourceError("another task is waiting for a block")
        self._receiving = True
        try:
            await trio.lowlevel.checkpoint()
            self._catch_up()
            while not self._waiting:
                await trio.sleep_until(self._due())
                self._catch_up()
        finally:
            self._receiving = False
        block = self._waiting.popleft()
        if self._forgotten_cuts:
            self._forgotten_cuts.extend([block.cut] if block.cut else [])
            block = attrs.evolve(block, cut=self._forgotten_cuts.popleft())
        return block

    def now_in_samples(self) -> int:
        """Tell how many samples the microphone has heard up to this moment, also within a block."""
        self._catch_up()
        return math.ceil((trio.current_time() - self._opened_at) * SAMPLE_RATE - 1e-3)  # what floats are off by

    def statistics(self) -> DeviceStatistics:
        return DeviceStatistics(self._steps, self._duplex.ring.underruns, self._overruns)

    def close(self) -> None:
        try:
            self._catch_up()
            if self._recorder is not None:
                self._on_its_way += self._duplex.last_step()
                self._recorder.write(bytes(len(self._on_its_way)), bytes(self._on_its_way))
                self._recorder.flush()
        except AudioError:
            pass  # a recorder that cannot write says so again to its owner, who closes it
        finally:
            self._duplex.microphone.close()
            self.closed = True

    def _due(self) -> float:
        return self._opened_at + (self._steps + 1) * self._block / SAMPLE_RATE

    def _catch_up(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("the device was closed")
        now = trio.current_time()
        while (due := self._due()) <= now:
            self._steps += 1
            step = self._duplex.step(due)
            self._waiting.append(step.block)
            if len(self._waiting) > self._most_waiting:
                self._overruns += 1
                lost = self._waiting.popleft()
                self._forgotten_cuts.extend([lost.cut] if lost.cut else [])
            if self._recorder is not None:
                self._on_its_way += step.played
                self._recorder.write(step.block.captured, bytes(self._on_its_way[: len(step.played)]))
                del self._on_its_way[: len(step.played)]


class WavDevice(ClockedDevice):
    """A WAV file as the microphone, in real time, and another for what the speaker plays.

    When the file has ended, the microphone goes on with silence, or with what `speak` puts before it.

    Args:
        input: The file that is heard from the moment of opening; without one, silence.
        output: The file that is written, on the device's clock, from opening to closing; one that exists is replaced.
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played.
        output_latency_ms: Milliseconds from handing a sample over to its leaving the speaker.
        recorder: Told everything, beside the output; for example a `StereoRecorder`.

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
    ) -> None:
        self._output = output
        self._beside = recorder
        super().__init__(block_ms=block_ms, ring_ms=ring_ms, output_latency_ms=output_latency_ms, recorder=recorder)
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
