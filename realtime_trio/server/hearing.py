"""What the recogniser is asked to hear, what it made of it, and what the client is told about that.

Hearing happens whether or not the client wants transcripts: the recogniser is also the brain's ear.
"""

import math

from realtime_trio import events
from realtime_trio.server import guesses
from realtime_trio.server.items import Item, Part, text_tokens
from realtime_trio.server.misbehaviour import Misbehaviour
from realtime_trio.server.outbox import Outbox, Recognise, TellLater
from realtime_trio.server.seams import Transcript

__all__ = ["Hearing"]

_WHOLE_MODEL = "whisper-1"
"""The model that tells its transcript in one piece."""

_UNINTELLIGIBLE = events.TranscriptionError(
    type="transcription_error",
    code="audio_unintelligible",
    message="The audio could not be transcribed.",
    param=None,
)
"""The error of the API's own example, for transcripts that fail on request."""


class Hearing:
    """The ear of a session.

    Attributes:
        pending: Items that the recogniser has not reported on, by id.
    """

    def __init__(self, outbox: Outbox, misbehaviour: Misbehaviour) -> None:
        self.pending: dict[str, Item] = {}
        self._outbox = outbox
        self._misbehaviour = misbehaviour
        self._late: dict[str, list[events.ServerEvent]] = {}  # by item: what the client is to be told later
        self._unanswered: list[str] = []  # the items of those that wait for the answer first
        self._told = 0
        self._models: dict[str, str] = {}  # by item: the model that the client asked for when it was committed

    def begin(self, item: Item, model: str | None, known: Transcript | None = None) -> None:
        """Have the recogniser hear the sound in an item; without any, nothing happens.

        Args:
            item: The item.
            model: The transcription model that the client asked for; None when it wants no transcript.
            known: What was understood already; then the recogniser is not asked again.
        """
        sound = [part for part in item.parts if part.type == "input_audio"]
        if not sound:
            return
        self.pending[item.id] = item
        if model is not None:
            self._models[item.id] = model
        if known is not None:
            self.heard(item.id, known, "")
            return
        self._outbox.do(Recognise(item.id, b"".join(part.format.to_pcm(bytes(part.audio)) for part in sound)))

    def forget(self, item: Item) -> None:
        """Want to hear no more of an item, because it was deleted: no transcript of it will be told."""
        self.pending.pop(item.id, None)
        self._models.pop(item.id, None)
        self._late.pop(item.id, None)

    def heard(self, item_id: str, transcript: Transcript | None, problem: str) -> None:
        """Take the recogniser's report on an item, and tell the client if it wants to know.

        Args:
            item_id: The item.
            transcript: What was understood; None when there is no recogniser, or it failed.
            problem: Why there is none.
        """
        item = self.pending.pop(item_id, None)
        if item is None:
            return
        sound = next(part for part in item.parts if part.type == "input_audio")
        sound.heard = transcript
        model = self._models.pop(item_id, None)
        if model is None:
            return
        self._told += 1
        if transcript is not None and self._told in self._misbehaviour.failed_transcripts:
            told = [self._failure(item_id, _UNINTELLIGIBLE)]
        elif transcript is None:
            error = events.TranscriptionError(
                type="server_error", code=guesses.NO_RECOGNISER_CODE, message=problem, param=None
            )
            told = [self._failure(item_id, error)]
        else:
            sound.transcript = transcript.text
            told = self._telling(item_id, sound, transcript.text, model)
        self._tell(item_id, told)

    def _failure(self, item_id: str, error: events.TranscriptionError) -> events.ServerEvent:
        return events.ConversationItemInputAudioTranscriptionFailed(
            event_id=self._outbox.event_id(), item_id=item_id, content_index=0, error=error
        )

    def _telling(self, item_id: str, sound: Part, text: str, model: str) -> list[events.ServerEvent]:
        words = text.split(" ")
        pieces = [text] if model == _WHOLE_MODEL else [words[0], *(" " + word for word in words[1:])]
        told: list[events.ServerEvent] = [
            events.ConversationItemInputAudioTranscriptionDelta(
                event_id=self._outbox.event_id(), item_id=item_id, content_index=0, delta=piece
            )
            for piece in filter(None, pieces)
        ]
        completed = events.ConversationItemInputAudioTranscriptionCompleted(
            event_id=self._outbox.event_id(),
            item_id=item_id,
            content_index=0,
            transcript=text,
            usage=_usage(sound, text, model),
        )
        return [*told, completed]

    # ---- when it is told ----

    def _tell(self, item_id: str, told: list[events.ServerEvent]) -> None:
        """Tell the client now, or later in a session whose transcripts are late."""
        if self._misbehaviour.transcript_after_answer:
            self._late[item_id] = told
            self._unanswered.append(item_id)
        elif self._misbehaviour.transcript_delay_s:
            self._late[item_id] = told
            self._outbox.do(TellLater(item_id, self._misbehaviour.transcript_delay_s))
        else:
            for event in told:
                self._outbox.send(event)

    def answered(self) -> None:
        """Take it that a response of the conversation is over."""
        for item_id in self._unanswered:
            self._outbox.do(TellLater(item_id, self._misbehaviour.transcript_delay_s))
        self._unanswered.clear()

    def tell(self, item_id: str) -> None:
        """Tell what was held back about an item, unless it was deleted since."""
        for event in self._late.pop(item_id, ()):
            self._outbox.send(event)


def _usage(sound: Part, text: str, model: str) -> events.TranscriptionUsage:
    if model in guesses.DURATION_MODELS:
        return events.DurationUsage(seconds=math.ceil(sound.milliseconds / 1000))
    audio_tokens = sound.tokens().audio
    return events.TokenUsage(
        input_tokens=audio_tokens,
        output_tokens=text_tokens(text),
        total_tokens=audio_tokens + text_tokens(text),
        input_token_details=events.TranscriptionInputTokenDetails(text_tokens=0, audio_tokens=audio_tokens),
    )
