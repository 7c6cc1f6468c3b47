"""What a session leaves in the log: enough to follow it, and not a word of what was said, no sound, no key."""

import base64
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import realtime_trio
from realtime_trio import ConnectError, ResponseNotCompleted, open_session, tool
from realtime_trio.core.interruption import Interruption
from realtime_trio.errors import NotAcknowledged, ToolTimeout
from realtime_trio.log_words import name_of, problem_of
from realtime_trio.server import open_server
from realtime_trio.session import AudioDropped, DeviceChanged, Interrupted, ReplyLost, ToolFailed
from realtime_trio.session.log import SessionLog

from .cuttable import Cuttable

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text(encoding="utf-8")
KEY = "Zq7vK2mWx9TbR4nLcJ8s"  # looks like nothing that a pattern could know
SPOKEN = ("xylophones", "marmalade", "periwinkle", "Ouagadougou", "zeppelin", "quicksilver")
SOUND = base64.b64encode(bytes(range(1, 241)) * 20).decode()


@tool
async def find(city: str) -> str:
    """Find something."""
    return f"a periwinkle in {city}"


@tool(timeout=0.1)
async def dawdle() -> str:
    """Take too long."""
    await trio.sleep(5)
    return "never"


@pytest.fixture
def logged(caplog):
    """Everything that the library logs, at every level, as text with the arguments of each line."""
    caplog.set_level(logging.DEBUG, "realtime_trio")

    def logged() -> list[str]:
        return [
            f"{one.name.removeprefix('realtime_trio.')} {one.levelname} {one.getMessage()} {one.exc_text or ''}"
            for one in caplog.records
        ]

    return logged


async def _talk(talk, as_function_call):
    """Speech, an answer with sound, tools, odd events, an interruption: all with words that can be looked for."""
    peer = talk.peer
    peer.ignored.update({"conversation.item.create", "response.create", "conversation.item.truncate"})
    peer.ignored.update({"conversation.item.delete", "response.cancel"})
    words = {"item_id": "i_user", "content_index": 0, "transcript": "marmalade, please"}
    await peer.send("conversation.item.input_audio_transcription.completed", **words)
    await talk.created(None, "r1")
    part = {"response_id": "r1", "item_id": "i1", "output_index": 0, "content_index": 0}
    await peer.send("response.output_audio_transcript.delta", **part, delta="two xylophones")
    await talk.audio("r1", SOUND, "i1")
    await talk.done(
        "r1",
        as_function_call("call_1", "find", '{"city": "Ouagadougou"}'),
        as_function_call("call_2", "dawdle", "{}"),
        as_function_call("call_3", "no tool, a zeppelin", "{}"),
    )
    await trio.sleep(0.3)
    await peer.send("a quicksilver event", what="quicksilver")
    await peer.send("another.quicksilver event", what="quicksilver")
    await peer.send("response.output_text.delta", **{**part, "content_index": "quicksilver"}, delta="zeppelin")
    await peer.send_text('["quicksilver"]')
    await talk.created(None, "r2")
    await talk.audio("r2", SOUND, "i2")
    await trio.sleep(0.1)
    await peer.send("input_audio_buffer.speech_started", audio_start_ms=100, item_id="i3")
    await trio.sleep(0.5)


async def test_a_rich_session_shows_no_word_no_sound_and_no_key(autojump_clock, open_voice, as_function_call, logged):
    async with open_voice(api_key=KEY, tools=[find, dawdle], drain=False, instructions="Say quicksilver.") as talk:
        await _talk(talk, as_function_call)
        await talk.session.update(instructions="a zeppelin")
        await trio.sleep(0.5)
    text = "\n".join(logged())

    assert [word for word in SPOKEN if word in text] == []
    assert [KEY[at : at + 8] for at in range(len(KEY) - 7) if KEY[at : at + 8] in text] == []
    assert [line for line in logged() if len(line) > 300] == []
    assert [SOUND[at : at + 16] for at in range(0, 160, 16) if SOUND[at : at + 16] in text] == []


async def test_what_a_new_link_is_told_is_not_shown_either(autojump_clock, logged):
    """Nor what an attempt that failed was refused with."""
    async with open_server(listen=False, api_key=KEY) as server:
        links = Cuttable(server.connect)
        async with open_session(
            connect=links.connect, url=server.url, api_key=KEY, instructions="Say quicksilver.", modality="text",
            tools=[find],
        ) as session:  # fmt: skip
            await session.ask("Where are zeppelins in Ouagadougou?")
            links.refusals = [ConnectError("a marmalade")]
            links.cut()
            await trio.sleep(5)
            await session.ask("How many xylophones are two plus three?")
            heard = session.conversation.snapshot()
    text = "\n".join(logged())

    assert "Ouagadougou" in repr(heard.to_data())
    assert "WARNING session 1: the link is lost" in re.sub(r"session \d+", "session 1", text)
    assert "another connection carries the session (after the link was lost" in text
    assert "attempt 1 to reconnect: ConnectError" in text
    assert [word for word in (*SPOKEN, "two plus three") if word in text] == []
    assert [KEY[at : at + 8] for at in range(len(KEY) - 7) if KEY[at : at + 8] in text] == []


async def test_what_there_is_to_follow(autojump_clock, open_voice, as_function_call, logged):
    """Each event by type and size, the session's beginning and end, and warnings for a person."""
    async with open_voice(tools=[find, dawdle], drain=False) as talk:
        await _talk(talk, as_function_call)
    lines = [line.strip() for line in logged()]

    def find_line(pattern):
        found = [line for line in lines if re.fullmatch(pattern, line)]
        assert found, pattern
        return found

    find_line(r"connection DEBUG sent session\.update, \d+ characters")
    (delta, _) = find_line(r"connection DEBUG received response\.output_audio\.delta, \d+ characters")
    assert int(re.findall(r"(\d+) characters", delta)[0]) > len(SOUND)
    assert len(find_line(r"connection DEBUG received an event without a proper type, which is not known, \d+ .*")) == 2
    find_line(r"connection DEBUG received response\.output_text\.delta, which does not fit, \d+ characters")
    find_line(r"connection DEBUG received something that is no event, \d+ characters")
    find_line(r"transport DEBUG .*: the handshake is done, after 0\.\d+ s")
    find_line(r"session INFO session \d+ is open: [\w.-]+, with a FakeDevice")
    find_line(r"session INFO session \d+ is closed after \d+\.\d s")
    find_line(r"tools DEBUG tool find gave \d+ characters after 0\.000 s \(call call_1\)")
    find_line(r"session WARNING .*: tool call dawdle \(call_2\) failed: ToolTimeout")
    find_line(r"session DEBUG .*: tool call \(unnamed\) \(call_3\) begins")
    find_line(r"session DEBUG .*: 1 responses interrupted \(speech_started\), \d+ of 100 ms heard")
    assert len([line for line in lines if "more of the kind are only counted" in line]) == 3


async def test_an_end_that_is_not_the_users_is_a_warning(autojump_clock, open_talk, logged):
    with pytest.raises(realtime_trio.ConnectionClosed):
        async with open_talk(reconnect=None) as talk:
            await talk.peer.close(1011, "a zeppelin")
            await trio.sleep_forever()

    assert [line for line in logged() if "ended after" in line and "WARNING" in line and "(1011)" in line]
    assert "zeppelin" not in "\n".join(logged())


async def test_a_session_that_does_not_come_about(autojump_clock, logged):
    async with realtime_trio.testing.open_scripted_peer() as peer:
        with pytest.raises(NotAcknowledged):
            async with open_session(connect=peer.connect, url=peer.url):
                raise AssertionError("opened")

    assert any("session DEBUG no session came about" in line for line in logged())
    assert not any(" is open" in line or " is closed" in line for line in logged())


@pytest.mark.parametrize(
    ("notice", "level", "words"),
    [
        (DeviceChanged(False, "the device is gone"), "WARNING", "the device is gone"),
        (DeviceChanged(True, "the device is back"), "INFO", "the device is back"),
        (ReplyLost(NotAcknowledged("a zeppelin")), "WARNING", "a reply cannot be had: NotAcknowledged"),
        (ResponseNotCompleted("r1", "failed", "server_error", None), "WARNING", "response r1 is failed: server_error"),
        (ResponseNotCompleted("r1", "failed", "a zeppelin", None), "WARNING", "response r1 is failed: (unnamed)"),
        (ToolFailed("c", "t", ToolTimeout("a zeppelin", seconds=1)), "WARNING", "tool call t (c) failed: ToolTimeout"),
        (ToolFailed("c", "t", ValueError("a zeppelin")), "DEBUG", "tool call t (c) failed: ValueError"),
        (Interrupted(Interruption("pressed", ("r1",), ())), "DEBUG", "1 responses interrupted (pressed), 0 of 0 ms"),
    ],
)
def test_how_loudly(notice, level, words, logged):
    SessionLog().witness(notice)

    (line,) = logged()
    assert f"session {level} " in line
    assert words in line
    assert "zeppelin" not in line


def test_names_are_shown_and_words_are_not():
    assert name_of("response.output_audio.delta") == "response.output_audio.delta"
    assert name_of("two words") == name_of("sound\nforged line") == name_of("x" * 65) == name_of(None) == "(unnamed)"
    assert name_of("sk-" + "proj-1234567890abcdef1234567890abcdef") == "(unnamed)"
    assert problem_of(realtime_trio.ServerError("a zeppelin", code="invalid_value")) == "ServerError (invalid_value)"
    assert problem_of(ValueError("a zeppelin")) == "ValueError"


def test_nothing_is_shown_unless_logging_is_configured():
    """Not even through logging's handler of last resort."""
    script = """
import logging, realtime_trio
for layer in ("session", "tools", "audio"):
    logging.getLogger(f"realtime_trio.{layer}").error("here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == ("", "")


def test_every_logger_is_on_the_page():
    """One a layer."""
    home = Path(realtime_trio.__file__).parent
    pattern = re.compile(r'getLogger\("([\w.]+)"\)')
    made = {name for path in home.rglob("*.py") for name in pattern.findall(path.read_text(encoding="utf-8"))}

    table = PAGE.partition("## Statistics")[0]

    assert made == set(re.findall(r"^\| `(realtime_trio\.\w+)` \|", table, flags=re.MULTILINE))


async def test_a_stalled_uplink_is_warned_of_now_and_then(autojump_clock, open_talk, logged):
    async with open_talk() as talk:
        for _ in range(100):
            talk.session._engine.subscribers.publish(AudioDropped(20))
            await trio.sleep(0.099)
    lines = [line for line in logged() if "uplink is too slow" in line]
    assert ["WARNING" in line for line in lines] == [True, True]
    assert [re.search(r"(\d+) ms of audio", line)[1] for line in lines] == ["20", "1020"]
