"""Plays the user's side of a recording against the offline server, which is told what was understood then."""

import os
from collections import deque
from collections.abc import Iterator
from typing import Final

import attrs
import trio

from realtime_trio import open_server
from realtime_trio.audio.g711 import Decoder
from realtime_trio.recording import AudioReference, Entry, RecordedSession
from realtime_trio.server import Speech, SpokenWord, Transcript
from realtime_trio.testing import KnownVoice, session_from_recording

from .story import PCM_BYTES_PER_MS, Story
from .telling import tell

__all__ = ["play"]

_NEAR: Final = 15.0  # seconds by which something may be said earlier or later than then
_AT_ONCE: Final = 12  # sounds that are looked for in a turn: each takes 10 ms
_LIMIT: Final = 600.0  # seconds that it may take longer than then


async def play(recording: RecordedSession, record: str | os.PathLike[str]) -> None:
    """Play the user's side of a recording against the offline server, in memory and without a key.

    The server answers by its own rules, and understands of the user's speech what was understood then. Tools are stood
    in for, as by `session_from_recording`. It takes as long as the recording, or a moment under an autojump clock.

    Args:
        recording: What is played.
        record: A folder that what comes of it is recorded into; it is made, or empty.

    Raises:
        RealtimeError: The session failed, or cannot be played again; what there was until then is recorded.
        AssertionError: It did not come to its end.
        OSError: The recording cannot be read.

    Cancellation:
        Ends the session.
    """
    limit = tell(recording).length + _LIMIT
    ear = _EarOfThen(tuple(_said(recording)))
    with trio.move_on_after(limit):
        async with (
            open_server(listen=False, recogniser=ear) as server,
            session_from_recording(
                recording.path, connect=server.connect, url=server.url, record=record, api_key="none"
            ) as replayed,
        ):
            await replayed.finished()
        return
    raise AssertionError(f"it had not come to its end after {limit:.0f} s")


@attrs.frozen
class _Said:
    """A turn of then.

    Attributes:
        at: When it ended, in the recording's seconds.
        speech: Its sound, and the words that were understood.
    """

    at: float
    speech: Speech


class _EarOfThen:
    """A `Recogniser`, and an `Eavesdropper`: finds in what it hears the sound of then, and gives its words."""

    def __init__(self, said: tuple[_Said, ...]) -> None:
        self._said = said
        self._began = trio.current_time()

    async def recognise(self, pcm: bytes) -> Transcript:
        return await self._known().recognise(pcm)

    async def overhear(self, pcm: bytes) -> Transcript:
        return await self._known().overhear(pcm)

    def _known(self) -> KnownVoice:
        """Give one that knows what was said about now: of sounds that are the same the one nearest in time counts."""
        now = trio.current_time() - self._began
        near = sorted((abs(one.at - now), index) for index, one in enumerate(self._said))
        voice = KnownVoice()
        for distance, index in near[:_AT_ONCE]:
            if distance <= _NEAR + len(self._said[index].speech.pcm) / PCM_BYTES_PER_MS / 1000:
                voice.learn(self._said[index].speech)
        return voice


def _said(recording: RecordedSession) -> Iterator[_Said]:
    """Read what was understood of the user's speech, with its sound as it was sent."""
    story = tell(recording)
    texts = {turn.id: turn.text for turn in story.turns if turn.who == "user" and turn.spoken and turn.text}
    wires: dict[object, _Wire] = {}
    for entry in recording.entries():
        wire = wires.setdefault(entry.data.get("link"), _Wire(recording, story.input_bytes_per_ms))
        item_id = wire.take(entry)
        if words := texts.get(item_id or "", "").split():
            pcm = _linear(story, wire.sound_of(item_id or ""))
            starts = [len(pcm) // 2 * index // len(words) for index in range(len(words))]
            spoken = (SpokenWord(f"{word} ", start) for word, start in zip(words, starts, strict=True))
            yield _Said(entry.at, Speech(pcm, tuple(spoken)))


class _Wire:
    """The user's sound on one link, and which of it is which item."""

    def __init__(self, recording: RecordedSession, bytes_per_ms: int) -> None:
        self._recording = recording
        self._bytes_per_ms = bytes_per_ms
        self._pieces: list[tuple[int, AudioReference]] = []  # with their places, in bytes
        self._length = 0
        self._uncommitted = 0
        self._by_hand: deque[tuple[int, int]] = deque()  # committed, and not yet acknowledged
        self._places: dict[str, tuple[int, int]] = {}

    def take(self, entry: Entry) -> str | None:
        """Follow the wire; give the item whose sound is whole, where it is."""
        match entry.event:
            case {"type": "input_audio_buffer.append", "audio": audio}:
                if (reference := AudioReference.of(audio)) is not None:
                    self._pieces.append((self._length, reference))
                    self._length += reference.length
            case {"type": "input_audio_buffer.commit"}:
                self._by_hand.append((self._uncommitted, self._length))
                self._uncommitted = self._length
            case {"type": "input_audio_buffer.clear"}:
                self._uncommitted = self._length
            case {"type": "input_audio_buffer.speech_started", "item_id": str(item_id), "audio_start_ms": int(ms)}:
                self._places[item_id] = ms * self._bytes_per_ms, self._length
            case {"type": "input_audio_buffer.speech_stopped", "item_id": str(item_id), "audio_end_ms": int(ms)}:
                self._places[item_id] = self._places.get(item_id, (0, 0))[0], ms * self._bytes_per_ms
            case {"type": "input_audio_buffer.committed", "item_id": str(item_id)}:
                if item_id not in self._places and self._by_hand:
                    self._places[item_id] = self._by_hand.popleft()
                return item_id
            case _:
                pass
        return None

    def sound_of(self, item_id: str) -> bytes:
        """Read an item's sound, as the wire has it."""
        first, end = self._places.get(item_id, (0, 0))
        sound = bytearray()
        for place, reference in self._pieces:
            if place < end and place + reference.length > first:
                sound += self._recording.audio(reference)[max(0, first - place) : end - place]
        return bytes(sound)


def _linear(story: Story, sound: bytes) -> bytes:
    """Make PCM16 at 24 kHz of what the wire carries."""
    if story.input_bytes_per_ms == PCM_BYTES_PER_MS:
        return sound[: len(sound) // 2 * 2]
    decoder = Decoder(story.config["audio"]["input"]["format"]["type"])
    return decoder.decode(sound) + decoder.finish()
