"""The sound of a recorded session on one time axis: what the user said, what was heard, and what was generated."""

from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from realtime_trio.audio.g711 import Decoder
from realtime_trio.recording import RecordedSession

from .story import PCM_BYTES_PER_MS, RATE, Part, Story

__all__ = ["Samples", "Tracks", "generated_sound", "make_tracks"]

Samples: TypeAlias = NDArray[np.int16]

_FRAME = 4  # bytes of a sample of both sides
_LATER = 0.5  # seconds of sound after the last line


@attrs.frozen
class Tracks:
    """Both sides, from the beginning of the recording on, 24,000 samples a second, equally long.

    Attributes:
        user: What the microphone captured; without a device, what the program sent.
        assistant: What left the speaker; without a device, what was generated, one after the other.
        heard: Whether `assistant` is what was heard.
    """

    user: Samples
    assistant: Samples
    heard: bool


def make_tracks(session: RecordedSession, story: Story) -> Tracks:
    """Put the sound of a session on its time axis.

    Args:
        session: The recording.
        story: What happened in it.

    Returns:
        Both sides.

    Raises:
        OSError: The recording cannot be read.
    """
    device = session.device_sound()
    if device and story.clock:
        return _device_tracks(device, story)
    user = _Canvas(story.length)
    for at, pcm in _sent(session, story):
        user.put(max(at, user.end / RATE), pcm)  # what is sent faster than it is spoken follows what was before
    assistant = _Canvas(story.length)
    for part in story.parts:
        assistant.put(max(part.first_at, assistant.end / RATE), generated_sound(session, story, part))
    length = max(len(user.samples), len(assistant.samples))
    return Tracks(user.fill(length), assistant.fill(length), heard=False)


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


def _device_tracks(device: bytes, story: Story) -> Tracks:
    frames = np.frombuffer(device, dtype="<i2").reshape(-1, 2)
    user, assistant = _Canvas(story.length), _Canvas(story.length)
    ends = [sample for sample, _ in story.clock[1:]] + [len(frames)]
    for (first, captured), last in zip(story.clock, ends, strict=True):
        user.put(captured, frames[first:last, 0])
        assistant.put(captured, frames[first:last, 1])
    length = max(len(user.samples), len(assistant.samples))
    return Tracks(user.fill(length), assistant.fill(length), heard=True)


class _Canvas:
    """Sound with places in time; it grows as needed."""

    def __init__(self, seconds: float) -> None:
        self.samples: Samples = np.zeros(int((seconds + _LATER) * RATE), dtype=np.int16)
        self.end = 0

    def put(self, at: float, pcm: Samples) -> None:
        """Place sound at a time, over what was there."""
        start = max(0, round(at * RATE))
        self.fill(start + len(pcm))
        self.samples[start : start + len(pcm)] = pcm
        self.end = start + len(pcm)

    def fill(self, length: int) -> Samples:
        """Make it at least so many samples long."""
        if len(self.samples) < length:
            self.samples = np.concatenate([self.samples, np.zeros(length - len(self.samples), dtype=np.int16)])
        return self.samples


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
