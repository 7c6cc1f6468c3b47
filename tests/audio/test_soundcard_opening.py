"""A sound card is opened and closed: in words, in bounded time, and nothing is left open."""

import threading

import numpy as np
import pytest
import trio

from realtime_trio.audio.portaudio import PortAudio
from realtime_trio.errors import DeviceUnavailable

from .fake_sounddevice import (
    HANG,
    HEADSET,
    LAPTOP,
    FakeSoundDevice,
    busy,
    changed,
    device,
    make_card,
    next_block,
    run_hardware,
    takes,
    tone,
    until,
)


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (busy, "cannot open the speaker 'Built-in Audio': it is busy: close the program that uses it"),
        (takes(), "cannot open the speaker 'Built-in Audio': it refuses the sample rates"),
        (takes(24_000, channels=7), "cannot open the speaker 'Built-in Audio': it refuses one channel and two"),
        (
            lambda stream: busy(stream) if stream.kind != "output" else None,
            "open the microphone 'Built-in Audio'.*bus",
        ),
    ],
    ids=["busy", "rates", "channels", "microphone"],
)
async def test_what_cannot_be_opened_says_why(refuse, words, autojump_clock):
    sd = FakeSoundDevice()
    sd.refuse = refuse
    card = make_card(sd)

    for _ in range(2):  # a failure leaves nothing behind
        with pytest.raises(DeviceUnavailable, match=words):
            async with card.open():
                pytest.fail("it was not opened")
    assert sd.live == []
    assert not card._owner.in_use


async def test_a_stream_that_cannot_be_started_is_closed(autojump_clock):
    sd = FakeSoundDevice()
    sd.start = busy

    with pytest.raises(DeviceUnavailable, match="it is busy"):
        await make_card(sd).open().__aenter__()
    assert [stream.kind for stream in sd.opened] == ["duplex", "output"]
    assert sd.live == []


async def test_names_that_fit_nothing_or_several(autojump_clock):
    sd = FakeSoundDevice(LAPTOP, HEADSET, device("USB Camera", 1, 0))

    with pytest.raises(
        DeviceUnavailable, match="no speaker named 'piano': choose one of 0: 'Built-in Audio, ALSA'; 1:"
    ):
        await make_card(sd, "piano", input=0).open().__aenter__()
    with pytest.raises(DeviceUnavailable, match="several devices fit the microphone named 'usb'"):
        await make_card(sd, "usb").open().__aenter__()


async def test_it_is_open_only_once_at_a_time(autojump_clock):
    sd = FakeSoundDevice()
    card = make_card(sd)

    async with card.open():
        with pytest.raises(trio.BusyResourceError, match="open already"):
            async with card.open():
                pytest.fail("it was opened twice")
    async with card.open():
        assert len(sd.live) == 1


async def test_opening_that_is_cancelled_leaves_nothing_open():
    sd = FakeSoundDevice()
    free, opening = threading.Event(), threading.Event()
    sd.delay = lambda: (opening.set(), free.wait(HANG))
    card = make_card(sd, owner=PortAudio(lambda: sd))

    async def open_it() -> None:
        async with card.open():
            pytest.fail("it was cancelled before")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_it)
        await until(opening.is_set)
        nursery.cancel_scope.cancel()
    assert sd.opened == []
    free.set()
    await until(lambda: len(sd.opened) == 1 and not sd.live)

    async with card.open():
        assert len(sd.live) == 1


async def test_opening_is_bounded_when_the_driver_hangs(mock_clock):
    sd = FakeSoundDevice()
    free, opening = threading.Event(), threading.Event()
    sd.delay = lambda: (opening.set(), free.wait(HANG))
    card = make_card(sd, owner=PortAudio(lambda: sd))

    async def wait_in_vain() -> None:
        with pytest.raises(DeviceUnavailable, match="cannot open the sound card: PortAudio did not answer within 5 s"):
            async with card.open():
                pytest.fail("it was waited for")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_in_vain)
        await until(opening.is_set)
        mock_clock.jump(5)
    free.set()
    await until(lambda: sd.opened and not sd.live)


@pytest.mark.parametrize("how", ["left", "cancelled", "raised"])
async def test_leaving_plays_the_fade_of_what_sounds(how, autojump_clock):
    """The callback sees one more cut; the device is closed when the fade has left the speaker."""
    sd = FakeSoundDevice()
    heard = bytearray()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_hardware, sd, heard)
        with trio.CancelScope() as scope:
            try:
                async with make_card(sd).open() as stream:
                    stream.write(tone(24_000, 7200, 0))
                    await stream.receive_block()
                    begun = trio.current_time()
                    if how == "cancelled":
                        scope.cancel()
                        await trio.sleep_forever()
                    assert how == "left", "raised"
            except AssertionError:
                assert how == "raised"
        left = trio.current_time()
        nursery.cancel_scope.cancel()

    played = np.abs(np.frombuffer(bytes(heard), dtype="<i2").astype(int))
    sounding = np.flatnonzero(played)
    assert 480 < sounding[-1] < 480 + 240, "10 ms of what was pending; the rest was dropped"
    assert played[sounding[-1] - 20 : sounding[-1]].max() < 300, "and it ended softly"
    assert left - begun == pytest.approx(0.02 + 0.07 + 0.02, abs=0.011), (
        "one block, the fade, what the speaker is behind, one more"
    )


async def test_leaving_a_silent_card_takes_no_time(autojump_clock):
    sd = FakeSoundDevice()

    async with make_card(sd).open() as stream:
        await next_block(stream, sd.opened[0])
        begun = trio.current_time()

    assert trio.current_time() == begun


async def test_leaving_is_bounded_when_nobody_calls_and_the_driver_hangs(autojump_clock):
    sd = FakeSoundDevice()
    free = threading.Event()

    async with make_card(sd).open() as stream:
        stream._owner = PortAudio(lambda: sd)  # in a thread of its own, that is
        stream.write(bytes(2000))  # and nobody plays it
        sd.opened[0].hang = lambda: free.wait(HANG)
        begun = trio.current_time()
    taken = trio.current_time() - begun
    assert sd.live, "nobody waited for it"
    free.set()

    assert 0.4 <= taken <= 1
    await until(lambda: not sd.live)


async def test_leaving_while_the_hardware_is_gone(autojump_clock):
    sd = FakeSoundDevice()

    async with make_card(sd).open() as stream:
        stream.write(bytes(2000))
        sd.unplug("Built-in Audio")
        await changed(stream)
        begun = trio.current_time()

    assert trio.current_time() == begun
    assert sd.live == []


async def test_ten_times_one_after_the_other_leave_no_thread_behind():
    sd = FakeSoundDevice()
    card = make_card(sd, owner=PortAudio(lambda: sd))
    async with card.open():
        pass
    before = threading.active_count()

    for _ in range(10):
        async with card.open() as stream:
            await next_block(stream, sd.live[0])

    assert threading.active_count() <= before
    assert sd.live == []
