"""The response arbiter, rule by rule. Against a model of the server: test_core_arbiter_schedules.py."""

import math

import pytest

from realtime_trio.core.arbiter import (
    Arbiter,
    Ask,
    CancelResponse,
    GivenUp,
    OwedAgain,
    Settled,
)
from realtime_trio.events import (
    UNSET,
    AudioInput,
    ConversationItemAdded,
    Error,
    ErrorDetails,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    RealtimeSession,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOutputTextDelta,
    ServerVad,
    SessionAudio,
    SessionUpdated,
    TranscriptionSession,
    user_message,
)

from .arbiter_events import ACTIVE, created, done, error


def added(item_id):
    return ConversationItemAdded(event_id="e", item=user_message("x", id=item_id))


def speech_started():
    return InputAudioBufferSpeechStarted(event_id="e", item_id="u", audio_start_ms=0)


def speech_stopped():
    return InputAudioBufferSpeechStopped(event_id="e", item_id="u", audio_end_ms=0)


def committed():
    return InputAudioBufferCommitted(event_id="e", item_id="u")


def session(turn_detection):
    audio = SessionAudio(input=AudioInput(turn_detection=turn_detection))
    return SessionUpdated(event_id="e", session=RealtimeSession(audio=audio))


def asked(request_id="q", *, now=0.0, items=(), overrides=False):
    """An arbiter with one request asked for."""
    arbiter = Arbiter()
    arbiter.owe(request_id, items=items, overrides=overrides)

    assert arbiter.deadline == -math.inf
    assert arbiter.poll(now) == [Ask(request_id)]

    arbiter.sent(request_id, "ev", now)
    return arbiter


def settled(request_id="q"):
    """An arbiter with one request settled by `r1`."""
    arbiter = asked(request_id)
    arbiter.handle(created("r1", request_id), 0.1)

    assert arbiter.poll(0.1) == [Settled(request_id, "r1")]

    return arbiter


def test_our_own_created_settles():
    """Known by the reserved key, whatever the order."""
    arbiter = settled()
    arbiter.handle(done("r1"), 1.0)

    assert arbiter.poll(1.0) == []
    assert arbiter.idle
    assert arbiter.deadline == math.inf


def test_polling_twice_asks_once():
    """`poll` is idempotent."""
    arbiter = asked()

    assert arbiter.poll(0.0) == []


def test_a_name_is_used_once():
    """Two requests of one name could not be told apart."""
    arbiter = asked()

    with pytest.raises(ValueError, match="'q'"):
        arbiter.owe("q")


def test_by_order_where_the_server_echoes_no_metadata():
    """One open request and no VAD response expected: it is ours."""
    arbiter = asked()
    arbiter.handle(created("r1"), 0.1)

    assert arbiter.poll(0.1) == [Settled("q", "r1")]


def test_not_by_order_while_a_turn_waits_for_its_answer():
    """The VAD response comes first, however late; then ours."""
    arbiter = asked()
    for event in (speech_started(), speech_stopped(), committed()):
        arbiter.handle(event, 0.1)
    arbiter.handle(created("vad"), 3.0)

    assert arbiter.asked == "q"

    arbiter.handle(done("vad"), 4.0)
    arbiter.handle(created("r1"), 4.1)

    assert arbiter.poll(4.1) == [Settled("q", "r1")]


@pytest.mark.parametrize("detection", [None, ServerVad(create_response=False)])
def test_by_order_after_a_turn_that_nobody_answers_by_itself(detection):
    """Push-to-talk: where a commit announces no response, what comes next is ours."""
    arbiter = Arbiter()
    arbiter.handle(session(detection), 0.0)
    arbiter.handle(committed(), 1.0)
    arbiter.owe("q")

    assert arbiter.poll(1.0) == [Ask("q")]

    arbiter.sent("q", "ev", 1.0)
    arbiter.handle(created("r1"), 1.1)

    assert arbiter.poll(1.1) == [Settled("q", "r1")]


def test_what_was_taken_by_order_is_given_back_when_our_create_is_rejected():
    """The error tells that the response is another's. This does not count as a try."""
    arbiter = asked()
    for n in range(3):
        arbiter.handle(created(f"foreign{n}"), 0.1)
        arbiter.poll(0.1)
        arbiter.handle(error(ACTIVE, "ev"), 0.2)

        assert arbiter.poll(0.2) == [OwedAgain("q", f"foreign{n}", "rejected")]

        arbiter.handle(done(f"foreign{n}"), 0.3)

        assert arbiter.poll(0.3) == [Ask("q")]

        arbiter.sent("q", "ev", 0.3)

    arbiter.handle(created("foreign"), 0.4)
    arbiter.poll(0.4)
    arbiter.handle(error("invalid_value", "ev"), 0.5)

    assert [action.reason for action in arbiter.poll(0.5)] == ["refused"]
    assert arbiter.idle


def test_not_by_order_once_the_server_was_seen_to_echo():
    """Then a response without the key is another's."""
    arbiter = settled()
    arbiter.handle(done("r1"), 0.2)
    arbiter.heard("r1")
    arbiter.owe("p")

    assert arbiter.poll(0.3) == [Ask("p")]

    arbiter.handle(created("r2"), 0.4)

    assert arbiter.poll(0.4) == []
    assert arbiter.asked == "p"


def test_nothing_is_asked_while_a_response_is_active():
    """The next one goes out at its `response.done`, not at that of another."""
    arbiter = settled()
    arbiter.owe("p")

    assert arbiter.poll(0.2) == []

    arbiter.handle(done("r0"), 0.3)

    assert arbiter.poll(0.3) == []

    arbiter.handle(done("r1"), 0.4)

    assert arbiter.poll(0.4) == [Ask("p")]


def test_an_out_of_band_response_settles_nothing_and_occupies_nothing():
    """Neither its created nor its done, though it comes when one request is open."""
    arbiter = asked()
    arbiter.handle(created("oob", conversation_id=None), 0.1)

    assert arbiter.poll(0.1) == []
    assert arbiter.active is None
    assert arbiter.asked == "q"

    arbiter.handle(created("r1", "q"), 0.2)
    arbiter.poll(0.2)
    arbiter.owe("p")
    arbiter.handle(done("oob", conversation_id=None), 0.3)

    assert arbiter.poll(0.3) == []


@pytest.mark.parametrize(
    "event",
    [
        committed(),
        InputAudioBufferCleared(event_id="e"),
        session(None),
        SessionUpdated(event_id="e", session=TranscriptionSession()),
    ],
)
def test_what_frees_the_floor(event):
    """Nothing is asked from `speech_started` to the first of these."""
    arbiter = Arbiter()
    arbiter.handle(speech_started(), 0.0)
    arbiter.owe("q")

    assert arbiter.poll(1.0) == []
    assert arbiter.deadline == 60.0

    arbiter.handle(event, 2.0)

    assert arbiter.poll(2.0) == [Ask("q")]


@pytest.mark.parametrize(
    "event",
    [speech_stopped(), InputAudioBufferTimeoutTriggered(event_id="e", item_id="u", audio_start_ms=0, audio_end_ms=0)],
)
def test_after_a_turn_the_slot_is_promised_for_2_s(event):
    """With `create_response` in effect; without it the floor is free at once."""
    for detection, at in (
        (ServerVad(), 4.0),
        (ServerVad(create_response=True), 4.0),
        (ServerVad(create_response=False), 2.0),
    ):
        arbiter = Arbiter()
        arbiter.handle(session(detection), 0.0)
        arbiter.handle(speech_started(), 1.0)
        arbiter.handle(event, 2.0)
        arbiter.owe("q")

        assert arbiter.floor.is_promised(2.0) is (at > 2.0)
        assert at == 2.0 or arbiter.poll(3.999) == []
        assert arbiter.poll(at) == [Ask("q")]


@pytest.mark.parametrize("detection", [None, ServerVad(create_response=False)])
def test_a_promise_ends_when_turn_detection_stops_answering(detection):
    """The response that was announced will not come: nobody is to wait for it."""
    arbiter = Arbiter()
    arbiter.handle(speech_started(), 1.0)
    arbiter.handle(speech_stopped(), 2.0)
    arbiter.owe("q")

    assert arbiter.poll(2.1) == []

    arbiter.handle(session(detection), 2.2)

    assert not arbiter.floor.is_promised(2.2)
    assert arbiter.poll(2.2) == [Ask("q")]


def test_the_floor_is_the_users_for_60_s_at_most():
    """A server that never says that speech stopped does not silence us for ever."""
    arbiter = Arbiter()
    arbiter.take_floor(5.0)
    arbiter.hold_floor(10.0)
    arbiter.owe("q")

    assert arbiter.deadline == 70.0
    assert arbiter.poll(69.9) == []
    assert arbiter.poll(70.0) == [Ask("q")]


def test_a_pressed_key_outlasts_an_update_of_the_session():
    """Push-to-talk has no turn detection: an update that says so again is no word about the key."""
    arbiter = Arbiter()
    arbiter.handle(session(None), 0.0)
    arbiter.take_floor(1.0)
    arbiter.owe("q")
    arbiter.handle(session(None), 2.0)

    assert arbiter.poll(2.0) == []

    arbiter.hold_floor(2.5)
    arbiter.handle(committed(), 3.0)

    assert arbiter.poll(3.0) == [Ask("q")]


def test_while_the_key_is_down_no_event_frees_the_floor():
    """What the key itself sends is answered by `cleared`; the last turn's `committed` may come late; nobody speaks."""
    arbiter = Arbiter()
    arbiter.handle(session(None), 0.0)
    arbiter.take_floor(1.0)
    arbiter.owe("q")
    for now, event in ((1.1, InputAudioBufferCleared(event_id="e")), (1.2, committed())):
        arbiter.handle(event, now)
        assert arbiter.poll(now) == []
    assert arbiter.poll(1000.0) == []
    assert arbiter.deadline == math.inf


def test_a_key_counts_no_more_when_turn_detection_is_turned_on():
    arbiter = Arbiter()
    arbiter.handle(session(None), 0.0)
    arbiter.take_floor(1.0)
    arbiter.owe("q")
    arbiter.handle(session(ServerVad()), 2.0)
    assert arbiter.poll(2.0) == [Ask("q")]


def test_the_floor_can_be_freed_by_hand():
    """Capture lost."""
    arbiter = Arbiter()
    arbiter.take_floor(10.0)
    arbiter.owe("q")
    arbiter.free_floor()

    assert arbiter.poll(10.0) == [Ask("q")]


def test_a_vad_response_settles_what_was_acknowledged_before_its_commit():
    """And nothing that was acknowledged later, or never, or has overrides."""
    arbiter = Arbiter()
    arbiter.handle(speech_started(), 0.0)
    arbiter.owe("before", items=["a", "b"])
    arbiter.owe("overrides", items=["a"], overrides=True)
    arbiter.owe("never", items=["a", "c"])
    arbiter.owe("nothing to wait for")
    arbiter.handle(added("a"), 0.1)
    arbiter.handle(added("b"), 0.1)
    arbiter.handle(speech_stopped(), 1.0)
    arbiter.handle(committed(), 1.0)
    arbiter.owe("after", items=["d"])
    arbiter.handle(added("d"), 1.1)
    arbiter.handle(created("vad"), 1.2)

    assert arbiter.poll(1.2) == [Settled("before", "vad"), Settled("nothing to wait for", "vad")]
    assert arbiter.owed == ("overrides", "never", "after")


def test_a_response_that_no_commit_announces_settles_nothing():
    """Somebody else's response: it occupies the slot, that is all."""
    arbiter = Arbiter()
    arbiter.handle(speech_started(), 0.0)
    arbiter.owe("q")
    arbiter.handle(created("foreign"), 0.1)
    arbiter.handle(InputAudioBufferCleared(event_id="e"), 0.2)

    assert arbiter.poll(0.3) == []
    assert arbiter.active == "foreign"


def test_items_acknowledged_before_the_reply_was_owed():
    """A call may have been waited for before the reply to it is owed."""
    arbiter = Arbiter()
    arbiter.handle(added("a"), 0.0)
    arbiter.handle(speech_started(), 0.0)
    arbiter.handle(speech_stopped(), 0.0)
    arbiter.handle(committed(), 0.0)
    arbiter.owe("q", items=["a"])
    arbiter.handle(created("vad"), 0.1)

    assert arbiter.poll(0.1) == [Settled("q", "vad")]


def test_one_response_answers_all_that_was_owed_without_overrides_when_it_was_asked():
    """Those whose items the server has. Later ones and those with overrides are asked for on their own."""
    arbiter = Arbiter()
    arbiter.take_floor(0.0)
    arbiter.owe("one", items=["a"])
    arbiter.owe("two", items=["b"])
    arbiter.owe("own words", items=["c"], overrides=True)
    arbiter.owe("not there", items=["x"])
    arbiter.free_floor()

    assert arbiter.poll(0.0) == [Ask("one")]

    arbiter.owe("late")
    for item in "abc":
        arbiter.handle(added(item), 0.1)
    arbiter.handle(created("r1", "one"), 0.2)

    assert arbiter.poll(0.2) == [Settled("one", "r1"), Settled("two", "r1")]
    assert arbiter.owed == ("own words", "not there", "late")


def test_a_response_with_overrides_answers_nobody_else():
    """Its instructions may be about something else."""
    arbiter = Arbiter()
    arbiter.take_floor(0.0)
    arbiter.owe("own words", overrides=True)
    arbiter.owe("two")
    arbiter.free_floor()
    arbiter.poll(0.0)
    arbiter.handle(created("r1", "own words"), 0.2)

    assert arbiter.poll(0.2) == [Settled("own words", "r1")]
    assert arbiter.owed == ("two",)


def test_a_rejection_never_settles_and_backs_off_when_no_response_is_known():
    """From 0.25 s, doubling to 4 s."""
    arbiter = asked(now=0.0)
    now = 0.0
    for wait in (0.25, 0.5, 1.0, 2.0, 4.0, 4.0):
        arbiter.handle(error(ACTIVE, "ev"), now)

        assert arbiter.poll(now) == []
        assert arbiter.deadline == now + wait
        assert arbiter.poll(math.nextafter(now + wait, 0)) == []

        now += wait

        assert arbiter.poll(now) == [Ask("q")]

        arbiter.sent("q", "ev", now)


def test_a_rejected_request_is_asked_again_at_the_next_response_done():
    """No need to wait for the back-off then."""
    arbiter = asked(now=0.0)
    arbiter.handle(error(ACTIVE), 0.1)
    arbiter.handle(done("unknown"), 0.2)

    assert arbiter.poll(0.2) == [Ask("q")]


def test_a_rejection_is_a_sign_of_life_of_the_response_that_is_active():
    """The 30 s of silence after which it does not hold the slot any more begin anew."""
    arbiter = asked(now=0.0)
    arbiter.handle(created("foreign", "somebody's"), 0.1)
    arbiter.handle(error(ACTIVE, "ev"), 8.0)

    assert arbiter.deadline == 38.0
    assert arbiter.poll(37.9) == []
    assert arbiter.active == "foreign"
    assert arbiter.poll(38.0) == [Ask("q")]


def test_a_rejection_for_ever_is_reported():
    """By a response that shows no other sign of life."""
    arbiter = asked(now=0.0)
    now, actions = 0.0, []
    for _ in range(100):
        arbiter.handle(error(ACTIVE, "ev"), now)
        actions = arbiter.poll(now)
        if actions:
            break
        now = arbiter.deadline

        assert arbiter.poll(now) == [Ask("q")]

        arbiter.sent("q", "ev", now)

    assert [(action.request_id, action.reason) for action in actions] == [("q", "rejected")]
    assert 120.0 <= now < 130.0


def test_a_rejection_of_somebody_elses_create_is_not_ours():
    """Matched by event id."""
    arbiter = asked()
    arbiter.handle(error(ACTIVE, "another"), 0.1)

    assert arbiter.asked == "q"


def test_a_vad_response_that_came_first_settles_ours_once_ours_is_rejected():
    """Its turn was committed after our items: it answers them. No second reply."""
    arbiter = asked(items=["a"])
    arbiter.handle(added("a"), 0.1)
    for event in (speech_started(), speech_stopped(), committed(), created("vad")):
        arbiter.handle(event, 0.2)

    assert arbiter.poll(0.2) == []

    arbiter.handle(error(ACTIVE, "ev"), 0.3)

    assert arbiter.poll(0.3) == [Settled("q", "vad")]

    arbiter.handle(done("vad"), 0.4)

    assert arbiter.poll(0.4) == []
    assert arbiter.idle


def test_a_vad_response_that_came_first_and_was_cancelled_does_not():
    """It answered nobody."""
    arbiter = asked(items=["a"])
    arbiter.handle(added("a"), 0.1)
    for event in (speech_started(), speech_stopped(), committed(), created("vad"), done("vad", "cancelled")):
        arbiter.handle(event, 0.2)
    arbiter.handle(error(ACTIVE, "ev"), 0.3)

    assert Settled("q", "vad") not in arbiter.poll(10.0)
    assert not arbiter.idle


def test_any_other_error_to_our_create_is_given_to_the_asker():
    """By event id only: an error that names nothing may be about anything."""
    arbiter = asked()
    arbiter.handle(error("invalid_value", "another"), 0.1)
    arbiter.handle(error("invalid_value"), 0.1)

    assert arbiter.poll(0.1) == []

    arbiter.handle(error("invalid_value", "ev"), 0.2)
    (action,) = arbiter.poll(0.2)

    assert (action.request_id, action.reason, action.error.code) == ("q", "refused", "invalid_value")
    assert arbiter.idle


def test_a_create_unanswered_for_10_s_is_an_error_at_its_asker():
    """And does not hold up the next one."""
    arbiter = asked(now=5.0)
    arbiter.owe("p")

    assert arbiter.deadline == 15.0
    assert arbiter.poll(14.9) == []
    assert arbiter.poll(15.0) == [GivenUp("q", "unanswered"), Ask("p")]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_reply_that_came_to_nothing_is_owed_again_once_then_reported(status):
    """The asker learns each step."""
    arbiter = settled()
    arbiter.handle(done("r1", status), 1.0)

    assert arbiter.poll(1.0) == [OwedAgain("q", "r1", status), Ask("q")]

    arbiter.handle(created("r2", "q"), 1.1)
    arbiter.handle(done("r2", status), 2.0)

    assert arbiter.poll(2.0) == [Settled("q", "r2"), GivenUp("q", status, None, "r2")]
    assert arbiter.idle


def test_a_reply_that_was_cancelled_after_some_of_it_was_heard_is_settled():
    """The user interrupted it, having heard it."""
    arbiter = settled()
    arbiter.heard("r1")
    arbiter.handle(done("r1", "cancelled"), 1.0)

    assert arbiter.poll(1.0) == []
    assert arbiter.idle


@pytest.mark.parametrize("done_first", [True, False])
def test_a_reply_that_was_generated_but_cut_before_it_was_heard_is_owed_again(done_first):
    """Generation runs ahead of playback: `completed` does not mean heard."""
    arbiter = settled()
    steps = [lambda: arbiter.handle(done("r1"), 1.0), lambda: arbiter.interrupted("r1")]
    for step in steps if done_first else reversed(steps):
        step()

    assert arbiter.poll(1.0)[0] == OwedAgain("q", "r1", "cancelled")


def test_an_incomplete_reply_is_a_reply():
    """Its length or a filter ended it; asking again would end the same way."""
    arbiter = settled()
    arbiter.handle(done("r1", "incomplete"), 1.0)

    assert arbiter.poll(1.0) == []
    assert arbiter.idle


def test_what_is_owed_again_goes_first():
    """Requests keep the order in which they were owed."""
    arbiter = settled()
    arbiter.owe("p")
    arbiter.handle(done("r1", "failed"), 1.0)

    assert arbiter.poll(1.0) == [OwedAgain("q", "r1", "failed"), Ask("q")]


def test_forgetting_what_was_not_sent_leaves_nothing():
    """Nobody is told."""
    arbiter = Arbiter()
    arbiter.owe("q")
    arbiter.forget("q")
    arbiter.forget("unknown")

    assert arbiter.poll(0.0) == []
    assert arbiter.idle


def test_forgetting_what_was_sent_cancels_it_when_it_is_created():
    """By id, not before; nobody is told that it settled."""
    arbiter = asked()
    arbiter.forget("q")

    assert arbiter.poll(0.1) == []

    arbiter.handle(created("r1", "q"), 0.2)

    assert arbiter.poll(0.2) == [CancelResponse("r1")]

    arbiter.handle(done("r1", "cancelled"), 0.3)

    assert arbiter.poll(0.3) == []


@pytest.mark.parametrize("last", [error(ACTIVE, "ev"), error("invalid_value", "ev"), None])
def test_forgetting_what_is_never_created(last):
    """No action at all, and the way is free for the next one."""
    arbiter = asked()
    arbiter.forget("q")
    if last is not None:
        arbiter.handle(last, 0.1)
    arbiter.owe("p")

    assert arbiter.poll(10.0) == [Ask("p")]


def test_forgetting_what_is_being_answered_cancels_it():
    """Unless others want the same response, or turn detection made it."""
    arbiter = settled()
    arbiter.forget("q")

    assert arbiter.poll(0.2) == [CancelResponse("r1")]

    arbiter = Arbiter()
    arbiter.take_floor(0.0)
    arbiter.owe("one")
    arbiter.owe("two")
    arbiter.free_floor()
    arbiter.poll(0.0)
    arbiter.handle(created("r1", "one"), 0.2)
    arbiter.poll(0.2)
    arbiter.forget("one")

    assert arbiter.poll(0.3) == []

    arbiter.forget("two")

    assert arbiter.poll(0.3) == [CancelResponse("r1")]

    arbiter = Arbiter()
    arbiter.handle(speech_started(), 0.0)
    arbiter.owe("q")
    for event in (speech_stopped(), committed(), created("vad")):
        arbiter.handle(event, 0.1)
    arbiter.poll(0.1)
    arbiter.forget("q")

    assert arbiter.poll(0.2) == []


def test_recalled_by_the_program():
    """Cancelled on its created and settled with that response: the program said stop."""
    arbiter = asked()

    assert arbiter.recall(again=False) == "q"

    arbiter.handle(created("r1", "q"), 0.1)

    assert arbiter.poll(0.1) == [Settled("q", "r1"), CancelResponse("r1")]

    arbiter.handle(done("r1", "cancelled"), 0.2)

    assert arbiter.poll(0.2) == []
    assert arbiter.idle
    assert arbiter.recall(again=False) is None


def test_recalled_by_the_program_and_rejected():
    """It is not asked for again."""
    arbiter = asked()
    arbiter.recall(again=False)
    arbiter.handle(error(ACTIVE, "ev"), 0.1)
    (action,) = arbiter.poll(0.1)

    assert (action.request_id, action.reason) == ("q", "interrupted")


def test_a_stop_outlasts_a_barge_in():
    """The program said stop, then the user spoke: it is not asked for again."""
    arbiter = asked()
    arbiter.recall(again=False)
    arbiter.recall(again=True)
    arbiter.handle(created("r1", "q"), 0.1)

    assert arbiter.poll(0.1) == [Settled("q", "r1"), CancelResponse("r1")]


def test_being_recalled_by_the_user_does_not_count():
    """Owed again any number of times: it never had a chance."""
    arbiter = asked()
    now = 0.0
    for n in range(5):
        arbiter.recall(again=True)
        arbiter.handle(created(f"r{n}", "q"), now)

        assert arbiter.poll(now) == [CancelResponse(f"r{n}")]

        arbiter.handle(done(f"r{n}", "cancelled"), now)

        assert arbiter.poll(now) == [Ask("q")]


def test_a_response_of_which_nothing_comes_for_30_s_does_not_hold_the_slot():
    """A lost `response.done` must not silence us for ever. Any sign of life counts."""
    arbiter = settled()
    arbiter.owe("p")
    delta = ResponseOutputTextDelta(
        event_id="e", response_id="r1", item_id="i", output_index=0, content_index=0, delta="x"
    )
    arbiter.handle(delta, 20.0)

    assert arbiter.poll(49.9) == []
    assert arbiter.poll(50.0) == [Ask("p")]


def lost(arbiter, now, answered=()):
    """Lose the link. Gives whether a turn is to be answered that no request is about, and what becomes of requests."""
    is_unanswered = arbiter.lose_link(now, answered)

    assert arbiter.deadline in (math.inf, -math.inf)

    actions = arbiter.poll(now + 300.0)

    assert arbiter.deadline == arbiter.life.deadline == math.inf

    return is_unanswered, actions


def test_a_lost_link_owes_again_what_was_in_progress():
    """Asked and being answered; nothing is asked for before there is a new link, nor does anything time out."""
    arbiter = settled()
    arbiter.owe("p")
    arbiter.hold_floor(0.2)

    assert lost(arbiter, 0.2) == (False, [OwedAgain("q", "r1", "link lost")])
    assert not arbiter.idle

    arbiter.regain_link(400.0)

    assert arbiter.poll(400.0) == []  # what was being said is on its way to turn detection
    assert arbiter.deadline == 402.0
    assert arbiter.poll(402.0) == [Ask("q")]
    assert lost(arbiter, 403.0) == (False, [])

    arbiter.regain_link(500.0)

    assert arbiter.poll(500.0) == [Ask("q")]

    arbiter.handle(created("r2", "q"), 501.0)
    arbiter.handle(done("r2", "failed"), 502.0)

    assert OwedAgain("q", "r2", "failed") in arbiter.poll(502.0)  # none of that counted


def test_what_enough_was_heard_of_is_the_reply_when_the_link_is_lost():
    arbiter = settled()
    arbiter.heard("r1")

    assert lost(arbiter, 1.0, {"r1"}) == (False, [])
    assert arbiter.idle


def test_what_the_user_cut_is_the_reply_if_some_was_heard_when_the_link_is_lost():
    """Its end would have come next."""
    arbiter = settled()
    arbiter.heard("r1")
    arbiter.interrupted("r1")

    assert lost(arbiter, 1.0) == (False, [])
    assert arbiter.idle


def test_what_was_generated_may_yet_be_interrupted_after_the_link_is_lost():
    arbiter = settled()
    arbiter.handle(done("r1"), 1.0)

    assert lost(arbiter, 2.0) == (False, [])

    arbiter.interrupted("r1")

    assert arbiter.poll(3.0) == [OwedAgain("q", "r1", "cancelled")]
    assert arbiter.owed == ("q",)


def test_what_the_program_ended_is_not_owed_again_when_the_link_is_lost():
    arbiter = settled()
    arbiter.stop("r1")

    assert arbiter.is_stopped("r1")
    assert not arbiter.is_stopped("r2")
    assert lost(arbiter, 1.0) == (False, [])
    assert arbiter.idle


def test_a_stopped_create_is_given_up_when_the_link_is_lost():
    arbiter = Arbiter()
    arbiter.owe("q")
    arbiter.poll(0.0)
    arbiter.recall(again=False)

    assert lost(arbiter, 1.0) == (False, [GivenUp("q", "interrupted")])


@pytest.mark.parametrize("seen", ["promised", "committed", "created", "created and shared", "created and interrupted"])
def test_a_lost_link_tells_of_a_turn_that_no_request_is_about(seen):
    arbiter = Arbiter()
    if seen == "created and shared":
        arbiter.owe("q")
    arbiter.handle(speech_stopped(), 0.0)
    if seen != "promised":
        arbiter.handle(committed(), 0.0)
    if seen.startswith("created"):
        arbiter.handle(created("r1"), 0.1)
    if seen == "created and interrupted":
        arbiter.interrupted("r1")

    assert lost(arbiter, 1.0)[0] is (seen in ("promised", "committed", "created"))
    assert lost(arbiter, 2.0)[0] is False


def test_a_turn_that_ours_took_into_account_is_not_owed_when_the_link_is_lost():
    arbiter = Arbiter()
    arbiter.owe("q")
    arbiter.poll(0.0)
    arbiter.handle(committed(), 0.0)
    arbiter.handle(created("r1", "q"), 0.1)
    arbiter.handle(done("r1"), 0.2)

    assert lost(arbiter, 1.0)[0] is False


def test_a_rival_that_is_done_is_the_reply_when_the_link_is_lost():
    """Its rejection would have come next."""
    arbiter = Arbiter()
    arbiter.owe("q")
    arbiter.poll(0.0)
    arbiter.handle(committed(), 0.0)
    arbiter.handle(created("r1"), 0.1)
    arbiter.heard("r1")
    arbiter.handle(done("r1"), 0.2)

    assert lost(arbiter, 1.0) == (False, [Settled("q", "r1")])
    assert arbiter.idle


def test_a_key_keeps_the_floor_without_a_link():
    arbiter = Arbiter()
    arbiter.take_floor(0.0)
    arbiter.owe("q")
    lost(arbiter, 1.0)
    arbiter.regain_link(400.0)

    assert arbiter.poll(400.0) == []

    lost(arbiter, 401.0)
    arbiter.hold_floor(402.0)
    arbiter.regain_link(500.0)

    assert arbiter.poll(500.0) == []
    assert arbiter.poll(560.0) == [Ask("q")]


def test_malformed_and_unknown_values_do_not_raise():
    """Responses without id, metadata of any kind, errors about nothing."""
    arbiter = Arbiter()
    arbiter.handle(ResponseCreated(event_id="e", response=Response()), 0.0)
    arbiter.handle(ResponseDone(event_id="e", response=Response()), 0.0)
    arbiter.handle(error(UNSET, UNSET), 0.0)
    arbiter.handle(created("r1", "a request that nobody made"), 0.0)
    arbiter.handle(created("r1"), 0.0)
    arbiter.handle(done("r1", UNSET), 0.0)
    arbiter.handle(SessionUpdated(event_id="e", session=RealtimeSession()), 0.0)

    assert arbiter.poll(0.0) == []
    assert arbiter.floor.detection.creates


def test_answers_are_bounded():
    """A program that never tells what was heard does not fill the memory."""
    arbiter = Arbiter()
    for n in range(500):
        arbiter.owe(f"q{n}")
        arbiter.poll(0.0)
        arbiter.handle(created(f"r{n}", f"q{n}"), 0.0)
        arbiter.handle(done(f"r{n}"), 0.0)
        arbiter.handle(added(f"i{n}"), 0.0)
        arbiter.handle(added(f"j{n}"), 0.0)
        arbiter.handle(added(f"k{n}"), 0.0)

    assert len(arbiter._replies.answers) <= 65
    assert len(arbiter._replies.requests) <= 65
    assert len(arbiter._replies._acknowledged) <= 1024


def test_what_the_program_has_stopped_is_given_up_also_when_the_server_puts_it_off():
    """Its create was on the way: neither asked for once more nor waited for."""
    arbiter = Arbiter()
    arbiter.owe("q")
    assert arbiter.poll(0.0) == [Ask("q")]
    arbiter.sent("q", "evt_1", 0.0)
    arbiter.recall(again=False)
    words = "Please try again in 1s"
    problem = ErrorDetails(type="x", code="rate_limit_exceeded", message=words, event_id="evt_1")
    arbiter.handle(Error(event_id="e", error=problem), 1.0)

    assert [(type(action), action.request_id) for action in arbiter.poll(2.0)] == [(GivenUp, "q")]
    assert arbiter.poll(60.0) == []
    assert arbiter.idle


def test_a_response_that_the_server_lost_is_active_no_longer():
    """Nothing came of it for half a minute: who waits for the conversation to be idle does not wait for ever."""
    arbiter = Arbiter()
    arbiter.handle(created("resp_1"), 0.0)
    assert arbiter.poll(29.0) == []
    assert arbiter.active == "resp_1"

    arbiter.poll(31.0)
    assert arbiter.active is None
