"""Two names for one item: nobody above hears the new one, the link never gets the old one, and the order stays."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.item_ids import ItemIds
from realtime_trio.core.seeds import output_name
from realtime_trio.events import UNSET

USAGE = wire.TokenUsage(input_tokens=0, output_tokens=0, total_tokens=0)


def restored(*pairs, absent=()):
    """The names on a link that has these items, as (old, new)."""
    ids = ItemIds()
    for old_id, new_id in pairs:
        ids.restored(old_id, new_id)
    ids.left_out(absent)
    return ids


def added(item, previous=UNSET):
    return wire.ConversationItemAdded(event_id="e", item=item, previous_item_id=previous)


def create(item_id, previous=UNSET):
    return wire.ConversationItemCreate(item=wire.user_message("x", id=item_id), previous_item_id=previous)


def error(message, **fields):
    return wire.Error(event_id="e", error=wire.ErrorDetails(type="invalid_request_error", message=message, **fields))


SOUND = wire.ResponseOutputAudioDelta(
    event_id="e", response_id="r", item_id="live", output_index=0, content_index=0, delta=b"12"
)


@pytest.mark.parametrize("ids", [ItemIds(), restored(("a", "a2"), absent=[("b", "a")])])
def test_what_is_about_nothing_restored_passes_as_it_is(ids):
    """The same object: most of what passes is sound."""
    for event in (wire.ConversationItemDelete(item_id="live"), create("live", "other"), wire.ResponseCreate()):
        assert ids.outgoing(event) is event
    done = wire.ResponseDone(event_id="e", response=wire.Response(output=[wire.user_message("x", id="live")]))
    for event in (SOUND, done, added(wire.user_message("x", id="live"), "other"), error("no 'live'")):
        assert ids.incoming(event) is event
    assert "live" not in ids


@pytest.mark.parametrize(
    "event",
    [
        wire.ConversationItemDelete(item_id="a", event_id="evt"),
        wire.ConversationItemRetrieve(item_id="a"),
        wire.ConversationItemTruncate(item_id="a", content_index=0, audio_end_ms=5),
    ],
)
def test_the_link_is_asked_by_its_own_name(event):
    ids = restored(("a", "a2"))

    assert "a" in ids
    assert ids.outgoing(event) == wire.decode_client(wire.encode(event).replace('"a"', '"a2"'))
    assert event.item_id == "a"


@pytest.mark.parametrize(
    "event",
    [
        wire.ConversationItemRetrieved(event_id="e", item=wire.user_message("x", id="a2")),
        wire.ConversationItemTruncated(event_id="e", item_id="a2", content_index=0, audio_end_ms=5),
        wire.ConversationItemDeleted(event_id="e", item_id="a2"),
        wire.ConversationItemInputAudioTranscriptionDelta(event_id="e", item_id="a2", delta="x"),
        wire.ConversationItemInputAudioTranscriptionCompleted(
            event_id="e", item_id="a2", content_index=0, transcript="x", usage=USAGE
        ),
        wire.ConversationItemInputAudioTranscriptionFailed(
            event_id="e", item_id="a2", content_index=0, error=wire.TranscriptionError()
        ),
        wire.InputAudioBufferCommitted(event_id="e", item_id="live", previous_item_id="a2"),
        added(wire.user_message("x", id="live"), "a2"),
        wire.ConversationItemDone(event_id="e", item=wire.user_message("x", id="live"), previous_item_id="a2"),
        wire.ResponseDone(event_id="e", response=wire.Response(id="r", output=[wire.user_message("x", id="a2")])),
        wire.ResponseOutputItemDone(
            event_id="e", response_id="r", output_index=0, item=wire.user_message("x", id="a2")
        ),
        wire.ResponseMcpCallCompleted(event_id="e", item_id="a2", output_index=0),
        error("Item with id 'a2' does not exist; a22 and b-a2 do.", event_id="evt"),
    ],
)
def test_above_the_line_the_old_name_goes_on(event):
    ids = restored(("a", "a2"))

    told = ids.incoming(event)

    assert told == wire.decode(wire.encode(event).replace('"a2"', '"a"').replace("'a2'", "'a'"))


def test_every_event_that_names_an_item_is_translated():
    """By the fields of its class; an event that a later version knows is not forgotten."""
    for kind in wire.SERVER_EVENTS["realtime"]:
        if "item_id" in kind.__struct_fields__:
            fields = dict.fromkeys(kind.__struct_fields__, UNSET) | {"item_id": "a2", "notes": ()}
            assert restored(("a", "a2")).incoming(kind(**fields)).item_id == "a", kind


def test_nobody_hears_that_an_item_is_created_again():
    ids = restored(("a", "a2"))
    item = wire.user_message("x", id="a2")

    for kind in (wire.ConversationItemAdded, wire.ConversationItemCreated, wire.ConversationItemDone):
        assert ids.incoming(kind(event_id="e", item=item, previous_item_id=None)) is None


def test_nobody_hears_that_an_item_is_replaced():
    """What the program asked of it before is answered all the same, and what it asks later goes to the new one."""
    ids = restored(("a", "a2"))

    assert ids.forget("a") == "a2"
    ids.restored("a", "a3")

    assert ids.incoming(wire.ConversationItemDeleted(event_id="e", item_id="a2")) is None
    assert ids.incoming(added(wire.user_message("x", id="a3"))) is None
    assert (
        ids.incoming(wire.ConversationItemRetrieved(event_id="e", item=wire.user_message("x", id="a2"))).item.id == "a"
    )
    assert ids.outgoing(wire.ConversationItemDelete(item_id="a")).item_id == "a3"
    assert ids.incoming(wire.ConversationItemDeleted(event_id="e", item_id="a3")).item_id == "a"
    assert "a" not in ids


def test_what_is_not_there_cannot_be_forgotten():
    assert restored().forget("a") is None


def test_an_id_that_was_deleted_can_be_used_again():
    """At once: nobody has to wait until the server says so, and the line does not bring it back."""
    ids = restored(("a", "a2"), absent=[("b", "a")])

    assert ids.outgoing(wire.ConversationItemDelete(item_id="a")).item_id == "a2"
    assert "a" not in ids
    assert ids.forget("a") is None
    assert ids.outgoing(create("a")).item.id == "a"
    assert ids.outgoing(create("x", "b")).previous_item_id == "b"  # the server is to refuse what was asked for
    assert ids.incoming(wire.ConversationItemDeleted(event_id="e", item_id="a2")).item_id == "a"
    assert ids.incoming(added(wire.user_message("x", id="a"))).item.id == "a"
    assert ids.outgoing(wire.ConversationItemDelete(item_id="a")).item_id == "a"


def test_an_id_that_is_in_use_is_refused_by_the_server():
    """In the words that the program knows."""
    ids = restored(("a", "a2"))

    assert ids.outgoing(create("a")).item.id == "a2"
    assert ids.incoming(error("Item with id a2 already exists.")).error.message == "Item with id a already exists."


def test_what_the_link_does_not_have_is_answered_for():
    """Deleting it, and cutting it; only the server can give its content, and it will say that it has none."""
    ids = restored(("a", "a2"), absent=[("b", "a")])
    cut = wire.ConversationItemTruncate(item_id="b", content_index=1, audio_end_ms=7, event_id="evt")

    refused = ids.answer(wire.ConversationItemCreate(item=wire.user_message("x", id="b"), event_id="evt"))
    assert "'b' already exists" in refused.error.message
    assert refused.error.event_id == "evt"
    for item_id in ("a", "b"):  # the one is text there, whose sound nobody can cut
        assert ids.answer(wire.ConversationItemTruncate(item_id=item_id, content_index=1, audio_end_ms=7)) is not None
    assert ids.answer(cut) == wire.ConversationItemTruncated(
        event_id="local_evt", item_id="b", content_index=1, audio_end_ms=7
    )
    for event in (
        wire.ConversationItemDelete(item_id="a"),
        wire.ConversationItemRetrieve(item_id="b"),
        wire.ConversationItemTruncate(item_id="live", content_index=0, audio_end_ms=7),
        wire.ConversationItemDelete(item_id="live"),
    ):
        assert ids.answer(event) is None

    assert ids.answer(wire.ConversationItemDelete(item_id="b")) == wire.ConversationItemDeleted(
        event_id="local", item_id="b"
    )
    for event in (wire.ConversationItemDelete(item_id="b"), create("b"), cut):  # it is gone: the server may say so
        assert ids.answer(event) is None


def test_a_place_behind_what_the_link_does_not_have_is_behind_its_neighbour():
    ids = restored(("a", "a2"), absent=[("front", None), ("b", "a"), ("c", "a"), ("d", "live")])

    places = {name: ids.outgoing(create("x", name)).previous_item_id for name in ("front", "a", "b", "c", "d", "root")}

    assert places == {"front": "root", "a": "a2", "b": "a2", "c": "a2", "d": "live", "root": "root"}


def test_what_comes_new_stands_behind_all_of_the_old():
    """The link's last item is not the mirror's where that could not be restored."""
    ids = restored(("a", "a2"), absent=[("b", "a"), ("c", "a")])
    item = wire.user_message("x", id="live")

    assert ids.incoming(added(item, "a2")).previous_item_id == "c"
    assert ids.incoming(added(item, "other")).previous_item_id == "other"
    assert ids.incoming(added(item, None)).previous_item_id is None
    assert ids.incoming(added(item)).previous_item_id is UNSET

    ids.answer(wire.ConversationItemDelete(item_id="c"))

    assert ids.incoming(added(item, "a2")).previous_item_id == "b"

    ids.answer(wire.ConversationItemDelete(item_id="b"))

    assert ids.incoming(added(item, "a2")).previous_item_id == "a"

    nothing = restored(absent=[("b", None)])

    assert nothing.incoming(added(item, None)).previous_item_id == "b"
    assert nothing.incoming(added(item, "root")).previous_item_id == "b"


def test_references_name_what_the_link_has():
    """What it has nothing of says nothing; a call of an MCP server has become two items."""
    ids = restored(("a", "a2"), ("m", "m2"), (output_name("m"), "m3"), absent=[("b", "a")])
    message = wire.user_message("Well?", id="a")
    given = [message, *(wire.ItemReference(id=name) for name in ("a", "b", "m", "live"))]
    asked = wire.ResponseCreate(response=wire.ResponseCreateParams(input=given, instructions="Hm"))

    sent = ids.outgoing(asked).response

    assert sent.input == [message, *(wire.ItemReference(id=name) for name in ("a2", "m2", "m3", "live"))]
    assert sent.instructions == "Hm"


def test_a_call_of_an_mcp_server_is_one_item_above():
    ids = restored(("m", "m2"), (output_name("m"), "m3"))

    assert ids.incoming(added(wire.function_call_output("m", "x", id="m3"), "m2")) is None
    assert ids.incoming(added(wire.user_message("x", id="live"), "m3")).previous_item_id == "m"
    assert ids.outgoing(create("x", "m")).previous_item_id == "m3"
    assert ids.outgoing(wire.ConversationItemDelete(item_id="m")).item_id == "m2"


def test_an_item_of_no_known_kind_is_renamed_too():
    ids = restored(("a", "a2"))
    item = wire.UnknownItem(type="thought", data={"type": "thought", "id": "a2"})

    assert ids.incoming(wire.ConversationItemRetrieved(event_id="e", item=item)).item.id == "a"


@attrs.define
class Link:
    """A server with some items already, under names of its own; and what it says."""

    items: list[str]
    said: list[wire.ServerEvent] = attrs.Factory(list)

    def refuse(self, event, item_id):
        self.said.append(error(f"The item {item_id!r} does not fit.", event_id=event.event_id))

    def take(self, event):
        match event:
            case wire.ConversationItemCreate(item=item, previous_item_id=previous):
                if item.id in self.items:
                    self.refuse(event, item.id)
                elif previous is UNSET or previous == "root" or previous in self.items:
                    place = len(self.items) if previous is UNSET else 0
                    place = self.items.index(previous) + 1 if previous in self.items else place
                    before = self.items[place - 1] if place else None
                    self.items.insert(place, item.id)
                    for kind in (wire.ConversationItemAdded, wire.ConversationItemDone):
                        self.said.append(kind(event_id="e", item=item, previous_item_id=before))
                else:
                    self.refuse(event, previous)
            case wire.ConversationItemDelete(item_id=item_id):
                if item_id in self.items:
                    self.items.remove(item_id)
                    self.said.append(wire.ConversationItemDeleted(event_id="e", item_id=item_id))
                else:
                    self.refuse(event, item_id)
            case wire.ResponseCreate(response=params):
                for reference in params.input:
                    if reference.id not in self.items:
                        self.refuse(event, reference.id)


OLD = [f"old{n}" for n in range(5)]
ANY = st.sampled_from([*OLD, "live0", "live1", "live2"])
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("create"),
            st.sampled_from(["live0", "live1", "live2"]) | ANY,
            ANY | st.just("root") | st.just(UNSET),
        ),
        st.tuples(st.just("delete"), ANY),
        st.tuples(st.just("refer"), ANY),
        st.tuples(st.just("replace"), st.sampled_from(OLD)),
        st.tuples(st.just("hear")),
    ),
    max_size=20,
)


@attrs.define
class Stage:
    """A program, the line, and a server. What is told above the line is in `told`."""

    ids: ItemIds
    link: Link
    mirror: Conversation
    told: list[wire.ServerEvent] = attrs.Factory(list)

    def hear(self):
        for event in self.link.said:
            self.tell(self.ids.incoming(event))
        self.link.said.clear()

    def tell(self, event):
        if event is not None:
            self.told.append(event)
            self.mirror.apply(event)

    def send(self, event):
        answer = self.ids.answer(event)
        if answer is None:
            self.link.take(self.ids.outgoing(event))
        self.tell(answer)

    def replace(self, old_id, new_id):
        """What the line does when a restored item is not any more what it was."""
        self.hear()
        before = self.ids.forget(old_id)
        if before is not None:
            place = self.link.items.index(before)
            self.link.take(wire.ConversationItemDelete(item_id=before))
            self.ids.restored(old_id, new_id)
            self.link.take(create(new_id, self.link.items[place - 1] if place else "root"))

    def play(self, steps):
        for number, step in enumerate(steps):
            match step:
                case ("create", item_id, previous):
                    self.send(create(item_id, previous))
                case ("delete", item_id):
                    self.send(wire.ConversationItemDelete(item_id=item_id))
                case ("refer", item_id):
                    given = [wire.ItemReference(id=item_id)]
                    self.send(wire.ResponseCreate(response=wire.ResponseCreateParams(input=given)))
                case ("replace", old_id):
                    self.replace(old_id, f"new{number}_{old_id}")
                case _:
                    self.hear()
        self.hear()


@settings(max_examples=400)
@given(st.lists(st.booleans(), min_size=5, max_size=5), STEPS)
def test_a_link_with_other_names_is_as_good_as_the_first(kept, steps):
    """Whatever is asked: the mirror has the link's items in the link's order, and no name of the link's gets out."""
    mirror = Conversation()
    for item_id in OLD:
        mirror.apply(added(wire.user_message("x", id=item_id)))
    there = {name for name, keep in zip(OLD, kept, strict=True) if keep}
    ids, absent, before = ItemIds(), [], None
    for name in OLD:
        if name in there:
            ids.restored(name, f"new_{name}")
            before = name
        else:
            absent.append((name, before))
    ids.left_out(absent)
    link = Link([f"new_{name}" for name in OLD if name in there])
    link.said = [added(wire.user_message("x", id=name), None) for name in link.items]

    stage = Stage(ids, link, mirror)
    stage.play(steps)

    assert not [event for event in stage.told if "new" in wire.encode(event)]
    known = {old: ids.outgoing(wire.ConversationItemRetrieve(item_id=old)).item_id for old in OLD if old in ids}
    back = {new: old for old, new in known.items()}
    on_the_link = [back.get(name, name) for name in link.items]
    assert not [name for name in on_the_link if name.startswith("new")]
    assert [item.id for item in mirror if item.id in on_the_link] == on_the_link
    assert {item.id for item in mirror} - set(OLD) == set(on_the_link) - set(OLD)
    assert {item.id for item in mirror} <= {*on_the_link, *(name for name in OLD if name not in there)}
