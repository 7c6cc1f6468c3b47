"""The one owner of PortAudio: it can be waited for and left; nothing that a driver does wrecks the program."""

import os
import subprocess
import sys
import threading

import attrs
import pytest
import trio

from realtime_trio.audio import DeviceInfo, list_devices
from realtime_trio.audio import portaudio as module
from realtime_trio.audio.portaudio import PortAudio
from realtime_trio.errors import DeviceUnavailable

from .fake_sounddevice import HANG, HEADSET, LAPTOP, FakeSoundDevice, FakeStream, PortAudioError, busy, device, until


@attrs.define(eq=False)
class Streams:
    """Something that was opened."""

    closed: int = 0
    taken: int = 0
    streams: tuple[FakeStream, ...] = ()

    def close(self) -> None:
        self.closed += 1
        for stream in self.streams:
            stream.close()

    def taken_away(self) -> None:
        assert self.closed, "first closed, then told"
        self.taken += 1


def make_owner(sd: FakeSoundDevice) -> PortAudio:
    return PortAudio(lambda: sd)


def play_oneself(sd: FakeSoundDevice) -> FakeStream:
    """Open a stream as a program does that knows sounddevice."""
    return sd.RawOutputStream(
        samplerate=48_000,
        blocksize=480,
        device=0,
        channels=1,
        dtype="int16",
        latency="low",
        extra_settings=None,
        callback=lambda *_: None,
        finished_callback=lambda: None,
    )


async def open_streams(owner: PortAudio, anew: int | None = None) -> Streams:
    return await owner.open(lambda sd, devices: Streams(), doing="open", within=30, anew=anew)


@pytest.fixture
def later(monkeypatch):
    """Give a function that lets the time pass after which what PortAudio has seen is old."""
    offset = [0.0]
    real = module.time.monotonic
    monkeypatch.setattr(module.time, "monotonic", lambda: real() + offset[0])
    return lambda: offset.__setitem__(0, offset[0] + 10)


async def test_what_is_listed(monkeypatch):
    windows = device("Speakers", 0, 2, 44_100.0, "Windows WASAPI")
    monkeypatch.setattr(module, "portaudio", make_owner(FakeSoundDevice(windows, LAPTOP)))

    assert await list_devices() == (
        DeviceInfo(0, "Speakers", "Windows WASAPI", 0, 2, 44_100.0, default_output=True),
        DeviceInfo(1, "Built-in Audio", "ALSA", 2, 2, 44_100.0, default_input=True),
    )


async def test_no_device_at_all_is_an_empty_list():
    sd = FakeSoundDevice()
    sd.seen = sd.present = []

    assert await make_owner(sd).devices() == ()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ModuleNotFoundError("No module named 'sounddevice'", name="sounddevice"),
            "cannot list the sound devices: .*pip install",
        ),
        (OSError("PortAudio library not found"), "apt install libportaudio2"),
        (PortAudioError("Error initializing PortAudio", -9999, (-10000, 0, "")), "Error initializing PortAudio"),
        (RuntimeError("anything"), "anything"),
    ],
)
async def test_an_import_that_fails_says_what_to_do_and_is_tried_again(error, words):
    problems = [error]

    def load() -> FakeSoundDevice:
        if problems:
            raise problems.pop()
        return FakeSoundDevice()

    owner = PortAudio(load)

    with pytest.raises(DeviceUnavailable, match=words) as caught:
        await owner.devices()
    assert caught.value.__cause__ is error
    assert len(await owner.devices()) == 2


async def test_a_driver_that_hangs_is_not_waited_for():
    free = threading.Event()

    def load() -> FakeSoundDevice:
        free.wait(HANG)
        return FakeSoundDevice()

    owner = PortAudio(load)
    try:
        for _ in range(2):  # also when the thread is still blocked by the first
            with pytest.raises(DeviceUnavailable, match=r"did not answer within 0\.05 s, a driver hangs: plug"):
                await owner.devices(0.05)
    finally:
        free.set()
    assert len(await owner.devices(30)) == 2, "and it works again when it does"


async def test_waiting_can_be_cancelled():
    free = threading.Event()
    owner = PortAudio(lambda: free.wait(HANG) and FakeSoundDevice())
    try:
        with trio.fail_after(HANG / 2), trio.move_on_after(0.05) as scope:
            await owner.devices(1000)
        assert scope.cancelled_caught
    finally:
        free.set()


@pytest.mark.parametrize("how", ["too late", "cancelled"])
async def test_streams_that_nobody_waits_for_any_more_are_closed(how):
    free = threading.Event()
    opening = threading.Event()
    streams = Streams()
    owner = make_owner(FakeSoundDevice())

    def build(sd, devices):
        opening.set()
        free.wait(HANG)
        return streams

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            if how == "cancelled":
                nursery.start_soon(lambda: owner.open(build, doing="open", within=1000))
                await until(opening.is_set)
                scope.cancel()
            else:
                with pytest.raises(DeviceUnavailable, match="did not answer"):
                    await owner.open(build, doing="open", within=0.1)
    assert streams.closed == 0
    free.set()
    await until(lambda: streams.closed)

    assert not owner.in_use


async def test_what_nobody_wants_any_more_is_not_begun():
    free = threading.Event()
    owner = make_owner(FakeSoundDevice())
    begun = []
    with pytest.raises(DeviceUnavailable):
        await owner.run(lambda sd: free.wait(HANG), doing="hang", within=0.02)

    with pytest.raises(DeviceUnavailable):
        await owner.run(begun.append, doing="begin", within=0.02)
    free.set()
    await owner.devices(30)

    assert begun == []


async def test_closing_is_done_even_if_nobody_can_wait_for_it():
    owner = make_owner(FakeSoundDevice())
    streams = await open_streams(owner)
    free = threading.Event()
    with pytest.raises(DeviceUnavailable):
        await owner.run(lambda sd: free.wait(HANG), doing="hang", within=0.02)

    await owner.close(streams, within=0.02)
    assert streams.closed == 0
    free.set()

    await until(lambda: streams.closed)


async def test_what_is_thrown_at_opening_comes_out_explained():
    def build(sd, devices):
        raise PortAudioError("Error opening: Device unavailable", -9985)

    owner = make_owner(FakeSoundDevice())

    with pytest.raises(DeviceUnavailable, match="cannot open the sound card: it is busy"):
        await owner.open(build, doing="open the sound card", within=30)
    assert not owner.in_use


async def test_looking_anew_closes_every_stream_first_and_tells_all():
    """PortAudio forgets all of its streams; `FakeSoundDevice` would notice."""
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    first, second = await open_streams(owner), await open_streams(owner)
    sd.present.append(HEADSET)

    third = await open_streams(owner, anew=owner.renewals)

    assert (first.closed, first.taken, second.closed, second.taken) == (1, 1, 1, 1)
    assert (third.closed, third.taken) == (0, 0)
    assert [entry.name for entry in await owner.devices()] == ["Built-in Audio", "USB Headset"]


async def test_two_who_want_to_look_anew_do_it_once():
    owner = make_owner(FakeSoundDevice())
    seen = owner.renewals

    first = await open_streams(owner, anew=seen)
    await open_streams(owner, anew=seen)

    assert owner.renewals == seen + 1
    assert first.taken == 0


async def test_all_are_told_also_when_portaudio_cannot_be_begun_anew():
    sd = FakeSoundDevice()
    owner = make_owner(sd)
    streams = await open_streams(owner)

    def refuse() -> None:
        raise PortAudioError("Error initializing PortAudio", -9999)

    sd._initialize = refuse
    with pytest.raises(DeviceUnavailable, match="initializing"):
        await open_streams(owner, anew=owner.renewals)
    assert streams.taken == 1
    del sd._initialize

    await open_streams(owner, anew=owner.renewals)
    assert owner.in_use


async def test_what_was_plugged_in_is_seen_if_that_interrupts_nobody(later):
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    assert len(await owner.devices()) == 1
    sd.present.append(HEADSET)

    assert len(await owner.devices()) == 1, "a list holds for a moment, so that its indices can be used"
    later()
    assert len(await owner.devices()) == 2

    streams = await open_streams(owner)
    sd.present.append(device("Camera", 1, 0))
    later()
    assert len(await owner.devices()) == 2
    assert streams.closed == 0
    await owner.close(streams)
    assert len(await owner.devices()) == 3


async def test_listing_leaves_a_stream_alone_that_the_program_opened_itself(later):
    """At whatever time, active or not; `FakeSoundDevice` would notice."""
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    await owner.devices()
    stream = play_oneself(sd)
    sd.present.append(HEADSET)

    later()
    assert len(await owner.devices()) == 1
    stream.close()
    assert len(await owner.devices()) == 2


async def test_looking_for_a_lost_device_leaves_it_alone_too_and_says_so_once(caplog):
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    ours = await open_streams(owner)
    stream = play_oneself(sd)

    for _ in range(2):
        await open_streams(owner, anew=owner.renewals)
    assert (ours.closed, sd.beginnings, owner.renewals) == (0, 1, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "opened with sounddevice itself is open: until it is closed" in caplog.text

    stream.close()
    await open_streams(owner, anew=owner.renewals)
    assert (ours.taken, sd.beginnings, owner.renewals) == (1, 2, 1)


async def test_a_stream_that_was_refused_is_none_although_an_exception_holds_it(later):
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    await owner.devices()
    sd.refuse = busy
    try:
        play_oneself(sd)
    except PortAudioError as error:
        cycle = [error]
        cycle.append(cycle)
        del cycle

    later()
    await owner.devices()

    assert sd.beginnings == 2


async def test_a_stream_that_another_thread_is_opening_is_one(later):
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    await owner.devices()
    opening, free = threading.Event(), threading.Event()

    def wait(_: FakeStream) -> None:
        opening.set()
        free.wait(HANG)

    sd.refuse = wait
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, play_oneself, sd)
        await until(opening.is_set)
        later()
        try:
            await owner.devices()
            assert sd.beginnings == 1
        finally:
            free.set()


async def test_our_own_streams_are_no_reason_not_to_look():
    sd = FakeSoundDevice(LAPTOP)
    owner = make_owner(sd)
    ours = (play_oneself(sd),)
    await owner.open(lambda sd, devices: Streams(streams=ours), doing="open", within=30)

    await open_streams(owner, anew=owner.renewals)

    assert sd.beginnings == 2


async def test_a_sounddevice_whose_streams_cannot_be_found_is_never_begun_anew(later):
    sd = FakeSoundDevice(LAPTOP)
    del sd._StreamBase
    owner = make_owner(sd)

    await owner.devices()
    later()
    await owner.devices()

    assert sd.beginnings == 1


async def test_two_trio_runs_in_two_threads_share_it():
    owner = make_owner(FakeSoundDevice())

    used_in = set()

    async def list_here() -> None:
        used_in.add(await owner.run(lambda sd: threading.get_ident(), doing="ask", within=30))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(trio.to_thread.run_sync, trio.run, list_here)

    assert len(used_in) == 1


async def test_a_run_that_ended_meanwhile_leaves_nothing_open():
    """Its last wish comes when nobody is left to be told."""
    owner = make_owner(FakeSoundDevice())
    free, opening = threading.Event(), threading.Event()
    streams = Streams()

    def build(sd, devices):
        opening.set()
        free.wait(HANG)
        return streams

    async def impatient() -> None:
        with pytest.raises(DeviceUnavailable):
            await owner.open(build, doing="open", within=0.05)

    await trio.to_thread.run_sync(trio.run, impatient)
    free.set()

    await until(lambda: streams.closed)


async def test_while_a_driver_hangs_the_end_of_the_program_does_not_wait_for_it(monkeypatch):
    handlers = []
    monkeypatch.setattr(module.atexit, "register", handlers.append)
    monkeypatch.setattr(module.atexit, "unregister", handlers.remove)
    sd = FakeSoundDevice()
    sd._exit_handler = lambda: None
    handlers.append(sd._exit_handler)
    owner = make_owner(sd)
    await owner.devices()
    free = threading.Event()

    for _ in range(2):
        with pytest.raises(DeviceUnavailable):
            await owner.run(lambda sd: free.wait(HANG), doing="hang", within=0.02)
    assert handlers == []
    free.set()
    await owner.devices()

    await until(lambda: handlers == [sd._exit_handler])


PROGRAM = """
import sys, trio
from realtime_trio.audio import list_devices
from realtime_trio.errors import DeviceUnavailable
async def main():
    try:
        await list_devices(timeout=0.2)
    except DeviceUnavailable as error:
        print(error)
trio.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import threading; threading.Event().wait()", "did not answer within 0.2 s"),
        ("raise OSError('PortAudio library not found')", "apt install libportaudio2"),
        ("raise SystemExit(3)", "SystemExit says '3'"),
    ],
    ids=["hangs", "no library", "wants to leave"],
)
def test_a_program_outlives_an_import_of_sounddevice(tmp_path, text, words):
    """Whatever it does: hang for ever, raise anything. The program says it in words, and can end."""
    (tmp_path / "sounddevice.py").write_text(text, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},  # also where PYTHONSAFEPATH is set, as nox does
    )

    assert words in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
