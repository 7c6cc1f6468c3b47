"""The scripted peer judges others, so it is judged first: what it lets through, what it catches, and its words."""

import re

import pytest
import trio
import trio.testing

from realtime_trio import events
from realtime_trio.connection import open_connection
from realtime_trio.testing import open_scripted_peer
from realtime_trio.testing.json_match import merge, mismatch, show
from realtime_trio.transport import Target


@pytest.fixture
async def pair():
    """A peer and a connection to it."""
    async with open_scripted_peer() as peer, open_connection(connect=peer.connect) as connection:
        yield peer, connection


async def test_expect_returns_what_came(pair, autojump_clock):
    peer, connection = pair
    item = events.user_message("hello", id="item_1")
    await connection.send(events.ConversationItemCreate(item=item, event_id="e"))

    event = await peer.expect(
        "conversation.item.create", item={"id": "item_1", "role": lambda role: role in "user", "content": [...]}
    )

    assert event["item"]["content"] == [{"type": "input_text", "text": "hello"}]
    assert peer.received == [event]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"item_id": "b"}, 'item_id is "a" in'),
        ({"response": {}}, "response is missing in"),
        ({"audio_end_ms": lambda ms: ms > 100}, "audio_end_ms is 5 in"),
        ({"item_id": {"x": 1}}, 'item_id is "a" in'),
        ({"item_id": ["a"]}, 'item_id is "a" in'),
    ],
)
async def test_expect_says_what_came_instead(pair, autojump_clock, fields, words):
    peer, connection = pair
    await connection.send(events.InputAudioBufferClear())
    await connection.send(events.ConversationItemTruncate(item_id="a", content_index=0, audio_end_ms=5, event_id="e"))
    await peer.expect("input_audio_buffer.clear")

    with pytest.raises(AssertionError, match=re.escape(words)) as caught:
        await peer.expect("conversation.item.truncate", **fields)

    assert str(caught.value).startswith("expected conversation.item.truncate{")
    assert str(caught.value).endswith("before that: input_audio_buffer.clear")


async def test_expect_says_that_another_type_came(pair, autojump_clock):
    peer, connection = pair
    await connection.send(events.InputAudioBufferAppend(audio=bytes(9600)))

    with pytest.raises(AssertionError) as caught:
        await peer.expect("response.create")

    assert "the type is 'input_audio_buffer.append'" in str(caught.value)
    assert "AAAA… (12800 characters)" in str(caught.value)
    assert len(str(caught.value)) < 400


async def test_expect_says_that_nothing_came(pair, autojump_clock):
    peer, _ = pair
    with pytest.raises(AssertionError, match="expected response.create, but nothing came; before that: nothing"):  # noqa: RUF043
        await peer.expect("response.create")
    assert trio.current_time() == 5
    with pytest.raises(AssertionError):
        await peer.expect("response.create", within=60)
    assert trio.current_time() == 65


async def test_expect_says_that_the_client_is_gone(autojump_clock):
    async with open_scripted_peer() as peer:
        async with open_connection(connect=peer.connect):
            pass
        with pytest.raises(AssertionError, match="the client is gone .*1000"):  # noqa: RUF043
            await peer.expect("response.create")
    assert trio.current_time() == 0


async def test_expect_nothing(pair, autojump_clock):
    peer, connection = pair
    await peer.expect_nothing(3)
    assert trio.current_time() == 3
    await connection.send(events.ResponseCreate())
    with pytest.raises(AssertionError, match=r"expected nothing for 3 s, but this came: .*response\.create"):
        await peer.expect_nothing(3)


async def test_some_types_may_be_passed_over(pair, autojump_clock):
    peer, connection = pair
    peer.ignored.add("input_audio_buffer.append")
    for _ in range(3):
        await connection.send(events.InputAudioBufferAppend(audio=b"\0\0"))
    await connection.send(events.ResponseCreate())

    await peer.expect("response.create")
    await connection.send(events.InputAudioBufferAppend(audio=b"\0\0"))
    await peer.expect_nothing(1)
    assert len(peer.received) == 5


async def test_events_are_sent_typed_as_json_and_by_their_fields(pair, autojump_clock):
    peer, connection = pair
    await peer.send(events.InputAudioBufferCleared(event_id="mine"))
    await peer.send({"type": "input_audio_buffer.cleared"})
    await peer.send("input_audio_buffer.cleared")
    await peer.send("made.up", anything={"goes": [1.5, None]})

    found = [await connection.receive() for _ in range(4)]

    assert [event.event_id for event in found] == ["mine", "event_1", "event_2", "event_3"]
    assert [type(event).__name__ for event in found] == [*["InputAudioBufferCleared"] * 3, "UnknownEvent"]
    assert found[3].data["anything"] == {"goes": [1.5, None]}


async def test_greeting_merges_the_update(pair, autojump_clock):
    peer, connection = pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.greet)
        assert (await connection.receive()).session.model == "gpt-realtime-2.1"
        await connection.send(events.SessionUpdate(session=events.RealtimeSession(instructions="be kind")))
        updated = (await connection.receive()).session

    assert (updated.instructions, updated.output_modalities) == ("be kind", ["audio"])
    assert peer.session["instructions"] == "be kind"


async def test_a_peer_that_greets_needs_no_script(autojump_clock):
    async with open_scripted_peer(greet=True) as peer, open_connection(connect=peer.connect) as connection:
        assert (await connection.receive()).type == "session.created"
        for text in ("one", "two"):
            await connection.send(events.SessionUpdate(session=events.RealtimeSession(instructions=text)))
            assert (await connection.receive()).session.instructions == text
        await peer.expect_nothing(1)
        assert len(peer.received) == 2


async def test_answers_of_ones_own(pair, autojump_clock):
    peer, connection = pair
    peer.answer(
        "conversation.item.delete", lambda event: [{"type": "conversation.item.deleted", "item_id": event["item_id"]}]
    )
    await connection.send(events.ConversationItemDelete(item_id="i"))
    assert (await connection.receive()).item_id == "i"


async def test_a_script_plays_beside_the_client(autojump_clock):
    async def script(peer):
        await peer.expect("response.create")
        await peer.send("response.created", response={"id": "r"})

    async with open_scripted_peer(script) as peer, open_connection(connect=peer.connect) as connection:
        await connection.send(events.ResponseCreate())
        assert (await connection.receive()).response.id == "r"


async def test_what_a_script_did_not_expect_is_raised_plain(autojump_clock):
    async def script(peer):
        await peer.expect("response.create")

    async def main():
        async with open_scripted_peer(script) as peer, open_connection(connect=peer.connect) as connection:
            await connection.send(events.ResponseCancel())
            await trio.sleep_forever()

    with pytest.raises(AssertionError, match=r"expected response\.create, but the type is 'response\.cancel'"):
        await main()


async def test_a_script_that_waits_for_more_than_came_fails(autojump_clock):
    async def script(peer):
        await peer.expect("response.create")
        await peer.expect("response.create")

    async def main():
        async with open_scripted_peer(script) as peer, open_connection(connect=peer.connect) as connection:
            await connection.send(events.ResponseCreate())

    with pytest.raises(AssertionError, match="the client is gone"):
        await main()


async def test_a_script_that_is_not_at_its_end_fails(autojump_clock):
    async def script(peer):
        await trio.sleep_forever()

    async def main():
        async with open_scripted_peer(script) as peer, open_connection(connect=peer.connect):
            await peer.connected()

    with pytest.raises(AssertionError, match="the script is not at its end"):
        await main()


async def test_a_script_may_follow_the_client_until_it_leaves(autojump_clock):
    async def script(peer):
        async for event in peer:
            await peer.send("echo", of=event["type"])

    async with open_scripted_peer(script) as peer, open_connection(connect=peer.connect) as connection:
        await connection.send(events.ResponseCreate())
        assert (await connection.receive()).data["of"] == "response.create"
        await trio.sleep(1000)
        await connection.send(events.ResponseCancel())
        assert (await connection.receive()).data["of"] == "response.cancel"


async def test_one_client_after_the_other(autojump_clock):
    async with open_scripted_peer() as peer:
        for number in range(3):
            async with open_connection(connect=peer.connect) as connection:
                await connection.send(events.ResponseCreate(event_id=str(number)))
                await peer.expect("response.create", event_id=str(number))
            assert (await peer.expect_end()).code == 1000
        assert len(peer.handshakes) == 3


async def test_nobody_connects(autojump_clock):
    async with open_scripted_peer(patience=2) as peer:
        with pytest.raises(AssertionError, match="expected a client to connect, but none came"):
            await peer.send("hello")
        with pytest.raises(AssertionError, match="no client is connected"):
            peer.stall()
    assert trio.current_time() == 2


async def test_a_client_that_stays_is_told_apart_from_one_that_closed(pair, autojump_clock):
    peer, connection = pair
    with pytest.raises(AssertionError, match="the client to close, but it is still here"):
        await peer.expect_end()
    await connection.aclose(3000, "why")
    end = await peer.expect_end()
    assert (end.code, end.reason) == (3000, "why")


async def test_what_is_no_json_is_seen_as_such(autojump_clock):
    async with open_scripted_peer() as peer, peer.connect(Target(url="ws://h")) as stream:
        for text in ("{", "[1]", "5"):
            await stream.send_message(text)
        await peer.expect("not JSON")
        await peer.expect("not an object", value=[1])
        await peer.expect("not an object", value=5)


async def test_a_stalled_peer_reads_on_when_told(pair, autojump_clock):
    peer, connection = pair
    await peer.connected()
    peer.stall()
    peer.stall()
    await connection.send(events.ResponseCreate())
    await peer.expect_nothing(3)
    peer.resume()
    await peer.expect("response.create")


@pytest.mark.parametrize(
    ("event", "wanted", "problem"),
    [
        (1, 1, None),
        (1, True, None),
        ("a", ..., None),
        ({"a": 1, "b": 2}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b is 1"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a[1].b is 2"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1]"),
        ({"a": [1]}, {"a": (1,)}, None),
        ({}, {"a": ...}, "a is missing"),
        ({"a": None}, {"a": None}, None),
        ({"a": 5}, {"a": lambda value: value > 5}, "a is 5"),
    ],
)
def test_matching(event, wanted, problem):
    assert mismatch(event, wanted) == problem


def test_merging_keeps_what_is_absent_and_replaces_what_is_no_object():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": 1}
    assert merge(old, {"a": {"c": [3]}, "d": {"x": 1}, "e": None}) == {
        "a": {"b": 1, "c": [3]},
        "d": {"x": 1},
        "e": None,
    }
    assert old["a"] == {"b": 1, "c": [1, 2]}


def test_showing_cuts_what_is_long():
    assert (
        show({"a": ["x" * 300, "short"], "b": {1, 2}})
        == '{"a": ["' + "x" * 20 + '… (300 characters)", "short"], "b": "{1, 2}"}'
    )
