"""The tables of states are whole: nobody gets stuck in one, and there is a word on each."""

from typing import get_args

import pytest

from realtime_trio.core import floor_states, request_states
from realtime_trio.core.arbiter import Arbiter
from realtime_trio.events import Response, ResponseCreated

TABLES = [request_states, floor_states]


def reachable(table, start):
    """Every state that can follow from one, that one included."""
    found, new = set(), {start}
    while new:
        found |= new
        new = {after for (before, _), after in table.TRANSITIONS.items() if before in new} - found
    return found


@pytest.mark.parametrize("table", TABLES)
def test_every_state_can_be_reached_and_is_described(table):
    assert reachable(table, table.FIRST) == set(table.STATES) == set(get_args(table.State))


@pytest.mark.parametrize("table", TABLES)
def test_every_trigger_is_somewhere_in_the_table(table):
    assert {trigger for _, trigger in table.TRANSITIONS} == set(get_args(table.Trigger))


def test_every_request_can_end_and_what_has_ended_stays_so():
    for state in request_states.STATES:
        if state in request_states.ENDS:
            assert reachable(request_states, state) == {state}
        else:
            assert reachable(request_states, state) & request_states.ENDS


def test_whatever_was_asked_can_be_answered_refused_and_forgotten():
    """A create may be answered by its response, by two kinds of error, or never, whatever became of the wish for it."""
    asked = {state for (state, trigger) in request_states.TRANSITIONS if trigger == "created"}

    for trigger in ("rejected", "refused", "unanswered", "link lost", "user spoke", "program stopped"):
        assert {state for (state, one) in request_states.TRANSITIONS if one == trigger} >= asked
    for state in set(request_states.STATES) - request_states.ENDS - {"abandoned"}:
        assert request_states.TRANSITIONS[state, "asker left"] in {"abandoned", "forgotten"}


def test_nobody_keeps_the_floor_for_ever():
    """But a key: whoever holds it down lets it go."""
    for state in set(floor_states.STATES) - {"nobody's"}:
        way_out = "let go" if state == "the key's" else "time is up"
        assert floor_states.TRANSITIONS[state, way_out] == "nobody's"


def test_an_impossible_move_changes_nothing_and_is_noted():
    """A bug of ours is for the tests to find; it is not for a session to crash of."""
    arbiter = Arbiter()
    arbiter.owe("q")
    (request,) = arbiter._replies.waiting

    assert arbiter._replies.move(request, "created") == "owed"
    assert arbiter._replies.impossible == {("owed", "created")}

    arbiter.poll(0.0)
    response = Response(id="r1", conversation_id="conv", metadata={"realtime_trio": "q"})
    arbiter.handle(ResponseCreated(event_id="e", response=response), 0.1)

    assert request.state == "settled"
