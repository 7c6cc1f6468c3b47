"""The interruption plan, with the ledger and the arbiter that it works with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.core.arbiter import METADATA_KEY, Arbiter, Ask, CancelResponse, OwedAgain, Settled
from realtime_trio.core.interrupter import Interrupter
from realtime_trio.core.interruption import Delete, Truncate, is_benign
from realtime_trio.core.playout import SAMPLE_RATE, SAMPLES_PER_MS, PartKey, PlayoutLedger
from realtime_trio.events import (
    UNSET,
    AudioPart,
    Error,
    ErrorDetails,
    FunctionCall,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Response,
    ResponseContentPartAdded,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputItemAdded,
    ResponseOutputTextDelta,
    TextPart,
)


class Talk:
    """An interrupter and its ledger, fed in the session's order, and a device that takes what it can."""

    def __init__(self):
        self.ledger = PlayoutLedger()
        self.interrupter = Interrupter(self.ledger)
        self.taken = 0
        self.handed = 0

    def handle(self, event):
        match event:
            case ResponseOutputAudioDelta():
                part = PartKey(event.response_id, event.item_id, event.content_index)
                self.ledger.receive(part, event.delta)
            case ResponseOutputAudioDone():
                self.ledger.finish(PartKey(event.response_id, event.item_id, event.content_index))
            case ResponseDone(response=response):
                self.ledger.end(response.id)
        self.interrupter.handle(event)

    def created(self, response_id, conversation_id="conv"):
        self.handle(ResponseCreated(event_id="e", response=Response(id=response_id, conversation_id=conversation_id)))

    def audio(self, response_id, item_id, seconds, *, done=True, index=0):
        where = {"event_id": "e", "response_id": response_id, "item_id": item_id, "output_index": 0}
        pcm = bytes(2 * round(seconds * SAMPLE_RATE))
        self.handle(ResponseContentPartAdded(**where, content_index=index, part=AudioPart()))
        self.handle(ResponseOutputAudioDelta(**where, content_index=index, delta=pcm))
        if done:
            self.audio_done(response_id, item_id, index=index)

    def audio_done(self, response_id, item_id, *, index=0):
        self.handle(
            ResponseOutputAudioDone(
                event_id="e", response_id=response_id, item_id=item_id, output_index=0, content_index=index
            )
        )

    def text(self, response_id, item_id, *, index=0):
        where = {"event_id": "e", "response_id": response_id, "item_id": item_id, "output_index": 0}
        self.handle(ResponseContentPartAdded(**where, content_index=index, part=TextPart()))
        self.handle(ResponseOutputTextDelta(**where, content_index=index, delta="words"))

    def done(self, response_id, status="completed", conversation_id="conv"):
        self.handle(
            ResponseDone(
                event_id="e", response=Response(id=response_id, status=status, conversation_id=conversation_id)
            )
        )

    def play(self, seconds):
        """The device hands this much over, and has up to 300 ms more in its ring."""
        self.taken += len(self.ledger.take(round((seconds + 0.3) * SAMPLE_RATE))) // 2
        self.handed = min(self.taken, self.handed + round(seconds * SAMPLE_RATE))
        self.ledger.report(self.ledger.generation, self.handed, until=self.handed / SAMPLE_RATE)

    def interrupt(self, *, server_cancels=False, **options):
        plan = self.interrupter.begin("test", now=1e9, server_cancels=server_cancels, **options)
        self.old = self.ledger.generation
        self.ledger.cut(plan.response_ids)
        return plan

    def cut_report(self, seconds):
        self.ledger.cut_report(self.old, round(seconds * SAMPLE_RATE))
        self.taken = self.handed = 0
        return self.interrupter.repairs()


# Four ways in which an interruption may do nothing, or too much


def test_v1_an_interrupt_by_the_program_sends_a_real_stop_under_the_default_configuration():
    """`interrupt_response` is true by default; a stop button must stop all the same, by id."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 3, done=False)
    talk.play(0.2)
    plan = talk.interrupt(server_cancels=False)

    assert plan.cancel == ("r1",)
    assert talk.cut_report(0.2) == [Truncate("i1", 0, 200)]


def test_v1b_the_server_cancels_by_itself_when_its_own_turn_detection_triggers():
    """Asking again could kill the next reply."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 3, done=False)
    talk.play(0.2)
    plan = talk.interrupt(server_cancels=True)

    assert plan.response_ids == ("r1",)
    assert plan.cancel == ()
    assert talk.cut_report(0.2) == [Truncate("i1", 0, 200)]


def test_v2_deltas_after_a_barge_in_never_reach_playout():
    """Neither of the item that was playing nor of one that begins after the cut; and that one is deleted, unheard."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1, done=False)
    talk.play(0.2)
    talk.interrupt(server_cancels=True)
    talk.audio("r1", "i1", 1, done=True)

    assert talk.cut_report(0.2) == [Truncate("i1", 0, 200)]

    talk.audio("r1", "i2", 1)

    assert talk.ledger.take(SAMPLE_RATE) == b""
    assert talk.interrupter.repairs() == [Delete("i2")]

    talk.done("r1", "cancelled")
    talk.created("r2")
    talk.audio("r2", "i3", 1)

    assert len(talk.ledger.take(SAMPLE_RATE)) == 2 * SAMPLE_RATE
    assert talk.interrupter.repairs() == []


def test_v3_two_items_of_3_s_and_a_barge_in_at_200_ms():
    """The audible one is truncated where it was cut, the one that nobody heard is deleted."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 3)
    talk.audio("r1", "i2", 3)
    talk.done("r1")
    talk.play(0.2)
    plan = talk.interrupt(server_cancels=True)

    assert plan.cancel == ()
    assert talk.cut_report(0.201) == [Truncate("i1", 0, 201), Delete("i2")]


def test_v4_the_lost_reply_race():
    """A tool reply is asked for, a VAD response comes first, ours is rejected: it is asked for again, not lost."""
    arbiter = Arbiter()
    arbiter.handle(
        ResponseCreated(
            event_id="e", response=Response(id="r0", conversation_id="c", metadata={METADATA_KEY: "other"})
        ),
        now=0.0,
    )
    arbiter.handle(ResponseDone(event_id="e", response=Response(id="r0", conversation_id="c")), now=0.0)
    arbiter.owe("tool", items=["output"])

    assert arbiter.poll(1.0) == [Ask("tool")]

    arbiter.sent("tool", "ev_1", 1.0)
    vad = Response(id="r_vad", conversation_id="c", metadata=None)
    arbiter.handle(InputAudioBufferSpeechStarted(event_id="e", item_id="u", audio_start_ms=0), 1.01)
    arbiter.handle(InputAudioBufferSpeechStopped(event_id="e", item_id="u", audio_end_ms=0), 1.02)
    arbiter.handle(InputAudioBufferCommitted(event_id="e", item_id="u"), 1.03)
    arbiter.handle(ResponseCreated(event_id="e", response=vad), 1.04)
    rejection = ErrorDetails(
        type="invalid_request_error",
        message="",
        code="conversation_already_has_active_response",
        event_id="ev_1",
    )
    arbiter.handle(Error(event_id="e", error=rejection), 1.05)

    assert arbiter.poll(1.06) == []
    assert arbiter.owed == ("tool",)

    arbiter.handle(ResponseDone(event_id="e", response=Response(id="r_vad", status="completed")), 3.0)

    assert arbiter.poll(3.0) == [Ask("tool")]

    ours = Response(id="r_ours", conversation_id="c", metadata={METADATA_KEY: "tool"})
    arbiter.handle(ResponseCreated(event_id="e", response=ours), 3.1)

    assert arbiter.poll(3.1) == [Settled("tool", "r_ours")]


# The rules, one by one


def test_generation_is_over_and_40_s_are_queued():
    """Barge-in works the same when the server has sent everything. Nothing is left to cancel."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 40)
    talk.done("r1")
    talk.play(1.5)
    plan = talk.interrupt()

    assert plan.response_ids == ("r1",)
    assert plan.cancel == ()
    assert talk.cut_report(1.75) == [Truncate("i1", 0, 1750)]
    assert talk.interrupter.repairs() == []


def test_several_responses_queued():
    """All of them end; what came out of each decides."""
    talk = Talk()
    for n in (1, 2, 3):
        talk.created(f"r{n}")
        talk.audio(f"r{n}", f"i{n}", 1)
        talk.done(f"r{n}")
    talk.play(1.5)
    plan = talk.interrupt()

    assert plan.response_ids == ("r2", "r3")
    assert talk.cut_report(1.5) == [Truncate("i2", 0, 500), Delete("i3")]


def test_heard_whole_and_done_is_left_alone():
    """Between two items: the first is whole, the second was not heard."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1)
    talk.audio("r1", "i2", 1)
    talk.play(1.0)
    plan = talk.interrupt()

    assert plan.cancel == ("r1",)
    assert talk.cut_report(1.0) == [Delete("i2")]


def test_heard_as_far_as_received_but_not_done_is_truncated():
    """More may be on its way, which the server has and nobody will hear."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1, done=False)
    talk.play(1.0)
    talk.interrupt()

    assert talk.interrupter.repairs() == [Truncate("i1", 0, 1000)]


def test_a_late_done_does_not_make_an_item_whole():
    """The stragglers that came with it were not heard."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1, done=False)
    talk.play(0.9)
    talk.interrupt()
    talk.audio("r1", "i1", 1, done=True)

    assert talk.cut_report(1.0) == [Truncate("i1", 0, 1000)]


def test_before_the_first_audio():
    """Cancelled by id; the item is deleted as soon as its audio part shows itself."""
    talk = Talk()
    talk.created("r1")
    plan = talk.interrupt()

    assert plan.cancel == ("r1",)
    assert talk.interrupter.repairs() == []

    talk.audio("r1", "i1", 0.2)

    assert talk.interrupter.repairs() == [Delete("i1")]


def test_a_text_response_is_cancelled_and_its_text_is_not_touched():
    """Text was delivered when it came; nothing of it is unheard."""
    talk = Talk()
    talk.created("r1")
    talk.text("r1", "i1")
    plan = talk.interrupt()

    assert plan.cancel == ("r1",)
    assert talk.interrupter.repairs() == []


def test_a_function_call_beside_speech_is_not_touched():
    """Only the message's audio is repaired."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1)
    call = FunctionCall(id="f1", call_id="call", name="f", arguments="{}")
    talk.handle(ResponseOutputItemAdded(event_id="e", response_id="r1", output_index=1, item=call))
    talk.done("r1")
    talk.interrupt()

    assert talk.interrupter.repairs() == [Delete("i1")]


def test_an_item_with_text_beside_its_unheard_audio_is_not_deleted():
    """Its audio is truncated to nothing instead."""
    talk = Talk()
    talk.created("r1")
    talk.text("r1", "i1", index=0)
    talk.audio("r1", "i1", 1, index=1)
    talk.interrupt()

    assert talk.interrupter.repairs() == [Truncate("i1", 1, 0)]


def test_an_item_with_a_heard_part_and_an_unheard_part_is_not_deleted():
    """What was heard of it stays in the conversation."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1, index=0)
    talk.audio("r1", "i1", 1, index=1)
    talk.play(1.0)
    talk.interrupt()

    assert talk.cut_report(1.0) == [Truncate("i1", 1, 0)]


def test_two_unheard_parts_are_one_deletion():
    """An item can be deleted once."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1, index=0)
    talk.audio("r1", "i1", 1, index=1)
    talk.interrupt()

    assert talk.interrupter.repairs() == [Delete("i1")]
    assert talk.interrupter.repairs() == []


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("seconds", "repairs"), [(0.0, [Delete("i1")]), (0.1, [Truncate("i1", 1, 100)])])
def test_a_silent_part_waits_for_what_becomes_of_the_item(done, seconds, repairs):
    """Its cut is known before that of the part beside it, which decides whether the item goes as a whole."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 0, index=0, done=done)
    talk.audio("r1", "i1", 1, index=1)
    talk.play(0.0)
    talk.interrupt()

    assert talk.interrupter.repairs() == []

    beside = [] if done or not seconds else [Truncate("i1", 0, 0)]

    assert talk.cut_report(seconds) == beside + repairs


def test_twice_in_a_row():
    """The second finds nothing to do while the first is under way, and the next response when there is one."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1, done=False)
    talk.play(0.5)
    talk.interrupt(server_cancels=True)

    assert not talk.interrupter.begin("again", now=0.0, server_cancels=False)
    assert talk.cut_report(0.5) == [Truncate("i1", 0, 500)]

    talk.created("r2")
    talk.done("r1", "cancelled")  # late

    plan = talk.interrupt(server_cancels=False)

    assert plan.response_ids == plan.cancel == ("r2",)


def test_nothing_is_interrupted_when_nothing_is_said():
    """Truncation with nothing interrupted."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1)
    talk.done("r1")
    talk.play(1.0)
    plan = talk.interrupt()

    assert not plan
    assert talk.interrupter.repairs() == []


def test_a_response_outside_of_the_conversation_goes_on():
    """Not cancelled, not cut, nothing to repair; the samples that the device dropped come again."""
    talk = Talk()
    talk.created("r1")
    talk.created("oob", conversation_id=None)
    talk.audio("r1", "i1", 0.5)
    talk.audio("oob", "x1", 0.5)
    talk.play(0.1)
    talk.play(0.0)  # 200 ms of the other response are in the ring
    plan = talk.interrupt()

    assert plan.response_ids == ("r1",)
    assert talk.cut_report(0.1) == [Truncate("i1", 0, 100)]
    assert len(talk.ledger.take(SAMPLE_RATE)) == SAMPLE_RATE

    talk.done("oob", conversation_id=None)


def test_asked_for_and_not_created_is_cancelled_when_it_is_created():
    """The server did not know it when the user began to speak; nothing else will stop it. It is owed again."""
    talk = Talk()
    arbiter = Arbiter()
    arbiter.owe("q")

    assert arbiter.poll(0.0) == [Ask("q")]

    arbiter.handle(InputAudioBufferSpeechStarted(event_id="e", item_id="u", audio_start_ms=0), 0.1)
    plan = talk.interrupt(server_cancels=arbiter.floor.detection.interrupts)

    assert not plan
    assert arbiter.recall(again=True) == "q"

    created = ResponseCreated(
        event_id="e", response=Response(id="r1", conversation_id="c", metadata={METADATA_KEY: "q"})
    )
    talk.handle(created)
    arbiter.handle(created, 0.2)

    assert arbiter.poll(0.2) == [CancelResponse("r1")]

    talk.interrupter.drop("r1")
    talk.audio("r1", "i1", 0.2)

    assert talk.ledger.queued == 0
    assert talk.interrupter.repairs() == [Delete("i1")]
    assert arbiter.owed == ("q",)


def test_an_unheard_reply_is_owed_again_after_a_barge_in_but_not_after_a_stop():
    """The user who spoke first still wants the answer; the program that said stop does not."""
    for stopped, expected in ((False, [OwedAgain("q", "r1", "cancelled")]), (True, [])):
        arbiter = Arbiter()
        arbiter.owe("q")
        arbiter.poll(0.0)
        ours = Response(id="r1", conversation_id="c", metadata={METADATA_KEY: "q"})
        arbiter.handle(ResponseCreated(event_id="e", response=ours), 0.1)
        arbiter.poll(0.1)
        arbiter.handle(InputAudioBufferSpeechStarted(event_id="e", item_id="u", audio_start_ms=0), 0.15)
        if stopped:
            arbiter.stop("r1")
        else:
            arbiter.interrupted("r1")
        arbiter.handle(ResponseDone(event_id="e", response=Response(id="r1", status="cancelled")), 0.2)

        assert arbiter.poll(0.2) == expected


def test_the_record_says_what_was_heard_what_came_out_and_what_was_generated():
    """Frozen, per part, with the transcript of what nobody heard too."""
    talk = Talk()
    talk.created("r1")
    talk.audio("r1", "i1", 1)
    talk.audio("r1", "i2", 1)
    talk.ledger.take(4800)
    talk.ledger.report(0, 2400, until=10.0)
    talk.old = 0
    plan = talk.interrupter.begin("barge-in", now=9.99, server_cancels=True)
    talk.ledger.cut(plan.response_ids)

    assert not talk.interrupter.settled(plan)

    talk.ledger.cut_report(0, 2640)

    assert talk.interrupter.settled(plan)

    record = talk.interrupter.record(plan, lambda part, cut_ms: (f"text of {part.item_id}", f"{cut_ms} ms of it"))

    assert [(p.item_id, p.heard_ms, p.cut_ms, p.received_ms) for p in record.parts] == [
        ("i1", 90, 110, 1000),
        ("i2", 0, 0, 1000),
    ]
    assert record.generated_text == "text of i1text of i2"
    assert [p.heard_text for p in record.parts] == ["110 ms of it", "0 ms of it"]
    assert (record.reason, record.heard_ms, record.cut_ms, record.received_ms) == ("barge-in", 90, 110, 2000)


@pytest.mark.parametrize(
    ("code", "message", "benign"),
    [
        ("response_cancel_not_active", "Cancellation failed: no active response found", True),
        ("invalid_value", "Audio content of 200ms is already shorter than 300ms", True),
        ("item_already_truncated", "", True),
        ("item_delete_invalid_item_id", "Error deleting item: the item with id 'x' does not exist.", True),
        (UNSET, "Error deleting item: the item with id 'x' does not exist.", True),
        ("invalid_value", "Invalid value: 'x'", False),
        ("session_expired", "Your session hit the maximum duration of 60 minutes.", False),
    ],
)
def test_benign_replies(code, message, benign):
    """Only those that say that it came too late to matter."""
    assert is_benign(ErrorDetails(type="invalid_request_error", message=message, code=code)) is benign


_LENGTHS = st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    responses=st.lists(_LENGTHS, min_size=1, max_size=3),
    handed=st.integers(0, 2500),
    fade=st.integers(0, 300),
    late=st.lists(st.integers(0, 2), max_size=4),
    ended=st.booleans(),
)
def test_the_server_is_left_with_exactly_what_came_out(responses, handed, fade, late, ended):
    """Apply the repairs to a model of the server's conversation: it then holds what came out, to the millisecond."""
    talk = Talk()
    server: dict[str, float] = {}
    for r, items in enumerate(responses):
        talk.created(f"r{r}")
        for i, (ms, done) in enumerate(items):
            item_id = f"i{r}.{i}"
            server[item_id] = ms
            talk.audio(f"r{r}", item_id, ms / 1000, done=done)
        if ended or r < len(responses) - 1:
            talk.done(f"r{r}")
    taken = len(talk.ledger.take((handed + fade) * SAMPLES_PER_MS)) // 2
    handed_samples = min(handed * SAMPLES_PER_MS, taken)
    talk.ledger.report(0, handed_samples, until=0.0)
    plan = talk.interrupt()
    for n in late:  # stragglers of the last response
        r = len(responses) - 1
        item_id = f"i{r}.{n}"
        if f"r{r}" in plan.response_ids and not ended:
            server[item_id] = server.get(item_id, 0) + 20
            talk.audio(f"r{r}", item_id, 0.02, done=False)
    talk.ledger.cut_report(0, taken)
    repairs = talk.interrupter.repairs()

    for repair in repairs:
        if isinstance(repair, Delete):
            del server[repair.item_id]
        else:
            assert 0 < repair.audio_end_ms <= server[repair.item_id]
            server[repair.item_id] = repair.audio_end_ms
    parts = [PartKey(f"r{item_id[1:].split('.')[0]}", item_id, 0) for item_id in server]
    cut = {part.item_id: talk.ledger.cut_ms(part) for part in parts if part.response_id in plan.response_ids}

    assert {item_id: server[item_id] for item_id in cut} == cut
    assert 0 not in cut.values()
    assert sum(isinstance(repair, Truncate) for repair in repairs) <= len(server)
    assert talk.interrupter.repairs() == []
