"""The voice that is always there: letters become formants and pitch. Not intelligible, and not meant to be.

Pure and in process, the same words always give the same sound, so it is what tests and installations without
espeak-ng hear. With the transcript beside it, it reads as a cartoon character.

How it sounds. Every glottal pulse starts one damped sine per formant (which is what a resonator answers to a pulse, so
no filter is needed); vowels differ by their formants, hissing letters are noise, plosives are a gap and a burst. The
pitch sinks along the text and rises at a question's end.
"""

import contextlib
import functools
import re
import unicodedata
import zlib
from collections.abc import AsyncGenerator

import attrs
import numpy as np
import numpy.typing as npt
import trio

from realtime_trio.server.seams import SAMPLE_RATE, Source, Speech, SpokenWord, Voice

__all__ = ["BabbleVoice", "babble_source"]

_Sound = npt.NDArray[np.float64]

_VOWELS = {  # the first three formants in Hz, those of a grown man
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "y": (300, 1990, 2700),
}
_SONORANTS = {  # quieter, and darker
    "l": (360, 1300, 2700),
    "m": (250, 1000, 2200),
    "n": (250, 1450, 2300),
    "r": (420, 1100, 1600),
    "v": (300, 1150, 2300),
    "w": (300, 700, 2200),
    "j": (280, 2100, 2900),
}
_HISSES = "sfhxzc"
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_BANDWIDTHS = (70, 100, 160)
_STRENGTHS = (1.0, 0.6, 0.25)
_GRAIN = SAMPLE_RATE // 40  # 25 ms: by then a formant has rung out
_PEAK = 9000.0  # of 32767: about as loud as espeak-ng
_VOWEL_MS, _SONORANT_MS, _HISS_MS, _GAP_MS, _BURST_MS = 95, 60, 75, 35, 15
_PAUSES_MS = {",": 160, ";": 200, ":": 200, ".": 280, "!": 280, "?": 280}
_WORD_GAP_MS = 55


@attrs.frozen
class _Timbre:
    pitch: float  # Hz
    size: float  # what the formants are multiplied by: below 1 is a longer throat


_TIMBRES = {
    "alloy": _Timbre(165, 1.08),
    "ash": _Timbre(105, 0.96),
    "ballad": _Timbre(125, 1.02),
    "coral": _Timbre(205, 1.16),
    "echo": _Timbre(115, 1.0),
    "sage": _Timbre(190, 1.12),
    "shimmer": _Timbre(225, 1.2),
    "verse": _Timbre(135, 0.98),
    "marin": _Timbre(180, 1.14),
    "cedar": _Timbre(95, 0.92),
}


def _timbre(voice: str) -> _Timbre:
    """Give every name, also an unknown one, a timbre of its own that never changes."""
    if voice in _TIMBRES:
        return _TIMBRES[voice]
    number = zlib.crc32(voice.encode())
    return _Timbre(90 + number % 140, 0.9 + (number >> 8) % 32 / 100)


def _samples(ms: float, speed: float) -> int:
    return round(ms * SAMPLE_RATE / 1000 / speed)


@functools.cache
def _noise(length: int) -> _Sound:
    """Give always the same hiss: the raw bits of a generator are the same in every version of numpy."""
    bits = np.random.PCG64(24_000).random_raw(length + 1)
    white = np.asarray(bits >> np.uint64(40), dtype=np.float64) / 2**23 - 1
    hiss: _Sound = np.diff(white)
    return hiss


@functools.cache
def _grain(formants: tuple[int, int, int], size: float) -> _Sound:
    """Give what one glottal pulse sounds like in a mouth with these formants."""
    time = np.arange(_GRAIN) / SAMPLE_RATE
    grain = np.zeros(_GRAIN)
    for frequency, bandwidth, strength in zip(formants, _BANDWIDTHS, _STRENGTHS, strict=True):
        grain += strength * np.exp(-np.pi * bandwidth * time) * np.sin(2 * np.pi * frequency * size * time)
    return grain


def _voiced(grain: _Sound, length: int, pitch: float) -> _Sound:
    sound = np.zeros(length + _GRAIN)
    for start in range(0, length, round(SAMPLE_RATE / pitch)):
        sound[start : start + _GRAIN] += grain
    return _faded(sound[:length])


def _faded(sound: _Sound) -> _Sound:
    """Take the clicks off both ends (8 ms)."""
    edge = min(SAMPLE_RATE // 125, len(sound) // 2)
    ramp = np.arange(edge) / max(edge, 1)
    sound[:edge] *= ramp
    sound[len(sound) - edge :] *= ramp[::-1]
    return sound


def _letter(letter: str, timbre: _Timbre, pitch: float, speed: float) -> _Sound:
    if letter in _VOWELS:
        return _voiced(_grain(_VOWELS[letter], timbre.size), _samples(_VOWEL_MS, speed), pitch)
    if letter in _SONORANTS:
        return 0.6 * _voiced(_grain(_SONORANTS[letter], timbre.size), _samples(_SONORANT_MS, speed), pitch)
    if letter in _HISSES:
        return 0.12 * _faded(_noise(_samples(_HISS_MS, speed)).copy())
    burst = 0.5 * _faded(_noise(_samples(_BURST_MS, speed)).copy())
    return np.concatenate([np.zeros(_samples(_GAP_MS, speed)), burst])


def _letters(word: str) -> str:
    """Spell a word in letters that have a sound: figures by name, accents off, foreign letters as some vowel."""
    spelled = "".join(_DIGITS[int(c)] if c.isascii() and c.isdigit() else c for c in word)
    plain = unicodedata.normalize("NFKD", spelled.casefold())
    return "".join(c if c.isascii() else "aeiou"[ord(c) % 5] for c in plain if c.isalpha())


def _word(word: str, timbre: _Timbre, pitch: float, speed: float) -> _Sound:
    """Render a word and the pause that its last sign asks for."""
    sounds = [_letter(letter, timbre, pitch * (1 + 0.05 * (ord(letter) % 5 - 2)), speed) for letter in _letters(word)]
    pause = _PAUSES_MS.get(word.rstrip()[-1:], 0) + _WORD_GAP_MS
    return _PEAK * np.concatenate([*sounds, np.zeros(_samples(pause, speed))])


class BabbleVoice:
    """A `Voice` that babbles. It holds nothing, so one serves any number of sessions."""

    async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
        """Render a piece of text. Other tasks get their turn after each word.

        Args:
            text: What to say; any script.
            voice: Any name; each has its own timbre.
            speed: 1 is normal.

        Cancellation:
            Safe.
        """
        await trio.lowlevel.checkpoint()
        timbre = _timbre(voice)
        pieces = re.findall(r"\s*\S+\s*", text) or ([text] if text else [])
        words: list[SpokenWord] = []
        sounds: list[bytes] = []
        start = 0
        for number, piece in enumerate(pieces):
            sinking = 1.12 - 0.28 * number / max(len(pieces) - 1, 1)
            asking = 1.5 if piece.rstrip().endswith("?") else 1.0
            sound = _word(piece, timbre, timbre.pitch * sinking * asking, speed) if piece.strip() else np.zeros(0)
            words.append(SpokenWord(piece, start))
            sounds.append(np.clip(sound, -32768, 32767).astype("<i2").tobytes())
            start += len(sound)
            await trio.lowlevel.checkpoint()
        return Speech(b"".join(sounds), tuple(words))


@contextlib.asynccontextmanager
async def _open() -> AsyncGenerator[Voice, None]:
    yield BabbleVoice()


def babble_source() -> Source[Voice]:
    """Describe the babble voice."""
    return Source("babble voice (for speech that can be understood: pip install 'realtime_trio[offline]')", _open)
