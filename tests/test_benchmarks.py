"""The benchmarks run to their end, in a short form, however Python is started. What they measure is not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(program, cwd):
    command = [sys.executable, "-P", *program]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decode", "imports"])
def test_the_short_ones_print_ratios_also_with_a_safe_path(name, tmp_path):
    done = run([BENCHMARKS / f"{name}.py", "--quick"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert "times ours" in done.stdout


@pytest.mark.slow
def test_sessions_are_measured_against_all_others_plain_and_with_tls(tmp_path):
    done = run([BENCHMARKS / "sessions.py", "--quick"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert all(f"round 1 of 1, {way}: realtime_trio" in done.stdout for way in ("plain", "TLS"))


@pytest.mark.slow
def test_interruptions_are_found_by_content_alone_and_busy(tmp_path):
    done = run([BENCHMARKS / "interruptions.py", "--quick"], tmp_path)

    assert (0, 1) == (done.returncode, done.stdout.count("Truncation error")), done.stderr
    assert "realtime_trio: beyond one block 0 times" in done.stdout
    assert "realtime_trio: silent" in done.stdout
    assert "more claimed than was received 0 times" in done.stdout
    assert "realtime_trio played something else" not in done.stdout


@pytest.mark.slow
def test_sound_is_followed_both_ways_through_the_library(tmp_path):
    done = run([BENCHMARKS / "latency.py", "--quick"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert "ms to the socket" in done.stdout


@pytest.mark.slow
def test_the_words_that_were_heard_are_held_against_the_truth(tmp_path):
    done = run([BENCHMARKS / "heard_text.py", "--quick"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert "Words wrong, babble voice, 10 moments" in done.stdout


@pytest.mark.slow
def test_a_guard_is_held_against_the_truth_and_its_price_told(tmp_path):
    done = run([BENCHMARKS / "guard.py", "--quick"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert "no guard" in done.stdout
    assert "How much of a forbidden word is heard" in done.stdout
    assert "The same in sessions with a device, 2 words" in done.stdout


@pytest.mark.slow
def test_a_session_lives_for_a_while_and_what_it_holds_is_told(tmp_path):
    done = run([BENCHMARKS / "hours.py", "virtual", "--hours", "0.1", "--drops", "60"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0), done.stdout
    assert " tasks, " in done.stdout
    assert "calls with one output each" in done.stdout
    assert "lost links" in done.stdout


@pytest.mark.slow
def test_floods_of_deltas_are_measured(tmp_path):
    done = run([BENCHMARKS / "million.py", "--quick"], tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert [line.split(":")[0] for line in done.stdout.splitlines()[1:]] == [
        f"10,000 deltas of {kind}" for kind in ("transcript", "sound", "text")
    ]
