"""What the server's codes become, and when a reply is asked for again after a failure."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.arbiter import METADATA_KEY, Arbiter, Ask, GivenUp, OwedAgain, Settled
from realtime_trio.core.failures import CLASSES, LONGEST_WAIT, failure, refusal
from realtime_trio.errors import AccountRefused, ContentFiltered, QuotaExceeded, RateLimited, ResponseFailed
from realtime_trio.events import (
    Error,
    ErrorDetails,
    RateLimit,
    RateLimitsUpdated,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseError,
    StatusDetails,
)

FINAL = [code for code, made in CLASSES.items() if made.is_final]
LIMITED = ["rate_limit_exceeded", "inference_rate_limit_exceeded"]


def failed(response_id="r1", message="", **error):
    details = StatusDetails(type="failed", error=ResponseError(message=message, **error))
    return Response(id=response_id, status="failed", status_details=details, conversation_id="conv")


def done(response):
    return ResponseDone(event_id="e", response=response)


def created(response_id):
    return ResponseCreated(
        event_id="e",
        response=Response(id=response_id, conversation_id="conv", metadata={METADATA_KEY: "q"}, status="in_progress"),
    )


def limits(remaining=0, **reset_seconds):
    """Limits, used up if not told otherwise, by name with the time that they take."""
    return RateLimitsUpdated(
        event_id="e",
        rate_limits=[
            RateLimit(name=name, limit=100, remaining=remaining, reset_seconds=seconds)
            for name, seconds in reset_seconds.items()
        ],
    )


def answered():
    """An arbiter with one request, settled by `r1`."""
    arbiter = Arbiter()
    arbiter.owe("q")
    arbiter.poll(0.0)
    arbiter.sent("q", "ev", 0.0)
    arbiter.handle(created("r1"), 0.0)

    assert arbiter.poll(0.0) == [Settled("q", "r1")]

    return arbiter


def refused(code, message=""):
    """An arbiter with one request, to which the server answered with an error at 1 s."""
    arbiter = Arbiter()
    arbiter.owe("q")
    arbiter.poll(0.0)
    arbiter.sent("q", "ev", 0.0)
    arbiter.handle(
        Error(event_id="e", error=ErrorDetails(type="tokens", message=message, code=code, event_id="ev")), 1.0
    )
    return arbiter


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("insufficient_quota", QuotaExceeded),
        ("billing_hard_limit_reached", QuotaExceeded),
        ("invalid_api_key", AccountRefused),
        ("account_deactivated", AccountRefused),
        ("rate_limit_exceeded", RateLimited),
        ("inference_rate_limit_exceeded", RateLimited),
        ("content_filter", ContentFiltered),
        ("content_policy_violation", ContentFiltered),
        ("server_error", ResponseFailed),
    ],
)
def test_a_code_has_its_class(code, made):
    """The rest of the exception is the same for all."""
    final = failed(code=code, message="it went wrong", type="some_error")
    error = failure(final)

    assert type(error) is made
    assert (error.response_id, error.code, error.response) == ("r1", code, final)
    assert str(error) == f"response r1 failed: {code}: it went wrong"


def test_a_type_counts_where_there_is_no_code():
    """Some errors name the code as their type."""
    assert type(failure(failed(type="insufficient_quota"))) is QuotaExceeded
    assert type(failure(failed(type="insufficient_quota", code="429"))) is QuotaExceeded
    assert failure(failed(type="server_error")).code is None


def test_a_failure_without_details():
    error = failure(Response(status="failed"))

    assert type(error) is ResponseFailed
    assert "gave no reason" in str(error)
    assert (error.response_id, error.code) == (None, None)


def test_a_failure_shows_no_key():
    assert "sk-proj-abcdef" not in str(failure(failed(code="invalid_api_key", message="wrong key sk-proj-abcdef")))


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.3s. Visit ...", 1.3),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1h2m3.5s.", 3723.5),
        ("Please try again later.", None),
        ("", None),
    ],
)
def test_the_servers_words_say_when_to_ask_again(words, seconds):
    error = failure(failed(code="rate_limit_exceeded", message=words))

    assert isinstance(error, RateLimited)
    assert error.retry_after == (None if seconds is None else pytest.approx(seconds))


def test_a_refused_create_has_the_same_classes():
    error = refusal(ErrorDetails(type="insufficient_quota", message="no money", code="insufficient_quota"))

    assert isinstance(error, QuotaExceeded)
    assert error.response_id is None
    assert refusal(ErrorDetails(type="invalid_request_error", message="", code="unknown_parameter")) is None


@pytest.mark.parametrize("code", FINAL)
def test_what_does_not_pass_is_not_asked_about_again(code):
    """It would cost the user the time, and the account a request."""
    arbiter = answered()
    arbiter.handle(done(failed(code=code)), 1.0)

    assert arbiter.poll(1.0) == [GivenUp("q", "failed", None, "r1")]
    assert arbiter.idle


@pytest.mark.parametrize("code", LIMITED)
def test_a_rate_limit_is_waited_for_once(code):
    """As long as the server says."""
    arbiter = answered()
    arbiter.handle(done(failed(code=code, message="Please try again in 1.5s.")), 1.0)

    assert arbiter.poll(1.0) == [OwedAgain("q", "r1", "failed")]
    assert arbiter.deadline == 2.5
    assert arbiter.poll(2.4) == []
    assert arbiter.poll(2.5) == [Ask("q")]

    arbiter.handle(created("r2"), 2.6)
    arbiter.handle(done(failed("r2", code=code, message="Please try again in 1.5s.")), 3.0)

    assert arbiter.poll(3.0) == [Settled("q", "r2"), GivenUp("q", "failed", None, "r2")]


def test_without_words_the_limits_say_when():
    """The last of those that are used up."""
    arbiter = answered()
    arbiter.handle(limits(requests=0.5, tokens=4.0), 1.0)
    arbiter.handle(done(failed(code="rate_limit_exceeded")), 2.0)

    assert arbiter.poll(2.0) == [OwedAgain("q", "r1", "failed")]
    assert arbiter.deadline == 5.0


@pytest.mark.parametrize(
    "before", [[], [limits(tokens=0.5)], [limits(remaining=1, tokens=8.0)]], ids=["nothing", "over", "not reached"]
)
def test_a_limit_of_which_nothing_is_known_is_waited_for_a_second(before):
    arbiter = answered()
    for event in before:
        arbiter.handle(event, 0.0)
    arbiter.handle(done(failed(code="rate_limit_exceeded")), 2.0)

    arbiter.poll(2.0)

    assert arbiter.deadline == 3.0


@pytest.mark.parametrize("told_by", ["words", "limits"])
def test_nobody_waits_for_a_limit_that_takes_long(told_by):
    """The asker learns it at once, and how long it takes."""
    arbiter = answered()
    if told_by == "limits":
        arbiter.handle(limits(tokens=LONGEST_WAIT + 1), 1.0)
    words = "Please try again in 6m0s." if told_by == "words" else ""
    arbiter.handle(done(failed(code="rate_limit_exceeded", message=words)), 1.0)

    assert arbiter.poll(1.0) == [GivenUp("q", "failed", None, "r1")]


def test_other_failures_are_asked_about_at_once():
    arbiter = answered()
    arbiter.handle(done(failed(code="server_error")), 1.0)

    assert arbiter.poll(1.0) == [OwedAgain("q", "r1", "failed"), Ask("q")]


def test_what_is_owed_meanwhile_waits_for_the_limit_too():
    """It would only be refused as well."""
    arbiter = answered()
    arbiter.handle(done(failed(code="rate_limit_exceeded", message="try again in 2s")), 1.0)
    arbiter.poll(1.0)
    arbiter.owe("p", overrides=True)

    assert arbiter.poll(2.9) == []
    assert arbiter.poll(3.0) == [Ask("q")]


def test_a_create_that_a_limit_refused_is_sent_again_once():
    arbiter = refused("rate_limit_exceeded", "Please try again in 2s.")

    assert arbiter.poll(1.0) == []
    assert arbiter.poll(3.0) == [Ask("q")]

    arbiter.sent("q", "ev2", 3.0)
    again = ErrorDetails(type="tokens", message="", code="rate_limit_exceeded", event_id="ev2")
    arbiter.handle(Error(event_id="e", error=again), 4.0)

    assert arbiter.poll(4.0) == [GivenUp("q", "refused", again)]


@pytest.mark.parametrize("code", ["insufficient_quota", "unknown_parameter"])
def test_a_create_that_was_refused_for_good(code):
    (given_up,) = refused(code).poll(1.0)

    assert isinstance(given_up, GivenUp)
    assert given_up.reason == "refused"


def test_a_limit_that_nobody_waits_for_holds_nobody_for_ever():
    """The asker left meanwhile."""
    arbiter = answered()
    arbiter.handle(done(failed(code="rate_limit_exceeded", message="try again in 2s")), 1.0)
    arbiter.poll(1.0)
    arbiter.forget("q")

    assert arbiter.poll(3.0) == []
    assert arbiter.deadline == math.inf


@given(st.text(), st.text(), st.text())
def test_no_words_of_a_server_raise(code, kind, message):
    final = failed(code=code, type=kind, message=message)

    assert isinstance(failure(final), ResponseFailed)
