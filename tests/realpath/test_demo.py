"""The demo as a person has it: a question into the microphone, an answer from the loudspeaker."""

import signal
import wave
from pathlib import Path

import numpy as np
import pytest
import trio

from .program import open_program
from .pulse import LIMIT
from .signals import RATE, came_out, read_wav

pytestmark = pytest.mark.slow

TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"


async def test_a_person_is_heard_and_answered(pulse, tmp_path):
    recording = tmp_path / "conversation.wav"

    async with (
        pulse.record() as speaker,
        open_program("-m", "realtime_trio.demo", environment=pulse.environment, folder=tmp_path) as demo,
    ):
        assert "default (ALSA)" in await demo.line("^ *sound ")
        with trio.fail_after(LIMIT):
            while not recording.exists():  # noqa: ASYNC110  nothing else tells that the microphone is open
                await trio.sleep(0.05)
        await pulse.play(TORONTO)
        said = await demo.line(r"^ *[\d.]+ s  user ")
        answered = await demo.line(r"^ *[\d.]+ s  assistant ")
        await speaker.sound(seconds=1)
        assert await demo.interrupt() == 128 + signal.SIGINT

    assert len(said) > len("   5.7 s  user        ")
    assert len(answered) > len("   7.4 s  assistant   ")
    with wave.open(str(recording)) as file:
        user, assistant = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2).T
    _, alike = came_out(user, read_wav(TORONTO))
    assert alike > 0.9, "the person was recorded by the demo"
    length, alike = came_out(speaker.samples, assistant)
    assert alike > 0.9, "what it recorded of itself was recorded from the loudspeaker"
    assert length > 0.8 * RATE
