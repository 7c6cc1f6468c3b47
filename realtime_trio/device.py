"""What the session needs of a sound device: blocks of sound in, samples out, and the truth about both.

Devices themselves stand elsewhere (`realtime_trio.audio`, or the user's own code): this module holds only the
protocols and the values that pass between a device and the session, so that neither has to know the other.

All sound is PCM, 16 bit, little endian, mono, 24,000 samples a second (`SAMPLE_RATE`); a device that runs otherwise
converts inside. All times are those of `trio.current_time()`, in seconds.

**Generations.** Samples that the session writes are counted per generation, from zero. A cut ends a generation: a
fade of at most 10 ms goes over what was written and not yet handed over, the rest is dropped, and what is written
from then on belongs to the next generation. Where the cut fell is known only to the device, which says it with its
next block. Two counts follow from what it reports, and nothing else does: what a person has heard (`Position.until`
has passed), and what will have come out after a cut (`AudioBlock.cut`).

**A device in short**: keep at most 200 to 500 ms of written samples; every 10 or 20 ms hand the next of them to the
hardware (zeros where there are none), take the same length from the microphone, and give both facts out as an
`AudioBlock`.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

import attrs

__all__ = [
    "SAMPLE_RATE",
    "AudioBlock",
    "AudioDevice",
    "AudioStream",
    "CleanBlock",
    "DeviceChange",
    "EchoControl",
    "EchoState",
    "Position",
]

SAMPLE_RATE = 24_000
"""Samples a second of all sound that passes here."""


@attrs.frozen
class Position:
    """How far the playout of one generation came."""

    generation: int
    """The generation that is counted; the first after opening is 0."""

    samples: int
    """Samples of it that were handed over to the hardware, since it began. Silence that filled a gap is not
    counted."""

    until: float
    """Trio time at which the last of them leaves the speaker, output latency included; may be ahead of now.
    With `samples` 0: the time of the report."""


@attrs.frozen
class DeviceChange:
    """The hardware behind an open device went away, or came back. The device goes on giving blocks all the while."""

    available: bool
    """Whether there is hardware now. Without, blocks hold silence at the usual pace and nothing is handed over."""

    words: str
    """What happened, and what the user can do, for example `"the device 'USB Audio' is gone: plug it in again"`."""


@attrs.frozen
class AudioBlock:
    """One block of the device's clock: what came in, and how far what goes out had come."""

    captured: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """Sound of the microphone, one block long (20 ms by default), without gaps from block to block."""

    captured_at: float
    """Trio time at which its first sample was captured."""

    position: Position
    """How far playout has come, in the generation that is the current one for the device."""

    cut: Position | None = None
    """Where a cut fell: the count of the generation that it ended, fade included. Each cut is reported exactly
    once, in order; when several are due, one with each block. Read it before `position`."""

    played: bytes = attrs.field(default=b"", repr=lambda pcm: f"<{len(pcm)} bytes>")
    """What was handed over for the speaker in the same block, as long as `captured`, silence included: the reference of
    an echo canceller. Empty when nothing of what is played can get into this microphone (a file, a phone line)."""

    change: DeviceChange | None = None
    """What happened to the hardware since the last block; each change is told once."""


@runtime_checkable
class AudioStream(Protocol):
    """An open device. One task of the session uses it; no method but `receive_block` ever waits."""

    @property
    def room(self) -> int:
        """Samples that `write` would take now. A full ring is 200 to 500 ms."""
        ...

    def write(self, pcm: bytes) -> None:
        """Queue samples of the current generation to be handed over in order, after what is queued.

        Args:
            pcm: PCM16 little endian, mono, 24 kHz; whole samples, at most `room` of them.

        Raises:
            ValueError: More than `room`, or half a sample.
            trio.ClosedResourceError: The device was closed.
        """
        ...

    def cut(self, generation: int) -> None:
        """Stop the sound now: fade what is pending (at most 10 ms of it), drop the rest, begin a new generation.

        It takes effect with the next block. Its place is reported with that block, as `AudioBlock.cut`.

        Args:
            generation: The number of the new generation. What is written from here on belongs to it.

        Raises:
            trio.ClosedResourceError: The device was closed.
        """
        ...

    async def receive_block(self) -> AudioBlock:
        """Wait for the next block.

        Every block is handed out once, in order. A caller that comes late gets the blocks that are waiting at once;
        a device may leave out the oldest when more than a second waits, but never a cut.

        Returns:
            The oldest block not handed out yet.

        Raises:
            DeviceUnavailable: The device vanished, or failed for good.
            trio.BusyResourceError: Another task is waiting here.
            trio.ClosedResourceError: The device was closed.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        ...


@runtime_checkable
class AudioDevice(Protocol):
    """A microphone and a speaker, or what stands for them."""

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        """Start capture and playout; stop both when the block is left.

        The session calls it once, after its configuration is acknowledged, and leaves it before the connection is
        closed. Leaving stops at once what is still queued; a fade that a `cut` has begun is played to its end.
        Leaving takes bounded time, also when it is cancelled, and raises nothing of its own.

        Returns:
            An asynchronous context manager that gives the stream. Entering it raises `DeviceUnavailable`, with
            words that say what to do, when there is no such device or it is busy.
        """
        ...


@attrs.frozen
class CleanBlock:
    """A captured block without the echo of what was played."""

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """As long as what was captured."""

    level_dbfs: float
    """How loud `pcm` is (root mean square, 0 is full scale); -inf for digital silence."""

    playing: bool
    """Whether sound of the speaker may be left in it: something was played in it or shortly before (300 ms), and
    there is no sign that the two cannot hear each other (headphones)."""


@attrs.frozen
class EchoState:
    """How well the microphone is kept free of the speaker, at one moment."""

    backend: str
    """What cancels: `"pywebrtc-audio"`, `"livekit"`, `"half duplex"` or another's name."""

    return_loss_db: float | None = None
    """How much weaker the echo is after cancelling, in dB, lately; None until something was played and captured."""

    path: bool | None = None
    """Whether the microphone hears the speaker at all; False with headphones, None while it is not known."""

    delay_ms: float | None = None
    """From handing a sample over to its echo in the microphone, where there is one."""

    problem: str = ""
    """Why nothing cancels, in words; empty when something does, or nothing was wanted."""


@runtime_checkable
class EchoControl(Protocol):
    """Takes what is played out of what is captured. One task uses it; nothing here waits."""

    @property
    def half_duplex(self) -> bool:
        """Whether it cannot cancel: the session then closes the microphone while something is played."""
        ...

    def process(self, captured: bytes, played: bytes) -> CleanBlock:
        """Clean one block; blocks are given in order, none left out, silent ones too.

        Args:
            captured: Of `AudioBlock`.
            played: Of the same `AudioBlock`.

        Returns:
            The block without echo.
        """
        ...

    def reset(self) -> None:
        """Begin anew, because the device was opened again. What was learnt about the room holds over interruptions."""
        ...

    def state(self) -> EchoState:
        """Tell how well it goes."""
        ...
