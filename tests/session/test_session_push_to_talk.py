"""Turns by key, and the mute: what goes over the wire, when, and what never does."""

import base64
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from realtime_trio import NotAcknowledged, ServerError, open_session
from realtime_trio.errors import LocalProtocolError
from realtime_trio.testing import FakeDevice, open_scripted_peer

SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}


def appended(talk) -> bytes:
    """All sound that was sent so far."""
    return b"".join(
        base64.b64decode(event["audio"]) for event in talk.peer.received if event["type"] == "input_audio_buffer.append"
    )


def levels(pcm: bytes) -> list[int]:
    """Name the levels in a sound of steps, in order, each once in a row."""
    samples = memoryview(pcm).cast("h")
    return [samples[index] for index in range(len(samples)) if index == 0 or samples[index] != samples[index - 1]]


@pytest.fixture
def open_manual(open_voice):
    def open_manual(**options):
        return open_voice(drain=False, turn_detection=None, **options)

    return open_manual


async def test_nothing_is_sent_between_turns(autojump_clock, open_manual, tone):
    async with open_manual() as talk:
        await talk.device.speak(base64.b64decode(tone(2000))).captured()
        await trio.sleep(0.1)
        assert appended(talk) == b""


async def test_a_turn_by_key(autojump_clock, open_manual, tone):
    """Clear, then what was said just before the key, then the rest; commit; and an answer is asked for."""
    async with open_manual() as talk:
        talk.peer.ignored.discard("input_audio_buffer.append")
        for level in (1000, 2000, 3000):
            talk.device.speak(base64.b64decode(tone(1000, level)))
        await trio.sleep(1.1)  # 100 ms into the second level
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await talk.peer.expect("input_audio_buffer.append")
        talk.peer.ignored.add("input_audio_buffer.append")
        await trio.sleep(1.5)
        async with trio.open_nursery() as nursery:
            released = []

            async def release():
                released.append(await talk.session.release())

            nursery.start_soon(release)
            await talk.peer.expect("input_audio_buffer.commit")
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1")
        sent = appended(talk)
        await trio.sleep(1)
        assert released == ["item_u"]
        assert levels(sent) == [1000, 2000, 3000]
        assert len(sent) / 48 == pytest.approx(1500 + 300, abs=40)  # the turn, and 300 ms before it
        assert sent.count((1000).to_bytes(2, "little")) / 24 == pytest.approx(200, abs=20)
        assert appended(talk) == sent  # nothing more after the key was released


async def test_a_tap_stops_the_assistant_and_does_nothing_else(autojump_clock, open_manual, tone, played_ms):
    """No empty commit, no error, no answer; and whoever speaks next may."""
    async with open_manual() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1.01)  # not at the very moment of a block
        talk.session.press()
        await trio.sleep(0.05)
        assert await talk.session.release() is None
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("input_audio_buffer.clear")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.peer.expect("input_audio_buffer.clear")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(3)
        nursery.start_soon(talk.session.send_text, "And now?")
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")


async def test_pressing_twice_and_releasing_twice(autojump_clock, open_manual):
    async with open_manual() as talk, trio.open_nursery() as nursery:
        talk.session.press()
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await trio.sleep(0.5)
        nursery.start_soon(talk.session.release)
        await talk.peer.expect("input_audio_buffer.commit")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")
        assert await talk.session.release() is None
        await talk.peer.expect_nothing(3)


async def test_the_floor_is_the_users_while_the_key_is_down(autojump_clock, open_manual):
    """A reply that is owed meanwhile waits; one answer serves both."""
    async with open_manual() as talk, trio.open_nursery() as nursery:
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        nursery.start_soon(talk.session.send_text, "By the way")
        await talk.acknowledge()
        await talk.peer.expect_nothing(2)
        nursery.start_soon(talk.session.release)
        await talk.peer.expect("input_audio_buffer.commit")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")
        await talk.peer.expect_nothing(3)


async def test_push_to_talk_says_what_it_needs(autojump_clock, open_talk, open_voice):
    async with open_talk(turn_detection=None) as talk:
        with pytest.raises(LocalProtocolError, match="device"):
            talk.session.press()
    async with open_voice(turn_detection="server_vad") as talk:
        with pytest.raises(LocalProtocolError, match="turn_detection=None"):
            talk.session.press()
        with pytest.raises(LocalProtocolError, match="turn_detection=None"):
            await talk.session.release()
        await talk.session.update(turn_detection=None)
        talk.session.press()
        assert talk.session.sound().pressed


async def test_mute_sends_silence_under_turn_detection(autojump_clock, open_voice, tone):
    """A turn does not hang, and what was said while muted is never sent."""
    async with open_voice(drain=False, turn_detection="server_vad") as talk:
        for level in (1000, 2000, 3000):
            talk.device.speak(base64.b64decode(tone(1000, level)))
        await trio.sleep(1)
        talk.session.mute()
        assert talk.session.muted
        await trio.sleep(1)
        talk.session.unmute()
        await trio.sleep(1.1)
        sent = appended(talk)
    assert [level for level in levels(sent) if level != 2000] == [1000, 0, 3000, 0]
    assert sent.count((2000).to_bytes(2, "little")) <= 2 * 480  # the blocks in which the mute began and ended
    assert len(sent) / 48 == pytest.approx(3100, abs=40)  # no gap


async def test_a_muted_turn_by_key_is_a_tap(autojump_clock, open_manual):
    async with open_manual() as talk:
        talk.session.mute()
        talk.session.press()
        await trio.sleep(1)
        assert await talk.session.release() is None
        assert appended(talk) == b""


async def test_a_key_that_is_released_when_the_session_is_over(autojump_clock):
    """Its one who pressed learns why."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(trio.ClosedResourceError):
            async with open_session(
                connect=peer.connect, url=peer.url, audio=FakeDevice(), turn_detection=None, drain=False
            ) as session:
                pass
            await session.release()


async def test_a_tool_that_ends_while_the_key_is_down_waits(
    autojump_clock, open_manual, tone, as_function_call, played_ms
):
    """Nobody speaks over the user, although the server answers what the key sent; then one answer serves both."""

    async def slow() -> str:
        """Take a while."""
        await trio.sleep(1)
        return "done"

    async with open_manual(tools=[slow]) as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "slow", "{}"))
        await trio.sleep(0.1)
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await talk.peer.send("input_audio_buffer.cleared")
        await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_1"})
        await talk.peer.expect_nothing(100)  # for as long as the key is held
        nursery.start_soon(talk.session.release)
        await talk.peer.expect("input_audio_buffer.commit")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")
        await talk.peer.expect_nothing(3)


async def test_after_a_refused_commit_others_may_speak(autojump_clock, open_manual):
    """The one who released the key gets the error; the floor is free."""
    async with open_manual() as talk, trio.open_nursery() as nursery:
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await trio.sleep(0.5)

        async def release():
            with pytest.raises(ServerError, match="too small"):
                await talk.session.release()

        nursery.start_soon(release)
        commit = await talk.peer.expect("input_audio_buffer.commit")
        error = {
            "type": "invalid_request_error",
            "code": "input_audio_buffer_commit_empty",
            "message": "buffer too small",
            "event_id": commit["event_id"],
        }
        await talk.peer.send("error", error=error)
        began = trio.current_time()
        nursery.start_soon(talk.session.respond)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")
        assert trio.current_time() - began < 0.5
        await talk.peer.expect_nothing(3)


async def test_a_commit_that_is_never_acknowledged(autojump_clock, open_manual):
    async with open_manual(ack_timeout=2) as talk, trio.open_nursery() as nursery:
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await trio.sleep(0.5)
        with pytest.raises(NotAcknowledged, match="commit"):
            await talk.session.release()
        await talk.peer.expect("input_audio_buffer.commit")
        nursery.start_soon(talk.session.respond)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")


async def test_quick_turns_keep_their_order(autojump_clock, open_manual):
    """Each turn is committed before the next one clears the buffer, also when no answer has come yet."""
    async with open_manual() as talk, trio.open_nursery() as nursery:
        released = []

        async def release():
            released.append(await talk.session.release())

        for _ in range(3):
            talk.session.press()
            await trio.sleep(0.3)
            nursery.start_soon(release)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(0.1)
        kinds = [event["type"] for event in talk.peer.received if "append" not in event["type"]]
        assert kinds[1:] == ["input_audio_buffer.clear", "input_audio_buffer.commit"] * 3
        for number in range(3):
            await talk.peer.send("input_audio_buffer.committed", item_id=f"item_{number}", previous_item_id=None)
        await trio.sleep(0.1)
        assert released == ["item_0", "item_1", "item_2"]
        creates = [event for event in talk.peer.received if event["type"] == "response.create"]
        assert len(creates) == 1  # one answer for all


async def test_what_the_microphone_gives_late_belongs_to_the_turn(autojump_clock, open_manual, open_talk, tone):
    """Sound that was captured before the key went up is waited for, half a second at most."""

    class Late(FakeDevice):
        """A microphone behind 150 ms of buffers."""

        @asynccontextmanager
        async def open(self):
            async with super().open() as stream:
                receive = stream.receive_block

                async def receive_block():
                    block = await receive()
                    return attrs.evolve(block, captured_at=block.captured_at - 0.15)

                stream.receive_block = receive_block
                yield stream

    device = Late()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(device.run)
        async with open_talk(audio=device, turn_detection=None, drain=False) as talk, trio.open_nursery() as releases:
            await trio.sleep(1)
            talk.session.press()
            pressed = trio.current_time()
            await trio.sleep(1)
            releases.start_soon(talk.session.release)
            released = trio.current_time()
            talk.peer.ignored |= {"input_audio_buffer.append", "input_audio_buffer.clear"}
            await talk.peer.expect("input_audio_buffer.commit")
            assert trio.current_time() - released == pytest.approx(0.15, abs=0.03)
            assert len(appended(talk)) / 48 == pytest.approx(300 + (released - pressed) * 1000 + 150, abs=30)
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1")
        nursery.cancel_scope.cancel()


async def test_leaving_with_the_key_down_ends_soon(autojump_clock, open_voice):
    """Nobody is going to release it: what is owed is asked for and heard, and the block ends."""
    async with open_voice(turn_detection=None) as talk:
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await trio.sleep(0.5)
        left = trio.current_time()
    assert trio.current_time() - left < 2


async def test_a_release_that_nobody_waits_for_is_committed_and_not_answered(autojump_clock, open_manual):
    async with open_manual() as talk:
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await trio.sleep(0.505)
        with trio.move_on_after(0.001):
            await talk.session.release()
        await talk.peer.expect("input_audio_buffer.commit")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.peer.expect_nothing(3)
        talk.session.press()  # the key works on
        await talk.peer.expect("input_audio_buffer.clear")
