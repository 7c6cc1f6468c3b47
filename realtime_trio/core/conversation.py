"""The mirror of the default conversation: its items in the server's order, with their texts, transcripts and calls.

Deliberately elsewhere: sound and positions (`core.playout`), the life of a response (the session's `Response`).

Nothing here raises on any sequence of events: what does not fit what is known is kept as far as it goes, or ignored.
"""

# ruff: noqa: SLF001 - the table of handlers names private methods of the class above it

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from realtime_trio.events import (
    UNSET,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    InputAudioBufferCommitted,
    Item,
    RealtimeSession,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

from .captions import PACE
from .item import (
    MAX_CHARACTERS,
    ConversationItem,
    ItemPart,
    Transcription,
    extend,
    fill,
    fill_part,
    find_part,
    item_id_of,
    say,
)
from .order import ItemOrder
from .runs import PartKey
from .snapshot import Snapshot
from .snapshot_items import copy_item

__all__ = ["Conversation", "ConversationItem", "ItemPart", "Transcription"]

_MAX_REMEMBERED = 4096
_MAX_DELETED = 512  # items, which are larger than names
_PCM_BYTES_PER_MS = 48  # PCM16 at 24 kHz
_G711_BYTES_PER_MS = 8

_Words: TypeAlias = (
    ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
)
_Arguments: TypeAlias = (
    ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
)


class Conversation:
    """The default conversation as the server has it, to the best of what it said.

    Iterating gives the items in the server's order.

    Args:
        heard_is_known: Whether what is heard is reported here (`set_heard`), as a session with a device does.

    Attributes:
        heard_is_known: The same.
        has_spoken: Whether the model has made a sound, also beside the conversation: its voice is fixed from then on.
    """

    def __init__(self, *, heard_is_known: bool = False) -> None:
        self._items: dict[str, ConversationItem] = {}
        self._order = ItemOrder()
        self._deleted_ids: dict[str, None] = {}  # that may be named yet, the newest last
        self._out_of_band: dict[str, str] = {}  # responses, and the items that they make
        self._made: dict[str, list[ConversationItem]] = {}  # by responses that are not done
        self._statuses: dict[str, str] = {}
        self._calls: dict[str, ConversationItem] = {}
        self._outputs: dict[str, str] = {}
        self._transcribes = False
        self._bytes_per_ms = _PCM_BYTES_PER_MS
        self._pace = PACE
        self.heard_is_known = heard_is_known
        self.has_spoken = False

    def __iter__(self) -> Iterator[ConversationItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The items in the server's order."""
        return tuple(self._items[item_id] for item_id in self._order)

    @property
    def unplaced(self) -> tuple[ConversationItem, ...]:
        """The items of which the server never said where they stand, in the order in which they were first seen."""
        return tuple(item for item in self._items.values() if not item.deleted and item.id not in self._order)

    def get(self, item_id: str) -> ConversationItem | None:
        """Look an item up, also one that was deleted; None if it was never seen."""
        return self._items.get(item_id)

    @property
    def size(self) -> int:
        """How many items are remembered, with those that were deleted and those whose place is not known."""
        return len(self._items)

    def response_status(self, response_id: str) -> str | None:
        """The last status that was seen of a response, None if none was."""
        return self._statuses.get(response_id)

    def snapshot(self, *, images: bool = True) -> Snapshot:
        """Take a copy of the conversation as plain data, to be kept, or to begin another session with.

        Args:
            images: Whether to keep pictures; each makes the copy larger by as much as it was on the wire.
        """
        known = self.heard_is_known
        return Snapshot(items=tuple(copy_item(item, images=images, heard_is_known=known) for item in self))

    def set_heard(self, part: PartKey, heard_ms: int) -> None:
        """Note what was heard of a content part. It never shrinks."""
        item = self._items.get(part.item_id)
        if item is not None:
            heard = find_part(item, part.content_index, "audio")
            heard.heard_ms = max(heard_ms, heard.heard_ms or 0)
            heard.settle()

    def words(self, part: PartKey) -> tuple[str, str]:
        """Give the words of a content part: those that were generated, and those of them that were heard, about."""
        item = self._items.get(part.item_id)
        if item is None or not 0 <= part.content_index < len(item.parts):
            return "", ""
        return item.parts[part.content_index].generated_text, item.heard_text_of(part.content_index)

    def apply(self, event: ServerEvent) -> None:
        """Follow one server event.

        Args:
            event: Any event; those that say nothing about the conversation change nothing, none raises.
        """
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    # inside

    def _known(self, item_id: str) -> ConversationItem:
        """Find an item; a new one has no place in the order yet."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = ConversationItem(item_id)
        return item

    def _configured(self, event: SessionCreated | SessionUpdated) -> None:
        audio = event.session.audio
        audio_input = audio.input if audio else None
        if audio_input and audio_input.transcription is not UNSET:
            self._transcribes = audio_input.transcription is not None
        output = audio.output if audio and isinstance(event.session, RealtimeSession) else None
        if output and output.format and isinstance(output.format.type, str):
            pcm = output.format.type not in {"audio/pcmu", "audio/pcma"}
            self._bytes_per_ms = _PCM_BYTES_PER_MS if pcm else _G711_BYTES_PER_MS

    def _added(self, event: ConversationItemAdded | ConversationItemCreated) -> None:
        self._place(event.item, event.previous_item_id, added=True)

    def _item_done(self, event: ConversationItemDone) -> None:
        self._place(event.item, event.previous_item_id, added=False)

    def _place(self, value: Item, previous: Any, *, added: bool) -> None:
        item_id = item_id_of(value)
        if item_id is None or item_id in self._out_of_band:
            return
        item = self._known(item_id)
        if added and item.deleted:  # the same id may be used again: it is another item then
            item = self._items[item_id] = ConversationItem(item_id)
            self._deleted_ids.pop(item_id, None)
        if not item.deleted:
            self._put(item, previous)
        self._fill(item, value)

    def _retrieved(self, event: ConversationItemRetrieved) -> None:
        item_id = item_id_of(event.item)
        if item_id is not None:
            self._fill(self._known(item_id), event.item)

    def _committed(self, event: InputAudioBufferCommitted) -> None:
        item = self._known(event.item_id)
        item.role = "user"
        find_part(item, 0, "audio")
        if self._transcribes and item.transcription == "none":
            item.transcription = "pending"
        if not item.deleted:
            self._put(item, event.previous_item_id)

    def _deleted(self, event: ConversationItemDeleted) -> None:
        self._order.remove(event.item_id)
        item = self._items.get(event.item_id)
        if item is not None:
            item.deleted = True
            for part in item.parts:
                part.close()
            self._deleted_ids[item.id] = None
            if len(self._deleted_ids) > _MAX_DELETED:
                self._forget(next(iter(self._deleted_ids)))

    def _forget(self, item_id: str) -> None:
        del self._deleted_ids[item_id]
        self._order.forget(item_id)
        item = self._items.pop(item_id)
        if item.call_id is not None:
            self._calls.pop(item.call_id, None)
            self._outputs.pop(item.call_id, None)

    def _fill(self, item: ConversationItem, value: Item) -> None:
        fill(item, value)
        if item.role == "assistant" and item.status == "completed":
            self._learn(item)
        self._join(item)

    def _complete(self, made: Iterable[ConversationItem]) -> None:
        """Take what a completed response made as whole, also where its items do not say so themselves."""
        for item in made:
            for part in item.parts:
                part.whole = True
                part.settle()
            self._learn(item)

    def _learn(self, item: ConversationItem) -> None:
        """Take over how fast the assistant speaks: one part after the other is spoken by the same voice."""
        for part in item.parts:
            if part.captions.received_ms:
                self._pace = part.captions.pace(part.transcript) or self._pace

    def _put(self, item: ConversationItem, previous: Any) -> None:
        if item.id not in self._order:
            item.previous_item_id = previous if isinstance(previous, str) else None
            self._order.insert(item.id, previous)

    def _join(self, item: ConversationItem) -> None:
        """Set a function call's output on the call too, whichever of the two came first."""
        if item.call_id is None:
            return
        if item.type == "function_call":
            self._calls[item.call_id] = item
            if item.call_id in self._outputs:
                item.output = self._outputs[item.call_id]
        elif item.type == "function_call_output" and item.output is not None:
            self._outputs[item.call_id] = item.output
            if item.call_id in self._calls:
                self._calls[item.call_id].output = item.output

    def _truncated(self, event: ConversationItemTruncated) -> None:
        item = self._items.get(event.item_id)
        if item is not None:
            find_part(item, event.content_index, "audio").truncated_ms = event.audio_end_ms

    def _response(self, event: ResponseCreated | ResponseDone) -> None:
        response = event.response
        if not isinstance(response.id, str):
            return
        if response.conversation_id is None:
            _remember(self._out_of_band, response.id)
        if isinstance(response.status, str):
            _remember(self._statuses, response.id, response.status)
            made = () if response.status == "in_progress" else self._made.pop(response.id, ())
            if response.status == "completed" and response.id not in self._out_of_band:
                self._complete(made)
        if response.id in self._out_of_band or not isinstance(response.output, list):
            return
        for value in response.output:
            item = self._items.get(item_id_of(value) or "")
            if item is not None:  # a last chance for what was missed; it is no word about the order
                item.response_id = response.id
                self._fill(item, value)

    def _output_item(self, event: ResponseOutputItemAdded | ResponseOutputItemDone) -> None:
        item_id = item_id_of(event.item)
        if item_id is None:
            return
        if event.response_id in self._out_of_band:
            _remember(self._out_of_band, item_id)
            return
        item = self._known(item_id)  # its place comes with `conversation.item.added`
        if item.response_id != event.response_id:
            item.response_id = event.response_id
            self._made.setdefault(event.response_id, []).append(item)
            if len(self._made) > _MAX_REMEMBERED:
                del self._made[next(iter(self._made))]
        self._fill(item, event.item)

    def _transcript_delta(self, event: ConversationItemInputAudioTranscriptionDelta) -> None:
        item = self._known(event.item_id)
        if item.transcription not in ("completed", "failed"):
            item.transcription = "pending"
            extend(find_part(item, event.content_index or 0, "audio"), transcript=event.delta)

    def _transcript_done(self, event: ConversationItemInputAudioTranscriptionCompleted) -> None:
        item = self._known(event.item_id)
        item.transcription = "completed"
        part = find_part(item, event.content_index, "audio")
        say(part, event.transcript, complete=True)

    def _transcript_failed(self, event: ConversationItemInputAudioTranscriptionFailed) -> None:
        item = self._known(event.item_id)
        if item.transcription != "completed":
            item.transcription = "failed"
            item.transcription_error = event.error

    def _part(self, event: ResponseContentPartAdded | ResponseContentPartDone) -> None:
        item = self._items.get(event.item_id)
        if item is not None:
            fill_part(item, event.content_index, event.part, complete=isinstance(event, ResponseContentPartDone))

    def _sound(self, event: ResponseOutputAudioDelta) -> None:
        self.has_spoken = True
        item = self._items.get(event.item_id)
        if item is not None:
            captions = find_part(item, event.content_index, "audio").captions
            if not captions.received_ms:
                captions.usual_pace = self._pace
            captions.note_sound(len(event.delta) / self._bytes_per_ms)

    def _words(self, event: _Words) -> None:
        item = self._items.get(event.item_id)
        if item is None:
            return
        match event:
            case ResponseOutputTextDelta():
                extend(find_part(item, event.content_index, "text"), text=event.delta)
            case ResponseOutputAudioTranscriptDelta():
                extend(find_part(item, event.content_index, "audio"), transcript=event.delta)
            case ResponseOutputTextDone():
                part = find_part(item, event.content_index, "text")
                part.text, part.complete = event.text, True
            case ResponseOutputAudioTranscriptDone():
                say(find_part(item, event.content_index, "audio"), event.transcript, complete=True)

    def _arguments(self, event: _Arguments) -> None:
        item = self._items.get(event.item_id)
        if item is None:
            return
        match event:
            case ResponseFunctionCallArgumentsDelta() | ResponseMcpCallArgumentsDelta():
                if not item.arguments_complete and len(item.arguments) < MAX_CHARACTERS:
                    item.arguments += event.delta
            case ResponseFunctionCallArgumentsDone():
                item.name, item.call_id = event.name, event.call_id
                item.arguments, item.arguments_complete = event.arguments, True
                self._join(item)
            case ResponseMcpCallArgumentsDone():
                item.arguments, item.arguments_complete = event.arguments, True


_HANDLERS: dict[type, Callable[[Conversation, Any], None]] = {
    SessionCreated: Conversation._configured,
    SessionUpdated: Conversation._configured,
    ConversationItemAdded: Conversation._added,
    ConversationItemCreated: Conversation._added,
    ConversationItemDone: Conversation._item_done,
    ConversationItemRetrieved: Conversation._retrieved,
    ConversationItemTruncated: Conversation._truncated,
    ConversationItemDeleted: Conversation._deleted,
    ConversationItemInputAudioTranscriptionDelta: Conversation._transcript_delta,
    ConversationItemInputAudioTranscriptionCompleted: Conversation._transcript_done,
    ConversationItemInputAudioTranscriptionFailed: Conversation._transcript_failed,
    InputAudioBufferCommitted: Conversation._committed,
    ResponseCreated: Conversation._response,
    ResponseDone: Conversation._response,
    ResponseOutputItemAdded: Conversation._output_item,
    ResponseOutputItemDone: Conversation._output_item,
    ResponseContentPartAdded: Conversation._part,
    ResponseContentPartDone: Conversation._part,
    ResponseOutputAudioDelta: Conversation._sound,
    ResponseOutputTextDelta: Conversation._words,
    ResponseOutputTextDone: Conversation._words,
    ResponseOutputAudioTranscriptDelta: Conversation._words,
    ResponseOutputAudioTranscriptDone: Conversation._words,
    ResponseFunctionCallArgumentsDelta: Conversation._arguments,
    ResponseFunctionCallArgumentsDone: Conversation._arguments,
    ResponseMcpCallArgumentsDelta: Conversation._arguments,
    ResponseMcpCallArgumentsDone: Conversation._arguments,
}
"""A table and not a chain of tests: most events are audio, and those are to cost one look-up here."""


def _remember(table: dict[str, str], key: str, value: str = "") -> None:
    """Add to a bounded table; the oldest go."""
    table[key] = value
    if len(table) > _MAX_REMEMBERED:
        del table[next(iter(table))]
