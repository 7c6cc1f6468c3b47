"""Sessions of every kind are broken off at any step; nothing of them is left, and the next one opens.

A step is one turn of Trio's scheduler given to a task of the session's, or to its body: what can be broken off changes
in steps. Short scripts are cancelled at each of theirs, from opening to closing (where opening is nothing special, from
the body on). All scripts are broken off in each way
at a sample of their steps, the same in every run (though Trio shuffles the tasks of a turn, so that no two runs are
alike); REALTIME_TRIO_SWEEP=100 takes a hundred times as many, and long.

The next session is opened in the same run, over a link that is well, and with the same device.
"""

import gc
import os
import random
import sys
from collections.abc import Iterator
from functools import cache

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import open_server, open_session
from realtime_trio.testing import FakeDevice

from .breaking import AtStep, Complaints, How, all_tasks, open_files, play_and_break_off, threads
from .links import BreakableLinks, Peer
from .scripts import HANDLES, SCRIPTS, Script

TIMES = int(os.environ.get("REALTIME_TRIO_SWEEP", "1"))
SHORT = ("nothing", "ask", "history", "streams", "changes", "guard", "budget", "own sound")
ALL = sys.maxsize
WITHIN = 0.7  # seconds: half a second for the peer's CLOSE, and the fade


async def break_off(script: Script, step: int | None, how: How, peer: Peer) -> AtStep:
    """Play a script, break it off at a step, look for what is left; give what counted the steps.

    Where the peer is to be dead or stalled, it is so from that step on.
    """
    device = FakeDevice(block_ms=40, output_latency_ms=20) if script.voice else None
    async with open_server(listen=False, **script.server()) as server, trio.open_nursery() as nursery:
        if device is not None:
            nursery.start_soon(device.run)
        await wait_all_tasks_blocked()
        before = all_tasks()
        links = BreakableLinks(server)
        where = {"connect": links.connect}
        breaking = await play_and_break_off(
            script, step, how, device, where, server=server, before=lambda: links.become(peer)
        )
        assert breaking.took <= WITHIN
        await wait_all_tasks_blocked()
        assert {task.name for task in all_tasks() - before} == set()
        assert device is None or not device.is_open
        assert HANDLES.held == 0
        links.become("well")
        server.refuse(0)
        async with open_session(**where, audio=device, drain=False) as session:
            await session.send_text("Still there.", when="now_silently")
        nursery.cancel_scope.cancel()
    return breaking


def rehearse(script: Script, step: int | None, how: How, peer: Peer = "well") -> AtStep:
    complaints = Complaints()
    before = threads(), open_files()  # other tests of this process have threads too, PortAudio's for example
    with complaints.listening():
        breaking = trio.run(break_off, script, step, how, peer, clock=MockClock(autojump_threshold=0))
    assert complaints.heard == []
    assert threads() <= before[0]
    assert open_files() <= before[1]
    return breaking


@pytest.fixture(autouse=True, scope="module")
def _little_garbage() -> Iterator[None]:
    """Let the garbage collector look at what a run made, and not at all the modules there are."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@cache
def undisturbed(name: str) -> tuple[int, range]:
    """Play a script to its end, once; count the steps, and tell which are the body's."""
    counted = rehearse(SCRIPTS[name], None, "cancelled")
    return counted.steps, counted.body


def sweep(name: str, how: How, peer: Peer, most: int) -> None:
    """Break a script off at so many of its steps, evenly drawn; at all of them if it has no more."""
    script = SCRIPTS[name]
    total, body = undisturbed(name)
    steps = body if how == "raises" else range(1, total + 1)
    if most == ALL and name not in ("nothing", "history"):
        steps = range(body.start, total + 1)  # they open as "nothing" does
    if len(steps) > most:
        steps = sorted(random.Random(f"{name} {how} {peer}").sample(steps, most))
    for step in steps:
        try:
            rehearse(script, step, how, peer)
        except BaseException as error:
            error.add_note(f"{name!r} {how} at step {step} of {total}, the peer {peer}")
            raise


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_session_is_cancelled_at_any_step(name: str) -> None:
    sweep(name, "cancelled", "well", ALL if name in SHORT else TIMES * (5 if SCRIPTS[name].voice else 12))


@pytest.mark.parametrize("how", ["raises", "interrupted"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_session_is_broken_off_at_any_step(name: str, how: How) -> None:
    sweep(name, how, "well", TIMES * (2 if SCRIPTS[name].voice else 5))


@pytest.mark.parametrize("peer", ["dead", "stalled"])
@pytest.mark.parametrize("how", ["cancelled", "raises", "interrupted"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_session_is_broken_off_at_any_step_while_its_peer_is_gone(name: str, how: How, peer: Peer) -> None:
    sweep(name, how, peer, TIMES * (1 if SCRIPTS[name].voice else 2))


def test_short_scripts_are_short() -> None:
    """Those that are broken off at each of their steps: else the sweep takes long."""
    for name in SHORT:
        assert undisturbed(name)[0] < 400
