"""Sessions of every kind are broken off at any step; nothing of them is left, and the next one opens.

A step is one turn of Trio's scheduler given to a task of the session's, or to its body: what can be broken off changes
in steps. Short scripts are cancelled at each of theirs, from opening to closing. All scripts are broken off in each way
at a sample of their steps, the same in every run (though Trio shuffles the tasks of a turn, so that no two runs are
alike); REALTIME_TRIO_SWEEP=100 takes a hundred times as many, and long.

The next session is opened in the same run, over a link that is well, and with the same device.
"""

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import open_server, open_session
from realtime_trio.testing import FakeDevice

from .links import BreakableLinks, Peer
from .scripts import HANDLES, SCRIPTS, Script

How = Literal["cancelled", "raises", "interrupted"]

TIMES = int(os.environ.get("REALTIME_TRIO_SWEEP", "1"))
SHORT = (
    *("ask", "history", "streams", "changes", "approvals by hook", "hosted tools", "guard", "budget", "own sound"),
    "nothing",
)
ALL = sys.maxsize
WITHIN = 1.7  # seconds: a second for what waits to be sent, half a second for the peer's CLOSE, and the fade


class Boom(Exception):
    """The body's own."""


class AtStep(trio.abc.Instrument):
    """Does something at the n-th step, from now, of a task that the session has, or of the body's."""

    def __init__(self, step: int | None, act: Callable[[], object]) -> None:
        self.steps = 0
        self.body = range(1)  # those of them that the body took
        self.acted_at: float | None = None
        self._step, self._act = step, act
        self._main = trio.lowlevel.current_task()
        self._theirs = set(self._main.child_nurseries)  # the server's, and the device's
        self._is_ours: dict[trio.lowlevel.Task, bool] = {}

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Find out whose it is: whatever the main task opened from now on is the session's."""
        nursery = task.parent_nursery
        while nursery is not None and nursery.parent_task is not self._main:
            nursery = nursery.parent_task.parent_nursery
        self._is_ours[task] = nursery is not None and nursery not in self._theirs

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is not self._main and not self._is_ours.get(task, False):
            return
        self.steps += 1
        if self.steps == self._step:
            self.acted_at = trio.current_time()
            self._act()


class Complaints(logging.Handler):
    """Collects what should not be said: errors in logs, warnings, exceptions that nobody could raise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))

    @contextmanager
    def listening(self) -> Iterator[None]:
        root, hook = logging.getLogger(), sys.unraisablehook
        root.addHandler(self)
        sys.unraisablehook = lambda unraisable: self.heard.append(f"unraisable: {unraisable.exc_value!r}")
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                yield
                gc.collect()
            self.heard += [f"warning: {one.message}" for one in warned]
        finally:
            root.removeHandler(self)
            sys.unraisablehook = hook


def all_tasks() -> set[trio.lowlevel.Task]:
    """Every task of the run."""
    found, root = set(), trio.lowlevel.current_root_task()
    waiting = [root]
    while waiting:
        task = waiting.pop()
        found.add(task)
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


def threads() -> set[threading.Thread]:
    """All threads but Trio's, which it keeps for a while."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Trio")}


def open_files() -> set[str]:
    """All descriptors that this process has open, by number, where the system lets us see them."""
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()  # noqa: PTH112, PTH208 quicker


async def play(
    script: Script, links: BreakableLinks, device: FakeDevice | None, inner: trio.CancelScope, breaking: AtStep
) -> None:
    """Play a script in a session; what cancels `inner` becomes an exception of the body's."""
    async with open_session(connect=links.connect, audio=device, **script.options()) as session:
        begun = breaking.steps
        try:
            with inner:
                await script.play(session, device)
        finally:
            breaking.body = range(begun, breaking.steps + 1)
        if inner.cancel_called:
            raise Boom


async def break_off(script: Script, step: int | None, how: How, peer: Peer) -> AtStep:
    """Play a script, break it off at a step, look for what is left; give what counted the steps.

    Where the peer is to be dead or stalled, it is so from that step on.
    """
    device = FakeDevice(block_ms=40, output_latency_ms=20) if script.voice else None
    outer, inner = trio.CancelScope(), trio.CancelScope()
    acts = {
        "cancelled": outer.cancel,
        "raises": inner.cancel,
        "interrupted": lambda: signal.raise_signal(signal.SIGINT),
    }
    came_out: BaseException | None = None
    async with open_server(listen=False, **script.server()) as server, trio.open_nursery() as nursery:
        if device is not None:
            nursery.start_soon(device.run)
        await wait_all_tasks_blocked()
        before = all_tasks()
        links = BreakableLinks(server)

        def break_now() -> None:
            links.peer = peer
            acts[how]()

        breaking = AtStep(step, break_now)
        with outer:
            trio.lowlevel.add_instrument(breaking)
            try:
                await play(script, links, device, inner, breaking)
                await trio.lowlevel.checkpoint()  # where a Ctrl-C of the last step comes out
            except trio.Cancelled as error:
                came_out = error
                raise
            except BaseException as error:  # noqa: BLE001, ASYNC103 looked at below
                came_out = error
            finally:
                trio.lowlevel.remove_instrument(breaking)
        left_at = trio.current_time()
        if how == "interrupted":
            try:
                await trio.lowlevel.checkpoint()
            except KeyboardInterrupt as error:
                came_out = error
        was_broken_off = check_what_came_out(script, breaking, how, came_out)
        came_out = None
        if was_broken_off:
            assert left_at - breaking.acted_at <= WITHIN
        await wait_all_tasks_blocked()
        assert {task.name for task in all_tasks() - before} == set()
        assert device is None or not device.is_open
        assert HANDLES.held == 0
        links.peer = "well"
        async with open_session(connect=links.connect, audio=device, drain=False) as session:
            await session.send_text("Still there.", when="now_silently")
        nursery.cancel_scope.cancel()
    return breaking


def check_what_came_out(script: Script, breaking: AtStep, how: How, error: BaseException | None) -> bool:
    """See that it is one exception, plain, and of the kind that it has to be; tell whether breaking off made it."""
    by_itself = script.ends_with or type(None)
    if breaking.acted_at is None:
        assert type(error) is by_itself, error
        return False
    if how == "interrupted":
        if script.has_nursery and isinstance(error, BaseExceptionGroup):  # Trio's own, around a nursery of the body's
            while isinstance(error, BaseExceptionGroup):
                (error,) = error.exceptions
        assert type(error) is KeyboardInterrupt, error
        return True
    expected = {"cancelled": trio.Cancelled, "raises": Boom}[how]
    assert type(error) in (expected, by_itself), error  # the body may have been over, with only the goodbye to come
    return type(error) is expected


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


def sweep(name: str, how: How, peer: Peer, most: int) -> None:
    """Break a script off at so many of its steps, evenly drawn; at all of them if it has no more."""
    script = SCRIPTS[name]
    undisturbed = rehearse(script, None, how)
    total = undisturbed.steps
    steps = undisturbed.body if how == "raises" else range(1, total + 1)
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
    sweep(name, how, peer, TIMES * (1 if SCRIPTS[name].voice else 3))


def test_short_scripts_are_short() -> None:
    """Those that are broken off at each of their steps: else the sweep takes long."""
    for name in SHORT:
        assert rehearse(SCRIPTS[name], None, "cancelled").steps < 400
