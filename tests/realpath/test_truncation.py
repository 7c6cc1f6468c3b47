"""What the server believes was heard is what the loudspeaker's monitor recorded, compared by content."""

import random

import numpy as np
import pytest

from .program import open_talk
from .signals import RATE, came_out, noise, read_wav, show, write_wav

pytestmark = pytest.mark.slow

TIMES = 8
TAIL = 2.0  # milliseconds: the end of a fade is too quiet to be found in a recording


@pytest.mark.parametrize("block_ms", [10, 20])
async def test_the_server_keeps_what_came_out_to_within_a_block(pulse, tmp_path, block_ms):
    said = noise(6.0, seed=block_ms)
    answer = write_wav(tmp_path / "answer.wav", said)
    chance = random.Random(block_ms)
    errors, disturbed = [], []

    async with (
        pulse.record() as speaker,
        open_talk(pulse.environment, tmp_path, answers=[str(answer)], card={"block_ms": block_ms}) as program,
    ):
        await program.next("ready")
        trouble = await count_trouble(program)
        while len(errors) < TIMES:
            before = speaker.length
            await program.do("ask", text="Go on.")
            await speaker.sound(since=before, seconds=chance.uniform(0.4, 1.5))
            await program.do("interrupt")
            truncated = await program.next("truncated")
            await speaker.silence(0.5, since=before)

            kept = read_wav(tmp_path / f"{truncated['item_id']}.wav")
            np.testing.assert_array_equal(kept, said[: len(kept)])
            assert len(kept) * 1000 / RATE == pytest.approx(truncated["audio_end_ms"], abs=1)
            heard, alike = came_out(speaker.samples[before:], said)
            error = truncated["audio_end_ms"] - heard * 1000 / RATE
            if trouble == (trouble := await count_trouble(program)):
                assert alike > 0.9
                errors.append(error)
            else:
                disturbed.append(error)
                assert len(disturbed) <= 2 * TIMES, "this machine is too busy to play sound"

    show(told_less_heard_ms=[[round(error, 1) for error in them] for them in (errors, disturbed)])
    assert max(map(abs, errors)) <= block_ms + TAIL, errors


async def count_trouble(program) -> tuple[int, int]:
    """Count what makes a busy sound system lose what it was given: then nobody knows what is heard."""
    await program.do("state")
    return (await program.next("state"))["underruns"], len(program.all("DeviceChanged"))
