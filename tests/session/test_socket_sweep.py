"""Sessions over real sockets are broken off at some steps; no task, thread, file, socket or child of theirs is left.

The server speaks and hears through processes of its own, where they are installed. The sweep over all steps is that of
`test_cancel_sweep`, in memory.
"""

import contextlib
import math
import os
import random
from collections import Counter
from pathlib import Path

import pytest
import trio
import trio.testing

from realtime_trio import open_server, open_session

from .breaking import Complaints, How, all_tasks, play_and_break_off, threads
from .scripts import HANDLES, SCRIPTS, Script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts what /proc tells"),  # noqa: PTH112 quicker
]

GUARD = 30  # seconds, of a busy machine
STEPS = 3 * int(os.environ.get("REALTIME_TRIO_SWEEP", "1"))


def children() -> set[str]:
    """All processes that this one started, and that were not waited for."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text("ascii").split()}


def files() -> Counter[str]:
    """What this process has open, by kind: a socket that replaces another one has another name."""
    kinds: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            kinds[os.readlink(descriptor).partition(":")[0]] += 1  # noqa: PTH115 not a path
    return kinds


def what_there_is() -> Counter[object]:
    """Count tasks, open files, children, threads, and what tools hold."""
    tasks = Counter(task.name for task in all_tasks())
    return tasks + files() + Counter(threads()) + Counter(children=len(children()), held=HANDLES.held)


async def break_off(script: Script, server, before: Counter[object], step: int | None, how: How) -> int:
    """Play a script, break it off at a step, see that nothing of it is left, and open a session; count the steps."""
    breaking = await play_and_break_off(script, step, how, None, {"url": server.url}, server=server)
    assert breaking.took < GUARD / 3
    await until_no_more_than(before)
    server.refuse(0)
    await open_one(server)
    await until_no_more_than(before)
    return breaking.steps


async def open_one(server) -> None:
    async with open_session(url=server.url) as session:
        await session.send_text("Still there.", when="now_silently")


async def until_no_more_than(before: Counter[object]) -> None:
    """Wait until nothing is left: the server notices that its client is gone a moment later.

    There may be less than before: a child that was interrupted is started again when it is needed.
    """
    with trio.move_on_after(GUARD / 3):
        while what_there_is() - before:  # noqa: ASYNC110 the system tells nobody
            await trio.sleep(0.01)
    assert what_there_is() - before == Counter()


async def sweep(script: Script, how: How) -> None:
    at_first = files() + Counter(threads()) + Counter(children())
    async with open_server(speed=math.inf) as server:
        await open_one(server)  # the server's own tasks are all there then
        await trio.testing.wait_all_tasks_blocked(0.05)
        before = what_there_is()
        total = await break_off(script, server, before, None, how)
        for step in sorted(random.Random(how).sample(range(1, total), min(STEPS, total - 1))):
            try:
                with trio.fail_after(GUARD):
                    await break_off(script, server, before, step, how)
            except BaseException as error:
                error.add_note(f"{how} at step {step} of {total}")
                raise
    await trio.lowlevel.checkpoint()
    assert (files() + Counter(threads()) + Counter(children())) - at_first == Counter()


@pytest.mark.parametrize("how", ["cancelled", "raises", "interrupted"])
@pytest.mark.parametrize("name", ["nothing", "streams", "tools", "own sound", "lost"])
def test_over_sockets(name: str, how: How) -> None:
    complaints = Complaints()
    with complaints.listening():
        trio.run(sweep, SCRIPTS[name], how)
    assert complaints.heard == []
