"""Which ends of a link are worth another attempt, and how long is waited before it."""

import math
import ssl

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from realtime_trio.core.reconnect import LIVED, LONGEST_RETRY_AFTER, Backoff, Fatal, ReconnectPolicy, Retry, verdict
from realtime_trio.errors import (
    AccountRefused,
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    NotAcknowledged,
    Refused,
    RemoteProtocolError,
    ServerError,
    SessionExpired,
)

SECONDS = st.floats(0, 1000, allow_nan=False)
POLICIES = st.builds(
    lambda attempts, waits: ReconnectPolicy(attempts=attempts, first_wait=min(waits), longest_wait=max(waits)),
    st.integers(1, 12),
    st.tuples(SECONDS, SECONDS),
)
CHANCE = st.lists(st.floats(0, 1, exclude_max=True), min_size=20, max_size=20)


def caused(problem, cause):
    problem.__cause__ = cause
    return problem


def distrusted():
    """What the transport raises for a certificate: ours, of Trio's, of TLS's."""
    verification = ssl.SSLCertVerificationError("certificate verify failed")
    verification.verify_code = 18
    return caused(ConnectError("the certificate is not accepted"), caused(OSError("broken"), verification))


@pytest.mark.parametrize("code", [None, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015])
def test_a_link_that_the_world_or_the_server_lost_is_tried_again(code):
    assert verdict(ConnectionClosed(code)) == Retry(None)


@pytest.mark.parametrize("reason", ["stalled", "keepalive"])
def test_a_link_that_was_noticed_here_to_be_dead_is_tried_again(reason):
    assert verdict(ConnectionClosed(1006, reason)) == Retry()


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 4000, 4999])
def test_a_close_that_means_this_session_is_final(code):
    assert verdict(ConnectionClosed(code, "no")) == Fatal()


def test_a_session_that_is_too_old_goes_on_with_a_new_link():
    """Whatever code the server found for that."""
    assert [verdict(SessionExpired(code)) for code in (1001, 1000, 1008)] == [Retry()] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426, 451])
def test_a_refusal_of_this_client_is_final(status):
    assert verdict(Refused("no", status=status, retry_after=3)) == Fatal()


@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 502, 503, 599])
def test_a_refusal_for_now_is_tried_again_when_the_server_says(status):
    assert verdict(Refused("no", status=status, retry_after=3)) == Retry(3)
    assert verdict(Refused("no", status=status)) == Retry(None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"error": {"code": "insufficient_quota"}}', Fatal()),
        ("You exceeded your current quota, please check your plan and billing details.", Fatal()),
        ('{"error": {"code": "billing_hard_limit_reached"}}', Fatal()),
        (
            "Rate limit reached. You can add a payment method at https://platform.openai.com/account/billing.",
            Retry(7),
        ),
    ],
)
def test_too_many_requests_pass_by_and_an_empty_account_does_not(body, expected):
    assert verdict(Refused("no", status=429, body=body, retry_after=7)) == expected


def test_no_network_is_tried_again_and_a_foreign_certificate_is_not():
    assert verdict(caused(ConnectError("no name"), OSError("no name"))) == Retry()
    assert verdict(caused(ConnectError("no TLS"), ssl.SSLError("wrong version"))) == Retry()
    assert verdict(distrusted()) == Fatal()


def test_a_server_that_does_not_answer_in_time_is_tried_again():
    assert verdict(NotAcknowledged("no session.created")) == Retry()
    assert verdict(ServerError("The server had an error", type="server_error")) == Retry()


@pytest.mark.parametrize(
    "problem",
    [
        ServerError("no such model", type="invalid_request_error"),
        ConfigurationError("no key"),
        AccountRefused("no", response_id=None),
        RemoteProtocolError("not an event"),
        ZeroDivisionError(),
    ],
)
def test_whatever_else_happens_would_only_happen_again(problem):
    assert verdict(problem) == Fatal()


@given(POLICIES, CHANCE, st.lists(st.none() | SECONDS, min_size=20, max_size=20))
def test_waits_stay_between_half_and_whole_of_a_doubling_and_end(policy, chance, asked):
    """Whatever chance and the server say."""
    given_chance = iter(chance)
    backoff = Backoff(policy, lambda: next(given_chance))

    waits = []
    while (wait := backoff.next(asked[len(waits)])) is not None:
        waits.append(wait)

    assert len(waits) == policy.attempts == backoff.attempts
    assert backoff.next() is None
    for attempt, (wait, after) in enumerate(zip(waits, asked, strict=False)):
        whole = min(policy.first_wait * 2 ** (attempt - 1), policy.longest_wait) if attempt else policy.first_wait / 4
        least = whole / 2 if attempt else 0
        wanted = min(after or 0, LONGEST_RETRY_AFTER)
        assert max(least, wanted) <= wait or wait == pytest.approx(max(least, wanted))
        assert wait <= max(whole, wanted) or wait == pytest.approx(max(whole, wanted))


def test_the_defaults_take_about_half_a_minute():
    """Long enough for a router that starts anew, short enough for somebody who waits."""
    longest = Backoff(ReconnectPolicy(), lambda: 1.0)

    assert [longest.next() for _ in range(9)] == [0.125, 0.5, 1, 2, 4, 8, 8, 8, None]


def test_the_longest_wait_that_a_server_can_ask_for_is_a_minute():
    backoff = Backoff(ReconnectPolicy(first_wait=100, longest_wait=200), lambda: 0.0)

    assert [backoff.next(3600), backoff.next(3600), backoff.next(None)] == [60, 60, 100]
    assert Backoff(ReconnectPolicy(), lambda: 0.0).next(math.nan) == 0


@given(st.integers(1, 5), st.floats(0, 100) | st.just(LIVED))
def test_a_link_that_lived_starts_the_count_anew(attempts, seconds):
    backoff = Backoff(ReconnectPolicy(attempts=attempts), lambda: 1.0)
    while backoff.next() is not None:
        pass

    backoff.lived(seconds)

    assert backoff.next() == (0.125 if seconds >= LIVED else None)


def test_the_doubling_never_overflows():
    backoff = Backoff(ReconnectPolicy(attempts=5000, first_wait=1, longest_wait=1e6), lambda: 1.0)

    assert [backoff.next() for _ in range(5000)][-1] == 1e6


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 2.5},
        {"attempts": True},
        {"attempts": None},
        {"first_wait": -1},
        {"first_wait": math.nan},
        {"first_wait": "1"},
        {"first_wait": 9},
        {"longest_wait": math.inf},
        {"longest_wait": 0.25},
        {"keep_audio": -0.1},
        {"keep_audio": math.inf},
        {"max_age": 0},
        {"max_age": math.nan},
        {"max_age": False},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused_at_once(wrong):
    (name,) = wrong

    with pytest.raises(ConfigurationError, match=name.replace("_", ".")):
        ReconnectPolicy(**wrong)


@given(st.integers(1, 10**9), SECONDS, SECONDS, SECONDS, st.floats(1e-3, math.inf))
def test_every_other_policy_is_taken(attempts, first, longest, kept, age):
    assume(first <= longest)

    policy = ReconnectPolicy(attempts=attempts, first_wait=first, longest_wait=longest, keep_audio=kept, max_age=age)

    assert (policy.attempts, policy.max_age) == (attempts, age)
