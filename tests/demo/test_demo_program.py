"""`python -m realtime_trio.demo` as a person starts it: in real time, over a real socket, from an empty directory."""

import os
import re
import signal
import subprocess
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"
COMMAND = [sys.executable, "-m", "realtime_trio.demo"]
# as installed without [offline]: neither can be found
WITHOUT_SPEECH = [
    sys.executable,
    "-c",
    """
import runpy, sys
sys.modules["pocketsphinx"] = sys.modules["espeakng_loader"] = None
runpy.run_module("realtime_trio.demo", run_name="__main__", alter_sys=True)
""",
]
# whose recogniser is there, but gives no answer
WITH_A_DEAD_RECOGNISER = [
    sys.executable,
    "-c",
    """
import runpy, sys
sys.modules["pocketsphinx"] = None
from realtime_trio.demo.voices import ToldRecogniser
from realtime_trio.errors import AudioError
async def recognise(self, pcm):
    raise AudioError("pocketsphinx did not answer within 30 s")
ToldRecogniser.recognise = recognise
runpy.run_module("realtime_trio.demo", run_name="__main__", alter_sys=True)
""",
]
RATE = 24_000
LIMIT = 120  # seconds: far beyond the longest, on a machine that has much else to do

pytestmark = pytest.mark.slow


def headless(arguments):
    """Leave the sound hardware of whoever runs these tests alone."""
    words = [str(word) for word in arguments]
    return words if {"--typed", "--input", "--headless"} & set(words) else ["--headless", *words]


def run(folder, *arguments, stdin="", command=COMMAND, **environment):
    return subprocess.run(
        [*command, *headless(arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


def lines_of(output):
    """Give (who, words) of every line of the talk."""
    return re.findall(r"^ *\d+\.\d s  (\w+) +(.*?) *$", output, re.MULTILINE)


def channels(path):
    """Read a recording: the user's samples and the assistant's."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return sound[:, 0], sound[:, 1]


def stretches(channel, silence):
    """Find what sounds between silences (below 1 % of full scale) of so many seconds: (begin, end) in seconds."""
    places = np.flatnonzero(np.abs(channel.astype(np.int32)) > 300)
    gaps = np.flatnonzero(np.diff(places) > silence * RATE)
    begins, ends = [places[0], *places[gaps + 1]], [*places[gaps], places[-1]]
    return [(begin / RATE, (end + 1) / RATE) for begin, end in zip(begins, ends, strict=True)]


@pytest.fixture(scope="module")
def long_runs(tmp_path_factory):
    """Whatever takes half a minute, once and side by side: each a future of (what it said, its folder, seconds)."""
    wanted = {
        "talk": (COMMAND, ()),
        "talk without speech": (WITHOUT_SPEECH, ()),
        "recording": (COMMAND, ("--input", TORONTO)),
        "recording without speech": (WITHOUT_SPEECH, ("--input", TORONTO)),
    }

    def timed(command, arguments):
        folder = tmp_path_factory.mktemp("run", numbered=True)
        began = time.monotonic()
        done = run(folder, *arguments, command=command)
        return done, folder, time.monotonic() - began

    with ThreadPoolExecutor(len(wanted)) as threads:
        yield {name: threads.submit(timed, *what) for name, what in wanted.items()}


@pytest.fixture(scope="module")
def talk(long_runs):
    """The whole talk."""
    return long_runs["talk"].result()


def test_the_talk_runs_from_an_empty_directory_and_ends_by_itself(talk):
    done, folder, took = talk

    assert done.stderr == ""
    assert done.returncode == 0
    assert took < 60
    assert [path.name for path in folder.iterdir()] == ["conversation.wav"]


def test_it_says_whom_it_talks_to(talk):
    head = talk[0].stdout.partition("\n\n")[0]

    assert "offline stand-in (rules, not the real model)" in head
    assert "ws://127.0.0.1:" in head
    assert "simulated" in head


def test_the_lines_of_the_talk(talk):
    """The time, the weather by a tool, counting until the user speaks over it, and the answer to what was said."""
    lines = lines_of(talk[0].stdout)

    assert [who for who, _ in lines] == [
        *("user", "assistant"),
        *("user", "tool", "assistant"),
        *("user", "assistant", "interrupted"),
        *("user", "assistant"),
    ]
    words = [said for _, said in lines]
    assert words[0] == "what time is it"
    assert re.fullmatch(r"It is \d\d:\d\d\.", words[1])
    assert words[3].startswith('get_weather({"city": "Paris"}) -> ')
    assert words[6].startswith("One, two, three, four")
    assert "twenty" not in words[6]
    assert words[-1] == "12 times 3 is 36."


def test_the_summary_counts_what_happened(talk):
    summary = talk[0].stdout.partition("Summary\n")[2]

    assert "4 of the user (4 spoken, 0 typed)" in summary
    assert "1 x get_weather" in summary
    assert re.search(
        r"input \d+ tokens \(\d+ text, [1-9]\d* audio; \d+ of them cached\), "
        r"output \d+ tokens \(\d+ text, \d+ audio\)\n +transcription apart: \d+ tokens",
        summary,
    )
    assert [int(number) for number, _ in latencies_of(summary)] == [1, 2, 3, 4]
    assert "problems" not in summary


def latencies_of(output):
    """Give (turn, ms) of every row in the table of latencies."""
    return re.findall(r"^ +(\d+) +(\d+) (?:=|  \()", output, re.MULTILINE)


def heard_of(output):
    row = re.search(r"heard (\d+\.\d+) s of (\d+\.\d+) s generated, the server confirms (\d+\.\d+) s", output)
    assert row is not None
    return tuple(map(float, row.groups()))


def test_the_interrupted_answer_lasts_on_the_recording_as_long_as_was_heard(talk):
    """What the server is told was heard is what a person with the recording hears."""
    done, folder, _ = talk
    heard, generated, confirmed = heard_of(done.stdout)
    _, assistant = channels(folder / "conversation.wav")

    answers = stretches(assistant, silence=1.0)

    assert 1.0 < heard < generated - 1
    assert abs(heard - confirmed) <= 0.01
    assert len(answers) == 4
    begin, end = answers[2]
    # a cut may fall into the pause between two numbers; it never lies before the last that sounds
    assert -0.35 <= end - begin - heard <= 0.1


def test_sound_stops_when_the_user_speaks_over_it(talk):
    """On the recording: silence on the right from the cut to the next answer, while the user goes on speaking."""
    _, folder, _ = talk
    user, assistant = channels(folder / "conversation.wav")

    turns, answers = stretches(user, silence=0.6), stretches(assistant, silence=1.0)

    assert len(turns) == 4
    assert answers[2][0] < turns[3][0] < answers[2][1], "the user begins while the assistant counts"
    assert answers[2][1] - turns[3][0] < 0.5
    assert answers[3][0] > turns[3][1]


def test_latencies_are_what_the_recording_shows(talk):
    """From the last sound on the left to the first on the right, for every turn."""
    done, folder, _ = talk
    said = [int(ms) for _, ms in latencies_of(done.stdout)]
    user, assistant = channels(folder / "conversation.wav")

    turns, answers = stretches(user, silence=0.6), stretches(assistant, silence=1.0)

    measured = [round((answer[0] - turn[1]) * 1000) for turn, answer in zip(turns, answers, strict=True)]
    assert all(500 <= ms < 3000 for ms in said), "turn detection waits for 500 ms of silence"
    # turn detection goes by loudness: it ends speech some tens of ms off, and answers begin softly
    assert [] == [(ms, seen) for ms, seen in zip(said, measured, strict=True) if abs(ms - seen) > 250]


def test_the_talk_goes_the_same_way_without_the_extra_and_says_what_is_scripted(long_runs):
    done, folder, took = long_runs["talk without speech"].result()

    assert (done.returncode, done.stderr) == (0, "")
    assert took < 60
    head = done.stdout.partition("\n\n")[0]
    assert "babble voice" in head
    assert "scripted recogniser" in head
    assert "pip install 'realtime_trio[offline]'" in head
    lines = lines_of(done.stdout)
    assert [who for who, _ in lines].count("interrupted") == 1
    assert lines[-1] == ("assistant", "12 times 3 is 36.")
    assert len(stretches(channels(folder / "conversation.wav")[1], silence=1.0)) == 4


@pytest.mark.parametrize("name", ["recording", "recording without speech"])
def test_a_recording_of_a_person_is_one_turn_and_is_answered(long_runs, name):
    """With a recogniser, which understands some of it, and without."""
    done, folder, _ = long_runs[name].result()

    assert (done.returncode, done.stderr) == (0, "")
    assert [who for who, _ in lines_of(done.stdout)] == ["user", "assistant"]
    user, assistant = channels(folder / "conversation.wav")
    with wave.open(str(TORONTO)) as file:
        original = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    assert np.array_equal(user[: len(original)], original), "the left channel is the recording, sample for sample"
    assert not user[len(original) :].any()
    assert stretches(assistant, silence=1.0)[0][0] > 5.0


def started(folder, *arguments, command=COMMAND, **environment):
    return subprocess.Popen(
        [*command, *headless(arguments)], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env={**os.environ, **environment},
    )  # fmt: skip


def read_until(process, words):
    """Read lines until one contains these words; the caller has a limit in the test itself."""
    seen = []
    while True:
        line = process.stdout.readline()
        assert line, f"it ended early: {''.join(seen)}"
        seen.append(line)
        if words in line:
            return "".join(seen)


def seconds_of_an_empty_process():
    """How long this machine takes at this moment to begin and end a process that does nothing."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import realtime_trio.demo.__main__"], check=True)
    return time.monotonic() - began


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_within_a_second_and_keeps_everything(tmp_path, number, code):
    allowance = seconds_of_an_empty_process()
    with started(tmp_path) as process:
        seen = read_until(process, "assistant")
        process.send_signal(number)
        began = time.monotonic()
        rest, errors = process.communicate(timeout=LIMIT)
        took = time.monotonic() - began

    assert process.returncode == code
    assert took < 1.0 + allowance
    assert errors == ""
    assert ("user", "what time is it") in lines_of(seen)
    assert number.name in rest
    assert "1 of the user" in rest
    user, _ = channels(tmp_path / "conversation.wav")
    assert len(stretches(user, silence=1.0)) == 1


def test_a_recogniser_that_does_not_answer_is_one_calm_line(tmp_path):
    with started(tmp_path, command=WITH_A_DEAD_RECOGNISER) as process:
        seen = read_until(process, "user        ")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)

    assert lines_of(seen) == [("user", "(speech, no transcript: pocketsphinx did not answer within 30 s)")]
    assert errors == ""


def test_what_is_piped_in_is_typed(tmp_path):
    done = run(tmp_path, "--typed", stdin='what is two plus two\ncall get_weather {"city": "Rome"}\n')

    assert done.returncode == 0
    assert [who for who, _ in lines_of(done.stdout)] == ["you", "assistant", "you", "tool", "assistant"]
    assert ("assistant", "2 plus 2 is 4.") in lines_of(done.stdout)
    assert "2 of the user (0 spoken, 2 typed)" in done.stdout


def test_the_assistant_may_speak_first(tmp_path):
    done = run(tmp_path, "--typed", "--greeting", "Say good morning.", stdin="")

    assert done.returncode == 0
    assert lines_of(done.stdout) == [("assistant", "Good morning.")]


def test_input_that_is_no_terminal_is_left_alone(tmp_path):
    """A pipe or file that somebody else is to read is not eaten by the talk."""
    with subprocess.Popen(
        [*COMMAND, "--headless"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        process.stdin.write("hello\n")
        process.stdin.flush()
        seen = read_until(process, "assistant")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=LIMIT)

    assert "hello" not in seen + rest


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is a Unix thing")
def test_at_a_terminal_a_typed_line_interrupts_and_ctrl_d_ends(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, "--typed"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8",
        ) as process:  # fmt: skip
            seen = read_until(process, "Type a line")
            os.write(ours, b"count to a hundred\n")
            seen += read_until(process, "you")
            time.sleep(2.0)  # not for a state: so that two seconds of it are heard
            os.write(ours, b"what is two plus two\n")
            seen += read_until(process, "interrupted")
            os.write(ours, b"\x04")
            rest, errors = process.communicate(timeout=LIMIT)
    finally:
        os.close(ours)
        os.close(theirs)

    assert errors == ""
    assert process.returncode == 0
    lines = lines_of(seen + rest)
    assert [who for who, _ in lines] == ["you", "assistant", "you", "interrupted", "assistant"]
    assert lines[-1] == ("assistant", "2 plus 2 is 4.")
    assert 0.5 < heard_of(rest)[0] < 4


def test_live_without_a_key_is_one_clear_line(tmp_path):
    """And nothing is written over."""
    (tmp_path / "conversation.wav").write_bytes(b"precious")

    done = run(tmp_path, "--live")

    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*OPENAI_API_KEY.*\n", done.stderr)
    assert (tmp_path / "conversation.wav").read_bytes() == b"precious"


@contextmanager
def stand_in(key):
    """A server in a process of its own, which stands for the real service."""
    script = f"""
import trio
from realtime_trio import open_server
async def main():
    async with open_server(api_key={key!r}, recogniser="none") as server:
        print(server.url, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


def test_live_with_a_key_goes_where_the_environment_says(tmp_path):
    """The key arrives, and is not on the screen."""
    with stand_in("sk-secret") as (_, url):
        there = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-secret"}
        done = run(tmp_path, "--live", "--typed", stdin="what is two plus two\n", **there)
        recording = (tmp_path / "conversation.wav").read_bytes()
        refused = run(tmp_path, "--live", "--typed", **there | {"OPENAI_API_KEY": "sk-wrong"})

    assert (done.returncode, done.stderr) == (0, "")
    assert url in done.stdout
    assert "stand-in" not in done.stdout.partition("\n\n")[0]
    assert lines_of(done.stdout)[-1] == ("assistant", "2 plus 2 is 4.")
    assert refused.returncode == 2
    assert re.fullmatch(r"error: .*401.*\n", refused.stderr)
    assert "sk-" not in done.stdout + refused.stdout + refused.stderr
    assert (tmp_path / "conversation.wav").read_bytes() == recording, "a talk that never began destroys nothing"


def test_a_talk_that_never_began_leaves_no_recording(tmp_path):
    done = run(tmp_path, "--live", "--typed", OPENAI_BASE_URL="ws://127.0.0.1:9/v1")

    assert done.returncode == 2
    assert re.fullmatch(r"error: .*127\.0\.0\.1 port 9.*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_link_is_one_line_and_keeps_what_there_was(tmp_path):
    with stand_in("sk-secret") as (server, url):
        there = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-secret"}
        with started(tmp_path, "--live", "--input", str(TORONTO), **there) as process:
            seen = read_until(process, "user        ")
            server.kill()
            rest, errors = process.communicate(timeout=LIMIT)

    assert errors == ""
    assert process.returncode == 1
    (error,) = [words for who, words in lines_of(seen + rest) if who == "error"]
    assert error.startswith("the connection is closed (code 1006")
    assert "1 of the user" in rest
    assert len(stretches(channels(tmp_path / "conversation.wav")[0], silence=1.0)) == 1


def test_what_cannot_begin_says_so_in_one_line(tmp_path):
    (tmp_path / "no.wav").write_text("words", encoding="utf-8")
    (tmp_path / "me.wav").write_bytes(TORONTO.read_bytes())

    for arguments, words in (
        (("--record", "missing/out.wav"), "missing/out.wav cannot be written"),
        (("--input", "nowhere.wav"), "nowhere.wav cannot be read"),
        (("--input", "no.wav"), "no.wav is no WAV file"),
        (("--input", "me.wav", "--record", "./me.wav"), "me.wav would be overwritten"),
    ):
        done = run(tmp_path, *arguments)

        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert re.fullmatch(rf"error: .*{re.escape(words)}.*\n", done.stderr), arguments

    assert (tmp_path / "me.wav").read_bytes() == TORONTO.read_bytes()


def test_a_reader_who_leaves_gets_no_traceback(tmp_path):
    """As in `python -m realtime_trio.demo | head -1`."""
    with started(tmp_path) as process:
        read_until(process, "realtime_trio demo")
        process.stdout.close()
        _, errors = process.communicate(timeout=LIMIT)

    assert errors == ""
    assert process.returncode == 1
