"""The programs and commands in docs/recording.md run, on the offline server; its tables are the code's."""

import ast
import inspect
import re
import shlex
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

import realtime_trio
from realtime_trio import Recording, open_server, tool
from realtime_trio.audio import ClockedDevice
from realtime_trio.recording import read_recording
from realtime_trio.replay.__main__ import main
from realtime_trio.testing import open_talker

PAGE = (Path(__file__).parents[2] / "docs" / "recording.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^python -m realtime_trio\.replay (.*)$", PAGE, flags=re.MULTILINE)


@tool
async def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"21.5 degrees in {city}"


async def record_talk(folder):
    async with (
        open_talker() as talker,
        open_server(listen=False, recogniser=talker.recogniser) as server,
        realtime_trio.open_session(
            connect=server.connect, url=server.url, audio=talker.device, tools=[get_weather], record=folder,
            turn_detection="server_vad", transcription="whisper-1",
        ) as session,
    ):  # fmt: skip
        await talker.talk(session, ["what is the weather in Lima"])


@asynccontextmanager
async def open_session(**options):
    """Open a session as the page does, to the offline server."""
    async with (
        open_server(listen=False) as server,
        realtime_trio.open_session(connect=server.connect, url=server.url, **options) as session,
    ):
        yield session


async def test_the_page_runs(tmp_path, monkeypatch, capsys, autojump_clock):
    monkeypatch.chdir(tmp_path)
    await record_talk("reports/17")
    names = {"open_session": open_session, "SoundCard": ClockedDevice, "Recording": Recording, "customer": "Lima"}
    for block in BLOCKS:
        code = compile(block, "docs/recording.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        coroutine = eval(code, names)  # noqa: S307 - our own documentation
        if inspect.iscoroutine(coroutine):
            await coroutine

    assert len(BLOCKS) == 4
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" +0\.\d{3} session\.created", printed[0])
    assert read_recording("recordings/monday").header["format"] == 1
    await names["test_report_17"](None)


def test_the_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trio.run(record_talk, "recordings/monday", clock=trio.testing.MockClock(autojump_threshold=0))

    said = {}
    for command in COMMANDS:
        assert main(shlex.split(command, comments=True)) == 0
        said[command.split("#")[0].strip()] = capsys.readouterr().out
    assert len(said) == 5
    assert said["recordings"].count("\n") == 2  # a line for the only one that is there, and one for its first words
    assert "the weather in lima" in said["recordings/monday"]
    assert "all is well" in said["--check recordings"]
    assert "was played to its end" in said["--play recordings/monday"]
    assert Path("monday.html").stat().st_size > 100_000


def test_the_files_are_those_of_the_page(tmp_path):
    trio.run(record_talk, tmp_path / "it", clock=trio.testing.MockClock(autojump_threshold=0))

    table = PAGE.partition("## The files")[2].partition("\nEach line")[0]
    named = re.findall(r"`([\w.]+\.(?:jsonl|raw|wav))`", table)
    assert sorted(named) == sorted(path.name for path in (tmp_path / "it").iterdir())
