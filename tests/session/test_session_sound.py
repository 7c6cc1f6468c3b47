"""Sound and interruption in a session, judged by what the device played and what the wire says."""

import base64
import math
from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio import AudioDropped, Interrupted, open_session
from realtime_trio.testing import FakeDevice, open_scripted_peer

SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}


def appended(talk) -> bytes:
    """All sound that was sent so far."""
    return b"".join(
        base64.b64decode(event["audio"]) for event in talk.peer.received if event["type"] == "input_audio_buffer.append"
    )


async def test_barge_in_cuts_and_tells_the_server_what_came_out(autojump_clock, open_voice, tone, played_ms):
    """The server cancels by itself; one truncation says where the sound ended, to the sample that the speaker got."""
    async with open_voice(drain=False) as talk:
        interruptions = talk.session.events(Interrupted)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await talk.peer.send(SPEECH_STARTED)
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a", content_index=0)
        await talk.audio("resp_1", tone(500))  # a straggler
        await talk.peer.expect_nothing(3)

        assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)
        assert 900 < truncate["audio_end_ms"] < 1100
        notice = await interruptions.receive()
        assert isinstance(notice, Interrupted)
        part = notice.interruption.parts[0]
        assert part.cut_ms == truncate["audio_end_ms"]
        assert part.heard_ms <= part.cut_ms  # the fade, and what was on its way to the speaker
        assert part.received_ms == 3000


async def test_interrupt_cancels_first_then_truncates(autojump_clock, open_voice, tone, played_ms):
    """A stop button stops: the generation by id, then what was heard."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        pending = talk.session.interrupt()
        await talk.peer.expect("response.cancel", response_id="resp_1")
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        record = await pending

        assert record.cut_ms == truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)


async def test_interrupting_works_when_generation_is_long_over(autojump_clock, open_voice, tone, played_ms):
    """40 s are still queued: nothing to cancel, but to cut and to truncate."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(41000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(1)
        await talk.peer.send(SPEECH_STARTED)
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.peer.expect_nothing(45)

        assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)


async def test_of_two_items_the_first_is_truncated_and_the_second_deleted(autojump_clock, open_voice, tone):
    """What nobody heard a sample of leaves the conversation."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        for item_id in ("item_1", "item_2"):
            await talk.audio("resp_1", tone(3000), item_id)
            await talk.audio_done("resp_1", item_id)
        await talk.done("resp_1")
        await trio.sleep(0.2)
        await talk.peer.send(SPEECH_STARTED)
        # that nobody heard the second is known at once; where the first ended, with the device's next block
        await talk.peer.expect("conversation.item.delete", item_id="item_2")
        await talk.peer.expect("conversation.item.truncate", item_id="item_1", audio_end_ms=lambda ms: 100 < ms < 260)
        await talk.peer.expect_nothing(10)


async def test_a_truncation_is_never_longer_than_what_was_sent(autojump_clock, open_voice, tone):
    """Of a part of 500.5 ms, heard as far as it goes, 500 are claimed: the server refuses the 501st."""
    async with open_voice(drain=False) as talk:
        interruptions = talk.session.events(Interrupted)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", base64.b64encode((1000).to_bytes(2, "little") * (24 * 500 + 12)).decode())
        await trio.sleep(1)  # the next delta is late
        assert talk.session.sound().queued_ms == 0
        talk.session.interrupt()
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a", audio_end_ms=500)
        (part,) = (await interruptions.receive()).interruption.parts
        assert (part.heard_ms, part.cut_ms, part.received_ms) == (500, 500, 500)


async def test_what_was_heard_whole_is_left_alone(autojump_clock, open_voice, tone, played_ms):
    """Speaking after the answer is no interruption."""
    async with open_voice() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(500))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(2)
        await talk.peer.send(SPEECH_STARTED)
        await talk.peer.expect_nothing(5)

        assert played_ms(talk.device) == 500


async def test_a_turns_block_is_left_quietly(autojump_clock, open_voice, tone):
    """The barge-in ends the scope of the response, and nothing else."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:
        responses = talk.session.responses()
        left = []

        async def follow():
            async with responses:
                response = await responses.receive()
                async with response:
                    async for _ in response.transcript_deltas:
                        pass
                    await response.heard()
                    await trio.sleep_forever()
                left.append(trio.current_time())
                await response.heard()
                left.append(response.interruption.cut_ms)

        nursery.start_soon(follow)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        await talk.peer.send(SPEECH_STARTED)
        truncate = await talk.peer.expect("conversation.item.truncate")
        await trio.sleep(0.1)

        assert left[0] == pytest.approx(trio.current_time() - 0.1, abs=0.05)
        assert left[1] == truncate["audio_end_ms"]


async def test_leaving_a_turns_block_early_interrupts(autojump_clock, open_voice, tone):
    """Who stops reading stops the model."""
    async with open_voice(drain=False) as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        response = await responses.receive()
        async with response:
            await trio.sleep(1)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")


async def test_text_is_interrupted_without_truncation(autojump_clock, open_voice):
    """Text parts are never touched."""
    async with open_voice(modality="text") as talk:
        await talk.created(None, "resp_1")
        await talk.peer.send(
            "response.output_text.delta",
            response_id="resp_1",
            item_id="item_a",
            output_index=0,
            content_index=0,
            delta="Well",
        )
        pending = talk.session.interrupt()
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(5)

        assert (await pending).parts == ()


async def test_ask_returns_when_the_answer_was_heard(autojump_clock, open_voice, tone):
    """With a device an exchange is over when the speaker is silent, not when the server is done."""
    async with open_voice() as talk, trio.open_nursery() as nursery:

        async def answer():
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.audio("resp_1", tone(2000))
            await talk.audio_done("resp_1")
            await talk.done("resp_1")

        nursery.start_soon(answer)
        start = trio.current_time()
        reply = await talk.session.ask("Speak for two seconds.")

        assert reply.status == "completed"
        assert trio.current_time() - start == pytest.approx(2.05, abs=0.06)


async def test_ask_returns_cancelled_when_it_is_interrupted(autojump_clock, open_voice, tone):
    """Being interrupted is no error: the reply says what was heard."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:

        async def answer():
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.audio("resp_1", tone(5000))
            await trio.sleep(1)
            await talk.peer.send(SPEECH_STARTED)
            await talk.audio_done("resp_1")
            await talk.done("resp_1", status="cancelled")
            await talk.peer.expect("conversation.item.truncate")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Speak for five seconds.")

        assert reply.status == "cancelled"
        assert 900 < reply.interruption.cut_ms < 1100


async def test_cancelling_ask_cuts_what_it_was_saying(autojump_clock, open_voice, tone, played_ms):
    """Nobody wants the answer any more: its sound stops at once, not when the device's ring is empty."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:

        async def answer():
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.audio("resp_1", tone(5000))
            await talk.peer.expect("response.cancel", response_id="resp_1")
            truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
            assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)

        nursery.start_soon(answer)
        with trio.move_on_after(1):
            await talk.session.ask("Speak for five seconds.")
        await trio.sleep(0.5)

        assert played_ms(talk.device) < 1020


async def test_cancelling_ask_cuts_an_answer_that_is_generated(autojump_clock, open_voice, tone, played_ms):
    """It makes no difference to who left that the server had finished."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:

        async def answer():
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.audio("resp_1", tone(5000))
            await talk.audio_done("resp_1")
            await talk.done("resp_1")
            truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
            assert truncate["audio_end_ms"] == pytest.approx(played_ms(talk.device), abs=1)

        nursery.start_soon(answer)
        with trio.move_on_after(1):
            await talk.session.ask("Speak for five seconds.")
        await trio.sleep(0.5)

        assert played_ms(talk.device) < 1020


async def test_dropped_audio_is_reported_once(autojump_clock, open_voice):
    """A slow uplink costs sound, and each loss is told once."""
    async with open_voice(drain=False) as talk:
        dropped = talk.session.events(AudioDropped)
        talk.peer.stall()
        for _ in range(4000):
            talk.session._engine.sound.capture.append(bytes(960), 480, 0.0)  # as the capture does, faster than time
        await trio.sleep(0.1)
        first = await dropped.receive()
        assert isinstance(first, AudioDropped)
        assert first.ms > 0
        told = first.ms
        talk.peer.resume()
        with trio.move_on_after(3):
            while True:
                told += (await dropped.receive()).ms
        assert told == talk.session.statistics().input.dropped_ms


async def test_a_normal_end_lets_what_was_generated_be_heard(autojump_clock, open_voice, tone, played_ms):
    """The block takes as long as the sound, and the sound is whole."""
    async with open_voice() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(2000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(0.1)

    assert played_ms(talk.device) == 2000


async def test_a_response_that_never_ends_does_not_keep_a_normal_end(autojump_clock, open_voice, tone, played_ms):
    """A server that goes silent in the middle of an answer is given up after 30 s."""
    async with open_voice() as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(500))
        await trio.sleep(1)
        start = trio.current_time()

    assert played_ms(talk.device) == 500
    assert trio.current_time() - start < 35


async def test_an_exception_fades_the_sound_out(autojump_clock, tone):
    """No block is left at full level: the last samples ramp down within 10 ms."""
    device = FakeDevice()
    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as nursery:
        nursery.start_soon(device.run)
        with pytest.raises(ZeroDivisionError):
            async with open_session(connect=peer.connect, url=peer.url, audio=device):
                await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
                await peer.send(
                    "response.output_audio.delta",
                    response_id="resp_1",
                    item_id="item_a",
                    output_index=0,
                    content_index=0,
                    delta=tone(5000, 8000),
                )
                await trio.sleep(1)
                raise ZeroDivisionError
        nursery.cancel_scope.cancel()

    samples = memoryview(bytes(device.played)).cast("h").tolist()
    while samples and samples[-1] == 0:
        samples.pop()
    assert abs(samples[-1]) < 200
    assert len([sample for sample in samples if 0 < abs(sample) < 8000]) <= 240


class Watched(FakeDevice):
    """Notes when it was closed, in Trio's time."""

    closed_at = -math.inf

    @asynccontextmanager
    async def open(self):
        async with super().open() as stream:
            try:
                yield stream
            finally:
                self.closed_at = trio.current_time()


@pytest.mark.parametrize("speaks", [True, False])
async def test_the_device_is_closed_when_the_fade_was_handed_over(autojump_clock, open_voice, tone, speaks):
    """A sound card that is closed earlier clicks. Nothing is waited for when nothing is being said."""
    device = Watched()
    async with open_voice(device=device, drain=False) as talk:
        await talk.created(None, "resp_1")
        if speaks:
            await talk.audio("resp_1", tone(5000, 8000))
        await trio.sleep(1.005)  # 15 ms before the next block
        cuts, left = len(device.cuts), trio.current_time()
    assert len(device.cuts) - cuts == speaks
    assert device.closed_at - left == pytest.approx(0.015 if speaks else 0, abs=0.001)


async def test_a_fade_that_nobody_reports_is_not_waited_for_long(autojump_clock, open_talk, tone):
    """A device that has stopped moving holds nobody up: a tenth of a second."""
    device = Watched()  # nobody runs it
    async with open_talk(audio=device, drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(5000, 8000))
        await trio.sleep(1)
        left = trio.current_time()
    assert device.closed_at - left == pytest.approx(0.1, abs=0.01)


async def test_what_is_said_after_the_end_is_not_sent(autojump_clock, open_voice, tone):
    """Whoever leaves a session is not listened to any more, not even while the sound fades out."""
    async with open_voice(turn_detection="server_vad", drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(5000))
        await trio.sleep(1.005)
        sent = appended(talk)
        talk.device.speak(base64.b64decode(tone(1000, 700)))  # from the next block on
    assert len(sent) / 48 == pytest.approx(1000, abs=20)
    assert appended(talk) == sent


async def test_a_response_without_end_is_interrupted_at_the_limit(autojump_clock, open_voice, tone):
    """Memory is bounded: the reason says so."""
    async with open_voice(drain=False, audio_limit=2) as talk:
        interruptions = talk.session.events(Interrupted)
        await talk.created(None, "resp_1")
        for _ in range(5):
            await talk.audio("resp_1", tone(500))
        await talk.peer.expect("response.cancel", response_id="resp_1")
        notice = await interruptions.receive()

        assert isinstance(notice, Interrupted)
        assert notice.interruption.reason == "audio_limit"


async def test_the_microphone_is_appended_block_by_block(autojump_clock, open_voice, tone):
    """What was said before the microphone is what the wire carries, without gaps."""
    async with open_voice() as talk:
        said = talk.device.speak(base64.b64decode(tone(200, 5000)))
        await said.captured()
        await trio.sleep(0.1)

    assert appended(talk).strip(b"\0").count(b"\x88\x13") == 200 * 24


async def test_latency_is_from_the_end_of_speech_to_the_first_sound(autojump_clock, open_voice, tone):
    """The silence that turn detection waits for counts; the network's arrival times do not."""
    async with open_voice(turn_detection="server_vad") as talk:
        responses = talk.session.responses()
        await trio.sleep(2)
        # by then the user has been silent for the 500 ms that server VAD waits
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=1900, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_1")
        await trio.sleep(0.4)
        await talk.audio("resp_1", tone(200))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        response = await responses.receive()
        await response.heard()

        # speech ended at 1.4 s; the sound came at 2.4 s and takes a block and 30 ms to the speaker
        assert response.latency_ms == pytest.approx(1040, abs=25)


async def test_a_normal_end_waits_for_what_becomes_owed_meanwhile(autojump_clock, open_voice, tone, played_ms):
    """What another task asks for while the last answer is heard is answered, and heard, too."""
    async with trio.open_nursery() as nursery:
        async with open_voice() as talk:

            async def ask_late():
                await trio.sleep(1)
                nursery.start_soon(talk.session.send_text, "And then?")
                await talk.acknowledge()
                request = await talk.peer.expect("response.create")
                await trio.sleep(3)  # longer than the first answer lasts
                await talk.created(request, "resp_2")
                await talk.audio("resp_2", tone(1000, 3000), "item_b")
                await talk.audio_done("resp_2", "item_b")
                await talk.done("resp_2")

            await talk.created(None, "resp_1")
            await talk.audio("resp_1", tone(2000))
            await talk.audio_done("resp_1")
            await talk.done("resp_1")
            nursery.start_soon(ask_late)
        assert played_ms(talk.device) == 3000
