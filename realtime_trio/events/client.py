"""What a client sends: the 13 event types of realtime, transcription and translation sessions.

A transcription session shares the events of a realtime session. How they become text is in `codec`.
"""

from msgspec import UNSET

from ._base import ClientEventBase, Maybe
from .config import Session
from .items import Item
from .responses import ResponseCreateParams

__all__ = [
    "ConversationItemCreate",
    "ConversationItemDelete",
    "ConversationItemRetrieve",
    "ConversationItemTruncate",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCommit",
    "OutputAudioBufferClear",
    "ResponseCancel",
    "ResponseCreate",
    "SessionClose",
    "SessionInputAudioBufferAppend",
    "SessionUpdate",
]


class SessionUpdate(ClientEventBase, tag="session.update", frozen=True, kw_only=True):
    """Change the configuration: what is given replaces, what is UNSET stays.

    Answered by `session.updated` with all of it, or by `error` (then nothing changed).

    Wire: `session.update`, any time, in all three kinds of session.
    """

    session: Session


class InputAudioBufferAppend(ClientEventBase, tag="input_audio_buffer.append", frozen=True, kw_only=True):
    """Add sound to the input audio buffer. Not acknowledged.

    Wire: `input_audio_buffer.append`, as sound is captured.
    """

    audio: bytes
    """In the session's input format, at most 15 MiB."""


class InputAudioBufferCommit(ClientEventBase, tag="input_audio_buffer.commit", frozen=True):
    """Make the buffer a user item and empty it. Answered by `input_audio_buffer.committed`; starts no response.

    Wire: `input_audio_buffer.commit`, at the end of a turn without turn detection.
    """


class InputAudioBufferClear(ClientEventBase, tag="input_audio_buffer.clear", frozen=True):
    """Drop what is in the buffer. Answered by `input_audio_buffer.cleared`.

    Wire: `input_audio_buffer.clear`, any time.
    """


class ConversationItemCreate(ClientEventBase, tag="conversation.item.create", frozen=True, kw_only=True):
    """Insert an item. Answered by `conversation.item.added`, then `conversation.item.done`.

    Wire: `conversation.item.create`, any time.
    """

    item: Item
    previous_item_id: Maybe[str] = UNSET
    """Insert after this item; `"root"` for the front; UNSET for the end."""


class ConversationItemRetrieve(ClientEventBase, tag="conversation.item.retrieve", frozen=True, kw_only=True):
    """Ask for a whole item, with its audio. Answered by `conversation.item.retrieved`.

    Wire: `conversation.item.retrieve`, any time.
    """

    item_id: str


class ConversationItemTruncate(ClientEventBase, tag="conversation.item.truncate", frozen=True, kw_only=True):
    """Tell the server how much of an answer was heard; it forgets the rest. Answered by `conversation.item.truncated`.

    Wire: `conversation.item.truncate`, after an interruption.
    """

    item_id: str
    content_index: int
    """Index of the audio part in the item's content."""
    audio_end_ms: int
    """Keep up to here, in ms; not beyond the length of the audio."""


class ConversationItemDelete(ClientEventBase, tag="conversation.item.delete", frozen=True, kw_only=True):
    """Remove an item. Answered by `conversation.item.deleted`.

    Wire: `conversation.item.delete`, any time.
    """

    item_id: str


class ResponseCreate(ClientEventBase, tag="response.create", frozen=True, kw_only=True):
    """Ask the model to answer. Answered by `response.created` and, last, `response.done`, or by `error`.

    Wire: `response.create`, any time; one at a time in the default conversation.
    """

    response: Maybe[ResponseCreateParams] = UNSET
    """What shall be different from the session for this response."""


class ResponseCancel(ClientEventBase, tag="response.cancel", frozen=True, kw_only=True):
    """Stop a response. Answered by `response.done` with status `cancelled`, or by a harmless `error` if it is over.

    Wire: `response.cancel`, while a response is in progress.
    """

    response_id: Maybe[str] = UNSET
    """Which one; UNSET for that of the default conversation."""


class OutputAudioBufferClear(ClientEventBase, tag="output_audio_buffer.clear", frozen=True):
    """Stop what the server is playing out. Answered by `output_audio_buffer.cleared`.

    Wire: `output_audio_buffer.clear`, over WebRTC and SIP only, after `response.cancel`.
    """


class SessionInputAudioBufferAppend(
    ClientEventBase, tag="session.input_audio_buffer.append", frozen=True, kw_only=True
):
    """Add sound to be translated. Not acknowledged.

    Wire: `session.input_audio_buffer.append`, in translation sessions, without a gap (send silence too).
    """

    audio: bytes
    """16 bit, little-endian, mono, 24 kHz; 200 ms (9600 bytes) at a time are best."""


class SessionClose(ClientEventBase, tag="session.close", frozen=True):
    """End a translation: the server sends what it still has, then `session.closed`.

    Wire: `session.close`, once, in translation sessions.
    """
