"""The three audio formats of the wire, to and from the 24 kHz PCM16 of the seams.

Resampling of G.711 is `soxr`'s, of whole sounds; the companding is that of `realtime_trio.audio.g711`. Nothing here
keeps state between calls.
"""

import attrs
import numpy as np
import soxr  # type: ignore[import-untyped]

from realtime_trio.audio.g711 import Law, law
from realtime_trio.server.seams import SAMPLE_RATE

__all__ = ["FORMATS", "WireFormat"]


@attrs.frozen(eq=False)
class WireFormat:
    """One audio format of the wire.

    Attributes:
        name: Its `type` on the wire.
        rate: Samples per second.
        sample_size: Bytes per sample.
        law: How a sample is written as a byte, for a companded format.
    """

    name: str
    rate: int
    sample_size: int
    law: Law | None = attrs.field(default=None, repr=False)

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
        if self.law is None or not data:
            return data[: len(data) // 2 * 2] if self.law is None else b""
        narrow = self.law.expand(data)
        wide = soxr.resample(narrow, self.rate, SAMPLE_RATE)
        exact = np.zeros(len(narrow) * self.ratio, np.int16)
        exact[: len(wide)] = wide[: len(exact)]
        return exact.tobytes()

    def to_pcm_rough(self, data: bytes) -> bytes:
        """Decode to PCM16 at 24 kHz piece by piece, for a turn detector, which looks at levels only."""
        if self.law is None:
            return data
        return np.repeat(self.law.expand(data), self.ratio).tobytes()

    def from_pcm(self, pcm: bytes) -> bytes:
        """Encode PCM16 at 24 kHz."""
        if self.law is None or not pcm:
            return pcm
        return self.law.compress(soxr.resample(np.frombuffer(pcm, np.int16), SAMPLE_RATE, self.rate))


FORMATS = {
    found.name: found
    for found in (
        WireFormat("audio/pcm", SAMPLE_RATE, 2),
        WireFormat("audio/pcmu", 8_000, 1, law("audio/pcmu")),
        WireFormat("audio/pcma", 8_000, 1, law("audio/pcma")),
    )
}
"""Every format, by its name on the wire."""
