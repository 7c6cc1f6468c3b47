"""A piece of the user's sound as it is kept: `core.kept_audio` says which and for how long."""

import attrs

__all__ = ["RATE", "KeptBlock"]

RATE = 24_000
"""Captured samples a second, whatever the wire's format makes of them."""


@attrs.frozen
class KeptBlock:
    """A piece of the input.

    Attributes:
        audio: The sound in the wire's format.
        samples: How many captured samples that is, at 24 kHz.
        captured_at: When the first of them was captured.
        ends_turn: Whether the program committed the buffer right behind it, and the server has not answered.
    """

    audio: bytes = attrs.field(repr=lambda audio: f"<{len(audio)} bytes>")
    samples: int
    captured_at: float
    ends_turn: bool = False

    def split(self, at: int) -> "tuple[KeptBlock, KeptBlock]":
        """Cut it in two after `at` bytes."""
        samples = self.samples * at // len(self.audio)
        first = attrs.evolve(self, audio=self.audio[:at], samples=samples, ends_turn=False)
        second = KeptBlock(
            self.audio[at:], self.samples - samples, self.captured_at + samples / RATE, ends_turn=self.ends_turn
        )
        return first, second
