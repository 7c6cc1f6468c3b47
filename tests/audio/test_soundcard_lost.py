"""The hardware of an open sound card goes, and comes back; the stream goes on all the while."""

import numpy as np
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio.device import DeviceChange
from realtime_trio.nursery import open_services

from .fake_sounddevice import (
    HEADSET,
    LAPTOP,
    FakeSoundDevice,
    Inline,
    busy,
    changed,
    make_card,
    next_block,
    numbered,
    run_hardware,
)

BLOCK = 480


async def test_hardware_that_goes_and_comes_back(autojump_clock):
    """Silence at the usual pace meanwhile; what was written and not handed over is kept and played on."""
    sd = FakeSoundDevice(LAPTOP)
    card = make_card(sd)

    async with card.open() as stream:
        (opened,) = sd.opened
        stream.write(numbered(0, 2000))
        before = await next_block(stream, opened)
        sd.unplug("Built-in Audio")
        gone = await changed(stream)
        silent = [await stream.receive_block() for _ in range(150)]
        assert stream.room == 7200 - 1520
        stream.write(numbered(2000, 100))
        sd.present.append(LAPTOP)
        back = await changed(stream, sd)
        after = [await next_block(stream, sd.live[0]) for _ in range(4)]
        statistics = card.statistics()

    assert gone.change.words == (
        "lost the sound device 'Built-in Audio': it goes on with whatever the default device is by then"
    )
    assert back.change == DeviceChange(available=True, words="sound is back: the sound device 'Built-in Audio'")
    blocks = [before, gone, *silent]
    assert np.diff([block.captured_at for block in blocks]) == pytest.approx([0.02] * (len(blocks) - 1))
    assert back.captured_at >= silent[-1].captured_at + 0.02 - 1e-9
    assert {block.captured for block in silent} == {block.played for block in silent} == {bytes(960)}
    assert {(block.position.generation, block.position.samples) for block in silent} == {(0, 480)}
    assert gone.position.until == before.position.until
    assert all(block.change is None for block in [*silent, *after])
    played = b"".join(block.played for block in [before, back, *after]).rstrip(b"\0")
    assert played == numbered(0, 2100)
    assert after[-1].position.samples == 2100
    assert statistics.lost >= 151
    assert statistics.blocks == statistics.lost + 6
    assert (statistics.underruns, statistics.overruns) == (0, 0)


async def test_a_cut_without_hardware(autojump_clock):
    """It is told with the next block of silence; the next generation begins with what comes back."""
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream:
        stream.write(numbered(0, 2000))
        await next_block(stream, sd.opened[0])
        stream.cut(1)  # the hardware goes before it has seen it
        stream.write(numbered(0, 300))
        sd.unplug("Built-in Audio")
        gone = await changed(stream)
        stream.cut(2)
        stream.write(numbered(500, 600))
        (second,) = [await stream.receive_block() for _ in range(1)]
        sd.present.append(LAPTOP)
        back = await changed(stream, sd)
        block = await next_block(stream, sd.live[0])

    assert (gone.cut.generation, gone.cut.samples) == (0, 480)
    assert (second.cut.generation, second.cut.samples) == (1, 0)
    assert (second.position.generation, second.position.samples) == (2, 0)
    assert back.cut is block.cut is None
    assert (back.played + block.played).rstrip(b"\0") == numbered(500, 600)
    assert (block.position.generation, block.position.samples) == (2, 600)


async def test_what_was_finished_before_the_loss_is_handed_out_first(autojump_clock):
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream:
        stream.write(numbered(0, 2000))
        for n in range(3):
            sd.opened[0].tick(numbered(n, BLOCK))
        stream.cut(1)
        sd.unplug("Built-in Audio")
        await wait_all_tasks_blocked()
        blocks = [await stream.receive_block() for _ in range(3)]
        gone = await changed(stream)

    assert [block.captured for block in blocks] == [numbered(n, BLOCK) for n in range(3)]
    assert [block.cut for block in blocks] == [None] * 3
    assert blocks[-1].position.samples == 1440
    assert (gone.cut.generation, gone.cut.samples, gone.captured) == (0, 1440, bytes(960))


async def test_a_stream_that_stops_calling_is_given_up(autojump_clock):
    """Nothing says that it has ended; nobody calls any more, which is the same."""
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream:
        (opened,) = sd.opened
        await next_block(stream, opened)
        begun = trio.current_time()
        sd.refuse = busy
        gone = await changed(stream)
        waited = trio.current_time() - begun
        assert not opened.open

    assert gone.change.words.startswith("no sound any more from the sound device 'Built-in Audio': ")
    assert 0.5 <= waited <= 1


async def test_a_loop_that_was_asleep_does_not_give_up_a_stream_that_goes_on(mock_clock):
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream:
        for _ in range(5):
            mock_clock.jump(10)
            sd.opened[0].tick()
            await wait_all_tasks_blocked()
            assert (await stream.receive_block()).change is None


async def test_a_device_may_take_its_time_before_its_first_call(autojump_clock):
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream:
        await trio.sleep(2.5)
        assert (await next_block(stream, sd.opened[0])).change is None
    async with make_card(sd).open() as stream:
        assert (await changed(stream)).change.words.startswith("no sound any more")


async def test_a_callback_that_goes_wrong_every_time_is_a_loss_that_names_the_mistake(autojump_clock):
    sd = FakeSoundDevice(LAPTOP)
    card = make_card(sd)

    async with card.open() as stream:
        (opened,) = sd.opened
        await next_block(stream, opened)
        opened.callback.__self__._clock = lambda: 1 / 0
        with trio.move_on_after(2):
            await run_hardware(sd)
        assert opened.tick() == b""
        gone = await changed(stream)
        back = await changed(stream, sd)

    assert gone.change.words.startswith(
        "sound of the sound device 'Built-in Audio' fails in this library with ZeroDivisionError: division by zero ("
    )
    assert gone.change.words.endswith("); please report this. It is tried again")
    assert back.change.available
    assert 20 <= card.statistics().failures <= 40, "given up after half a second"


async def test_a_callback_that_goes_wrong_now_and_then_is_counted_and_goes_on(autojump_clock):
    sd = FakeSoundDevice(LAPTOP)
    card = make_card(sd)

    async with card.open() as stream:
        (opened,) = sd.opened
        callback = opened.callback.__self__
        clock = callback._clock
        for number in range(200):
            if number % 10 == 0:
                callback._clock = lambda: 1 / 0
                opened.tick()
                callback._clock = clock
            assert (await next_block(stream, opened)).change is None

    assert card.statistics().failures == 20


async def test_a_device_without_a_clock_is_told_from_a_real_one(autojump_clock):
    """ALSA's `null` runs a thousand times too fast."""
    sd = FakeSoundDevice(LAPTOP)
    card = make_card(sd)

    async with card.open() as stream:
        (opened,) = sd.opened
        await wait_all_tasks_blocked()
        for _ in range(700):
            opened.tick()
        gone = await changed(stream)

    assert "much too fast" in gone.change.words


async def test_a_loop_that_was_blocked_for_longer_than_a_burst_keeps_its_device(autojump_clock):
    """PortAudio was not blocked, and did in eleven seconds what it does in eleven seconds."""
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream:
        (opened,) = sd.opened
        for _ in range(20):
            assert (await next_block(stream, opened)).change is None
        for _ in range(550):
            opened.tick()
        autojump_clock.jump(11)
        for _ in range(50):
            assert (await next_block(stream, opened)).change is None
        assert opened.open


@pytest.mark.parametrize("card", [{}, {"duplex": False}], ids=["duplex", "two streams"])
async def test_a_microphone_that_has_fallen_behind_is_opened_again(autojump_clock, card):
    """The program stood still for 2 s, and the system has kept what was captured meanwhile."""
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd, **card).open() as stream, open_services() as services:
        services.start_soon(run_hardware, sd)
        for _ in range(100):
            assert (await stream.receive_block()).change is None
        behind = list(sd.live)
        for live in behind:
            live.delay = 2.03
        gone, back = await changed(stream), await changed(stream)
        assert not any(one.open for one in behind)
        for _ in range(500):
            assert (await stream.receive_block()).change is None

    assert gone.change.words.startswith("sound was 2.0 s late")
    assert back.change.available


@pytest.mark.parametrize(
    "delays", [[0.2, 0.03], [0.5, 0.5, 0.03], [10_000]], ids=["a little", "not for long", "absurd"]
)
async def test_a_microphone_that_is_late_now_and_then_is_left_alone(autojump_clock, delays):
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream, open_services() as services:
        services.start_soon(run_hardware, sd)
        for number in range(500):
            sd.live[0].delay = delays[number // 15 % len(delays)] if number else 0.03
            assert (await stream.receive_block()).change is None


async def test_a_device_that_goes_as_soon_as_it_is_opened_is_not_opened_all_the_time(autojump_clock):
    sd = FakeSoundDevice(LAPTOP)

    async with make_card(sd).open() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(_end_again_and_again, sd)
        begun = trio.current_time()
        while trio.current_time() < begun + 60:
            await stream.receive_block()
        nursery.cancel_scope.cancel()

    assert 25 <= len(sd.opened) <= 32


async def test_a_stream_that_ends_once_as_it_begins_is_opened_again_at_once(autojump_clock):
    """PortAudio does that to a stream of PulseAudio's now and then."""
    sd = FakeSoundDevice(LAPTOP)
    card = make_card(sd)

    async with card.open() as stream:
        sd.opened[0].end()
        assert not (await changed(stream)).change.available
        assert (await changed(stream, sd)).change.available
        assert len(sd.opened) == 2
        assert card.statistics().lost <= 2


async def _end_again_and_again(sd: FakeSoundDevice) -> None:
    while True:
        await trio.sleep(0.02)
        for live in sd.live:
            live.tick()
            live.end()


async def test_a_named_device_is_waited_for_and_found_under_another_index(autojump_clock):
    sd = FakeSoundDevice(LAPTOP, HEADSET)

    async with make_card(sd, "headset").open() as stream:
        sd.unplug("USB Headset")
        gone = await changed(stream)
        [await stream.receive_block() for _ in range(250)]
        assert not sd.live, "nothing else is taken for it"
        sd.present.insert(0, HEADSET)
        back = await changed(stream, sd)

        assert gone.change.words == "lost the sound device 'USB Headset': plug it in again, and it goes on"
        assert sd.live[0].device == (0, 0)
        assert back.change.words == "sound is back: the sound device 'USB Headset'"


async def test_who_wants_the_default_gets_the_new_default(autojump_clock):
    sd = FakeSoundDevice(HEADSET, LAPTOP)

    async with make_card(sd).open() as stream:
        sd.unplug("USB Headset")
        await changed(stream)
        back = await changed(stream, sd)

        assert sd.live[0].names == ("Built-in Audio", "Built-in Audio")
        assert "'Built-in Audio'" in back.change.words


async def test_two_cards_in_one_process_are_lost_at_once_and_both_return(autojump_clock):
    """Each of them has PortAudio look anew: neither ends the other's stream for good."""
    sd = FakeSoundDevice(LAPTOP, HEADSET)
    owner = Inline(lambda: sd)

    async with (
        make_card(sd, "built-in", owner=owner).open() as first,
        make_card(sd, "headset", owner=owner).open() as second,
    ):
        sd.unplug("Built-in Audio")
        sd.unplug("USB Headset")
        await changed(first)
        await changed(second)
        await trio.sleep(10)
        sd.present += [HEADSET, LAPTOP]
        await trio.sleep(5)
        backs = [await changed(stream, sd) for stream in (first, second)]

        assert [back.change.available for back in backs] == [True, True]
        assert sorted(live.names[0] for live in sd.live) == ["Built-in Audio", "USB Headset"]


async def test_a_healthy_card_is_seldom_interrupted_for_the_sake_of_another(autojump_clock):
    """It is told, loses a moment, and goes on; looking anew is worth that once in ten seconds, and ever more seldom."""
    sd = FakeSoundDevice(LAPTOP, HEADSET)
    owner = Inline(lambda: sd)
    changes: list[DeviceChange] = []

    async def use(stream) -> None:
        while True:
            block = await stream.receive_block()
            changes.extend([block.change] if block.change else [])

    async with (
        make_card(sd, "built-in", owner=owner).open() as healthy,
        make_card(sd, "headset", owner=owner).open() as lost,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(use, healthy)
        nursery.start_soon(run_hardware, sd)
        await trio.sleep(5)
        sd.unplug("USB Headset")
        await changed(lost)
        beginnings = []
        for _ in range(40):
            await trio.sleep(1)
            beginnings.append(sd.beginnings)
        nursery.cancel_scope.cancel()

    assert beginnings[8] == 1, "not within the first nine seconds"
    assert beginnings[-1] == 3, "about 10 and 30 seconds after the loss"
    assert [change.available for change in changes] == [False, True] * 2
    assert changes[0].words == "PortAudio looks for devices that were plugged in; sound is back in a moment"
