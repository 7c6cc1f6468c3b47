"""The audio device of a session: the two tasks that move sound between it and the session, and how far each came.

What was heard is counted in `core.playout`; what an interruption does is decided in `core.interrupter` and carried
out in `turns.py`. What of the microphone is sent stands in `capture.py`. Here samples move, and the device's reports
reach those who count.
"""

import math
from collections.abc import Callable, Collection
from contextlib import suppress

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.levels import level_dbfs
from realtime_trio.core.playout import SAMPLES_PER_MS, PartKey, PlayoutLedger
from realtime_trio.device import AudioBlock, AudioDevice, AudioStream, DeviceChange, EchoState
from realtime_trio.nursery import open_services

from .capture import Capture
from .fittings import Decoder, WireCodec
from .inside import Inside

__all__ = ["Sound", "SoundState"]

_PCM = "audio/pcm"
_PATIENCE_SECONDS = 2.0  # with hardware that is gone, when nothing else is waited for
_BYTES_PER_SECOND, _G711_BYTES_PER_SECOND = 48_000, 8_000


@attrs.frozen
class SoundState:
    """Both directions of the sound at one moment.

    Attributes:
        muted: Whether the microphone is muted.
        pressed: Whether a push-to-talk turn is under way.
        gate_open: Whether the microphone passes. Closed while something is played and nobody speaks over it loudly
            enough; always open without echo control.
        paused: Whether the sound waits for the verdict on an interruption.
        microphone_dbfs: How loud the last captured block was, after echo control; -inf for silence.
        speaker_dbfs: How loud the last block was that was handed over; -inf for silence, and for a device that does
            not say what it plays.
        queued_ms: Milliseconds of sound that were received and not handed over yet.
        echo: How well the echo is taken out; None without echo control.
    """

    muted: bool
    pressed: bool
    gate_open: bool
    paused: bool
    microphone_dbfs: float
    speaker_dbfs: float
    queued_ms: int
    echo: EchoState | None


@attrs.define(eq=False, repr=False)
class Sound(Inside):
    """The device of one session, with what is to be played on it.

    Attributes:
        device: What is opened; None when the program itself moves the audio.
        capture: Takes what the microphone captures.
        on_block: Called after each block's report, with the time.
        on_change: Called when the hardware went away, or came back.
        ledger: What is to be played, and how far it came.
        make_codec: Makes what speaks a format of the wire other than PCM16 at 24 kHz.
        input_format: What the wire speaks towards the server, by its name there.
        output_format: The same towards us.
        underruns: How often a part that had begun to sound had to wait for more.
        fade_s: How long to wait for the fade of a cut when the device is to be closed, in seconds.
    """

    device: AudioDevice | None
    capture: Capture
    on_block: Callable[[float], object]
    on_change: Callable[[DeviceChange], object]
    ledger: PlayoutLedger = attrs.field(factory=PlayoutLedger)
    make_codec: Callable[[str], WireCodec] | None = None
    fade_s: float = 0.1
    input_format: str = attrs.field(default=_PCM, init=False)
    output_format: str = attrs.field(default=_PCM, init=False)
    _make_decoder: Callable[[], Decoder] | None = attrs.field(default=None, init=False)
    _decoders: dict[PartKey, Decoder] = attrs.field(factory=dict, init=False)
    _stream: AudioStream | None = attrs.field(default=None, init=False)
    _cut_seen: trio.Event = attrs.field(factory=trio.Event, init=False)
    _last_played: bytes = attrs.field(default=b"", init=False, repr=False)
    _lost_at: float = attrs.field(default=math.inf, init=False)  # since when there is no hardware
    underruns: int = attrs.field(default=0, init=False)
    _is_dry: bool = attrs.field(default=False, init=False)
    _paused: bool = attrs.field(default=False, init=False)
    _released: bool = attrs.field(default=False, init=False)
    _wake_send: trio.MemorySendChannel[None] = attrs.field(init=False)
    _wake_receive: trio.MemoryReceiveChannel[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # one pending wake-up is enough: the playout task then takes all that there is
        self._wake_send, self._wake_receive = trio.open_memory_channel[None](1)

    def configure(self, session: events.RealtimeSession) -> None:
        """Follow the configuration in effect: who detects turns, and what the wire speaks."""
        audio = session.audio or events.SessionAudio()
        if audio.input and audio.input.turn_detection is not events.UNSET:
            self.capture.uplink.switch(continuous=audio.input.turn_detection is not None)
        formats = _format(audio.input), _format(audio.output)
        if formats[0] != self.input_format:
            self.capture.codec = self._codec(formats[0])
        if formats[1] != self.output_format:
            codec = self._codec(formats[1])
            self._make_decoder = None if codec is None else codec.decoder
        self.input_format, self.output_format = formats

    @property
    def output_bytes_per_second(self) -> int:
        """How much a second of the wire's output format takes."""
        return _BYTES_PER_SECOND if self.output_format == _PCM else _G711_BYTES_PER_SECOND

    def _codec(self, name: str) -> WireCodec | None:
        if name == _PCM or self.device is None or self.make_codec is None:
            return None
        return self.make_codec(name)

    # Tasks

    async def run(self, ready: trio.Event) -> None:
        """Open the device and move sound until cancelled.

        Args:
            ready: Set when the device runs.

        Raises:
            DeviceUnavailable: There is no such device, or it vanished for good.
        """
        assert self.device is not None  # noqa: S101 the session starts this only with a device
        async with self.device.open() as self._stream, open_services("sound") as services:
            services.start_soon(self._plays, self._stream)
            ready.set()
            await self._captures(self._stream)

    async def _captures(self, stream: AudioStream) -> None:
        while True:
            block = await stream.receive_block()
            if block.change is not None:
                self._lost_at = math.inf if block.change.available else trio.current_time()
                if block.change.available:
                    self.capture.begin_anew()
                self.on_change(block.change)
            self._report(block)
            self._last_played = block.played
            self.capture.take(block)
            self.wake()
            self.on_block(trio.current_time())

    def _report(self, block: AudioBlock) -> None:
        if block.cut is not None:
            self.ledger.cut_report(block.cut.generation, block.cut.samples, block.cut.until)
            self._cut_seen.set()
        self.ledger.report(block.position.generation, block.position.samples, block.position.until)
        was_dry, self._is_dry = self._is_dry, self.ledger.is_dry
        self.underruns += self._is_dry and not was_dry

    async def _plays(self, stream: AudioStream) -> None:
        async for _ in self._wake_receive:
            if not self._paused and (pcm := self.ledger.take(stream.room)):
                stream.write(pcm)

    # What is to be played

    def receive(self, part: PartKey, data: bytes) -> None:
        """Queue a piece of a content part, in the session's output format."""
        if self._make_decoder is not None:
            if part not in self._decoders:
                self._decoders[part] = self._make_decoder()
            data = self._decoders[part].decode(data)
        self.ledger.receive(part, data)
        self.wake()

    def finish(self, part: PartKey) -> None:
        """Note that all of a content part was received."""
        if decoder := self._decoders.pop(part, None):
            self.ledger.receive(part, decoder.finish())
        self.ledger.finish(part)
        self.wake()

    def let_go(self, part: PartKey, ms: float) -> None:
        """Let so many milliseconds of a part that is held be played, counted from its beginning; inf for all."""
        self.ledger.release(part, None if ms == math.inf else int(ms * SAMPLES_PER_MS))
        self.wake()

    def end(self, response_id: str) -> None:
        """Note that a response is over, whether or not its parts are."""
        for part in [part for part in self._decoders if part.response_id == response_id]:
            self.finish(part)
        self.ledger.end(response_id)

    def wake(self) -> None:
        """Let the playout task look again: there is new audio, or new room."""
        with suppress(trio.WouldBlock):  # it has not looked yet since the last time
            self._wake_send.send_nowait(None)

    # Stopping it

    def cut(self, response_ids: Collection[str]) -> None:
        """Stop the sound of these responses now, for good; the rest goes on from the same sample."""
        generation = self.ledger.cut(response_ids)
        if self._stream is not None and not self._released:
            self._cut_seen = trio.Event()
            self._stream.cut(generation)

    def pause(self) -> None:
        """Stop the sound now, until `resume`; not a sample is lost."""
        self.cut(())
        self._paused = True

    def resume(self) -> None:
        """Go on from the sample at which it was paused."""
        self._paused = False
        self.wake()

    async def drained(self) -> None:
        """Wait until all that was received has left the speaker, or there has been no hardware for two seconds.

        Cancellation:
            Safe: the sound goes on.
        """
        while not (self.is_silent(now := trio.current_time()) or now >= self._lost_at + _PATIENCE_SECONDS):  # noqa: ASYNC110
            # Time itself makes it so, no event does: not handed over yet, look again after a block; else sleep until
            # the last sample comes out.
            await trio.sleep(min(max(self.ledger.drained_at() - now, 0.001), 0.02))

    def is_silent(self, now: float) -> bool:
        """Whether nothing that was received is left to be heard."""
        return self._released or self._stream is None or self.ledger.drained(now)

    def release(self) -> None:
        """Let who waits for silence go: the session is over."""
        self._released = True

    async def hush(self) -> None:
        """Fade out whatever is playing and take no more from the microphone; bounded by `fade_s`."""
        self.capture.capturing = False
        if self._stream is None or self.ledger.drained(trio.current_time()):
            return
        self.cut({part.response_id for part in self.ledger.parts()})
        with trio.move_on_after(self.fade_s):
            await self._cut_seen.wait()

    # What there is to see

    def state(self) -> SoundState:
        """Tell both directions' state."""
        return SoundState(
            muted=self.capture.uplink.muted,
            pressed=self.capture.uplink.pressed,
            gate_open=self.capture.is_open,
            paused=self._paused,
            microphone_dbfs=self.capture.level_dbfs,
            speaker_dbfs=level_dbfs(self._last_played),
            queued_ms=self.ledger.queued * 1000 // 24_000,
            echo=self.capture.echo_state,
        )


def _format(direction: events.AudioInput | events.AudioOutput | events.UnsetType | None) -> str:
    """Name the wire's format of one direction."""
    return (direction.format.type if direction and direction.format else None) or _PCM
