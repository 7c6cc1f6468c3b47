"""A session whose budget is spent: who is listened to no more, what goes on to its end, and what a user raises."""

import base64

import pytest
import trio

from realtime_trio import Budget, BudgetExceeded
from realtime_trio.testing import FakeDevice

USAGE = {"total_tokens": 150, "input_tokens": 150, "output_tokens": 0, "input_token_details": {"text_tokens": 150}}
SPENT = Budget(tokens=100)


def count(talk, kind):
    return [event["type"] for event in talk.peer.received].count(kind)


async def spend(talk, response_id="resp_1", sound=None):
    """Answer by turn detection, with more than the budget has."""
    await talk.created(None, response_id)
    if sound is not None:
        await talk.audio(response_id, sound)
        await talk.audio_done(response_id)
    await talk.done(response_id, usage=USAGE)


async def test_the_microphone_is_closed(autojump_clock, open_voice, tone):
    """While the last words are heard, nothing is sent of what the user says."""
    device = FakeDevice(output_latency_ms=30)
    device.speak(base64.b64decode(tone(20_000, 3000)))
    counts = []
    with pytest.RaisesGroup(BudgetExceeded):  # by the nursery that runs the device
        async with open_voice(device=device, budget=SPENT) as talk:
            await trio.sleep(1)
            assert count(talk, "input_audio_buffer.append") > 5
            await spend(talk, sound=tone(3000))
            await talk.peer.expect("input_audio_buffer.clear")  # and is not answered: the server still listens
            await trio.sleep(0.1)
            counts.append(count(talk, "input_audio_buffer.append"))
            await trio.sleep(1.5)
            counts.append(count(talk, "input_audio_buffer.append"))
            await trio.sleep_forever()

    assert counts[0] == counts[1]


async def test_a_turn_that_is_spoken_with_the_key_is_dropped(autojump_clock, open_voice, tone):
    """Nobody would answer it: the server forgets it, and whoever lets the key go hears why."""
    device = FakeDevice(output_latency_ms=30)
    device.speak(base64.b64decode(tone(20_000, 3000)))
    is_dropped = False
    with pytest.RaisesGroup(BudgetExceeded):
        async with open_voice(device=device, budget=SPENT, turn_detection=None) as talk:
            talk.session.press()
            await talk.peer.expect("input_audio_buffer.clear")
            await trio.sleep(1)
            await spend(talk)
            await talk.peer.expect("input_audio_buffer.clear")
            with pytest.raises(BudgetExceeded):
                await talk.session.release()
            is_dropped = True
            await trio.sleep_forever()

    assert is_dropped
    assert count(talk, "input_audio_buffer.commit") == 0


async def test_what_is_generated_beside_goes_on(autojump_clock, open_talk):
    """It was asked for before, also where the server does not say whose it is."""
    texts = []
    with pytest.raises(BudgetExceeded):
        async with open_talk(budget=SPENT, turn_detection=None) as talk, trio.open_nursery() as nursery:

            async def generate():
                response = await talk.session.generate("Sum it up.")
                await response.done()
                texts.append(response.text)

            nursery.start_soon(generate)
            await talk.peer.expect("response.create")
            await spend(talk)
            await talk.created(None, "resp_2", conversation_id=None)
            await trio.sleep(0.1)
            await talk.text("resp_2", "All is said.", "item_b")
            await trio.sleep_forever()

    assert texts == ["All is said."]
    assert count(talk, "response.cancel") == 0


async def test_a_block_that_ends_while_the_session_is_about_to_raises_nothing(autojump_clock, open_voice):
    """It has ended by itself, also where the end of a response is waited for longer than the last words are."""
    async with trio.open_nursery() as nursery:
        began = trio.current_time()

        async def end_late(talk):
            await trio.sleep(2)
            await talk.done("resp_2", status="cancelled")

        async with open_voice(budget=SPENT, turn_detection=None) as talk:
            await spend(talk)
            await trio.sleep(0.3)
            await talk.created(None, "resp_2")
            await talk.peer.expect("response.cancel", response_id="resp_2")
            nursery.start_soon(end_late, talk)

        assert trio.current_time() - began > 2
