"""When a limit is reached, and how often that is told."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.budget import Budget, Watch
from realtime_trio.errors import ConfigurationError


@given(
    st.lists(st.integers(0, 50), max_size=30),
    st.integers(1, 300),
    st.integers(1, 100).map(lambda percent: percent / 100),
)
def test_each_limit_is_told_once_and_after_its_warning(steps, limit, warn_at):
    """However much is spent at once."""
    watch = Watch(Budget(tokens=limit, warn_at=warn_at))
    spent, told = 0, []
    for step in steps:
        spent += step
        told += watch.check({"tokens": spent})

    warnings = [crossing for crossing in told if not crossing.is_over]
    over = [crossing for crossing in told if crossing.is_over]

    assert len(over) == (spent >= limit)
    assert len(warnings) == (warn_at < 1 and spent * 100 >= limit * round(warn_at * 100))
    assert told == warnings + over
    for crossing in over:
        assert crossing.spent >= crossing.limit == limit


def test_kinds_are_apart():
    watch = Watch(Budget(money="0.10", tokens=100, turns=2, minutes=10, warn_at=0.5))

    crossings = watch.check({"money": Decimal("0.049"), "tokens": 100, "turns": 1, "minutes": 4.9})

    assert [(one.kind, one.is_over) for one in crossings] == [("tokens", False), ("tokens", True), ("turns", False)]


def test_money_is_exact():
    """Three times a tenth is three tenths."""
    watch = Watch(Budget(money=0.3, warn_at=1))

    assert watch.check({"money": Decimal("0.2999999999999999999999")}) == []
    (crossing,) = watch.check({"money": Decimal("0.1") * 3})
    assert crossing.is_over


def test_a_timer_that_fires_a_rounding_too_early_has_reached_its_moment():
    watch = Watch(Budget(minutes=0.7))
    warning, end = watch.moments()

    assert [one.is_over for one in watch.check({"minutes": warning - 1e-12})] == [False]
    assert [one.is_over for one in watch.check({"minutes": end - 1e-12})] == [True]
    assert Watch(Budget(turns=1)).moments() == []


@pytest.mark.parametrize(
    ("budget", "spent", "words"),
    [
        (Budget(money="5"), Decimal("5.0200"), "the budget of 5 EUR is spent (5.0200)"),
        (Budget(tokens=1000), 1203, "the budget of 1000 tokens is spent (1203)"),
        (Budget(minutes=1.5), 1.5, "the budget of 1.5 minutes is spent (1.5)"),
        (Budget(turns=1), 1, "the budget of 1 turns is spent (1)"),
    ],
)
def test_the_error_says_what_it_is_about(budget, spent, words):
    ((kind, limit),) = budget.limits.items()
    error = Watch(budget).check({kind: spent})[-1].error("EUR")

    assert str(error).startswith(words)
    assert (error.kind, error.spent, error.limit) == (kind, spent, limit)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "without a limit"),
        ({"money": -1}, "money"),
        ({"money": "much"}, "money"),
        ({"money": float("nan")}, "money"),
        ({"tokens": 0}, "tokens"),
        ({"tokens": 1.5}, "tokens"),
        ({"turns": True}, "turns"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": float("inf")}, "minutes"),
        ({"minutes": "1"}, "minutes"),
        ({"turns": 1, "warn_at": 0}, "warn_at"),
        ({"turns": 1, "warn_at": 1.1}, "warn_at"),
        ({"turns": 1, "then": "stop"}, "then"),
    ],
)
def test_what_is_no_budget_is_refused(wrong, words):
    with pytest.raises(ConfigurationError, match=words):
        Budget(**wrong)
