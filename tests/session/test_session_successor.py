"""What a connection knows of the conversation that was there before it."""

from realtime_trio import events as wire
from realtime_trio.core.restore import Wanted
from realtime_trio.session.successor import Successor


def test_what_came_later_is_on_the_link_whatever_can_be_said_of_it():
    """An answer that nobody has heard yet: a restored link would not get it, and this one has it all the same."""
    successor = Successor(None, 10)
    old = ("b", "a")
    successor.changes(Wanted([("a", wire.assistant_message("One two"))], (), (old,)))
    first, second = successor.replace("a", Wanted([("a", wire.assistant_message("One"))], (), (old, ("live", "a"))))

    assert isinstance(first, wire.ConversationItemDelete)
    assert isinstance(second, wire.ConversationItemCreate)
    assert successor.ids.answer(wire.ConversationItemDelete(item_id="live")) is None
    assert successor.ids.answer(wire.ConversationItemDelete(item_id="b")) is not None


def test_what_is_cut_to_nothing_is_not_on_the_link_any_more():
    successor = Successor(None, 10)
    successor.changes(Wanted([("a", wire.assistant_message("One two"))], ()))
    (only,) = successor.replace("a", Wanted([], (), (("a", None),)))

    assert isinstance(only, wire.ConversationItemDelete)
    assert successor.ids.answer(wire.ConversationItemDelete(item_id="a")) is not None
