"""Devices with a program at the other end: a phone leg, a browser's WebSocket, another session.

`BridgeDevice` takes from the program what its person says, and gives it what that person is to hear. `memory_pair` is
two devices of which each hears the other. Both keep Trio's time (`clocked_stream.py`): the other end may send in
bursts, late, or not at all for a while, and the session's microphone and speaker go on regardless.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager

import trio

from realtime_trio.device import AudioDevice, AudioStream

from .clocked_stream import ClockedStream, DeviceStatistics, Recorder
from .duplex import SimulatedDuplex
from .pcm import SAMPLE_BYTES, samples_from_ms, samples_in

__all__ = ["BridgeDevice", "memory_pair"]

_PLAYED_MS = 1_000  # blocks that wait for the program; when there are more, the oldest go


class _Inlet:
    """What came from the other end and waits to be captured; silence where there is nothing. It is a `Source`."""

    def __init__(self, most: int) -> None:
        self.most = most  # samples
        self.dropped = 0
        self.closed = False
        self._held = bytearray()
        self._senders = trio.lowlevel.ParkingLot()

    @property
    def room(self) -> int:
        """Samples that fit in."""
        return self.most - len(self._held) // SAMPLE_BYTES

    def push(self, pcm: bytes) -> None:
        """Add sound; of what does not fit, the oldest goes."""
        self._held += pcm
        surplus = -self.room
        if surplus > 0:
            del self._held[: surplus * SAMPLE_BYTES]
            self.dropped += surplus

    async def wait_for_room(self) -> None:
        """Return when something was captured, or the device was closed."""
        await self._senders.park()

    def take(self, first: int, samples: int, *, begun_at: float) -> bytes:  # noqa: ARG002 it is the same at any place
        """Capture one block. See `Source.take`."""
        block = bytes(self._held[: samples * SAMPLE_BYTES])
        del self._held[: len(block)]
        self._senders.unpark_all()
        return block.ljust(samples * SAMPLE_BYTES, b"\0")

    def close(self) -> None:
        """Give up what waits."""
        self.closed = True
        self._senders.unpark_all()


class _End:
    """One end: a device whose microphone is an inlet, and whose speaker is a function. It is an `AudioDevice`."""

    def __init__(
        self,
        *,
        block_ms: float,
        ring_ms: float,
        output_latency_ms: float = 0,
        buffer_ms: float,
        echoes: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        if buffer_ms < block_ms:
            raise ValueError("buffer_ms has to be at least a block")
        self._lengths = {"block_ms": block_ms, "ring_ms": ring_ms, "output_latency_ms": output_latency_ms}
        self._buffer = samples_from_ms(buffer_ms)
        self._echoes = echoes
        self._recorder = recorder
        self.inlet = _Inlet(self._buffer)
        self._make_duplex()  # to refuse lengths that contradict each other now, and not when it is opened
        self.plays: Callable[[bytes], object] = lambda _: None
        self._stream: ClockedStream | None = None

    @property
    def is_open(self) -> bool:
        """Whether a session has it."""
        return self._stream is not None and not self._stream.closed

    def statistics(self) -> DeviceStatistics:
        """Tell what happened since it was opened (the last time)."""
        return self._stream.statistics() if self._stream else DeviceStatistics(0, 0, 0)

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        """Start the clock. See `AudioDevice.open`."""
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AudioStream]:
        if self.is_open:
            raise trio.BusyResourceError("this device is open already")
        await trio.lowlevel.checkpoint()
        if self.inlet.closed:
            self.inlet = _Inlet(self._buffer)
        stream = self._stream = ClockedStream(self._make_duplex(), recorder=self._recorder, hand_over=self.plays)
        try:
            yield stream
        finally:
            stream.close()

    def _make_duplex(self) -> SimulatedDuplex:
        return SimulatedDuplex(source=self.inlet, echo=None, tells_played=self._echoes, **self._lengths)


class BridgeDevice:
    """A device whose microphone and speaker are your program. It is an `AudioDevice`.

    Give it to a session. One of your tasks sends what the far person says (`send_captured`, or `push_captured` for a
    live line), another receives what that person is to hear (`receive_played`), 20 ms every 20 ms, and passes it on at
    once. All sound is PCM16 mono 24 kHz; `RateConverter` makes it of other rates, and `realtime_trio.audio.g711` of
    telephones.

    Args:
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound of the session's that may wait to be handed over.
        output_latency_ms: Milliseconds from `receive_played` to the far person's ear, as well as you know it: so much
            later something counts as heard. (Where the sound was cut does not depend on it.)
        buffer_ms: Milliseconds that may wait to be captured. What waits is delay, so this is the longest there can be.
        echoes: Whether the far microphone may hear the far speaker, and nothing at the far end cancels that; browsers
            and telephones cancel it. Blocks then carry what was played.
        recorder: Told everything, block by block. Whoever made it closes it.
    """

    def __init__(
        self,
        *,
        block_ms: float = 20,
        ring_ms: float = 300,
        output_latency_ms: float = 0,
        buffer_ms: float = 200,
        echoes: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        self._end = _End(
            block_ms=block_ms,
            ring_ms=ring_ms,
            output_latency_ms=output_latency_ms,
            buffer_ms=buffer_ms,
            echoes=echoes,
            recorder=recorder,
        )
        self._end.plays = self._queue
        self._most_played = max(1, int(_PLAYED_MS / block_ms))
        self._played: trio.MemorySendChannel[bytes]
        self._to_play: trio.MemoryReceiveChannel[bytes]
        self._unheard = 0
        self._renew()

    @property
    def dropped_ms(self) -> float:
        """Milliseconds that `push_captured` threw away since the device was opened (the last time)."""
        return self._end.inlet.dropped * 1000 / samples_from_ms(1000)

    def push_captured(self, pcm: bytes) -> None:
        """Give what was said at the far end of a live line. Of what the buffer cannot hold, the oldest goes.

        Args:
            pcm: PCM16 mono 24 kHz. Given before a session opened the device, it waits for that.

        Raises:
            ValueError: It ends within a sample.
            trio.BrokenResourceError: The session is over.
        """
        samples_in(pcm)
        self._inlet().push(pcm)

    async def send_captured(self, pcm: bytes) -> None:
        """Give what was said, and wait until the buffer can hold all of it: nothing is lost.

        For a program that has more than real time (a file, a synthesiser). Over a live line that stalled, what waits
        elsewhere would come later and later; use `push_captured` there.

        Args:
            pcm: PCM16 mono 24 kHz, of any length.

        Raises:
            ValueError: It ends within a sample.
            trio.BrokenResourceError: The session is over.

        Cancellation:
            What fitted in by then is captured, the rest is not.
        """
        samples_in(pcm)
        await trio.lowlevel.checkpoint()
        inlet, rest = self._inlet(), memoryview(pcm)
        while rest:
            fits = inlet.room * SAMPLE_BYTES
            inlet.push(bytes(rest[:fits]))
            rest = rest[fits:]
            if rest:
                await inlet.wait_for_room()
                inlet = self._inlet()

    async def receive_played(self) -> bytes:
        """Wait for the next block that the far person is to hear, silence included.

        Who does not receive for a second loses the oldest; `statistics().overruns` counts them.

        Returns:
            PCM16 mono 24 kHz, `block_ms` long; the very last may be a fade of less.

        Raises:
            trio.EndOfChannel: The session is over, and all was received.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        return await self._to_play.receive()

    def statistics(self) -> DeviceStatistics:
        """Tell what happened since it was opened (the last time)."""
        inner = self._end.statistics()
        return DeviceStatistics(inner.blocks, inner.underruns, inner.overruns + self._unheard)

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
        with ExitStack() as afterwards:
            async with self._end.open() as stream:
                if self._over:
                    self._renew()
                afterwards.callback(self._finish)  # when the last fade has been handed over
                yield stream

    def _renew(self) -> None:
        self._over = False
        self._unheard = 0
        self._played, self._to_play = trio.open_memory_channel[bytes](self._most_played)

    def _finish(self) -> None:
        self._over = True
        self._played.close()

    def _inlet(self) -> _Inlet:
        inlet = self._end.inlet
        if inlet.closed:
            raise trio.BrokenResourceError("the session is over: nobody listens to this device any more")
        return inlet

    def _queue(self, pcm: bytes) -> None:
        if not pcm:
            return
        try:
            self._played.send_nowait(pcm)
        except trio.WouldBlock:
            self._to_play.receive_nowait()
            self._unheard += 1
            self._played.send_nowait(pcm)


def memory_pair(*, block_ms: float = 20, ring_ms: float = 300) -> tuple[AudioDevice, AudioDevice]:
    """Make two devices of which each hears what the other plays, so that two sessions talk to each other.

    What is played while the other is not open is heard by nobody.

    Args:
        block_ms: Length of a block in milliseconds, of both.
        ring_ms: Milliseconds of sound that may wait to be played.

    Returns:
        The two.
    """
    left, right = (_End(block_ms=block_ms, ring_ms=ring_ms, buffer_ms=max(200, 4 * block_ms)) for _ in range(2))
    left.plays, right.plays = _into(right), _into(left)
    return left, right


def _into(end: _End) -> Callable[[bytes], object]:
    def plays(pcm: bytes) -> None:
        if end.is_open:
            end.inlet.push(pcm)

    return plays
