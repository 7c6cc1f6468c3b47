"""espeak-ng as a `Voice`, in a process of its own: needs `espeakng-loader`, which the extra `[offline]` brings.

The process (see `_espeak_child`) is what keeps espeak-ng's licence (GPL version 3), its crashes when two threads use it
and its `exit()` away from this program. It starts when the voice is opened, answers one text at a time in about
1/1000 of the text's length, and is replaced when it dies.
"""

import contextlib
import functools
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import soxr  # type: ignore[import-untyped]
import trio

from realtime_trio.errors import AudioError

from .seams import SAMPLE_RATE, Source, Speech, SpokenWord, Voice

__all__ = ["EspeakVoice", "espeak_source", "why_no_espeak"]

_CHILD = Path(__file__).with_name("_espeak_child.py")
_LONGEST_DATA_PATH = 140  # it fails beyond 160 with the file names that it appends
_NORMAL_RATE = 165  # words a minute at speed 1
_SLOWEST_RATE, _FASTEST_RATE = 80, 450  # what espeak-ng accepts
_GOODBYE = 0.5  # seconds for the process to end by itself
_ANSWER_LIMIT = 30.0  # seconds; a text of an hour takes 3

_TIMBRES = (
    # espeak-ng voice, pitch 0..100
    ("en-us+f3", 55),
    ("en-us+m3", 45),
    ("en-us+m1", 50),
    ("en-us+f2", 60),
    ("en-us+m7", 35),
    ("en-us+f4", 45),
    ("en-us+f1", 65),
    ("en-us+m2", 40),
    ("en+f2", 50),
    ("en+m3", 45),
)
_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")


def _timbre(voice: str) -> tuple[str, int]:
    """Give each of the API's voices a timbre of its own, and any other name always the same one of them."""
    number = _VOICES.index(voice) if voice in _VOICES else zlib.crc32(voice.encode())
    return _TIMBRES[number % len(_TIMBRES)]


def _files() -> tuple[str, str]:
    """Find the library and its data without loading them, or even their package, into this process."""
    spec = importlib.util.find_spec("espeakng_loader")
    if spec is None or spec.origin is None:
        raise AudioError("espeakng-loader is not installed: pip install 'realtime_trio[offline]'")
    package = Path(spec.origin).parent
    names = {"win32": "espeak-ng.dll", "darwin": "libespeak-ng.dylib"}
    return str(package / names.get(sys.platform, "libespeak-ng.so")), str(package / "espeak-ng-data")


@contextlib.contextmanager
def _short_path(data: str) -> Iterator[str]:
    """Give a path to the data that espeak-ng's fixed buffers can hold."""
    if len(data) <= _LONGEST_DATA_PATH:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        link = Path(folder, "espeak-ng-data")
        try:
            link.symlink_to(data, target_is_directory=True)
        except OSError as error:  # for example Windows without the right to make links
            raise AudioError(f"espeak-ng cannot use a data path of {len(data)} characters") from error
        yield str(link)


def _command(library: str, data: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(_CHILD), library, data]


@functools.cache
def why_no_espeak() -> str | None:
    """Try whether espeak-ng can speak here. Blocks for some 30 ms the first time; then the answer is remembered.

    Returns:
        None if it can, else the reason.
    """
    try:
        library, data = _files()
        with _short_path(data) as path:
            done = subprocess.run(  # noqa: S603 - our own file and interpreter
                _command(library, path), input=b"", capture_output=True, timeout=10, check=False
            )
        return None if "sample_rate" in json.loads(done.stdout) else str(json.loads(done.stdout)["error"])
    except (AudioError, OSError, subprocess.SubprocessError, ValueError) as error:
        return str(error)


@attrs.define(eq=False)
class _Child:
    """One running process: requests and answers, in turn."""

    _process: trio.Process
    _received: bytearray = attrs.field(factory=bytearray, init=False)

    async def _receive(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened with a pipe
        data = await self._process.stdout.receive_some()
        if not data:
            raise trio.BrokenResourceError("espeak-ng's process ended")
        self._received += data

    async def answer(self) -> tuple[dict[str, Any], bytes]:
        """Receive one message: its header and its sound."""
        while (end := self._received.find(b"\n")) < 0:
            await self._receive()
        header: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        if "error" in header:
            raise AudioError(f"espeak-ng: {header['error']}")
        size = header.get("bytes", 0)
        while len(self._received) < size:
            await self._receive()
        pcm = bytes(self._received[:size])
        del self._received[:size]
        return header, pcm

    async def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None  # noqa: S101 - opened with a pipe
        await self._process.stdin.send_all(json.dumps(request).encode() + b"\n")
        return await self.answer()

    async def aclose(self) -> None:
        """End the process: by itself if it does so in time, else by force. Takes at most about half a second."""
        with trio.CancelScope(shield=True):
            assert self._process.stdin is not None  # noqa: S101 - opened with a pipe
            await self._process.stdin.aclose()
            with trio.move_on_after(_GOODBYE):
                await self._process.wait()
            await self.kill()

    async def kill(self) -> None:
        """End the process now, also under cancellation."""
        with trio.CancelScope(shield=True):
            self._process.kill()  # nothing happens if it is over
            await self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    await pipe.aclose()


def _words(text: str, events: list[tuple[int, int]], samples: int, rate: int) -> tuple[SpokenWord, ...]:
    """Give every word of the text a start. Those that espeak-ng did not report begin with the one before."""
    words: list[SpokenWord] = []
    start = 0
    for match in re.finditer(r"\s*\S+\s*", text):
        heard = [at for position, at in events if match.start() <= position < match.end()]
        start = max(start, min(round(heard[0] * SAMPLE_RATE / rate), samples) if heard else start)
        words.append(SpokenWord(match.group(), start))
    return tuple(words)


class EspeakVoice:
    """A `Voice` that speaks English with espeak-ng. Made by `open`."""

    def __init__(self, library: str, data: str) -> None:
        self._command = _command(library, data)
        self._child: _Child | None = None
        self._rate = 0
        self._lock = trio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncGenerator[Voice, None]:
        """Start the process, and end it when the block is left.

        Raises:
            AudioError: espeak-ng is not installed or does not start.

        Cancellation:
            Safe: no process is left behind.
        """
        library, data = _files()
        with _short_path(data) as path:
            self = cls(library, path)
            try:
                await self._start()
                yield self
            finally:
                if self._child is not None:
                    await self._child.aclose()

    async def _start(self) -> _Child:
        process = await trio.lowlevel.open_process(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        child = _Child(process)
        try:
            with trio.fail_after(_ANSWER_LIMIT):
                header, _ = await child.answer()
        except (trio.TooSlowError, trio.BrokenResourceError, ValueError) as error:
            await child.kill()
            raise AudioError("espeak-ng's process does not start") from error
        except BaseException:
            await child.kill()
            raise
        self._rate, self._child = header["sample_rate"], child
        return child

    async def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Ask the process, or a new one. It is kept only if it answered: otherwise it may be out of step."""
        child = self._child or await self._start()
        self._child = None
        try:
            with trio.fail_after(_ANSWER_LIMIT):
                answer = await child.ask(request)
        except BaseException:
            await child.kill()
            raise
        self._child = child
        return answer

    async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
        """Render a piece of text.

        Args:
            text: What to say, in English.
            voice: One of the API's names; any other gives one of their timbres.
            speed: 1 is normal. espeak-ng does not go below about half of it.

        Raises:
            AudioError: espeak-ng failed over this text twice.

        Cancellation:
            Safe: the process is ended, and started again for the next text.
        """
        if not text.strip():
            await trio.lowlevel.checkpoint()
            return Speech(b"", (SpokenWord(text, 0),) if text else ())
        name, pitch = _timbre(voice)
        rate = min(max(round(_NORMAL_RATE * speed), _SLOWEST_RATE), _FASTEST_RATE)
        request = {"text": text.replace("\0", " "), "voice": name, "rate": rate, "pitch": pitch}
        async with self._lock:
            try:
                header, pcm = await self._ask(request)
            except (trio.BrokenResourceError, trio.ClosedResourceError):  # it had died; another gets the same text
                try:
                    header, pcm = await self._ask(request)
                except (trio.BrokenResourceError, trio.TooSlowError) as error:
                    raise AudioError("espeak-ng's process died twice over a text") from error
            except trio.TooSlowError as error:
                raise AudioError(f"espeak-ng did not answer in {_ANSWER_LIMIT:g} s") from error
            espeak_rate = self._rate
        sound = soxr.resample(np.frombuffer(pcm, dtype="<i2"), espeak_rate, SAMPLE_RATE)
        return Speech(sound.astype("<i2").tobytes(), _words(text, header["words"], len(sound), espeak_rate))


def espeak_source() -> Source[Voice]:
    """Describe the espeak-ng voice, without starting anything."""
    return Source("espeak-ng voice, in a process of its own", EspeakVoice.open)
