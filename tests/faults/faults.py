"""Chooses what goes wrong: from a seed, and from how many bytes pass when nothing does."""

import random

import attrs

from realtime_trio import ReconnectPolicy
from realtime_trio.testing import Cut, Delay, Fault, HalfClose, Merge, Reset, Split, Stall

Totals = tuple[int, int]
"""How many bytes go up and down in an undisturbed run."""

Plan = dict[int, tuple[Fault, ...]]
"""The faults of each link, the first being 1."""

_AFTERWARDS = 6000  # bytes: a new link is being told what there is
_LITTLE = 50_000  # bytes, that may be sent one by one


@attrs.frozen
class Trouble:
    """What a conversation has to live with.

    Attributes:
        plan: The faults of each link.
        policy: How old a link may become; None for the default.
        session_seconds: When the server ends each session by itself; None for never.
    """

    plan: Plan
    policy: ReconnectPolicy | None = None
    session_seconds: float | None = None


def choose(seed: object, totals: Totals) -> Trouble:
    """Choose what goes wrong on each link, and how old one may become.

    Args:
        seed: The same one makes the same choice.
        totals: See there.
    """
    source = random.Random(f"faults {seed}")
    little = max(totals) < _LITTLE
    plan = {1: _of_one_link(source, totals, little=little)}
    while source.random() < 0.25:
        plan[len(plan) + 1] = _of_one_link(source, (_AFTERWARDS, _AFTERWARDS), little=little)
    match source.choices(("stays", "ages", "expires"), (75, 15, 10))[0]:
        case "ages":
            return Trouble(plan, ReconnectPolicy(max_age=source.uniform(3, 12)))
        case "expires":
            return Trouble(plan, session_seconds=source.uniform(4, 12))
        case _:
            return Trouble(plan)


def choose_rotation(seed: object, totals: Totals) -> Trouble:
    """Choose how old links become, so that they are replaced all the time, and what goes wrong on every other one."""
    source = random.Random(f"rotation {seed}")
    age = source.uniform(2, 6)
    share = (round(totals[0] * age / 10), round(totals[1] * age / 10))  # the conversations take about ten seconds
    choices = {1: share} | dict.fromkeys(range(2, 8), (_AFTERWARDS, _AFTERWARDS))
    plan = {
        number: _of_one_link(source, bytes_of, little=max(totals) < _LITTLE)
        for number, bytes_of in choices.items()
        if source.random() < 0.5
    }
    if source.random() < 0.5:
        return Trouble(plan, ReconnectPolicy(max_age=age))
    return Trouble(plan, session_seconds=age)


def _of_one_link(source: random.Random, totals: Totals, *, little: bool) -> tuple[Fault, ...]:
    direction = source.choice(("up", "down"))
    where = {"direction": direction, "after": source.randrange(totals[direction == "down"])}
    kind = source.choices(("cut", "reset", "half", "stall", "silence", "dead", "slow"), (30, 15, 15, 10, 10, 10, 10))[0]
    faults: list[Fault] = []
    match kind:
        case "cut":
            faults = [Cut(**where)]
        case "reset":
            faults = [Reset(**where)]
        case "half":
            faults = [HalfClose(**where)]
        case "stall":
            faults = [Stall(**where, seconds=source.uniform(0.1, 4))]
        case "silence":
            faults = [Stall(**where)]
        case "dead":
            faults = [Stall(**where, both=True)]
    if kind == "slow" or source.random() < 0.3:
        way = source.choice(("up", "down"))
        faults += [
            source.choice(
                (
                    Delay(direction=way, seconds=source.uniform(0.01, 0.4)),
                    Split(direction=way, size=source.choice((1, 7)) if little else 1000),
                    Merge(direction=way, seconds=source.uniform(0.01, 0.1)),
                )
            )
        ]
    return tuple(faults)
