"""The server's conversation: its items in order, with the audio that the wire only tells on request.

Which events a change leads to, and who may make it, is the business of `protocol` and `responses`.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from realtime_trio import events
from realtime_trio.server import guesses, problems
from realtime_trio.server.audio_formats import FORMATS, WireFormat
from realtime_trio.server.checks import decode_audio
from realtime_trio.server.outbox import Outbox
from realtime_trio.server.seams import HistoryItem, Said, SpokenWord, ToolAnswered, ToolCalled, Transcript

__all__ = ["Conversation", "Item", "Part", "Tokens", "history", "item_from_json", "tell_end", "text_tokens"]

Role = Literal["user", "assistant", "system"]


_ITEM_BYTES = 2048  # of an item with nothing in it


@attrs.frozen
class Tokens:
    """Tokens by kind."""

    text: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.text + self.audio + self.image

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.text + other.text, self.audio + other.audio, self.image + other.image)


def text_tokens(text: str) -> int:
    """Count text as tokens, roughly."""
    return math.ceil(len(text) / guesses.CHARACTERS_PER_TOKEN)


@attrs.define(eq=False)
class Part:
    """One content part of a message.

    Attributes:
        type: Its type inside items: `input_text`, `input_audio`, `input_image`, `output_text` or `output_audio`.
        text: Typed or generated text.
        audio: The sound in the wire's format.
        format: The wire's format when the sound came or went.
        transcript: What the wire tells as transcript; None when there is none.
        heard: What the recogniser made of the user's sound, also when the client asked for no transcript.
        truncated_ms: Where the sound was truncated; None when it was not.
        words: The assistant's words, each with the sample of the sound at which it begins, also behind a truncation.
        sent: Samples of the assistant's sound that were sent, at 24 kHz, also behind a truncation.
        image: The fields of an image.
    """

    type: str
    text: str = ""
    audio: bytes | bytearray = attrs.field(default=b"", repr=lambda audio: f"<{len(audio)} bytes>")
    format: WireFormat = FORMATS["audio/pcm"]
    transcript: str | None = None
    heard: Transcript | None = None
    truncated_ms: int | None = None
    words: list[SpokenWord] = attrs.field(factory=list, repr=False)
    sent: int = 0
    image: dict[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def weight(self) -> int:
        """About how many bytes it takes."""
        picture = sum(len(value) for value in self.image.values() if isinstance(value, str))
        return len(self.text) + len(self.audio) + len(self.transcript or "") + picture

    @property
    def milliseconds(self) -> float:
        """How long the sound is."""
        return self.format.milliseconds(len(self.audio))

    @property
    def spoken(self) -> str:
        """All that the assistant said, also behind a truncation."""
        return "".join(word.text for word in self.words)

    @property
    def understood(self) -> str | None:
        """The words, as far as anybody knows them; None for sound that nobody understood."""
        if self.type in ("input_text", "output_text"):
            return self.text
        if self.heard is not None:
            return self.heard.text
        return self.transcript

    def wire(self, *, with_audio: bool = False) -> events.ContentPart:
        """Tell the part as items do, as it stands now."""
        audio = bytes(self.audio) if with_audio else events.UNSET
        match self.type:
            case "input_text":
                return events.InputText(text=self.text)
            case "output_text":
                return events.OutputText(text=self.text)
            case "input_image":
                return events.InputImage(**self.image)
            case "input_audio":
                return events.InputAudio(transcript=self.transcript, audio=audio)
            case _:
                transcript = events.UNSET if self.transcript is None else self.transcript
                return events.OutputAudio(transcript=transcript, audio=audio)

    def tokens(self) -> Tokens:
        """Count it in tokens."""
        if self.type in ("input_text", "output_text"):
            return Tokens(text=text_tokens(self.text))
        if self.type == "input_image":
            return Tokens(image=guesses.IMAGE_TOKENS["low" if self.image.get("detail") == "low" else "high"])
        user = self.type == "input_audio"
        ms_per_token = guesses.AUDIO_MS_PER_TOKEN_USER if user else guesses.AUDIO_MS_PER_TOKEN_ASSISTANT
        spoken = 0 if user else text_tokens(self.transcript or "")
        return Tokens(text=spoken, audio=math.ceil(self.milliseconds / ms_per_token))


@attrs.define(eq=False, kw_only=True)
class Item:
    """One item of the conversation, or of an out-of-band response.

    Attributes:
        id: Its id.
        type: `message`, `function_call` or `function_call_output`; the others are `McpItem`s.
        status: `in_progress`, `completed` or `incomplete`.
        role: Whose message it is.
        parts: The content of a message.
        name: The tool of a call.
        call_id: The id of a call or of the call that an output answers.
        arguments: The arguments of a call, JSON text.
        output: The client's answer to a call.
        number: Which of the conversation's items it is, in the order in which they came in.
        known: For what a response says: how many items had come in when the response began.
        instructions: For what a response says: its own instructions, when it had some.
    """

    id: str
    type: str = "message"
    status: str = "completed"
    role: Role = "user"
    parts: list[Part] = attrs.field(factory=list)
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""
    number: int = 0
    known: int | None = None
    instructions: str | None = None

    def wire(self, *, with_audio: bool = False) -> events.Item:
        """Tell the item as a value of the wire, as it stands now."""
        if self.type == "message":
            return events.Message(
                id=self.id,
                object="realtime.item",
                status=self.status,
                role=self.role,
                content=[part.wire(with_audio=with_audio) for part in self.parts],
            )
        if self.type == "function_call_output":
            return events.FunctionCallOutput(
                id=self.id, object="realtime.item", status=self.status, call_id=self.call_id, output=self.output
            )
        return events.FunctionCall(
            id=self.id,
            object="realtime.item",
            status=self.status,
            call_id=self.call_id,
            name=self.name,
            arguments=self.arguments,
        )

    @property
    def answer(self) -> str | None:
        """What an `mcp_call` came to, as the brain is told; None while it has come to nothing."""
        return None

    def tokens(self) -> Tokens:
        """Count it in tokens."""
        if self.type != "message":
            return Tokens(text=text_tokens(self.name) + text_tokens(self.arguments) + text_tokens(self.output))
        return sum((part.tokens() for part in self.parts), Tokens())

    def truncate(self, content_index: int, audio_end_ms: int) -> None:
        """Cut the assistant's sound, and take its transcript away: nobody can tell which words were left.

        Raises:
            Problem: There is no such sound, or less of it, or it was truncated before. Nothing was changed.
        """
        if self.type != "message" or self.role != "assistant":
            raise problems.not_truncatable("item_id")
        if content_index >= len(self.parts) or self.parts[content_index].type != "output_audio":
            raise problems.not_truncatable("content_index")
        part = self.parts[content_index]
        if part.truncated_ms is not None:
            raise problems.truncated_twice(self.id)
        if audio_end_ms > math.ceil(part.milliseconds):
            raise problems.truncate_too_far(int(part.milliseconds), audio_end_ms)
        part.audio = part.audio[: part.format.rate * audio_end_ms // 1000 * part.format.sample_size]
        part.transcript = None
        part.truncated_ms = audio_end_ms


def item_from_json(value: dict[str, Any], item_id: str, call_id: str, audio_format: WireFormat) -> Item:
    """Make an item of a client's, whose shape was checked.

    Args:
        value: The JSON object.
        item_id: The id to use when the client chose none.
        call_id: The call id to use when the client chose none.
        audio_format: The session's input format.
    """
    item = Item(id=value.get("id") or item_id, type=value["type"])
    if item.type == "message":
        item.role = value["role"]
        item.parts = [_part_from_json(part, audio_format) for part in value["content"]]
        return item
    item.call_id = value.get("call_id") or call_id
    item.name = value.get("name", "")
    item.arguments = value.get("arguments", "")
    item.output = value.get("output", "")
    return item


def _part_from_json(value: dict[str, Any], audio_format: WireFormat) -> Part:
    kind = value["type"]
    if kind == "input_image":
        image = {name: value[name] for name in ("image_url", "detail") if value.get(name) is not None}
        return Part(kind, image=image)
    if kind == "input_audio":
        audio = decode_audio(value["audio"], "item.content.audio")
        return Part(kind, audio=audio, format=audio_format, transcript=value.get("transcript"))
    return Part(kind, text=value["text"])


def history(items: list[Item]) -> tuple[HistoryItem, ...]:
    """Tell items as a brain sees them: what came in during a response stands behind all that the response said."""
    names = {item.call_id: item.name for item in items if item.type == "function_call"}
    ordered: list[Item] = []
    for item in items:
        index = len(ordered)
        while item.known is not None and index and _unknown(ordered[index - 1], item.known):
            index -= 1
        ordered.insert(index, item)
    return tuple(_history(ordered, names))


def _unknown(earlier: Item, known: int) -> bool:
    """Say whether a response that knew so many items has not known that one, which is not its own."""
    return earlier.known is None and earlier.number > known


def _history(items: list[Item], names: dict[str, str]) -> Iterator[HistoryItem]:
    for item in items:
        if item.type == "function_call":
            yield ToolCalled(call_id=item.call_id, name=item.name, arguments=item.arguments)
        elif item.type == "function_call_output":
            yield ToolAnswered(call_id=item.call_id, name=names.get(item.call_id, ""), output=item.output)
        elif item.type == "mcp_call":
            yield ToolCalled(call_id=item.id, name=item.name, arguments=item.arguments)
            if item.answer is not None:
                yield ToolAnswered(call_id=item.id, name=item.name, output=item.answer)
        elif item.type == "message":
            yield _said(item)


def _said(item: Item) -> Said:
    if len(item.parts) == 1 and item.parts[0].type in ("input_text", "output_text"):
        # nearly all of a long typed conversation
        return Said(role=item.role, text=item.parts[0].text, instructions=item.instructions)
    sound = [part for part in item.parts if part.type == "input_audio"]
    words = [part.understood for part in item.parts if part.type != "input_image"]
    known = [word for word in words if word is not None]
    return Said(
        role=item.role,
        text=" ".join(known) if known or not words else None,
        certain=all(part.heard is None or part.heard.certain for part in sound),
        seconds=sum(part.milliseconds for part in item.parts) / 1000,
        audio=b"".join(part.format.to_pcm(bytes(part.audio)) for part in sound),
        instructions=item.instructions,
    )


class Conversation:
    """The items of the default conversation, in order.

    Attributes:
        id: The conversation's id.
        inserted: How many items ever came in.
    """

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.inserted = 0
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __contains__(self, item: Item) -> bool:
        return item in self._items

    @property
    def last_id(self) -> str | None:
        """The id of the last item; None when there is none."""
        return self._items[-1].id if self._items else None

    @property
    def weight(self) -> int:
        """About how many bytes it takes."""
        return sum(_ITEM_BYTES + sum(part.weight for part in item.parts) for item in self._items)

    def find(self, item_id: str) -> Item | None:
        """Find an item by its id."""
        return next((item for item in reversed(self._items) if item.id == item_id), None)

    def call(self, call_id: str) -> Item | None:
        """Find a function call by its call id."""
        calls = (item for item in reversed(self._items) if item.type == "function_call")
        return next((item for item in calls if item.call_id == call_id), None)

    def insert(self, item: Item, previous_item_id: str | None = None) -> None:
        """Insert an item: behind that one, at the front for `"root"`, at the end for None.

        Raises:
            Problem: There is no such item, or the new item's id is taken. Nothing was changed.
        """
        if self.find(item.id) is not None:
            raise problems.duplicate_item(item.id)
        if previous_item_id is None:
            self._items.append(item)
        elif previous_item_id == "root":
            self._items.insert(0, item)
        else:
            previous = self.find(previous_item_id)
            if previous is None:
                raise problems.unknown_previous_item(previous_item_id)
            self._items.insert(self._items.index(previous) + 1, item)
        self.inserted += 1
        item.number = self.inserted

    def previous_id(self, item: Item) -> str | None:
        """Tell which item stands before this one; None at the front, or when it was deleted."""
        if item not in self._items:
            return None
        index = self._items.index(item)
        return self._items[index - 1].id if index else None

    def delete(self, item: Item) -> None:
        """Take an item out."""
        self._items.remove(item)


def tell_end(outbox: Outbox, conversation: Conversation, item: Item) -> None:
    """Tell that an item of the conversation is whole; nothing, when it was deleted."""
    if item in conversation:
        outbox.send(
            events.ConversationItemDone(
                event_id=outbox.event_id(), item=item.wire(), previous_item_id=conversation.previous_id(item)
            )
        )
