"""Echo: what the speaker plays is taken out of what the microphone hears, so that the assistant never hears itself.

`make_echo` gives the best `EchoControl` (see `realtime_trio.device`) that works on this machine. What cancels stands in
`echo_cancellers`, whether there is anything to cancel is found in `echo_path`, and what is then loud enough to be the
user is decided in `realtime_trio.core.gate`.

How a block passes. It is cut into frames of 10 ms (blocks of 10 or 20 ms are whole frames: nothing waits); the frames
of the microphone go with those of the speaker through the canceller. What is loud all the same and still goes with what
was played is residue, and is turned down. The energies before and after cancelling, while something plays, are the
echo return loss. Nothing here knows the time, or waits: it all counts samples.
"""

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Literal

import numpy as np

from realtime_trio.device import CleanBlock, EchoControl, EchoState

from .echo_cancellers import FRAME_BYTES, FRAME_SAMPLES, Canceller, find
from .echo_path import CAPTURED, CLEANED, PLAYED, EchoPath, Floats, History, is_residue
from .pcm import level_dbfs, samples_in

_log = logging.getLogger("realtime_trio.audio")

__all__ = ["EchoCancellation", "HalfDuplex", "make_echo"]

_AFTERGLOW_MS = 300.0  # what a room goes on to say after the last sound, at least
_UNKNOWN_DELAY_MS = 250.0  # of the echo, until it was measured: more than most devices take
_FRAME_MS = 10.0
_CHUNK_FRAMES = 20  # energies are compared over 200 ms
_CHUNKS = 20  # and the median of 4 s of them is told
_FEWEST_CHUNKS = 3
_JUDGED_EVERY_MS = 40.0  # less changes little in half a second, and this is what costs most here
_RESIDUE_GAIN = 10 ** (-30 / 20)
_RAMP = FRAME_SAMPLES // 2  # a gain changes over 5 ms, so that it is not heard as a click

_HALF_DUPLEX = "half duplex"
_INT16 = np.dtype("<i2")


def _energy(dbfs: float) -> float:
    """Give the energy of a frame at that level."""
    return FRAME_SAMPLES * 10 ** (dbfs / 10) * 32768**2


_AUDIBLE = _energy(-60)  # a quieter reference leaves nothing that could be heard
_LOUD = _energy(-50)  # quieter residue is not taken for speech by anybody
_FAINT = _energy(-75)  # a quieter microphone is off: what a canceller makes of that says nothing


def make_echo(setting: Literal["auto", "half_duplex"] = "auto") -> EchoControl:
    """Make the best echo control that works here.

    Blocks for some 5 ms the first time, up to 200 ms if livekit has to be loaded: call it before sound flows.

    Args:
        setting: `"auto"`: pywebrtc-audio, else livekit, else half duplex. `"half_duplex"`: not even look for a
            canceller.

    Returns:
        A new one, for one device. With `half_duplex` nothing cancels, which a caller owes it to the user to say;
        `state().problem` has the words.

    Raises:
        ValueError: There is no such setting.
    """
    if setting == "half_duplex":
        return HalfDuplex()
    if setting != "auto":
        raise ValueError(f'echo={setting!r}: there are "auto" and "half_duplex"')
    choice = find()
    if choice.make is None:
        return HalfDuplex(f"no echo canceller works here ({'; '.join(choice.problems)})")
    return EchoCancellation(choice.make, backend=choice.name)


class _Frames:
    """Cuts pairs of blocks of any length into whole frames, and gives back as much as was put in."""

    def __init__(self) -> None:
        self._captured = bytearray()
        self._played = bytearray()
        self._done = bytearray()

    def put(self, captured: bytes, played: bytes) -> tuple[bytes, bytes]:
        """Add a pair of blocks; get the whole frames that wait."""
        self._captured += captured
        self._played += played
        whole = len(self._captured) - len(self._captured) % FRAME_BYTES
        frames = bytes(self._captured[:whole]), bytes(self._played[:whole])
        del self._captured[:whole], self._played[:whole]
        return frames

    def get(self, cleaned: bytes, length: int) -> bytes:
        """Add frames that were cleaned; get as many bytes as the block had."""
        self._done += cleaned
        # At most once or twice per device, with blocks that are no whole frames: from then on a frame is always ahead.
        if len(self._done) < length:
            self._done[:0] = bytes(length - len(self._done))
        block = bytes(self._done[:length])
        del self._done[:length]
        return block


class _Listening:
    """What goes on in the room: what was played and captured lately, and whether it still sounds of it."""

    def __init__(self) -> None:
        self.history = History()
        self.path = EchoPath(self.history)
        self._quiet_ms = math.inf

    def add(self, captured: bytes, played: bytes, cleaned: bytes) -> Floats:
        """Take whole frames of all three.

        Returns:
            The energies: a row for each of the three, a column for each frame.
        """
        rows = np.frombuffer(played + captured + cleaned, dtype=_INT16).astype(np.float32).reshape(3, -1)
        self.history.add(rows)
        frames = rows.reshape(3, -1, FRAME_SAMPLES)
        energies: Floats = np.einsum("ijk,ijk->ij", frames, frames)
        audible = energies[PLAYED] > _AUDIBLE
        for heard in audible.tolist():
            self._quiet_ms = 0.0 if heard else self._quiet_ms + _FRAME_MS
        self.path.note(int(audible.sum()))
        return energies

    @property
    def playing(self) -> bool:
        """Whether echo may be in what comes now."""
        if self.path.found is False:
            return False
        delay = _UNKNOWN_DELAY_MS if self.path.delay_ms is None else self.path.delay_ms
        return self._quiet_ms < _AFTERGLOW_MS + delay


class _Residue:
    """Turns down what the canceller left of the echo, where that is loud enough to be taken for a voice.

    A canceller is helpless for a second or two after something has changed: at the very beginning, when a device's
    delay jumps. What is left then is the echo itself, and can be known as such.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._gain = 1.0
        self._waited_ms = 0.0

    def suppress(self, cleaned: bytes, energies: Floats, *, playing: bool) -> bytes:
        """Judge the frames that the history got last.

        Args:
            cleaned: Their sound.
            energies: Of each of them.
            playing: Whether echo may be in them.

        Returns:
            The sound, quieter where it is echo.
        """
        before = self._gain
        self._waited_ms += len(energies) * _FRAME_MS
        if not playing or not (energies > _LOUD).any():
            self._gain = 1.0
        elif self._waited_ms >= _JUDGED_EVERY_MS:
            self._waited_ms = 0.0
            self._gain = _RESIDUE_GAIN if is_residue(self._history) else 1.0
        if before == self._gain == 1.0:
            return cleaned
        gains = np.full(len(cleaned) // 2, self._gain, np.float32)
        gains[:_RAMP] = np.linspace(before, self._gain, _RAMP, dtype=np.float32)
        suppressed: bytes = np.rint(np.frombuffer(cleaned, dtype=_INT16) * gains).astype(_INT16).tobytes()
        return suppressed


class _ReturnLoss:
    """How much weaker the echo is after cancelling: the median over the last seconds of playing.

    Nobody can tell the echo from the user and the noise of the room in what is left, so all of it counts as echo: the
    figure is what was reached at least. The median, because the user speaks in a smaller part of the time.
    """

    def __init__(self) -> None:
        self._chunks: deque[float] = deque(maxlen=_CHUNKS)
        self._before = self._after = 0.0
        self._frames = 0

    def add(self, captured: float, cleaned: float) -> None:
        """Take the energies of a frame in which the echo sounds."""
        self._before += captured
        self._after += cleaned
        self._frames += 1
        if self._frames == _CHUNK_FRAMES:
            if self._before > _CHUNK_FRAMES * _FAINT:
                least = _CHUNK_FRAMES * FRAME_SAMPLES / 12  # the noise of rounding: digital silence is no miracle
                self._chunks.append(10 * math.log10(self._before / max(self._after, least)))
            self._before = self._after = 0.0
            self._frames = 0

    @property
    def db(self) -> float | None:
        """The loss, None while too little was played."""
        return float(np.median(self._chunks)) if len(self._chunks) >= _FEWEST_CHUNKS else None


def _paired(captured: bytes, played: bytes) -> bytes:
    """Give the reference of a block; nothing played is silence."""
    samples_in(captured)
    if played and len(played) != len(captured):
        raise ValueError(
            f"{len(captured)} bytes captured but {len(played)} played: a device gives both of one block, equally long"
        )
    return played or bytes(len(captured))


class EchoCancellation:
    """An `EchoControl` that cancels: the user can speak over what is played, and be heard alone.

    Blocks may have any length; those of 10 or 20 ms come out without waiting (the canceller itself delays by some
    10 ms). One task uses it. It costs about 1 % of a core.

    A canceller is native code of others, and may fail. What it raises goes no further: from then on nothing cancels,
    `half_duplex` is true, `state().problem` has the words, and the log gets a warning. It gets another chance at the
    next `reset`.

    Args:
        make_canceller: Makes what cancels; called now, and at every `reset`.
        backend: Its name, for people.
    """

    def __init__(self, make_canceller: Callable[[], Canceller], *, backend: str) -> None:
        self._make = make_canceller
        self._backend = backend
        self.reset()

    @property
    def half_duplex(self) -> bool:
        """Whether the canceller has failed; False while it works."""
        return self._canceller is None

    def reset(self) -> None:
        """Forget the room: the device was opened again. Not for interruptions, which change nothing in the room."""
        self._problem = ""
        self._canceller: Canceller | None = None
        try:
            self._canceller = self._make()
        except Exception as error:  # noqa: BLE001  native code can fail in any way
            self._give_up(error)
        self._frames = _Frames()
        self._listening = _Listening()
        self._residue = _Residue(self._listening.history)
        self._loss = _ReturnLoss()

    def process(self, captured: bytes, played: bytes) -> CleanBlock:
        """Take the echo out of one block.

        Args:
            captured: Of an `AudioBlock`.
            played: Of the same; empty counts as silence.

        Returns:
            The block without echo.

        Raises:
            ValueError: Half a sample, or the two are not equally long.
        """
        near, far = self._frames.put(captured, _paired(captured, played))
        cleaned = b""
        if near:
            cleaned = self._cancelled(near, far)
            energies = self._listening.add(near, far, cleaned)
            if self._listening.playing:
                for before, after in zip(energies[CAPTURED].tolist(), energies[CLEANED].tolist(), strict=True):
                    self._loss.add(before, after)
            if not self.half_duplex:
                cleaned = self._residue.suppress(cleaned, energies[CLEANED], playing=self._listening.playing)
        pcm = self._frames.get(cleaned, len(captured))
        return CleanBlock(pcm, level_dbfs(pcm), self._listening.playing)

    def state(self) -> EchoState:
        """Tell how well it goes.

        Returns:
            The state. Its return loss is a lower bound: what the user says and the noise of the room count as echo
            that is left. It is None until there is an echo, and where there is none.
        """
        path = self._listening.path
        if self.half_duplex:
            return EchoState(_HALF_DUPLEX, None, path.found, path.delay_ms, self._problem)
        return EchoState(self._backend, self._loss.db if path.found else None, path.found, path.delay_ms)

    def _cancelled(self, near: bytes, far: bytes) -> bytes:
        if self._canceller is None:
            return near
        try:
            cleaned = self._canceller.cancel(near, far)
        except Exception as error:  # noqa: BLE001  native code can fail in any way, and the session goes on
            self._give_up(error)
            return near
        if len(cleaned) != len(near):
            self._give_up(ValueError(f"{len(cleaned)} bytes came out for {len(near)}"))
            return near
        return cleaned

    def _give_up(self, error: Exception) -> None:
        self._canceller = None
        words = f"{type(error).__name__}: {error}".removesuffix(": ")
        self._problem = f"{self._backend} failed while it ran: {words}"
        _log.warning("%s; from now on the microphone is closed while something is played", self._problem)


class HalfDuplex:
    """An `EchoControl` that cannot cancel: it only knows when something is played, or when that does not matter.

    The session closes the microphone while `playing`. With headphones that is found out within a few seconds of
    playing, and the user can then interrupt here too.

    Args:
        reason: Why nothing cancels, for people; empty when that was wished.
    """

    half_duplex = True

    def __init__(self, reason: str = "") -> None:
        self._reason = reason
        self.reset()

    def reset(self) -> None:
        """Forget what was found about headphones."""
        self._frames = _Frames()
        self._listening = _Listening()

    def process(self, captured: bytes, played: bytes) -> CleanBlock:
        """Look at one block; its sound is given back as it is.

        Args:
            captured: Of an `AudioBlock`.
            played: Of the same; empty counts as silence.

        Returns:
            The block.

        Raises:
            ValueError: Half a sample, or the two are not equally long.
        """
        near, far = self._frames.put(captured, _paired(captured, played))
        if near:
            self._listening.add(near, far, near)
        return CleanBlock(captured, level_dbfs(captured), self._listening.playing)

    def state(self) -> EchoState:
        """Tell whether the microphone hears the speaker; nothing is cancelled."""
        path = self._listening.path
        return EchoState(_HALF_DUPLEX, None, path.found, path.delay_ms, self._reason)
