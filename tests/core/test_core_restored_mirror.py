"""The mirror of a conversation that was restored on another link: it keeps what it knows, whatever that link has."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.item_ids import ItemIds
from realtime_trio.core.restore import wanted
from realtime_trio.core.runs import PartKey

from .mirror_events import (
    HAPPENS,
    ITEMS,
    added,
    call,
    committed,
    half_transcribed,
    mcp_call,
    output,
    spoken,
    transcribed,
)


def mirror(happened, heard=(), ms=200):
    conversation = Conversation(heard_is_known=True)
    for event in happened:
        conversation.apply(event)
    for item in conversation:
        if item.id in heard and item.role == "assistant":
            conversation.set_heard(PartKey("r", item.id, 0), ms)
    return conversation


def restore(conversation, kept=()):
    """Give the names on a new link, and what it has under them."""
    want = wanted(conversation, audio_of=lambda item_id: b"12" if item_id in kept else None)
    ids, has = ItemIds(), {}
    ids.left_out(want.absent)
    for n, (old_id, item) in enumerate(want.items):
        ids.restored(old_id, f"new{n}")
        has[old_id] = msgspec.structs.replace(item, id=f"new{n}", status="completed")
    return ids, has


def picture(conversation):
    """All that can be seen of it; but for the status, which another link may be the first to tell."""
    items = [
        (item.id, item.type, item.role, item.text, item.transcript, item.output, item.call_id)
        + ((item.heard_text,) if item.role == "assistant" else ())
        for item in conversation
    ]
    return items, [msgspec.structs.replace(item, status=None) for item in conversation.snapshot().items]


def retrieve(ids, item):
    return ids.incoming(wire.ConversationItemRetrieved(event_id="e", item=item))


@pytest.mark.parametrize(
    "happened",
    [
        [committed("u"), transcribed("u", "Hello.")],
        spoken("a", "One two three four five six.", 2700),
        [added(mcp_call("m", output="found"))],
        [
            committed("u"),
            added(wire.Message(role="user", id="u", content=[wire.InputAudio(), wire.InputImage(image_url="data:x")])),
        ],
        [added(wire.Message(role="user", id="u", content=[wire.InputText(), wire.InputText(text="b")]))],
        [added(call("x")), added(output("x"))],
    ],
)
def test_what_another_link_has_of_an_item_is_not_what_it_is(happened):
    """There it is text, or less of it, or a call of another kind; the mirror knows how it came about."""
    conversation = mirror(happened, heard=["a"], ms=1350)
    ids, has = restore(conversation)
    before = picture(conversation)

    assert has
    for item in has.values():
        conversation.apply(retrieve(ids, item))

    assert picture(conversation) == before
    assert wanted(conversation).items == wanted(mirror(happened, heard=["a"], ms=1350)).items


def test_what_was_cut_off_stays_so():
    """Another link takes what there is of it for all."""
    cut = wire.Message(role="assistant", id="a", status="incomplete", content=[wire.OutputText(text="One two")])
    conversation = mirror([added(cut)])
    ids, has = restore(conversation)
    conversation.apply(retrieve(ids, has["a"]))

    assert conversation.get("a").status == "incomplete"


def test_what_is_not_known_yet_is_learnt():
    """An item that was never told of, and one of which nothing but its id was."""
    conversation = mirror([half_transcribed("u", "Hel")])
    whole = wire.Message(role="user", id="u", content=[wire.InputAudio(transcript="Hello."), wire.InputText(text="b")])
    conversation.apply(wire.ConversationItemRetrieved(event_id="e", item=whole))
    conversation.apply(wire.ConversationItemRetrieved(event_id="e", item=call("x")))

    assert conversation.get("u").generated_text == "Hello.b"
    assert conversation.get("fx").type == "function_call"


def test_items_that_a_link_took_along_are_out():
    """As if they had been deleted: what comes behind them later finds its place."""
    happened = [added(wire.user_message("x", id=item_id)) for item_id in "abc"]
    conversation = mirror(happened)
    conversation.lost(["b", "nobody", "c"])

    assert [item.id for item in conversation] == ["a"]
    assert conversation.get("b").deleted
    assert [name for name, _ in wanted(conversation).items] == ["a"]

    conversation.apply(added(wire.user_message("x", id="d"), "b"))

    assert [item.id for item in conversation] == ["a", "d"]


@settings(max_examples=400)
@given(st.lists(HAPPENS, max_size=12), st.sets(ITEMS), st.sets(ITEMS), st.lists(st.tuples(st.booleans(), ITEMS)))
def test_no_answer_about_a_restored_item_does_harm(happened, heard, kept, later):
    """It is retrieved, or cut, as often as one likes: the mirror is as one that knows no other link."""
    happened = [event for some in happened for event in some]
    conversation, undisturbed = mirror(happened, heard), mirror(happened, heard)
    ids, has = restore(conversation, kept)
    for is_cut, item_id in later:
        if is_cut:
            cut = ids.answer(wire.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=150))
            if cut is not None:
                conversation.apply(cut)
                undisturbed.apply(cut)
        elif item_id in has:
            conversation.apply(retrieve(ids, has[item_id]))

    assert picture(conversation) == picture(undisturbed)
    assert wanted(conversation) == wanted(undisturbed)
