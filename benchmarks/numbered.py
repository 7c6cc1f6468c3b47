"""Sound in which every sample tells which one it is, so that what was played can be found by content.

No sample of it is silent, and none is quieter than -25 dBFS: what is zero in a recording was not played.
"""

import numpy as np

__all__ = ["AUDIBLE", "RATE", "SAMPLES_PER_MS", "numbered", "samples_of"]

RATE = 24_000
SAMPLES_PER_MS = RATE // 1000
AUDIBLE = 33
"""A sample that is louder can be heard; this is -60 dBFS."""

_QUIETEST, _NUMBERS = 2_000, 16_381  # a prime, so that no period of a device or a delta falls in with it
_STEPS = 97


def numbered(first, samples, part):
    """Make so many samples of a part, from a place in it."""
    places = np.arange(first, first + samples, dtype=np.int64)
    step = 1 + part % _STEPS  # so that no piece of one part is like a piece of the next
    return (_QUIETEST + places * step % _NUMBERS).astype("<i2")


def samples_of(pcm):
    """Read PCM16 as numbers."""
    return np.frombuffer(pcm, dtype="<i2")
