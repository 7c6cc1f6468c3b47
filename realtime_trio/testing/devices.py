"""A sound device for tests, that moves only when the test says so.

One that keeps time by itself, also under Trio's autojump clock, is `realtime_trio.audio.clocked.ClockedDevice`.
"""

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NoReturn

import attrs
import trio

from realtime_trio.audio import Recorder
from realtime_trio.audio.duplex import Microphone, SimulatedDuplex, Utterance
from realtime_trio.audio.pcm import samples_from_ms
from realtime_trio.device import SAMPLE_RATE, AudioBlock, AudioStream, DeviceChange, Position

__all__ = ["FakeDevice"]


class FakeDevice:
    """An `AudioDevice` whose blocks pass when the test calls `step`.

    Args:
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played.
        output_latency_ms: Milliseconds from handing a sample over to its leaving the speaker.
        report_delay: Blocks by which positions and cuts are told late; captured sound is never late.
        echoes: Whether blocks carry what was played, as those of a microphone do that may hear the speaker.
        recorder: Told everything, block by block. Whoever made it closes it.

    Attributes:
        written: All that was written to it, by any generation.
        played: All that was handed over for the speaker, with the zeros in between.
        cuts: The numbers that `cut` was called with.
        openings: How often it was opened.
        recorder: As given; it may be changed.
    """

    def __init__(
        self,
        *,
        block_ms: float = 20,
        ring_ms: float = 300,
        output_latency_ms: float = 0,
        report_delay: int = 0,
        echoes: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        self.recorder = recorder
        self.written = bytearray()
        self.played = bytearray()
        self.cuts: list[int] = []
        self.openings = 0
        self._block = samples_from_ms(block_ms)
        self._lengths = {"block_ms": block_ms, "ring_ms": ring_ms, "output_latency_ms": output_latency_ms}
        self._echoes = echoes
        self._report_delay = report_delay
        self._microphone = Microphone()
        self._stream: _FakeStream | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open now."""
        return self._stream is not None

    def speak(self, pcm: bytes) -> Utterance:
        """Put sound before the microphone: it is captured from the next block on, after what was said before.

        Args:
            pcm: PCM16 mono 24 kHz.

        Returns:
            What was said; `await utterance.captured()` waits for its end.
        """
        return self._microphone.say(pcm, earliest=self._stream.captured if self._stream else 0)

    def step(self, blocks: int = 1) -> None:
        """Let blocks pass, all of them at the present moment of Trio's clock.

        Args:
            blocks: How many.

        Raises:
            trio.ClosedResourceError: It is not open.
        """
        if self._stream is None:
            raise trio.ClosedResourceError("this device is not open: nothing can pass")
        for _ in range(blocks):
            self._stream.step()

    async def run(self) -> NoReturn:
        """Let a block pass at every block's time, reckoned from now, for ever; it may be opened later.

        Cancellation:
            Ends it, between two blocks.
        """
        begun, blocks = trio.current_time(), 0
        while True:
            blocks += 1
            await trio.sleep_until(begun + blocks * self._block / SAMPLE_RATE)
            if self._stream is not None:
                self._stream.step()

    def change(self, available: bool, words: str) -> None:  # noqa: FBT001 it is what the change says
        """Let the hardware go away, or come back: the next block that passes tells it. Without, zeros are captured.

        Nothing is handed over while it is away: what is written waits.

        Args:
            available: Whether there is hardware from now on.
            words: What happened.

        Raises:
            trio.ClosedResourceError: It is not open.
        """
        if self._stream is None:
            raise trio.ClosedResourceError("this device is not open: it cannot change")
        self._stream.change(DeviceChange(available, words))

    def fail(self, error: Exception) -> None:
        """Let it vanish: once the blocks that are waiting were received, receiving raises this.

        Args:
            error: For example `DeviceUnavailable("unplugged")`.
        """
        if self._stream is None:
            raise trio.ClosedResourceError("this device is not open: it cannot fail")
        self._stream.fail(error)

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        """Open it. See `AudioDevice.open`.

        Returns:
            A context manager that gives the stream.
        """
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AudioStream]:
        if self._stream is not None:
            raise trio.BusyResourceError("this device is open already")
        await trio.lowlevel.checkpoint()
        self.openings += 1
        duplex = SimulatedDuplex(source=self._microphone, echo=None, tells_played=self._echoes, **self._lengths)
        self._stream = _FakeStream(self, duplex, self._report_delay)
        try:
            yield self._stream
        finally:
            self._stream.close()
            self._stream = None
            self._microphone.close()
            self._microphone = Microphone()


class _FakeStream:
    """An open `FakeDevice`. It is an `AudioStream`; see there."""

    def __init__(self, device: FakeDevice, duplex: SimulatedDuplex, report_delay: int) -> None:
        self.captured = 0
        self._device = device
        self._duplex = duplex
        self._closed = False
        self._error: Exception | None = None
        self._available = True
        self._changes: deque[DeviceChange] = deque()
        nothing = Position(0, 0, trio.current_time())
        self._reports: deque[tuple[Position, Position | None]] = deque([(nothing, None)] * report_delay)
        self._passed, self._waiting = trio.open_memory_channel[AudioBlock](math.inf)

    @property
    def room(self) -> int:
        return self._duplex.playout.room

    def write(self, pcm: bytes) -> None:
        self._check()
        self._duplex.playout.write(pcm)
        self._device.written += pcm

    def cut(self, generation: int) -> None:
        self._check()
        self._device.cuts.append(generation)
        self._duplex.playout.cut(generation)

    async def receive_block(self) -> AudioBlock:
        self._check()
        if self._waiting.statistics().tasks_waiting_receive:
            raise trio.BusyResourceError("another task is waiting for a block")
        try:
            return await self._waiting.receive()
        except trio.EndOfChannel:
            assert self._error is not None  # noqa: S101
            raise self._error from None

    def step(self) -> None:
        if self._error is not None:
            return
        step = self._duplex.step(trio.current_time(), available=self._available)
        self.captured += self._duplex.block
        self._device.played += step.played
        if self._device.recorder is not None:
            self._device.recorder.write(step.block.captured, step.heard)
        self._reports.append((step.block.position, step.block.cut))
        position, cut = self._reports.popleft()
        change = self._changes.popleft() if self._changes else None
        self._passed.send_nowait(attrs.evolve(step.block, position=position, cut=cut, change=change))

    def change(self, change: DeviceChange) -> None:
        self._available = change.available
        self._changes.append(change)

    def fail(self, error: Exception) -> None:
        self._error = error
        self._passed.close()

    def close(self) -> None:
        self._closed = True
        fade, heard = self._duplex.last_step()
        self._device.played += fade
        if self._device.recorder is not None:
            self._device.recorder.write(bytes(len(heard)), heard)
            self._device.recorder.flush()
        self._passed.close()
        self._waiting.close()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the device was closed")
