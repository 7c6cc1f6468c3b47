"""Whether the user really interrupts: the policies for speech that begins while the assistant is to be heard.

Deliberately elsewhere: cutting the sound and telling the server (`core.interruption`), who speaks next
(`core.arbiter`). Times are arguments, in seconds.

Theory of operation. `"immediate"` takes every beginning of speech for real. `"never"` takes none for one: what is said
is a turn like any other, answered when the assistant has finished. `"confirm"` doubts first: the sound pauses, and

    doubted --- loud for over 400 ms, here at the microphone ------------------> real
            --- still going on 400 ms after the silence it could have ended in -> real
            --- a word that is no backchannel was made out --------------------> real
            --- ended, and lasted over 400 ms ---------------------------------> real
            --- ended earlier, without transcription --------------------------> noise
            --- ended earlier, transcribed as nothing or as a backchannel -----> noise
            --- ended earlier, no transcript 1.5 s later ----------------------> noise

Turn detection reports the beginning of speech with padding before it, and its end after the silence that it waited for;
both are taken off. Semantic VAD does not say how long it waited, so there only the microphone knows the length; a
program without one goes by the words, and without those takes everything for real. After a noise its item is to be
deleted and the sound goes on from the sample at which it paused.
"""

import math
from typing import Literal, TypeAlias

import attrs

from .detection import Detection

__all__ = ["CONFIRM_MS", "Doubt", "InterruptionPolicy", "Verdict", "is_backchannel"]

InterruptionPolicy: TypeAlias = Literal["immediate", "confirm", "never"]
Verdict: TypeAlias = Literal["real", "noise"]

CONFIRM_MS = 400
"""Speech that lasts longer than this is meant."""

_TRANSCRIPT_SECONDS = 1.5  # to wait for the transcript of a short sound; the assistant is silent meanwhile

_BACKCHANNEL_WORDS = """
    ah aha alright cool exactly good great hm hmm hmmm huh i know mhm mhmm mm mmm mmhmm nice of course oh ok okay really
    right see sure true uh uhhuh uhuh um umhum well wow ya yeah yep yes yup
"""
_BACKCHANNELS = frozenset(_BACKCHANNEL_WORDS.split())
"""Words by which a listener shows that they follow, in English. What is none of them interrupts."""


def is_backchannel(transcript: str) -> bool:
    """Tell whether words only show that somebody listens ("uh-huh", "I see"), or are none at all."""
    words = "".join(letter if letter.isalnum() or letter.isspace() else "" for letter in transcript.lower())
    return all(word in _BACKCHANNELS for word in words.split())


@attrs.define(eq=False)
class Doubt:
    """One beginning of speech under `"confirm"`, until it is known what it was.

    Attributes:
        item_id: The item that it will become.
        begun_at: When it was reported.
        start_ms: Where it begins on the input's timeline, padding included.
        detection: What turn detection says, and waits for; and whether a transcript is to be expected.
        measured: Whether a microphone is listened to here (`loud`).
        verdict: What it was; None while it is open.
    """

    item_id: str
    begun_at: float
    start_ms: int
    detection: Detection = attrs.field(factory=Detection)
    measured: bool = True
    verdict: Verdict | None = None
    _loud_ms: float = attrs.field(default=0.0, init=False)
    _ended_at: float | None = attrs.field(default=None, init=False)
    _words: str = attrs.field(default="", init=False)
    _wordless: bool = attrs.field(default=False, init=False)  # transcription failed

    @property
    def _awaits_words(self) -> bool:
        return self.detection.transcribes and not self._wordless

    @property
    def deadline(self) -> float:
        """When time alone decides; inf when it is decided."""
        if self.verdict is not None:
            return math.inf
        if self._ended_at is not None:
            return self._ended_at + _TRANSCRIPT_SECONDS
        return self.begun_at + (CONFIRM_MS + self.detection.most_silence_ms) / 1000

    def loud(self, ms: float) -> None:
        """Note that the microphone was as loud as a voice for so many milliseconds more, since it began."""
        self._loud_ms += ms
        if self._ended_at is None and self._loud_ms > CONFIRM_MS:
            self._decide("real")

    def ended(self, end_ms: int, now: float) -> None:
        """Note the reported end of the speech, on the input's timeline."""
        if self._ended_at is not None:
            return
        self._ended_at = now
        silence_ms = self.detection.silence_ms
        if silence_ms is None:
            is_long = not (self.measured or self._awaits_words)
        else:
            is_long = end_ms - self.start_ms - silence_ms - self.detection.padding_ms > CONFIRM_MS
        if is_long:
            self._decide("real")
        elif not self._awaits_words:
            self._decide("noise")

    def heard(self, words: str, *, complete: bool) -> None:
        """Note a transcript, as far as it is known.

        Args:
            words: A piece of it that follows the earlier ones, or all of it.
            complete: Whether it is all of it.
        """
        self._words = words if complete else self._words + words
        if complete:
            self._decide("noise" if is_backchannel(self._words) else "real")
        elif not is_backchannel(self._whole_words()):
            self._decide("real")

    def failed(self) -> None:
        """Note that there will be no transcript."""
        self._wordless = True
        if self._ended_at is not None:
            self._decide("noise")

    def pass_time(self, now: float) -> None:
        """Let time decide, if it is time."""
        if now >= self.deadline:
            self._decide("real" if self._ended_at is None else "noise")

    def _whole_words(self) -> str:
        """Leave out a last word that may go on in the next piece."""
        return self._words[: max(self._words.rfind(" "), self._words.rfind(",")) + 1]

    def _decide(self, verdict: Verdict) -> None:
        if self.verdict is None:
            self.verdict = verdict
