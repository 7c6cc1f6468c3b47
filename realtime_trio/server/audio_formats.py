"""The three audio formats of the wire, to and from the 24 kHz PCM16 of the seams.

Resampling of G.711 is `soxr`'s; the companding is that of ITU-T G.711. Nothing here keeps state between calls.
"""

import attrs
import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]

from realtime_trio.server.seams import SAMPLE_RATE

__all__ = ["FORMATS", "WireFormat"]

_Samples = npt.NDArray[np.int16]


def _mu_law_table() -> _Samples:
    """Decode all 256 codes of mu-law."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_table() -> _Samples:
    """Decode all 256 codes of A-law."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


@attrs.frozen(eq=False)
class WireFormat:
    """One audio format of the wire.

    Attributes:
        name: Its `type` on the wire.
        rate: Samples per second.
        sample_size: Bytes per sample.
        table: The value of each code, for a companded format.
    """

    name: str
    rate: int
    sample_size: int
    table: _Samples | None = attrs.field(default=None, repr=False)

    @property
    def ratio(self) -> int:
        """Samples at 24 kHz for one sample of this format."""
        return SAMPLE_RATE // self.rate

    def byte_offset(self, samples: int) -> int:
        """Tell how many bytes `samples` samples at 24 kHz take, in whole samples of this format."""
        return samples // self.ratio * self.sample_size

    def samples(self, size: int) -> int:
        """Tell how many samples at 24 kHz `size` bytes are, in whole samples of this format."""
        return size // self.sample_size * self.ratio

    def milliseconds(self, size: int) -> float:
        """Tell how long `size` bytes sound."""
        return self.samples(size) * 1000 / SAMPLE_RATE

    def to_pcm(self, data: bytes) -> bytes:
        """Decode to PCM16 at 24 kHz, for ears: the length in samples is exact."""
        if self.table is None or not data:
            return data[: len(data) // 2 * 2] if self.table is None else b""
        narrow = self.table[np.frombuffer(data, np.uint8)]
        wide = soxr.resample(narrow, self.rate, SAMPLE_RATE)
        exact = np.zeros(len(narrow) * self.ratio, np.int16)
        exact[: len(wide)] = wide[: len(exact)]
        return exact.tobytes()

    def to_pcm_rough(self, data: bytes) -> bytes:
        """Decode to PCM16 at 24 kHz piece by piece, for a turn detector, which looks at levels only."""
        if self.table is None:
            return data
        return np.repeat(self.table[np.frombuffer(data, np.uint8)], self.ratio).tobytes()

    def from_pcm(self, pcm: bytes) -> bytes:
        """Encode PCM16 at 24 kHz."""
        if self.table is None or not pcm:
            return pcm
        narrow = soxr.resample(np.frombuffer(pcm, np.int16), SAMPLE_RATE, self.rate)
        order = np.argsort(self.table, kind="stable")
        values = self.table[order].astype(np.int32)
        borders = (values[1:] + values[:-1]) // 2
        codes: npt.NDArray[np.uint8] = order[np.searchsorted(borders, narrow)].astype(np.uint8)
        return codes.tobytes()


FORMATS = {
    found.name: found
    for found in (
        WireFormat("audio/pcm", SAMPLE_RATE, 2),
        WireFormat("audio/pcmu", 8_000, 1, _mu_law_table()),
        WireFormat("audio/pcma", 8_000, 1, _a_law_table()),
    )
}
"""Every format, by its name on the wire."""
