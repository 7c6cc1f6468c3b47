"""The machine's microphone and speaker as an `AudioDevice`.

What happens while it is open stands in `realtime_trio.audio.hardware_stream`, what speaks to PortAudio in
`realtime_trio.audio.portaudio`.
"""

import string
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import trio

from realtime_trio.device import AudioStream
from realtime_trio.errors import ConfigurationError
from realtime_trio.nursery import open_services

from .clocked import DeviceStatistics
from .hardware import Wanted
from .hardware_stream import HardwareStream
from .pcm import samples_from_ms
from .portaudio import PortAudio, portaudio

__all__ = ["SoundCard"]

_NO_NAME = string.whitespace + ","  # what is left out where names are compared


class SoundCard:
    """The machine's microphone and speaker. It is an `AudioDevice`.

    Both run in one stream of PortAudio's, so each block that is captured comes with the block that was played: what an
    echo canceller needs. Where that is refused there are two streams, aligned afterwards; where 24 kHz or mono is
    refused, sound is converted. Nothing of it shows but in `statistics`.

    The hardware may go away and come back while it is open: see `AudioBlock.change`. A device that was chosen is waited
    for; with the default device, whatever is the default by then is taken.

    Args:
        device: Microphone and speaker: an index, or a part of a name, as `list_devices` tells them; None for the
            default ones.
        input: The microphone alone, in the same words; goes before `device`.
        output: The speaker alone.
        block_ms: Length of a block in milliseconds.
        ring_ms: Milliseconds of sound that may wait to be played, 200 to 500. A loop that is late for less than that
            is not heard.
        duplex: Try one stream for both first. False for devices that take it, and are bad at it.

    Raises:
        ConfigurationError: An argument is of a type or has a value that it cannot have: the words name it, and say what
            it may be. Whether there is such a device shows when it is opened.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        input: int | str | None = None,
        output: int | str | None = None,
        block_ms: Literal[10, 20] = 20,
        ring_ms: float = 300,
        duplex: bool = True,
    ) -> None:
        for argument, value in (("device", device), ("input", input), ("output", output)):
            _check_device(argument, value)
        _check_stream(block_ms, ring_ms, duplex)
        self._wanted = Wanted(
            input=device if input is None else input,
            output=device if output is None else output,
            block_ms=block_ms,
            ring=samples_from_ms(ring_ms),
            duplex=duplex,
        )
        self._owner: PortAudio = portaudio
        self._stream: HardwareStream | None = None
        self._open = False

    def statistics(self) -> DeviceStatistics:
        """Tell what happened since it was opened (the last time)."""
        return self._stream.statistics() if self._stream else DeviceStatistics(0, 0, 0)

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        """Open microphone and speaker, and start. See `AudioDevice.open`.

        Returns:
            A context manager that gives the stream. It can be opened again after it was left.

        Raises:
            DeviceUnavailable: On entering: PortAudio is not installed, there is no such device, it is busy, or refuses
                everything that was tried. The words say which, and what to do.
            trio.BusyResourceError: On entering: it is open.

        Cancellation:
            Entering ends at once; what was being opened is closed again. Leaving takes at most a second.
        """
        return self._opened()

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection
    async def _opened(self) -> AsyncGenerator[AudioStream]:
        if self._open:
            raise trio.BusyResourceError("this sound card is open already")
        self._open = True
        try:
            stream = HardwareStream(self._owner, self._wanted)
            await stream.open()
            self._stream = stream
            try:
                async with open_services("the sound card") as services:
                    services.start_soon(stream.watch)
                    yield stream
            finally:
                with trio.CancelScope(shield=True):  # each step of it has its own time limit
                    await stream.aclose()
        finally:
            self._open = False


def _check_device(argument: str, value: object) -> None:
    """Refuse what can be no device's index, nor a part of its name: an empty name would fit all of them."""
    if isinstance(value, str):
        names = bool(value.strip(_NO_NAME))
    else:
        names = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)
    if not names:
        raise ConfigurationError(
            f"{argument} is the number of a device (0 or more), a part of its name, or None for the default one, "
            f"not {value!r}: `python -m realtime_trio.demo --list-devices` shows numbers and names"
        )


def _check_stream(block_ms: object, ring_ms: object, duplex: object) -> None:
    """Refuse what no device is opened with. A bool is an int too, and out of both ranges."""
    if not isinstance(block_ms, int) or block_ms not in {10, 20}:
        raise ConfigurationError(f"block_ms is 10 or 20 (milliseconds), not {block_ms!r}")
    if not isinstance(ring_ms, int | float) or not 200 <= ring_ms <= 500:  # noqa: PLR2004  as described
        raise ConfigurationError(f"ring_ms is a number of milliseconds from 200 to 500, not {ring_ms!r}")
    if not isinstance(duplex, bool):
        raise ConfigurationError(f"duplex is True or False, not {duplex!r}")
