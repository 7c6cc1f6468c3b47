"""A recording played again: a user's report becomes a test."""

import pytest
import trio

from realtime_trio import ConfigurationError, ConnectionClosed, open_server, open_session
from realtime_trio.audio import ClockedDevice
from realtime_trio.events import InputAudioBufferSpeechStarted
from realtime_trio.recording import read_recording
from realtime_trio.replay import check, tell
from realtime_trio.testing import open_scripted_peer, session_from_recording

from .talks import talk, talk_by_key, talk_typed, voice


async def test_a_talk_happens_again(folder, tmp_path, autojump_clock):
    """What was said, heard and cut in the second session is what it was in the first, to a block."""
    await talk(folder)
    async with session_from_recording(folder, record=tmp_path / "again") as replayed:
        await replayed.finished()

    then, now = (tell(read_recording(path)) for path in (folder, tmp_path / "again"))
    assert [(turn.who, turn.text) for turn in now.turns] == [(turn.who, turn.text) for turn in then.turns]
    assert [(run.name, run.arguments, run.output) for run in now.tools] == [
        (run.name, run.arguments, run.output) for run in then.tools
    ]
    assert [part.samples for part in now.parts] == [part.samples for part in then.parts]
    assert [part.cut is None for part in now.parts] == [part.cut is None for part in then.parts]
    for before, after in zip(then.parts, now.parts, strict=True):
        assert after.heard == pytest.approx(before.heard, abs=24 * 60)
        assert after.played[0].begins == pytest.approx(before.played[0].begins, abs=0.1)
    assert check(read_recording(tmp_path / "again")) == []


async def test_it_can_be_played_against_another_server(folder, tmp_path, autojump_clock):
    """Another answers otherwise, but hears the same: the same turns, at the same times."""
    await talk(folder)

    async with (
        open_server(listen=False) as server,
        session_from_recording(folder, connect=server.connect, url=server.url, record=tmp_path / "again") as replayed,
    ):
        await replayed.finished()
        items = replayed.session.conversation.items
        assert (items[-1].role, items[-1].status) == ("assistant", "completed")

    then, now = (tell(read_recording(path)) for path in (folder, tmp_path / "again"))
    spoken = [[turn.at for turn in story.turns if turn.who == "user"] for story in (then, now)]
    assert len(spoken[0]) == 3
    assert spoken[1] == pytest.approx(spoken[0], abs=0.3)


async def test_another_server_is_waited_for_until_the_last_turn_has_ended(folder, autojump_clock):
    """Also where the recording ends in the middle of a word, and the answer to it is still to come."""
    device = ClockedDevice()
    async with (
        open_server(listen=False) as server,
        open_session(
            connect=server.connect, url=server.url, audio=device, record=folder, turn_detection="server_vad"
        ) as session,
        session.events(InputAudioBufferSpeechStarted) as started,
    ):
        await trio.sleep(3)
        device.speak(voice(2000))
        await started.receive()
        await trio.sleep(0.5)

    async with (
        open_server(listen=False) as server,
        session_from_recording(folder, connect=server.connect, url=server.url) as replayed,
    ):
        begun = trio.current_time()
        await replayed.finished()
        assert trio.current_time() - begun > 4
        user, answer = replayed.session.conversation.items
        assert (user.role, answer.role) == ("user", "assistant")
        assert answer.heard_text.startswith("I heard you for 1.")


async def test_a_device_of_ones_own_is_not_waited_for(folder, autojump_clock):
    await talk(folder)

    async with (
        open_server(listen=False) as server,
        session_from_recording(folder, connect=server.connect, url=server.url, audio=ClockedDevice()) as replayed,
    ):
        with trio.fail_after(60):
            await replayed.finished()
        assert len(replayed.session.conversation) == 0


async def test_a_turn_that_another_server_does_not_end_is_said(folder, autojump_clock):
    await talk(folder)

    async with open_scripted_peer(greet=True) as peer:
        peer.ignored.add("input_audio_buffer.append")
        with pytest.raises(AssertionError, match="has not ended the user's last turn"):
            async with session_from_recording(folder, connect=peer.connect, url=peer.url) as replayed:
                await peer.send("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
                await replayed.finished()


async def test_typed_turns_are_typed_again_and_tools_are_stood_in_for(folder, autojump_clock):
    last = await talk_typed(folder)

    async with session_from_recording(folder) as replayed:
        await replayed.finished()
        texts = [item.text for item in replayed.session.conversation if item.text]

    assert texts[0] == "What is the weather in Paris?"
    assert texts[-1] == last
    outputs = [turn.output for turn in tell(read_recording(folder)).tools]
    assert outputs == ["rain in Paris"]


async def test_a_session_that_does_something_else_fails_the_test(folder, autojump_clock):
    await talk_typed(folder)

    with pytest.raises(AssertionError, match=r"expected conversation\.item\.create"):
        async with session_from_recording(folder) as replayed:
            await replayed.session.clear_audio()
            await replayed.finished()


async def test_a_link_that_was_lost_is_lost_again(open_recorded, folder, autojump_clock):
    with pytest.raises(ConnectionClosed):
        async with open_recorded(reconnect=None) as (_, answers):
            await trio.sleep(3)
            await answers.peer.close(1011, "went wrong")
            await trio.sleep(5)

    begun = trio.current_time()
    with pytest.raises(ConnectionClosed, match="went wrong") as caught:
        async with session_from_recording(folder):
            await trio.sleep(60)
    assert caught.value.code == 1011
    assert trio.current_time() - begun == pytest.approx(3, abs=0.5)


async def test_what_a_program_appended_is_appended_again(folder, autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url, record=folder, turn_detection=None) as session,
    ):
        await session.append_audio(voice(400))
        await session.commit_audio()
        await trio.sleep(1)

    async with session_from_recording(folder) as replayed:
        await replayed.finished()
        sent = [event["audio"] for event in replayed.peer.received if event["type"] == "input_audio_buffer.append"]
    recording = read_recording(folder)
    assert sent == [
        recording.message(entry).split('"audio":"')[1].split('"')[0]
        for entry in recording.entries()
        if entry.type == "input_audio_buffer.append"
    ]


def test_what_is_no_recording_is_said(tmp_path):
    async def play() -> None:
        async with session_from_recording(tmp_path):
            pass

    with pytest.raises(ConfigurationError, match="no recording"):
        trio.run(play)


async def test_turns_by_key_are_taken_again(folder, tmp_path, autojump_clock):
    await talk_by_key(folder)

    async with session_from_recording(folder, record=tmp_path / "again") as replayed:
        await replayed.finished()
        heard = [item.heard_text for item in replayed.session.conversation if item.role == "assistant"]

    then, now = (list(read_recording(path).entries()) for path in (folder, tmp_path / "again"))
    keys = [[entry.data["pressed"] for entry in entries if entry.kind == "key"] for entries in (then, now)]
    assert keys == [[True, False, True, False]] * 2
    assert heard == ["12 times 3 is 36."]
    sounds = [sum(part.samples for part in tell(read_recording(path)).parts) for path in (folder, tmp_path / "again")]
    assert sounds[0] == sounds[1] > 24_000


async def test_a_recording_without_the_key_is_refused_in_words(folder, autojump_clock):
    await talk_by_key(folder)
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(line for line in lines if '"kind":"key"' not in line))

    with pytest.raises(ConfigurationError, match="push-to-talk"):
        async with session_from_recording(folder):
            pass


async def test_what_the_wire_does_not_show_is_as_it_was_unless_it_is_given(folder, tmp_path, autojump_clock):
    async def guard(text):
        await trio.sleep(0.1)

    async with (
        open_server(listen=False) as server,
        open_session(
            connect=server.connect, url=server.url, record=folder, interruption="confirm", echo="off", guard=guard
        ) as session,
    ):
        await session.ask("Say hello.")
    noted = read_recording(folder).header["options"]

    async with session_from_recording(folder, record=tmp_path / "again") as replayed:
        await replayed.finished()
    async with session_from_recording(folder, record=tmp_path / "other", guard=None, echo="auto") as replayed:
        await replayed.finished()

    assert noted.items() >= {"interruption": "confirm", "echo": "off", "guard": True}.items()
    assert read_recording(tmp_path / "again").header["options"] == noted
    assert read_recording(tmp_path / "other").header["options"] == noted | {"guard": False, "echo": "auto"}
