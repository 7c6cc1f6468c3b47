"""The order of what is sent, judged by a model that is too simple to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio import events
from realtime_trio.send_queue import QueuedEvent, SendQueue, fills_input, is_append, is_urgent

EVENTS = {
    "append": events.InputAudioBufferAppend(audio=b"\0\0"),
    "commit": events.InputAudioBufferCommit(),
    "clear": events.InputAudioBufferClear(),
    "create": events.ConversationItemCreate(item=events.user_message("x")),
    "retrieve": events.ConversationItemRetrieve(item_id="i"),
    "update": events.SessionUpdate(session=events.RealtimeSession()),
    "respond": events.ResponseCreate(),
    "cancel": events.ResponseCancel(),
    "truncate": events.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=0),
    "delete": events.ConversationItemDelete(item_id="i"),
    "silence": events.OutputAudioBufferClear(),
}
AUDIO = {"append", "commit", "clear"}
URGENT = {"cancel", "truncate", "delete", "silence"}


def entry(name, audio_bytes=0):
    event = EVENTS[name]
    return QueuedEvent(name, urgent=is_urgent(event), fills_input=fills_input(event), audio_bytes=audio_bytes)


def drain(queue):
    return [queue.take().message for _ in range(len(queue))]


def test_every_client_event_has_its_lane():
    assert {name for name, event in EVENTS.items() if is_urgent(event)} == URGENT
    assert {name for name, event in EVENTS.items() if fills_input(event)} == AUDIO
    assert {name for name, event in EVENTS.items() if is_append(event)} == {"append"}
    assert fills_input(events.SessionInputAudioBufferAppend(audio=b""))
    assert not is_urgent(events.SessionClose())


@pytest.mark.parametrize(
    ("put", "taken"),
    [
        ("append append cancel", "cancel append append"),
        ("append commit append truncate", "truncate append commit append"),
        ("append commit respond append cancel", "append commit respond cancel append"),
        ("append create append delete", "append create delete append"),
        ("append truncate delete append cancel", "truncate delete cancel append append"),
        ("append commit append", "append commit append"),
        ("append update append respond", "append update append respond"),
    ],
)
def test_what_stops_the_assistant_overtakes_what_fills_the_input_buffer(put, taken):
    queue = SendQueue()
    for name in put.split():
        queue.put(entry(name))

    assert drain(queue) == taken.split()


@given(st.lists(st.sampled_from([*EVENTS, "take"])))
def test_order_holds_for_every_pair(steps):
    """Of any two events, the later leaves first only if it is urgent and the other fills the input buffer."""
    queue, taken, number = SendQueue(), [], 0
    for name in steps:
        if name != "take":
            one = entry(name)
            one.message = (number, name)
            number += 1
            queue.put(one)
        elif queue:
            taken.append(queue.take().message)
    taken += drain(queue)

    assert sorted(taken) == [(n, name) for n, name in enumerate(name for name in steps if name != "take")]
    for place, (first, first_name) in enumerate(taken):
        for second, second_name in taken[place + 1 :]:
            if first > second:
                assert first_name in URGENT
                assert second_name in AUDIO


@given(st.lists(st.sampled_from([*EVENTS])))
def test_an_urgent_event_has_no_input_audio_before_it_unless_something_stands_between(names):
    queue = SendQueue()
    for name in names:
        queue.put(entry(name))
    taken = drain(queue)

    for place, name in enumerate(taken[1:], start=1):
        assert not (name in URGENT and taken[place - 1] in AUDIO)


@given(st.lists(st.tuples(st.sampled_from(["append", "commit", "create"]), st.integers(0, 50))), st.integers(0, 100))
def test_trimming_drops_the_oldest_whole_appends_and_nothing_else(steps, limit):
    queue = SendQueue()
    entries = [entry(name, size if name == "append" else 0) for name, size in steps]
    for one in entries:
        queue.put(one)
    before, others = queue.audio_bytes, sum(not one.audio_bytes for one in entries)
    dropped = queue.trim_audio(limit)
    droppable = [one for one in entries if one.audio_bytes]

    assert list(dropped) == droppable[: len(dropped)]
    assert queue.audio_bytes == before - sum(one.audio_bytes for one in dropped)
    assert queue.audio_bytes <= limit or len(droppable) - len(dropped) <= 1
    assert not droppable or droppable[-1] not in dropped
    if dropped:
        assert queue.audio_bytes + dropped[-1].audio_bytes > limit
    assert queue.other_events == others
    assert [queue.take() for _ in range(len(queue))] == [one for one in entries if one not in dropped]
    assert (queue.audio_bytes, queue.other_events) == (0, 0)


def test_the_newest_audio_stays_even_when_it_is_too_much_by_itself():
    """Nothing could ever be sent otherwise."""
    queue = SendQueue()
    old, new = entry("append", 10), entry("append", 101)
    queue.put(old)
    queue.put(new)

    assert queue.trim_audio(100) == (old,)
    assert queue.trim_audio(100) == ()
    assert queue.audio_bytes == 101
    assert queue.take() is new


def test_an_event_is_removed_once():
    queue, one, other = SendQueue(), entry("append", 4), entry("append", 4)
    queue.put(one)
    queue.put(other)
    queue.put(cancel := entry("cancel"))

    assert (queue.remove(one), queue.remove(one), queue.audio_bytes, queue.other_events) == (True, False, 4, 1)
    assert (queue.remove(cancel), queue.remove(cancel), queue.audio_bytes, queue.other_events) == (True, False, 4, 0)
    assert queue.take() is other
    with pytest.raises(IndexError):
        queue.take()
