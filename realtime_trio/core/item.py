"""An item of the conversation as a live value, and how it takes over what the server says about it.

Where it stands among the others is in `core.conversation` and `core.order`.
"""

from typing import Any, Literal, TypeAlias

import attrs
import msgspec

from realtime_trio.events import (
    UNSET,
    AudioPart,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    TextPart,
    TranscriptionError,
    UnknownPart,
)

__all__ = ["ConversationItem", "ItemPart", "Transcription", "extend", "fill", "fill_part", "find_part", "item_id_of"]

Transcription: TypeAlias = Literal["none", "pending", "completed", "failed"]

_KINDS: dict[type, str] = {
    InputText: "text",
    OutputText: "text",
    TextPart: "text",
    InputAudio: "audio",
    OutputAudio: "audio",
    AudioPart: "audio",
    InputImage: "image",
}
_ENDED = ("completed", "incomplete")
_MAX_PARTS = 1024  # an index beyond it is a mistake of the server, not a reason to fill the memory


@attrs.define(eq=False)
class ItemPart:
    """One content part of an item.

    Attributes:
        kind: `"text"`, `"audio"`, `"image"`, or the wire's word for a kind that is not known here.
        text: Typed or written text.
        transcript: What is said in the audio, as far as it is known.
        truncated_ms: Where the server was told that the audio ends; None while it is whole.
        complete: Whether all its words are known.
    """

    kind: str
    text: str = ""
    transcript: str = ""
    truncated_ms: int | None = None
    complete: bool = False


@attrs.define(eq=False)
class ConversationItem:
    """An item of the conversation, kept up to date by the mirror. To be read only.

    Attributes:
        id: Its id.
        type: `"message"`, `"function_call"`, `"function_call_output"`, or the wire's word for another kind.
        role: `"user"`, `"assistant"`, `"system"`; None for anything but a message.
        status: `"in_progress"`, `"completed"`, `"incomplete"`, or None when the server never said.
        response_id: The response that makes or made it; None if it is not known or none did.
        previous_item_id: The item before it, as the server said when it put it there.
        parts: Its content, by content index.
        name: The function's name, for calls.
        call_id: What ties a call and its output together.
        arguments: The call's arguments as JSON text, as far as they are known.
        arguments_complete: Whether that is all of them.
        output: A function call's output; also set on the call itself once there is one.
        transcription: How far the transcription of the user's speech is.
        transcription_error: Why there is none, when it failed.
        heard_ms: What was heard of it, set by the session; None if it never made a sound here.
        deleted: Whether it is out of the conversation.
        value: The last whole item that the server sent, without audio.
    """

    id: str
    type: str = "message"
    role: str | None = None
    status: str | None = None
    response_id: str | None = None
    previous_item_id: str | None = None
    parts: list[ItemPart] = attrs.Factory(list)
    name: str | None = None
    call_id: str | None = None
    arguments: str = ""
    output: str | None = None
    transcription: Transcription = "none"
    transcription_error: TranscriptionError | None = None
    heard_ms: int | None = None
    deleted: bool = False
    value: Item | None = attrs.field(default=None, repr=False)
    arguments_complete: bool = False

    @property
    def text(self) -> str:
        """What was typed or written, all parts together."""
        return "".join(part.text for part in self.parts)

    @property
    def transcript(self) -> str:
        """What is said in its audio, all parts together; for the user's speech it may come late."""
        return "".join(part.transcript for part in self.parts)

    @property
    def generated_text(self) -> str:
        """All its words in order, written or spoken, those that nobody heard included."""
        return "".join(part.text or part.transcript for part in self.parts)

    @property
    def truncated_ms(self) -> int | None:
        """Where the server was told that its audio ends; None while it is whole."""
        return next((part.truncated_ms for part in self.parts if part.truncated_ms is not None), None)


def item_id_of(value: Item) -> str | None:
    """The id of an item on the wire, None if it has none."""
    item_id = getattr(value, "id", None)
    return item_id if isinstance(item_id, str) else None


def find_part(item: ConversationItem, index: int, kind: str = "") -> ItemPart:
    """Find a part of an item, or make room for it."""
    if not 0 <= index < _MAX_PARTS:
        return ItemPart(kind)  # written to in vain
    while len(item.parts) <= index:
        item.parts.append(ItemPart(""))
    part = item.parts[index]
    part.kind = part.kind or kind
    return part


def extend(part: ItemPart, *, text: Any = "", transcript: Any = "") -> None:
    """Add a delta to a part, unless the whole is known already."""
    if not part.complete:
        part.text += text if isinstance(text, str) else ""
        part.transcript += transcript if isinstance(transcript, str) else ""


def fill_part(item: ConversationItem, index: int, value: ContentPart, *, complete: bool) -> None:
    """Take over what the server says about a whole part.

    Empty words never replace some: parts are shown before they are filled, and after a truncation without transcript.
    """
    part = find_part(item, index, value.type if isinstance(value, UnknownPart) else _KINDS[type(value)])
    part.text = getattr(value, "text", None) or part.text
    part.transcript = getattr(value, "transcript", None) or part.transcript
    part.complete = part.complete or complete


def fill(item: ConversationItem, value: Item) -> None:
    """Take over what the server says about a whole item.

    Args:
        item: The one to be changed.
        value: The item on the wire.
    """
    status = getattr(value, "status", None)
    item.status = status if isinstance(status, str) else item.status
    item.type = value.type or item.type
    match value:
        case Message():
            item.role = value.role
            for index, part in enumerate(value.content):
                fill_part(item, index, part, complete=status in _ENDED and item.role == "assistant")
            value = msgspec.structs.replace(value, content=[_without_audio(part) for part in value.content])
        case FunctionCall():
            item.name, item.call_id = value.name, value.call_id or item.call_id
            item.arguments = value.arguments or item.arguments
        case McpCall():
            item.name, item.output = value.name, value.output or item.output
            item.arguments = value.arguments or item.arguments
        case FunctionCallOutput():
            item.call_id, item.output = value.call_id, value.output
        case _:
            pass
    item.value = value


def _without_audio(part: ContentPart) -> ContentPart:
    if isinstance(part, InputAudio | OutputAudio | AudioPart | TextPart):
        return msgspec.structs.replace(part, audio=UNSET)
    return part
