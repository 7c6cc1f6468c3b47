"""pocketsphinx as a `Recogniser`, in a process of its own: needs `pocketsphinx`, which the extra `[offline]` brings.

It understands the sentences of `grammar` and little else. A grammar forces whatever is said onto one of its sentences,
so its result counts only if it is a whole sentence, of a plausible length, that explains the sound to its end and fits
it well. Otherwise the turn is uncertain, and what free dictation makes of it (half the words, at best) is given as a
guess.
"""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import soxr  # type: ignore[import-untyped]
import trio

from realtime_trio.errors import AudioError
from realtime_trio.server.child import Child, try_child
from realtime_trio.server.grammar import GRAMMAR, SO_FAR, in_grammar
from realtime_trio.server.seams import SAMPLE_RATE, Recogniser, Source, Transcript

__all__ = ["SphinxRecogniser", "sphinx_source", "why_no_sphinx"]

_CHILD = Path(__file__).with_name("_pocketsphinx_child.py")
_RATE = 16_000
_NOISE = 0.1  # of the sound's level: digital silence, and sound that is too clean, hurt recognition
_LEAST_NOISE = 20
_WORST_FIT = -0.385  # score per second; measured: sentences of the grammar down to -0.40, others up to -0.39
_UNEXPLAINED = 0.6  # seconds at the end that may be missing from the sentence
_SLOWEST = 1.2, 0.5  # seconds for the silence around a sentence, and for each word: a slower one swallowed something
_SHORTEST = 0.1  # seconds
_LONGEST = 20.0  # seconds that are listened to; no sentence of the grammar is half as long
_CLOSING = 0.3  # seconds of silence put behind a pause of 0.2: measured, of 36 utterances all are told apart, not 34
_LIMIT = 30.0  # seconds for an answer; dictation takes a quarter of the sound's length


def _command() -> list[str]:
    spec = importlib.util.find_spec("pocketsphinx")
    if spec is None or spec.origin is None:
        raise AudioError("pocketsphinx is not installed: pip install 'realtime_trio[offline]' (Python 3.13 or older)")
    return [sys.executable, "-I", "-S", str(_CHILD), str(Path(spec.origin).parent.parent), GRAMMAR, SO_FAR]


@functools.cache
def why_no_sphinx() -> str | None:
    """Try whether pocketsphinx can listen here. Blocks for about half a second the first time; then it is remembered.

    Returns:
        None if it can, else the reason.
    """
    try:
        return try_child(_command())
    except AudioError as error:
        return str(error)


def _prepare(pcm: bytes) -> bytes:
    """Bring sound to 16 kHz with a little noise in it: always the same, so that results repeat."""
    sound = np.frombuffer(pcm[: 2 * round(_LONGEST * SAMPLE_RATE)], dtype="<i2").astype(np.float64)
    sound = soxr.resample(sound, SAMPLE_RATE, _RATE)
    bits = np.random.PCG64(_RATE).random_raw(len(sound))
    noise = (bits >> np.uint64(11)).astype(np.float64) / 2**52 - 1
    amplitude = max(_LEAST_NOISE, _NOISE * sound.std())
    noisy = np.clip(np.round(sound + amplitude * noise), -32768, 32767)
    return bytes(noisy.astype("<i2").tobytes())


class SphinxRecogniser:
    """A `Recogniser` of English with a small grammar. Made by `open`.

    Args:
        child: The process that listens.
    """

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncGenerator[Recogniser, None]:
        """Start the process, and end it when the block is left.

        Raises:
            AudioError: pocketsphinx is not installed or does not start.

        Cancellation:
            Safe: no process is left behind.
        """
        child = Child("pocketsphinx", _command(), limit=_LIMIT)
        async with child.running():
            yield cls(child)

    async def recognise(self, pcm: bytes) -> Transcript:
        """Understand one whole user turn.

        Args:
            pcm: The turn's sound (mono PCM16 at 24 kHz); of a very long one only the first 20 s are listened to.

        Raises:
            AudioError: pocketsphinx failed.

        Cancellation:
            Safe: the process is killed, and started again for the next turn.
        """
        if len(pcm) < 2 * _SHORTEST * SAMPLE_RATE:
            await trio.lowlevel.checkpoint()
            return Transcript("", certain=False)
        sound = _prepare(pcm)
        seconds = len(sound) / 2 / _RATE
        found, _ = await self._child.ask({"search": "grammar"}, sound)
        if found["text"] is not None and _is_certain(found["text"], found["score"], found["seconds"], seconds):
            return Transcript(found["text"])
        guess, _ = await self._child.ask({"search": "free"}, sound)
        return Transcript(guess["text"] or "", certain=False)

    async def overhear(self, pcm: bytes) -> Transcript:
        """Understand what was said up to a pause: a whole sentence, or the beginning of one with an ellipsis behind it.

        Takes about 1/100 of the sound's length; what is neither is not guessed.

        Args:
            pcm: The sound (mono PCM16 at 24 kHz) of a turn's last seconds.

        Raises:
            AudioError: pocketsphinx failed.

        Cancellation:
            Safe: the process is killed, and started again for the next turn.
        """
        if len(pcm) < 2 * _SHORTEST * SAMPLE_RATE:
            await trio.lowlevel.checkpoint()
            return Transcript("", certain=False)
        sound = _prepare(pcm + bytes(2 * round(_CLOSING * SAMPLE_RATE)))
        seconds = len(sound) / 2 / _RATE
        found, _ = await self._child.ask({"search": "so_far"}, sound)
        text, fit = found["text"] or "", found["score"]
        if _is_certain(text, fit, found["seconds"], seconds):
            return Transcript(text)
        begun = len(text.split()) > 1 or text in ("um", "uh")  # any other single word is too little to go by
        if begun and not in_grammar(text) and fit > _WORST_FIT * seconds:
            return Transcript(f"{text}…", certain=False)
        return Transcript("", certain=False)


def _is_certain(text: str, score: float, explained: float, seconds: float) -> bool:
    """Decide whether a sentence that the grammar was forced to find was really said."""
    around, each = _SLOWEST
    return (
        in_grammar(text)
        and score > _WORST_FIT * seconds
        and explained > seconds - _UNEXPLAINED
        and seconds < around + each * len(text.split())
    )


def sphinx_source() -> Source[Recogniser]:
    """Describe the recogniser, without starting anything."""
    return Source("pocketsphinx with a small grammar, in a process of its own", SphinxRecogniser.open)
