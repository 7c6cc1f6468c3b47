"""The measuring tools measure: what is known to have been played is found where it was played."""

import numpy as np
import pytest
import trio

from .pulse import open_pulse
from .signals import RATE, came_out, level_dbfs, noise, without_gaps, write_wav

pytestmark = pytest.mark.slow


async def test_what_is_said_into_the_microphone_is_recorded_from_it_sample_by_sample(pulse, tmp_path):
    said = noise(1.0, seed=1)

    async with pulse.record("mic") as heard:
        await pulse.play(write_wav(tmp_path / "said.wav", said))
        await heard.sound(seconds=0.9)
        await heard.silence(0.3)

    length, alike = came_out(heard.samples, said)
    sound, _ = without_gaps(heard.samples)
    assert alike > 0.9
    assert length == pytest.approx(RATE, abs=RATE // 50), "all of it"
    assert len(sound) == pytest.approx(RATE, abs=RATE // 50), "and nothing else"
    assert level_dbfs(sound) == pytest.approx(level_dbfs(said), abs=0.2)


async def test_the_room_gives_back_what_the_loudspeaker_plays_as_loud_as_it_was_asked(pulse, tmp_path):
    played = noise(2.0, seed=2)
    await pulse.add_echo(0.5)

    async with pulse.record() as speaker, pulse.record("mic") as microphone:
        await pulse.play(write_wav(tmp_path / "played.wav", played), sink="speaker")
        await microphone.sound(seconds=1.8)
        await microphone.silence(0.3)

    for recording, gain in ((speaker, 1.0), (microphone, 0.5)):
        length, alike = came_out(recording.samples, played)
        sound, _ = without_gaps(recording.samples)
        assert alike > 0.9
        assert length == pytest.approx(2 * RATE, abs=RATE // 50)
        assert level_dbfs(sound) - level_dbfs(played) == pytest.approx(20 * np.log10(gain), abs=0.3)


async def test_a_server_that_was_killed_can_be_started_again_under_the_same_address(pulse, tmp_path):
    said = write_wav(tmp_path / "said.wav", noise(0.5, seed=3))
    await pulse.kill()
    await pulse.start()

    async with pulse.record("mic") as heard:
        await pulse.play(said)
        await heard.sound(seconds=0.4)


async def test_nothing_is_left_when_its_block_is_left():
    async with open_pulse() as pulse:
        home = pulse.home
        assert "speaker" in await pulse.control("list", "short", "sinks")

    assert not home.exists()
    found = await trio.run_process(["pgrep", "-f", str(home)], check=False, capture_stdout=True)
    assert found.stdout == b""
