"""Opening what PortAudio has: one duplex stream where that works, two where it does not, at a rate that it takes.

It runs in PortAudio's thread, and ends when the streams run. What they deliver is read in Trio's thread.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from realtime_trio.device import SAMPLE_RATE

from .callback import Callback, HandoverRing
from .choosing import REFUSED_CHANNELS, REFUSED_RATE, DeviceInfo, choose, code_of, explained
from .handover import Format
from .pcm import FADE_SAMPLES

__all__ = ["Hardware", "Wanted", "open_hardware"]

_RATES = (48_000, 44_100, 16_000)  # what sound cards and headsets speak, when they do not speak ours
_LEAST_RATE = 8_000


@attrs.frozen
class Wanted:
    """What is to be opened."""

    input: int | str | None
    """Index or name of the microphone; None for the default one."""
    output: int | str | None
    """The same of the speaker."""
    block_ms: int
    """Length of a block in milliseconds."""
    ring: int
    """Samples of the session that may wait to be played."""
    duplex: bool
    """Whether to try one stream for both first."""

    @property
    def default(self) -> bool:
        """Whether neither half was chosen."""
        return self.input is self.output is None


@attrs.define(eq=False)
class Hardware:
    """What was opened. It is `OpenStreams`; the callbacks are read in Trio's thread."""

    streams: Sequence[Any]
    """Of sounddevice: one, or the input and the output."""
    input: Callback
    output: Callback
    formats: tuple[Format, Format]
    """What the input and the output speak."""
    latencies: tuple[float, float]
    """Seconds that PortAudio says the input and the output take."""
    devices: tuple[DeviceInfo, DeviceInfo]
    """The microphone and the speaker."""
    closed: bool = False
    interrupted: bool = False
    """The owner of PortAudio closed them."""

    @property
    def finished(self) -> bool:
        """Whether one of its streams has ended by itself."""
        return self.input.finished or self.output.finished

    @property
    def passed(self) -> tuple[int, int]:
        """Blocks that the input and the output have finished."""
        return self.input.passed, self.output.passed

    @property
    def failures(self) -> int:
        """Calls of the callbacks that went wrong."""
        return sum(callback.failures for callback in self.callbacks)

    @property
    def callbacks(self) -> set[Callback]:
        """The one of a duplex stream, or the two of two streams."""
        return {self.input, self.output}

    def retire(self) -> None:
        """Let the callbacks do nothing from now on. In any thread."""
        for callback in self.callbacks:
            callback.retired = True

    def close(self) -> None:
        """Stop and close, whatever the state. In PortAudio's thread."""
        if self.closed:
            return
        self.closed = True
        self.retire()
        for stream in self.streams:
            _closed(stream)

    def taken_away(self) -> None:
        """Hear that the owner closed it."""
        self.interrupted = True
        for callback in self.callbacks:
            callback.finish()


def open_hardware(
    sd: Any,
    devices: Sequence[DeviceInfo],
    wanted: Wanted,
    make_callback: Callable[[HandoverRing | None], Callback],
    before: Sequence[DeviceInfo] = (),
) -> Hardware:
    """Open and start.

    Args:
        sd: The module sounddevice.
        devices: What there is.
        wanted: What is wanted.
        make_callback: Gives a callback for what it plays from, which is None for an input alone.
        before: The microphone and the speaker that were open before, to be found again; empty at first.

    Returns:
        What is running.

    Raises:
        DeviceUnavailable: It cannot be opened; the words say which half of it, and what to do.
    """
    opening = _Opening(sd, wanted, make_callback)
    was_input, was_output = before or (None, None)
    microphone = choose(devices, wanted.input, "input", was_input)
    speaker = choose(devices, wanted.output, "output", was_output)
    if wanted.duplex:
        try:
            return opening.duplex(microphone, speaker)
        except Exception:  # noqa: BLE001, S110  whatever it was: each half by itself works, or says better what is wrong
            pass
    return opening.apart(microphone, speaker)


class _Opening:
    def __init__(self, sd: Any, wanted: Wanted, make_callback: Callable[[HandoverRing | None], Callback]) -> None:
        self._sd = sd
        self._wanted = wanted
        self._callback = make_callback

    def duplex(self, microphone: DeviceInfo, speaker: DeviceInfo) -> Hardware:
        def attempt(formats: tuple[Format, Format]) -> Hardware:
            block = self._block(formats[0])
            callback = self._callback(self._ring(formats[1], block))
            stream = self._sd.RawStream(
                samplerate=formats[0].rate,
                blocksize=block,
                device=(microphone.index, speaker.index),
                channels=tuple(spoken.channels for spoken in formats),
                dtype="int16",
                latency="low",
                extra_settings=(self._extra(microphone), self._extra(speaker)),
                callback=callback.duplex,
                finished_callback=callback.finish,
            )
            _started(stream)
            latencies = stream.latency
            return Hardware([stream], callback, callback, formats, tuple(latencies), (microphone, speaker))

        return _first_that_works(_pairs_of_formats(microphone, speaker), attempt)

    def apart(self, microphone: DeviceInfo, speaker: DeviceInfo) -> Hardware:
        try:
            played, playout, out_format = _first_that_works(
                _formats(speaker, "output"), lambda f: self._output(speaker, f)
            )
        except Exception as error:
            raise explained(error, f"open the speaker {speaker.name!r}") from error
        try:
            captured, capture, in_format = _first_that_works(
                _formats(microphone, "input"), lambda f: self._input(microphone, f)
            )
        except Exception as error:
            _closed(played)
            raise explained(error, f"open the microphone {microphone.name!r}") from error
        return Hardware(
            [captured, played],
            capture,
            playout,
            (in_format, out_format),
            (captured.latency, played.latency),
            (microphone, speaker),
        )

    def _input(self, device: DeviceInfo, format: Format) -> tuple[Any, Callback, Format]:
        callback = self._callback(None)
        stream = self._sd.RawInputStream(callback=callback.input, **self._half(device, format, callback))
        _started(stream)
        return stream, callback, format

    def _output(self, device: DeviceInfo, format: Format) -> tuple[Any, Callback, Format]:
        callback = self._callback(self._ring(format, self._block(format)))
        stream = self._sd.RawOutputStream(callback=callback.output, **self._half(device, format, callback))
        _started(stream)
        return stream, callback, format

    def _half(self, device: DeviceInfo, format: Format, callback: Callback) -> dict[str, Any]:
        return {
            "samplerate": format.rate,
            "blocksize": self._block(format),
            "device": device.index,
            "channels": format.channels,
            "dtype": "int16",
            "latency": "low",
            "extra_settings": self._extra(device),
            "finished_callback": callback.finish,
        }

    def _ring(self, format: Format, block: int) -> HandoverRing:
        return HandoverRing(
            # what a cut has dropped keeps its place until the callback comes by, and the next answer wants room
            2 * format.frames(self._wanted.ring) + 2 * block + format.rate // 10,
            frame_bytes=format.frame_bytes,
            fade=min(format.frames(FADE_SAMPLES), block),
            pause=format.rate // 2,
        )

    def _block(self, format: Format) -> int:
        return format.rate * self._wanted.block_ms // 1000

    def _extra(self, device: DeviceInfo) -> Any:
        """Let Windows convert rates and channels, where it offers to."""
        if "WASAPI" not in device.host or not hasattr(self._sd, "WasapiSettings"):
            return None
        return self._sd.WasapiSettings(auto_convert=True)


F = TypeVar("F")
R = TypeVar("R")


def _first_that_works(formats: Iterator[F], attempt: Callable[[F], R]) -> R:
    """Try formats until one is not refused for its rate or its channels; any other error ends it."""
    refused: Exception | None = None
    for candidate in formats:
        try:
            return attempt(candidate)
        except Exception as error:
            if code_of(error) not in {REFUSED_RATE, REFUSED_CHANNELS}:
                raise
            refused = refused or error
    assert refused is not None  # noqa: S101  there is always a format to try
    raise refused


def _started(stream: Any) -> None:
    try:
        stream.start()
    except BaseException:
        _closed(stream)
        raise


def _closed(stream: Any) -> None:
    """Abort and close. Neither raises for PortAudio's errors; a stream that has lost its device may, all the same."""
    for act in (stream.abort, stream.close):
        with contextlib.suppress(Exception):
            act()


def _rates(*devices: DeviceInfo) -> Iterator[int]:
    """Give rates worth trying: ours, the devices' own, then the usual ones."""
    yield from dict.fromkeys(
        (SAMPLE_RATE, *(round(device.rate) for device in devices if device.rate >= _LEAST_RATE), *_RATES)
    )


def _formats(device: DeviceInfo, kind: str) -> Iterator[Format]:
    for rate in _rates(device):
        yield Format(rate, 1)
        if (device.inputs if kind == "input" else device.outputs) > 1:
            yield Format(rate, 2)


def _pairs_of_formats(microphone: DeviceInfo, speaker: DeviceInfo) -> Iterator[tuple[Format, Format]]:
    for rate in _rates(microphone, speaker):
        for channels in ((1, 1), (2, 1), (1, 2), (2, 2)):
            if channels[0] <= microphone.inputs and channels[1] <= speaker.outputs:
                yield Format(rate, channels[0]), Format(rate, channels[1])
