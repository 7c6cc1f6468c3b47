"""The sound card over PortAudio as a test plays it: blocks, cuts, times, and who may receive them."""

import math
import struct
import time

import numpy as np
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio.audio import SoundCard
from realtime_trio.audio.portaudio import PortAudio
from realtime_trio.audio.ring import Mark, PlayoutRing
from realtime_trio.device import AudioDevice, AudioStream
from realtime_trio.errors import ConfigurationError

from .fake_sounddevice import FakeSoundDevice, make_card, next_block, numbered

BLOCK = 480


def test_it_is_what_it_says():
    assert isinstance(SoundCard(), AudioDevice)
    assert SoundCard().statistics().blocks == 0


@pytest.mark.parametrize(
    ("argument", "values", "words"),
    [
        ("block_ms", (15, 30, 0, -10, 20.0, "20", None, True, [20]), "block_ms is 10 or 20 (milliseconds), not "),
        (
            "ring_ms",
            (100, 199.9, 501, -300, math.nan, math.inf, 10**400, "300", "x", None, True, 300j, b""),
            "ring_ms is a number of milliseconds from 200 to 500, not ",
        ),
        ("duplex", (None, "no", 0, 1), "duplex is True or False, not "),
        *(
            (
                argument,
                ("", " ", " , ", -1, True, False, 1.5, b"usb", ("usb", "webcam"), object()),
                f"{argument} is the number of a device (0 or more), a part of its name, or None for the default one",
            )
            for argument in ("device", "input", "output")
        ),
    ],
    ids=lambda case: case if isinstance(case, str) and case.isidentifier() else "",
)
def test_a_bad_argument_is_named_with_what_it_may_be(argument, values, words):
    for value in values:
        with pytest.raises(ConfigurationError) as raised:
            SoundCard(**{argument: value})
        assert str(raised.value).startswith(words), value
        assert f"not {value!r}" in str(raised.value)


@pytest.mark.parametrize("argument", ["device", "input", "output"])
def test_who_names_no_device_learns_where_names_are(argument):
    with pytest.raises(ConfigurationError, match=r"python -m realtime_trio\.demo --list-devices"):
        SoundCard(**{argument: ""})


@given(
    st.one_of(st.none(), st.integers(0), st.from_regex(r"\w+", fullmatch=True)),
    st.sampled_from([10, 20]),
    st.one_of(st.integers(200, 500), st.floats(200, 500)),
    st.booleans(),
)
def test_what_the_arguments_may_be_is_taken(device, block_ms, ring_ms, duplex):
    card = SoundCard(device, input=device, output=device, block_ms=block_ms, ring_ms=ring_ms, duplex=duplex)

    assert card.statistics().blocks == 0


@pytest.mark.parametrize("block_ms", [10, 20])
async def test_one_duplex_stream_at_24_khz(block_ms, autojump_clock):
    sd = FakeSoundDevice()
    card = make_card(sd, block_ms=block_ms)
    samples = 24 * block_ms

    async with card.open() as stream:
        (opened,) = sd.opened
        assert isinstance(stream, AudioStream)
        stream.write(numbered(0, 700))
        sound = numbered(9000, samples)
        first = await next_block(stream, opened, sound)
        now = trio.current_time()
        second = await next_block(stream, opened)
        for _ in range(3):
            last = await next_block(stream, opened)

    assert (opened.kind, opened.samplerate, opened.blocksize, opened.dtype) == ("duplex", 24_000, samples, "int16")
    assert (opened.device, opened.channels, opened.extra_settings) == ((0, 0), (1, 1), (None, None))
    assert first.captured == sound
    assert first.played + second.played == numbered(0, 700)[: 4 * samples] + bytes(max(0, 4 * samples - 1400))
    assert (first.position.generation, first.position.samples) == (0, samples)
    assert last.position.samples == 700
    assert first.cut is first.change is None
    assert first.captured_at == pytest.approx(now - 0.03)
    assert first.position.until == pytest.approx(now + 0.06 + block_ms / 1000)
    assert card.statistics().blocks == 5
    assert not opened.open
    assert opened.calls == ["start", "abort", "close"]


@settings(max_examples=60)
@given(st.data())
def test_it_counts_as_the_simulated_device_does(data):
    """The same calls at the same blocks: the same sound, positions and cuts, in the same blocks."""

    async def compare() -> None:
        sd = FakeSoundDevice()
        law = PlayoutRing(7200)
        async with make_card(sd).open() as stream:
            (opened,) = sd.opened
            await next_block(stream, opened)  # the first block tells the callback of the first generation
            law.take(BLOCK)
            due: list[Mark] = []
            generation = made = 0
            for _ in range(data.draw(st.integers(1, 25))):
                action = data.draw(st.sampled_from(["write", "tick", "tick", "cut"]))
                if action == "write":
                    assert stream.room == law.room or generation
                    count = min(stream.room, law.room, data.draw(st.integers(0, 3000)))
                    stream.write(numbered(made, count))
                    law.write(numbered(made, count))
                    made += count
                elif action == "cut":
                    generation += 1
                    stream.cut(generation)
                    law.cut(generation)
                else:
                    block, taken = await next_block(stream, opened), law.take(BLOCK)
                    due += taken.cuts
                    assert block.played == taken.pcm
                    for ours, theirs in ((block.position, taken.position), (block.cut, due.pop(0) if due else None)):
                        assert (ours is None) == (theirs is None)
                        assert ours is None or (ours.generation, ours.samples) == (theirs.generation, theirs.samples)

    trio.run(compare, clock=MockClock(autojump_threshold=0))


async def test_a_cut_is_told_with_the_next_block_and_when_it_is_heard(autojump_clock):
    sd = FakeSoundDevice()

    async with make_card(sd).open() as stream:
        (opened,) = sd.opened
        stream.write(numbered(0, 7200))
        await next_block(stream, opened)
        stream.cut(5)
        stream.write(numbered(0, 100))
        block = await next_block(stream, opened)
        now = trio.current_time()

    assert (block.cut.generation, block.cut.samples) == (0, 480 + 240)
    assert block.cut.until == pytest.approx(now + 0.06 + 0.01, abs=0.021)
    assert (block.position.generation, block.position.samples) == (5, 100)
    assert block.cut.until < block.position.until
    assert block.played[480 + 200 :] == bytes(960 - 680)


async def test_a_block_before_the_cut_does_not_tell_it(autojump_clock):
    """A loop that is late by two blocks gets them as they were: the cut comes with its own."""
    sd = FakeSoundDevice()

    async with make_card(sd).open() as stream:
        (opened,) = sd.opened
        stream.write(numbered(0, 2000))
        opened.tick()
        stream.cut(1)
        opened.tick()
        before, after = [await stream.receive_block() for _ in range(2)]

    assert (before.cut, before.position.generation) == (None, 0)
    assert (after.cut.generation, after.position.generation) == (0, 1)


async def test_cuts_that_come_together_are_told_one_by_one(autojump_clock):
    sd = FakeSoundDevice()

    async with make_card(sd).open() as stream:
        (opened,) = sd.opened
        for generation in (1, 2, 3):
            stream.cut(generation)
        blocks = [await next_block(stream, opened) for _ in range(4)]

    assert [block.cut and block.cut.generation for block in blocks] == [0, 1, 2, None]


async def test_a_loop_that_comes_late_gets_what_waits_and_every_cut(autojump_clock):
    """More than two seconds: whole pairs are thrown away, counted, and the first block says when it was."""
    sd = FakeSoundDevice()
    card = make_card(sd)

    async with card.open() as stream:
        (opened,) = sd.opened
        stream.write(numbered(0, 2000))
        first = await next_block(stream, opened)
        stream.cut(1)
        for _ in range(150):
            await trio.sleep(0.02)
            opened.tick(b"\1\0" * BLOCK)
        blocks = [await stream.receive_block() for _ in range(100)]

    assert card.statistics().overruns == 50
    assert [block.cut is not None for block in blocks] == [True] + [False] * 99
    assert blocks[0].cut.until == pytest.approx(first.position.until + 0.01, abs=0.002), "when it was, not when told"
    assert blocks[0].captured_at - first.captured_at == pytest.approx(51 * 0.02, abs=0.002)
    steps = np.diff([block.captured_at for block in blocks])
    assert np.abs(steps - 0.02).max() < 0.0011


async def test_callbacks_of_another_thread_wake_trio():
    """Nobody but the callback's thread moves; no block is lost, and each comes in order."""
    sd = FakeSoundDevice()

    async with make_card(sd, owner=PortAudio(lambda: sd)).open() as stream:
        (opened,) = sd.opened

        def run() -> None:
            for n in range(200):
                opened.tick(struct.pack("<h", n) * BLOCK)
                time.sleep(0.0005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, run)
            with trio.fail_after(60):
                blocks = [await stream.receive_block() for _ in range(200)]

    assert [struct.unpack("<h", block.captured[:2])[0] for block in blocks] == list(range(200))


async def test_receiving_twice_late_or_in_vain(autojump_clock):
    sd = FakeSoundDevice()

    async with make_card(sd).open() as stream:
        (opened,) = sd.opened
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.receive_block)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="another task"):
                await stream.receive_block()
            nursery.cancel_scope.cancel()
        opened.tick(numbered(3, BLOCK))
        with trio.move_on_after(0) as scope:
            await stream.receive_block()
        assert scope.cancelled_caught
        assert (await stream.receive_block()).captured == numbered(3, BLOCK), "a cancelled call consumes nothing"
        with pytest.raises(ValueError, match="room for 7200"):
            stream.write(bytes(2 * 7201))

    for call in (lambda: stream.room, lambda: stream.write(b""), lambda: stream.cut(1)):
        with pytest.raises(trio.ClosedResourceError):
            call()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_block()


async def test_who_waits_for_a_block_hears_of_the_end(autojump_clock):
    sd = FakeSoundDevice()
    ended = []

    async def wait(stream) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_block()
        ended.append(True)

    async with trio.open_nursery() as nursery, make_card(sd).open() as stream:
        nursery.start_soon(wait, stream)
        await wait_all_tasks_blocked()

    assert ended == [True]


def test_a_stream_that_calls_after_trio_has_ended_harms_nobody():
    sd = FakeSoundDevice()

    async def open_and_leave() -> None:
        async with make_card(sd).open():
            pass

    trio.run(open_and_leave)
    (opened,) = sd.opened
    opened.callback.__self__.retired = False
    opened.active = True

    opened.tick()
    opened.end()
