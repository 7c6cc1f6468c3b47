"""Understands one voice in any sound: that of a talker whose words are known, by the likeness of the sound.

A recogniser for tests: it guesses nothing, and needs no model and no process. What nobody has told it, it does not
understand. Recognisers that do are the offline server's.
"""

import attrs
import numpy as np
import numpy.typing as npt
import trio

from realtime_trio.server import Speech, Transcript

__all__ = ["KnownVoice"]

_Sound = npt.NDArray[np.float64]

_THIN = 3  # every so many samples become one: 8 kHz
_ALIKE = 0.6  # correlation from which on it is that sound; an echo or a gate may have taken something away
_LEAST = 0.1  # of a sound's energy has to be there: anything is like a few samples of it
_REMEMBERED = 32  # sounds; more are not in one turn, and each takes 10 ms to look for
_SIGNS = ".,;:!?\"'()[]"


@attrs.frozen
class _Known:
    """Something that was said: its sound, and where its words are in it."""

    sound: _Sound = attrs.field(repr=False)
    words: tuple[tuple[str, float], ...]  # with the middle of each, in samples of `sound`
    last: bool  # nothing follows


@attrs.frozen
class _Match:
    known: _Known
    place: int  # where the known sound begins in the other; negative when its beginning is missing
    explains: float  # how much of the other sound's energy

    def words(self, length: int) -> list[str]:
        """Give the words of which the middle is in a sound of that length."""
        return [word for word, middle in self.known.words if 0 <= self.place + middle < length]

    def is_whole(self, length: int) -> bool:
        """Tell whether it ends a line, and its last word is in a sound of that length."""
        return self.known.last and self.place + self.known.words[-1][1] < length


class KnownVoice:
    """A `Recogniser` that knows what is said, and finds it in what it hears. It is an `Eavesdropper` too.

    It hears real sound: words that were cut off, drowned or never sent are not understood. Of a voice that it does not
    know it understands nothing, but for a short word, which is soon like some sound.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}

    def learn(self, speech: Speech, *, last: bool = True) -> None:
        """Learn how something sounds.

        Args:
            speech: The sound and its words.
            last: Whether it is the end of what is said; otherwise more follows after a pause.
        """
        starts = [word.start for word in speech.words] + [len(speech.pcm) // 2]
        words = tuple(
            (word.text.strip().strip(_SIGNS).lower(), (starts[index] + starts[index + 1]) / 2 / _THIN)
            for index, word in enumerate(speech.words)
        )
        if words:
            self._known.pop(speech.pcm, None)
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[speech.pcm] = _Known(_thin(speech.pcm), words, last)

    async def recognise(self, pcm: bytes) -> Transcript:
        """Understand a turn. See `Recogniser`.

        Cancellation:
            Safe.
        """
        await trio.lowlevel.checkpoint()
        text, _ = self._understand(pcm)
        return Transcript(text, certain=bool(text))

    async def overhear(self, pcm: bytes) -> Transcript:
        """Understand what was said so far, and whether more follows. See `Eavesdropper`.

        Cancellation:
            Safe.
        """
        await trio.lowlevel.checkpoint()
        text, whole = self._understand(pcm)
        return Transcript(text if whole or not text else f"{text} \N{HORIZONTAL ELLIPSIS}", certain=whole)

    def _understand(self, pcm: bytes) -> tuple[str, bool]:
        """Give the words, and whether they end a line. What was found is silenced, and the rest is looked through."""
        sound = _thin(pcm)
        found: list[_Match] = []
        while True:
            matches = [match for known in self._known.values() if (match := _match(known, sound))]
            best = max(matches, key=lambda match: match.explains, default=None)
            if best is None:
                break
            found.append(best)
            sound[max(best.place, 0) : max(best.place + len(best.known.sound), 0)] = 0
        found.sort(key=lambda match: match.place)
        words = [word for match in found for word in match.words(len(sound))]
        return " ".join(words), bool(words) and found[-1].is_whole(len(sound))


def _thin(pcm: bytes) -> _Sound:
    """Take every third sample, after a mean over three: words are told apart by what is left."""
    sound = np.frombuffer(pcm, "<i2").astype(np.float64)
    thinned: _Sound = sound[: len(sound) // _THIN * _THIN].reshape(-1, _THIN).mean(axis=1)
    return thinned


def _match(known: _Known, sound: _Sound) -> _Match | None:
    """Find the place where a known sound fits best, also one where but a part of it is inside."""
    length = len(known.sound) + len(sound)
    size = 1 << length.bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(known.sound, size))
    correlation = np.fft.irfft(spectrum, size)
    best = int(np.argmax(correlation))
    place = best if best < len(sound) else best - size
    ours = known.sound[max(0, -place) : len(sound) - place]
    theirs = sound[max(0, place) : max(0, place) + len(ours)]
    energy, theirs_energy = float(ours @ ours), float(theirs @ theirs)
    if energy < _LEAST * float(known.sound @ known.sound) or theirs_energy == 0:
        return None
    likeness = float(correlation[best]) / float(np.sqrt(energy * theirs_energy))
    return _Match(known, place, likeness**2 * theirs_energy) if likeness >= _ALIKE else None
