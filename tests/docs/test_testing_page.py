"""The tests in docs/testing.md are a project of their own here, run by its own pytest; its tables are the code's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from realtime_trio import open_server, open_session, tool
from realtime_trio.testing import Line, faults, fixtures, open_talker

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
(INI,) = re.findall(r"^```ini\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
(SHOWN,) = re.findall(r"^```\n(   .*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
LIMIT = 120  # seconds


@tool
async def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"21.5 degrees in {city}"


async def record_report(folder):
    """Have the talk of the report, as a user would have had it."""
    async with (
        open_talker() as talker,
        open_server(listen=False, recogniser=talker.recogniser) as server,
        open_session(
            connect=server.connect, url=server.url, audio=talker.device, tools=[get_weather], record=folder,
            turn_detection="server_vad", transcription="whisper-1",
        ) as session,
    ):  # fmt: skip
        await talker.talk(session, ["what is the weather in Lima"])


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    (tmp_path / "reports").mkdir()
    trio.run(record_report, tmp_path / "reports" / "17", clock=trio.testing.MockClock(autojump_threshold=0))
    conftest, *tests = BLOCKS
    assert conftest.startswith("# conftest.py")
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(INI, encoding="utf-8")
    (tmp_path / "test_page.py").write_text("\n\n".join(tests), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip

    number = sum(block.count("def test_") for block in tests)
    assert number == 10
    assert f"\n{number} passed" in done.stdout, done.stdout + done.stderr


async def test_the_talk_on_the_page_is_had(autojump_clock):
    """To the tenth of a second."""
    async with (
        open_talker() as talker,
        open_server(listen=False, recogniser=talker.recogniser) as server,
        open_session(
            connect=server.connect, url=server.url, audio=talker.device, interruption="confirm",
            turn_detection="server_vad", transcription="whisper-1",
        ) as session,
    ):  # fmt: skip
        lines = [Line("uh-huh", over=1.2, mumbled=True), Line("stop that", at_word="eight")]
        assert str(await talker.talk(session, ["count to twenty", *lines])) == SHOWN.rstrip("\n")


def test_every_fixture_stands_in_the_table():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [
        "talker",
        "offline_server",
        "offline_options",
        "listening_server",
        "scripted_peer",
        "faulty_proxy",
        "fake_device",
        "session_from_recording",
    ]
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(fixtures.__all__)


def test_every_line_and_fault_of_the_page_is_one():
    lines = re.findall(r'`(Line\("[^`]*\))`', PAGE)
    assert len(lines) == 8
    for line in lines:
        eval(line, {"Line": Line})  # noqa: S307 - our own documentation
    named = PAGE.partition("`Cut`")[2].partition("happen now")[0]
    for fault in re.findall(r"`(\w+)`", "`Cut`" + named):
        assert fault in faults.__all__
