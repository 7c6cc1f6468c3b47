"""A server that makes things up without end: the memory of a session has an end."""

import base64
import json
import logging
import tracemalloc
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from realtime_trio import ConnectionClosed, RemoteProtocolError, open_session, tool
from realtime_trio.core.item import MAX_CHARACTERS
from realtime_trio.session import intake, limits
from realtime_trio.testing import FakeDevice, open_scripted_peer

from .flood import Flood, largest

MANY = 5000
MOST = 4096  # ids of one kind that are remembered
SOUND = base64.b64encode(b"\1\2" * 48).decode()  # 2 ms


def message(i: int, role: str = "user") -> dict:
    return {"type": "message", "id": f"item_{i}", "role": role, "content": []}


def response(i: int, status: str = "in_progress", output: tuple = (), conversation: str | None = "conv_1") -> dict:
    return {"id": f"resp_{i}", "status": status, "conversation_id": conversation, "output": list(output)}


def created(i: int, **fields) -> dict:
    return {"type": "response.created", "response": response(i, **fields)}


def done(i: int, status: str = "completed", output: tuple = (), **fields) -> dict:
    return {"type": "response.done", "response": response(i, status, output, **fields)}


def call(i: int) -> dict:
    ids = {"id": f"item_{i}", "call_id": f"call_{i}"}
    return {"type": "function_call", **ids, "name": "note", "arguments": "{}", "status": "completed"}


def hosted(type: str, i: int) -> dict:
    named = {"server_label": f"label_{i}", "name": "look", "arguments": "{}", "tools": []}
    return {"type": "conversation.item.added", "item": {"type": type, "id": f"item_{i}", **named}}


def part(type: str, i: int, response_id: str = "resp_0", **fields) -> dict:
    where = {"response_id": response_id, "item_id": f"item_{i}", "output_index": 0, "content_index": 0}
    return {"type": type, **where, **fields}


def speech(i: int, what: str = "speech_started") -> dict:
    return {"type": f"input_audio_buffer.{what}", "item_id": f"item_{i}", "audio_start_ms": i, "audio_end_ms": i}


# What a session can forget, and does: the 5,000th costs no more than the first.
FORGOTTEN = {
    "speech that begins": lambda i: [speech(i)],
    "speech that begins and ends": lambda i: [speech(i), speech(i, "speech_stopped")],
    "speech over a response": lambda i: [created(0), speech(i)] if i == 0 else [speech(i)],
    "timeouts": lambda i: [speech(i, "timeout_triggered")],
    "items added and deleted": lambda i: [
        {"type": "conversation.item.added", "item": message(i), "previous_item_id": f"item_{i - 1}"},
        {"type": "conversation.item.deleted", "item_id": f"item_{i}"},
    ],
    "one item added and deleted": lambda i: [
        {"type": "conversation.item.added", "item": message(0), "previous_item_id": None},
        {"type": "conversation.item.deleted", "item_id": "item_0"},
    ],
    "responses": lambda i: [created(i), done(i)],
    "responses that fail": lambda i: [created(i), done(i, "failed")],
    "ends of unknown responses": lambda i: [done(i)],
    "stray sound": lambda i: [part("response.output_audio.delta", i, f"resp_{i}", delta=SOUND)],
    "nothing, in pieces": lambda i: (
        ([created(0)] if i == 0 else [])
        + [part(f"response.output_{kind}.delta", i, delta="") for kind in ("audio", "text", "audio_transcript")]
    ),
    "parts": lambda i: (
        ([created(0)] if i == 0 else [])
        + [part("response.content_part.added", 0, part={"type": "audio"}) | {"content_index": i}]
    ),
    "errors": lambda i: [{"type": "error", "error": {"type": "x", "message": f"item_{i}?", "event_id": f"e_{i}"}}],
    "rate limits": lambda i: [{"type": "rate_limits.updated", "rate_limits": [{"name": f"n{i}", "remaining": 0}]}],
    "transcripts": lambda i: [
        part("conversation.item.input_audio_transcription.completed", 0, transcript=f"{i}") | {"content_index": i}
    ],
    "unknown events": lambda i: [{"type": f"response.telepathy_{i}"}],
    "what is no event": lambda i: ["[]"],
}


@tool
async def note() -> None:
    """Note."""
    await trio.sleep_forever()


async def pour(events, *, device: bool = False, many: int = MANY, look=largest, at_once: int = 50, **options):
    """Pour the events into a session; it has to take them all and to answer yet. Give what `look` says of it then."""
    link = Flood((event for i in range(many) for event in events(i)), at_once=at_once)
    audio = FakeDevice(output_latency_ms=30) if device else None
    policy = "confirm" if device else "immediate"
    async with open_session(
        connect=link.connect, audio=audio, tools=[note], interruption=policy, drain=False, **options
    ) as session:
        link.begin()
        await link.over.wait()
        await session.update(instructions="Go on.")
        return look(session)


@pytest.mark.slow
@pytest.mark.parametrize("device", [False, True], ids=["without device", "with device"])
@pytest.mark.parametrize("events", FORGOTTEN.values(), ids=FORGOTTEN)
async def test_what_can_be_forgotten_is(autojump_clock, caplog, events, device):
    """Thousands of events with ids that nobody knows: no collection grows with them."""
    caplog.set_level(logging.CRITICAL, "realtime_trio")
    number, where = await pour(events, device=device)

    assert number <= MOST, where


@pytest.mark.slow
async def test_deleted_items_leave_the_mirror(autojump_clock):
    """Only the newest of them can be named by an item that comes behind one."""
    remembered = await pour(FORGOTTEN["items added and deleted"], look=lambda session: session.conversation.size)

    assert remembered == 512


TOO_MANY = {
    "responses": (lambda i: [created(i)], limits.MOST_RESPONSES, "responses that it does not end"),
    "beside the conversation": (
        lambda i: [created(i, conversation=None)],
        limits.MOST_RESPONSES,
        "responses that it does not end",
    ),
    "calls": (lambda i: [created(i), done(i, output=(call(i),))], limits.MOST_CALLS, "function calls at once"),
    "turns": (
        lambda i: [speech(i), {"type": "input_audio_buffer.committed", "item_id": f"item_{i}"}],
        limits.MOST_OWED,
        "turns that it does not answer",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TOO_MANY.values(), ids=TOO_MANY)
async def test_what_cannot_be_forgotten_ends_the_session(autojump_clock, caplog, case):
    """Somebody may wait for it. What is raised says what there was too much of."""
    caplog.set_level(logging.CRITICAL, "realtime_trio")
    events, most, words = case
    with pytest.raises(RemoteProtocolError, match=f"more than {most} {words}: the session is given up"):
        await pour(events, device=True, many=most + 256, at_once=4)


ITEMS = {
    "of responses": lambda i: [
        {"type": "response.output_item.added", "response_id": "r", "output_index": 0, "item": message(i, "assistant")}
    ],
    "calls": lambda i: [hosted("mcp_call", i)],
    "requests for approval": lambda i: [hosted("mcp_approval_request", i)],
    "listings": lambda i: [hosted("mcp_list_tools", i)],
}


@pytest.mark.slow
@pytest.mark.parametrize("events", ITEMS.values(), ids=ITEMS)
async def test_too_many_items_end_the_session(autojump_clock, monkeypatch, events):
    """The mirror is the conversation, so it grows with it, but not for ever."""
    monkeypatch.setattr(limits, "MOST_ITEMS", 2000)
    with pytest.raises(RemoteProtocolError, match="more than 2000 conversation items"):
        await pour(events, many=2002)


@pytest.mark.slow
async def test_an_item_costs_two_kilobytes(autojump_clock):
    """What docs/security.md says: a hundred thousand of them are what a session may hold at most."""

    def added(i):
        return [{"type": "conversation.item.added", "item": message(i), "previous_item_id": None}]

    await pour(added, many=100)
    sizes = []
    for many in (500, 2500):
        tracemalloc.start()
        await pour(added, many=many, look=lambda _: sizes.append(tracemalloc.get_traced_memory()[0]))
        tracemalloc.stop()

    assert (sizes[1] - sizes[0]) / 2000 < 2048


@pytest.mark.parametrize("kind", ["text", "audio_transcript"])
@pytest.mark.parametrize("device", [False, True])
async def test_words_without_end_are_cut_off(autojump_clock, kind, device):
    """As sound without end is: the response is interrupted, and its record is complete."""
    delta = "w" * 1023 + " "

    def endless(i):
        first = {"type": "conversation.item.added", "item": message(0, "assistant"), "previous_item_id": None}
        return ([first, created(0)] if i == 0 else []) + [part(f"response.output_{kind}.delta", 0, delta=delta)]

    def look(session):
        (item,) = session.conversation
        return len(item.generated_text)

    link_of = Flood(event for i in range(600) for event in endless(i))
    audio = FakeDevice() if device else None
    async with (
        open_session(connect=link_of.connect, audio=audio, drain=False) as session,
        session.responses() as responses,
    ):
        link_of.begin()
        live = await anext(aiter(responses))
        pieces = [piece async for piece in (live.text_deltas if kind == "text" else live.transcript_deltas)]
        await link_of.over.wait()
        assert MAX_CHARACTERS < sum(map(len, pieces)) <= MAX_CHARACTERS + 1024
        assert live.interrupted
        assert look(session) <= MAX_CHARACTERS + 1024
    assert "response.cancel" in link_of.sent


@pytest.mark.parametrize("kind", ["text", "audio_transcript", "audio"])
async def test_pieces_without_end_are_cut_off(autojump_clock, monkeypatch, kind):
    """However small they are."""
    monkeypatch.setattr(intake, "MOST_PIECES", 1000)

    def endless(i):
        delta = SOUND if kind == "audio" else "w"
        return ([created(0)] if i == 0 else []) + [
            part(f"response.output_{kind}.delta", 0 if kind == "audio_transcript" else i, delta=delta)
        ]

    number, where = await pour(endless, device=True, many=4000)

    assert number <= 1024, where


async def lets_pass(text):
    return None


async def does_not_answer(text):
    await trio.sleep_forever()


# What a guard holds, or has let pass, of one response.
GUARDED = {
    "words": lambda i: [part("response.output_text.delta", i, delta="word ")],
    "no words": lambda i: [part("response.output_text.delta", i, delta="")],
    "ends": lambda i: [part("response.output_text.done", i, text="some words")],
    "sound": lambda i: [part("response.output_audio.delta", i, delta=SOUND)],
    "sound and words": lambda i: [
        part("response.output_audio.delta", i, delta=SOUND),
        part("response.output_audio_transcript.delta", i, delta="word "),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("guard", [lets_pass, does_not_answer])
@pytest.mark.parametrize("events", GUARDED.values(), ids=GUARDED)
@pytest.mark.parametrize("device", [False, True], ids=["without device", "with device"])
async def test_parts_without_end_are_cut_off(autojump_clock, guard, events, device):
    """A guard looks through all parts of a response for each word."""

    def endless(i):
        return ([created(0)] if i == 0 else []) + events(i)

    def look(session):
        (live,) = session._engine.turns.live.values()
        held = session._engine.turns.guarding._held
        return live.interrupted, len(live.parts), sum(len(one.parts) for one in held.values())

    done = await pour(endless, device=device, guard=guard, guard_timeout=1000, many=1000, look=look)

    assert done == (True, intake.MOST_PARTS + 1, 0)


@pytest.mark.parametrize("guard", [lets_pass, does_not_answer])
@pytest.mark.parametrize("parts", [1, 100])
async def test_ends_without_end_are_cut_off(autojump_clock, guard, parts):
    """What a part comes to is told at its end, once more: that has the same limit as its pieces."""

    def endless(i):
        end = part("response.output_text.done", i % parts, text=f"{i:06}" + "w" * 10_000)
        return ([created(0)] if i == 0 else []) + [end]

    def look(session):
        (live,) = session._engine.turns.live.values()
        return live.interrupted, live.final_characters, len(session._engine.turns.guarding._held)

    interrupted, characters, held = await pour(endless, guard=guard, guard_timeout=1000, many=100, look=look)

    assert (interrupted, held) == (True, 0)
    assert MAX_CHARACTERS < characters <= MAX_CHARACTERS + 10_006


@pytest.mark.parametrize("kind", ["text.delta", "text.done", "audio_transcript.delta"])
async def test_one_huge_message_is_taken_and_its_response_cut_off(autojump_clock, kind):
    """As long as the link takes it."""
    words = {"text.delta": "delta", "text.done": "text", "audio_transcript.delta": "delta"}[kind]

    def once(i):
        return [created(0), part(f"response.output_{kind}", 0, **{words: "w" * 4 * 2**20})]

    def look(session):
        (live,) = session._engine.turns.live.values()
        return live.interrupted, session.statistics().link.malformed_events

    assert await pour(once, many=1, look=look) == (True, 0)


async def test_a_message_that_is_too_long_for_the_link_ends_the_session(autojump_clock):
    """With the code that says so; 64 Mi characters by default, and less for whoever wants less."""

    @asynccontextmanager
    async def connect(target):
        assert target.max_message_size == 64 * 2**20
        async with peer.connect(attrs.evolve(target, max_message_size=100_000)) as link:
            yield link

    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed) as caught:
            async with open_session(connect=connect, url=peer.url) as session:
                await peer.send("response.telepathy", thought="w" * 90_000)
                await trio.sleep(1)
                assert session.statistics().link.unknown_events == 1
                await peer.send("response.telepathy", thought="w" * 100_000)
                await trio.sleep_forever()

    assert caught.value.code == 1009


async def test_a_program_may_say_as_much_as_it_likes(autojump_clock):
    """Answers that nobody waits for are owed all the same, and that they do not come is not the server's fault."""
    async with open_scripted_peer(greet=True) as peer, open_session(connect=peer.connect, url=peer.url) as session:

        def acknowledged(event):
            about = {"item": event["item"], "previous_item_id": None}
            return [{"type": f"conversation.item.{what}", **about} for what in ("added", "done")]

        peer.answer("conversation.item.create", acknowledged)
        peer.ignored.add("response.create")
        for number in range(limits.MOST_OWED + 50):
            await session.send_text(f"{number}")
        await trio.sleep(1)

        assert session.statistics().queues.replies > limits.MOST_OWED


async def test_arguments_without_end_are_cut_off(autojump_clock):
    """In the mirror; what is run is the call in `response.done`."""

    def endless(i):
        first = [{"type": "conversation.item.added", "item": call(0) | {"arguments": ""}, "previous_item_id": None}]
        return (first if i == 0 else []) + [
            part("response.function_call_arguments.delta", 0, call_id="call_0", delta="a" * 4096)
        ]

    def look(session):
        (item,) = session.conversation
        return len(item.arguments)

    assert await pour(endless, many=100, look=look) == MAX_CHARACTERS


def test_the_flood_is_made_of_events():
    """Else these tests would pass on nothing."""
    assert all(json.dumps(event) for events in FORGOTTEN.values() for event in events(0))
