"""Every item that was seen, by its id: with the output of its call, and for a while after it was deleted.

Where they stand is in `core.order`, what is said of them in `core.conversation` and `core.wording`.
"""

from collections.abc import Iterator

from .item import ConversationItem

__all__ = ["ItemTable"]

_MOST_DELETED = 512


class ItemTable:
    """The items of one conversation. Iterating gives all that are remembered, in the order in which they were seen."""

    def __init__(self) -> None:
        self._items: dict[str, ConversationItem] = {}
        self._deleted_ids: dict[str, None] = {}  # that may be named yet, the newest last
        self._calls: dict[str, ConversationItem] = {}
        self._outputs: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[ConversationItem]:
        return iter(self._items.values())

    def __getitem__(self, item_id: str) -> ConversationItem:
        return self._items[item_id]

    def get(self, item_id: str) -> ConversationItem | None:
        """Look an item up; None if it was never seen."""
        return self._items.get(item_id)

    def known(self, item_id: str) -> ConversationItem:
        """Find an item, or make it."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = ConversationItem(item_id)
        return item

    def renewed(self, item_id: str) -> ConversationItem:
        """Make another item with the id of one that was deleted."""
        self._deleted_ids.pop(item_id, None)
        item = self._items[item_id] = ConversationItem(item_id)
        return item

    def delete(self, item_id: str) -> str | None:
        """Note that an item was deleted, also if it was never seen: something late may be said of it.

        Returns:
            The id of one that was deleted so long ago that it is forgotten now.
        """
        item = self.known(item_id)
        item.deleted = True
        for part in item.parts:
            part.close()
        self._deleted_ids[item.id] = None
        return self._forget() if len(self._deleted_ids) > _MOST_DELETED else None

    def _forget(self) -> str:
        oldest = next(iter(self._deleted_ids))
        del self._deleted_ids[oldest]
        item = self._items.pop(oldest)
        if item.call_id is not None:
            self._calls.pop(item.call_id, None)
            self._outputs.pop(item.call_id, None)
        return oldest

    def join(self, item: ConversationItem) -> None:
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
