"""The thread that writes a recording. Who has something to record leaves it here and goes on at once.

Theory of operation. What is left is appended to a deque, which costs a microsecond; every `_INTERVAL` seconds a thread
takes all of it, decodes messages, moves their audio into files of its own, takes credentials out, and hands everything
to the operating system: audio first, and then the lines that refer to it, so that a line never promises what is not
there. What the operating system has survives the process, so a kill costs the last interval and nothing else.

A thread of our own and not Trio's: there it would keep a mock clock from jumping, and could wait for other threads.
"""

import logging
import threading
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeAlias

import attrs
import msgspec

from realtime_trio.errors import AudioError

from .layout import AUDIO, EVENTS, RECEIVED_AUDIO, SENT_AUDIO
from .plain import plain
from .redaction import Redaction

__all__ = ["Message", "Note", "Sounds", "Writer"]

_log = logging.getLogger("realtime_trio.recording")

_INTERVAL: Final = 0.2  # seconds between two visits of the thread
_BACKLOG: Final = 64 * 2**20  # characters and bytes that may wait for a disk that is too slow
_LINE: Final = 200  # about what a line of our own takes
_LEAST_BASE64: Final = 4

Direction: TypeAlias = Literal["sent", "received"]


@attrs.frozen
class Message:
    """A message of the wire, as it was."""

    at: float
    direction: Direction
    link: int
    text: str = attrs.field(repr=False)


@attrs.frozen
class Note:
    """A line of our own: `fields` may hold notices, exceptions and wire values, which become JSON in the thread."""

    at: float
    kind: str
    fields: dict[str, Any]


@attrs.frozen
class Sounds:
    """A stretch of the device's time: what was captured, and what was heard."""

    captured: bytes = attrs.field(repr=False)
    played: bytes = attrs.field(repr=False)


class Writer:
    """Writes one recording, in a thread that begins at once.

    Args:
        folder: Where; it exists and is empty.
        redaction: What is taken out.
        on_problem: Called, in the thread, when the recording stops before it is closed; at most once.

    Raises:
        OSError: A file cannot be made.
    """

    def __init__(self, folder: Path, redaction: Redaction, on_problem: Callable[[Exception], object]) -> None:
        self.folder = folder
        self.problem: Exception | None = None
        self.make_wav: Callable[[], Any] | None = None
        """Makes what takes the device's sound, when there is some: it has `write`, `flush` and `close`."""
        self._redaction = redaction
        self._on_problem = on_problem
        self._waiting: deque[tuple[int, Message | Note | Sounds]] = deque()
        self._left = 0  # what was left here so far; only who leaves it counts
        self._done = 0  # what was taken of it; only the thread counts
        self._closing = threading.Event()
        self._wav: Any = None
        self._events: BinaryIO = (folder / EVENTS).open("xb")
        self._audio: dict[Direction, _AudioFile] = {
            "sent": _AudioFile(folder / SENT_AUDIO),
            "received": _AudioFile(folder / RECEIVED_AUDIO),
        }
        self._thread = threading.Thread(target=self._run, name="realtime_trio recording", daemon=True)

    def start(self, header: Note) -> None:
        """Write the first line, and begin.

        Raises:
            OSError: The disk does not take it.
        """
        self._events.write(self._line(header))
        self._events.flush()
        self._thread.start()

    def leave(self, entry: Message | Note | Sounds) -> None:
        """Leave something to be written. Never waits, never raises; nothing happens once the recording stopped."""
        if self.problem is not None or self._closing.is_set():
            return
        if self._left - self._done > _BACKLOG:
            self._stop(OSError(f"the disk of {self.folder} is too slow: {_BACKLOG >> 20} MiB wait to be written"))
            return
        size = _size(entry)
        self._left += size
        self._waiting.append((size, entry))

    def finish(self) -> None:
        """Have the rest written, and everything closed, by the thread: `join` waits for it."""
        self._closing.set()

    def join(self, seconds: float) -> bool:
        """Wait until all is written; blocks this thread.

        Returns:
            Whether it is; the thread goes on otherwise.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Close the files: the thread was never started."""
        for file in self._files():
            file.close()

    # in the thread

    def _run(self) -> None:
        try:
            while not self._closing.wait(_INTERVAL):
                self._write_waiting()
            self._write_waiting()
        except Exception as error:  # noqa: BLE001 a border: whatever it was must not end in the thread
            self._stop(error)
        finally:
            self._close()

    def _stop(self, error: Exception) -> None:
        if self.problem is None:
            self.problem = error
            self._waiting.clear()
            self._closing.set()
            self._on_problem(error)

    def _close(self) -> None:
        for file in [*self._files(), *([] if self._wav is None else [self._wav])]:
            try:
                file.close()
            except (OSError, AudioError) as error:  # the last that was left is what it refuses
                self._stop(error)

    def _files(self) -> list[Any]:
        return [*(one.file for one in self._audio.values()), self._events]

    def _write_waiting(self) -> None:
        lines: list[bytes] = []
        try:
            while self._waiting and self.problem is None:
                size, entry = self._waiting.popleft()
                if isinstance(entry, Sounds):
                    self._write_sounds(entry)
                else:
                    lines.append(self._line(entry))
                self._done += size
        finally:  # what came before the entry that went wrong is kept, if the disk takes it
            for one in self._audio.values():
                one.file.flush()
            if self._wav is not None:
                self._wav.flush()
            self._events.write(b"".join(lines))
            self._events.flush()

    def _write_sounds(self, sounds: Sounds) -> None:
        if self._wav is None and self.make_wav is not None:
            self._wav = self.make_wav()
        if self._wav is not None:
            self._wav.write(sounds.captured, sounds.played)

    def _line(self, entry: Message | Note) -> bytes:
        line: dict[str, Any] = {"at": round(entry.at, 6)}
        if isinstance(entry, Message):
            line |= {"kind": entry.direction, "link": entry.link, **self._message(entry)}
        else:
            line |= {"kind": entry.kind, **self._redaction.value(plain(entry.fields))}
        return msgspec.json.encode(line) + b"\n"

    def _message(self, message: Message) -> dict[str, Any]:
        try:
            event = msgspec.json.decode(message.text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            event = None
        if not isinstance(event, dict):
            # not an event: whatever it is, it is kept as it came
            text = message.text.encode("utf-8", "backslashreplace").decode()
            return {"text": self._redaction.text(text)}
        keep = self._audio[message.direction].keep
        try:
            return {"event": self._redaction.value(_without_audio(event, keep))}
        except RecursionError:
            return {"text": f"[a message of {len(message.text)} characters, nested too deeply to be kept]"}


class _AudioFile:
    """The audio of one direction, end to end."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("xb")
        self._name = path.name
        self._end = 0

    def keep(self, text: str) -> Any:
        """Move base64 here.

        Returns:
            Where it is; the text itself when it is not base64 that would be written the same again.
        """
        try:
            data = a2b_base64(text, strict_mode=True)
        except (NotBase64, ValueError):  # ValueError: characters beyond ASCII
            return text
        if not text.endswith(b2a_base64(data[-(len(data) % 3 or 3) :], newline=False).decode()):
            return text  # bits to spare that are not zero
        self.file.write(data)
        start, self._end = self._end, self._end + len(data)
        return {AUDIO: {"file": self._name, "offset": start, "length": len(data)}}


def _without_audio(event: dict[str, Any], keep: Callable[[str], Any]) -> dict[str, Any]:
    """Move the audio of an event into its file: `audio` wherever it stands, and the deltas of audio."""
    kind = event.get("type")
    if isinstance(kind, str) and kind.endswith("audio.delta") and isinstance(event.get("delta"), str):
        return {**event, "delta": keep(event["delta"])}
    return {key: _moved(key, value, keep) for key, value in event.items()}


def _moved(key: str, value: Any, keep: Callable[[str], Any]) -> Any:
    match value:
        case str() if key == "audio" and len(value) >= _LEAST_BASE64:
            return keep(value)
        case dict():
            return {name: _moved(name, item, keep) for name, item in value.items()}
        case list():
            return [_moved("", item, keep) for item in value]
        case _:
            return value


def _size(entry: Message | Note | Sounds) -> int:
    match entry:
        case Message(text=text):
            return len(text)
        case Sounds(captured=captured, played=played):
            return len(captured) + len(played)
        case _:
            return _LINE
