"""Runs `dying_program.py`, and looks at its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["LIMIT", "died", "seconds_of_an_empty_process"]

LIMIT = 1.0  # seconds; Python's own beginning and end, which a busy machine makes long, are measured beside it
GUARD = 30.0
PROGRAM = Path(__file__).with_name("dying_program.py")


def seconds_of_an_empty_process() -> float:
    """How long this machine takes at this moment to begin and end a process that does nothing."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import realtime_trio, trio"], check=True)
    return time.monotonic() - began


def died(
    way: str, *words: str, environment: Mapping[str, str] | None = None, reconnecting: bool = False
) -> tuple[float, str]:
    """Run the program, end it once its tool runs, and see that it ended so; give the seconds, and what it wrote.

    Args:
        way: "ctrl-c" or "error".
        *words: What the program is to be.
        environment: Its environment.
        reconnecting: Whether its link is lost before, and it tries to get another.
    """
    with _start("peer") as peer, _start(words[0], peer.stdout.readline().strip(), *words[1:], env=environment) as dying:
        try:
            assert dying.stdout.readline() == "the tool runs\n"
            if reconnecting:
                peer.kill()
                assert any("attempt 2" in line for line in dying.stderr)
            began = time.monotonic()
            dying.send_signal(signal.SIGINT if way == "ctrl-c" else signal.SIGUSR1)
            _, errors = dying.communicate(timeout=GUARD)
            took = time.monotonic() - began
        finally:
            dying.kill()
            peer.kill()
    assert errors.rstrip().splitlines()[-1] == ("KeyboardInterrupt" if way == "ctrl-c" else "RuntimeError: the body's")
    assert dying.returncode == (-signal.SIGINT if way == "ctrl-c" and os.name == "posix" else 1)
    return took, errors


def _start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=None if env is None else dict(env),
    )
