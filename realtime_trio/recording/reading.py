"""Reading a recording: its lines one after the other, and the audio that they refer to.

Also one whose program was killed: the last line may be torn, and then there is no word of how it ended.
"""

import os
import wave
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec

from realtime_trio.errors import ConfigurationError

from .layout import AUDIO, DEVICE_WAV, EVENTS, FORMAT, RECEIVED_AUDIO, SENT_AUDIO

__all__ = ["AudioReference", "Entry", "RecordedSession", "find_recordings", "read_recording"]

_FRAME_BYTES = 4  # of the device's WAV: two channels


@attrs.frozen
class AudioReference:
    """Where audio of the wire is kept."""

    file: str
    offset: int
    length: int

    @classmethod
    def of(cls, value: object) -> "AudioReference | None":
        """Tell what a value of an event refers to; None when it is no reference."""
        match value:
            case {"$audio": {"file": str(file), "offset": int(offset), "length": int(length)}}:
                return cls(file, offset, length)
            case _:
                return None


@attrs.frozen
class Entry:
    """One line of a recording.

    Attributes:
        at: Seconds since the recording began.
        kind: `"sent"` and `"received"` for the wire; see docs/recording.md for the others. `"unreadable"` for a line
            that is none.
        data: All of the line.
    """

    at: float
    kind: str
    data: dict[str, Any] = attrs.field(repr=False)

    @property
    def event(self) -> dict[str, Any]:
        """The event of the wire, with references in place of its audio; empty where there is none."""
        event = self.data.get("event")
        return event if isinstance(event, dict) else {}

    @property
    def type(self) -> str:
        """The type of that event."""
        return str(self.event.get("type", ""))


@attrs.frozen
class RecordedSession:
    """A recording that can be read. Make one with `read_recording`.

    Attributes:
        path: Its folder.
        header: Its first line.
    """

    path: Path
    header: dict[str, Any]

    def entries(self) -> Iterator[Entry]:
        """Read the lines, in the order in which they were written.

        Yields:
            Each; a last one that was torn by the end of the program is left out.

        Raises:
            OSError: The file cannot be read.
        """
        with (self.path / EVENTS).open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield _entry(line)

    @property
    def torn(self) -> bool:
        """Whether the last line is there in part only: the program was killed while it was written."""
        with (self.path / EVENTS).open("rb") as file:
            file.seek(0, os.SEEK_END)
            if not file.tell():
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def audio(self, reference: AudioReference) -> bytes:
        """Read audio of the wire.

        Returns:
            What is there of it.

        Raises:
            ValueError: It refers to a file that is not the recording's.
            OSError: The file cannot be read.
        """
        if reference.file not in {SENT_AUDIO, RECEIVED_AUDIO}:
            raise ValueError(f"{reference.file!r} is no audio file of a recording")
        with (self.path / reference.file).open("rb") as file:
            file.seek(reference.offset)
            return file.read(reference.length)

    def audio_length(self, file: str) -> int:
        """Tell how many bytes an audio file of the wire has; 0 when there is none."""
        try:
            return (self.path / file).stat().st_size
        except OSError:
            return 0

    def message(self, entry: Entry) -> str:
        """Make the message of the wire again, with its audio.

        Args:
            entry: One that was sent or received.

        Returns:
            The message: the same JSON, apart from white space and what was redacted.

        Raises:
            ValueError: It is no message.
        """
        if isinstance(text := entry.data.get("text"), str):
            return text
        if not entry.event:
            raise ValueError(f"this line is no message of the wire: {entry.kind}")
        return msgspec.json.encode(self._restored(entry.event)).decode()

    def device_sound(self, first: int = 0, last: int | None = None) -> bytes:
        """Read the device's sound.

        Args:
            first: The sample of both sides to begin with.
            last: The one to end before; None for all. An hour takes 350 MB.

        Returns:
            PCM16 at 24 kHz, two channels, the user's first; empty when there was no device.
        """
        try:
            with wave.open(os.fspath(self.path / DEVICE_WAV), "rb") as wav:
                number = wav.getnframes() if last is None else min(last, wav.getnframes())
                wav.setpos(min(first, wav.getnframes()))
                data = wav.readframes(max(0, number - first))
        except (OSError, EOFError, wave.Error):
            return b""
        return data[: len(data) // _FRAME_BYTES * _FRAME_BYTES]

    @property
    def device_samples(self) -> int:
        """How many samples of both sides there are of the device's sound; 0 when there was no device."""
        try:
            with wave.open(os.fspath(self.path / DEVICE_WAV), "rb") as wav:
                return wav.getnframes()
        except (OSError, EOFError, wave.Error):
            return 0

    def _restored(self, value: Any) -> Any:
        if isinstance(value, dict):
            if AUDIO in value and (reference := AudioReference.of(value)) is not None:
                return b64encode(self.audio(reference)).decode()
            return {key: self._restored(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._restored(item) for item in value]
        return value


def read_recording(path: str | os.PathLike[str]) -> RecordedSession:
    """Open a recording.

    Args:
        path: Its folder.

    Returns:
        What it holds.

    Raises:
        ConfigurationError: There is none, or this version does not understand it.
    """
    folder = Path(path)
    try:
        with (folder / EVENTS).open("rb") as lines:
            header = _entry(lines.readline())
    except OSError as error:
        raise ConfigurationError(
            f"{folder} is no recording: {EVENTS} cannot be read ({error.strerror or error})"
        ) from error
    if header.kind != "recording":
        raise ConfigurationError(f"{folder} is no recording: the first line of {EVENTS} does not say so")
    if not isinstance(number := header.data.get("format"), int) or number > FORMAT:
        raise ConfigurationError(
            f"{folder} was written by a newer version ({header.data.get('library')}): update realtime_trio to read it"
        )
    return RecordedSession(folder, header.data)


def find_recordings(path: str | os.PathLike[str]) -> list[RecordedSession]:
    """Find the recordings in a folder: itself, or those right below it.

    Args:
        path: The folder.

    Returns:
        Those that can be read, in the order in which they began.

    Raises:
        ConfigurationError: There is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder: give that of a recording, or one that holds some")
    if (folder / EVENTS).exists():
        return [read_recording(folder)]
    found = []
    for events in folder.glob(f"*/{EVENTS}"):
        try:
            found.append(read_recording(events.parent))
        except ConfigurationError:
            continue  # somebody else's folder, with a file of the same name
    return sorted(found, key=lambda session: str(session.header.get("began")))


def _entry(line: bytes) -> Entry:
    try:
        data = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        data = None
    match data:
        case {"at": int() | float() as at, "kind": str(kind)}:
            return Entry(float(at), kind, data)
        case _:
            return Entry(0.0, "unreadable", {})
