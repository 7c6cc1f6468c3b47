"""What a new link has to be told of the conversation, and how what it has becomes what it shall have.

Deliberately elsewhere: what becomes of a single item (`core.seeds`), the names of items on the new link
(`core.item_ids`), the user's sound (`core.kept_audio`), sending.

Theory of operation. The mirror is the truth, and it keeps the names that its items have had from the beginning. An item
that was made on the link itself is there as it was made: it needs no words, and is written as a reference to itself.
Everything else is what `core.seeds` makes of it. Two such lists can be compared; where they differ, items are deleted
and created again, because no server changes one.
"""

import bisect
from collections.abc import Container, Sequence
from typing import TypeAlias

import attrs

from realtime_trio.events import Item, ItemReference

from .conversation import Conversation
from .item import ConversationItem
from .seeds import AudioOf, LeftOut, Seed, Seeds
from .snapshot_items import SnapshotItem, copy_item

__all__ = ["Create", "Delete", "Step", "Wanted", "steps", "wanted"]


@attrs.frozen
class Wanted:
    """What a link shall have.

    Attributes:
        items: The items to create, by their old ids and without new ones, in order. A call of an MCP server is two,
            the second under `core.seeds.output_name`. An `ItemReference` is an item that was made on the link itself.
        left_out: What of the conversation it cannot have.
        absent: The items that it has nothing of, in order, each with the one that it has before the place: None for
            the front.
    """

    items: list[Seed]
    left_out: tuple[LeftOut, ...]
    absent: tuple[tuple[str, str | None], ...] = ()

    def absent_without(self, refused: Container[str]) -> tuple[tuple[str, str | None], ...]:
        """Give what is absent when the link does not take some of the items, by their old ids, either."""
        behind: dict[str | None, list[str]] = {}
        for name, after in self.absent:
            behind.setdefault(after, []).append(name)
        result: list[tuple[str, str | None]] = [(name, None) for name in behind.get(None, ())]
        before: str | None = None
        for name, _ in self.items:
            if name not in refused:
                before = name
            elif " " not in name:  # else it is no item of the conversation, see `core.seeds.output_name`
                result.append((name, before))
            result += [(one, before) for one in behind.get(name, ())]
        return tuple(result)


@attrs.frozen
class Delete:
    """Take out what was created for an item.

    Attributes:
        old_id: Its old id.
    """

    old_id: str


@attrs.frozen
class Create:
    """Create an item.

    Attributes:
        old_id: The id that it has had.
        item: What is to be created, without an id.
        after: The old id of the item that it stands behind; None for the front.
    """

    old_id: str
    item: Item
    after: str | None


Step: TypeAlias = Delete | Create


def wanted(
    conversation: Conversation,
    *,
    playing: Container[str] = (),
    audio_of: AudioOf | None = None,
    live: Container[str] = (),
) -> Wanted:
    """Say what a link shall have of a conversation.

    Unlike `Snapshot.items_to_create` it leaves calls without an output open: whoever owes it delivers it on the new
    link. Where the user's words are not all known, the sound stands for them, if it was kept; the words are taken where
    both are there, because they cost less. Items whose place the server never told are left out, but for calls: these
    stand before their output, or at the end until it comes.

    Args:
        conversation: The mirror.
        playing: The items that are being played: all sound that came of them counts as heard.
        audio_of: Gives the sound of an item of the user's, in the link's input format.
        live: The items that were made on the link that is to have them.
    """
    items, out_of_place = _in_order(conversation, playing, live)
    seeds = Seeds(items, leave_open=True, audio_of=audio_of)
    made: list[Seed] = []
    left_out = [LeftOut(item.id, "unknown_place") for item in out_of_place if item.id not in live]
    absent: list[tuple[str, str | None]] = []
    for place, item in enumerate(items):
        count = len(made)
        if item.id in live:
            made.append((item.id, ItemReference(id=item.id)))
            continue
        for seed in seeds.of(place):
            if isinstance(seed, LeftOut):
                left_out.append(seed)
            elif seed[0] not in live:
                made.append(seed)
        if len(made) == count:
            absent.append((item.id, made[-1][0] if made else None))
    names = {name for name, _ in made}
    return Wanted(made, tuple(left_out), tuple(one for one in absent if one[0] not in names))


def _in_order(
    conversation: Conversation, playing: Container[str], live: Container[str]
) -> tuple[tuple[SnapshotItem, ...], list[ConversationItem]]:
    """Give the items in order, with calls that have no place at one where they can be; and what has none."""
    placed = list(conversation.items)
    out_of_place = []
    for item in conversation.unplaced:
        if item.type == "function_call" and item.call_id is not None and item.id not in live:
            outputs = (n for n, one in enumerate(placed) if _answers(one, item.call_id))
            placed.insert(next(outputs, len(placed)), item)
        elif item.generated_text:
            out_of_place.append(item)
    known = conversation.heard_is_known
    copies = (copy_item(item, images=True, heard_is_known=known, playing=item.id in playing) for item in placed)
    return tuple(copies), out_of_place


def _answers(item: ConversationItem, call_id: str) -> bool:
    return item.type == "function_call_output" and item.call_id == call_id


def steps(have: Sequence[Seed], want: Sequence[Seed]) -> list[Step]:
    """Say how a link comes from what it has to what it shall have.

    Args:
        have: What was created on it, by old ids, in order.
        want: What it shall have. What is there as a reference in `want` stays as it is, and can be missing in `have`.

    Returns:
        Nothing but creations where only something was added, as few of both as possible otherwise; what is to be
        deleted first, because an item that is created again has the same old id.
    """
    stays = _unmoved(have, want)
    result: list[Step] = [Delete(name) for name, item in have if name not in stays and not _is_live(item)]
    before: str | None = None
    for name, item in want:
        if name not in stays and not _is_live(item):
            result.append(Create(name, item, before))
        before = name
    return result


def _is_live(item: Item) -> bool:
    return isinstance(item, ItemReference)


def _unmoved(have: Sequence[Seed], want: Sequence[Seed]) -> set[str]:
    """Give the most items that are the same in both and in the same order."""
    places = {name: (place, item) for place, (name, item) in enumerate(want)}
    same = [
        (places[name][0], name)
        for name, item in have
        if name in places and places[name][1] == item and not _is_live(item)
    ]
    # the longest ascending row of places: for each length, the smallest place that one of that length ends with
    ends: list[int] = []
    tops: list[int] = []
    behind: list[int | None] = []
    for index, (place, _) in enumerate(same):
        length = bisect.bisect_left(ends, place)
        ends[length : length + 1] = [place]
        tops[length : length + 1] = [index]
        behind.append(tops[length - 1] if length else None)
    result = set()
    walk = tops[-1] if tops else None
    while walk is not None:
        result.add(same[walk][1])
        walk = behind[walk]
    return result
