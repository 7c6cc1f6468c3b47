"""What happens in a conversation, for tests of the mirror and of what is made of it."""

from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.events import UNSET

USAGE = wire.TokenUsage(input_tokens=0, output_tokens=0, total_tokens=0)


def added(item, previous=UNSET):
    return wire.ConversationItemAdded(event_id="e", item=item, previous_item_id=previous)


def spoken(item_id, transcript, ms, status="completed", place=True):
    """The assistant says something."""
    where = {"event_id": "e", "response_id": "r", "item_id": item_id, "output_index": 0, "content_index": 0}
    begun = wire.Message(role="assistant", id=item_id, status="in_progress", content=[])
    ended = wire.Message(role="assistant", id=item_id, status=status, content=[wire.OutputAudio(transcript=transcript)])
    output = {"event_id": "e", "response_id": "r", "output_index": 0}
    return [
        added(begun) if place else wire.ResponseOutputItemAdded(**output, item=begun),
        wire.ResponseOutputAudioTranscriptDelta(**where, delta=transcript),
        wire.ResponseOutputAudioDelta(**where, delta=bytes(48 * ms)),
        wire.ResponseOutputItemDone(**output, item=ended),
    ]


def committed(item_id):
    return wire.InputAudioBufferCommitted(event_id="e", item_id=item_id, previous_item_id=UNSET)


def transcribed(item_id, transcript):
    return wire.ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=0, transcript=transcript, usage=USAGE
    )


def half_transcribed(item_id, delta):
    return wire.ConversationItemInputAudioTranscriptionDelta(event_id="e", item_id=item_id, delta=delta)


def not_transcribed(item_id):
    return wire.ConversationItemInputAudioTranscriptionFailed(
        event_id="e", item_id=item_id, content_index=0, error=wire.TranscriptionError(code="x")
    )


def call(call_id, status="completed"):
    return wire.FunctionCall(id=f"f{call_id}", call_id=call_id, name="f", arguments="{}", status=status)


def output(call_id):
    return wire.function_call_output(call_id, "out", id=f"o{call_id}")


def mcp_call(item_id, **fields):
    return wire.McpCall(id=item_id, server_label="s", name="look", arguments="{}", **fields)


def deleted(item_id):
    return wire.ConversationItemDeleted(event_id="e", item_id=item_id)


ITEMS = st.sampled_from([f"i{n}" for n in range(6)])
CALL_IDS = st.sampled_from(["x", "y"])
STATUSES = st.sampled_from(["completed", "incomplete", "in_progress"])
HAPPENS = st.one_of(
    st.builds(lambda i, p: [added(wire.user_message("typed", id=i), p)], ITEMS, ITEMS | st.none() | st.just(UNSET)),
    st.builds(lambda i: [added(wire.system_message("rule", id=i))], ITEMS),
    st.builds(lambda i: [committed(i)], ITEMS),
    st.builds(lambda i: [committed(i), half_transcribed(i, "well ")], ITEMS),
    st.builds(lambda i, t: [transcribed(i, t)], ITEMS, st.sampled_from(["words", ""])),
    st.builds(lambda i: [not_transcribed(i)], ITEMS),
    st.builds(lambda i, s, p: spoken(i, "one two", 400, s, place=p), ITEMS, STATUSES, st.booleans()),
    st.builds(lambda c, s: [added(call(c, s))], CALL_IDS, STATUSES),
    st.builds(
        lambda c: [wire.ResponseOutputItemDone(event_id="e", response_id="r", output_index=0, item=call(c))], CALL_IDS
    ),
    st.builds(lambda c: [added(output(c))], CALL_IDS),
    st.builds(lambda i, o: [added(mcp_call(i, output=o))], ITEMS, st.sampled_from(["found", UNSET])),
    st.builds(lambda i: [added(wire.McpListTools(id=i, server_label="s", tools=[]))], ITEMS),
    st.builds(lambda i: [deleted(i)], ITEMS | st.sampled_from(["fx", "ox"])),
    st.builds(
        lambda i: [wire.ConversationItemTruncated(event_id="e", item_id=i, content_index=0, audio_end_ms=5)], ITEMS
    ),
)
