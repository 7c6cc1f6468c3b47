"""Snapshots: plain data there and back, and what another conversation can begin with."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.runs import PartKey
from realtime_trio.core.seeds import LeftOut
from realtime_trio.core.snapshot import Snapshot
from realtime_trio.core.snapshot_items import SnapshotItem, SnapshotPart
from realtime_trio.errors import ConfigurationError
from realtime_trio.events import UNSET

USAGE = wire.TokenUsage(input_tokens=0, output_tokens=0, total_tokens=0)


def added(item):
    return wire.ConversationItemAdded(event_id="e", item=item, previous_item_id=UNSET)


def done(item):
    return wire.ConversationItemDone(event_id="e", item=item, previous_item_id=UNSET)


def mirror(*happened, heard_is_known=False):
    conversation = Conversation(heard_is_known=heard_is_known)
    for event in happened:
        conversation.apply(event)
    return conversation


def spoken(item_id, transcript, ms, status="completed"):
    """The assistant says something, to its end."""
    where = {"event_id": "e", "response_id": "r", "item_id": item_id, "output_index": 0, "content_index": 0}
    begun = wire.Message(role="assistant", id=item_id, status="in_progress", content=[])
    ended = wire.Message(role="assistant", id=item_id, status=status, content=[wire.OutputAudio(transcript=transcript)])
    return (
        added(begun),
        wire.ResponseOutputAudioTranscriptDelta(**where, delta=transcript),
        wire.ResponseOutputAudioDelta(**where, delta=bytes(48 * ms)),
        done(ended),
    )


def heard(item_id):
    """The user says something, of which the words are still to come."""
    return wire.InputAudioBufferCommitted(event_id="e", item_id=item_id, previous_item_id=UNSET)


def transcribed(item_id, transcript):
    return wire.ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=0, transcript=transcript, usage=USAGE
    )


def call(call_id, status="completed"):
    return added(wire.FunctionCall(id=f"f{call_id}", call_id=call_id, name="f", arguments="{}", status=status))


def output(call_id, text="out", item_id=None):
    return added(wire.function_call_output(call_id, text, id=item_id or f"o{call_id}"))


def begin(snapshot):
    """Say shortly what another conversation begins with."""
    said = []
    for item in snapshot.items_to_create():
        assert item.id is UNSET
        match item:
            case wire.Message():
                said.append((item.role, "".join(getattr(part, "text", "<image>") for part in item.content)))
            case wire.FunctionCall():
                said.append(("call", item.call_id))
            case wire.FunctionCallOutput():
                said.append(("output", item.call_id, item.output))
    return said


def test_speech_is_carried_over_as_its_words():
    """The user's as its transcript, the assistant's as what was heard; both also stand in the snapshot."""
    conversation = mirror(
        added(wire.system_message("Be brief.", id="s")),
        heard("u"),
        *spoken("a", "One two three four five six", 2700),
        transcribed("u", "Count, please."),
        heard_is_known=True,
    )
    conversation.set_heard(PartKey("r", "a", 0), 1350)
    snapshot = conversation.snapshot()
    (part,) = snapshot.items[2].parts

    assert [item.id for item in snapshot.items] == ["s", "u", "a"]
    assert part.text == "One two three four five six"
    assert part.heard in ("One two", "One two three")
    assert begin(snapshot) == [("system", "Be brief."), ("user", "Count, please."), ("assistant", part.heard)]
    assert snapshot.left_out() == ()


def test_where_nobody_says_what_was_heard_all_of_it_counts():
    """Without a device the server takes everything for heard that was not truncated, and so does the snapshot."""
    conversation = mirror(
        *spoken("a", "One two three", 1500),
        *spoken("b", "four five six seven", 1500),
        wire.ConversationItemTruncated(event_id="e", item_id="b", content_index=0, audio_end_ms=0),
    )
    snapshot = conversation.snapshot()

    assert [item.parts[0].heard for item in snapshot.items] == [None, ""]
    assert begin(snapshot) == [("assistant", "One two three")]
    assert snapshot.left_out() == (LeftOut("b", "not_heard"),)


def test_with_a_device_what_was_not_played_was_not_heard():
    """Also when playing it has not begun, and text behind it, which nobody has come to."""
    parts = [wire.OutputAudio(transcript="One two."), wire.OutputText(text=" (see above)")]
    conversation = mirror(
        *spoken("a", "One two.", 700),
        done(wire.Message(role="assistant", id="a", status="completed", content=parts)),
        heard_is_known=True,
    )

    assert begin(conversation.snapshot()) == []
    assert conversation.snapshot().left_out() == (LeftOut("a", "not_heard"),)

    conversation.set_heard(PartKey("r", "a", 0), 700)

    assert begin(conversation.snapshot()) == [("assistant", "One two. (see above)")]


def test_speech_without_words_is_named():
    """By why there are none; the words that there are come along."""
    failed = wire.ConversationItemInputAudioTranscriptionFailed(
        event_id="e", item_id="failed", content_index=0, error=wire.TranscriptionError(code="x")
    )
    begun = wire.ConversationItemInputAudioTranscriptionDelta(
        event_id="e", item_id="pending", content_index=0, delta="What "
    )
    snapshot = mirror(
        heard("never"), heard("failed"), failed, heard("pending"), begun, heard("silent"), transcribed("silent", "")
    ).snapshot()

    assert begin(snapshot) == [("user", "What ")]
    assert [item.transcription for item in snapshot.items] == ["none", "failed", "pending", "completed"]
    assert snapshot.left_out() == (
        LeftOut("never", "not_transcribed"),
        LeftOut("failed", "transcription_failed"),
        LeftOut("pending", "transcript_pending", 0),
        LeftOut("silent", "empty"),
    )


def test_every_call_gets_exactly_one_output():
    """Its own, in its place; or the word that its result is not known. What is neither is named."""
    snapshot = mirror(
        call("a"),
        call("b"),
        output("b", "B"),
        output("a", "A"),
        output("a", "A again", item_id="o2"),
        output("early", "E"),
        call("early"),
        call("unanswered"),
        call("cut", status="incomplete"),
        output("unknown"),
    ).snapshot()
    *items, (_, _, unknown) = begin(snapshot)

    assert items == [
        ("call", "a"),
        ("call", "b"),
        ("output", "b", "B"),
        ("output", "a", "A"),
        ("call", "early"),
        ("output", "early", "E"),
        ("call", "unanswered"),
    ]
    assert "not known" in unknown
    assert snapshot.left_out() == (LeftOut("o2", "no_call"), LeftOut("fcut", "cut_off"), LeftOut("ounknown", "no_call"))


def test_an_output_that_was_deleted_is_not_sent_again():
    """The mirror still knows it, but the conversation does not."""
    conversation = mirror(
        call("a"), output("a", "secret"), wire.ConversationItemDeleted(event_id="e", item_id="oa"), call("b")
    )

    assert "secret" not in str(begin(conversation.snapshot()))
    assert "secret" not in conversation.snapshot().to_json()


@pytest.mark.parametrize(
    ("name", "legal"),
    [("docs.v2/look up", "docs_v2_look_up"), ("look-up_2", "look-up_2"), ("é" + "x" * 80, "_" + "x" * 63)],
)
def test_the_name_of_an_mcp_call_becomes_one_that_a_function_may_have(name, legal):
    """MCP allows more than the API takes: one refused item would cost the whole history."""
    call = SnapshotItem(id="m", kind="mcp_call", name=name, arguments="{}", output="rain")
    function, output = Snapshot(items=(call,)).items_to_create()

    assert (function.name, function.call_id, output.call_id, output.output) == (legal, "m", "m", "rain")


def test_mcp_items():
    """A call that has an end becomes a function call; what belongs to the old session is left out."""
    calls = {"server_label": "s", "name": "look", "arguments": "{}"}
    snapshot = mirror(
        done(wire.McpListTools(id="l", server_label="s", tools=[])),
        done(wire.McpApprovalRequest(id="q", **calls)),
        done(wire.McpApprovalResponse(id="p", approval_request_id="q", approve=False)),
        done(wire.McpCall(id="good", output="found", **calls)),
        done(wire.McpCall(id="bad", error=wire.McpHttpError(code=500, message="no"), **calls)),
        added(wire.McpCall(id="going", **calls)),
        added(wire.UnknownItem(type="thought", data={"type": "thought", "id": "t"})),
    ).snapshot()

    assert begin(snapshot) == [
        ("call", "good"),
        ("output", "good", "found"),
        ("call", "bad"),
        ("output", "bad", "Error: no"),
    ]
    assert [one.reason for one in snapshot.left_out()] == ["mcp", "mcp", "mcp", "cut_off", "unknown_kind"]
    assert [(item.kind, item.server_label, item.name, item.approve) for item in snapshot.items[:3]] == [
        ("mcp_list_tools", "s", None, None),
        ("mcp_approval_request", "s", "look", None),
        ("mcp_approval_response", None, None, False),
    ]


def test_a_picture_comes_along_unless_it_is_not_wanted():
    """It makes the snapshot as large as it is itself."""
    picture = wire.InputImage(image_url="data:image/png;base64,AAAA", detail="low")
    conversation = mirror(added(wire.Message(role="user", id="u", content=[wire.InputText(text="See:"), picture])))

    (item,) = conversation.snapshot().items_to_create()

    assert item.content == [wire.InputText(text="See:"), picture]

    small = conversation.snapshot(images=False)

    assert "AAAA" not in small.to_json()
    assert begin(small) == [("user", "See:")]
    assert small.left_out() == (LeftOut("u", "image", 1),)


def test_a_snapshot_does_not_change_any_more():
    """It is a value; and its repr shows nobody's words."""
    conversation = mirror(added(wire.user_message("before", id="a")))
    snapshot = conversation.snapshot()
    conversation.apply(added(wire.user_message("after", id="b")))

    assert begin(snapshot) == [("user", "before")]
    assert snapshot != conversation.snapshot()
    assert repr(snapshot) == "<Snapshot of 1 items>"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "a mapping"),
        ({"items": []}, "version"),
        ({"version": 2, "items": []}, "version 1; this one has 2"),
        ({"version": True, "items": []}, "version 1; this one has True"),
        ({"version": 1, "items": [{"id": "a"}, {"id": 5}]}, r"items\[1\].id"),
        ({"version": 1, "items": [{"id": "a", "rolle": "user"}]}, "rolle"),
        ({"version": 1, "items": [{"id": "a", "parts": [{"kind": "text", "text": b"x"}]}]}, r"items\[0\].parts\[0\]"),
        ({"version": 1, "items": [{"id": "a", "transcription": "soon"}]}, "soon"),
        ({"version": 1, "items": [{"id": "a"}, {"id": "a"}]}, "two items with the id 'a'"),
        ({"version": 1, "itemz": []}, "itemz"),
        ({"version": 1, "items": [{"id": "\ud800"}]}, "surrogate"),
        ({"version": 1, 5: []}, "does not fit"),
    ],
)
def test_what_is_no_snapshot_is_refused(data, words):
    """With the place and the culprit."""
    with pytest.raises(ConfigurationError, match=words):
        Snapshot.from_data(data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff", "[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ConfigurationError):
        Snapshot.from_json(text)


_WORDS = st.sampled_from(["", "one", "two words", "\N{SNOWMAN}"])
_MAYBE = st.none() | _WORDS
_KIND = st.sampled_from(["message", "function_call", "function_call_output", "mcp_call", "mcp_list_tools", "new"])
_PART = st.builds(
    SnapshotPart,
    kind=st.sampled_from(["text", "audio", "image", "", "new"]),
    text=_WORDS,
    heard=_MAYBE,
    image_url=_MAYBE,
    detail=_MAYBE,
)
_ITEM = st.builds(
    SnapshotItem,
    id=st.uuids().map(str),
    kind=_KIND,
    role=st.sampled_from(["user", "assistant", "system", "other", None]),
    status=st.sampled_from(["completed", "incomplete", "in_progress", None]),
    parts=st.lists(_PART, max_size=3).map(tuple),
    transcription=st.sampled_from(["none", "pending", "completed", "failed"]),
    name=_MAYBE,
    call_id=st.sampled_from([None, "x", "y"]),
    arguments=_WORDS,
    output=_MAYBE,
    server_label=_MAYBE,
    error=_MAYBE,
    approve=st.sampled_from([None, True, False]),
)
_SNAPSHOT = st.builds(Snapshot, items=st.lists(_ITEM, max_size=8, unique_by=lambda item: item.id).map(tuple))


@settings(max_examples=200, deadline=None)
@given(_SNAPSHOT)
def test_json_there_and_back(snapshot):
    """Nothing is lost, and nothing in it is anything but JSON."""
    data = snapshot.to_data()

    assert json.loads(json.dumps(data)) == data
    assert Snapshot.from_data(data) == snapshot
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    assert json.loads(snapshot.to_json()) == data


@settings(max_examples=300, deadline=None)
@given(_SNAPSHOT)
def test_another_conversation_can_begin_with_it(snapshot):
    """Whatever is in it: every item fits the wire, every call has one output behind it, nothing is lost silently."""
    made = snapshot.items_to_create()
    called, answered = [], []
    for item in made:
        event = wire.decode_client(wire.encode(wire.ConversationItemCreate(item=item)))

        assert isinstance(event, wire.ConversationItemCreate)
        if isinstance(item, wire.FunctionCall):
            called.append(item.call_id)
        elif isinstance(item, wire.FunctionCallOutput):
            assert item.call_id in called
            answered.append(item.call_id)
        else:
            assert item.content

    assert sorted(called) == sorted(answered)
    assert len(set(called)) == len(called)
    for item in snapshot.items:
        alone = Snapshot(items=(item,))
        assert alone.items_to_create() or alone.left_out()

    again = mirror(*(added(msgspec.structs.replace(item, id=f"new{n}")) for n, item in enumerate(made))).snapshot()

    assert begin(again) == begin(snapshot)
    assert again.left_out() == ()
