"""How long answers took, and where the time went: the pieces add up, and each is what the wire and the device say."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio import Latency
from realtime_trio.session.latency import Stages


@pytest.fixture
def far():
    """Make a session believe that the server is 80 ms away and back."""

    def far(talk):
        talk.session._engine.turns._stopwatch.round_trip = lambda: 0.08

    return far


async def answer(talk, sound, request=None, after=0.4):
    await talk.created(request, "resp_1")
    await trio.sleep(after)
    await talk.audio("resp_1", sound)
    await talk.audio_done("resp_1")
    await talk.done("resp_1")


async def test_a_turn_that_the_server_detected(autojump_clock, open_voice, tone, far):
    """Silence waited for, thinking, the way there and back, and the device."""
    async with open_voice(turn_detection="server_vad") as talk:
        far(talk)
        responses = talk.session.responses()
        await trio.sleep(2)
        # by then the user has been silent for the 500 ms that server VAD waits, and for as long as this took to arrive
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=1900, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await answer(talk, tone(200))
        response = await responses.receive()
        await response.heard()

        latency = response.latency
        assert latency.total_ms == response.latency_ms == pytest.approx(1040, abs=25)
        assert latency.turn_detection_ms == pytest.approx(600 - 80, abs=2)
        assert latency.server_ms == pytest.approx(400, abs=2)
        assert latency.network_ms == 80
        assert latency.buffer_ms == pytest.approx(40, abs=25)  # up to a block, and 30 ms to the speaker


async def test_what_is_played_before_it_is_part_of_the_buffer(autojump_clock, open_voice, tone):
    """The second answer arrives at once, and waits for the first to end."""
    async with open_voice(turn_detection="server_vad") as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_0")
        await talk.audio("resp_0", tone(3000), "item_0")
        await talk.audio_done("resp_0", "item_0")
        await talk.done("resp_0")
        await trio.sleep(2)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=2000, item_id="item_u")
        await answer(talk, tone(200), after=0.1)
        await responses.receive()
        response = await responses.receive()
        await response.heard()

        assert response.latency.buffer_ms == pytest.approx(930, abs=25)
        assert response.latency.total_ms == pytest.approx(500 + 100 + 930, abs=25)


async def test_an_underrun_does_not_move_the_first_sound(autojump_clock, open_voice, tone):
    """A sliver of sound, then nothing for long: it began when it began."""
    async with open_voice(turn_detection="server_vad") as talk:
        responses = talk.session.responses()
        await trio.sleep(2)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=2000, item_id="item_u")
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(1))
        arrived = trio.current_time()
        await trio.sleep(3)
        await talk.audio("resp_1", tone(500))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        response = await responses.receive()
        await response.heard()

        assert 0.03 <= response.first_sound_at - arrived <= 0.0501  # at the next tick, and the way to the speaker


async def test_an_answer_to_a_typed_turn(autojump_clock, open_voice, tone, far):
    """Its time begins when it was asked for; nothing was spoken, so `latency_ms` has nothing to say."""
    async with open_voice() as talk, trio.open_nursery() as nursery:
        far(talk)

        async def serve():
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await trio.sleep(0.5)
            await answer(talk, tone(200), request, after=0)

        nursery.start_soon(serve)
        reply = await talk.session.ask("How late is it?")
        (response,) = reply.responses

        assert response.latency_ms is None
        assert response.latency.turn_detection_ms == 0
        assert response.latency.network_ms == 80
        assert response.latency.server_ms == pytest.approx(420, abs=2)


async def test_push_to_talk_begins_at_the_release(autojump_clock, open_voice, tone):
    """The key says when the turn is over; the server's word comes later."""
    async with open_voice(turn_detection=None) as talk, trio.open_nursery() as nursery:
        responses = talk.session.responses()
        await trio.sleep(1)
        talk.session.press()
        await trio.sleep(1)
        released_at = trio.current_time()
        nursery.start_soon(talk.session.release)
        await talk.peer.expect("input_audio_buffer.clear")
        await talk.peer.expect("input_audio_buffer.commit")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await answer(talk, tone(200), await talk.peer.expect("response.create"), after=0.3)
        response = await responses.receive()
        await response.heard()

        assert response.speech_ended_at == released_at
        assert response.latency.turn_detection_ms == 0
        assert response.latency.server_ms == pytest.approx(300, abs=2)
        assert response.latency.total_ms == pytest.approx(340, abs=25)


async def test_an_old_silence_is_not_the_beginning_of_a_new_answer(autojump_clock, open_voice, tone):
    """Speech that nobody answered does not count for what was asked for a minute later."""
    async with open_voice(turn_detection="server_vad") as talk:
        responses = talk.session.responses()
        await trio.sleep(2)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=2000, item_id="item_u")
        await trio.sleep(60)
        await answer(talk, tone(200))
        response = await responses.receive()
        await response.heard()

        assert response.speech_ended_at is None
        assert response.latency is None


async def test_an_answer_to_silence_answers_no_speech(autojump_clock, open_voice, tone):
    """The server spoke up because nobody did."""
    async with open_voice(turn_detection="server_vad") as talk:
        responses = talk.session.responses()
        await trio.sleep(2)
        idle = {"audio_start_ms": 0, "audio_end_ms": 2000, "item_id": "item_u"}
        await talk.peer.send("input_audio_buffer.timeout_triggered", **idle)
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await answer(talk, tone(200))
        response = await responses.receive()
        await response.heard()

        assert response.speech_ended_at is None
        assert response.latency is None


async def test_a_commit_by_the_program_ends_the_turn_when_it_was_sent(autojump_clock, open_voice, tone, far):
    """Half a round trip before the server's word, and as much on the way back."""
    async with open_voice(turn_detection=None) as talk:
        far(talk)
        responses = talk.session.responses()
        await trio.sleep(2)
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        committed_at = trio.current_time()
        await answer(talk, tone(200))
        response = await responses.receive()
        await response.heard()

        assert response.speech_ended_at == pytest.approx(committed_at - 0.08)
        assert (response.latency.turn_detection_ms, response.latency.network_ms) == (0, 80)


def test_nothing_is_told_before_the_first_sound():
    """Nor without a device."""
    assert Stages(turn_over_at=1.0, audio_at=2.0).latency(0.5, None) is None
    assert Stages().latency(None, 3.0) is None


def test_asking_after_the_turn_makes_another_round_trip():
    """Where turn detection does not create the answer itself."""
    stages = Stages(turn_over_at=1.0, asked_at=1.1, audio_at=2.0, round_trip=0.1)

    assert stages.latency(0.3, 2.25) == Latency(1950, 600, 900, 200, 250)


TIMES = st.none() | st.floats(0, 100)


@given(stages=st.builds(Stages, TIMES, TIMES, TIMES, st.none() | st.floats(0, 5)), ended=TIMES, sound=st.floats(0, 100))
def test_the_pieces_add_up_and_none_is_negative(stages, ended, sound):
    """Whatever the clocks and the order of events say."""
    latency = stages.latency(ended, sound)
    if latency is not None:
        pieces = (latency.turn_detection_ms, latency.server_ms, latency.network_ms, latency.buffer_ms)

        assert sum(pieces) == latency.total_ms
        assert min(pieces) >= 0
        start = ended if ended is not None else stages.asked_at
        assert abs(latency.total_ms - max(0, sound - start) * 1000) <= 1
