"""What a new link has to be told: nothing lost in silence, nothing said twice, everything in its place."""

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.restore import Create, Delete, Wanted, steps, wanted
from realtime_trio.core.runs import PartKey
from realtime_trio.core.seeds import LeftOut, output_name
from realtime_trio.events import UNSET

from .mirror_events import (
    HAPPENS,
    ITEMS,
    added,
    call,
    committed,
    deleted,
    half_transcribed,
    mcp_call,
    not_transcribed,
    output,
    spoken,
    transcribed,
)

SOUND = b"\1\2" * 240


def mirror(*happened, heard_is_known=True):
    conversation = Conversation(heard_is_known=heard_is_known)
    for event in happened:
        conversation.apply(event)
    return conversation


def told(want: Wanted):
    """Say shortly what is to be created."""
    said = []
    for name, item in want.items:
        match item:
            case wire.Message(content=[wire.InputAudio(audio=audio)]):
                said.append((name, audio))
            case wire.Message():
                said.append((name, "".join(getattr(part, "text", "<image>") for part in item.content)))
            case wire.FunctionCallOutput():
                said.append((name, item.output))
            case _:
                said.append((name, item.type))
    return said


def test_a_conversation_is_restored_as_its_words():
    """In order and by their old names; nothing has an id of its own."""
    conversation = mirror(
        added(wire.system_message("Be brief.", id="s")),
        committed("u"),
        *spoken("a", "One two three.", 900),
        transcribed("u", "Count."),
        added(wire.user_message("And on?", id="t")),
    )
    conversation.set_heard(PartKey("r", "a", 0), 900)

    want = wanted(conversation)

    assert told(want) == [("s", "Be brief."), ("u", "Count."), ("a", "One two three."), ("t", "And on?")]
    assert all(item.id is UNSET for _, item in want.items)
    assert want.left_out == want.absent == ()


def test_the_sound_stands_for_words_that_are_not_known():
    """Not asked for, failed, and on their way when the link was lost: half a transcript is less than all of the sound.
    Where there are both, the words are taken."""
    conversation = mirror(
        committed("never"),
        committed("failed"),
        not_transcribed("failed"),
        committed("half"),
        half_transcribed("half", "well "),
        committed("whole"),
        transcribed("whole", "Hello."),
    )

    want = wanted(conversation, audio_of=lambda item_id: SOUND)

    assert told(want) == [("never", SOUND), ("failed", SOUND), ("half", SOUND), ("whole", "Hello.")]
    assert want.left_out == ()


def test_words_that_are_on_their_way_are_named_where_the_sound_is_gone():
    conversation = mirror(
        committed("u"), half_transcribed("u", "well "), committed("v"), added(wire.user_message("a", id="t"))
    )
    conversation.get("v").transcription = "pending"

    want = wanted(conversation, audio_of={"x": SOUND}.get)

    assert told(want) == [("u", "well "), ("t", "a")]
    assert want.left_out == (LeftOut("u", "transcript_pending", 0), LeftOut("v", "transcript_pending"))
    assert want.absent == (("v", "u"),)


def test_only_the_users_own_speech_has_a_sound():
    """Neither written items nor the assistant's are asked for."""
    asked = []
    conversation = mirror(added(wire.user_message("a", id="t")), *spoken("a", "One.", 500))

    wanted(conversation, audio_of=asked.append)

    assert asked == []


def test_what_is_being_played_counts_as_heard():
    """It will have been, unless it is cut: then it is replaced. What nobody plays was not heard."""
    conversation = mirror(*spoken("a", "One two three.", 900), *spoken("b", "four", 300))
    conversation.set_heard(PartKey("r", "a", 0), 1)

    want = wanted(conversation, playing={"a"})

    assert told(want) == [("a", "One two three.")]
    assert want.left_out == (LeftOut("b", "not_heard"),)
    assert conversation.get("a").heard_text != "One two three."  # nothing was heard by asking


def test_of_speech_that_was_cut_off_the_words_count_that_are_in_the_sound():
    """The words had run ahead; the sound of the others never came."""
    words = "One two three four five six seven eight nine ten eleven twelve."
    conversation = mirror(*spoken("a", words, 700, status="incomplete"))
    conversation.set_heard(PartKey("r", "a", 0), 1)

    ((_, said),) = told(wanted(conversation, playing={"a"}))

    assert words.startswith(said)
    assert "One" in said
    assert "twelve" not in said


def test_a_cut_is_stronger_than_being_played():
    conversation = mirror(
        *spoken("a", "One two three four five six.", 2700),
        wire.ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=0),
    )

    assert told(wanted(conversation, playing={"a"})) == []


def test_a_call_that_is_still_running_stays_open():
    """Its output is delivered by whoever owes it. One that was cut off is neither run nor answered."""
    conversation = mirror(
        added(call("running")),
        added(call("cut", "incomplete")),
        added(call("begun", "in_progress")),
        added(call("done")),
        added(output("done")),
        added(output("stray")),
    )

    want = wanted(conversation)

    assert told(want) == [("frunning", "function_call"), ("fdone", "function_call"), ("odone", "out")]
    assert want.left_out == (LeftOut("fcut", "cut_off"), LeftOut("fbegun", "cut_off"), LeftOut("ostray", "no_call"))
    assert want.absent == (("fcut", "frunning"), ("fbegun", "frunning"), ("ostray", "odone"))


def test_a_call_without_a_place_stands_before_its_output():
    """Some servers tell it with the response only; an output without its call is refused."""
    conversation = mirror(
        added(wire.user_message("a", id="t")),
        wire.ResponseOutputItemDone(event_id="e", response_id="r", output_index=0, item=call("x")),
        wire.ResponseOutputItemDone(event_id="e", response_id="r", output_index=0, item=call("y")),
        added(output("x")),
        added(wire.user_message("b", id="v")),
        *spoken("lost", "Where am I?", 500, place=False),
    )

    want = wanted(conversation)

    assert [name for name, _ in want.items] == ["t", "fx", "ox", "v", "fy"]
    assert want.left_out == (LeftOut("lost", "unknown_place"),)


def test_an_output_before_its_call_comes_behind_it():
    """No server takes it where it stands; one that is there already is not made again."""
    conversation = mirror(added(output("x")), added(wire.user_message("a", id="t")), added(call("x")))

    assert [name for name, _ in wanted(conversation).items] == ["t", "fx", "ox"]
    assert wanted(conversation).absent == ()
    assert [name for name, _ in wanted(conversation, live={"ox"}).items] == ["ox", "t", "fx"]


def test_what_was_deleted_is_not_restored():
    """Also when something is said of it later."""
    conversation = mirror(added(wire.user_message("a", id="t")), committed("u"), deleted("u"), transcribed("u", "Hm."))

    want = wanted(conversation)

    assert told(want) == [("t", "a")]
    assert want.left_out == want.absent == ()


def test_what_a_link_refuses_is_absent():
    """New items find their place next to what it took."""
    conversation = mirror(
        *(added(wire.user_message("x", id=item_id)) for item_id in "ab"),
        committed("nothing"),
        added(mcp_call("m", output="found")),
        added(wire.user_message("x", id="c")),
    )
    want = wanted(conversation)

    assert want.absent_without(()) == want.absent
    assert want.absent_without({"a", "b", output_name("m"), "c"}) == (
        ("a", None),
        ("b", None),
        ("nothing", None),
        ("c", "m"),
    )


def test_calls_of_mcp_servers_become_function_calls():
    """Under the name that the call had; the output has a name of its own. The rest belongs to the link it was on."""
    conversation = mirror(
        added(wire.McpListTools(id="l", server_label="s", tools=[])),
        added(mcp_call("m", output="found")),
        added(mcp_call("going")),
        added(wire.McpApprovalRequest(id="q", server_label="s", name="look", arguments="{}")),
    )

    want = wanted(conversation)

    assert told(want) == [("m", "function_call"), (output_name("m"), "found")]
    assert want.left_out == (LeftOut("l", "mcp"), LeftOut("going", "cut_off"), LeftOut("q", "mcp"))
    assert want.absent == (("l", None), ("going", output_name("m")), ("q", output_name("m")))


def test_pictures_come_along():
    picture = wire.InputImage(image_url="data:image/png;base64,AAAA", detail="low")
    conversation = mirror(added(wire.Message(role="user", id="u", content=[wire.InputText(text="See:"), picture])))

    ((name, item),) = wanted(conversation).items

    assert name == "u"
    assert item.content == [wire.InputText(text="See:"), picture]


def test_what_is_live_is_there_as_it_is():
    """It has its place, whatever could be made of it, and is not told as left out."""
    conversation = mirror(
        added(wire.user_message("a", id="old")),
        committed("new"),
        added(wire.McpListTools(id="list", server_label="s", tools=[])),
        *spoken("unplaced", "Where am I?", 500, place=False),
    )

    want = wanted(conversation, live={"new", "list", "unplaced"})

    assert [(name, item.type) for name, item in want.items] == [
        ("old", "message"),
        ("new", "item_reference"),
        ("list", "item_reference"),
    ]
    assert want.left_out == want.absent == ()


def test_a_restored_answer_that_is_cut_is_replaced_in_its_place():
    """It was created as if it were heard whole; then the user interrupted it, after other things had been said."""
    conversation = mirror(
        added(wire.user_message("a", id="t")),
        *spoken("a", "One two three four five six.", 2700),
        added(wire.user_message("b", id="u")),
    )
    have = wanted(conversation, playing={"a"}).items
    conversation.apply(added(wire.user_message("c", id="live")))
    conversation.apply(
        wire.ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=1350),
    )
    conversation.set_heard(PartKey("r", "a", 0), 1350)

    first, second = steps(have, wanted(conversation, live={"live"}).items)

    assert first == Delete("a")
    assert (second.old_id, second.after) == ("a", "t")
    assert second.item.content[0].text in ("One two", "One two three")


class Link:
    """A server that does as it is told, and refuses what a server refuses."""

    def __init__(self, have):
        self.items = list(have)

    def place(self, name):
        return next(place for place, (known, _) in enumerate(self.items) if known == name)

    def take(self, step):
        match step:
            case Delete(old_id):
                del self.items[self.place(old_id)]
            case Create(old_id, item, after):
                assert old_id not in [name for name, _ in self.items]
                self.items.insert(0 if after is None else self.place(after) + 1, (old_id, item))


NAMES = [f"item_{n}" for n in range(8)]
SEEDS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("abc")), max_size=8, unique_by=lambda one: one[0])


def as_seeds(pairs):
    return [(name, wire.user_message(text)) for name, text in pairs]


@settings(max_examples=500)
@given(SEEDS, SEEDS)
def test_steps_lead_to_what_is_wanted(have, want):
    """With no more of them than are needed."""
    link = Link(as_seeds(have))
    made = steps(as_seeds(have), as_seeds(want))
    for step in made:
        link.take(step)

    assert link.items == as_seeds(want)

    same = [one for one in have if one in want]
    most = longest_common(same, want)
    assert len([step for step in made if isinstance(step, Create)]) == len(want) - most
    assert len([step for step in made if isinstance(step, Delete)]) == len(have) - most


def longest_common(ours, theirs):
    """How long the longest row is that is in both in this order."""
    lengths = [0] * (len(theirs) + 1)
    for one in ours:
        before = 0
        for n, other in enumerate(theirs, 1):
            before, lengths[n] = lengths[n], before + 1 if one == other else max(lengths[n], lengths[n - 1])
    return lengths[-1]


@given(SEEDS, SEEDS)
def test_what_was_only_added_is_only_created(have, more):
    """At the end, each behind the one before it."""
    names = [name for name, _ in have]
    want = have + [one for one in more if one[0] not in names]
    made = steps(as_seeds(have), as_seeds(want))

    assert [step.old_id for step in made] == [name for name, _ in want[len(have) :]]
    assert [step.after for step in made] == [name for name, _ in want][len(have) - 1 : -1] or not have


@given(SEEDS, SEEDS, st.sets(st.sampled_from(NAMES)))
def test_what_is_live_is_never_touched(have, want, live):
    """Neither created nor deleted, but named as a neighbour."""
    have_seeds = [one for one in as_seeds(have) if one[0] not in live]
    want_seeds = [
        (name, wire.ItemReference(id=name)) if name in live else (name, item) for name, item in as_seeds(want)
    ]
    link = Link([one for one in have_seeds if one[0] not in live])
    link.items += [one for one in want_seeds if one[0] in live]  # they came later
    made = steps(have_seeds, want_seeds)
    for step in made:
        assert step.old_id not in live
        link.take(step)

    assert {name for name, _ in link.items} == {name for name, _ in want_seeds}


KEPT = st.sets(ITEMS)


@settings(max_examples=400)
@given(st.lists(HAPPENS, max_size=14), KEPT, st.sets(ITEMS), st.sets(ITEMS), st.sets(ITEMS | st.just("fx")))
def test_whatever_happened_can_be_restored(happened, kept, playing, heard, live):
    """Everything is created, or named, or live; no name twice; outputs behind their calls; all in order."""
    conversation = mirror(*(event for some in happened for event in some))
    for item_id in heard:
        conversation.set_heard(PartKey("r", item_id, 0), 200)
    want = wanted(conversation, playing=playing, audio_of=lambda item_id: SOUND if item_id in kept else None, live=live)
    names = [name for name, _ in want.items]

    assert len(set(names)) == len(names)
    absent = [item_id for item_id, _ in want.absent]
    order = [item.id for item in conversation.items]
    assert set(order) <= {*names, *absent}
    whole = {one.item_id for one in want.left_out}
    parts_of_nothing = {item_id for item_id in absent if conversation.get(item_id).type != "function_call_output"}
    assert parts_of_nothing <= whole
    assert whole.isdisjoint(live)
    for name, item in want.items:
        if name in live:
            assert item == wire.ItemReference(id=name)
            continue
        event = wire.decode_client(wire.encode(wire.ConversationItemCreate(item=item)))
        assert isinstance(event, wire.ConversationItemCreate)
        assert item.id is UNSET

    calls = [item.call_id for _, item in want.items if isinstance(item, wire.FunctionCall)]
    outputs = [item.call_id for _, item in want.items if isinstance(item, wire.FunctionCallOutput)]
    assert len(set(calls)) == len(calls)
    assert len(set(outputs)) == len(outputs)
    if "fx" not in live:
        assert set(outputs) <= set(calls)

    # with what is absent put in, the order is the mirror's
    everything: list[str] = list(names)
    for item_id, after in reversed(want.absent):
        everything.insert(0 if after is None else everything.index(after) + 1, item_id)
    early = {name for name, item in want.items if isinstance(item, wire.FunctionCallOutput)}
    assert [name for name in everything if name in order and name not in early] == [
        item_id for item_id in order if item_id not in early
    ]


@settings(max_examples=200)
@given(st.lists(HAPPENS, max_size=14))
def test_without_a_session_that_goes_on_it_is_what_a_snapshot_gives(happened):
    """But for calls that nobody answered, and for those without a place."""
    conversation = mirror(*(event for some in happened for event in some), heard_is_known=False)
    unplaced = {item.id for item in conversation.unplaced}
    honest = [
        item for item in conversation.snapshot().items_to_create() if "not known" not in getattr(item, "output", "")
    ]
    want = wanted(conversation)

    if not unplaced:
        assert [item for _, item in want.items] == honest
        assert want.left_out == conversation.snapshot().left_out()
    else:
        assert {one for one in want.left_out if one.reason == "unknown_place"} <= {
            LeftOut(item_id, "unknown_place") for item_id in unplaced
        }
