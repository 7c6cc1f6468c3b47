"""A session that begins with the conversation of another one: what is sent, and what the model then knows."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import (
    ConfigurationError,
    ConnectionClosed,
    LeftOut,
    NotAcknowledged,
    RealtimeError,
    ServerError,
    Snapshot,
    events,
    open_server,
    open_session,
    tool,
)
from realtime_trio.server import BrainRequest, Misbehaviour, Said, ToolAnswered, ToolCall, Transcript
from realtime_trio.session import SnapshotItem, SnapshotPart
from realtime_trio.testing import FakeDevice, open_scripted_peer


def message(number, role="user"):
    return SnapshotItem(id=f"old{number}", role=role, parts=(SnapshotPart(kind="text", text=f"text {number}"),))


def messages(count):
    return Snapshot(items=tuple(message(n) for n in range(count)))


def texts(conversation):
    return [item.generated_text for item in conversation]


async def secretive(request: BrainRequest):
    """Keeps in mind what it was told, and has a tool look up the rest."""
    match request.history[-1]:
        case Said(role="user", text="What do you know?"):
            yield "; ".join(
                item.text if isinstance(item, Said) else item.output if isinstance(item, ToolAnswered) else item.name
                for item in request.history[:-1]
            )
        case ToolAnswered(output=output):
            yield f"It is {output}."
        case _:
            yield ToolCall("look_up", {})


@tool
def look_up() -> str:
    """Look something up."""
    return "a secret"


class Opening:
    """A session being opened with a history, and the peer that answers it."""

    def __init__(self, peer):
        self.peer = peer
        self.session = None
        self.entered = trio.Event()
        self.leave = trio.Event()
        self.problem = None

    async def run(self, **options):
        try:
            async with open_session(connect=self.peer.connect, url=self.peer.url, **options) as self.session:
                self.entered.set()
                await self.leave.wait()
        except RealtimeError as error:
            self.problem = error

    async def acknowledge(self, event):
        for kind in ("added", "done"):
            await self.peer.send(f"conversation.item.{kind}", item=event["item"], previous_item_id=None)


@pytest.fixture
async def opening(nursery):
    async with open_scripted_peer(greet=True) as peer:
        one = Opening(peer)
        yield one
        one.leave.set()


async def test_the_block_is_entered_when_the_whole_history_is_acknowledged(opening, nursery, autojump_clock):
    """In order, with ids of our own."""
    nursery.start_soon(lambda: opening.run(history=messages(3)))
    created = [await opening.peer.expect("conversation.item.create") for _ in range(3)]

    assert [event["item"]["content"][0]["text"] for event in created] == ["text 0", "text 1", "text 2"]
    assert all(event["item"]["id"].startswith("item_") and "previous_item_id" not in event for event in created)

    for event in created[:2]:
        await opening.acknowledge(event)
    await trio.sleep(1)

    assert not opening.entered.is_set()

    await opening.acknowledge(created[2])
    await opening.entered.wait()


async def test_many_are_on_their_way_at_once_but_not_all(opening, nursery, autojump_clock):
    """One round trip each would take a minute for a long conversation; all at once would outrun their time limit."""
    nursery.start_soon(lambda: opening.run(history=messages(100)))
    waiting = [await opening.peer.expect("conversation.item.create") for _ in range(32)]
    await opening.peer.expect_nothing(1)
    for _ in range(100 - 32):
        await opening.acknowledge(waiting.pop(0))
        waiting.append(await opening.peer.expect("conversation.item.create"))
    for event in waiting:
        await opening.acknowledge(event)
    await opening.entered.wait()

    assert len(opening.session.conversation) == 100


async def test_an_item_that_is_refused_is_named(opening, nursery, autojump_clock):
    """And the block is not entered: the model would know less than the program believes."""
    nursery.start_soon(lambda: opening.run(history=messages(2)))
    first = await opening.peer.expect("conversation.item.create")
    second = await opening.peer.expect("conversation.item.create")
    await opening.acknowledge(first)
    await opening.peer.send(
        "error", error={"type": "invalid_request_error", "message": "no", "event_id": second["event_id"]}
    )
    await trio.sleep(1)

    assert isinstance(opening.problem, ServerError)
    assert opening.problem.__notes__ == ["this was item 2 of the 2 that the history begins with"]
    assert not opening.entered.is_set()


async def test_a_link_that_is_lost_meanwhile(opening, nursery, autojump_clock):
    """Is raised once and plain, like at any other time."""
    nursery.start_soon(lambda: opening.run(history=messages(100)))
    await opening.acknowledge(await opening.peer.expect("conversation.item.create"))
    await opening.peer.drop()
    await trio.sleep(1)

    assert isinstance(opening.problem, ConnectionClosed)
    assert not hasattr(opening.problem, "__notes__")
    assert not opening.entered.is_set()


async def test_a_server_that_says_nothing_to_it(opening, nursery, autojump_clock):
    """Ends like every call without an answer."""
    nursery.start_soon(lambda: opening.run(history=messages(1), ack_timeout=2))
    await opening.peer.expect("conversation.item.create")
    await trio.sleep(3)

    assert isinstance(opening.problem, NotAcknowledged)


class Hearing:
    """A recogniser that is told what it hears."""

    async def recognise(self, pcm: bytes) -> Transcript:
        return Transcript("What do you know?")


async def test_words_that_come_after_the_answer_stand_before_it(autojump_clock):
    """In the mirror and in snapshots; one that is taken too early says whose words are missing."""
    async with (
        open_server(
            listen=False, brain=secretive, recogniser=Hearing(), misbehaviour=Misbehaviour(transcript_after_answer=True)
        ) as server,
        open_session(
            url=server.url,
            connect=server.connect,
            transcription="whisper-1",
            turn_detection=None,
            history=Snapshot(items=(message(0),)),
        ) as session,
        session.events(events.ConversationItemInputAudioTranscriptionCompleted) as transcripts,
    ):
        await session.append_audio(bytes(48_000))
        spoken = await session.commit_audio()
        response = await session.respond()
        await response.done()
        early = session.conversation.snapshot()
        await transcripts.receive()
        late = session.conversation.snapshot()

    assert [item.role for item in early.items] == [item.role for item in late.items] == ["user", "user", "assistant"]
    assert early.left_out() == (LeftOut(spoken, "transcript_pending"),)
    assert [item.content[0].text for item in late.items_to_create()] == ["text 0", "What do you know?", "text 0"]


@pytest.mark.parametrize("history", ["text", 5, {"version": 7}, [{"id": "a"}]])
async def test_what_is_no_history_is_refused_before_anything_is_opened(history):
    with pytest.raises(ConfigurationError, match=r"history is a Snapshot|version 1"):
        async with open_session(url="ws://nowhere.invalid", api_key="x", history=history):
            pass


async def test_more_items_than_may_wait_to_be_sent(autojump_clock):
    """All of them, in order, and the same again when a snapshot is taken there."""
    history = messages(1500)
    async with (
        open_server(listen=False) as server,
        open_session(url=server.url, connect=server.connect, history=history.to_data()) as session,
    ):
        assert texts(session.conversation) == [f"text {n}" for n in range(1500)]
        assert session.conversation.snapshot().items_to_create() == history.items_to_create()


async def test_the_model_goes_on_where_it_was():
    """Over real sockets and through JSON: words, the call of a tool and its output, in their order."""
    async with open_server(brain=secretive, recogniser="none") as server:
        async with open_session(url=server.url, tools=[look_up]) as session:
            await session.create_item(events.system_message("Be brief."))
            reply = await session.ask("Look it up.")
            kept = session.conversation.snapshot().to_json()
        async with open_session(url=server.url, history=Snapshot.from_json(kept)) as session:
            known = await session.ask("What do you know?")

    assert reply.text == "It is a secret."
    assert known.text == "Be brief.; Look it up.; look_up; a secret; It is a secret."


async def test_what_nobody_heard_is_not_known_afterwards(open_voice, tone, autojump_clock):
    """With a device: the assistant goes on from what was heard, not from what it had generated."""
    async with open_voice(device=FakeDevice(output_latency_ms=0)) as talk:
        for response_id, item_id, words in (("r1", "a", "One two."), ("r2", "b", "Three four.")):
            item = {"type": "message", "role": "assistant", "id": item_id, "status": "in_progress", "content": []}
            part = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
            await talk.created(None, response_id)
            await talk.peer.send("conversation.item.added", item=item, previous_item_id={"b": "a"}.get(item_id))
            await talk.peer.send("response.output_audio_transcript.delta", delta=words, **part)
            await talk.audio(response_id, tone(1000), item_id)
            await talk.audio_done(response_id, item_id)
            ended = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": words}]}
            await talk.peer.send("conversation.item.done", item=ended, previous_item_id=None)
            await talk.done(response_id, ended)
        await trio.sleep(0.5)
        early = talk.session.conversation.snapshot()
        await trio.sleep(3)
        late = talk.session.conversation.snapshot()

    def heard(snapshot):
        return [item.content[0].text for item in snapshot.items_to_create()]

    assert heard(early) == ["One"]
    assert [one.item_id for one in early.left_out()] == ["b"]
    assert heard(late) == ["One two.", "Three four."]


PICTURE = "data:image/png;base64,iVBORw0KGgo="
WORDS = st.sampled_from(["", "one", "two words", "\N{SNOWMAN} three\nlines"])
PARTS = st.lists(
    st.one_of(
        st.builds(SnapshotPart, kind=st.sampled_from(["text", "audio"]), text=WORDS, heard=st.none() | WORDS),
        st.just(SnapshotPart(kind="image", image_url=PICTURE, detail="low")),
    ),
    max_size=3,
).map(tuple)
ITEMS = st.one_of(
    st.builds(
        SnapshotItem,
        id=st.uuids().map(str),
        role=st.sampled_from(["user", "assistant", "system"]),
        parts=PARTS,
        transcription=st.sampled_from(["none", "pending", "completed", "failed"]),
    ),
    st.builds(
        SnapshotItem,
        id=st.uuids().map(str),
        kind=st.sampled_from(["function_call", "function_call_output"]),
        status=st.sampled_from(["completed", "incomplete"]),
        name=st.just("look_up"),
        call_id=st.sampled_from(["call_1", "call_2"]),
        arguments=st.just("{}"),
        output=WORDS,
    ),
    st.builds(
        SnapshotItem,
        id=st.uuids().map(lambda one: one.hex),
        kind=st.just("mcp_call"),
        name=st.just("look_up"),
        arguments=st.just("{}"),
        output=st.none() | WORDS,
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEMS, max_size=12).map(lambda items: Snapshot(items=tuple(items))))
def test_a_server_takes_whatever_a_snapshot_has_to_give(history):
    """Nothing is refused, and a snapshot of the new session begins a third one with the same."""

    async def main():
        async with (
            open_server(listen=False, recogniser="none") as server,
            open_session(url=server.url, connect=server.connect, history=history) as session,
        ):
            return session.conversation.snapshot()

    again = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert again.items_to_create() == history.items_to_create()
    assert again.left_out() == ()
