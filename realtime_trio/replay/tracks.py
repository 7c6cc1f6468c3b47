"""The sound of a recorded session on one time axis: what the user said, what was heard, and what was generated."""

from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from realtime_trio.audio.g711 import Decoder
from realtime_trio.recording import RecordedSession

from .story import PCM_BYTES_PER_MS, RATE, Part, Story

__all__ = ["Samples", "Tracks", "Window", "generated_sound", "make_tracks"]

Samples: TypeAlias = NDArray[np.int16]

_LATER = 0.5  # seconds of sound after the last line


@attrs.frozen
class Window:
    """A stretch of a recording, in its seconds."""

    begin: float
    end: float

    @property
    def length(self) -> float:
        """How long it is."""
        return self.end - self.begin

    def overlaps(self, begin: float, end: float) -> bool:
        """Tell whether some of a stretch is in it."""
        return begin <= self.end and end >= self.begin


@attrs.frozen
class Tracks:
    """Both sides, from the beginning of a window on, 24,000 samples a second, equally long.

    Attributes:
        user: What the microphone captured; without a device, what the program sent.
        assistant: What left the speaker; without a device, what was generated, one after the other.
        heard: Whether `assistant` is what was heard.
    """

    user: Samples
    assistant: Samples
    heard: bool


def make_tracks(session: RecordedSession, story: Story, window: Window) -> Tracks:
    """Put the sound of a session on its time axis.

    Args:
        session: The recording.
        story: What happened in it.
        window: What of it.

    Returns:
        Both sides.

    Raises:
        OSError: The recording cannot be read.
    """
    if session.device_samples and story.clock:
        return _device_tracks(session, story, window)
    user = _Canvas(window)
    for at, pcm in _sent(session, story):
        user.put(max(at, user.until), pcm)  # what is sent faster than it is spoken follows what was before
    assistant = _Canvas(window)
    for part in story.parts:
        assistant.put(max(part.first_at, assistant.until), generated_sound(session, story, part))
    return Tracks(user.samples, assistant.samples, heard=False)


def generated_sound(session: RecordedSession, story: Story, part: Part) -> Samples:
    """Give all that was received of a part.

    Args:
        session: The recording.
        story: What happened in it.
        part: The part.

    Returns:
        The samples.

    Raises:
        OSError: The recording cannot be read.
    """
    data = b"".join(session.audio(reference) for reference in part.audio)
    return _samples(data, story.config, "output", story.output_bytes_per_ms)


def _device_tracks(session: RecordedSession, story: Story, window: Window) -> Tracks:
    user, assistant = _Canvas(window), _Canvas(window)
    ends = [sample for sample, _ in story.clock[1:]] + [session.device_samples]
    for (first, captured), last in zip(story.clock, ends, strict=True):
        if window.overlaps(captured, captured + (last - first) / RATE):
            frames = np.frombuffer(session.device_sound(first, last), dtype="<i2").reshape(-1, 2)
            user.put(captured, frames[:, 0])
            assistant.put(captured, frames[:, 1])
    return Tracks(user.samples, assistant.samples, heard=True)


class _Canvas:
    """Sound with places in time; what is not in the window is left out."""

    def __init__(self, window: Window) -> None:
        self.samples: Samples = np.zeros(int((window.length + _LATER) * RATE), dtype=np.int16)
        self.until = 0.0
        self._begin = window.begin

    def put(self, at: float, pcm: Samples) -> None:
        """Place sound at a time, over what was there."""
        self.until = at + len(pcm) / RATE
        start = round((at - self._begin) * RATE)
        pcm = pcm[max(0, -start) :]
        start = max(0, start)
        room = max(0, len(self.samples) - start)
        self.samples[start : start + min(room, len(pcm))] = pcm[:room]


def _sent(session: RecordedSession, story: Story) -> list[tuple[float, Samples]]:
    """The appends, as pieces that follow each other without a gap in time."""
    found = []
    data, begins, until = b"", 0.0, -1.0
    for at, reference in story.sent:
        piece = session.audio(reference)
        seconds = len(piece) / story.input_bytes_per_ms / 1000
        begun = at - seconds  # live sound is sent when its last sample was captured
        if data and begun > until + 0.1:
            found.append((begins, data))
            data = b""
        if not data:
            begins = until = max(0.0, begun)
        data += piece
        until += seconds
    if data:
        found.append((begins, data))
    return [(at, _samples(piece, story.config, "input", story.input_bytes_per_ms)) for at, piece in found]


def _samples(data: bytes, config: dict[str, Any], direction: str, bytes_per_ms: int) -> Samples:
    if bytes_per_ms != PCM_BYTES_PER_MS:
        decoder = Decoder(config["audio"][direction]["format"]["type"])
        data = decoder.decode(data) + decoder.finish()
    return np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2").astype(np.int16, copy=False)
