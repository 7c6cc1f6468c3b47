"""The fixtures for users, as a stranger has them: in a project of its own, in a pytest of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LIMIT = 120  # seconds
CONFTEST = 'pytest_plugins = ["realtime_trio.testing.fixtures"]\n'
WITHOUT_PYTEST_TRIO = 'import sys\nsys.modules["pytest_trio"] = None\n' + CONFTEST

A_STRANGERS_TESTS = '''
import os
from pathlib import Path

import pytest
import trio

from realtime_trio import open_session, tool
from realtime_trio.events import user_message
from realtime_trio.testing import Line, Stall


@tool
async def get_weather(city: str) -> dict[str, float]:
    """Tell the weather."""
    return {"celsius": 21.5}


def open_agent(server, talker, **options):
    return open_session(
        connect=server.connect, url=server.url, audio=talker.device, tools=[get_weather],
        turn_detection="server_vad", **options
    )


async def test_a_talk(autojump_clock, offline_server, talker):
    async with open_agent(offline_server, talker) as session:
        talk = await talker.talk(session, ["what is the weather in Lima", Line("stop", over=1)])
    assert "21.5" in talk.heard[0]
    assert talk.turns[1].cut


async def test_a_script(autojump_clock, scripted_peer):
    async with open_session(connect=scripted_peer.connect, url=scripted_peer.url) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.create_item, user_message("hello"))
            event = await scripted_peer.expect("conversation.item.create")
            await scripted_peer.send("conversation.item.added", item=event["item"], previous_item_id=None)


async def test_a_device(autojump_clock, offline_server, fake_device):
    async with open_session(
        connect=offline_server.connect, url=offline_server.url, audio=fake_device, drain=False
    ) as session:
        fake_device.step(3)
        assert fake_device.is_open


async def test_a_network_that_fails(autojump_clock, offline_server, faulty_proxy):
    async with open_session(connect=faulty_proxy.connect, url=faulty_proxy.url) as session:
        faulty_proxy.strike(Stall(seconds=3))
        began = trio.current_time()
        assert (await session.ask("what is two plus two")).text == "2 plus 2 is 4."
        assert trio.current_time() - began > 3


async def test_a_report(autojump_clock, offline_server, talker, session_from_recording):
    folder = Path(__file__).parent / "reports"
    async with open_agent(offline_server, talker, record=folder / "17") as session:
        await talker.talk(session, ["what is the weather in Lima"])
    async with session_from_recording("reports/17") as replayed:
        await replayed.finished()
        assert "21.5" in replayed.session.conversation.items[-1].heard_text


async def a_program():
    async with open_session() as session:
        return (await session.ask("what is two plus two")).text


async def test_a_whole_program(listening_server, monkeypatch):
    assert "OPENAI_API_KEY" not in os.environ
    assert await a_program() == "2 plus 2 is 4."


async def test_which_takes_real_time(autojump_clock, listening_server):
    """It fails, and says why."""


class TestWithABrain:
    @pytest.fixture
    def offline_options(self):
        async def brain(request):
            yield "I am your own brain."
        return {"brain": brain}

    async def test_a_brain(self, autojump_clock, offline_server):
        async with open_session(connect=offline_server.connect, url=offline_server.url) as session:
            assert (await session.ask("hello")).text == "I am your own brain."
'''

TESTS_WITH_TRIO_RUN = '''
import trio

from realtime_trio import open_server, open_session
from realtime_trio.testing import open_talker


def test_a_talk(autojump_clock, fake_device):
    async def main():
        async with (
            open_talker(device=fake_device) as talker,
            open_server(listen=False, recogniser=talker.recogniser) as server,
            open_session(
                connect=server.connect, url=server.url, audio=talker.device, turn_detection="server_vad"
            ) as session,
        ):
            return await talker.talk(session, ["what is two plus two"])

    assert trio.run(main, clock=autojump_clock).heard == ("2 plus 2 is 4.",)


def test_what_waits_is_for_pytest_trio(talker):
    """It fails, and says what to install."""
'''


def run_pytest(folder: Path, tests: str, *arguments: str, conftest: str = CONFTEST, ini: str = ""):
    """Run a stranger's tests, and give pytest's words and the outcome of each test."""
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n", encoding="utf-8")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_strange.py").write_text(tests, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "--tb=short", "-W", "error", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env={**os.environ, "OPENAI_API_KEY": "sk-proj-" + "x" * 20}, capture_output=True, text=True,
        encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip
    words = done.stdout + done.stderr
    return words, dict(re.findall(r"^tests/test_strange\.py::(?:\w+::)?(\w+) (\w+)", words, re.MULTILINE))


@pytest.mark.parametrize("ini", ["trio_mode = true", "markers = strange"], ids=["trio_mode", "marked"])
def test_with_pytest_trio(tmp_path, ini):
    """In trio_mode, and where tests are marked one by one."""
    marks = "" if "trio_mode" in ini else "pytestmark = pytest.mark.trio\n"
    tests = A_STRANGERS_TESTS.replace("\n\n\n@tool", f"\n\n{marks}\n\n@tool", 1)

    words, outcomes = run_pytest(tmp_path, tests, ini=ini)

    assert {name for name, outcome in outcomes.items() if outcome != "PASSED"} == {"test_which_takes_real_time"}, words
    assert len(outcomes) == 8
    assert "take offline_server" in words


def test_with_trio_run(tmp_path):
    words, outcomes = run_pytest(tmp_path, TESTS_WITH_TRIO_RUN, "-p", "no:trio", conftest=WITHOUT_PYTEST_TRIO)

    assert outcomes["test_a_talk"] == "PASSED", words
    assert re.search(r"'talker' is for tests that pytest-trio runs: pip install pytest-trio", words)
    assert "1 passed, 1 error" in words


def test_they_are_there_only_for_those_who_ask(tmp_path):
    """No plugin is forced on the tests of everybody who has the library installed."""
    words, _ = run_pytest(tmp_path, TESTS_WITH_TRIO_RUN, conftest="")

    assert "fixture 'fake_device' not found" in words


def test_they_say_what_they_are_for(tmp_path):
    words, _ = run_pytest(tmp_path, "", "--fixtures")

    for name in ("talker", "offline_server", "scripted_peer", "faulty_proxy", "fake_device", "session_from_recording"):
        assert re.search(rf"^{name} -- .*fixtures\.py:\d+\n    \w", words, re.MULTILINE), name


def test_without_pytest_it_says_what_to_install():
    script = (
        "import sys; sys.modules['pytest'] = None; import realtime_trio.testing; import realtime_trio.testing.fixtures"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=LIMIT)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: these fixtures are for pytest: pip install pytest pytest-trio"
    )
