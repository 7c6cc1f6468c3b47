"""How long imports take in a fresh Python, against `openai`: the package alone, and all that opening a session needs.

Both are measured, since the official SDK puts off loading its realtime part until it is used. `--quick` is one
round, to see that it works.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from measuring import machine, progress, table

OURS, SDK, NOTHING = "realtime_trio", "openai", "nothing"
PROGRAMS = {
    (NOTHING, NOTHING): "pass",
    ("the package", OURS): "import realtime_trio",
    ("the package", SDK): "import openai",
    ("what opens a session", OURS): "from realtime_trio import open_session",
    ("what opens a session", SDK): "from openai import AsyncOpenAI; AsyncOpenAI(api_key='none').realtime",
}
ROUNDS = 15


def run(program):
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
    return (time.perf_counter() - begin) * 1000


def main(*options):
    """Take turns, so that disk caches and busy moments are shared; the first round only warms up."""
    print(machine(OURS, SDK))
    taken = {case: [] for case in PROGRAMS}
    rounds = 1 if "--quick" in options else ROUNDS
    for number in range(rounds + 1):
        if number % 5 == 0:
            progress(f"importing, round {number} of {rounds}")
        for case, program in PROGRAMS.items():
            milliseconds = run(program)
            if number:
                taken[case].append(milliseconds)
    empty = statistics.median(taken[NOTHING, NOTHING])
    for what in ("the package", "what opens a session"):
        figures = {name: statistics.median(taken[what, name]) - empty for name in (OURS, SDK)}
        table(f"Import {what} (less the {empty:.0f} ms that Python takes to start)", "ms", figures, ours=OURS, digits=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
