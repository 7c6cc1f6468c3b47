"""The mirror against a model of the server: whatever happens, it shows the server's items in the server's order."""

from collections.abc import Iterator

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.order import ItemOrder
from realtime_trio.events import UNSET

USAGE = wire.TokenUsage(input_tokens=0, output_tokens=0, total_tokens=0)
WORDS = ["one ", "two ", "three ", "four "]


@attrs.define(eq=False)
class Expected:
    """What the mirror is to show of one item."""

    id: str
    kind: str = "message"
    role: str | None = None
    text: str = ""
    status: str | None = None
    transcription: str = "none"
    output: str | None = None
    truncated_ms: int | None = None
    deleted: bool = False


class Server:
    """A server that keeps its items in a list, with a slot left for those that were deleted, and tells what it does.

    Everything it says is in `said`; what it may say late or twice waits in `late`.
    """

    def __init__(self) -> None:
        self.slots: list[Expected] = []
        self.every: list[Expected] = []
        self.said: list[wire.ServerEvent] = []
        self.orders: list[list[str]] = []  # behind each event
        self.late: list[tuple[Expected, wire.ServerEvent]] = []
        self.running: list[Iterator[None]] = []
        self.speech: list[Expected] = []  # whose transcript did not come yet
        self.calls: list[tuple[Expected, str]] = []  # without an output

    @property
    def order(self) -> list[str]:
        return [item.id for item in self.slots if not item.deleted]

    def say(self, event: wire.ServerEvent) -> None:
        self.said.append(event)
        self.orders.append(self.order)

    def new(self, **fields: object) -> Expected:
        item = Expected(f"item_{len(self.every)}", **fields)
        self.every.append(item)
        return item

    def insert(self, item: Expected, where: int) -> object:
        """Put an item somewhere. Returns what the server says of the place."""
        places: list[object] = ["end", "root", *(slot for slot in self.slots if slot in self.every)]
        place = places[where % len(places)]
        if place == "end":
            visible = [slot for slot in self.slots if not slot.deleted]
            place = visible[-1] if visible else "root"
        if place == "root":
            self.slots.insert(0, item)
            return None if where % 2 else "root"
        self.slots.insert(self.slots.index(place) + 1, item)
        return place.id

    # what clients do

    def create(self, where: int, how: int) -> None:
        item = self.new(role=("user", "system")[how % 2], text=f"text {len(self.every)}", status="completed")
        value = wire.Message(role=item.role, id=item.id, status="completed", content=[wire.InputText(text=item.text)])
        self.place(item, value, self.insert(item, where), how)

    def create_again(self, which: int, where: int) -> None:
        """Use the id of a deleted item again; of one about which the server has nothing more to say."""
        open_ends = [*self.speech, *(item for item in self.every if item.role == "assistant")]
        gone = [item for item in self.slots if item.deleted and item in self.every and item not in open_ends]
        gone = [item for item in gone if item.kind == "message"]
        if not gone:
            return
        old = gone[which % len(gone)]
        item = Expected(old.id, role="user", text=f"again {len(self.said)}", status="completed")
        self.every[self.every.index(old)] = item
        self.late = [(one, event) for one, event in self.late if one is not old]
        value = wire.Message(role="user", id=item.id, content=[wire.InputText(text=item.text)], status="completed")
        previous = self.insert(item, where)
        if previous == item.id:  # nobody can name the one and mean the other
            self.slots.remove(item)
            previous = self.insert(item, 0)
        old.id = f"{old.id} that was"
        self.place(item, value, previous, 0)

    def place(self, item: Expected, value: wire.Item, previous: object, how: int) -> None:
        added = wire.ConversationItemAdded(event_id="e", item=value, previous_item_id=previous)
        done = wire.ConversationItemDone(event_id="e", item=value, previous_item_id=previous)
        first, second = (done, added) if how % 5 == 4 else (added, done)
        self.say(first)
        self.late += [(item, second), (item, first)]

    def commit(self, where: int, how: int) -> None:
        item = self.new(role="user", transcription="pending")
        previous = self.insert(item, where)
        value = wire.Message(role="user", id=item.id, content=[wire.InputAudio(transcript=None)])
        said = [
            wire.InputAudioBufferCommitted(event_id="e", item_id=item.id, previous_item_id=previous),
            wire.ConversationItemAdded(event_id="e", item=value, previous_item_id=previous),
            wire.ConversationItemDone(event_id="e", item=value, previous_item_id=previous),
        ]
        first = said.pop(how % 2)
        self.say(first)
        if isinstance(first, wire.ConversationItemAdded):
            self.say(said.pop(0))  # only its `committed` says that words are to come
        self.late += [(item, event) for event in said]
        self.speech.append(item)

    def transcribe(self, which: int, how: int) -> None:
        if not self.speech:
            return
        item = self.speech[which % len(self.speech)]
        where = {"event_id": "e", "item_id": item.id, "content_index": 0}
        if how % 3 == 0:
            self.say(wire.ConversationItemInputAudioTranscriptionDelta(**where, delta="well "))
            item.text += "well "
            return
        self.speech.remove(item)
        if how % 3 == 1:
            item.text, item.transcription = f"said {which}", "completed"
            self.say(wire.ConversationItemInputAudioTranscriptionCompleted(**where, transcript=item.text, usage=USAGE))
        else:
            item.transcription = "failed"
            self.say(
                wire.ConversationItemInputAudioTranscriptionFailed(**where, error=wire.TranscriptionError(code="x"))
            )

    def delete(self, which: int) -> None:
        there = [item for item in self.slots if not item.deleted]
        if there:
            item = there[which % len(there)]
            item.deleted = True
            # what was said of it twice was said before; of the rest nothing brings it back
            self.late = [
                (one, event)
                for one, event in self.late
                if one is not item or not isinstance(event, wire.ConversationItemAdded)
            ]
            self.say(wire.ConversationItemDeleted(event_id="e", item_id=item.id))

    def truncate(self, which: int, ms: int) -> None:
        spoken = [item for item in self.slots if item.role == "assistant" and not item.deleted]
        if spoken:
            item = spoken[which % len(spoken)]
            item.truncated_ms = ms
            self.say(wire.ConversationItemTruncated(event_id="e", item_id=item.id, content_index=0, audio_end_ms=ms))

    def answer_call(self, which: int) -> None:
        if self.calls:
            call, call_id = self.calls.pop(which % len(self.calls))
            item = self.new(kind="function_call_output", output=f"out {call_id}")
            call.output = item.output
            value = wire.function_call_output(call_id, item.output, id=item.id)
            self.place(item, value, self.insert(item, 0), 0)

    def straggle(self, which: int) -> None:
        """Say something late, or once more."""
        if self.late:
            self.say(self.late.pop(which % len(self.late))[1])

    # what the model does

    def respond(self, how: int) -> None:
        self.running.append((self._call if how % 3 == 1 else self._speak)(how))

    def step(self, which: int) -> None:
        if self.running:
            response = self.running[which % len(self.running)]
            if next(response, "over") == "over":
                self.running.remove(response)

    def _response(self, response_id: str, status: str, *, beside: bool, output: list[wire.Item]) -> wire.Response:
        return wire.Response(id=response_id, status=status, conversation_id=None if beside else "conv", output=output)

    def _speak(self, how: int) -> Iterator[None]:
        beside, cut = how % 3 == 2, how % 4 == 3
        item = self.new(role="assistant", status="in_progress")
        response_id = f"resp_{item.id}"
        where = {"event_id": "e", "response_id": response_id, "item_id": item.id, "output_index": 0}
        part = {**where, "content_index": 0}
        value = wire.Message(role="assistant", id=item.id, status="in_progress", content=[])
        self.say(
            wire.ResponseCreated(
                event_id="e", response=self._response(response_id, "in_progress", beside=beside, output=[])
            )
        )
        yield
        self.say(wire.ResponseOutputItemAdded(event_id="e", response_id=response_id, output_index=0, item=value))
        yield
        if not beside:
            previous = self.insert(item, 0)
            added = wire.ConversationItemAdded(event_id="e", item=value, previous_item_id=previous)
            self.say(added)
            if not item.deleted:
                self.late.append((item, added))
        yield
        self.say(wire.ResponseContentPartAdded(**part, part=wire.AudioPart(transcript="")))
        for word in WORDS[: how % 5]:
            item.text += word
            self.say(wire.ResponseOutputAudioTranscriptDelta(**part, delta=word))
            yield
            self.say(wire.ResponseOutputAudioDelta(**part, delta=bytes(480)))
            yield
        item.status = "incomplete" if cut else "completed"
        whole = wire.Message(
            role="assistant",
            id=item.id,
            status=item.status,
            content=[wire.OutputAudio(transcript="" if item.truncated_ms is not None else item.text)],
        )
        self.say(wire.ResponseOutputAudioTranscriptDone(**part, transcript=item.text))
        self.say(wire.ResponseContentPartDone(**part, part=wire.AudioPart(transcript=item.text)))
        ends = [wire.ResponseOutputItemDone(event_id="e", response_id=response_id, output_index=0, item=whole)]
        if not beside:
            ends.insert(how % 2, wire.ConversationItemDone(event_id="e", item=whole, previous_item_id=UNSET))
        for event in ends:
            self.say(event)
            self.late.append((item, event))
            yield
        final = self._response(response_id, "cancelled" if cut else "completed", beside=beside, output=[whole])
        self.say(wire.ResponseDone(event_id="e", response=final))

    def _call(self, how: int) -> Iterator[None]:
        item = self.new(kind="function_call", status="in_progress")
        response_id, call_id = f"resp_{item.id}", f"call_{item.id}"
        where = {"event_id": "e", "response_id": response_id, "item_id": item.id, "output_index": 0}
        value = wire.FunctionCall(id=item.id, call_id=call_id, name="f", arguments="", status="in_progress")
        self.say(
            wire.ResponseCreated(
                event_id="e", response=self._response(response_id, "in_progress", beside=False, output=[])
            )
        )
        yield
        self.say(wire.ResponseOutputItemAdded(event_id="e", response_id=response_id, output_index=0, item=value))
        previous = self.insert(item, 0)
        self.say(wire.ConversationItemAdded(event_id="e", item=value, previous_item_id=previous))
        yield
        for piece in ('{"n"', f": {how}"):
            item.text += piece
            self.say(wire.ResponseFunctionCallArgumentsDelta(**where, call_id=call_id, delta=piece))
            yield
        item.text = f'{{"n": {how}}}'
        item.status = "completed"
        self.say(wire.ResponseFunctionCallArgumentsDone(**where, call_id=call_id, name="f", arguments=item.text))
        whole = wire.FunctionCall(id=item.id, call_id=call_id, name="f", arguments=item.text, status="completed")
        self.say(wire.ConversationItemDone(event_id="e", item=whole, previous_item_id=UNSET))
        self.say(wire.ResponseOutputItemDone(event_id="e", response_id=response_id, output_index=0, item=whole))
        yield
        final = self._response(response_id, "completed", beside=False, output=[whole])
        self.say(wire.ResponseDone(event_id="e", response=final))
        self.calls.append((item, call_id))


N = st.integers(0, 30)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), N, N),
        st.tuples(st.just("create_again"), N, N),
        st.tuples(st.just("commit"), N, N),
        st.tuples(st.just("transcribe"), N, N),
        st.tuples(st.just("delete"), N),
        st.tuples(st.just("truncate"), N, N),
        st.tuples(st.just("respond"), N),
        st.tuples(st.just("step"), N),
        st.tuples(st.just("step"), N),
        st.tuples(st.just("answer_call"), N),
        st.tuples(st.just("straggle"), N),
    ),
    max_size=60,
)


def transcribing() -> wire.ServerEvent:
    """A session that transcribes the user."""
    source = wire.AudioInput(transcription=wire.AudioTranscription(model="whisper-1"))
    return wire.SessionUpdated(event_id="e", session=wire.RealtimeSession(audio=wire.SessionAudio(input=source)))


@settings(max_examples=400, deadline=None)
@given(ACTIONS)
def test_the_mirror_is_what_the_server_has(actions):
    """After every single event the order, and in the end every word."""
    server = Server()
    for action, *numbers in actions:
        getattr(server, action)(*numbers)
    conversation = Conversation()
    conversation.apply(transcribing())
    for event, order in zip(server.said, server.orders, strict=True):
        conversation.apply(event)

        assert [item.id for item in conversation] == order, event

    for expected in server.slots:
        item = conversation.get(expected.id)
        if item is None:
            assert expected.deleted  # and its id was used again
            continue
        shown = Expected(
            item.id,
            item.type,
            item.role,
            item.arguments if item.type == "function_call" else item.generated_text,
            item.status,
            item.transcription,
            item.output,
            item.truncated_ms,
            item.deleted,
        )

        assert attrs.asdict(shown) == attrs.asdict(expected)


@settings(max_examples=100, deadline=None)
@given(ACTIONS, st.integers(0, 40))
def test_who_comes_late_sees_what_is_told_from_then_on(actions, start):
    """A mirror that missed the beginning shows no item twice, none that it knows to be deleted, and never raises."""
    server = Server()
    for action, *numbers in actions:
        getattr(server, action)(*numbers)
    conversation = Conversation()
    missed = {event.item_id for event in server.said[:start] if isinstance(event, wire.ConversationItemDeleted)}
    for event, order in zip(server.said[start:], server.orders[start:], strict=True):
        conversation.apply(event)
        shown = [item.id for item in conversation]

        assert len(shown) == len(set(shown))
        assert set(shown) <= {*order, *missed}


def test_the_id_of_a_deleted_item_may_be_used_again():
    """It is another item then: where the old one stood nothing changes, and nothing of it is left in the new one."""
    order = ItemOrder()
    for item_id, previous in (("a", None), ("b", "a"), ("c", "b")):
        order.insert(item_id, previous)
    order.remove("b")
    order.insert("b", "c")

    assert list(order) == ["a", "c", "b"]

    order.remove("b")
    order.insert("b", "root")
    order.insert("d", "b")

    assert list(order) == ["b", "d", "a", "c"]
