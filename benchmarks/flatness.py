"""How much a process holds, again and again, and whether that stays the same: memory, tasks, open files.

What a session holds is counted by following its attributes: that is exact, and knows nothing of caches and of what else
the process does. What the process takes of the machine's memory is coarse, and leaves nothing out.
"""

import ctypes
import ctypes.util
import gc
import os
import statistics
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import trio

__all__ = ["Flatness", "Sample", "held_by", "kilobytes", "take_sample"]

_OPAQUE = (types.ModuleType, type, bool, type(None))
# what is kept of the user's sound has a bound of its own: 1.4 MB, and less after a turn
_ELSEWHERE = ("realtime_trio.server", "realtime_trio.audio", "realtime_trio.core.kept")


@attrs.frozen
class Sample:
    """What a process holds at one moment.

    Attributes:
        at: When, in seconds.
        turns: How many turns there were by then.
        held: What the sessions hold, in bytes.
        memory: What the process takes of the machine's memory, in bytes.
        tasks: Trio's tasks.
        files: Open file descriptors.
    """

    at: float
    turns: int
    held: int
    memory: int
    tasks: int
    files: int

    @property
    def beside(self) -> int:
        """What the process takes beside what the sessions hold, in bytes."""
        return self.memory - self.held

    def __str__(self) -> str:
        return (
            f"{self.turns:6} turns, sessions hold {kilobytes(self.held)}, the process {self.memory / 1e6:.1f} MB, "
            f"{self.tasks} tasks, {self.files} files"
        )


def take_sample(at: float, turns: int, sessions: Iterable[object]) -> Sample:
    """Look at this process, after the garbage is gone."""
    gc.collect()
    if _trim is not None:
        _trim(0)
    memory = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    tasks = trio.lowlevel.current_statistics().tasks_living
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Sample(at, turns, sum(map(held_by, sessions)), memory, tasks, files)


def held_by(root: object) -> int:
    """Count the bytes that can be reached from an object of the library, without devices, servers and kept sound."""
    seen = {id(root)}
    found = deque([root])
    total = 0
    while found:
        value = found.popleft()
        total += sys.getsizeof(value)
        for inner in _inside(value):
            if id(inner) not in seen and not isinstance(inner, _OPAQUE):
                seen.add(id(inner))
                found.append(inner)
    return total


def _inside(value: object) -> Iterable[object]:
    home = type(value).__module__
    match value:
        case dict():
            return [*value.keys(), *value.values()]
        case list() | tuple() | set() | frozenset() | deque():
            return list(value)
        case types.MethodType():
            return [value.__self__]
        case types.FunctionType():
            return [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
        case _ if home.startswith("realtime_trio") and not home.startswith(_ELSEWHERE):
            return [getattr(value, name) for name in _attributes(value) if hasattr(value, name)]
        case _:
            return ()


def _attributes(value: object) -> set[str]:
    names = set(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    return names


def _is_empty(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return True
    return False


def _find_trim() -> Callable[[int], object] | None:
    """Find what gives memory back to the machine: else a process looks as large as it ever was."""
    library = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(library), "malloc_trim", None) if library else None


_trim = _find_trim()


def kilobytes(size: float) -> str:
    return f"{size / 1000:,.0f} kB"


@attrs.define
class Flatness:
    """The samples of a run, and what they say."""

    samples: list[Sample] = attrs.field(factory=list)
    from_turn: int = 0
    """Up to this one tables fill that have a size."""

    def late(self) -> list[Sample]:
        """The samples of the second half, and of no turn before `from_turn` where there are enough behind it."""
        half = self.samples[len(self.samples) // 2 :]
        behind = [sample for sample in half if sample.turns >= self.from_turn]
        return behind if len(behind) > 2 else half

    def slope(self, field: str) -> float:
        """How much of something comes with each turn, after Theil and Sen: the median of the slopes of all pairs."""
        late = self.late()
        pairs = [
            (getattr(b, field) - getattr(a, field)) / (b.turns - a.turns)
            for i, a in enumerate(late)
            for b in late[i + 1 :]
            if b.turns > a.turns
        ]
        return statistics.median(pairs) if pairs else 0.0

    def most_tasks(self) -> int:
        """By how many tasks a late sample is above the first one."""
        return max(sample.tasks for sample in self.late()) - self.samples[0].tasks
