"""G.711: the sound of telephones, mu-law and A-law at 8 kHz, to and from the 24 kHz PCM16 of everything else here.

`audio/pcmu` and `audio/pcma` are its names on the wire. One byte is one sample, so 8 bytes are a millisecond, and each
byte is worth exactly three samples at 24 kHz: positions can be counted on either side of it and agree.

The companding is that of ITU-T G.711 (as in the ITU's own software, G.191), by table for every sample there is;
resampling is `RateConverter`'s.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import attrs
import numpy as np

from .pcm import SAMPLE_RATE
from .rates import RateConverter

__all__ = ["G711_RATE", "Decoder", "Encoder", "Law", "WireCodec", "law"]

G711_RATE = 8_000
"""Samples a second, and bytes."""

_Samples = np.ndarray[Any, np.dtype[Any]]


@attrs.frozen(eq=False)
class Law:
    """One of the two ways to write a sample of 16 bits as a byte."""

    values: _Samples = attrs.field(repr=False)
    """The sample that each of the 256 codes stands for."""

    codes: _Samples = attrs.field(repr=False)
    """The code of each sample, 65,536 of them, in the order of the samples taken as unsigned numbers."""

    def expand(self, data: bytes) -> _Samples:
        """Turn codes into samples, at 8 kHz still."""
        found: _Samples = self.values[np.frombuffer(data, dtype=np.uint8)]
        return found

    def compress(self, samples: _Samples) -> bytes:
        """Turn samples (of 16 bits) into codes."""
        return bytes(self.codes[samples.astype(np.int16, copy=False).view(np.uint16)].tobytes())


@cache
def law(kind: str) -> Law:
    """Give the law of that name on the wire.

    Args:
        kind: `"audio/pcmu"` (mu-law) or `"audio/pcma"` (A-law).

    Returns:
        Its tables, made at the first call.

    Raises:
        ValueError: It is neither.
    """
    match kind:
        case "audio/pcmu":
            return _tabulated(_mu_law_value, _mu_law_code, dropped_bits=2, inverted=0)
        case "audio/pcma":
            return _tabulated(_a_law_value, _a_law_code, dropped_bits=4, inverted=0x55)
        case _:
            raise ValueError(f"{kind!r} is no kind of G.711: it is audio/pcmu or audio/pcma")


def _mu_law_value(code: int) -> int:
    inverted = ~code & 0xFF
    magnitude = ((((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)) - 0x84
    return magnitude if code & 0x80 else -magnitude


def _mu_law_code(magnitude: int) -> int:
    """Write 13 bits, with a bias of 33, as segment and step, inverted."""
    biased = min(magnitude + 33, 0x1FFF)
    segment = biased.bit_length() - 5
    return ((8 - segment) << 4) | (0x0F - ((biased >> segment) & 0x0F))


def _a_law_value(code: int) -> int:
    even = code ^ 0x55
    segment, step = (even & 0x70) >> 4, ((even & 0x0F) << 4) + 8
    magnitude = step if segment == 0 else (step + 0x100) << (segment - 1)
    return magnitude if even & 0x80 else -magnitude


def _a_law_code(magnitude: int) -> int:
    """Write 11 bits as segment and step."""
    segment = max(magnitude.bit_length() - 4, 0)
    return magnitude if segment == 0 else (segment << 4) | ((magnitude >> (segment - 1)) & 0x0F)


def _tabulated(value: Callable[[int], int], code: Callable[[int], int], *, dropped_bits: int, inverted: int) -> Law:
    magnitudes = range(0x8000 >> dropped_bits)
    codes = np.array([code(magnitude) for magnitude in magnitudes], dtype=np.uint8).repeat(1 << dropped_bits)
    # a negative sample has the magnitude of its complement, so from -32768 to -1 they go down again
    signed = np.concatenate([codes | 0x80, codes[::-1]]) ^ inverted
    return Law(np.array([value(n) for n in range(256)], dtype=np.int16), signed)


class Decoder:
    """One stream of G.711 into PCM16 at 24 kHz; a new one for each piece of sound that is counted from zero.

    The samples 3n, 3n+1 and 3n+2 that come out belong to byte n. The last 30 ms stay inside until
    more comes or `finish` is called; then exactly three samples for each byte have come out. Until that, less has come
    out than was received: who counts what came out never names a place that does not exist yet.

    Args:
        kind: `"audio/pcmu"` or `"audio/pcma"`.

    Raises:
        ValueError: It is neither.
    """

    def __init__(self, kind: str) -> None:
        self._law = law(kind)
        self._rates = RateConverter(G711_RATE, SAMPLE_RATE)

    def decode(self, data: bytes) -> bytes:
        """Decode the next bytes, however many.

        Returns:
            PCM16 at 24 kHz: what is ready by now.
        """
        return self._rates.convert(self._law.expand(data).tobytes())

    def finish(self) -> bytes:
        """Give what is still inside: the stream has ended. The next bytes begin a new one.

        Returns:
            PCM16 at 24 kHz, up to 30 ms of it.
        """
        return self._rates.flush()


class Encoder:
    """One stream of PCM16 at 24 kHz into G.711.

    Byte n that comes out belongs to the samples 3n, 3n+1 and 3n+2. The last 25 ms stay inside until more comes or
    `finish` is called; then as many bytes as a third of the samples have come out, to the nearest.

    Args:
        kind: `"audio/pcmu"` or `"audio/pcma"`.

    Raises:
        ValueError: It is neither.
    """

    def __init__(self, kind: str) -> None:
        self._law = law(kind)
        self._rates = RateConverter(SAMPLE_RATE, G711_RATE)

    def encode(self, pcm: bytes) -> bytes:
        """Encode the next samples, however many.

        Args:
            pcm: PCM16 at 24 kHz, mono.

        Returns:
            G.711: what is ready by now.

        Raises:
            ValueError: It ends within a sample.
        """
        return self._compressed(self._rates.convert(pcm))

    def finish(self) -> bytes:
        """Give what is still inside: the stream has ended. The next samples begin a new one.

        Returns:
            G.711, up to 25 ms of it.
        """
        return self._compressed(self._rates.flush())

    def _compressed(self, pcm: bytes) -> bytes:
        return self._law.compress(np.frombuffer(pcm, dtype=np.int16))


class WireCodec:
    """Both directions of a session that speaks G.711: one stream up, and one down for each piece of sound.

    Args:
        kind: `"audio/pcmu"` or `"audio/pcma"`, as in the session's `audio.input.format` and `audio.output.format`.

    Raises:
        ValueError: It is neither.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._encoder = Encoder(kind)

    def encode(self, pcm: bytes) -> bytes:
        """Encode what the microphone gave; see `Encoder.encode`."""
        return self._encoder.encode(pcm)

    def finish(self) -> bytes:
        """Give the rest of what was encoded: before a commit, so that no end of a word is left behind."""
        return self._encoder.finish()

    def decoder(self) -> Decoder:
        """Make a decoder for one content part, whose positions count from zero."""
        return Decoder(self.kind)
