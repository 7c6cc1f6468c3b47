"""An open sound card, over all the hardware that there is behind it in the course of time.

What runs in PortAudio's thread stands in `callback`, the counts in `handover`, how blocks are made in `blocks`. Here is
who waits for what, and what happens when the hardware goes away while a session lives.

Theory of operation. One task watches the hardware; `watchdog` judges it. When that has ended, or was not called for
half a second, it is given up: what it has finished is handed out, then silence on Trio's clock, while the same task
opens it again, and again. The first block of what was opened ends the silence. So it is when the microphone falls
behind, because the program or the machine stood still: the system keeps what was captured meanwhile, and nothing else
would ever catch up.
"""

import contextlib
import logging
from collections import deque

import trio

from realtime_trio.device import SAMPLE_RATE, AudioBlock, DeviceChange, Position
from realtime_trio.errors import DeviceUnavailable

from .blocks import Assembler
from .callback import Callback, HandoverRing
from .choosing import DeviceInfo, names_of
from .clocked import DeviceStatistics
from .counts import Counts
from .handover import Handover
from .hardware import Hardware, Wanted, open_hardware
from .pairing import Pair
from .pcm import SAMPLE_BYTES, samples_from_ms
from .portaudio import PortAudio
from .watchdog import LOOK, Watchdog

__all__ = ["HardwareStream"]

_log = logging.getLogger("realtime_trio.audio")

_WAITING_MS = 2_000  # blocks that wait to be received; when there are more, the oldest go
_OPEN = 5.0  # seconds that PortAudio gets to open a device
_BACK_OFF = (0.5, 1.0, 2.0)  # seconds between attempts to open it again; the last holds
_CONSIDERATE = (10.0, 20.0, 40.0, 60.0)  # the same, between looking for new devices at the cost of other open streams
_FADE = 0.25  # seconds that the callback gets to see the last cut
_SPEAKER = 0.3  # seconds that a fade gets to leave the speaker
_CLOSE = 0.4  # seconds that PortAudio gets to close


class HardwareStream:
    """A sound card that is open. It is an `AudioStream`; see there.

    Args:
        owner: Who speaks to PortAudio.
        wanted: What to open.
    """

    def __init__(self, owner: PortAudio, wanted: Wanted) -> None:
        self._owner = owner
        self._wanted = wanted
        self._block = samples_from_ms(wanted.block_ms)
        self._block_seconds = self._block / SAMPLE_RATE
        self._most_waiting = _WAITING_MS // wanted.block_ms
        self._clock = trio.lowlevel.current_clock().current_time
        self._token = trio.lowlevel.current_trio_token()
        self._handover = Handover(wanted.ring)
        self._hardware: Hardware | None = None
        self._assembler: Assembler | None = None
        self._ready: deque[AudioBlock] = deque()  # of hardware that was given up
        self._cuts: deque[Position] = deque()
        self._changes: deque[DeviceChange] = deque()
        self._captured_until = trio.current_time()
        self._silent_at: float | None = None  # there is no sound from hardware: the next silent block begins then
        self._news = trio.Event()
        self._gone = trio.Event()
        self._receiving = False
        self._closed = False
        self._before = Counts()  # what the hardware before this one went through
        self._last: Hardware | None = None  # what is open, or was last
        self._position = self._handover.whereabouts(self._captured_until)

    @property
    def room(self) -> int:
        """Samples that `write` would take now."""
        self._check_open()
        return self._handover.room

    def write(self, pcm: bytes) -> None:
        """Queue samples of the current generation; without hardware too."""
        self._check_open()
        self._handover.write(pcm)

    def cut(self, generation: int) -> None:
        """Stop the sound, begin a new generation."""
        self._check_open()
        self._handover.cut(generation)

    async def receive_block(self) -> AudioBlock:
        """Wait for the next block, of the hardware or of silence."""
        if self._receiving:
            raise trio.BusyResourceError("another task is waiting for a block")
        self._receiving = True
        try:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_open()
                news = self._news  # before looking: what comes after it sets it
                block = self._next_block()
                if block is not None:
                    return block
                with trio.move_on_at(self._silence_due()):
                    await news.wait()
        finally:
            self._receiving = False

    def statistics(self) -> DeviceStatistics:
        """Tell what it went through since it was opened."""
        counts = self._before.with_hardware(self._hardware, self._assembler)
        return counts.statistics(self._handover.underruns, self._last)

    async def open(self) -> None:
        """Open the hardware for the first time.

        Raises:
            DeviceUnavailable: It cannot be opened.

        Cancellation:
            Ends at once; what is opened nevertheless is closed again.
        """
        self._adopt(await self._opened(anew=None))

    async def watch(self) -> None:
        """Give the hardware up when it is gone, and open it again when it can be had. Run it until `aclose`."""
        short_lives = 0
        while True:
            opened_at = trio.current_time()
            words, hardware = await self._loss()
            await self._give_up(words)
            soonest = opened_at + _BACK_OFF[-1]
            short_lives = short_lives + 1 if trio.current_time() < soonest else 0
            # Once may be bad luck: one in some fifty, PortAudio ends a stream of PulseAudio's that has no timing yet
            # when it begins. One that is gone each time as soon as it is opened is not asked all the time.
            if short_lives > 1 and not hardware.interrupted:
                await trio.sleep_until(soonest)
            self._adopt(await self._opened_again())

    async def aclose(self) -> None:
        """End: let a fade be heard, then close. It takes at most a second, and raises nothing."""
        self._closed = True
        self._notify()
        hardware = self._hardware
        if hardware is not None:
            await self._fade_out(hardware)
            hardware.retire()
            await self._owner.close(hardware, within=_CLOSE)

    def wake(self) -> None:
        """Tell that there is something new. In any thread; it does not wait, and raises nothing."""
        with contextlib.suppress(trio.RunFinishedError):  # nobody is left who could be told
            self._token.run_sync_soon(self._notify, idempotent=True)

    def _notify(self) -> None:
        self._news.set()
        self._news = trio.Event()
        if self._hardware is not None and self._hardware.finished:
            self._gone.set()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the sound card was closed")

    # Blocks

    def _next_block(self) -> AudioBlock | None:
        if self._ready:
            return self._ready.popleft()
        self._handover.tend()
        block = self._hardware_block()
        if block is None and self._silent_at is not None and trio.current_time() >= self._silence_due():
            block = self._silent_block(self._silent_at)
        return block

    def _hardware_block(self) -> AudioBlock | None:
        pair = self._assembler.take(earliest=self._silent_at) if self._assembler is not None else None
        self._account()
        if pair is None:
            return None
        if self._silent_at is not None:
            self._silent_at = None
            self._changes.append(DeviceChange(available=True, words=f"sound is back: {names_of(self._last_devices)}"))
        self._captured_until = pair.captured_at + self._block_seconds
        return self._made(pair)

    def _account(self) -> None:
        """Learn how far playout came, and where cuts fell."""
        hardware, assembler = self._hardware, self._assembler
        if hardware is None or assembler is None:
            return
        cuts = hardware.output.cuts
        while assembler.played:
            played = assembler.played.popleft()
            block = played.block
            while cuts and cuts[0].block <= block.number:
                cut = cuts.popleft()
                begins_at = played.begins_at - (block.number - cut.block) * played.length
                position = self._handover.cut_position(cut, block.now, begins_at)
                self._cuts.extend([position] if position is not None else [])
            self._position = self._handover.position(block, played.begins_at)

    def _silent_block(self, at: float) -> AudioBlock:
        now = trio.current_time()
        behind = int((now - at) / self._block_seconds) - self._most_waiting
        if behind > 0:  # nobody came for them
            at += behind * self._block_seconds
            self._before.pass_without_hardware(behind, received=False)
        self._silent_at = self._captured_until = at + self._block_seconds
        self._before.pass_without_hardware()
        if self._hardware is None:
            self._cuts.extend(self._handover.cuts_without_hardware(now))
            self._position = self._handover.whereabouts(now)
        silence = bytes(self._block * SAMPLE_BYTES)
        return self._made(Pair(silence, at, silence))

    def _made(self, pair: Pair) -> AudioBlock:
        return AudioBlock(
            pair.captured,
            pair.captured_at,
            self._position,
            cut=self._cuts.popleft() if self._cuts else None,
            played=pair.played,
            change=self._changes.popleft() if self._changes else None,
        )

    def _silence_due(self) -> float:
        return float("inf") if self._silent_at is None else self._silent_at + self._block_seconds

    # Hardware

    async def _opened(self, anew: int | None) -> Hardware:
        return await self._owner.open(
            lambda sd, devices: open_hardware(sd, devices, self._wanted, self._callback, self._last_devices),
            doing="open the sound card",
            within=_OPEN,
            anew=anew,
        )

    @property
    def _last_devices(self) -> tuple[DeviceInfo, ...]:
        return () if self._last is None else self._last.devices

    def _callback(self, ring: HandoverRing | None) -> Callback:
        return Callback(ring, clock=self._clock, wake=self.wake, most_waiting=self._most_waiting)

    def _adopt(self, hardware: Hardware) -> None:
        """Go on with hardware that was just opened."""
        now = trio.current_time()
        self._cuts.extend(self._handover.cuts_without_hardware(now))
        self._position = self._handover.whereabouts(now)
        ring = hardware.output.ring
        assert ring is not None  # noqa: S101  what plays has one
        spoken = hardware.formats[1]
        self._handover.attach(ring, spoken, spoken.rate * self._wanted.block_ms // 1000)
        self._assembler = Assembler(
            self._block,
            hardware.input,
            hardware.output,
            hardware.formats,
            hardware.latencies,
        )
        self._hardware = self._last = hardware
        self._gone = trio.Event()
        rates = [one.rate for one in hardware.formats]
        _log.debug("the sound card runs: the microphone at %d Hz, the speaker at %d Hz", *rates)
        self._notify()

    async def _loss(self) -> tuple[str, Hardware]:
        """Wait until the hardware is gone; say how, and which it was."""
        hardware = self._hardware
        assert hardware is not None  # noqa: S101  it was adopted
        watchdog = Watchdog(hardware, self._block_seconds, default=self._wanted.default, now=trio.current_time())
        while True:
            with trio.move_on_after(LOOK):
                await self._gone.wait()
            if words := watchdog.look(trio.current_time()):
                return words, hardware

    async def _give_up(self, words: str) -> None:
        """Take what the hardware has finished, and begin the silence."""
        hardware = self._hardware
        assert hardware is not None  # noqa: S101  it was adopted
        hardware.retire()
        while (block := self._hardware_block()) is not None:
            self._ready.append(block)
        self._before = self._before.with_hardware(hardware, self._assembler)
        now = trio.current_time()
        self._cuts.extend(self._handover.detach(now))
        self._position = self._handover.whereabouts(now)
        self._hardware = self._assembler = None
        if self._silent_at is None:
            self._silent_at = self._captured_until
            self._changes.append(DeviceChange(available=False, words=words))
        self._notify()
        await self._owner.close(hardware, within=_OPEN)

    async def _opened_again(self) -> Hardware:
        """Open it again, as often as it takes.

        At first without looking for devices: perhaps only the stream had ended. From then on PortAudio is begun anew
        each time, for it sees no other way what was plugged in; seldom, when that interrupts others.
        """
        attempts = 0
        searches = 0
        search_at = trio.current_time() + _CONSIDERATE[0]
        anew: int | None = None
        while True:
            try:
                return await self._opened(anew)
            except DeviceUnavailable:
                seen = self._owner.renewals  # that it is gone was told already
            await trio.sleep(_BACK_OFF[min(attempts, len(_BACK_OFF) - 1)])
            attempts += 1
            anew = seen
            if self._owner.in_use and trio.current_time() < search_at:
                anew = None
            elif self._owner.in_use:
                searches += 1
                search_at = trio.current_time() + _CONSIDERATE[min(searches, len(_CONSIDERATE) - 1)]

    async def _fade_out(self, hardware: Hardware) -> None:
        """Let what sounds end without a click, if something does."""
        ring = hardware.output.ring
        now = trio.current_time()
        if ring is None or not (ring.held or ring.unseen or (self._handover.until or 0) > now):
            return
        self._handover.cut(self._handover.generation + 1)
        with trio.move_on_after(_FADE):
            while ring.unseen and not hardware.finished:
                await self._news.wait()
        while self._hardware_block() is not None:
            pass  # for the counts only
        heard = (self._handover.until or 0) + self._block_seconds  # what a driver says of itself is an estimate
        await trio.sleep_until(min(heard, now + _FADE + _SPEAKER))
