"""Sample rates: 16-bit sound of one rate into that of another, piece by piece as it comes.

Whole files are resampled by `realtime_trio.audio.wav`; the companded 8 kHz formats of telephones stand in
`realtime_trio.audio.g711`.

Theory of operation. The work is done by a soxr stream in its variable-rate mode. (The rate never varies here. In the
usual mode soxr filters by Fourier transforms: it holds back up to 40 ms and lets them go at once, which would make
every block late by the longest of these waits. The variable-rate mode filters sample by sample: what it holds back is
always the same, 5 to 10 ms between the rates of sound cards, 30 ms at most. It moves the sound by up to two samples of
the outgoing rate; lengths are exact.) It computes in floats and is rounded here,
because soxr dithers when it rounds by itself: digital silence has to stay digital silence.
"""

from typing import Any

import numpy as np

from .pcm import SAMPLE_BYTES

__all__ = ["RateConverter"]

_INT16 = np.dtype("<i2")
_Samples = np.ndarray[Any, np.dtype[Any]]


class RateConverter:
    """A stream of PCM16 little endian from one sample rate to another. One thread at a time uses it.

    How the sound is cut into pieces changes nothing: the pieces that come out, joined, are the same to the last bit.
    Several channels coming in are averaged to one; several going out all get the same.

    Args:
        from_rate: Samples a second of what comes in.
        to_rate: Samples a second of what goes out; with the same rate nothing is held back and nothing changes.
        channels_in: Channels of what comes in, interleaved.
        channels_out: Channels of what goes out, interleaved.

    Raises:
        ValueError: A rate or a number of channels is not positive.
    """

    def __init__(self, from_rate: int, to_rate: int, channels_in: int = 1, channels_out: int = 1) -> None:
        if min(from_rate, to_rate, channels_in, channels_out) < 1:
            raise ValueError(
                f"rates and channels have to be positive, not {from_rate} Hz in {channels_in} channels "
                f"to {to_rate} Hz in {channels_out}"
            )
        self._from_rate, self._to_rate = from_rate, to_rate
        self._channels_in, self._channels_out = channels_in, channels_out
        self._taken = 0  # frames that came in
        self._given = 0  # frames that went out
        self._stream = None
        if from_rate != to_rate:
            import soxr  # type: ignore[import-untyped]  # here, not above: most devices run at our own rate

            self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ", vr=True)

    @property
    def held(self) -> int:
        """Frames of the outgoing rate that are still inside: what came in, less what went out. `flush` gives them.

        It is how late the sound is, too: what goes out next came in so long ago.
        """
        return _rounded(self._taken * self._to_rate, self._from_rate) - self._given

    def convert(self, pcm: bytes) -> bytes:
        """Convert the next piece.

        Args:
            pcm: Whole frames, of any number; 0 too.

        Returns:
            All that is ready by now: with different rates less than came in at first, and nothing if that was little.

        Raises:
            ValueError: It ends within a frame. Nothing was taken.
        """
        frame_bytes = self._channels_in * SAMPLE_BYTES
        if len(pcm) % frame_bytes:
            raise ValueError(f"{len(pcm)} bytes are no whole number of frames of {frame_bytes}: keep the rest")
        self._taken += len(pcm) // frame_bytes
        if self._stream is None and self._channels_in == self._channels_out == 1:
            self._given = self._taken
            return bytes(pcm)
        sound: _Samples = np.frombuffer(pcm, dtype=_INT16)
        if self._channels_in > 1:
            sound = sound.reshape(-1, self._channels_in).mean(axis=1, dtype=np.float32)
        if self._stream is not None:
            sound = self._stream.resample_chunk(sound.astype(np.float32, copy=False))
        return self._out(sound)

    def flush(self) -> bytes:
        """Give what is held back: the stream has ended. The next piece begins a new one.

        Returns:
            The rest. With it, all that went out is exactly as long as all that came in, to the nearest sample.
        """
        if self._stream is None:
            self.clear()
            return b""
        rest = np.zeros(self.held, dtype=np.float32)
        # after very few samples soxr's own idea of the length is one less
        found: _Samples = self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)[: len(rest)]
        rest[: len(found)] = found
        pcm = self._out(rest)
        self.clear()
        return pcm

    def clear(self) -> None:
        """Drop what is held back and begin a new stream."""
        self._taken = self._given = 0
        if self._stream is not None:
            self._stream.clear()

    def _out(self, sound: _Samples) -> bytes:
        self._given += len(sound)
        samples: _Samples = np.rint(sound).clip(-32768, 32767).astype(_INT16)
        return samples.repeat(self._channels_out).tobytes()


def _rounded(numerator: int, denominator: int) -> int:
    """Divide to the nearest whole number, without floats: hours of samples stay exact."""
    return (2 * numerator + denominator) // (2 * denominator)
