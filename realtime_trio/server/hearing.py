"""What the recogniser is asked to hear, what it made of it, and what the client is told about that.

Hearing happens whether or not the client wants transcripts: the recogniser is also the brain's ear.
"""

import math

from realtime_trio import events
from realtime_trio.server import guesses
from realtime_trio.server.items import Item, Part, text_tokens
from realtime_trio.server.outbox import Outbox, Recognise
from realtime_trio.server.seams import Transcript

__all__ = ["Hearing"]

_SECONDS_MODEL = "whisper-1"
"""The model that is billed by the second and tells its transcript in one piece."""


class Hearing:
    """The ear of a session.

    Attributes:
        pending: Items that the recogniser has not reported on, by id.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.pending: dict[str, Item] = {}
        self._outbox = outbox
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
        if transcript is None:
            self._outbox.send(
                events.ConversationItemInputAudioTranscriptionFailed(
                    event_id=self._outbox.event_id(),
                    item_id=item_id,
                    content_index=0,
                    error=events.TranscriptionError(
                        type="server_error", code=guesses.NO_RECOGNISER_CODE, message=problem, param=None
                    ),
                )
            )
            return
        sound.transcript = transcript.text
        self._tell(item_id, sound, transcript.text, model)

    def _tell(self, item_id: str, sound: Part, text: str, model: str) -> None:
        words = text.split(" ")
        pieces = [text] if model == _SECONDS_MODEL else [words[0], *(" " + word for word in words[1:])]
        for piece in filter(None, pieces):
            self._outbox.send(
                events.ConversationItemInputAudioTranscriptionDelta(
                    event_id=self._outbox.event_id(), item_id=item_id, content_index=0, delta=piece
                )
            )
        self._outbox.send(
            events.ConversationItemInputAudioTranscriptionCompleted(
                event_id=self._outbox.event_id(),
                item_id=item_id,
                content_index=0,
                transcript=text,
                usage=_usage(sound, text, model),
            )
        )


def _usage(sound: Part, text: str, model: str) -> events.TranscriptionUsage:
    if model == _SECONDS_MODEL:
        return events.DurationUsage(seconds=math.ceil(sound.milliseconds / 1000))
    audio_tokens = sound.tokens()[1]
    return events.TokenUsage(
        input_tokens=audio_tokens,
        output_tokens=text_tokens(text),
        total_tokens=audio_tokens + text_tokens(text),
        input_token_details=events.TranscriptionInputTokenDetails(text_tokens=0, audio_tokens=audio_tokens),
    )
