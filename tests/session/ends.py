"""What the tests of docs/endings.md share: which rows have one, and a session of which nothing may be left."""

import math
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio import open_session
from realtime_trio.testing import FakeDevice

__all__ = ["COVERED", "GUARD", "Boom", "Stage", "row", "rows_of_the_page"]

PAGE = Path(__file__).parents[2] / "docs" / "endings.md"
COVERED: set[str] = set()
GUARD = 10  # seconds, where the clock is the real one


def row(*ends: str) -> Callable:
    """Say which rows of the page a test stands for, by their first column."""
    COVERED.update(ends)
    return lambda function: function


def rows_of_the_page() -> dict[str, list[str]]:
    """The rows of all its tables: the first column, and the others."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    rows = [row for row in cells if row[0] != "what happens"]
    assert len({first for first, *_ in rows}) == len(rows)
    return {first: rest for first, *rest in rows}


class Boom(Exception):
    """The user's own."""


def our_tasks(task: trio.lowlevel.Task) -> set[str]:
    """Name the tasks below one, those of the other side left out: they may be stalled for ever."""
    below = {child.name for nursery in task.child_nurseries for child in nursery.child_tasks}
    return {name for name in below if not name.startswith(("realtime_trio.testing.", "realtime_trio.server."))}


class Stage:
    """A session that ends in some way, and the time that it took from the fault to the end of the block."""

    def __init__(self) -> None:
        self.device = FakeDevice()
        self.broke_at = math.nan
        self.took = math.nan

    def breaks(self) -> None:
        self.broke_at = trio.current_time()

    @asynccontextmanager
    async def session(self, peer, *, voice=True, **options):
        """Open one with a device that keeps time; at its end nothing may be left of it."""
        before = our_tasks(trio.lowlevel.current_task())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.device.run)
            try:
                audio = self.device if voice else None
                async with open_session(
                    connect=peer.connect, url=peer.url, audio=audio, **{"reconnect": None, **options}
                ) as session:
                    yield session
            except Exception as error:  # noqa: BLE001 it goes past the nursery, which would group it
                failure = error
            else:
                failure = None
            finally:
                self.took = trio.current_time() - self.broke_at
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert our_tasks(trio.lowlevel.current_task()) == before
        assert not self.device.is_open
        if failure is not None:
            raise failure
