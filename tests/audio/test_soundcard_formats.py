"""Hardware that takes less than one duplex stream at 24 kHz."""

import math

import numpy as np
import pytest
import trio

from .fake_sounddevice import (
    HEADSET,
    LAPTOP,
    FakeSoundDevice,
    changed,
    device,
    make_card,
    next_block,
    takes,
    tone,
)


@pytest.mark.parametrize("duplex", [True, False])
@pytest.mark.parametrize(("rate", "channels"), [(48_000, None), (44_100, 2), (16_000, 1), (48_000, 2)])
async def test_a_device_of_another_format(rate, channels, duplex, autojump_clock):
    """Sound is converted on the way in and out; what is counted are samples at 24 kHz."""
    sd = FakeSoundDevice(LAPTOP)
    sd.refuse = takes(rate, channels=channels, duplex=duplex)
    out, blocks = bytearray(), []
    card = make_card(sd)
    assert (card.statistics().streams, card.statistics().rates) == (None, None)

    async with card.open() as stream:
        spoken = channels or 1
        assert [live.samplerate for live in sd.live] == [rate] * (1 if duplex else 2)
        written = 0
        for turn in range(60):
            await trio.sleep(0.02)
            count = min(stream.room, 6000 - written)
            stream.write(tone(24_000, count, written))
            written += count
            for live in sd.live:
                played = live.tick(None if live.kind == "output" else tone(rate, rate // 50, turn * rate // 50, spoken))
                out += b"" if live.kind == "input" else played
            with trio.move_on_after(0.001):
                blocks.append(await stream.receive_block())
        asked = {live.channels if live.kind != "duplex" else live.channels[0] for live in sd.live}
        assert asked == {spoken}

    told = card.statistics()
    assert (told.streams, told.rates) == ("duplex" if duplex else "separate", (rate, rate))
    assert 55 <= len(blocks) <= 60
    assert blocks[-1].position.samples == written == 6000
    played = np.frombuffer(bytes(out), dtype="<i2")[:: channels or 1].astype(float)
    sounding = np.flatnonzero(np.abs(played) > 1000)
    assert (sounding[-1] - sounding[0]) / rate == pytest.approx(0.25, abs=0.005), "as long as what was written"
    captured = np.frombuffer(b"".join(block.captured for block in blocks), dtype="<i2")[1000:-1000].astype(float)
    assert captured.std() == pytest.approx(8000 / math.sqrt(2), rel=0.02)
    pairs = np.frombuffer(b"".join(block.played for block in blocks), dtype="<i2")
    assert np.abs(pairs).max() == pytest.approx(8000, rel=0.05)
    assert np.abs(np.diff([block.captured_at for block in blocks])).max() < 0.025


async def test_two_streams_of_which_one_is_lost(autojump_clock):
    """Both are opened anew, so that they stay a pair."""
    sd = FakeSoundDevice(LAPTOP, HEADSET)
    sd.refuse = takes(24_000, duplex=False)

    async with make_card(sd, input="headset", output="built-in").open() as stream:
        assert [(live.kind, live.names) for live in sd.live] == [
            ("output", ("Built-in Audio",)),
            ("input", ("USB Headset",)),
        ]
        sd.unplug("USB Headset")
        gone = await changed(stream)
        assert not sd.live
        sd.present.append(HEADSET)
        back = await changed(stream, sd)

    assert gone.change.words.startswith("lost the sound devices 'USB Headset' and 'Built-in Audio': plug it in again")
    assert back.change.available


async def test_clocks_that_differ_and_a_stream_that_stands_still_are_counted(autojump_clock):
    """The speaker's clock is the faster by a tenth; then the microphone misses half a second."""
    sd = FakeSoundDevice(LAPTOP, HEADSET)
    card = make_card(sd, input="headset", output="built-in", duplex=False)
    counted = []

    async with card.open() as stream:
        speaker, microphone = sd.live
        for number in range(200):
            speaker.tick()
            if number % 10 == 9:
                speaker.tick()
            await next_block(stream, microphone)
        counted.append(card.statistics())
        for _ in range(25):
            speaker.tick()
        await next_block(stream, microphone)
        counted.append(card.statistics())
        sd.unplug("USB Headset")
        await changed(stream)

    counted.append(card.statistics())  # those of hardware that is gone count too
    assert counted[0].corrections >= 2
    assert [told.realignments for told in counted] == [0, 1, 1]
    assert counted[0].corrections <= counted[1].corrections == counted[2].corrections
    assert counted[2].streams == "separate"


async def test_two_streams_when_they_are_asked_for(autojump_clock):
    sd = FakeSoundDevice()

    async with make_card(sd, duplex=False).open():
        assert [live.kind for live in sd.live] == ["output", "input"]


async def test_windows_may_convert(autojump_clock):
    sd = FakeSoundDevice(device("Speakers", 2, 2, host="Windows WASAPI"))

    async with make_card(sd).open():
        assert [extra.auto_convert for extra in sd.opened[0].extra_settings] == [True, True]
