"""Conversations over links that fail anywhere: each comes to what it comes to without faults, but for what is reported.

Every run follows from its number: which conversation it is, what goes wrong at which byte, and (in memory) in which
order Trio's tasks run. `nox -s faults -- 1000` plays more of them. What fails says how to play it once more.
"""

import functools
import os
import sys
import time
from collections.abc import Callable

import pytest
import trio

from .conversations import CONVERSATIONS
from .faults import Plan, Totals, Trouble, choose, choose_rotation
from .judging import complaints
from .playing import Outcome, play, play_over_sockets

ASKED = os.environ.get("REALTIME_TRIO_FAULTS", "300")  # how many; or one alone, as a failure names it
PROGRESS = 10.0  # seconds from one word of how far it is to the next
OVER_SOCKETS, AT_A_TIME = 30, 10
TYPED, SPOKEN = (
    ["typed", "edited", "beside", "background"],
    ["by_voice", "keyed", "barging_in", "in_doubt", "read_aloud", "not_transcribed"],
)
KINDS: dict[str, Callable[[object, Totals], Trouble]] = {"anywhere": choose, "rotating": choose_rotation}
SHARE = {"anywhere": 0.8, "rotating": 0.2}


@functools.cache
def undisturbed(name: str) -> Outcome:
    outcome = play(CONVERSATIONS[name], seed=f"{name}, undisturbed")
    assert complaints(outcome, outcome) == []
    assert len(outcome.totals) == 1
    return outcome


def trouble(kind: str, name: str, number: int) -> Trouble:
    return KINDS[kind](f"{name} {number}", undisturbed(name).totals[0])


def judge(outcome: Outcome, kind: str, name: str, number: int) -> list[str]:
    """Say what is wrong with an outcome, and how to have it once more."""
    found = complaints(outcome, undisturbed(name))
    if not found:
        return []
    return [
        *found,
        f"what went wrong: {trouble(kind, name, number)}",
        f"links lost: {[str(one.problem) for one in outcome.lost]}",
        f"links that followed: {outcome.reconnected}",
        f"once more: REALTIME_TRIO_FAULTS={kind}:{name}:{number} python -m pytest tests/faults",
    ]


def numbers(kind: str, name: str) -> range:
    """Which numbers are played of a conversation."""
    if ASKED.isdigit():
        return range(max(1, round(int(ASKED) * SHARE[kind] / len(CONVERSATIONS))))
    wanted_kind, _, rest = ASKED.partition(":")
    wanted, _, number = rest.partition(":")
    return range(int(number), int(number) + 1) if (wanted_kind, wanted) == (kind, name) else range(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_in_memory(kind: str, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever goes wrong at whichever byte, in virtual time."""
    todo = numbers(kind, name)
    told_at = time.monotonic()
    for number in todo:
        outcome = play(CONVERSATIONS[name], trouble(kind, name, number), seed=f"{kind} {name} {number}")
        found = judge(outcome, kind, name, number)
        assert found == [], "\n".join(found)
        if time.monotonic() - told_at > PROGRESS:
            told_at = time.monotonic()
            with capfd.disabled():
                print(f"{kind}, {name}: {number + 1} of {len(todo)}", file=sys.stderr, flush=True)  # noqa: T201


@pytest.mark.slow
@pytest.mark.skipif(not ASKED.isdigit(), reason="one alone is played, in memory")
def test_over_sockets() -> None:
    """The same through the kernel, in real time, some at a time: what is where when a link fails, no seed decides."""
    todo = [(name, 1000 + number) for number, name in enumerate([*TYPED * 6, *SPOKEN])]  # speaking takes its time
    assert len(todo) == OVER_SOCKETS
    plans = [(name, number, trouble("anywhere", name, number).plan) for name, number in todo]
    found: list[str] = []

    async def play_all() -> None:
        places = trio.CapacityLimiter(AT_A_TIME)

        async def play_one(name: str, number: int, plan: Plan) -> None:
            async with places:
                outcome = await play_over_sockets(CONVERSATIONS[name], Trouble(plan))
                found.extend(judge(outcome, "anywhere", name, number))

        async with trio.open_nursery() as nursery:
            for one in plans:
                nursery.start_soon(play_one, *one)

    trio.run(play_all)
    assert found == [], "\n".join(found)
