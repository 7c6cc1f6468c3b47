"""What comes of live responses: words and sound on their way to a response's streams and to the speaker.

Who owns a response and when it is over is `turns.py`'s; what is held on the way is `guarding.py`'s.
"""

from collections.abc import Callable

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.item import MAX_CHARACTERS
from realtime_trio.core.playout import PartKey

from .guarding import Guarding
from .inside import Inside
from .latency import Stopwatch
from .responses import Response
from .sound import Sound
from .tape import Tape

__all__ = ["MOST_PARTS", "MOST_PIECES", "Intake"]

MOST_PIECES = 65_536
"""Deltas that one response may have: ten minutes of sound in blocks of 10 ms."""

MOST_PARTS = 256
"""Content parts that one response may have; it has a few. What is looked through for each word has to be short."""


@attrs.define(eq=False, repr=False)
class Intake(Inside):
    """The way in of one session.

    Attributes:
        sound: Where audio is played.
        stopwatch: Told when sound arrives.
        guarding: Holds what is not to be heard yet.
        audio_limit: Seconds of audio that one response may have.
        heard: Told that something of a response was delivered that is not played.
        end: Interrupts a response that has more audio than that, or more words than a response can have.
    """

    sound: Sound
    stopwatch: Stopwatch
    guarding: Guarding
    audio_limit: float
    heard: Callable[[str], object]
    end: Callable[[Response, str], object]

    def take(self, response: Response, event: events.ServerEvent) -> None:
        """Take an event about a live response; most are no business of this."""
        if not response.interrupted:
            self._bound(response, event)
        held = self.guarding.take(response, event)
        match event:
            case events.ResponseOutputTextDelta(delta=delta):
                self._take_words(response, response.text_deltas, delta, held=held)
            case events.ResponseOutputAudioTranscriptDelta(delta=delta):
                self._take_words(response, response.transcript_deltas, delta, held=held)
            case events.ResponseOutputAudioDelta(delta=pcm):
                self._take_audio(response, event, pcm, held=held)
            case events.ResponseOutputAudioDone():
                if self._is_played(response):
                    self.sound.finish(_part(event))
            case _:
                return
        if not held and (self.sound.device is None or isinstance(event, events.ResponseOutputTextDelta)):
            self.heard(response.id)  # delivered is as good as heard where nothing is played

    def _bound(self, response: Response, event: events.ServerEvent) -> None:
        """Cut off a response that has more parts, or more words at the end of them, than a response can have."""
        match event:
            case events.ResponseOutputTextDone(text=words) | events.ResponseOutputAudioTranscriptDone(transcript=words):
                response.final_characters += len(words)
            case (
                events.ResponseOutputTextDelta()
                | events.ResponseOutputAudioTranscriptDelta()
                | events.ResponseOutputAudioDelta()
            ):
                pass
            case _:
                return
        if len(response.parts) <= MOST_PARTS:
            response.parts.add((event.item_id, event.content_index))
        if len(response.parts) > MOST_PARTS:
            self.end(response, "parts_limit")
        elif response.final_characters > MAX_CHARACTERS:
            self.end(response, "text_limit")

    def _take_words(self, response: Response, tape: Tape[str], delta: str, *, held: bool) -> None:
        if delta and not held:  # what the guard lets pass, it puts there itself
            tape.append(delta)
        response.characters += len(delta)
        self._count(response)
        if response.characters > MAX_CHARACTERS and not response.interrupted:
            self.end(response, "text_limit")

    def _count(self, response: Response) -> None:
        response.pieces += 1
        if response.pieces > MOST_PIECES and not response.interrupted:
            self.end(response, "pieces_limit")

    def _take_audio(
        self, response: Response, event: events.ResponseOutputAudioDelta, pcm: bytes, *, held: bool
    ) -> None:
        if pcm and not held:
            response.audio_chunks.append(pcm)
        response.audio_bytes += len(pcm)
        self._count(response)
        self.stopwatch.note_audio(response, trio.current_time())
        if self._is_played(response):
            self.sound.receive(_part(event), pcm)
        if response.audio_bytes > self.audio_limit * self.sound.output_bytes_per_second and not response.interrupted:
            self.end(response, "audio_limit")

    def _is_played(self, response: Response) -> bool:
        return self.sound.device is not None and not response.out_of_band


def _part(event: events.ResponseOutputAudioDelta | events.ResponseOutputAudioDone) -> PartKey:
    return PartKey(event.response_id, event.item_id, event.content_index)
