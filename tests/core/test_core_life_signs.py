"""Which responses are taken for lost, and when."""

import math

import pytest

from realtime_trio.core.failures import failure
from realtime_trio.core.life_signs import LifeSigns, lost_response
from realtime_trio.events import (
    InputAudioBufferCleared,
    Response,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputTextDelta,
)

from .arbiter_events import created, done


def delta(response_id):
    return ResponseOutputTextDelta(
        event_id="e", response_id=response_id, item_id="i", output_index=0, content_index=0, delta="x"
    )


def living(*response_ids):
    life = LifeSigns()
    for response_id in response_ids:
        life.handle(created(response_id), 0.0)
    return life


def test_a_response_of_which_nothing_comes_for_30_s_is_lost_once():
    life = living("r1", "r2")
    life.handle(delta("r1"), 20.0)
    life.handle(InputAudioBufferCleared(event_id="e"), 25.0)

    assert life.deadline == 30.0
    assert life.take_lost(29.9) == []
    assert life.take_lost(30.0) == ["r2"]
    assert life.take_lost(30.0) == []
    assert (life.deadline, life.quiet_at("r1"), life.quiet_at("r2")) == (50.0, 50.0, -math.inf)
    assert life.take_lost(51.0) == ["r1"]
    assert life.deadline == math.inf


def test_after_we_stood_still_they_have_their_time_anew():
    """A laptop slept: what they have said is yet to be read."""
    life = living("r1", "r2")

    assert life.take_lost(31.1) == []
    assert life.take_lost(61.0) == []
    assert life.take_lost(61.1) == ["r1", "r2"]


def test_what_is_done_is_not_lost():
    life = living("r1")
    life.handle(done("r1"), 1.0)

    assert life.deadline == math.inf
    assert life.take_lost(30.0) == []


def test_nothing_is_lost_twice_with_the_link():
    life = living("r1")
    life.lose_link()

    assert life.deadline == math.inf


def test_a_created_that_comes_again_is_no_new_response():
    life = living("r1")
    life.handle(created("r1"), 20.0)

    assert life.deadline == 30.0


@pytest.mark.parametrize("end", [ResponseMcpCallCompleted, ResponseMcpCallFailed])
def test_a_hosted_call_may_take_long(end):
    """Its events name no response, and between them nothing comes."""
    life = living("r1")
    life.handle(ResponseMcpCallInProgress(event_id="e", item_id="i", output_index=0), 1.0)

    assert life.take_lost(599.0) == []

    life.handle(end(event_id="e", item_id="i", output_index=0), 599.0)

    assert life.deadline == 629.0


def test_a_hosted_call_that_never_ends_is_no_excuse_for_later_responses():
    life = living("r1")
    life.handle(ResponseMcpCallInProgress(event_id="e", item_id="i", output_index=0), 1.0)

    assert life.take_lost(600.0) == ["r1"]

    life.handle(created("r2"), 601.0)

    assert life.deadline == 631.0


def test_there_is_an_end_to_what_is_remembered():
    life = living(*(f"r{n}" for n in range(2000)))

    assert len(life.take_lost(30.0)) == 1024


def test_a_lost_response_ends_as_one_that_failed():
    response = lost_response(Response(id="r1", conversation_id="c", status="in_progress"), "failed").response

    assert (response.id, response.conversation_id, response.status) == ("r1", "c", "failed")
    assert failure(response).code == "response_lost"
    assert "30 s" in str(failure(response))
