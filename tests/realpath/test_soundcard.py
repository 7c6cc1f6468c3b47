"""The sound card itself, without a session: what it counts is what a sound server records."""

import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from .program import HOME, open_program
from .signals import RATE, came_out, find, noise, sound_ends, write_wav

pytestmark = pytest.mark.slow

BLOCK = RATE // 50


@asynccontextmanager
async def open_player(pulse, tmp_path, sound: np.ndarray, **card: object):
    options = {
        "play": str(write_wav(tmp_path / "sound.wav", sound)),
        "record": str(tmp_path / "captured.pcm"),
        "card": card,
    }
    command = [str(HOME / "play_and_listen.py"), json.dumps(options)]
    async with open_program(*command, environment=pulse.environment) as program:
        await program.next("ready")
        yield program


@pytest.mark.parametrize("card", [{}, {"duplex": False}], ids=["duplex", "two streams"])
async def test_what_is_counted_at_a_cut_is_what_came_out(pulse, tmp_path, card):
    sound = noise(20.0, seed=1)

    async with pulse.record() as speaker, open_player(pulse, tmp_path, sound, **card) as program:
        await speaker.sound(seconds=1.0)
        await program.do("cut")
        cut = await program.next("cut")
        await speaker.silence(0.4)
        assert await program.finish() == 0, program.history()

    samples, alike = came_out(speaker.samples, sound)
    closed = await program.next("closed")
    # on a machine that is too busy the sound server drops what it has, and the card says so
    tolerance = BLOCK if not closed["underruns"] else 5 * BLOCK
    assert alike > 0.9
    assert samples == pytest.approx(cut["samples"], abs=tolerance)
    assert 0 < cut["ahead"] < 0.5
    assert closed["seconds"] < 1


async def test_the_microphone_is_heard_from_beginning_to_end(pulse, tmp_path):
    said = noise(2.0, seed=2)
    wav = write_wav(tmp_path / "said.wav", said)

    async with open_player(pulse, tmp_path, np.zeros(0, dtype="<i2")) as program:
        await pulse.play(wav)
        await trio.sleep(0.5)
        assert await program.finish() == 0, program.history()

    captured = np.fromfile(tmp_path / "captured.pcm", dtype="<i2")
    samples, alike = came_out(captured, said)
    assert alike > 0.9
    assert samples == pytest.approx(len(said), abs=BLOCK)
    closed = await program.next("closed")
    assert closed["lost"] == 0


async def test_a_sound_server_that_dies_and_comes_back(pulse, tmp_path):
    """The sound goes on with the sample that was not handed over, and is played to its end."""
    sound = noise(4.0, seed=3)

    async with open_player(pulse, tmp_path, sound) as program:
        async with pulse.record() as speaker:
            await speaker.sound(seconds=1.0)
            await pulse.kill()
        lost = await program.next("change")
        await trio.sleep(1)
        await pulse.start()
        async with pulse.record() as speaker:
            found = await program.next("change")
            assert (await program.next("played"))["samples"] == len(sound)
            await speaker.silence(0.4)
        assert await program.finish() == 0, program.history()

    assert (lost["available"], found["available"]) == (False, True)
    assert lost["words"].startswith("lost the sound device ")
    _, alike = find(sound[-RATE:][: RATE // 2], speaker.samples)
    assert alike > 0.9
    closed = await program.next("closed")
    assert closed["lost"] >= 45, "a second of silence"
    assert program.all("jump") == []
    assert "Traceback" not in program.stderr


async def test_leaving_in_the_middle_of_a_sound_fades_it_out(pulse, tmp_path):
    sound = noise(20.0, seed=4)

    async with pulse.record() as speaker, open_player(pulse, tmp_path, sound) as program:
        await speaker.sound(seconds=1.0)
        assert await program.finish() == 0, program.history()
        await speaker.silence(0.4)

    closed = await program.next("closed")
    assert closed["seconds"] < 1
    recorded = speaker.samples.astype(float)
    end = sound_ends(speaker.samples)
    louder, quieter = (np.sqrt(np.mean(recorded[end - far : end - near] ** 2)) for far, near in ((480, 240), (48, 0)))
    assert quieter < louder / 2 or closed["underruns"], "no click, but for those of the sound server"
