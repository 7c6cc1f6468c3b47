"""A simulated device and the session's ledger together: what is counted is what was played, by content."""

import operator
import struct

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import ClockedDevice
from realtime_trio.core.playout import PartKey, PlayoutLedger
from realtime_trio.testing.devices import FakeDevice

DELTA = 2400  # 100 ms


def marked(part: int, samples: int) -> bytes:
    """Make sound that says which part it is of, whatever a fade does to it: all its samples are loud."""
    return struct.pack("<h", 10_000 * (part + 1)) * samples


class Tape:
    def __init__(self) -> None:
        self.played = bytearray()

    def write(self, captured: bytes, played: bytes) -> None:
        self.played += played

    def flush(self) -> None: ...


@pytest.mark.slow
@given(
    lengths=st.lists(st.integers(1, 12_000), min_size=1, max_size=3),
    cut_ms=st.integers(1, 2000),
    latency_ms=st.sampled_from([0, 15, 40]),
    lag_ms=st.sampled_from([0, 7, 90]),
)
def test_what_is_heard_and_cut_is_what_was_recorded(
    lengths: list[int], cut_ms: int, latency_ms: int, lag_ms: int
) -> None:
    """At any moment `heard` is exactly what has left the speaker; after a cut, `cut` is what came out at all."""
    tape, ledger = Tape(), PlayoutLedger()
    parts = [PartKey("response", f"item{n}", 0) for n in range(len(lengths))]

    async def deliver() -> None:
        for n, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            for start in range(0, length, DELTA):
                ledger.receive(part, marked(n, min(DELTA, length - start)))
                await trio.sleep(0.03)
            ledger.finish(part)

    async def main() -> None:
        async with (
            ClockedDevice(output_latency_ms=latency_ms, recorder=tape).open() as stream,
            trio.open_nursery() as nursery,
        ):
            opened = trio.current_time()
            nursery.start_soon(deliver)
            told, was_cut = False, False
            while not told:
                block = await stream.receive_block()
                if block.cut is not None:
                    ledger.cut_report(block.cut.generation, block.cut.samples, block.cut.until)
                    told = True
                ledger.report(block.position.generation, block.position.samples, block.position.until)
                stream.write(ledger.take(stream.room))
                heard = [ledger.heard_samples(part, trio.current_time()) for part in parts]
                now = round((trio.current_time() - opened) * 24_000)
                recorded = np.frombuffer(tape.played[: now * 2], dtype="<i2")
                if not was_cut:
                    left = [np.count_nonzero(recorded == 10_000 * (n + 1)) for n in range(len(parts))]
                    # while later reports wait to be received, less is known, never more
                    assert heard == left if not lag_ms else all(map(operator.le, heard, left))
                    await trio.sleep(lag_ms / 1000)
                if now >= cut_ms * 24 and not was_cut:
                    stream.cut(ledger.cut())
                    was_cut = True
            nursery.cancel_scope.cancel()

        values = [value for (value,) in struct.iter_unpack("<h", tape.played)]
        cut = [ledger.cut_samples(part) for part in parts]
        received = [ledger.received_samples(part) for part in parts]
        assert all(one is None or one <= most for one, most in zip(cut, received, strict=True))
        whole = sum(one or 0 for one in cut)
        sounding = sum(1 for value in values if value)
        assert whole - 2 <= sounding <= whole  # the last samples of a fade are 0
        at = 0
        for n, samples in enumerate(cut):
            own = [value for value in values if value][at : at + (samples or 0)]
            assert all(0 < value <= 10_000 * (n + 1) for value in own)
            assert own[: max(len(own) - 240, 0)] == [10_000 * (n + 1)] * max(len(own) - 240, 0)
            at += samples or 0
            heard = ledger.heard_samples(parts[n], opened + 60)
            assert heard == (samples or 0)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_late_reports_change_nothing() -> None:
    """A device that tells three blocks late where the cut fell gives the same position in the end."""
    device, ledger, part = FakeDevice(report_delay=3), PlayoutLedger(), PartKey("response", "item", 0)
    ledger.receive(part, marked(0, 20_000))
    async with device.open() as stream:
        cut = None
        stream.write(ledger.take(stream.room))
        for n in range(12):
            device.step()
            block = await stream.receive_block()
            if block.cut is not None:
                ledger.cut_report(block.cut.generation, block.cut.samples, block.cut.until)
                cut = n
            ledger.report(block.position.generation, block.position.samples, block.position.until)
            stream.write(ledger.take(stream.room))
            if n == 4:
                stream.cut(ledger.cut())
                assert ledger.cut_samples(part) is None

    assert cut == 8
    assert ledger.cut_samples(part) == 5 * 480 + 240
    assert 0 <= 5 * 480 + 240 - sum(value != 0 for (value,) in struct.iter_unpack("<h", device.played)) <= 2
