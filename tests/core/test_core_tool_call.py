"""The life of a tool call: what settles it first counts, and it gets one output, whatever happens in which order."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.tool_call import (
    ATTACHED,
    ENDS,
    FIRST,
    OUTCOMES,
    STATES,
    TRANSITIONS,
    CallLife,
    Outcome,
    State,
    Trigger,
)
from realtime_trio.errors import InternalError

TRIGGERS = get_args(Trigger)


def test_every_state_and_outcome_is_described():
    assert set(STATES) == set(get_args(State))
    assert set(OUTCOMES) == set(get_args(Outcome))
    assert all(STATES.values())
    assert all(OUTCOMES.values())


def test_every_state_can_be_reached_and_left_for_the_end():
    """A call that cannot end would keep the model waiting for ever."""
    reached, new = {FIRST}, {FIRST}
    while new:
        new = {after for (before, _), after in TRANSITIONS.items() if before in new} - reached
        reached |= new
    ending = set(ENDS)
    while more := {before for (before, _), after in TRANSITIONS.items() if after in ending} - ending:
        ending |= more

    assert reached == set(STATES)
    assert ending == set(STATES)
    assert not any(before in ENDS for before, _ in TRANSITIONS)
    assert {trigger for _, trigger in TRANSITIONS} == set(TRIGGERS)


@pytest.mark.parametrize("state", sorted(ATTACHED))
def test_an_interruption_reaches_whatever_the_model_waits_for(state):
    """Also what waits for an approval, or for its turn."""
    assert TRANSITIONS[state, "cancelled"] == "delivering"
    assert TRANSITIONS[state, "detached"] == "detached"


@pytest.mark.parametrize("state", sorted(set(STATES) - ENDS - {FIRST}))
def test_the_end_of_the_session_ends_every_call(state):
    assert TRANSITIONS[state, "session ended"] == "over"


@given(st.lists(st.sampled_from(TRIGGERS), max_size=30))
def test_what_settles_a_call_first_is_what_it_comes_to(triggers):
    """Nothing that comes later changes it, but the end of the session, before the server has it."""
    life, outcomes = CallLife(), []
    for trigger in triggers:
        changed = life.take(trigger)
        assert changed or (life.state, trigger) not in TRANSITIONS
        if life.outcome is not None and life.outcome not in outcomes:
            outcomes.append(life.outcome)

    assert len(outcomes) <= 2
    assert outcomes[1:] in ([], ["session ended"])
    assert life.is_settled == (life.state in {"delivering", "reporting", "over"})
    assert life.is_attached == (life.state in ATTACHED)


def test_an_outcome_may_be_told_where_the_trigger_does_not_tell_it():
    life = CallLife()
    for trigger in ("needs none", "its turn came"):
        assert life.take(trigger)

    assert life.take("returned", "error")
    assert (life.state, life.outcome) == ("delivering", "error")
    assert not life.take("returned")
    assert life.outcome == "error"


def test_the_right_to_answer_is_given_once():
    life = CallLife()
    life.answer()

    with pytest.raises(InternalError, match="second output"):
        life.answer()
