"""What a recording holds: both directions of the wire, its audio once, what was heard, the sound of both sides."""

import base64
import itertools
import json
import os
import stat
import wave
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from realtime_trio import (
    ConfigurationError,
    ConnectionClosed,
    Recording,
    RecordingStopped,
    ToolFinished,
    open_connection,
    open_session,
    tool,
)
from realtime_trio.audio.clocked import ClockedDevice
from realtime_trio.recording import AudioReference, find_recordings, open_recording, read_recording
from realtime_trio.testing import open_scripted_peer

TONE = (3000).to_bytes(2, "little") * 24_000  # a second


async def test_both_directions_are_kept_with_their_times(open_recorded, folder, autojump_clock):
    async with open_recorded() as (_, answers):
        await trio.sleep(2)
        await answers.peer.send("something.new", answer=42)
        await trio.sleep(1)

    session = read_recording(folder)
    wire = [entry for entry in session.entries() if entry.kind in {"sent", "received"}]
    assert [(entry.kind, entry.type) for entry in wire] == [
        ("received", "session.created"),
        ("sent", "session.update"),
        ("received", "session.updated"),
        ("received", "something.new"),
    ]
    assert wire[-1].at == pytest.approx(2, abs=0.1)
    assert session.header["format"] == 1
    assert [entry.kind for entry in session.entries()][-1] == "ended"


async def test_messages_come_back_as_they_were(open_recorded, folder, autojump_clock):
    async with open_recorded() as (session, answers):
        await session.append_audio(TONE)
        await answers.created()
        await answers.audio(TONE[:4801])
        await answers.peer.send_text('{"not json')
        await answers.peer.send_text("[1, 2]")
        await trio.sleep(1)

    recording = read_recording(folder)
    messages = [recording.message(entry) for entry in recording.entries() if entry.kind in {"sent", "received"}]
    (append,) = [json.loads(text) for text in messages if "input_audio_buffer.append" in text]
    (delta,) = [json.loads(text) for text in messages if "output_audio.delta" in text]
    assert base64.b64decode(append["audio"]) == TONE
    assert base64.b64decode(delta["delta"]) == TONE[:4801]
    assert messages[-2:] == ['{"not json', "[1, 2]"]


async def test_audio_is_kept_once(open_recorded, folder, lines, autojump_clock):
    async with open_recorded() as (session, answers):
        for _ in range(3):
            await session.append_audio(TONE)
        await answers.created()
        await answers.audio(TONE)
        await trio.sleep(1)

    assert (folder / "sent.raw").read_bytes() == 3 * TONE
    assert (folder / "received.raw").read_bytes() == TONE
    assert (folder / "events.jsonl").stat().st_size < 10_000
    appends = [AudioReference.of(entry.event["audio"]) for entry in lines("sent") if "append" in entry.type]
    assert [(one.offset, one.length) for one in appends] == [(48_000 * n, 48_000) for n in range(3)]


async def test_what_is_no_base64_stays_in_its_event(open_recorded, lines, autojump_clock):
    async with open_recorded() as (_, answers):
        for delta in ("not base64!", "QUJ=", "ä"):
            await answers.peer.send("response.output_audio.delta", delta=delta)
        await trio.sleep(1)

    kept = [entry.event["delta"] for entry in lines("received") if "delta" in entry.type]
    assert kept == ["not base64!", "QUJ=", "ä"]


async def test_the_ledger_says_what_was_heard_and_where_it_was_cut(open_recorded, folder, lines, autojump_clock):
    async with open_recorded(audio=ClockedDevice(output_latency_ms=30)) as (session, answers):
        answers.peer.ignored.add("input_audio_buffer.append")
        await trio.sleep(1)
        await answers.created()
        await answers.audio(TONE * 3)
        await answers.audio_done()
        await trio.sleep(1.5)
        session.interrupt()
        await answers.peer.expect("response.cancel")
        truncate = await answers.peer.expect("conversation.item.truncate")
        await answers.done(status="cancelled")
        await trio.sleep(0.5)

    played, cuts = lines("played"), lines("cut")
    assert len(cuts) == 1
    cut = cuts[0].data
    assert (cut["response"], cut["item"], cut["part"], cut["received"]) == ("resp_1", "item_a", 0, 72_000)
    assert cut["sample"] // 24 == truncate["audio_end_ms"]
    assert played[0].data["from"] == 0
    assert played[0].data["begins"] == pytest.approx(1.03, abs=0.1)
    for before, after in itertools.pairwise(played):
        assert before.data["to"] == after.data["from"]
    assert played[-1].data["to"] == cut["sample"]
    assert played[-1].data["until"] == pytest.approx(2.53, abs=0.1)
    notices = [entry.data["name"] for entry in lines("notice")]
    assert "Interrupted" in notices


@pytest.mark.parametrize("tells_played", [False, True])
async def test_the_wav_has_the_user_left_and_the_assistant_right(
    tells_played, open_recorded, folder, lines, autojump_clock
):
    device = ClockedDevice(output_latency_ms=40, echo=(lambda pcm: bytes(len(pcm))) if tells_played else None)
    async with open_recorded(audio=device, echo="off") as (_, answers):
        answers.peer.ignored.add("input_audio_buffer.append")
        device.speak(TONE)
        await trio.sleep(2)
        await answers.created()
        await answers.audio(TONE)
        await answers.audio_done()
        await answers.done()
        await trio.sleep(2)

    with wave.open(str(folder / "device.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (24_000, 2)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    user, assistant = (np.flatnonzero(sound[:, channel]) / 24_000 for channel in (0, 1))
    clock = lines("clock")[0].data
    start = clock["captured"]
    assert user.size == assistant.size == 24_000
    played = lines("played")
    assert assistant[0] + start == pytest.approx(played[0].data["begins"], abs=0.021)
    assert assistant[-1] + start == pytest.approx(played[-1].data["until"], abs=0.021)
    assert user[-1] - user[0] == pytest.approx(1, abs=0.001)
    assert assistant[0] - user[0] == pytest.approx(2.04, abs=0.06)


async def test_a_muted_microphone_is_not_recorded(open_recorded, folder, autojump_clock):
    device = ClockedDevice()
    async with open_recorded(audio=device) as (session, answers):
        answers.peer.ignored.add("input_audio_buffer.append")
        session.mute()
        device.speak(TONE)
        await trio.sleep(2)

    assert not any(read_recording(folder).device_sound())
    assert not any((folder / "sent.raw").read_bytes())


async def test_latency_is_recorded_when_the_answer_is_heard(open_recorded, lines, autojump_clock):
    async with open_recorded(audio=ClockedDevice(output_latency_ms=30)) as (session, answers):
        answers.peer.ignored.add("input_audio_buffer.append")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.respond)
            request = await answers.peer.expect("response.create")
            await trio.sleep(0.5)
            await answers.created(request=request)
            await answers.audio(TONE)
            await answers.audio_done()
            await answers.done()

    (latency,) = lines("latency")
    assert latency.data["response"] == "resp_1"
    assert 530 <= latency.data["total_ms"] <= 580


async def test_tool_calls_are_recorded(open_recorded, lines, autojump_clock):
    @tool
    async def add(a: int, b: int) -> int:
        """Add.

        Args:
            a: One.
            b: Another.
        """
        return a + b

    call = {"type": "function_call", "id": "item_c", "call_id": "call_1", "name": "add",
            "arguments": '{"a": 1, "b": 2}', "status": "completed"}  # fmt: skip
    async with open_recorded(tools=[add]) as (session, answers), session.events(ToolFinished) as finished:
        await answers.created()
        await answers.done("resp_1", call)
        event = await answers.peer.expect("conversation.item.create")
        for kind in ("added", "done"):
            await answers.peer.send(f"conversation.item.{kind}", item=event["item"], previous_item_id=None)
        await finished.receive()

    notices = {entry.data["name"]: entry.data["notice"] for entry in lines("notice")}
    assert notices["ToolStarted"]["arguments"] == '{"a": 1, "b": 2}'
    assert notices["ToolFinished"]["output"] == "3"


async def test_the_log_names_the_device_that_was_given(open_recorded, caplog, autojump_clock):
    """And not what records it."""
    caplog.set_level("INFO", "realtime_trio.session")
    async with open_recorded(audio=ClockedDevice()):
        pass

    assert [record.getMessage() for record in caplog.records if "with a ClockedDevice" in record.getMessage()]


async def test_the_end_says_why(open_recorded, lines, autojump_clock):
    with pytest.raises(ConnectionClosed):
        async with open_recorded(reconnect=None) as (_, answers):
            await answers.peer.close(1011, "went wrong")
            await trio.sleep(5)

    (closed,) = lines("disconnected")
    assert (closed.data["code"], closed.data["reason"]) == (1011, "went wrong")
    assert lines()[-1].data["reason"]["type"] == "ConnectionClosed"


async def test_a_cancelled_session_is_whole(open_recorded, folder, lines, autojump_clock):
    with trio.move_on_after(3):
        async with open_recorded() as (_, _):
            await trio.sleep_forever()

    assert lines()[-1].data["reason"] == "cancelled"
    assert not read_recording(folder).torn


async def test_a_mistake_of_the_program_is_recorded_with_its_place(open_recorded, lines, autojump_clock):
    with pytest.raises(ZeroDivisionError):
        async with open_recorded():
            1 / 0  # noqa: B018

    end = lines()[-1].data
    assert end["reason"]["type"] == "ZeroDivisionError"
    assert any(place.startswith("test_recording.py:") for place in end["where"])


@pytest.mark.parametrize("as_what", [str, os.fspath, Recording])
async def test_a_folder_is_made(as_what, open_recorded, tmp_path, autojump_clock):
    folder = tmp_path / "deep" / "down"
    async with open_recorded(record=as_what(folder)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    assert [session.path for session in find_recordings(tmp_path / "deep")] == [folder]


async def test_nothing_is_ever_replaced(open_recorded, folder, autojump_clock):
    async with open_recorded():
        pass
    before = (folder / "events.jsonl").read_bytes()

    with pytest.raises(ConfigurationError, match=r"holds something already.*name a new folder"):
        async with open_recorded():
            pass
    assert (folder / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("/dev/null/recording", "cannot be written"),
        ("/proc/recording", "cannot be written"),
        ("", "empty"),
        (42, "a path"),
        (Recording("r", redact="yes"), "True, False or a function"),
    ],
)
async def test_what_cannot_be_written_is_said_at_once(record, words, autojump_clock):
    with pytest.raises(ConfigurationError, match=words):
        async with open_session(connect=None, record=record):
            pass


async def test_recording_does_not_do_away_with_the_key(folder, monkeypatch, tmp_path):
    """What wraps the link must not be taken for a link of the user's own, which needs no key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        async with open_session(record=folder):
            pass
    with pytest.raises(ConfigurationError, match="plain text"):
        async with open_session(record=tmp_path / "other", url="ws://example.com/v1", api_key="sk-test-key-1234"):
            pass


async def test_a_disk_that_refuses_stops_the_recording_only(open_recorded, folder, monkeypatch, caplog):
    async with open_recorded() as (session, answers), session.events(RecordingStopped) as stopped:
        with trio.fail_after(10):
            while b"session.updated" not in (folder / "events.jsonl").read_bytes():  # noqa: ASYNC110 a file tells nobody
                await trio.sleep(0.05)
        monkeypatch.setattr("realtime_trio.recording.writer.Writer._message", _full)
        await answers.peer.send("something.new")
        with trio.fail_after(10):
            notice = await stopped.receive()
        assert str(folder) in notice.words
        assert "No space left on device" in notice.words
        monkeypatch.undo()
        with trio.fail_after(10):
            await session.update(instructions="Go on.")

    assert "No space left on device" in caplog.text
    assert "something.new" not in (folder / "events.jsonl").read_text()
    assert "session.updated" in [entry.type for entry in read_recording(folder).entries()]


def _full(*_: object):
    raise OSError(28, "No space left on device")


async def test_a_disk_that_is_too_slow_stops_the_recording(open_recorded, monkeypatch):
    monkeypatch.setattr("realtime_trio.recording.writer._BACKLOG", 10_000)
    monkeypatch.setattr("realtime_trio.recording.writer._INTERVAL", 60)
    async with open_recorded() as (session, _), session.events(RecordingStopped) as stopped:
        await session.append_audio(TONE)
        await session.append_audio(TONE)
        with trio.fail_after(10):
            assert "too slow" in (await stopped.receive()).words


async def test_a_recorded_link_knows_what_the_link_itself_knows(folder, autojump_clock):
    """A session goes by the server's clock whether it is recorded or not."""

    @asynccontextmanager
    async def connect(target):
        async with peer.connect(target) as stream:
            stream.server_time, stream.opened_at = 784111777.0, 12.5
            yield stream

    async with (
        open_scripted_peer() as peer,
        open_recording(folder) as recorder,
        open_connection(connect=recorder.connect(connect)) as connection,
    ):
        assert (connection.server_time, connection.opened_at) == (784111777.0, 12.5)
