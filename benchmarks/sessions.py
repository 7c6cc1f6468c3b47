"""How much CPU twenty voice sessions take: ours, the official client, openai-agents and a bare socket loop.

Each session sends 10 ms of audio every 10 ms and gets 100 ms of audio every 100 ms, over a loopback socket, plain and
with TLS. Every side runs in a fresh process (`session_clients.py`), the sides take turns, and only the CPU time of the
client's process in the steady part is counted. The bare loop keeps nothing, checks nothing and ends no response.
*Device* is ours with a device of its own in each session: capture, playout, and the count of what was heard, which the
others leave to the program. `--quick` is one short round, to see that it works: its figures mean nothing.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from measuring import machine, progress, rounds_of, table
from session_clients import AGENTS, BARE, BLOCK, DEVICE, OURS, SDK, SESSIONS

ROUNDS, SECONDS = 3, 3.0
CLIENTS, SERVER = (Path(__file__).with_name(f"{name}.py") for name in ("session_clients", "paced_server"))
PLAIN, TLS = "plain", "TLS"
KINDS = {PLAIN: (OURS, BARE, SDK, AGENTS, DEVICE), TLS: (OURS, BARE, SDK, AGENTS)}
QUICK_KINDS = {PLAIN: (OURS, BARE, DEVICE), TLS: (OURS, SDK, AGENTS)}
AIM = 0.6


@contextlib.contextmanager
def server():
    """Start the server in its own process; give the URL of each way, and the environment that trusts it."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Path(folder, "authority.pem")
        command = [sys.executable, SERVER, "1200", authority]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                plain, secure = process.stdout.readline().split()
                urls = {
                    PLAIN: f"ws://127.0.0.1:{plain}/v1/realtime",
                    TLS: f"wss://127.0.0.1:{secure}/v1/realtime",
                }
                yield urls, os.environ | {"SSL_CERT_FILE": str(authority), "OPENAI_AGENTS_DISABLE_TRACING": "1"}
            finally:
                process.terminate()


def measure(kind, url, environment, seconds, sessions):
    """Run one side; None when it could not keep pace: this machine has too much else to do."""
    command = [sys.executable, CLIENTS, kind, url, str(seconds), str(sessions)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        _, said, figures = done.stderr.partition("did not keep pace")
        if not said:
            raise RuntimeError(f"{kind} failed:\n{done.stderr}")
        progress(f"{kind} {said}{figures.splitlines()[0]}")
        return None
    return float(done.stdout)


def take_turns(all_kinds, rounds, seconds, sessions):
    """Let all sides take turns, a fresh process each time; who was first is last in the next round."""
    taken = {way: {kind: [] for kind in kinds} for way, kinds in all_kinds.items()}
    with server() as (urls, environment):
        for number in range(rounds):
            for way, kinds in all_kinds.items():
                for kind in kinds if number % 2 else reversed(kinds):
                    taken[way][kind].append(measure(kind, urls[way], environment, seconds, sessions))
                figures = (f"{kind} {taken[way][kind][-1] or 0:.1f}" for kind in kinds)
                progress(f"round {number + 1} of {rounds}, {way}: {', '.join(figures)}")
    return taken


def report(way, taken):
    """Print the medians, and the ratios of the rounds in which both sides kept pace."""
    figures = {kind: statistics.median(known) for kind, values in taken.items() if (known := values_of(values))}
    if OURS not in figures:
        print(f"\nour sessions kept pace in no round ({way}): this machine has too much else to do\n")
        return
    title = f"CPU of one of {SESSIONS} paced sessions, for each second of it, {BLOCK * 1000:.0f} ms blocks, {way}"
    table(title, "ms", figures, ours=OURS, digits=2)
    for kind in (kind for kind in (SDK, AGENTS, BARE) if kind in taken):
        pairs = [(one, other) for one, other in zip(taken[OURS], taken[kind], strict=True) if one and other]
        if pairs:
            median, least, most = rounds_of(*zip(*pairs, strict=True))
            aim = f", aim at most {AIM}" if kind == SDK else ""
            print(f"  a whole session takes {median:.2f} times {kind}'s (rounds: {least:.2f} to {most:.2f}{aim})")
    print(flush=True)


def values_of(values):
    return [value for value in values if value is not None]


def main(*options):
    """Measure plain and TLS."""
    print(machine("realtime_trio", "trio", "trio-websocket", "msgspec", "openai", "openai-agents", "websockets"))
    quick = "--quick" in options
    taken = take_turns(QUICK_KINDS, 1, 0.3, 3) if quick else take_turns(KINDS, ROUNDS, SECONDS, SESSIONS)
    for way, figures in taken.items():
        report(way, figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
