"""What takes an echo out of sound: WebRTC's echo canceller (AEC3), as two packages bring it, behind one method.

Whoever uses a `Canceller` owes it three things, all of which were measured to decide over success:

- Every frame of the microphone comes with the frame that was handed to the speaker in the same block, silent ones
  too: without the silence it loses its alignment (echo return loss 9 instead of 31 dB).
- The reference may be early (by up to half a second: that is the delay it learns) but never late: 20 ms late leave
  nearly the whole echo in.
- No new one over an interruption: what it has learnt of the room takes it a second or two to learn again.

A delay can be told to neither of them here. The right number makes no difference, a wrong one costs the first second.
"""

from collections.abc import Callable
from typing import Any, Protocol

import attrs
import numpy as np

from .pcm import SAMPLE_BYTES, SAMPLE_RATE, silence

__all__ = [
    "FRAME_BYTES",
    "FRAME_SAMPLES",
    "BackendChoice",
    "Canceller",
    "LivekitCanceller",
    "PywebrtcCanceller",
    "find",
]

FRAME_SAMPLES = SAMPLE_RATE // 100
"""Samples of the 10 ms that a canceller takes at a time."""

FRAME_BYTES = FRAME_SAMPLES * SAMPLE_BYTES

_INT16 = np.dtype("<i2")
_Samples = np.ndarray[Any, np.dtype[np.int16]]
_DITHER_SAMPLES = SAMPLE_RATE  # it repeats after a second: too slow to have a pitch


class Canceller(Protocol):
    """Takes what is played out of what is captured, frame by frame."""

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        """Clean sound of the microphone.

        Args:
            captured: PCM16 mono 24 kHz, any number of whole frames (`FRAME_BYTES`).
            played: What was handed to the speaker in the same time, as long.

        Returns:
            The sound without the echo, as long, some 10 ms later.

        Raises:
            ValueError: Not whole frames, or not as long as each other.
        """
        ...


def _check(captured: bytes, played: bytes) -> None:
    if len(captured) % FRAME_BYTES or len(captured) != len(played):
        raise ValueError(
            f"a canceller takes whole frames of {FRAME_BYTES} bytes, as many captured as played:"
            f" {len(captured)} and {len(played)} bytes are not"
        )


class PywebrtcCanceller:
    """AEC3 of the package pywebrtc-audio, which this library depends on where there are wheels of it.

    Raises:
        ImportError: It is not installed; any other exception: it is, and does not work here.
    """

    def __init__(self) -> None:
        from pywebrtc_audio import AudioProcessor

        self._processor = AudioProcessor(sample_rate=SAMPLE_RATE, echo_cancellation=True)
        # It does not flush denormal numbers: over digital silence they make a frame cost six times as much. One step
        # of noise on the reference, which nobody hears, prevents that.
        self._dither = np.random.default_rng(24).integers(-1, 2, 2 * _DITHER_SAMPLES, dtype=np.int16)
        self._dithered = 0

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        """See `Canceller`."""
        _check(captured, played)
        near = np.frombuffer(captured, dtype=_INT16)
        # the steps must not carry a sample over the edge, where it would change its sign
        far = np.clip(np.frombuffer(played, dtype=_INT16), -32767, 32766)
        return b"".join(
            self._piece(near[start : start + _DITHER_SAMPLES], far[start : start + _DITHER_SAMPLES])
            for start in range(0, len(near), _DITHER_SAMPLES)
        )

    def _piece(self, near: _Samples, far: _Samples) -> bytes:
        reference = far + self._dither[self._dithered : self._dithered + len(far)]
        self._dithered = (self._dithered + len(far)) % _DITHER_SAMPLES
        # The binding reads memory without regard to strides, and fills up what is no whole frame with zeros: it gets
        # flat arrays of whole frames, and nothing else.
        cleaned = self._processor.process(
            np.ascontiguousarray(near, dtype=np.int16), np.ascontiguousarray(reference, dtype=np.int16)
        )
        return np.asarray(cleaned, dtype=_INT16).tobytes()


class LivekitCanceller:
    """AEC3 of the package livekit, if the user has it: a newer build of the same, and 30 MB.

    It loads a native library with threads of its own, which refuses to go on after a fork.

    Raises:
        ImportError: It is not installed; any other exception: it is, and does not work here.
    """

    def __init__(self) -> None:
        from livekit import rtc

        self._module = rtc.AudioProcessingModule(echo_cancellation=True)
        self._frame_of = rtc.AudioFrame

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        """See `Canceller`."""
        _check(captured, played)
        cleaned = bytearray()
        for start in range(0, len(captured), FRAME_BYTES):
            # the reference goes first: else it comes late to an echo that is quick
            self._module.process_reverse_stream(self._wrap(played[start : start + FRAME_BYTES]))
            frame = self._wrap(captured[start : start + FRAME_BYTES])
            self._module.process_stream(frame)
            cleaned += bytes(frame.data)
        return bytes(cleaned)

    def _wrap(self, pcm: bytes) -> Any:
        # it works in place, so the frame needs memory that can be written
        return self._frame_of(bytearray(pcm), SAMPLE_RATE, 1, FRAME_SAMPLES)


@attrs.frozen
class BackendChoice:
    """Which canceller there is."""

    name: str
    """What cancels, for people; empty when nothing does."""

    make: Callable[[], Canceller] | None
    """Makes one; None when there is none."""

    problems: tuple[str, ...] = ()
    """Why those that would have been preferred cannot be used, one sentence each."""


BACKENDS: tuple[tuple[str, Callable[[], Canceller]], ...] = (
    ("pywebrtc-audio", PywebrtcCanceller),
    ("livekit", LivekitCanceller),
)
"""All that are known, the preferred one first."""


def find() -> BackendChoice:
    """Find the first canceller that works here, by letting it clean a frame.

    Blocks for some 5 ms the first time, 150 ms if livekit has to be loaded; raises nothing of theirs.

    Returns:
        What was found.
    """
    frame = silence(10)
    problems: list[str] = []
    for name, make in BACKENDS:
        try:
            make().cancel(frame, frame)
        except Exception as error:  # noqa: BLE001 - a native package can fail in any way, and then the next has its turn
            problems.append(f"{name}: {str(error) or type(error).__name__}")
        else:
            return BackendChoice(name, make, tuple(problems))
    return BackendChoice("", None, tuple(problems))
