"""What the benchmarks share: the machine in words, and timing that is fair to all. No figure is made here."""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

__all__ = ["load", "machine", "per_call", "percentile", "progress", "rounds_of", "spread", "table"]


def machine(*packages: str) -> str:
    """Say what the figures were taken on, with the versions of what was compared."""
    model = platform.processor() or "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"{model}, {cores} cores; Python {platform.python_version()}, {platform.system()}; {versions}; {load()}"


def load() -> str:
    """Say how busy the machine is: figures that were taken beside other work mean less."""
    if not hasattr(os, "getloadavg"):
        return "load not known here"
    return f"load {os.getloadavg()[0]:.1f} in the last minute"


def progress(text: str) -> None:
    """Show that something happens; results go to standard output in the end, too."""
    print(f"  … {text}", flush=True)


def per_call(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 15, seconds: float = 0.05
) -> dict[str, float]:
    """Measure the microseconds of CPU that one call takes, for each candidate.

    All of them take turns in every round, so that a busy moment of the machine hits them alike; the median counts.
    """
    calls = {name: _calibrate(function, seconds) for name, function in candidates.items()}
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, function in candidates.items():
            begin = time.process_time_ns()
            for _ in range(calls[name]):
                function()
            taken[name].append((time.process_time_ns() - begin) / calls[name] / 1000)
    return {name: statistics.median(values) for name, values in taken.items()}


def _calibrate(function: Callable[[], object], seconds: float) -> int:
    """Find how many calls take about that long; warms the caches on the way."""
    calls = 1
    while True:
        begin = time.process_time()
        for _ in range(calls):
            function()
        if time.process_time() - begin >= seconds / 2:
            return calls * 2
        calls *= 2


def percentile(values: Sequence[float], percent: float) -> float:
    """Find the value that so many per cent of the values do not exceed; never one that was not measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(title: str, unit: str, figures: Mapping[str, float], *, ours: str, digits: int = 1) -> None:
    """Print one comparison: each candidate's figure, and how many times ours it is."""
    width = max(len(name) for name in figures)
    print(f"\n{title}")
    for name, value in figures.items():
        ratio = "" if name == ours else f"   {value / figures[ours]:5.2f} times ours"
        print(f"  {name:<{width}}  {value:10.{digits}f} {unit}{ratio}")
    print(flush=True)


def spread(title: str, unit: str, figures: Mapping[str, Sequence[float]], *, digits: int = 2) -> None:
    """Print distributions: how many values, the median, the 99th percentile and the ends."""
    width = max(len(name) for name in figures)
    print(f"\n{title} ({unit})")
    print(f"  {'':<{width}}  {'number':>7} {'least':>9} {'median':>9} {'p99':>9} {'most':>9}")
    for name, values in figures.items():
        if not values:
            print(f"  {name:<{width}}  {0:>7}")
            continue
        shown = (min(values), statistics.median(values), percentile(values, 99), max(values))
        print(f"  {name:<{width}}  {len(values):>7} " + " ".join(f"{value:9.{digits}f}" for value in shown))
    print(flush=True)


def rounds_of(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Compare two sides round by round: the median of the ratios, the least and the greatest."""
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]
