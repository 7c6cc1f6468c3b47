"""espeak-ng as a `Voice`, in a process of its own: needs `espeakng-loader`, which the extra `[offline]` brings.

The process (see `_espeak_child`) is what keeps espeak-ng's licence (GPL version 3), its crashes when two threads use it
and its `exit()` away from this program. It starts when the voice is opened, answers one text at a time in about
1/1000 of the text's length, and is replaced when it dies.
"""

import contextlib
import functools
import importlib.util
import re
import sys
import tempfile
import zlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import numpy as np
import soxr  # type: ignore[import-untyped]
import trio

from realtime_trio.errors import AudioError
from realtime_trio.server.child import Child, try_child
from realtime_trio.server.seams import SAMPLE_RATE, Source, Speech, SpokenWord, Voice

__all__ = ["EspeakVoice", "espeak_source", "why_no_espeak"]

_CHILD = Path(__file__).with_name("_espeak_child.py")
_LONGEST_DATA_PATH = 140  # it fails beyond 160 with the file names that it appends
_NORMAL_RATE = 165  # words a minute at speed 1
_SLOWEST_RATE, _FASTEST_RATE = 80, 450  # what espeak-ng accepts

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
            return try_child(_command(library, path))
    except AudioError as error:
        return str(error)


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
    """A `Voice` that speaks English with espeak-ng. Made by `open`.

    Args:
        child: The process that speaks.
    """

    def __init__(self, child: Child) -> None:
        self._child = child

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
            child = Child("espeak-ng", _command(library, path))
            async with child.running():
                yield cls(child)

    async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
        """Render a piece of text.

        Args:
            text: What to say, in English.
            voice: One of the API's names; any other gives one of their timbres.
            speed: 1 is normal. espeak-ng does not go below about half of it.

        Raises:
            AudioError: espeak-ng failed.

        Cancellation:
            Safe: the process is ended, and started again for the next text.
        """
        if not text.strip():
            await trio.lowlevel.checkpoint()
            return Speech(b"", (SpokenWord(text, 0),) if text else ())
        name, pitch = _timbre(voice)
        rate = min(max(round(_NORMAL_RATE * speed), _SLOWEST_RATE), _FASTEST_RATE)
        request = {"text": text.replace("\0", " "), "voice": name, "rate": rate, "pitch": pitch}
        header, pcm = await self._child.ask(request)
        espeak_rate = self._child.ready["sample_rate"]
        sound = soxr.resample(np.frombuffer(pcm, dtype="<i2"), espeak_rate, SAMPLE_RATE)
        return Speech(sound.astype("<i2").tobytes(), _words(text, header["words"], len(sound), espeak_rate))


def espeak_source() -> Source[Voice]:
    """Describe the espeak-ng voice, without starting anything."""
    return Source("espeak-ng voice, in a process of its own", EspeakVoice.open)
