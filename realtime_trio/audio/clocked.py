"""A device without hardware that keeps Trio's time: a program speaks to it, and what it plays goes nowhere.

It is for machines without a sound card, for demonstrations, and for tests: under Trio's autojump clock an hour passes
in a moment. Devices with files, or with a program at the other end, stand in `wav_device.py` and `bridge.py`; when
blocks happen, in `clocked_stream.py`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import trio

from realtime_trio.device import AudioStream

from .clocked_stream import ClockedStream, DeviceStatistics, Recorder
from .duplex import Microphone, SimulatedDuplex, Utterance
from .pcm import samples_from_ms

__all__ = ["ClockedDevice", "DeviceStatistics", "Recorder"]

_AFTERWARDS_MS = 1_000  # silence after speech that comes fast too: turn detection wants some before it believes the end


class ClockedDevice:
    """A microphone and a speaker that exist only in Trio's time. It is an `AudioDevice`.

    The microphone captures silence, and what `speak` puts before it. What is played goes nowhere but to the recorder,
    and into the room when there is one.

    Args:
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played.
        output_latency_ms: Milliseconds from handing a sample over to its leaving the speaker.
        recorder: Told everything, block by block. Whoever made it closes it.
        echo: What the microphone hears of the speaker: called with what left the speaker during each block, gives what
            is heard of it meanwhile, as long. `Room` is one. With it blocks carry what was played.
        pace: `"fast"`: twenty times real time while there is something to hear, for a second after it, and while there
            is plenty to play; never faster than blocks are received. Otherwise, as with `"real_time"`, a block takes
            its time: a microphone that was always fast would flood the server with silence while it thinks.
    """

    def __init__(
        self,
        *,
        block_ms: float = 20,
        ring_ms: float = 300,
        output_latency_ms: float = 0,
        recorder: Recorder | None = None,
        echo: Callable[[bytes], bytes] | None = None,
        pace: Literal["real_time", "fast"] = "real_time",
    ) -> None:
        self._lengths = {"block_ms": block_ms, "ring_ms": ring_ms, "output_latency_ms": output_latency_ms}
        if pace not in {"real_time", "fast"}:
            raise ValueError(f'pace is "real_time" or "fast", not {pace!r}')
        self._recorder = recorder
        self._echo = echo
        self._fast = pace == "fast"
        self._microphone = Microphone()
        self._stream: ClockedStream | None = None
        self._make_duplex()  # to refuse lengths that contradict each other now, and not when it is opened

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
        microphone, duplex = self._microphone, self._make_duplex()

        def in_a_hurry(passed: int) -> bool:
            speaking = microphone.end > 0 and passed < microphone.end + samples_from_ms(_AFTERWARDS_MS)
            # a ring that is less than half full may be waiting for the network: in a hurry it would run dry
            return self._fast and (speaking or duplex.playout.held > duplex.playout.room)

        self._stream = ClockedStream(duplex, recorder=self._recorder, in_a_hurry=in_a_hurry)
        try:
            yield self._stream
        finally:
            self._stream.close()
            self._microphone = Microphone()

    def _make_duplex(self) -> SimulatedDuplex:
        tells_played = self._echo is not None
        return SimulatedDuplex(source=self._microphone, echo=self._echo, tells_played=tells_played, **self._lengths)
