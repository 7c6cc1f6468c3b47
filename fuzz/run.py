"""Search for bytes that break a target, guided by coverage: `run.py TARGET SECONDS [CORPUS]`; `nox -s fuzz` runs it.

A finding is written to a file `crash-...` in the working directory, which `run.py TARGET FILE` plays again.
"""

import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["realtime_trio"]):
    import targets


def main() -> None:
    """Fuzz, or play one finding again."""
    logging.disable()  # what a session says of such a server is of no interest here
    name, what, *rest = sys.argv[1:]
    target = targets.TARGETS[name]
    if not what.isdigit():
        target(Path(what).read_bytes())
        return
    arguments = [sys.argv[0], f"-max_total_time={what}", "-timeout=30", "-rss_limit_mb=2048", "-max_len=65536", *rest]
    atheris.Setup(arguments, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
