"""A reply that the server may give by itself, as after a call of a hosted MCP server: not lost, not asked for twice."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.arbiter import ALREADY_ACTIVE, METADATA_KEY, Arbiter, Ask, OwedAgain, Settled
from realtime_trio.events import (
    Error,
    ErrorDetails,
    InputAudioBufferSpeechStarted,
    Response,
    ResponseCreated,
    ResponseDone,
)


def created(response_id, tag=None):
    metadata = None if tag is None else {METADATA_KEY: tag}
    response = Response(id=response_id, conversation_id="conv", metadata=metadata, status="in_progress")
    return ResponseCreated(event_id="e", response=response)


def done(response_id, status="completed"):
    return ResponseDone(event_id="e", response=Response(id=response_id, status=status, conversation_id="conv"))


def rejected(event_id):
    details = ErrorDetails(type="invalid_request_error", message="", code=ALREADY_ACTIVE, event_id=event_id)
    return Error(event_id="e", error=details)


def owing(*, overrides=False):
    arbiter = Arbiter()
    arbiter.owe("follow up", overrides=overrides, expected_until=0.5)
    return arbiter


def test_the_server_is_asked_when_it_did_not_answer_by_itself():
    arbiter = owing()

    assert arbiter.deadline == 0.5
    assert not arbiter.idle, "a session that leaves now would lose it"
    assert arbiter.poll(0.4) == []
    assert arbiter.poll(0.5) == [Ask("follow up")]


@pytest.mark.parametrize("overrides", [False, True])
def test_what_the_server_makes_by_itself_settles_it(overrides):
    arbiter = owing(overrides=overrides)
    arbiter.handle(created("r1"), 0.3)

    assert arbiter.poll(0.3) == [Settled("follow up", "r1")]

    arbiter.heard("r1")
    arbiter.handle(done("r1"), 2.0)

    assert arbiter.poll(100.0) == []
    assert arbiter.deadline == math.inf


def test_what_the_server_makes_while_it_is_asked_settles_it_too():
    arbiter = owing()
    arbiter.poll(0.5)
    arbiter.sent("follow up", "ev", 0.5)
    arbiter.handle(created("r0", tag="somebody else's"), 0.55)  # metadata is echoed here
    arbiter.handle(done("r0"), 0.55)
    arbiter.handle(created("r1"), 0.6)
    arbiter.handle(rejected("ev"), 0.61)

    assert Settled("follow up", "r1") in arbiter.poll(0.61)

    arbiter.heard("r1")
    arbiter.handle(done("r1"), 2.0)

    assert arbiter.poll(100.0) == []


def test_what_the_server_made_counts_only_if_something_came_of_it():
    arbiter = owing()
    arbiter.handle(created("r1"), 0.3)
    arbiter.handle(done("r1", "failed"), 0.4)

    assert arbiter.poll(0.4) == [Settled("follow up", "r1"), OwedAgain("follow up", "r1", "failed")]
    assert arbiter.poll(0.5) == [Ask("follow up")]


def test_who_is_behind_it_goes_first_and_settles_it():
    arbiter = owing()
    arbiter.owe("later")

    assert arbiter.poll(0.1) == [Ask("later")]

    arbiter.handle(created("r1", tag="later"), 0.2)

    assert set(arbiter.poll(0.2)) == {Settled("later", "r1"), Settled("follow up", "r1")}


def test_the_users_floor_is_respected_all_the_same():
    arbiter = owing()
    arbiter.handle(InputAudioBufferSpeechStarted(event_id="e", item_id="u", audio_start_ms=0), 0.1)

    assert arbiter.poll(10.0) == []


@given(by_itself_at=st.integers(0, 30), answers_after=st.integers(1, 5), echoes=st.booleans(), named=st.booleans())
def test_whenever_the_server_answers_by_itself_there_is_one_answer(by_itself_at, answers_after, echoes, named):
    """It answers by itself at any moment, or to our create some time later: one response settles it, once."""
    arbiter = owing()
    settled, made, asked_at = [], "", math.inf
    for step in range(60):
        now = step / 10
        if not made and step == by_itself_at:
            made = "own"
            arbiter.handle(created("own"), now)
        if step == asked_at + answers_after:
            if made:
                arbiter.handle(rejected("ev" if named else None), now)
            else:
                made = "asked"
                arbiter.handle(created("asked", tag="follow up" if echoes else None), now)
        for action in arbiter.poll(now):
            if isinstance(action, Settled):
                settled.append(action.response_id)
            elif isinstance(action, Ask):
                assert asked_at == math.inf, "nothing is asked for twice"
                asked_at = step
                arbiter.sent("follow up", "ev", now)
        if settled and made and step == 50:
            arbiter.heard(made)
            arbiter.handle(done(made), now)

    assert settled == [made]
    assert arbiter.idle
