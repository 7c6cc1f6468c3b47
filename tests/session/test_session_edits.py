"""What the session changes in the conversation by itself: sent, or shown in the mirror alone."""

import pytest

from realtime_trio import events
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.interruption import Delete, Truncate
from realtime_trio.session.edits import Edits


class Edited:
    """Edits of a conversation with one spoken item."""

    def __init__(self):
        self.sent = []
        self.conversation = Conversation()
        self.edits = Edits(self.sent.append, self.conversation)
        self.add()

    def add(self):
        item = events.assistant_message("x", id="item_1")
        self.conversation.apply(events.ConversationItemAdded(event_id="e", item=item))

    def answer(self, event):
        self.conversation.apply(event)
        self.edits.handle(event)

    @property
    def items(self):
        return [item.id for item in self.conversation]


DELETED = events.ConversationItemDeleted(event_id="e", item_id="item_1")


def test_the_server_decides_as_long_as_there_is_one():
    edited = Edited()
    edited.edits.make(Delete("item_1"))
    edited.edits.make(Truncate("item_2", 0, 300))

    assert [type(event) for event in edited.sent] == [events.ConversationItemDelete, events.ConversationItemTruncate]
    assert edited.items == ["item_1"]


def test_without_a_link_the_mirror_shows_it_at_once():
    edited = Edited()
    edited.edits.lose_link()
    edited.edits.make(Truncate("item_1", 0, 300))

    assert edited.conversation.get("item_1").parts[0].truncated_ms == 300

    edited.edits.make(Delete("item_1"))

    assert (edited.items, edited.sent) == ([], [])

    edited.edits.regain_link()
    edited.edits.make(Delete("item_1"))

    assert len(edited.sent) == 1


@pytest.mark.parametrize("answered", [True, False])
def test_what_was_on_its_way_counts_once(answered):
    """An item may get a name that another had."""
    edited = Edited()
    edited.edits.make(Delete("item_1"))
    if answered:
        edited.answer(DELETED)
        edited.add()
    edited.edits.lose_link()

    assert edited.items == (["item_1"] if answered else [])

    edited.edits.regain_link()
    if not answered:
        edited.add()
    edited.edits.lose_link()

    assert edited.items == ["item_1"]


def test_there_is_an_end_to_what_a_server_leaves_unanswered():
    edited = Edited()
    for number in range(1, 300):
        edited.edits.make(Delete(f"item_{number}"))
    edited.edits.lose_link()

    assert edited.items == ["item_1"]
