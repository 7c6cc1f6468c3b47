"""The microphone's side of a session: echo out, gate, what is sent, and when it was spoken.

What passes is decided in `core.gate` and `core.uplink`; how the echo is taken out, by an `EchoControl`. The task that
receives blocks from the device is in `sound.py`.
"""

import logging
import math
from collections.abc import Callable, Iterable

import attrs

from realtime_trio.core.capture import CaptureLedger
from realtime_trio.core.gate import LevelGate
from realtime_trio.core.levels import level_dbfs
from realtime_trio.core.uplink import Sent, Uplink
from realtime_trio.device import SAMPLE_RATE, AudioBlock, EchoControl, EchoState
from realtime_trio.errors import AudioError

from .fittings import WireCodec
from .inside import Inside
from .notices import EchoNotCancelled, Notice

__all__ = ["Capture"]

_log = logging.getLogger("realtime_trio.session")

_NO_CANCELLER = (
    "so the microphone is closed while the assistant speaks, and nobody can interrupt by speaking. Try "
    "pip install pywebrtc-audio (or livekit), or pass echo='off' if you wear a headset"
)
_NOTHING_PLAYED = (
    "echo= has no effect: this device does not say what it plays. If its microphone can hear its speaker, it must fill "
    "AudioBlock.played (BridgeDevice(echoes=True) does)"
)
_SAMPLE_BYTES = 2


@attrs.define(eq=False, repr=False)
class Capture(Inside):
    """What is captured in one session.

    Attributes:
        append: Takes sound for the input buffer, without waiting: what goes over the wire, how many samples of the
            device's that is, and when the first of them was captured.
        publish: Takes notices.
        make_echo: Makes the echo control when the first block needs it; None to leave the echo in.
        echo_is_chosen: Whether the user asked for this very control: then half duplex need not be announced, but a
            device for which it can do nothing must be.
        ledger: When what was sent was spoken.
        uplink: What of it is sent.
        gate: What of it is loud enough while something is played.
        codec: Speaks the session's input format; None for PCM16 at 24 kHz.
        on_loud: Called with the milliseconds of each block that is as loud as a voice; None while nobody asks.
        learns: Whether the gate is to know the user's level, also where there is no echo to keep out.
        capturing: Whether blocks are taken at all.
        captured_until: When the last sample was captured that was taken.
    """

    append: Callable[[bytes, int, float], object]
    publish: Callable[[Notice], None]
    make_echo: Callable[[], EchoControl] | None = None
    echo_is_chosen: bool = False
    ledger: CaptureLedger = attrs.field(factory=CaptureLedger)
    uplink: Uplink = attrs.field(factory=Uplink)
    gate: LevelGate = attrs.field(factory=LevelGate)
    codec: WireCodec | None = None
    on_loud: Callable[[float], object] | None = None
    learns: bool = False
    capturing: bool = True
    captured_until: float = -math.inf
    _echo: EchoControl | None = attrs.field(default=None, init=False)
    _announced: bool = attrs.field(default=False, init=False)
    _is_open: bool = attrs.field(default=True, init=False)
    _last: bytes = attrs.field(default=b"", init=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether the gate lets the microphone pass."""
        return self._is_open

    @property
    def level_dbfs(self) -> float:
        """How loud the last block was, without echo; -inf for silence."""
        return level_dbfs(self._last)

    @property
    def echo_state(self) -> EchoState | None:
        """How well the echo is taken out; None when nobody does, or nothing was captured yet."""
        return None if self._echo is None else self._echo.state()

    def take(self, block: AudioBlock) -> None:
        """Send what is to be sent of a captured block."""
        if not (block.captured and self.capturing):
            return
        _check(block.captured)
        pcm, keep, level = block.captured, True, None
        ms = len(pcm) * 1000 / (_SAMPLE_BYTES * SAMPLE_RATE)
        self._is_open = True
        if block.played and (echo := self._control()) is not None:
            clean = echo.process(pcm, block.played)
            pcm, level = clean.pcm, clean.level_dbfs
            if echo.half_duplex:
                if not (self.echo_is_chosen or self._announced):  # from the beginning, or because a canceller failed
                    self._announce(f"{echo.state().problem or 'no echo canceller works here'}, {_NO_CANCELLER}")
                self._is_open = keep = not clean.playing
            else:
                self._is_open = self.gate.feed(level, clean.playing, ms)
        elif not block.played and self.echo_is_chosen:
            self._announce(_NOTHING_PLAYED)
        self._last = pcm
        if level is None and self.learns:
            level = level_dbfs(pcm)
            self.gate.feed(level, playing=False, ms=ms)
        is_heard = self.on_loud is not None and not self.uplink.muted
        if (
            self.on_loud is not None
            and is_heard
            and (level_dbfs(pcm) if level is None else level) > self.gate.threshold_dbfs
        ):
            self.on_loud(ms)
        self._send(self.uplink.feed(pcm, block.captured_at, is_open=self._is_open, keep=keep))
        self.captured_until = block.captured_at + ms / 1000

    def begin_anew(self) -> None:
        """The hardware is another, or was opened again."""
        if self._echo is not None:
            self._echo.reset()

    def press(self) -> None:
        """Begin a manual turn: what was said just before the key was pressed goes first."""
        self._send(self.uplink.press())

    @property
    def spoken_ms(self) -> float:
        """Milliseconds of the manual turn so far, without its pre-roll."""
        return self.uplink.spoken * 1000 / SAMPLE_RATE

    def release(self) -> None:
        """End a manual turn."""
        if self.codec is not None:
            self._append(self.codec.finish(), 0, self.captured_until)
        self.uplink.release()

    def _send(self, pieces: Iterable[Sent]) -> None:
        for piece in pieces:
            samples = len(piece.pcm) // _SAMPLE_BYTES
            wire = piece.pcm if self.codec is None else self.codec.encode(piece.pcm)
            self._append(wire, samples, piece.captured_at)

    def _append(self, wire: bytes, samples: int, captured_at: float) -> None:
        self.ledger.append(samples, captured_at)
        if wire:
            self.append(wire, samples, captured_at)

    def _control(self) -> EchoControl | None:
        if self._echo is None and self.make_echo is not None:
            self._echo = self.make_echo()
        return self._echo

    def _announce(self, words: str) -> None:
        """Say to the program and in the log, once, that the echo stays in, or that nobody can interrupt."""
        if not self._announced:
            self._announced = True
            _log.warning(words)
            self.publish(EchoNotCancelled(words))


def _check(captured: object) -> None:
    """Refuse what a device of the user's may give by mistake: the server would take it for noise, without a word."""
    if not isinstance(captured, bytes):
        raise AudioError(f"the device captured {type(captured).__name__}: AudioBlock.captured is bytes of PCM16")
    if len(captured) % _SAMPLE_BYTES:
        raise AudioError(f"the device captured half a sample: {len(captured)} bytes are not a whole number of them")
