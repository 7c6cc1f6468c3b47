"""How long `import realtime_trio` takes in a fresh Python, against `import openai`."""

import statistics
import subprocess
import sys
import time

from measuring import machine, progress, table

OURS, SDK, NOTHING = "realtime_trio", "openai", "(an empty program)"
PROGRAMS = {OURS: "import realtime_trio", SDK: "import openai", NOTHING: "pass"}
ROUNDS = 15


def run(program):
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
    return time.perf_counter() - begin


def main():
    """Take turns, so that disk caches and busy moments are shared; the first round only warms up."""
    print(machine(OURS, SDK))
    taken = {name: [] for name in PROGRAMS}
    for round_number in range(ROUNDS + 1):
        if round_number % 5 == 0:
            progress(f"importing, round {round_number} of {ROUNDS}")
        for name, program in PROGRAMS.items():
            seconds = run(program)
            if round_number:
                taken[name].append(seconds)
    empty = statistics.median(taken.pop(NOTHING))
    figures = {name: (statistics.median(values) - empty) * 1000 for name, values in taken.items()}
    table(
        f"Import (less the {empty * 1000:.0f} ms that Python itself takes to start)", "ms", figures, ours=OURS, digits=0
    )


if __name__ == "__main__":
    main()
