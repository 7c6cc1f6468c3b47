"""Two names for one item: the one it has had from the beginning, and the one it has on the link that has it now.

Deliberately elsewhere: which items a new link is given (`core.restore`), and who gives them (the session's line).

Theory of operation. No client can choose the id of an item that it has seen before, so what is restored on a new link
has a new id there. Above the line the old one goes on: in what the program was given, in the mirror, in events. So ids
are translated as they pass, outwards and inwards, each link having its own translation; items that were made on the
link itself have one name and pass as they are. Two kinds of items are on one side only. What the link could not be
given is in the mirror: events name its nearest neighbour instead, so that new items come to stand behind all of the old
ones there too. And what the line does on its own account is on the link: nobody above hears of that.
"""

# ruff: noqa: SLF001 - the tables of handlers name private methods of the class above them

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import msgspec

from realtime_trio import events
from realtime_trio.events import UNSET, ClientEvent, Item, ItemReference, ServerEvent

from .item import item_id_of
from .seeds import output_name

__all__ = ["ItemIds"]

_ID = re.compile(r"[\w-]+")
_Added: TypeAlias = events.ConversationItemAdded | events.ConversationItemCreated | events.ConversationItemDone
_Event = TypeVar("_Event", bound=msgspec.Struct)


class ItemIds:
    """The names of items on one link. In what follows, an old id is the name above the line."""

    def __init__(self) -> None:
        self._new: dict[str, str] = {}  # of what is on the link under another name
        self._old: dict[str, str] = {}  # of all that ever was: much may still be said of it
        self._silent: set[str] = set()  # new ids whose creation was the line's own business,
        self._removed: set[str] = set()  # and those whose deletion is
        self._gone: set[str] = set()  # old ids of what was restored and deleted
        self._anchors: dict[str, str | None] = {}  # absent items, and what stands before their place
        self._tails: dict[str | None, str] = {}  # what stands on the link, and the last absent item behind it

    def __contains__(self, old_id: object) -> bool:
        """Whether it was restored on this link, and is there under another name."""
        return old_id in self._new

    def restored(self, old_id: str, new_id: str) -> None:
        """Note that an item gets another name on this link; before the server can say anything of it.

        Args:
            old_id: Its name above; also one of `core.seeds.output_name`.
            new_id: Its id on the link.
        """
        self._new[old_id] = new_id
        self._old[new_id] = _without_output(old_id)
        self._silent.add(new_id)

    def forget(self, old_id: str) -> str | None:
        """Take back that an item is on this link, because the line deletes it there, to create it again or not.

        Returns:
            The id of what is to be deleted; None if it is not there. That it was deleted nobody above will hear.
        """
        new_id = self._new.pop(old_id, None)
        if new_id is not None:
            self._removed.add(new_id)
        return new_id

    def left_out(self, absent: Iterable[tuple[str, str | None]]) -> None:
        """Note which items of the mirror this link does not have; of those that were noted before, it has the others.

        Args:
            absent: Their old ids, in order, each with that of what the link has before the place; None for the front.
        """
        self._anchors = dict(absent)
        self._find_tails()

    def _find_tails(self) -> None:
        self._tails = {
            None if after is None else _without_output(after): old_id for old_id, after in self._anchors.items()
        }

    def outgoing(self, event: ClientEvent) -> ClientEvent:
        """Give an event as the link knows it."""
        if not (self._new or self._anchors):
            return event
        translate = _OUTGOING.get(type(event))
        return event if translate is None else translate(self, event)

    def incoming(self, event: ServerEvent) -> ServerEvent | None:
        """Give an event as it is known above the line; None for what nobody there is to hear of."""
        if not (self._old or self._tails):
            return event
        translate = _INCOMING.get(type(event))
        return event if translate is None else translate(self, event)

    def answer(self, event: ClientEvent) -> ServerEvent | None:
        """Answer an event in the server's place, where it is about what the link does not have as the mirror has it.

        That an absent item is deleted or cut, or cannot be created because there is one; and that a restored one is
        cut, whose sound the link does not have: the line has to replace it then.

        Returns:
            What the mirror and the caller are to be told; None for what the server is to be asked.
        """
        match event:
            case events.ConversationItemCreate(item=item) if item_id_of(item) in self._anchors:
                return _refused(event, str(item_id_of(item)))
            case events.ConversationItemDelete(item_id=item_id) if item_id in self._anchors:
                del self._anchors[item_id]
                self._find_tails()
                return events.ConversationItemDeleted(event_id=_local(event), item_id=item_id)
            case events.ConversationItemTruncate(item_id=item_id) if item_id in self._anchors or item_id in self._new:
                return events.ConversationItemTruncated(
                    event_id=_local(event),
                    item_id=item_id,
                    content_index=event.content_index,
                    audio_end_ms=event.audio_end_ms,
                )
            case _:
                return None

    # outwards

    def _about(self, event: _Event) -> _Event:
        new_id = self._new.get(event.item_id)  # type: ignore[attr-defined]
        return event if new_id is None else msgspec.structs.replace(event, item_id=new_id)

    def _delete(self, event: events.ConversationItemDelete) -> ClientEvent:
        translated = self._about(event)
        if self._new.pop(event.item_id, None) is not None:
            self._gone.add(event.item_id)  # its name may be used again, at once
        return translated

    def _create(self, event: events.ConversationItemCreate) -> ClientEvent:
        item_id = item_id_of(event.item)
        new_id = self._new.get(item_id or "")
        if new_id is not None:  # it is for the server to say that there is one already
            event = msgspec.structs.replace(event, item=_named(event.item, new_id))
        previous = event.previous_item_id
        before = self._before(previous) if isinstance(previous, str) else previous
        return event if before == previous else msgspec.structs.replace(event, previous_item_id=before)

    def _before(self, previous: str) -> str:
        """Say what on the link stands before the place behind an item."""
        name = self._anchors.get(previous, previous)
        if name is None:
            return "root"
        if name in self._gone:
            return previous  # the server is to refuse what was asked for, not what we made of it
        return self._new.get(output_name(name)) or self._new.get(name, name)

    def _ask(self, event: events.ResponseCreate) -> ClientEvent:
        params = event.response
        if not params or not isinstance(params.input, list):
            return event
        given: list[Item] = []
        for item in params.input:
            given += self._references(item) if isinstance(item, ItemReference) else [item]
        if given == params.input:
            return event
        return msgspec.structs.replace(event, response=msgspec.structs.replace(params, input=given))

    def _references(self, reference: ItemReference) -> Iterator[Item]:
        """Refer to what there is of an item: nothing, or a call and its output."""
        if reference.id in self._anchors:
            return
        yield self._renamed(reference, self._new.get(reference.id))
        answer = self._new.get(output_name(reference.id))
        if answer is not None:
            yield ItemReference(id=answer)

    def _renamed(self, item: Item, item_id: str | None) -> Item:
        return item if item_id is None else _named(item, item_id)

    # inwards

    def _told(self, event: _Event) -> _Event:
        """Translate what an event is about."""
        old_id = self._old.get(event.item_id)  # type: ignore[attr-defined]
        return event if old_id is None else msgspec.structs.replace(event, item_id=old_id)

    def _committed(self, event: events.InputAudioBufferCommitted) -> ServerEvent:
        return self._placed(self._told(event))

    def _added(self, event: _Added) -> ServerEvent | None:
        if item_id_of(event.item) in self._silent:
            return None
        return self._placed(self._with_item(event))

    def _placed(self, event: _Event) -> _Event:
        previous = event.previous_item_id  # type: ignore[attr-defined]
        if previous is UNSET:
            return event
        before = None if previous is None or previous == "root" else self._old.get(previous, previous)
        before = self._tails.get(before, before)
        return event if before in (previous, None) else msgspec.structs.replace(event, previous_item_id=before)

    def _with_item(self, event: _Event) -> _Event:
        item: Item = event.item  # type: ignore[attr-defined]
        old_id = self._old.get(item_id_of(item) or "")
        return event if old_id is None else msgspec.structs.replace(event, item=_named(item, old_id))

    def _deleted(self, event: events.ConversationItemDeleted) -> ServerEvent | None:
        return None if event.item_id in self._removed else self._told(event)

    def _response(self, event: events.ResponseCreated | events.ResponseDone) -> ServerEvent:
        output = event.response.output
        if not isinstance(output, list):
            return event
        told = [self._renamed(item, self._old.get(item_id_of(item) or "")) for item in output]
        if told == output:
            return event
        return msgspec.structs.replace(event, response=msgspec.structs.replace(event.response, output=told))

    def _problem(self, event: events.Error) -> ServerEvent:
        """Translate the ids that the server's words quote."""
        said = event.error.message
        told = _ID.sub(lambda found: self._old.get(found[0], found[0]), said)
        if told == said:
            return event
        return msgspec.structs.replace(event, error=msgspec.structs.replace(event.error, message=told))


def _without_output(name: str) -> str:
    """Give the name of the call, for that of an output without an item of its own."""
    call = name.partition(" ")[0]
    return call if name == output_name(call) else name


def _named(item: Item, item_id: str) -> Item:
    if isinstance(item, events.UnknownItem):
        return msgspec.structs.replace(item, data={**item.data, "id": item_id})
    return msgspec.structs.replace(item, id=item_id)


def _refused(event: ClientEvent, item_id: str) -> events.Error:
    problem = events.ErrorDetails(
        type="invalid_request_error",
        message=f"Error adding item: an item with id '{item_id}' already exists in the conversation.",
        param="item.id",
        event_id=event.event_id,
    )
    return events.Error(event_id=_local(event), error=problem)


def _local(event: Any) -> str:
    return f"local_{event.event_id}" if isinstance(event.event_id, str) else "local"


_OUTGOING: dict[type, Callable[[ItemIds, Any], ClientEvent]] = {
    events.ConversationItemCreate: ItemIds._create,
    events.ConversationItemDelete: ItemIds._delete,
    events.ConversationItemRetrieve: ItemIds._about,
    events.ConversationItemTruncate: ItemIds._about,
    events.ResponseCreate: ItemIds._ask,
}

_INCOMING: dict[type, Callable[[ItemIds, Any], ServerEvent | None]] = {
    **{kind: ItemIds._told for kind in events.SERVER_EVENTS["realtime"] if "item_id" in kind.__struct_fields__},
    events.ConversationItemAdded: ItemIds._added,
    events.ConversationItemCreated: ItemIds._added,
    events.ConversationItemDone: ItemIds._added,
    events.ConversationItemDeleted: ItemIds._deleted,
    events.ConversationItemRetrieved: ItemIds._with_item,
    events.ResponseOutputItemAdded: ItemIds._with_item,
    events.ResponseOutputItemDone: ItemIds._with_item,
    events.InputAudioBufferCommitted: ItemIds._committed,
    events.ResponseCreated: ItemIds._response,
    events.ResponseDone: ItemIds._response,
    events.Error: ItemIds._problem,
}
"""Tables and not chains of tests: most events are sound, and those are to cost two look-ups here."""
