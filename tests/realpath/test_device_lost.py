"""The sound server dies in the middle of an answer, and comes back: the talk goes on."""

import pytest

from .program import open_talk
from .signals import RATE, came_out, noise, read_wav, write_wav

pytestmark = pytest.mark.slow


async def test_a_session_outlives_its_sound_server(pulse, tmp_path):
    answers = [write_wav(tmp_path / f"answer{n}.wav", noise(seconds, seed=n)) for n, seconds in ((1, 30.0), (2, 2.0))]

    async with open_talk(pulse.environment, tmp_path, answers=list(map(str, answers))) as program:
        await program.next("ready")
        async with pulse.record() as speaker:
            await program.do("ask", text="Go on.")
            await speaker.sound()
            await pulse.kill()
        lost = await program.next("DeviceChanged")
        await pulse.start()
        found = await program.next("DeviceChanged")
        await program.do("interrupt")
        await program.next("heard")

        async with pulse.record() as speaker:
            await program.do("ask", text="Where were we?")
            assert not (await program.next("heard"))["interrupted"]
            await speaker.silence(0.3)
        await program.do("state")
        state = await program.next("state")
        assert await program.finish() == 0

    assert (lost["available"], found["available"]) == (False, True)
    assert len(program.all("DeviceChanged")) == 2
    assert state["lost"] > 0, "blocks passed while there was no hardware, and were counted"
    heard, alike = came_out(speaker.samples, read_wav(answers[1]))
    assert alike > 0.9, "it speaks again"
    assert heard == pytest.approx(2 * RATE, abs=RATE // 50), "and to its end"
    assert "Traceback" not in program.stderr
