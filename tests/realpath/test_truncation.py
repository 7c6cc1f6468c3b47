"""What the server believes was heard is what the loudspeaker's monitor recorded, compared by content."""

import random

import numpy as np
import pytest

from .program import open_talk
from .signals import RATE, came_out, noise, read_wav, show, write_wav

pytestmark = pytest.mark.slow

TIMES = 8


@pytest.mark.parametrize("block_ms", [10, 20])
async def test_the_server_keeps_what_came_out_to_within_a_block(pulse, tmp_path, block_ms):
    said = noise(6.0, seed=block_ms)
    answer = write_wav(tmp_path / "answer.wav", said)
    chance = random.Random(block_ms)
    errors = []

    async with (
        pulse.record() as speaker,
        open_talk(pulse.environment, tmp_path, answers=[str(answer)], card={"block_ms": block_ms}) as program,
    ):
        await program.next("ready")
        for _ in range(TIMES):
            before = speaker.length
            await program.do("ask", text="Go on.")
            await speaker.sound(since=before, seconds=chance.uniform(0.4, 1.5))
            await program.do("interrupt")
            truncated = await program.next("truncated")
            await speaker.silence(0.5, since=before)

            heard, alike = came_out(speaker.samples[before:], said)
            assert alike > 0.9
            errors.append(truncated["audio_end_ms"] - heard * 1000 / RATE)
            kept = read_wav(tmp_path / f"{truncated['item_id']}.wav")
            np.testing.assert_array_equal(kept, said[: len(kept)])
            assert len(kept) * 1000 / RATE == pytest.approx(truncated["audio_end_ms"], abs=1)

    show(told_less_heard_ms=[round(error, 1) for error in errors])
    assert max(map(abs, errors)) <= block_ms, errors
