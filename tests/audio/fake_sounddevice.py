"""PortAudio without hardware: a module like sounddevice whose devices and streams a test moves by hand."""

import math
import struct
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import trio

from realtime_trio.audio import SoundCard
from realtime_trio.audio.portaudio import PortAudio
from realtime_trio.device import AudioBlock, AudioStream

HANG = 20.0
"""Seconds that a driver hangs unless it is let go: a test in which somebody waits for it fails, and does not hang."""


class PortAudioError(Exception):
    """As sounddevice raises it: words, a number, and perhaps what the system says."""


def device(name: str, inputs: int = 1, outputs: int = 1, rate: float = 48_000.0, host: str = "ALSA") -> dict[str, Any]:
    return {
        "name": name,
        "host": host,
        "max_input_channels": inputs,
        "max_output_channels": outputs,
        "default_samplerate": rate,
    }


LAPTOP = device("Built-in Audio", 2, 2, 44_100.0)
HEADSET = device("USB Headset", 1, 2)


class FakeSoundDevice:
    """It stands for the module.

    Attributes:
        present: The devices that are plugged in. PortAudio sees them when it is begun anew.
        opened: Every stream that was opened, in order.
        refuse: Called with a stream before it is opened, and may raise.
        start: Called with a stream before it is started, and may raise.
        delay: Called in PortAudio's thread before anything is opened.
    """

    def __init__(self, *present: dict[str, Any]) -> None:
        self.present = list(present or (LAPTOP, HEADSET))
        self.seen = list(self.present)
        self.opened: list[FakeStream] = []
        self.beginnings = 1
        self.refuse: Callable[[FakeStream], None] = lambda stream: None
        self.start: Callable[[FakeStream], None] = lambda stream: None
        self.delay: Callable[[], None] = lambda: None
        self._StreamBase = type("_StreamBase", (FakeStream,), {})  # of its own: what other tests left is not found

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self._hosts()]

    def query_devices(self, kind: str | None = None) -> Any:
        hosts = self._hosts()
        found = [
            {**entry, "index": index, "hostapi": hosts.index(entry["host"])} for index, entry in enumerate(self.seen)
        ]
        if kind is None:
            return found
        able = [entry for entry in found if entry[f"max_{kind}_channels"]]
        if not able:
            raise PortAudioError("Error querying device -1")
        return able[0]

    def RawStream(self, **options: Any) -> "FakeStream":  # noqa: N802  sounddevice's names
        return self._open("duplex", options)

    def RawInputStream(self, **options: Any) -> "FakeStream":  # noqa: N802
        return self._open("input", options)

    def RawOutputStream(self, **options: Any) -> "FakeStream":  # noqa: N802
        return self._open("output", options)

    def WasapiSettings(self, *, auto_convert: bool) -> Any:  # noqa: N802
        return SimpleNamespace(auto_convert=auto_convert)

    def _terminate(self) -> None:
        pass

    def _initialize(self) -> None:
        assert self.live == [], "PortAudio took them away without a word"
        self.beginnings += 1
        self.seen = list(self.present)

    def _open(self, kind: str, options: dict[str, Any]) -> "FakeStream":
        self.delay()
        stream: FakeStream = self._StreamBase(self, kind, **options)
        indices = stream.device if kind == "duplex" else (stream.device,)
        stream.names = tuple(self.seen[index]["name"] for index in indices)
        if not all(self.seen[index] in self.present for index in indices):
            raise PortAudioError("Error opening: Illegal combination of I/O devices", -9993)
        latency = stream.latency
        del stream.latency  # sounddevice's has none either, and is not closed, until it was opened
        stream.halfway = True
        self.refuse(stream)
        stream.latency = latency
        stream.halfway = False
        stream.open = True
        self.opened.append(stream)
        return stream

    def _hosts(self) -> list[str]:
        return list(dict.fromkeys(entry["host"] for entry in self.seen))

    @property
    def live(self) -> list["FakeStream"]:
        """The streams that are open."""
        return [stream for stream in self.opened if stream.open]

    def unplug(self, name: str) -> None:
        """Pull a device out; its streams end."""
        self.present = [entry for entry in self.present if entry["name"] != name]
        for stream in self.live:
            if name in stream.names:
                stream.end()


@attrs.define(eq=False)
class FakeStream:
    """A stream whose callback is called by `tick`."""

    sd: FakeSoundDevice
    kind: str
    samplerate: int
    blocksize: int
    device: Any
    channels: Any
    dtype: str
    latency: Any
    extra_settings: Any
    callback: Any
    finished_callback: Any
    names: tuple[str, ...] = ()
    open: bool = False
    halfway: bool = False
    active: bool = False
    calls: list[str] = attrs.field(factory=list)
    hang: Callable[[], None] = lambda: None
    now: float = 100.0
    """PortAudio's time."""
    delay: float = 0.03
    """How old a block is, in seconds, when the callback gets it."""

    def __attrs_post_init__(self) -> None:
        assert self.latency == "low"
        self.latency = (0.03, 0.05) if self.kind == "duplex" else 0.03

    @property
    def closed(self) -> bool:
        return not (self.open or self.halfway)

    def start(self) -> None:
        self.sd.start(self)
        self.calls.append("start")
        self.active = True

    def abort(self) -> None:
        self.calls.append("abort")
        self.hang()
        self.end()

    def close(self) -> None:
        self.calls.append("close")
        self.open = self.active = False

    def end(self) -> None:
        """End by itself, as when the device is gone."""
        if self.active:
            self.active = False
            self.finished_callback()

    def tick(self, captured: bytes | None = None) -> bytes:
        """Call the callback once, if the stream is active; give what is played."""
        if not self.active:
            return b""
        channels = self.channels if self.kind == "duplex" else (self.channels, self.channels)
        given = bytes(2 * channels[0] * self.blocksize) if captured is None else captured
        out = bytearray(b"\x55" * (2 * channels[1] * self.blocksize))
        self.now += self.blocksize / self.samplerate
        times = SimpleNamespace(
            currentTime=self.now, inputBufferAdcTime=self.now - self.delay, outputBufferDacTime=self.now + 0.06
        )
        buffers = {"duplex": (given, out), "input": (given,), "output": (out,)}[self.kind]
        self.callback(*buffers, self.blocksize, times, None)
        return bytes(out)


async def until(holds: Callable[[], object], what: str = "it") -> None:
    """Wait in real time for what another thread does, whatever Trio's clock says."""
    give_up = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up, f"{what} never came"
        await trio.to_thread.run_sync(time.sleep, 0.001)
    await trio.testing.wait_all_tasks_blocked()


def numbered(first: int, count: int) -> bytes:
    """Make samples that can be told apart, none of them 0."""
    return struct.pack(f"<{count}h", *(1 + (first + n) % 32_000 for n in range(count)))


class Inline(PortAudio):
    """The owner without its thread: what it does takes no time on any clock."""

    def _put(self, job):
        job()


def make_card(sd: FakeSoundDevice, *args, owner: PortAudio | None = None, **options) -> SoundCard:
    card = SoundCard(*args, **options)
    card._owner = owner or Inline(lambda: sd)
    return card


async def next_block(stream: AudioStream, played_on: FakeStream, captured: bytes | None = None) -> AudioBlock:
    """Let the hardware do a block, and receive it."""
    await trio.sleep(played_on.blocksize / played_on.samplerate)
    played_on.tick(captured)
    with trio.fail_after(0.1):
        return await stream.receive_block()


async def changed(stream: AudioStream, sd: FakeSoundDevice | None = None) -> AudioBlock:
    """Receive until there is word of the hardware; what is open works."""
    with trio.fail_after(100):
        while True:
            for live in sd.live if sd else ():
                live.tick()
            block = await stream.receive_block()
            if block.change is not None:
                return block


async def run_hardware(sd: FakeSoundDevice, heard: bytearray | None = None) -> None:
    """Let all that is open do a block every 20 ms."""
    while True:
        await trio.sleep(0.02)
        for live in sd.live:
            played = live.tick()
            if heard is not None:
                heard += played


def tone(rate: int, samples: int, first: int, channels: int = 1) -> bytes:
    values = (round(8000 * math.sin(2 * math.pi * 300 * (first + n) / rate)) for n in range(samples))
    return b"".join(struct.pack("<h", value) * channels for value in values)


def busy(stream: FakeStream) -> None:
    raise PortAudioError(f"Error opening {stream.kind}: Device unavailable", -9985)


def takes(*rates: int, channels: int | None = None, duplex: bool = True):
    """Give a refusal of everything but these rates, and of other numbers of channels."""

    def refuse(stream: FakeStream) -> None:
        if stream.kind == "duplex" and not duplex:
            raise PortAudioError("Illegal combination of I/O devices", -9993)
        if stream.samplerate not in rates:
            raise PortAudioError("Invalid sample rate", -9997)
        asked = set(stream.channels) if stream.kind == "duplex" else {stream.channels}
        if channels is not None and asked != {channels}:
            raise PortAudioError("Invalid number of channels", -9998)

    return refuse
