"""The speaker's half of a device: what it reports is what was handed over. (The buffer inside: `test_ring.py`.)"""

import struct

import pytest
import trio

from realtime_trio.audio import Playout
from realtime_trio.audio.pcm import fade_out
from realtime_trio.device import AudioBlock, AudioStream, Position

BLOCK = 960  # bytes


def numbered(count: int, first: int = 0) -> bytes:
    return struct.pack(f"<{count}h", *(1 + first + n for n in range(count)))


def test_positions_say_when_the_last_sample_is_heard() -> None:
    playout = Playout(latency_ms=50)
    assert playout.take(1.0).position == Position(0, 0, 1.0), "nothing yet: the time of the report"
    playout.write(numbered(720))

    assert playout.take(2.0).position == Position(0, 480, pytest.approx(2.07))
    last = playout.take(2.02)
    assert last.position == Position(0, 720, pytest.approx(2.08))
    assert last.pcm == numbered(240, 480).ljust(BLOCK, b"\0")
    assert playout.take(2.04).position == last.position, "silence is not counted"
    assert (playout.held, playout.room) == (0, 7200)


def test_a_cut_is_told_with_the_next_block() -> None:
    playout = Playout()
    playout.write(numbered(2000))
    playout.take(1.0)
    playout.cut(1)
    playout.write(numbered(100, 5000))

    cut = playout.take(1.02)

    assert cut.cut == Position(0, 720, pytest.approx(1.03))
    assert cut.position == Position(1, 100, pytest.approx(1.03 + 100 / 24_000))
    assert cut.pcm == (fade_out(numbered(240, 480)) + numbered(100, 5000)).ljust(BLOCK, b"\0")
    assert playout.take(1.04).cut is None


def test_cuts_are_told_one_by_one_in_order() -> None:
    playout = Playout()
    playout.write(numbered(480))
    playout.take(1.0)
    for generation in (1, 2, 3):
        playout.cut(generation)

    blocks = [playout.take(1.02), playout.idle(1.04), playout.take(1.06), playout.take(1.08)]

    assert [block.cut and (block.cut.generation, block.cut.samples) for block in blocks] == [
        (0, 480),
        (1, 0),
        (2, 0),
        None,
    ]


def test_without_hardware_what_waits_goes_on_waiting() -> None:
    playout = Playout()
    playout.write(numbered(1000))
    playout.take(1.0)

    idle = playout.idle(1.02)

    assert idle.pcm == bytes(BLOCK)
    assert idle.position == Position(0, 480, pytest.approx(1.02))
    assert playout.take(1.04).pcm == numbered(480, 480)


def test_stopping_keeps_the_fade_only() -> None:
    playout = Playout()
    playout.write(numbered(2000))
    playout.take(1.0)
    assert playout.stop() == b""

    playout = Playout()
    playout.write(numbered(2000))
    playout.take(1.0)
    playout.cut(1)
    playout.write(numbered(100))
    assert playout.stop() == fade_out(numbered(240, 480))


def test_underruns_are_counted() -> None:
    playout = Playout()
    for _ in range(2):
        playout.write(numbered(100))
        playout.take(1.0)
        playout.take(1.02)
    assert playout.underruns == 1


def test_a_stream_needs_only_blocks_of_its_own() -> None:
    class Stream(Playout):
        async def receive_block(self) -> AudioBlock:
            await trio.sleep_forever()

    assert isinstance(Stream(), AudioStream)


@pytest.mark.parametrize("options", [{"block_ms": 0}, {"ring_ms": 10}, {"latency_ms": -1}])
def test_options_that_contradict(options) -> None:
    with pytest.raises(ValueError, match="block_ms has to be positive"):
        Playout(**options)
