"""Sessions of every kind are broken off at any step; nothing of them is left, and the next one opens.

A step is one turn of Trio's scheduler given to any task, the server's included: whatever can be seen from outside
changes in steps. Each script is broken off at a sample of them, the same in every run (though Trio shuffles the tasks
of a turn, so that no two runs are alike); REALTIME_TRIO_SWEEP=100 takes nearly all of them, which takes long.
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

from .scripts import HANDLES, SCRIPTS, Script

How = Literal["cancelled", "raises", "interrupted"]

# How many steps of one script, without and with a device; REALTIME_TRIO_SWEEP=20 takes twenty times as many.
MOST_STEPS: dict[How, tuple[int, int]] = {"cancelled": (12, 5), "raises": (5, 2), "interrupted": (5, 2)}
TIMES = int(os.environ.get("REALTIME_TRIO_SWEEP", "1"))
OFTENER = ("ask", "streams", "tools")
WITHIN = 1.7  # seconds: a second for what waits to be sent, half a second for the peer's CLOSE, and the fade


class Boom(Exception):
    """The body's own."""


class AtStep(trio.abc.Instrument):
    """Does something at the n-th step from now."""

    def __init__(self, step: int | None, act: Callable[[], object]) -> None:
        self.steps = 0
        self.acted_at: float | None = None
        self._step, self._act = step, act

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
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


async def play(script: Script, server, device: FakeDevice | None, inner: trio.CancelScope) -> None:
    """Play a script in a session; what cancels `inner` becomes an exception of the body's."""
    async with open_session(connect=server.connect, url=server.url, audio=device, **script.options()) as session:
        with inner:
            await script.play(session, device)
        if inner.cancel_called:
            raise Boom


async def break_off(script: Script, step: int | None, how: How) -> int:
    """Play a script, break it off at a step, look for what is left; tell how many steps there were."""
    device = FakeDevice(block_ms=40, output_latency_ms=20) if script.voice else None
    outer, inner = trio.CancelScope(), trio.CancelScope()
    acts = {
        "cancelled": outer.cancel,
        "raises": inner.cancel,
        "interrupted": lambda: signal.raise_signal(signal.SIGINT),
    }
    breaking = AtStep(step, acts[how])
    came_out: BaseException | None = None
    async with open_server(listen=False, **script.server()) as server, trio.open_nursery() as nursery:
        if device is not None:
            nursery.start_soon(device.run)
        await wait_all_tasks_blocked()
        before = all_tasks()
        with outer:
            trio.lowlevel.add_instrument(breaking)
            try:
                await play(script, server, device, inner)
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
        async with open_session(connect=server.connect, url=server.url, audio=device, drain=False) as session:
            await session.send_text("Still there.", when="now_silently")
        nursery.cancel_scope.cancel()
    return breaking.steps


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


def rehearse(script: Script, step: int | None, how: How) -> int:
    complaints = Complaints()
    before = threads()  # other tests of this process have their own, PortAudio's for example
    with complaints.listening():
        steps = trio.run(break_off, script, step, how, clock=MockClock(autojump_threshold=0))
    assert complaints.heard == []
    assert threads() <= before
    return steps


@pytest.fixture(autouse=True, scope="module")
def _little_garbage() -> Iterator[None]:
    """Let the garbage collector look at what a run made, and not at all the modules there are."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("how", ["cancelled", "raises", "interrupted"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_session_is_broken_off_at_any_step(name: str, how: How) -> None:
    script = SCRIPTS[name]
    total = rehearse(script, None, how)
    steps = range(1, total + 1)
    most = TIMES * MOST_STEPS[how][script.voice] * (5 if name in OFTENER and how == "cancelled" else 1)
    if total > most:
        steps = sorted(random.Random(f"{name} {how}").sample(steps, most))
    for step in steps:
        try:
            rehearse(script, step, how)
        except BaseException as error:
            error.add_note(f"{name!r} {how} at step {step} of {total}")
            raise
