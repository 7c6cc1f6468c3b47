"""Capture and playout: the two tasks that stand between a session and its audio device.

What was heard is counted in `core.playout`; what an interruption does is decided in `core.interruption` and carried
out in `turns.py`. Here samples move, and the device's reports reach those who count.
"""

from collections.abc import Callable, Collection
from contextlib import suppress

import attrs
import trio

from realtime_trio.core.capture import CaptureLedger
from realtime_trio.core.playout import PlayoutLedger
from realtime_trio.device import AudioBlock, AudioDevice, AudioStream
from realtime_trio.nursery import open_services

__all__ = ["Sound"]


@attrs.define(eq=False)
class Sound:
    """The device of one session, with the ledgers of both directions.

    Attributes:
        device: What is opened; None when the program itself moves the audio.
        ledger: What is to be played, and how far it came.
        capture: When what was sent was spoken.
        append: Takes a captured block for the uplink, without waiting.
        on_block: Called after each block's report, with the time.
        fade_s: How long to wait for the fade of a cut when the device is to be closed, in seconds.
    """

    device: AudioDevice | None
    append: Callable[[bytes], object]
    on_block: Callable[[float], object]
    ledger: PlayoutLedger = attrs.field(factory=PlayoutLedger)
    capture: CaptureLedger = attrs.field(factory=CaptureLedger)
    fade_s: float = 0.1
    _stream: AudioStream | None = attrs.field(default=None, init=False)
    _cut_seen: trio.Event = attrs.field(factory=trio.Event, init=False)
    _capturing: bool = attrs.field(default=True, init=False)
    _released: bool = attrs.field(default=False, init=False)
    _wake_send: trio.MemorySendChannel[None] = attrs.field(init=False)
    _wake_receive: trio.MemoryReceiveChannel[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # one pending wake-up is enough: the playout task then takes all that there is
        self._wake_send, self._wake_receive = trio.open_memory_channel[None](1)

    async def run(self, ready: trio.Event) -> None:
        """Open the device and move sound until cancelled.

        Args:
            ready: Set when the device runs.

        Raises:
            DeviceUnavailable: There is no such device, or it vanished.
        """
        assert self.device is not None  # noqa: S101 the session starts this only with a device
        async with self.device.open() as self._stream, open_services("sound") as services:
            services.start_soon(self._plays, self._stream)
            ready.set()
            await self._captures(self._stream)

    async def _captures(self, stream: AudioStream) -> None:
        while True:
            block = await stream.receive_block()
            self._report(block)
            if block.captured and self._capturing:
                self.capture.append(len(block.captured) // 2, block.captured_at)
                self.append(block.captured)
            self.wake()
            self.on_block(trio.current_time())

    def _report(self, block: AudioBlock) -> None:
        if block.cut is not None:
            self.ledger.cut_report(block.cut.generation, block.cut.samples, block.cut.until)
            self._cut_seen.set()
        self.ledger.report(block.position.generation, block.position.samples, block.position.until)

    async def _plays(self, stream: AudioStream) -> None:
        async for _ in self._wake_receive:
            pcm = self.ledger.take(stream.room)
            if pcm:
                stream.write(pcm)

    def wake(self) -> None:
        """Let the playout task look again: there is new audio, or new room."""
        with suppress(trio.WouldBlock):  # it has not looked yet since the last time
            self._wake_send.send_nowait(None)

    def cut(self, response_ids: Collection[str]) -> None:
        """Stop the sound of these responses now; the rest goes on from the same sample."""
        generation = self.ledger.cut(response_ids)
        if self._stream is not None and not self._released:
            self._cut_seen = trio.Event()
            self._stream.cut(generation)

    async def drained(self) -> None:
        """Wait until all that was received has left the speaker.

        Cancellation:
            Safe: the sound goes on.
        """
        while not self._released and self._stream is not None and not self.ledger.drained(now := trio.current_time()):  # noqa: ASYNC110
            # Time itself makes it so, no event does: not handed over yet, look again after a block; else sleep until
            # the last sample comes out.
            await trio.sleep(min(max(self.ledger.drained_at() - now, 0.001), 0.02))

    def release(self) -> None:
        """Let who waits for silence go: the session is over."""
        self._released = True

    async def hush(self) -> None:
        """Fade out whatever is playing and take no more from the microphone; bounded by `fade_s`."""
        self._capturing = False
        if self._stream is None or self.ledger.drained(trio.current_time()):
            return
        self.cut({part.response_id for part in self.ledger.parts()})
        with trio.move_on_after(self.fade_s):
            await self._cut_seen.wait()
