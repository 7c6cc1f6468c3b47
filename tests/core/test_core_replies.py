"""What is owed and for how long: the arbiter's books at the edges. Rule by rule: test_core_arbiter.py."""

import pytest

from realtime_trio.core.arbiter import METADATA_KEY, Arbiter, Ask, OwedAgain, Settled
from realtime_trio.events import Error, ErrorDetails, Response, ResponseCreated, ResponseDone

ACTIVE = "conversation_already_has_active_response"


def created(response_id, tag=None):
    metadata = None if tag is None else {METADATA_KEY: tag}
    response = Response(id=response_id, conversation_id="conv", metadata=metadata, status="in_progress")
    return ResponseCreated(event_id="e", response=response)


def done(response_id, status="completed"):
    return ResponseDone(event_id="e", response=Response(id=response_id, status=status, conversation_id="conv"))


def settled():
    """An arbiter with one request, settled by `r1`."""
    arbiter = Arbiter()
    arbiter.owe("q")
    assert arbiter.poll(0.0) == [Ask("q")]
    arbiter.sent("q", "ev", 0.0)
    arbiter.handle(created("r1", "q"), 0.1)
    assert arbiter.poll(0.1) == [Settled("q", "r1")]
    return arbiter


@pytest.mark.parametrize("overrides", [False, True])
def test_what_the_server_may_answer_by_itself_is_settled_by_whatever_it_makes(overrides):
    """Also where we would ask with parameters of our own: the server has its own reasons for what it makes."""
    arbiter = Arbiter()
    arbiter.owe("q", overrides=overrides, expected_until=5.0)
    assert arbiter.poll(1.0) == []
    arbiter.handle(created("r1"), 2.0)

    assert arbiter.poll(2.0) == [Settled("q", "r1")]


@pytest.mark.parametrize(("until", "after"), [(5.0, []), (None, [OwedAgain("q", "r1", "rejected")])])
def test_what_the_server_may_answer_by_itself_is_not_taken_back(until, after):
    """An error to our create tells that a response is the server's own; here that is a reply all the same."""
    arbiter = Arbiter()
    arbiter.owe("q", **({} if until is None else {"expected_until": until}))
    assert arbiter.poll(6.0) == [Ask("q")]
    arbiter.sent("q", "ev", 6.0)
    arbiter.handle(created("r1"), 6.1)
    assert arbiter.poll(6.1) == [Settled("q", "r1")]
    details = ErrorDetails(type="invalid_request_error", message="", code=ACTIVE, event_id="ev")
    arbiter.handle(Error(event_id="e", error=details), 6.2)

    assert arbiter.poll(6.2) == after


def test_a_response_that_is_done_is_not_cancelled_when_nobody_waits_for_it_any_more():
    """It was generated and not heard yet; the server would refuse to cancel it."""
    arbiter = settled()
    arbiter.handle(done("r1"), 0.2)
    arbiter.forget("q")

    assert arbiter.poll(0.2) == []


def test_what_the_program_has_stopped_is_over_when_it_is_done():
    """Also where the server completed it meanwhile, and nobody is going to hear it."""
    arbiter = settled()
    arbiter.stop("r1")
    arbiter.handle(done("r1"), 0.2)
    arbiter.owe("q")  # the name is free again

    assert arbiter.poll(0.2) == [Ask("q")]
