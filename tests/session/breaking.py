"""Breaks sessions off at a step, sees that what comes out is what has to, and tells what there is in this process.

Which sessions, over which links, at which steps, and what is compared, is in the sweeps.
"""

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import trio

from realtime_trio import open_session
from realtime_trio.server import Server
from realtime_trio.testing import FakeDevice

from .scripts import Script

__all__ = ["AtStep", "Complaints", "How", "all_tasks", "open_files", "play_and_break_off", "threads"]

How = Literal["cancelled", "raises", "interrupted"]


class Boom(Exception):
    """The body's own."""


class AtStep(trio.abc.Instrument):
    """Does something at the n-th step, from now, of a task that the session has, or of the body's."""

    def __init__(self, step: int | None, act: Callable[[], object]) -> None:
        self.steps = 0
        self.body = range(1)  # those of them that the body took
        self.acted_at: float | None = None
        self.took = 0.0  # seconds from then to the end of the session's block
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


async def play_and_break_off(
    script: Script,
    step: int | None,
    how: How,
    device: FakeDevice | None,
    where: Mapping[str, Any],
    *,
    server: Server,
    before: Callable[[], object] = lambda: None,
) -> AtStep:
    """Play a script in a session, break it off at a step, and see that one exception comes out, of the right kind.

    Args:
        script: What is played.
        step: At which step; None lets it come to its end.
        how: What happens then.
        device: The session's, which is driven by others.
        where: Keywords of `open_session` that say where the server is.
        server: For scripts that want it.
        before: Called at that step, before it is broken off.

    Returns:
        What counted the steps; with `took`, if it was broken off in fact.
    """
    outer, inner = trio.CancelScope(), trio.CancelScope()
    acts = {
        "cancelled": outer.cancel,
        "raises": inner.cancel,
        "interrupted": lambda: signal.raise_signal(signal.SIGINT),
    }
    breaking = AtStep(step, lambda: (before(), acts[how]()))
    came_out: BaseException | None = None
    with outer:
        trio.lowlevel.add_instrument(breaking)
        try:
            await _play(script, {**where, "audio": device}, server if script.with_server else device, inner, breaking)
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
    if _check_what_came_out(script, breaking, how, came_out):
        breaking.took = left_at - breaking.acted_at
    came_out = None
    return breaking


async def _play(
    script: Script, options: Mapping[str, Any], beside: object, inner: trio.CancelScope, breaking: AtStep
) -> None:
    """Play a script in a session; what cancels `inner` becomes an exception of the body's."""
    async with open_session(**options, **script.options()) as session:
        begun = breaking.steps
        try:
            with inner:
                await script.play(session, beside)
        finally:
            breaking.body = range(begun, breaking.steps + 1)
        if inner.cancel_called:
            raise Boom


def _check_what_came_out(script: Script, breaking: AtStep, how: How, error: BaseException | None) -> bool:
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
