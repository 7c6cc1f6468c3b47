"""The mirror of the conversation: order, words, calls, and that nothing makes it raise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.core.calls import ReadyCall, ready_calls
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.order import ItemOrder
from realtime_trio.core.playout import PartKey
from realtime_trio.events import (
    UNSET,
    AudioFormat,
    AudioInput,
    AudioOutput,
    AudioTranscription,
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    FunctionCall,
    InputAudio,
    InputAudioBufferCommitted,
    MalformedEvent,
    Message,
    OutputAudio,
    RealtimeSession,
    Response,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    SessionAudio,
    SessionUpdated,
    TextPart,
    TokenUsage,
    TranscriptionError,
    UnknownEvent,
    decode,
    function_call_output,
    user_message,
)

E = {"event_id": "e"}
USAGE = TokenUsage(input_tokens=0, output_tokens=0, total_tokens=0)


def added(item_id, previous=UNSET, text="x"):
    return ConversationItemAdded(**E, item=user_message(text, id=item_id), previous_item_id=previous)


def mirror(*events):
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    return conversation


def ids(conversation):
    return [item.id for item in conversation]


def in_response(item_id, index=0):
    return {**E, "response_id": "r1", "item_id": item_id, "output_index": 0, "content_index": index}


def assistant(item_id="a", status="in_progress", content=()):
    return Message(role="assistant", id=item_id, status=status, content=list(content))


def begun(item_id="a"):
    """An assistant's item as it begins."""
    return (
        ResponseOutputItemAdded(**E, response_id="r1", output_index=0, item=assistant(item_id)),
        ConversationItemAdded(**E, item=assistant(item_id), previous_item_id=UNSET),
    )


def test_items_stand_where_the_server_put_them():
    """Not where they arrived."""
    conversation = mirror(
        added("a", None), added("c", "a"), added("b", "a"), added("front", "root"), added("end"), added("b", "end")
    )

    assert ids(conversation) == ["front", "a", "b", "c", "end"]
    assert conversation[-1] is conversation.items[-1]
    assert conversation[:2] == conversation.items[:2]
    with pytest.raises(IndexError):
        conversation[5]
    assert len(conversation) == 5


def test_a_deleted_item_may_be_named_later():
    """It stays as a tombstone, so that what follows it finds its place."""
    conversation = mirror(
        added("a"), added("b"), added("c"), ConversationItemDeleted(**E, item_id="b"), added("x", "b")
    )

    assert ids(conversation) == ["a", "x", "c"]
    assert conversation.get("b").deleted


def test_a_straggling_done_does_not_bring_a_deleted_item_back():
    """But a new `added` with the same id does."""
    conversation = mirror(
        added("a"),
        ConversationItemDeleted(**E, item_id="a"),
        ConversationItemDone(**E, item=user_message("x", id="a")),
    )

    assert ids(conversation) == []

    conversation.apply(added("a"))

    assert ids(conversation) == ["a"]


def test_an_item_that_is_not_known_yet_takes_what_follows_it_along():
    """It was mentioned before it was seen."""
    conversation = mirror(added("a"), added("d", "c"), added("e", "d"), added("z", "a"))

    assert ids(conversation) == ["a", "z", "d", "e"]

    conversation.apply(added("c", "z"))

    assert ids(conversation) == ["a", "z", "c", "d", "e"]


def test_a_circle_of_previous_ids_is_survived():
    """Nonsense of the server costs no item."""
    conversation = mirror(added("a", "b"), added("b", "a"), added("c", "c"))

    assert sorted(ids(conversation)) == ["a", "b", "c"]


def test_the_users_late_transcript_stands_before_the_answer():
    """It arrives after the answer and belongs to the item that the commit put in place."""
    conversation = mirror(
        SessionUpdated(
            **E,
            session=RealtimeSession(
                audio=SessionAudio(input=AudioInput(transcription=AudioTranscription(model="whisper-1")))
            ),
        ),
        InputAudioBufferCommitted(**E, item_id="u", previous_item_id=None),
        ConversationItemAdded(**E, item=Message(role="user", id="u", content=[InputAudio()]), previous_item_id=None),
        *begun(),
        ResponseOutputAudioTranscriptDone(**in_response("a"), transcript="Twelve."),
    )
    user = conversation.get("u")

    assert user.transcription == "pending"

    delta = {**E, "item_id": "u", "content_index": 0}
    conversation.apply(ConversationItemInputAudioTranscriptionDelta(**delta, delta="What "))
    conversation.apply(ConversationItemInputAudioTranscriptionDelta(**delta, delta="time"))

    assert user.transcript == "What time"

    conversation.apply(ConversationItemInputAudioTranscriptionCompleted(**delta, transcript="What time?", usage=USAGE))
    conversation.apply(ConversationItemInputAudioTranscriptionDelta(**delta, delta="late"))

    assert [(item.role, item.transcript) for item in conversation] == [("user", "What time?"), ("assistant", "Twelve.")]
    assert user.transcription == "completed"


def test_a_transcription_that_fails_says_why():
    """And without transcription in the configuration it is `none`, not pending."""
    conversation = mirror(InputAudioBufferCommitted(**E, item_id="u"))

    assert conversation.get("u").transcription == "none"

    problem = TranscriptionError(code="unintelligible")
    conversation.apply(ConversationItemInputAudioTranscriptionFailed(**E, item_id="u", content_index=0, error=problem))

    assert conversation.get("u").transcription == "failed"
    assert conversation.get("u").transcription_error == problem


def test_a_transcript_that_came_is_not_failed_afterwards():
    """The words are there, whatever is said later."""
    where = {**E, "item_id": "u", "content_index": 0}
    problem = TranscriptionError(code="unintelligible")
    user = mirror(
        InputAudioBufferCommitted(**E, item_id="u"),
        ConversationItemInputAudioTranscriptionCompleted(**where, transcript="What time?", usage=USAGE),
        ConversationItemInputAudioTranscriptionFailed(**where, error=problem),
    ).get("u")

    assert (user.transcription, user.transcript) == ("completed", "What time?")
    assert user.transcription_error is None


def test_words_grow_by_deltas_and_the_whole_replaces_them():
    """Also when a delta comes after the whole."""
    conversation = mirror(
        *begun(),
        ResponseContentPartAdded(**in_response("a"), part=TextPart(text="")),
        ResponseOutputTextDelta(**in_response("a"), delta="Hel"),
        ResponseOutputTextDelta(**in_response("a"), delta="lo"),
        ResponseOutputAudioTranscriptDelta(**in_response("a", 1), delta=" wor"),
    )
    item = conversation.get("a")

    assert (item.text, item.transcript, item.generated_text) == ("Hello", " wor", "Hello wor")

    conversation.apply(ResponseOutputTextDone(**in_response("a"), text="Hello,"))
    conversation.apply(ResponseOutputTextDelta(**in_response("a"), delta="late"))
    conversation.apply(ResponseContentPartDone(**in_response("a", 1), part=OutputAudio(transcript=" world")))
    conversation.apply(ResponseOutputAudioTranscriptDelta(**in_response("a", 1), delta="late"))

    assert item.generated_text == "Hello, world"
    assert [part.kind for part in item.parts] == ["text", "audio"]
    assert item.response_id == "r1"


def test_a_delta_after_the_whole_item_is_not_added():
    """The item's own `done` has all the words."""
    conversation = mirror(
        *begun(),
        ConversationItemDone(**E, item=assistant(status="completed", content=[OutputAudio(transcript="One two")])),
        ResponseOutputAudioTranscriptDelta(**in_response("a"), delta=" two"),
    )

    assert conversation.get("a").transcript == "One two"


def test_what_was_deleted_before_it_was_seen_does_not_come_back():
    """A mirror that begins late hears of the end of items first; a new item may have such an id all the same."""
    done = ConversationItemDone(**E, item=user_message("x", id="u"), previous_item_id=None)
    conversation = mirror(ConversationItemDeleted(**E, item_id="u"), done)

    assert list(conversation) == []

    conversation.apply(ConversationItemAdded(**E, item=user_message("y", id="u"), previous_item_id=None))

    assert [item.text for item in conversation] == ["y"]


def test_truncation_keeps_the_words_here():
    """The server forgets its transcript; the program may still want to show it, marked."""
    conversation = mirror(
        *begun(),
        ResponseOutputAudioTranscriptDone(**in_response("a"), transcript="One two three"),
        ConversationItemTruncated(**E, item_id="a", content_index=0, audio_end_ms=200),
        ConversationItemRetrieved(**E, item=assistant(status="completed", content=[OutputAudio(audio=b"12")])),
    )
    item = conversation.get("a")

    assert (item.transcript, item.truncated_ms) == ("One two three", 200)
    assert item.value.content == [OutputAudio()]


def part(item_id="a", index=0):
    return PartKey("r1", item_id, index)


def sound(ms, index=0, bytes_per_ms=48):
    return ResponseOutputAudioDelta(**in_response("a", index), delta=bytes(ms * bytes_per_ms))


def spoken(words, ms, index=0):
    """A part with its words and its sound."""
    return ResponseOutputAudioTranscriptDelta(**in_response("a", index), delta=words), sound(ms, index)


def test_heard_never_shrinks():
    """An item that was never played here was not heard 0 ms, it is not known."""
    conversation = mirror(added("a"))

    assert conversation.get("a").heard_ms is None

    conversation.set_heard(part(), 100)
    conversation.set_heard(part(), 50)
    conversation.set_heard(part("unknown"), 50)

    assert conversation.get("a").heard_ms == 100


def test_what_was_heard_is_counted_for_each_part():
    """An item may have two parts with sound, and each begins at 0."""
    conversation = mirror(*begun(), *spoken("One two three. ", 1500), *spoken("Four.", 500, 1))
    conversation.set_heard(part(), 1500)
    conversation.set_heard(part(index=1), 200)
    item = conversation.get("a")

    assert item.heard_ms == 1700
    assert [each.heard_ms for each in item.parts] == [1500, 200]
    assert item.heard_text == "One two three. "
    assert conversation.words(part(index=1)) == ("Four.", "")
    assert conversation.words(part()) == ("One two three. ", "One two three. ")


def test_heard_text_is_exact_at_both_ends_and_whole_words_between():
    """It lags behind what is generated, word by word."""
    conversation = mirror(*begun(), *spoken("One two three four five six", 2700))
    item = conversation.get("a")

    assert item.heard_text == ""

    conversation.set_heard(part(), 0)

    assert item.heard_text == ""

    conversation.apply(ConversationItemDone(**E, item=assistant(status="completed", content=[OutputAudio()])))
    conversation.set_heard(part(), 1350)

    assert item.heard_text in ("One two", "One two three")

    conversation.set_heard(part(), 2700)

    assert item.heard_text == item.generated_text == "One two three four five six"


def test_a_completed_response_makes_its_items_whole():
    """Some servers say so of the response only."""
    conversation = mirror(*begun(), *spoken("One two three four five six", 2700))
    conversation.set_heard(part(), 2700)
    conversation.apply(ResponseDone(**E, response=Response(id="r1", status="completed", conversation_id="c")))

    assert conversation.get("a").parts[0].whole
    assert conversation.get("a").heard_text == "One two three four five six"


def test_an_item_that_was_cut_off_was_not_heard_to_its_last_word():
    """The transcript runs ahead of the sound; where generation ended, some of it never became sound."""
    conversation = mirror(*begun(), *spoken("One two three four five six seven eight nine ten", 1000))
    for event in (
        ResponseOutputAudioTranscriptDone(
            **in_response("a"), transcript="One two three four five six seven eight nine ten"
        ),
        ConversationItemDone(**E, item=assistant(status="incomplete", content=[OutputAudio()])),
    ):
        conversation.apply(event)
    conversation.set_heard(part(), 1000)

    assert conversation.get("a").heard_text in ("One two", "One two three", "One two three four")


def test_truncation_keeps_what_was_heard():
    """Both texts stay, whatever the server still has."""
    conversation = mirror(*begun(), *spoken("One two three four five six", 2700))
    conversation.set_heard(part(), 1350)
    for event in (
        ConversationItemTruncated(**E, item_id="a", content_index=0, audio_end_ms=1350),
        ConversationItemRetrieved(**E, item=assistant(status="completed", content=[OutputAudio()])),
        ConversationItemDeleted(**E, item_id="a"),
    ):
        conversation.apply(event)
    item = conversation.get("a")

    assert item.generated_text == "One two three four five six"
    assert item.heard_text in ("One two", "One two three")


def test_where_the_program_plays_its_truncation_tells_what_was_heard():
    """Nobody else knows."""
    conversation = mirror(*begun(), *spoken("One two three four five six", 1500))

    assert conversation.get("a").heard_text == ""

    conversation.apply(ConversationItemTruncated(**E, item_id="a", content_index=0, audio_end_ms=750))

    assert conversation.get("a").heard_text in ("One two", "One two three")
    assert conversation.get("a").heard_ms is None


def test_written_text_is_heard_when_it_is_there():
    """Nobody has to wait for it. Behind sound that nobody heard yet it does not count: the text is a beginning."""
    conversation = mirror(
        *begun(),
        ResponseOutputTextDelta(**in_response("a"), delta="Look: "),
        *spoken("one two", 1000, 1),
        ResponseOutputTextDelta(**in_response("a", 2), delta=" (see above)"),
    )
    item = conversation.get("a")

    assert item.heard_text == "Look: "

    conversation.set_heard(part(index=1), 1000)
    conversation.apply(ConversationItemDone(**E, item=assistant(status="completed")))

    assert item.heard_text == item.generated_text == "Look: one two (see above)"


def test_the_length_of_sound_depends_on_its_format():
    """A byte of G.711 is six times as long as one of PCM."""
    output = AudioOutput(format=AudioFormat(type="audio/pcmu"))
    conversation = mirror(
        SessionUpdated(**E, session=RealtimeSession(audio=SessionAudio(output=output))),
        *begun(),
        sound(1000, bytes_per_ms=8),
    )

    assert conversation.get("a").parts[0].captions.received_ms == 1000


def test_the_assistants_pace_is_learnt_from_part_to_part():
    """Who speaks slowly goes on speaking slowly."""
    words = "This is about a sentence, or a little more than that."
    slow = mirror(
        *begun(), *spoken(words, 5000), ConversationItemDone(**E, item=assistant(status="completed")), *begun("b")
    )
    heard = []
    for conversation in (slow, mirror(*begun("b"))):
        for event in (
            ResponseOutputAudioTranscriptDelta(**in_response("b"), delta=words),
            ResponseOutputAudioDelta(**in_response("b"), delta=bytes(48 * 2000)),
        ):
            conversation.apply(event)
        conversation.set_heard(part("b"), 2000)
        heard.append(len(conversation.get("b").heard_text))

    assert 0 < heard[0] < heard[1]


def test_a_function_call_and_its_output():
    """Arguments grow, the output is also on the call, whichever came first."""
    call = FunctionCall(id="f", call_id="c1", name="f", arguments="")
    where = {**E, "response_id": "r1", "item_id": "f", "output_index": 0, "call_id": "c1"}
    conversation = mirror(
        ConversationItemAdded(**E, item=function_call_output("c2", "early", id="o2")),
        ConversationItemAdded(**E, item=call),
        ConversationItemAdded(**E, item=FunctionCall(id="g", call_id="c2", name="g", arguments="{}")),
        ResponseFunctionCallArgumentsDelta(**where, delta='{"a"'),
    )
    item = conversation.get("f")

    assert (item.type, item.name, item.arguments, item.arguments_complete) == ("function_call", "f", '{"a"', False)

    conversation.apply(ResponseFunctionCallArgumentsDone(**where, name="f", arguments='{"a": 1}'))
    conversation.apply(ResponseFunctionCallArgumentsDelta(**where, delta="late"))
    conversation.apply(ConversationItemAdded(**E, item=function_call_output("c1", "out", id="o1")))

    assert (item.arguments, item.output) == ('{"a": 1}', "out")
    assert conversation.get("g").output == "early"
    assert conversation.get("o1").call_id == "c1"


def test_an_out_of_band_response_never_touches_the_mirror():
    """Its items are not in the conversation."""
    conversation = mirror(
        ResponseCreated(**E, response=Response(id="r1", conversation_id=None, status="in_progress")),
        ResponseOutputItemAdded(**E, response_id="r1", output_index=0, item=assistant()),
        ConversationItemAdded(**E, item=assistant()),  # no server should, but it would be wrong to believe it
        ResponseOutputTextDelta(**in_response("a"), delta="x"),
        ResponseOutputItemDone(**E, response_id="r1", output_index=0, item=assistant()),
        ResponseDone(**E, response=Response(id="r1", conversation_id=None, status="completed", output=[assistant()])),
    )

    assert ids(conversation) == []
    assert conversation.get("a") is None
    assert conversation.response_status("r1") == "completed"


def test_a_response_that_was_cut_off_marks_its_items():
    """By its `done`, also when the items' own `done` got lost."""
    conversation = mirror(
        *begun(),
        ResponseDone(
            **E,
            response=Response(
                id="r1", conversation_id="c", status="cancelled", output=[assistant(status="incomplete")]
            ),
        ),
    )

    assert conversation.get("a").status == "incomplete"
    assert conversation.response_status("r1") == "cancelled"


def test_only_completed_calls_are_ready():
    """A call cut off with its response is neither run nor answered; a duplicate is one call."""
    calls = [
        FunctionCall(id="1", call_id="a", name="f", arguments="{}", status="completed"),
        FunctionCall(id="2", call_id="b", name="f", arguments='{"x', status="incomplete"),
        FunctionCall(id="3", call_id="c", name="f", arguments="{}", status="in_progress"),
        FunctionCall(id="4", name="f", arguments="{}", status="completed"),
        FunctionCall(id="5", call_id="a", name="f", arguments="{}", status="completed"),
        assistant(),
    ]
    silent = [FunctionCall(call_id="d", name="g", arguments="{}")]

    assert ready_calls(Response(status="completed", output=calls)) == (ReadyCall("1", "a", "f", "{}"),)
    assert ready_calls(Response(status="cancelled", output=calls)) == (ReadyCall("1", "a", "f", "{}"),)
    assert ready_calls(Response(status="completed", output=silent)) == (ReadyCall("", "d", "g", "{}"),)
    assert ready_calls(Response(status="cancelled", output=silent)) == ()
    assert ready_calls(Response(status="completed")) == ()


def test_unknown_and_malformed_events_change_nothing():
    """They are data for somebody else."""
    conversation = mirror(
        added("a"),
        UnknownEvent(type="new.thing", data={}),
        MalformedEvent(type="conversation.item.added", json="{}", problem="?"),
        decode('{"type": "conversation.item.added", "event_id": "e", "item": {"type": "new", "id": "n", "x": 1}}'),
        ResponseOutputTextDelta(**in_response("unknown"), delta="x"),
        ConversationItemTruncated(**E, item_id="a", content_index=10**9, audio_end_ms=1),
        ConversationItemTruncated(**E, item_id="a", content_index=-5, audio_end_ms=1),
        ConversationItemDeleted(**E, item_id="unknown"),
    )

    assert ids(conversation) == ["a", "n"]
    assert conversation.get("n").type == "new"
    assert len(conversation.get("a").parts) == 1


_ID = st.sampled_from("abcd")
_INDEX = st.integers(-1, 2)
_TEXT = st.sampled_from(["", "x", "yz"])
_STATUS = st.sampled_from(["in_progress", "completed", "incomplete", "new", None, UNSET])
_PREVIOUS = st.one_of(st.none(), st.just(UNSET), st.just("root"), st.just("elsewhere"), _ID)
_ITEM = st.one_of(
    st.builds(user_message, _TEXT, id=_ID),
    st.builds(assistant, _ID, _STATUS, st.lists(st.builds(OutputAudio, transcript=_TEXT), max_size=2)),
    st.builds(FunctionCall, id=_ID | st.just(UNSET), call_id=_ID | st.none(), name=_TEXT, arguments=_TEXT),
    st.builds(function_call_output, _ID, _TEXT, id=_ID),
)
_RESPONSE = st.builds(
    Response,
    id=_ID | st.just(UNSET),
    status=_STATUS,
    conversation_id=st.sampled_from([None, UNSET, "c"]),
    output=st.just(UNSET) | st.none() | st.lists(_ITEM, max_size=2),
)


def _event(cls, **fields):
    return st.builds(cls, event_id=st.just("e"), **fields)


_CHILD = {"response_id": _ID, "item_id": _ID, "output_index": _INDEX}
_PLACED = st.one_of(
    _event(ConversationItemAdded, item=_ITEM, previous_item_id=_PREVIOUS),
    _event(ConversationItemDone, item=_ITEM, previous_item_id=_PREVIOUS),
    _event(InputAudioBufferCommitted, item_id=_ID, previous_item_id=_PREVIOUS),
    _event(ConversationItemDeleted, item_id=_ID),
)
_EVENT = st.one_of(
    _PLACED,
    _event(ConversationItemRetrieved, item=_ITEM),
    _event(ConversationItemTruncated, item_id=_ID, content_index=_INDEX, audio_end_ms=_INDEX),
    _event(ConversationItemInputAudioTranscriptionDelta, item_id=_ID, content_index=_INDEX | st.none(), delta=_TEXT),
    _event(ResponseCreated, response=_RESPONSE),
    _event(ResponseDone, response=_RESPONSE),
    _event(ResponseOutputItemAdded, response_id=_ID, output_index=_INDEX, item=_ITEM),
    _event(ResponseContentPartAdded, **_CHILD, content_index=_INDEX, part=st.builds(TextPart, text=_TEXT)),
    _event(ResponseOutputTextDelta, **_CHILD, content_index=_INDEX, delta=_TEXT),
    _event(ResponseFunctionCallArgumentsDelta, **_CHILD, call_id=_ID, delta=_TEXT),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_EVENT, max_size=25))
def test_no_sequence_of_events_makes_it_raise(events):
    """And what it shows is consistent: placed items are not deleted, each once, and found by their id."""
    conversation = mirror(*events)

    listed = ids(conversation)

    assert len(listed) == len(set(listed)) == len(conversation)
    for item in conversation:
        assert not item.deleted
        assert conversation.get(item.id) is item
        assert isinstance(item.generated_text, str)
        assert repr(item)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_order_is_that_of_a_list(data):
    """Insertions after items that are there, and deletions, against the obvious model."""
    order, model = ItemOrder(), []
    for n in range(data.draw(st.integers(0, 30))):
        if model and data.draw(st.integers(0, 3)) == 0:
            gone = data.draw(st.sampled_from(model))
            order.remove(gone)
            model.remove(gone)
            continue
        previous = data.draw(st.sampled_from([None, "root", UNSET, *model]))
        order.insert(str(n), previous)
        if previous is UNSET:
            model.append(str(n))
        else:
            model.insert(model.index(previous) + 1 if previous in model else 0, str(n))

        assert list(order) == model
        assert len(order) == len(model)
        assert str(n) in order


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_does_not_depend_on_the_order_of_arrival(arrival):
    """A chain of items, each after the one before it, comes out as the chain however it arrives."""
    order = ItemOrder()
    for n in arrival:
        order.insert(str(n), str(n - 1) if n else None)

    assert list(order) == [str(n) for n in range(6)]


def test_many_items_at_the_end_are_cheap():
    """An hour of text is thousands of items; each is placed without reading all."""
    order = ItemOrder()
    for n in range(20_000):
        order.insert(str(n), str(n - 1) if n else None)

    assert order._visible is not None
    assert len(list(order)) == 20_000
