"""`python -m realtime_trio.replay --play`: the user's side of a recording against the offline server."""

import os
import subprocess
import sys

import pytest
import trio
import trio.testing

from realtime_trio.recording import read_recording
from realtime_trio.replay import tell
from realtime_trio.replay.__main__ import main

from .talks import talk, talk_by_key, talk_over_links, talk_typed


def record(talk, folder):
    trio.run(talk, folder, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


def test_a_talk_with_a_device_is_played(folder, capsys):
    record(talk, folder)
    before = sorted(path.name for path in folder.iterdir())

    assert main([str(folder), "--play"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert "device ClockedDevice" in lines[0]
    for words in ("what is the weather in paris", "count to twenty", "what is twelve times three"):
        assert f'"{words}" (' in printed  # understood as then
    assert 'get_weather({"city": "Paris"}) -> {"celsius":5}' in printed
    assert '"12 times 3 is 36."' in printed
    assert "3 turns of the user, 4 responses, 1 tool call, 1 interruption, 0 problems" in lines
    length = tell(read_recording(folder)).length
    assert lines[-1].startswith(f"{folder} ({length:.1f} s) was played to its end")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_typed_turns_are_played(folder, capsys):
    record(talk_typed, folder)

    assert main([str(folder), "--play"]) == 0
    printed = capsys.readouterr().out
    assert "no device" in printed
    assert '"What is the weather in Paris?"' in printed
    assert "-> rain in Paris" in printed
    assert '"12 times 3 is 36."' in printed


@pytest.mark.parametrize(
    ("which", "words"), [(talk_by_key, "what is twelve times three"), (talk_over_links, "count to")]
)
def test_other_talks_are_played(which, words, folder, capsys):
    """By key; over several links, of which the offline server cuts none."""
    record(which, folder)

    assert main([str(folder), "--play"]) == 0
    printed = capsys.readouterr().out
    assert f'"{words}' in printed
    assert ", 0 problems" in printed
    assert "lost" not in printed


def test_what_cannot_be_played_is_said(folder, capsys):
    record(talk_by_key, folder)
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(line for line in lines if '"kind":"key"' not in line))

    assert main([str(folder), "--play"]) == 2
    told = capsys.readouterr()
    assert "was not played to its end" in told.err
    assert "push-to-talk" in told.err
    assert told.out == ""


def test_one_at_a_time(tmp_path, capsys):
    for name in ("one", "two"):
        record(talk_typed, tmp_path / name)

    assert main([str(tmp_path), "--play"]) == 2
    assert "name one of 2" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--play", "--check"])
    assert "ask one at a time" in capsys.readouterr().err


def test_it_is_a_command(folder):
    record(talk_typed, folder)
    done = subprocess.run(
        [sys.executable, "-m", "realtime_trio.replay", folder, "--play"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "was played to its end" in done.stdout
    assert done.stderr == ""
