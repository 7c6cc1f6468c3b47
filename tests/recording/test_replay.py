"""A recording told again: the timeline, the check, and the command."""

import json
import subprocess
import sys

import pytest

from realtime_trio import open_server, open_session
from realtime_trio.recording import read_recording
from realtime_trio.replay import check, tell, timeline
from realtime_trio.replay.__main__ import main

from .talks import talk


async def test_the_timeline_says_who_said_what(folder, autojump_clock):
    await talk(folder)
    story = tell(read_recording(folder))
    said = [(turn.who, turn.text) for turn in story.turns if turn.text]

    assert [words for who, words in said if who == "user"] == [
        "what is the weather in paris",
        "count to twenty",
        "what is twelve times three",
    ]
    assert [who for who, _ in said] == ["user", "assistant"] * 3
    assert "5" in said[1][1]  # degrees, as many as Paris has letters
    assert said[3][1].startswith("One, two, three")
    (run,) = story.tools
    assert (run.name, json.loads(run.arguments), json.loads(run.output)) == (
        "get_weather",
        {"city": "Paris"},
        {"celsius": 5},
    )
    assert run.finished_at - run.started_at == pytest.approx(0.2, abs=0.05)

    moments = timeline(story)
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    assert not any(moment.wrong for moment in moments)
    (cut,) = [moment for moment in moments if moment.who == "interruption"]
    assert "speech_started" in cut.words
    assert "One, two," in cut.words
    assert "twenty" not in cut.words


async def test_the_story_knows_what_was_heard_and_when(folder, autojump_clock):
    await talk(folder)
    story = tell(read_recording(folder))
    answers = [turn for turn in story.turns if turn.who == "assistant" and turn.spoken]
    weather, counting, sum_ = ([part] for part in story.parts)

    assert [turn.id for turn in answers] == [part.response_id for part in story.parts]
    assert weather[0].heard == weather[0].samples
    assert counting[0].heard == counting[0].cut < counting[0].samples / 2
    assert sum_[0].heard == sum_[0].samples
    for turn, part in zip(answers, story.parts, strict=True):
        assert turn.at == part.played[0].begins > part.first_at
        assert turn.latency["total_ms"] == pytest.approx(
            sum(ms for stage, ms in turn.latency.items() if stage != "total_ms"), abs=1
        )
    users = [turn for turn in story.turns if turn.who == "user"]
    assert users[0].at == pytest.approx(0.0, abs=0.4)
    # the words, and neither the sound before them nor the silence that ends a turn
    assert [user.until - user.at for user in users] == pytest.approx([1.0] * 3, abs=0.15)
    assert (answers[1].at - users[1].until) * 1000 == pytest.approx(answers[1].latency["total_ms"], abs=60)
    assert answers[1].until == pytest.approx(users[2].at, abs=0.5)


async def test_a_session_that_went_well_passes_the_check(folder, autojump_clock):
    await talk(folder)

    assert check(read_recording(folder)) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("cut the last line", "the last line is torn"),
        ("no last line", "there is no last line"),
        ("no received audio", "received.raw has 0 bytes"),
        ("more sent audio", "no line refers to"),
        ("a broken line", "cannot be read"),
        ("no sound of the device", "device.wav ends before"),
        ("no output", "the call get_weather (call_"),
        ("output twice", "has 2 outputs"),
        ("nothing heard", "were neither heard nor cut"),
        ("heard twice", "was heard twice"),
        ("no cut", "were neither heard nor cut"),
        ("an endless response", "never ended"),
        ("an error", "server_error: it broke"),
        ("a line gone", "is not referred to without gaps"),
    ],
)
async def test_the_check_finds(damage, words, folder, autojump_clock):  # noqa: C901, PLR0912 one case a damage
    await talk(folder)
    events = folder / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)

    def without(*marks):
        return [line for line in lines if not all(mark in line for mark in marks)]

    match damage:
        case "cut the last line":
            lines[-1] = lines[-1][:10]
        case "no last line":
            lines.pop()
        case "no received audio":
            (folder / "received.raw").write_bytes(b"")
        case "more sent audio":
            (folder / "sent.raw").write_bytes((folder / "sent.raw").read_bytes() + b"more")
        case "a broken line":
            lines[20] = "{oops\n"
        case "no sound of the device":
            (folder / "device.wav").write_bytes(b"")
        case "no output":
            lines = without('"kind":"sent"', "function_call_output")
        case "output twice":
            (output,) = [n for n, line in enumerate(lines) if '"kind":"sent"' in line and "call_output" in line]
            lines.insert(output, lines[output])
        case "nothing heard":
            lines = without('"kind":"played"')
        case "heard twice":
            played = next(n for n, line in enumerate(lines) if '"kind":"played"' in line)
            lines.insert(played, lines[played])
        case "no cut":
            lines = without('"kind":"cut"')
        case "an endless response":
            lines = without('"type":"response.done"', '"cancelled"')
        case "an error":
            error = {"type": "error", "error": {"type": "server_error", "message": "it broke"}}
            at = json.loads(lines[-2])["at"]
            lines.insert(-1, json.dumps({"at": at, "kind": "received", "link": 1, "event": error}) + "\n")
        case "a line gone":
            lines.remove([line for line in lines if '"type":"input_audio_buffer.append"' in line][3])
    events.write_text("".join(lines))

    found = check(read_recording(folder))
    assert any(words in finding.words for finding in found), found


async def test_the_command_prints_a_recording(folder, capsys, autojump_clock):
    await talk(folder)

    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert '"count to twenty"' in printed
    assert 'get_weather({"city": "Paris"}) -> {"celsius":5}' in printed
    assert "3 turns of the user, 4 responses, 1 tool call, 1 interruption, 0 problems" in printed
    assert "ms until it was heard (turn detection" in printed


async def test_the_command_lists_a_folder_of_recordings(tmp_path, capsys, autojump_clock):
    await talk(tmp_path / "one")
    await talk(tmp_path / "two")

    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("3 turns of the user") == 2
    assert printed.index(str(tmp_path / "one")) < printed.index(str(tmp_path / "two"))


async def test_a_folder_with_one_recording_is_listed_too(tmp_path, capsys, autojump_clock):
    await talk(tmp_path / "one")

    assert main([str(tmp_path)]) == 0
    first, words = capsys.readouterr().out.splitlines()
    assert first.startswith(str(tmp_path / "one"))
    assert words.strip() == '"what is the weather in paris"'


async def test_the_check_has_exit_codes(tmp_path, capsys, autojump_clock):
    await talk(tmp_path / "one")
    await talk(tmp_path / "two")
    assert main(["--check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("all is well") == 2

    with (tmp_path / "one" / "events.jsonl").open("a") as file:
        file.write("{")
    assert main(["--check", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "the last line is torn" in printed
    assert printed.count("all is well") == 1


@pytest.mark.parametrize("what", ["nothing", "empty", "file", "other format", "no header"])
def test_what_is_no_recording_is_said(what, tmp_path, capsys):
    folder = tmp_path / "it"
    if what != "nothing":
        folder.mkdir()
    match what:
        case "file":
            folder.rmdir()
            folder.write_text("hello")
        case "other format":
            (folder / "events.jsonl").write_text('{"at":0,"kind":"recording","format":99}\n')
        case "no header":
            (folder / "events.jsonl").write_text("{}\n")

    assert main([str(folder)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_help_says_what_it_is_for():
    answer = subprocess.run(
        [sys.executable, "-m", "realtime_trio.replay", "--help"], capture_output=True, text=True, check=True, timeout=60
    )

    for words in ("record=FOLDER", "--check", "exit codes", "examples"):
        assert words in answer.stdout


async def test_a_text_session_is_told_as_well(folder, capsys, autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url, record=folder) as session,
    ):
        reply = await session.ask("What is twelve times three?")

    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert '"What is twelve times three?"' in printed
    assert f'"{reply.text}"' in printed
    assert "until its first piece arrived" in printed
    assert check(read_recording(folder)) == []
