"""Samples of the session, frames of devices that come and go: every sample is counted once, in its generation."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio.callback import CutFrame, FinishedBlock, HandoverRing
from realtime_trio.audio.handover import Format, Handover
from realtime_trio.device import Position

CAPACITY = 7200
FORMATS = [Format(), Format(48_000), Format(44_100, 2), Format(16_000)]


def sine(samples: int, first: int = 0) -> bytes:
    return struct.pack(f"<{samples}h", *(round(9000 * math.sin((first + n) / 5)) for n in range(samples)))


class Device:
    """Hardware that takes 20 ms whenever it is asked to."""

    def __init__(self, handover: Handover, format: Format) -> None:
        self.handover, self.format = handover, format
        self.frames = format.rate // 50
        self.ring = HandoverRing(
            2 * format.frames(CAPACITY) + 2 * self.frames + format.rate // 10,
            frame_bytes=format.frame_bytes,
            fade=format.rate // 100,
            pause=format.rate // 2,
        )
        handover.attach(self.ring, format, self.frames)
        self.blocks = 0
        self.sounding = 0  # frames that were handed over

    def tick(self, at: float = 0) -> tuple[Position, list[Position]]:
        """Do one block, and tell the handover of it at once."""
        out = bytearray(self.frames * self.format.frame_bytes)
        self.handover.tend()
        ring = self.ring
        ended = ring.take(out, self.frames)
        cuts = [
            self.handover.cut_position(CutFrame(self.blocks, generation, frames, offset), at, at + 1)
            for generation, frames, offset in ended
        ]
        self.sounding += max([offset or 0 for _, _, offset in ended] + [ring.offset or 0])
        block = FinishedBlock(
            self.blocks, at, played=bytes(out), generation=ring.generation, frames=ring.frames, offset=ring.offset
        )
        self.blocks += 1
        return self.handover.position(block, at + 1), [cut for cut in cuts if cut is not None]


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_all_that_was_written_is_handed_over_and_no_more(format: Format) -> None:
    """The converter's rest goes out when nothing follows; the count ends exactly where writing did."""
    handover = Handover(CAPACITY)
    device = Device(handover, format)
    written = 0
    for turn in range(40):
        count = min(handover.room, (0, 481, 960, 17)[turn % 4])
        handover.write(sine(count, written))
        written += count
        position, cuts = device.tick()
        assert position.samples <= written
        assert cuts == []
    for _ in range(20):
        position, _ = device.tick()

    assert position == Position(0, written, position.until)
    assert device.sounding == pytest.approx(written * format.rate / 24_000, abs=2 + 2 * 40)
    assert handover.room == CAPACITY


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_the_count_follows_the_sound(format: Format) -> None:
    handover = Handover(CAPACITY)
    device = Device(handover, format)
    handover.write(sine(CAPACITY))

    for block in range(1, 15):
        position, _ = device.tick()
        assert position.samples == pytest.approx(block * 480, abs=1)
        assert handover.room == pytest.approx(block * 480, abs=480)


@given(st.data())
def test_devices_come_and_go_at_any_moment(data: st.DataObject) -> None:
    """Positions never go back, cuts are told once and in order, and what is left in the end is all handed over."""
    handover = Handover(CAPACITY)
    device: Device | None = None
    told: list[Position] = []
    written = {0: 0}
    last = Position(0, 0, 0.0)
    for _ in range(data.draw(st.integers(1, 30))):
        action = data.draw(st.sampled_from(["write", "tick", "tick", "cut", "open", "lose"]))
        if action == "write":
            count = min(handover.room, data.draw(st.integers(0, 3000)))
            handover.write(sine(count))
            written[handover.generation] += count
        elif action == "cut":
            handover.cut(handover.generation + 1)
            written[handover.generation] = 0
        elif action == "open" and device is None:
            told += handover.cuts_without_hardware(0)
            device = Device(handover, data.draw(st.sampled_from(FORMATS)))
        elif action == "lose" and device is not None:
            told += handover.detach(0)
            device = None
        elif action == "tick":
            if device is None:
                told += handover.cuts_without_hardware(0)
                position = handover.whereabouts(0)
            else:
                position, cuts = device.tick()
                told += cuts
            assert (position.generation, position.samples) >= (last.generation, last.samples)
            last = position
    told += handover.detach(0) if device is not None else handover.cuts_without_hardware(0)
    device = Device(handover, data.draw(st.sampled_from(FORMATS)))
    for _ in range(40):
        position, cuts = device.tick()
        told += cuts

    assert [cut.generation for cut in told] == list(range(handover.generation))
    assert all(cut.samples <= written[cut.generation] for cut in told)
    assert (position.generation, position.samples) == (handover.generation, written[handover.generation])


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_a_new_device_goes_on_with_the_sample_that_the_old_one_did_not_take(format: Format) -> None:
    handover = Handover(CAPACITY)
    sound = sine(CAPACITY)
    old = Device(handover, format)
    handover.write(sound)
    for _ in range(3):
        position, _ = old.tick()

    handover.detach(0)
    new = Device(handover, Format())
    out = bytearray(960)
    new.ring.take(out, 480)

    assert bytes(out) == sound[2 * position.samples :][:960]
    assert position.samples == pytest.approx(1440, abs=1)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_nothing_of_what_was_cut_is_left_in_the_converter(format: Format) -> None:
    handover = Handover(CAPACITY)
    device = Device(handover, format)
    handover.write(sine(500))
    handover.cut(1)
    handover.write(bytes(2 * 2000))

    out = bytearray(device.frames * format.frame_bytes)
    device.ring.take(out, device.frames)

    assert not any(out)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_nothing_of_what_was_cut_is_heard_behind_the_fade(format: Format) -> None:
    """Also when it sounded already, so that the converter is full of it."""
    handover = Handover(CAPACITY)
    device = Device(handover, format)
    size = format.frame_bytes
    out = bytearray(device.frames * size)
    handover.write((8000).to_bytes(2, "little") * 2000)
    device.ring.take(out, device.frames)

    handover.cut(1)
    handover.write(bytes(2 * 2000))
    device.ring.take(out, device.frames)
    heard = bytes(out[format.rate // 100 * size :])
    for _ in range(3):
        device.ring.take(out, device.frames)
        heard += out

    assert not any(heard)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_more_frames_than_were_written_are_no_more_samples(format: Format) -> None:
    """Rounding, or what a driver makes up: the count never goes beyond what was written."""
    handover = Handover(CAPACITY)
    Device(handover, format)
    handover.write(sine(1000))

    position = handover.position(FinishedBlock(0, 0.0, generation=0, frames=60_000, offset=1), 0.0)
    handover.write(sine(10))

    assert position.samples == 1000
    assert handover.room <= CAPACITY - 10


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_a_position_never_goes_back(format: Format) -> None:
    """Blocks that are told late or twice change nothing; nor does a cut's count."""
    handover = Handover(CAPACITY)
    device = Device(handover, format)
    handover.write(sine(3000))
    for _ in range(4):
        ahead, _ = device.tick()
    room = handover.room

    early = FinishedBlock(0, 0.0, generation=0, frames=device.frames, offset=device.frames)
    assert handover.position(early, 0.0).samples == ahead.samples
    assert handover.whereabouts(0.0).samples == ahead.samples
    assert handover.room == room
    handover.cut(1)
    cut = handover.cut_position(CutFrame(0, 0, device.frames, None), 0.0, 0.0)
    assert cut is not None
    assert cut.samples == ahead.samples


def test_without_hardware_a_cut_falls_where_the_sound_had_come() -> None:
    handover = Handover(CAPACITY)
    device = Device(handover, Format())
    handover.write(sine(3000))
    device.tick(at=5.0)
    handover.cut(1)  # the device goes before it has seen it
    handover.write(sine(100))

    assert handover.detach(7.0) == [Position(0, 480, 6.02)], "and left the speaker when it did"
    assert handover.whereabouts(7.0) == Position(1, 0, 7.0)
    assert handover.room == CAPACITY - 100
    handover.cut(2)
    assert handover.cuts_without_hardware(8.0) == [Position(1, 0, 8.0)]
    assert handover.cuts_without_hardware(8.0) == []


def test_a_block_of_a_device_that_was_given_up_changes_nothing() -> None:
    handover = Handover(CAPACITY)
    handover.write(sine(1000))
    handover.cut(1)
    handover.cuts_without_hardware(0)

    late = FinishedBlock(0, 9.0, generation=0, frames=480, offset=480)

    assert handover.position(late, 9.0) == Position(1, 0, 9.0)
    assert handover.cut_position(CutFrame(0, 0, 480, None), 9.0, 9.0) is None


def test_what_does_not_fit_is_refused_whole() -> None:
    handover = Handover(CAPACITY)
    handover.write(sine(7000))

    with pytest.raises(ValueError, match="room for 200"):
        handover.write(sine(201))
    with pytest.raises(ValueError, match="whole number"):
        handover.write(b"\0\0\0")
    assert handover.room == 200


def test_underruns_are_counted_over_all_devices() -> None:
    handover = Handover(CAPACITY)
    for _ in range(2):
        device = Device(handover, Format())
        for _ in range(2):
            handover.write(sine(100))
            device.tick()
        handover.detach(0)

    assert handover.underruns == 2
