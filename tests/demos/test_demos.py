"""Every program in demos/ runs against the offline server, as a person would start it, and says what it promises."""

import runpy
import socket
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from realtime_trio import DeviceUnavailable

DEMOS = Path(__file__).parents[2] / "demos"
TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"
LONGEST = 60  # lines

pytestmark = pytest.mark.slow


def start(folder, name, *arguments):
    return subprocess.run(
        [sys.executable, str(DEMOS / f"{name}.py"), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def run(folder, name, *arguments):
    done = start(folder, name, *arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    lines = done.stdout.splitlines()
    assert "(rules, not the real model)" in lines[0], "each says first that it talks to a stand-in"
    return lines


def test_each_is_short_and_says_how_to_run_it():
    programs = sorted(DEMOS.glob("*.py"))

    assert {"own_brain", "own_device", "text_turn", "tools", "typed_events", "voice_from_wav"} <= {
        program.stem for program in programs
    }
    for program in programs:
        text = program.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST, program.name
        assert f"python demos/{program.name}" in text.split('"""')[1], program.name


def test_all_that_look_for_a_server_do_it_in_the_same_way():
    finders = []
    for program in sorted(DEMOS.glob("*.py")):
        _, found, rest = program.read_text(encoding="utf-8").partition("async def find_server()")
        finders += [rest.partition("\n\n\n")[0]] if found else []

    assert len(finders) == 11
    assert len(set(finders)) == 1


def test_what_the_library_would_read_decides_whom_a_demo_talks_to(tmp_path):
    """Also `.env`, and a URL without a key."""
    script = """
import trio
from realtime_trio import open_server
async def main():
    async with open_server(recogniser="none") as server:
        print(server.url, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            (tmp_path / ".env").write_text(f"OPENAI_BASE_URL={url}\n", encoding="utf-8")
            done = start(tmp_path, "text_turn", "what", "is", "two", "plus", "two")
        finally:
            server.kill()

    assert (done.stderr, done.returncode) == ("", 0)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Talking to {url}?model=")
    assert lines[2] == "assistant: 2 plus 2 is 4."


def test_it_says_why_it_stays_offline(tmp_path):
    (tmp_path / ".env").write_text("OPENAI_BASE_URL=api.example.org\n", encoding="utf-8")

    assert "the URL (OPENAI_BASE_URL in .env)" in run(tmp_path, "text_turn")[0]


def test_a_text_turn(tmp_path):
    lines = run(tmp_path, "text_turn", "what", "is", "two", "plus", "two")

    assert lines[1:3] == ["you:       what is two plus two", "assistant: 2 plus 2 is 4."]
    assert lines[3].endswith("tokens, completed)")


def test_tools(tmp_path):
    lines = run(tmp_path, "tools")

    assert lines[2] == 'tool:      get_weather({"city": "Lima"}) -> {"celsius":21.5}'
    assert "21.5 degrees Celsius in Lima" in lines[3]


def test_telemetry(tmp_path):
    lines = run(tmp_path, "telemetry")

    assert "degrees Celsius in Lima" in lines[1]
    assert [line[10:] for line in lines[2:] if "chat" not in line] == [
        "realtime_trio.session",
        "  realtime_trio.turn",
        "    execute_tool get_weather",
    ]
    assert sum(line[10:].startswith("    chat gpt-realtime") for line in lines) == 2
    assert all(float(line[:6]) >= 0 for line in lines[2:])


def test_a_tool_can_refuse_in_its_own_words(tmp_path):
    lines = run(tmp_path, "tools", "What is the weather in Atlantis?")

    assert "nothing is known of Atlantis" in lines[2]
    assert "nothing is known of Atlantis" in lines[3]


def test_a_guard(tmp_path):
    lines = run(tmp_path, "guard")

    assert lines[1] == "you:       Count to fifteen."
    assert lines[2] == "assistant: One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, "
    assert lines[3].startswith("stopped:   an unlucky number; ")
    assert "thirteen" not in lines[3]
    assert lines[4] == "assistant: I would rather stop here."
    assert lines[5].endswith(" of them for the guard")


def test_typed_events(tmp_path):
    lines = run(tmp_path, "typed_events")

    kinds = [line.split()[1] for line in lines[1:]]
    assert kinds[0] == "session.created"
    assert kinds[-1] == "response.done"
    assert "".join(line.split("'")[1] for line in lines if "_text.delta" in line) == "12 times 3 is 36."


def test_a_brain_of_ones_own(tmp_path):
    assert run(tmp_path, "own_brain")[1:] == [
        "you:    Good morning! What is there?",
        "waiter: We have tea and coffee. What would you like?",
        "you:    A coffee, please.",
        "waiter: That will be 3.2 euros, please.",
    ]


def test_a_device_of_ones_own(tmp_path):
    assert run(tmp_path, "own_device")[1:] == ["caller:    I hear you!", "assistant: 12 times 3 is 36."]


async def test_a_caller_who_hangs_up_ends_the_session_of_ones_own_device_in_words(autojump_clock):
    phone = runpy.run_path(str(DEMOS / "own_device.py"))["Phone"]
    with socket.socket(type=socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        async with phone(caller.getsockname()).open() as stream:
            assert (await stream.receive_block()).captured == bytes(960)
            caller.close()
            with pytest.raises(DeviceUnavailable, match="the caller has hung up"):
                for _ in range(3):  # the system tells it in answer to what was sent
                    await stream.receive_block()


def test_agents(tmp_path):
    lines = run(tmp_path, "agents")

    assert lines[2] == "reception: Hello! What can I do for you?"
    assert lines[4].startswith("billing: ")
    assert lines[6].endswith("invoice 7 12.5, invoice 9 40.0."), "only billing has that tool"


def test_resume(tmp_path):
    first = run(tmp_path, "resume", "What is two plus two?")
    second = run(tmp_path, "resume", "What is two times three?")
    third = run(tmp_path, "resume")

    assert first[1:3] == ["you:       What is two plus two?", "assistant: 2 plus 2 is 4."]
    assert second[1:3] == ["earlier, user: What is two plus two?", "earlier, assistant: 2 plus 2 is 4."]
    assert [line.partition(": ")[2] for line in third[1:5]] == [
        "What is two plus two?",
        "2 plus 2 is 4.",
        "What is two times three?",
        "2 times 3 is 6.",
    ]


def test_tool_policies(tmp_path):
    lines = run(tmp_path, "tool_policies")

    assert "took longer than 0.5 s" in lines[2]
    assert "not allowed to run: only soup is left" in lines[4]
    assert lines[6] == "assistant: The tool order says: soup is on its way."
    assert [line.partition("(")[0] for line in lines[7:]] == [
        "ToolStarted",
        "ToolProgress",
        "ToolProgress",
        "ToolFinished",
        "assistant: The report is printed.",
        "ToolStarted",
        "ToolCancelled",
    ]


def test_mcp_tools(tmp_path):
    assert run(tmp_path, "mcp_tools")[1:] == [
        "tools:     get_weather",
        'tool:      get_weather({"city": "Lima"}) -> {"city":"Lima","celsius":21.5,"wind":"calm"}',
        "assistant: It is 21.5 degrees Celsius in Lima, city Lima, wind calm.",
    ]


def test_tests_of_an_agent(tmp_path):
    lines = run(tmp_path, "test_a_small_agent")

    assert [line.split(maxsplit=3)[2:] for line in lines[1:]] == [
        ["user", "count to twenty"],
        ["assistant", "One, two, three, four, five, six, seven, eight, //"],
        ["user", "uh-huh"],
        ["user", "stop that"],
        ["assistant", "All right."],
    ]


def test_tests_of_an_agent_under_pytest(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-o", "trio_mode=true", "-p", "no:cacheprovider",
         str(DEMOS / "test_a_small_agent.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_voice_from_a_file(tmp_path):
    lines = run(tmp_path, "voice_from_wav", TORONTO)

    assert lines[1], "the words of the answer"
    assert lines[-1].startswith("answer.wav has the sound; it began ")
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert file.getframerate() == 24_000
        sound = file.readframes(file.getnframes())
    assert file.getnframes() > 7 * 24_000
    assert any(sound[6 * 48_000 :]), "something was said after the question"
    assert not any(sound[: 5 * 48_000]), "and nothing during it"


def test_voice_needs_a_file(tmp_path):
    done = subprocess.run(
        [sys.executable, str(DEMOS / "voice_from_wav.py")], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert "python demos/voice_from_wav.py question.wav" in done.stderr
