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

from .captions import Captions

__all__ = [
    "ConversationItem",
    "ItemPart",
    "Transcription",
    "extend",
    "fill",
    "fill_part",
    "find_part",
    "fits",
    "item_id_of",
    "say",
]

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
MAX_CHARACTERS = 256 * 1024
"""How much is put together of pieces, for one part: a response has a tenth of it at the most."""
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
        heard_ms: How much of its sound was heard, set by the session; None if it never made a sound here.
        whole: Whether it was generated to its end: all its words are spoken in its sound.
        captions: Where its words are in its sound.
    """

    kind: str
    text: str = ""
    transcript: str = ""
    truncated_ms: int | None = None
    complete: bool = False
    heard_ms: int | None = None
    whole: bool = False
    captions: Captions = attrs.field(factory=Captions, repr=False)

    @property
    def generated_text(self) -> str:
        """Its words as far as they were generated, written or spoken."""
        return self.text or self.transcript

    @property
    def heard_text(self) -> str:
        """The words that were heard, about: see `ConversationItem.heard_text`."""
        if self.text:
            return self.text
        heard_ms = self.truncated_ms if self.heard_ms is None else self.heard_ms
        return "" if heard_ms is None else self.captions.heard(self.transcript, heard_ms, whole=self.whole)

    def settle(self) -> None:
        """Forget what is not needed any more, if all of it was made and heard."""
        if self.whole and self.heard_ms is not None and self.heard_ms >= int(self.captions.received_ms):
            self.captions.heard(self.transcript, self.heard_ms, whole=True)

    def close(self) -> None:
        """Let what was heard of it stay as it is, and forget how that is known."""
        _ = self.heard_text  # estimated for the last time
        self.captions.close(self.transcript)


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
    deleted: bool = False
    value: Item | None = attrs.field(default=None, repr=False)
    arguments_complete: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the server has said how it ended."""
        return self.status in _ENDED

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
        return "".join(part.generated_text for part in self.parts)

    @property
    def heard_ms(self) -> int | None:
        """How much of its sound was heard, all parts together; None if it never made a sound here."""
        heard = [part.heard_ms for part in self.parts if part.heard_ms is not None]
        return sum(heard) if heard else None

    @property
    def heard_text(self) -> str:
        """The words that people heard, about: whole words from the beginning of `generated_text`.

        The server does not say when a word is spoken; this is estimated from the order in which words and sound came,
        and is usually right to a word. It never shrinks, and it is exact at both ends: empty as long as nothing was
        heard, all words once all was. Written text counts as heard when it is there. Where the program plays the sound
        itself, only what it had truncated is known; an item that was not is told as not heard.
        """
        heard = ""
        for index, part in enumerate(self.parts):
            words = self.heard_text_of(index)
            heard += words
            if words != part.generated_text:
                break
        return heard

    def heard_text_of(self, index: int) -> str:
        """The words that people heard of one part; all of them when a later part was heard."""
        if not 0 <= index < len(self.parts):
            return ""
        later = any(part.heard_ms for part in self.parts[index + 1 :])
        return self.parts[index].generated_text if later else self.parts[index].heard_text

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


def say(part: ItemPart, transcript: str, *, complete: bool = False) -> None:
    """Set the words of a part's sound, and note how much of the sound had come by then."""
    if transcript != part.transcript:
        part.captions.note_words(len(part.transcript))
        part.transcript = transcript
    part.complete = part.complete or complete


def extend(part: ItemPart, *, text: Any = "", transcript: Any = "") -> None:
    """Add a delta to a part, unless the whole is known already."""
    if not part.complete and len(part.text) + len(part.transcript) < MAX_CHARACTERS:
        part.text += text if isinstance(text, str) else ""
        if transcript and isinstance(transcript, str):
            say(part, part.transcript + transcript)


def fill_part(item: ConversationItem, index: int, value: ContentPart, *, complete: bool) -> None:
    """Take over what the server says about a whole part.

    Empty words never replace some: parts are shown before they are filled, and after a truncation without transcript.
    """
    part = find_part(item, index, _kind_of(value))
    part.text = getattr(value, "text", None) or part.text
    say(part, getattr(value, "transcript", None) or part.transcript, complete=complete)


def fits(item: ConversationItem, value: Item) -> bool:
    """Tell whether an item on the wire is what is known of it: with the same parts, and no text in place of sound."""
    if item.value is not None and value.type != item.type:
        return False
    content = value.content if isinstance(value, Message) else []
    kinds = [_kind_of(part) for part in content]
    return all(part.kind in ("", kind) for part, kind in zip(item.parts, kinds, strict=False)) and (
        len(kinds) >= len(item.parts)
    )


def _kind_of(part: ContentPart) -> str:
    return part.type if isinstance(part, UnknownPart) else _KINDS[type(part)]


def fill(item: ConversationItem, value: Item) -> None:
    """Take over what the server says about a whole item.

    Args:
        item: The one to be changed.
        value: The item on the wire.
    """
    status = getattr(value, "status", None)
    if isinstance(status, str) and not (item.status in _ENDED and status == "in_progress"):
        item.status = status  # how it ended stays, also when its beginning is told again
    item.type = value.type or item.type
    match value:
        case Message():
            item.role = value.role
            for index, part in enumerate(value.content):
                fill_part(item, index, part, complete=status in _ENDED and item.role == "assistant")
            for each in item.parts:
                each.whole = each.whole or status == "completed"
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
