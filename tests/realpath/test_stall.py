"""A program stands still for a while (Ctrl-Z and `fg`, a laptop that sleeps): what was captured meanwhile is late."""

from pathlib import Path

import pytest
import trio

from .program import open_talk

pytestmark = pytest.mark.slow

TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"
STANDSTILL = 4.0  # seconds; the sound server keeps them all, and a link that is silent for 5 s is given up


async def test_the_user_is_not_heard_later_for_ever_after_it(pulse, tmp_path):
    async with open_talk(pulse.environment, tmp_path, answers=["I see."]) as program, trio.open_nursery() as nursery:
        await program.next("ready")
        await program.do("ask", text="Are you there?")
        await program.next("heard")
        await program.stand_still(STANDSTILL)
        assert not (await program.next("DeviceChanged"))["available"]
        assert (await program.next("DeviceChanged"))["available"], "it was opened again"
        nursery.start_soon(pulse.play, TORONTO)
        spoken_at = trio.current_time()
        await program.next("input_audio_buffer.speech_started")
        assert trio.current_time() - spoken_at < STANDSTILL - 1
        nursery.cancel_scope.cancel()
