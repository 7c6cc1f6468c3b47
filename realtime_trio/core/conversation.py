"""The mirror of the default conversation: its items in the server's order, with their texts, transcripts and calls.

Deliberately elsewhere: what is said in the items, piece by piece (`core.wording`), sound and positions
(`core.playout`), the life of a response (the session's `Response`).

Nothing here raises on any sequence of events: what does not fit what is known is kept as far as it goes, or ignored.
"""

# ruff: noqa: SLF001 - the table of handlers names private methods of the class above it

from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

from realtime_trio.events import (
    UNSET,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    InputAudioBufferCommitted,
    Item,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

from .item import ConversationItem, ItemPart, Transcription, fill, find_part, fits, item_id_of
from .item_table import ItemTable
from .order import ItemOrder
from .runs import PartKey
from .snapshot import Snapshot
from .snapshot_items import copy_item
from .wording import Wording

__all__ = ["Conversation", "ConversationItem", "ItemPart", "Transcription"]

_MAX_REMEMBERED = 4096


class Conversation:
    """The default conversation as the server has it, to the best of what it said.

    Iterating gives the items in the server's order, and so does an index: `conversation[-1]` is the last. What is not
    there is an `IndexError`.

    Args:
        heard_is_known: Whether what is heard is reported here (`set_heard`), as a session with a device does.

    Attributes:
        heard_is_known: The same.
    """

    def __init__(self, *, heard_is_known: bool = False) -> None:
        self._items = ItemTable()
        self._order = ItemOrder()
        self._wording = Wording(self._items)
        self._out_of_band: dict[str, str] = {}  # responses, and the items that they make
        self._made: dict[str, list[ConversationItem]] = {}  # by responses that are not done
        self._statuses: dict[str, str] = {}
        self._transcribes = False
        self.heard_is_known = heard_is_known

    def __iter__(self) -> Iterator[ConversationItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> ConversationItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ConversationItem, ...]: ...
    def __getitem__(self, index: int | slice) -> ConversationItem | tuple[ConversationItem, ...]:
        return self.items[index]

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The items in the server's order."""
        return tuple(self._items[item_id] for item_id in self._order)

    @property
    def unplaced(self) -> tuple[ConversationItem, ...]:
        """The items of which the server never said where they stand, in the order in which they were first seen."""
        return tuple(item for item in self._items if not item.deleted and item.id not in self._order)

    def get(self, item_id: str) -> ConversationItem | None:
        """Look an item up, also one that was deleted; None if it was never seen."""
        return self._items.get(item_id)

    @property
    def size(self) -> int:
        """How many items are remembered, with those that were deleted and those whose place is not known."""
        return len(self._items)

    @property
    def has_spoken(self) -> bool:
        """Whether the model has made a sound, also beside the conversation: its voice is fixed from then on."""
        return self._wording.has_spoken

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
        if self._wording.apply(event):
            return
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def lost(self, item_ids: Iterable[str]) -> None:
        """Take items out that nobody has any more, as if the server had said that they were deleted."""
        for item_id in item_ids:
            self._delete(item_id)

    # inside

    def _configured(self, event: SessionCreated | SessionUpdated) -> None:
        audio = event.session.audio
        audio_input = audio.input if audio else None
        if audio_input and audio_input.transcription is not UNSET:
            self._transcribes = audio_input.transcription is not None
        self._wording.configure(event.session)

    def _added(self, event: ConversationItemAdded | ConversationItemCreated) -> None:
        self._place(event.item, event.previous_item_id, added=True)

    def _item_done(self, event: ConversationItemDone) -> None:
        self._place(event.item, event.previous_item_id, added=False)

    def _place(self, value: Item, previous: Any, *, added: bool) -> None:
        item_id = item_id_of(value)
        if item_id is None or item_id in self._out_of_band:
            return
        item = self._items.known(item_id)
        if added and item.deleted:  # the same id may be used again: it is another item then
            item = self._items.renewed(item_id)
        if not item.deleted:
            self._put(item, previous)
        self._fill(item, value)

    def _retrieved(self, event: ConversationItemRetrieved) -> None:
        item_id = item_id_of(event.item)
        item = None if item_id is None else self._items.known(item_id)
        # another link may have words of it where there was sound, and may call whole what was cut off
        if item is not None and not item.is_final and fits(item, event.item):
            self._fill(item, event.item)

    def _committed(self, event: InputAudioBufferCommitted) -> None:
        item = self._items.known(event.item_id)
        item.role = "user"
        find_part(item, 0, "audio")
        if self._transcribes and item.transcription == "none":
            item.transcription = "pending"
        if not item.deleted:
            self._put(item, event.previous_item_id)

    def _deleted(self, event: ConversationItemDeleted) -> None:
        self._delete(event.item_id)

    def _delete(self, item_id: str) -> None:
        self._order.remove(item_id)
        forgotten = self._items.delete(item_id)
        if forgotten is not None:
            self._order.forget(forgotten)

    def _fill(self, item: ConversationItem, value: Item) -> None:
        fill(item, value)
        if item.role == "assistant" and item.status == "completed":
            self._wording.learn(item)
        self._items.join(item)

    def _put(self, item: ConversationItem, previous: Any) -> None:
        if item.id not in self._order:
            item.previous_item_id = previous if isinstance(previous, str) else None
            self._order.insert(item.id, previous)

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
                self._wording.complete(made)
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
        item = self._items.known(item_id)  # its place comes with `conversation.item.added`
        if item.response_id != event.response_id:
            item.response_id = event.response_id
            self._made.setdefault(event.response_id, []).append(item)
            if len(self._made) > _MAX_REMEMBERED:
                del self._made[next(iter(self._made))]
        self._fill(item, event.item)


_HANDLERS: dict[type, Callable[[Conversation, Any], None]] = {
    SessionCreated: Conversation._configured,
    SessionUpdated: Conversation._configured,
    ConversationItemAdded: Conversation._added,
    ConversationItemCreated: Conversation._added,
    ConversationItemDone: Conversation._item_done,
    ConversationItemRetrieved: Conversation._retrieved,
    ConversationItemTruncated: Conversation._truncated,
    ConversationItemDeleted: Conversation._deleted,
    InputAudioBufferCommitted: Conversation._committed,
    ResponseCreated: Conversation._response,
    ResponseDone: Conversation._response,
    ResponseOutputItemAdded: Conversation._output_item,
    ResponseOutputItemDone: Conversation._output_item,
}


def _remember(table: dict[str, str], key: str, value: str = "") -> None:
    """Add to a bounded table; the oldest go."""
    table[key] = value
    if len(table) > _MAX_REMEMBERED:
        del table[next(iter(table))]
