"""What C libraries print past Python is out of the way while the screen is drawn, and not lost."""

import os
import subprocess
import sys

import pytest

from realtime_trio.demo.stderr_log import StderrLog

# a process of its own: pytest has a hand on standard error too
SCRIPT = """
import os, sys
from realtime_trio.demo.stderr_log import StderrLog
log = StderrLog()
print("before", file=sys.stderr)
try:
    with log.aside():
        print("from Python", file=sys.stderr, end="\\n")
        os.write(2, b"ALSA lib pcm.c: underrun occurred\\n")
        os.system("echo from a child >&2")
        {inside}
except RuntimeError:
    pass
print("after", file=sys.stderr)
print(log.text, end="")
"""


def run(inside="pass", **options):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(inside=inside)],
        capture_output=True, text=True, timeout=60, check=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("inside", ["pass", "raise RuntimeError"])
def test_all_of_it_goes_aside_and_comes_back(inside):
    done = run(inside)

    assert done.stderr == "before\nafter\n"
    assert done.stdout == "from Python\nALSA lib pcm.c: underrun occurred\nfrom a child\n"


def test_of_very_much_the_end_is_kept():
    done = run('os.write(2, b"".join(b"underrun %d\\n" % number for number in range(10_000)))')

    lines = done.stdout.splitlines()
    assert 100 < len(lines) < 500
    assert lines[-1] == "underrun 9999"
    assert all(line.startswith("underrun ") for line in lines), "no line is torn"


def test_where_there_is_no_room_for_it_nothing_changes(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    log = StderrLog()
    before = os.fstat(2)

    with log.aside():
        assert os.path.samestat(os.fstat(2), before)

    assert log.text == ""
