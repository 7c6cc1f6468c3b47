"""When a link is replaced because of its age."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.rotation import Rotation

LIFETIMES = st.floats(1, 100_000)
MOMENTS = st.floats(0, 200_000)
STATES = st.fixed_dictionaries({"quiet": st.booleans(), "generating": st.booleans(), "ready": st.booleans()})
RANK = {"wait": 0, "open": 1, "swap": 1}


def test_an_hour_goes_by_as_it_is_written():
    """Opened two minutes before, changed over in silence, from half a minute before between responses."""
    plan = Rotation(3600.0, 100.0)

    assert (plan.opens_at, plan.impatient_at, plan.hasty_at, plan.limit) == (3580, 3670, 3695, 3700)
    assert plan.step(3579, quiet=True, generating=False, ready=False) == "wait"
    assert plan.step(3580, quiet=False, generating=True, ready=False) == "open"
    assert plan.step(3581, quiet=True, generating=False, ready=True) == "swap"
    assert plan.step(3669, quiet=False, generating=False, ready=True) == "wait"
    assert plan.step(3670, quiet=False, generating=False, ready=True) == "swap"
    assert plan.step(3670, quiet=False, generating=True, ready=True) == "wait"
    assert plan.step(3695, quiet=False, generating=True, ready=True) == "swap"
    assert plan.step(3695, quiet=False, generating=True, ready=False) == "open"


def test_ten_seconds_go_by_in_the_same_way():
    plan = Rotation(10.0, 0.0)

    assert (plan.opens_at, plan.impatient_at, plan.hasty_at) == pytest.approx((9.0, 9.75, 9.95))


@pytest.mark.parametrize(
    ("expires_at", "server_time", "lifetime"),
    [
        (1_000_600.0, 1_000_000.0, 600),
        (1_009_000.0, 1_000_000.0, 3600),
        (1_000_600.0, None, 3600),
        (None, 1_000_000.0, 3600),
        (1_000_000.0, 1_000_000.0, 3600),
        (0.0, 1_000_000.0, 3600),
    ],
)
def test_the_server_can_make_a_life_shorter_and_nothing_else(expires_at, server_time, lifetime):
    """By its own clock: that of this machine may be wrong. What makes no sense does not count."""
    assert Rotation(3600.0, 50.0, expires_at, server_time).limit == 50 + lifetime


def test_no_limit_means_never():
    plan = Rotation(math.inf, 5.0)

    assert plan.step(1e9, quiet=True, generating=False, ready=False) == "wait"
    assert plan.deadline(1e9) == math.inf


@given(LIFETIMES, MOMENTS, STATES)
def test_between_two_deadlines_nothing_changes_by_itself(lifetime, now, state):
    """Who looks again at each deadline, and when something happens, misses nothing."""
    plan = Rotation(lifetime, 0.0)
    until = plan.deadline(now)

    last = min(math.nextafter(until, 0), 1e9)

    assert until > now
    assert plan.step(last, **state) == plan.step(now, **state)


@given(LIFETIMES, st.lists(MOMENTS, min_size=2, max_size=2), STATES)
def test_time_only_makes_it_more_urgent(lifetime, moments, state):
    plan = Rotation(lifetime, 0.0)

    steps = [plan.step(now, **state) for now in sorted(moments)]

    assert RANK[steps[0]] <= RANK[steps[1]]


@given(LIFETIMES, st.booleans(), st.booleans())
def test_whatever_goes_on_it_is_done_before_the_limit(lifetime, quiet, generating):
    plan = Rotation(lifetime, 0.0)
    moments, now = [], 0.0
    while (now := plan.deadline(now)) < math.inf:
        moments.append(now)

    assert plan.step(moments[0], quiet=quiet, generating=generating, ready=False) == "open"
    assert plan.step(moments[-1], quiet=quiet, generating=generating, ready=True) == "swap"
    assert 0 < moments[0] < moments[-1] < plan.limit
    assert lifetime - moments[0] <= min(120, lifetime / 10) * (1 + 1e-6)


@given(LIFETIMES, MOMENTS, st.booleans(), st.booleans())
def test_nothing_is_swapped_that_is_not_ready(lifetime, now, quiet, generating):
    assert Rotation(lifetime, 0.0).step(now, quiet=quiet, generating=generating, ready=False) != "swap"
