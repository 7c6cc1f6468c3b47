"""The stream of a device that has no hardware: its blocks happen when Trio's clock says so.

What a block holds is decided in `realtime_trio.audio.duplex`; here is only when. The devices that open such streams
stand in `clocked.py` and `bridge.py`.

Theory of operation. Block n is due at `begun + n * block`, reckoned from the start, so nothing drifts. There is no
task: whatever touches the stream first lets all the blocks happen that are due by now, at their own times, as hardware
would have done. A loop that comes late therefore finds the blocks that it missed, with zeros played where the ring had
run dry.

When it is told to hurry, blocks come twenty times as often, but each only after the one before was received: who is
slow slows it down, and nothing is thrown away.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

import attrs
import trio

from realtime_trio.device import SAMPLE_RATE, AudioBlock, Position
from realtime_trio.errors import AudioError

from .duplex import SimulatedDuplex
from .pcm import samples_from_ms

__all__ = ["ClockedStream", "DeviceStatistics", "Recorder"]

_WAITING_MS = 2_000  # blocks that wait to be received; when there are more, the oldest go
_HURRY = 20  # times real time


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

    corrections: int = 0
    """Times that 10 ms were left out of, or put into, the echo canceller's reference, because the microphone's clock
    and the speaker's differ. With two streams a few in ten minutes are usual."""

    realignments: int = 0
    """Times that microphone and speaker had to be aligned anew, because one of two streams had stood still."""

    failures: int = 0
    """Blocks that are silence because this library failed in the sound system's thread. Please report any."""

    streams: Literal["duplex", "separate"] | None = None
    """Whether the hardware runs in one stream or in two, lately; None where there is no hardware."""

    rates: tuple[int, int] | None = None
    """Samples a second at which microphone and speaker run, lately; what is not 24,000 is converted. None where there
    is no hardware."""


class ClockedStream:
    """An open device that keeps Trio's time. It is an `AudioStream`; see there.

    Args:
        duplex: What happens at each block. It is stepped from here only.
        recorder: Told what was captured and heard.
        hand_over: Called with each block for the speaker, when it is handed over.
        in_a_hurry: Asked after each block, with the samples that have passed: whether the next may come at once.
    """

    def __init__(
        self,
        duplex: SimulatedDuplex,
        *,
        recorder: Recorder | None = None,
        hand_over: Callable[[bytes], object] = lambda _: None,
        in_a_hurry: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.closed = False
        self._duplex = duplex
        self._block = duplex.block
        self._recorder = recorder
        self._hand_over = hand_over
        self._in_a_hurry = in_a_hurry
        self._steps = 0
        self._begun = (trio.current_time(), 0)  # when, and after how many blocks, the present speed began
        self._speed = _HURRY if in_a_hurry(0) else 1
        self._overruns = 0
        self._waiting: deque[AudioBlock] = deque()
        self._most_waiting = max(1, samples_from_ms(_WAITING_MS) // duplex.block)
        self._forgotten_cuts: deque[Position] = deque()  # of blocks that were thrown away: a cut is always told
        self._receiving = False

    @property
    def room(self) -> int:
        """Samples that `write` would take now."""
        self._catch_up()
        return self._duplex.playout.room

    def write(self, pcm: bytes) -> None:
        """Queue samples of the current generation."""
        self._catch_up()
        self._duplex.playout.write(pcm)

    def cut(self, generation: int) -> None:
        """Stop the sound, begin a new generation."""
        self._catch_up()
        self._duplex.playout.cut(generation)

    async def receive_block(self) -> AudioBlock:
        """Wait for the next block."""
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
        since, steps = self._begun
        elapsed = (trio.current_time() - since) * SAMPLE_RATE * self._speed
        return steps * self._block + math.ceil(elapsed - 1e-3)  # what floats are off by

    def statistics(self) -> DeviceStatistics:
        """Tell what happened since it was opened."""
        return DeviceStatistics(self._steps, self._duplex.playout.underruns, self._overruns)

    def close(self) -> None:
        """Stop. What was handed over is still heard, and recorded."""
        try:
            self._catch_up()
            fade, heard = self._duplex.last_step()
            self._hand_over(fade)
            if self._recorder is not None:
                self._recorder.write(bytes(len(heard)), heard)
                self._recorder.flush()
        except AudioError:
            pass  # a recorder that cannot write says so again to its owner, who closes it
        finally:
            self._duplex.source.close()
            self.closed = True

    def _due(self) -> float:
        since, steps = self._begun
        return since + (self._steps + 1 - steps) * self._block / SAMPLE_RATE / self._speed

    def _catch_up(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("the device was closed")
        now = trio.current_time()
        while (due := self._due()) <= now:
            if self._speed > 1 and self._waiting:
                self._begun = (now, self._steps)
                break
            self._step(due)

    def _step(self, at: float) -> None:
        self._steps += 1
        step = self._duplex.step(at)
        self._waiting.append(step.block)
        if len(self._waiting) > self._most_waiting:
            self._overruns += 1
            lost = self._waiting.popleft()
            self._forgotten_cuts.extend([lost.cut] if lost.cut else [])
        self._hand_over(step.played)
        speed = _HURRY if self._in_a_hurry(self._steps * self._block) else 1
        if speed != self._speed:
            self._begun, self._speed = (at, self._steps), speed
        if self._recorder is not None:
            self._recorder.write(step.block.captured, step.heard)
