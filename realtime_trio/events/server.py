"""What the server sends about the session, the conversation, the two audio buffers and limits.

What it sends while it answers is in `server_responses`, what only a translation session has in `translation`.
"""

from msgspec import UNSET

from ._base import EventBase, Maybe, ServerEventBase
from .config import Session
from .items import Item
from .responses import (
    ConversationDetails,
    ErrorDetails,
    LogProb,
    RateLimit,
    TranscriptionError,
    TranscriptionLanguage,
    TranscriptionUsage,
)

__all__ = [
    "ConversationCreated",
    "ConversationItemAdded",
    "ConversationItemCreated",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemInputAudioTranscriptionCompleted",
    "ConversationItemInputAudioTranscriptionDelta",
    "ConversationItemInputAudioTranscriptionFailed",
    "ConversationItemInputAudioTranscriptionSegment",
    "ConversationItemRetrieved",
    "ConversationItemTruncated",
    "Error",
    "InputAudioBufferCleared",
    "InputAudioBufferCommitted",
    "InputAudioBufferDtmfEventReceived",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "RateLimitsUpdated",
    "SessionCreated",
    "SessionUpdated",
]


class Error(ServerEventBase, tag="error", frozen=True, kw_only=True):
    """Something went wrong. The session normally goes on.

    Wire: `error`, any time, in all three kinds of session.
    """

    error: ErrorDetails


class SessionCreated(ServerEventBase, tag="session.created", frozen=True, kw_only=True):
    """The session exists, with this configuration.

    Wire: `session.created`, first on every connection.
    """

    session: Session


class SessionUpdated(ServerEventBase, tag="session.updated", frozen=True, kw_only=True):
    """The configuration changed; this is all of it.

    Wire: `session.updated`, in answer to `session.update`.
    """

    session: Session


class ConversationCreated(ServerEventBase, tag="conversation.created", frozen=True, kw_only=True):
    """The default conversation exists.

    Wire: `conversation.created`, after `session.created`, by some servers only.
    """

    conversation: ConversationDetails


class ConversationItemAdded(ServerEventBase, tag="conversation.item.added", frozen=True, kw_only=True):
    """An item entered the conversation. One that the model has begun is still empty.

    Wire: `conversation.item.added`, after a create, after a commit, or when the model begins an item.
    """

    item: Item
    previous_item_id: Maybe[str] = UNSET
    """The item before it; None at the front."""


class ConversationItemDone(ServerEventBase, tag="conversation.item.done", frozen=True, kw_only=True):
    """An item is final.

    Wire: `conversation.item.done`, once after `conversation.item.added`.
    """

    item: Item
    previous_item_id: Maybe[str] = UNSET
    """The item before it; None at the front."""


class ConversationItemCreated(ServerEventBase, tag="conversation.item.created", frozen=True, kw_only=True):
    """The older name of `conversation.item.added`.

    Wire: `conversation.item.created`, by servers of the beta protocol.
    """

    item: Item
    previous_item_id: Maybe[str] = UNSET
    """The item before it; None at the front."""


class ConversationItemRetrieved(ServerEventBase, tag="conversation.item.retrieved", frozen=True, kw_only=True):
    """A whole item, with its audio (after noise reduction).

    Wire: `conversation.item.retrieved`, in answer to `conversation.item.retrieve`.
    """

    item: Item


class ConversationItemTruncated(ServerEventBase, tag="conversation.item.truncated", frozen=True, kw_only=True):
    """An answer was cut: its audio ends here, and its transcript is gone.

    Wire: `conversation.item.truncated`, in answer to `conversation.item.truncate`.
    """

    item_id: str
    content_index: int
    audio_end_ms: int
    """What is left of the audio, in ms."""


class ConversationItemDeleted(ServerEventBase, tag="conversation.item.deleted", frozen=True, kw_only=True):
    """An item left the conversation.

    Wire: `conversation.item.deleted`, in answer to `conversation.item.delete`.
    """

    item_id: str


class ConversationItemInputAudioTranscriptionDelta(
    ServerEventBase, tag="conversation.item.input_audio_transcription.delta", frozen=True, kw_only=True
):
    """A piece of the transcript of what the user said.

    Wire: `conversation.item.input_audio_transcription.delta`, after the commit, beside the response.
    """

    item_id: str
    content_index: Maybe[int] = UNSET
    delta: Maybe[str] = UNSET
    logprobs: Maybe[list[LogProb]] = UNSET
    obfuscation: Maybe[str] = UNSET
    """Padding without meaning, which hides the length of the delta from listeners on the line."""


class ConversationItemInputAudioTranscriptionCompleted(
    ServerEventBase, tag="conversation.item.input_audio_transcription.completed", frozen=True, kw_only=True
):
    """The whole transcript of what the user said.

    Wire: `conversation.item.input_audio_transcription.completed`, once an item; items come in any order.
    """

    item_id: str
    content_index: int
    transcript: str
    usage: TranscriptionUsage
    languages: Maybe[list[TranscriptionLanguage]] = UNSET
    logprobs: Maybe[list[LogProb]] = UNSET


class ConversationItemInputAudioTranscriptionSegment(
    ServerEventBase, tag="conversation.item.input_audio_transcription.segment", frozen=True, kw_only=True
):
    """A stretch of the transcript with its speaker.

    Wire: `conversation.item.input_audio_transcription.segment`, by models that tell speakers apart.
    """

    item_id: str
    content_index: int
    id: str
    speaker: str
    text: str
    start: float
    """In seconds."""
    end: float
    """In seconds."""


class ConversationItemInputAudioTranscriptionFailed(
    ServerEventBase, tag="conversation.item.input_audio_transcription.failed", frozen=True, kw_only=True
):
    """The user's speech could not be transcribed. The model heard it all the same.

    Wire: `conversation.item.input_audio_transcription.failed`, in place of `.completed`.
    """

    item_id: str
    content_index: int
    error: TranscriptionError


class InputAudioBufferCommitted(ServerEventBase, tag="input_audio_buffer.committed", frozen=True, kw_only=True):
    """The buffer became a user item.

    Wire: `input_audio_buffer.committed`, after a commit, at the end of a turn, or after an idle timeout.
    """

    item_id: str
    previous_item_id: Maybe[str] = UNSET
    """The item before it; None at the front."""


class InputAudioBufferCleared(ServerEventBase, tag="input_audio_buffer.cleared", frozen=True):
    """The buffer is empty.

    Wire: `input_audio_buffer.cleared`, in answer to `input_audio_buffer.clear`.
    """


class InputAudioBufferSpeechStarted(
    ServerEventBase, tag="input_audio_buffer.speech_started", frozen=True, kw_only=True
):
    """Turn detection heard speech begin.

    Wire: `input_audio_buffer.speech_started`, at the beginning of a turn.
    """

    item_id: str
    """The user item that the turn will be."""
    audio_start_ms: int
    """In ms of all audio ever appended; the prefix padding is before it."""


class InputAudioBufferSpeechStopped(
    ServerEventBase, tag="input_audio_buffer.speech_stopped", frozen=True, kw_only=True
):
    """Turn detection heard speech end.

    Wire: `input_audio_buffer.speech_stopped`, at the end of a turn.
    """

    item_id: str
    """The user item that the turn will be."""
    audio_end_ms: int
    """In ms of all audio ever appended, the silence that ended the turn included."""


class InputAudioBufferTimeoutTriggered(
    ServerEventBase, tag="input_audio_buffer.timeout_triggered", frozen=True, kw_only=True
):
    """Nobody spoke for `idle_timeout_ms`; the silence is committed and answered.

    Wire: `input_audio_buffer.timeout_triggered`, with `server_vad` only.
    """

    item_id: str
    audio_start_ms: int
    """In ms of all audio ever appended."""
    audio_end_ms: int
    """In ms of all audio ever appended."""


class InputAudioBufferDtmfEventReceived(
    EventBase, tag="input_audio_buffer.dtmf_event_received", frozen=True, kw_only=True
):
    """The caller pressed a key. The only event without an `event_id`.

    Wire: `input_audio_buffer.dtmf_event_received`, over SIP only.
    """

    event: str
    """`0` to `9`, `*`, `#`, `A` to `D`."""
    received_at: int
    """Unix time in seconds."""
    event_id: Maybe[str] = UNSET
    """Not documented; kept if it comes."""


class OutputAudioBufferStarted(ServerEventBase, tag="output_audio_buffer.started", frozen=True, kw_only=True):
    """The server began to play a response.

    Wire: `output_audio_buffer.started`, over WebRTC and SIP only.
    """

    response_id: str


class OutputAudioBufferStopped(ServerEventBase, tag="output_audio_buffer.stopped", frozen=True, kw_only=True):
    """The server played a response to its end.

    Wire: `output_audio_buffer.stopped`, over WebRTC and SIP only, after `response.done`.
    """

    response_id: str


class OutputAudioBufferCleared(ServerEventBase, tag="output_audio_buffer.cleared", frozen=True, kw_only=True):
    """The server stopped playing a response before its end.

    Wire: `output_audio_buffer.cleared`, over WebRTC and SIP only, by interruption or by `output_audio_buffer.clear`.
    """

    response_id: str


class RateLimitsUpdated(ServerEventBase, tag="rate_limits.updated", frozen=True, kw_only=True):
    """The account's limits, with what the response has reserved.

    Wire: `rate_limits.updated`, about once a response, at its beginning or end.
    """

    rate_limits: list[RateLimit]
