"""What of the microphone's sound is sent: mute, push-to-talk, a closed gate, and the pre-roll that follows it.

Deliberately elsewhere: how loud is loud enough (`core.gate`), taking the echo out (`realtime_trio.audio`), sending.

Theory of operation. Under turn detection the server's clock is the sound itself, so its input must have no gaps: what
is not to be heard is sent as zeros of the same length (a server that gets nothing keeps a segment of speech open). With
manual turns nothing is sent between them. A gate that opens late, or a key that is pressed late, would cost the first
syllable; therefore the last 300 ms that were held back are sent first. Under turn detection that makes the input longer
than the time that passed, so as many silent blocks are left out later. Muted sound is never kept: what was said to
nobody cannot be sent by unmuting.
"""

import math
from collections import deque
from collections.abc import Iterator

import attrs

__all__ = ["Sent", "Uplink"]

_WIDTH = 2  # bytes of a sample


@attrs.frozen
class Sent:
    """A piece of the input, in the order of sending.

    Attributes:
        pcm: PCM16 mono, as the device captured it, or zeros.
        captured_at: When its first sample was captured, in seconds.
    """

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    captured_at: float


@attrs.define(eq=False)
class Uplink:
    """Decides block by block; give it every captured block in order.

    Attributes:
        continuous: Whether turn detection listens, so that there may be no gaps; else turns are manual. Set it with
            `switch`.
        muted: Whether the user does not want to be heard; set it with `mute`.
        pressed: Whether a manual turn is under way.
        close_at: When the key went up: what was captured from then on is not part of the manual turn.
        preroll_samples: How much held-back sound goes first when sound passes again.
    """

    continuous: bool = True
    preroll_samples: int = 7_200
    muted: bool = attrs.field(default=False, init=False)
    pressed: bool = attrs.field(default=False, init=False)
    close_at: float = attrs.field(default=math.inf, init=False)
    _held: deque[Sent] = attrs.field(factory=deque, init=False)  # the newest that were not sent
    _held_samples: int = attrs.field(default=0, init=False)
    _ahead: int = attrs.field(default=0, init=False)  # samples by which the input is longer than the time that passed
    _spoken: int = attrs.field(default=0, init=False)  # samples of the manual turn, without its pre-roll

    def feed(self, pcm: bytes, captured_at: float, *, is_open: bool = True, keep: bool = True) -> list[Sent]:
        """Take a captured block.

        Args:
            pcm: The block, whole samples.
            captured_at: When its first sample was captured.
            is_open: Whether the gate lets it pass. A manual turn passes all the same: the key says that it is meant.
            keep: Whether it may be sent later as pre-roll, if it does not pass now. False for sound that is known to be
                the speaker's.

        Returns:
            What is to be sent now.
        """
        block = Sent(pcm, captured_at)
        if self.muted:
            self._forget()
            return self._silence(block)
        spoken = self.pressed and captured_at < self.close_at
        if spoken:
            self._spoken += len(pcm) // _WIDTH
        if spoken or (self.continuous and is_open):
            return [*self._preroll(), block]
        if keep:
            self._hold(block)
        else:
            self._forget()
        return self._silence(block)

    def mute(self, *, muted: bool) -> None:
        """Stop being heard, or be heard again from the next block on."""
        self.muted = muted
        self._forget()

    def switch(self, *, continuous: bool) -> None:
        """Change between turn detection and manual turns. What was held back until then is never sent."""
        if continuous != self.continuous:
            self.continuous, self.pressed = continuous, False
            self._forget()

    def press(self) -> list[Sent]:
        """Begin a manual turn.

        Returns:
            The pre-roll, to be sent after the server's buffer was cleared.
        """
        self.pressed, self.close_at, self._spoken = True, math.inf, 0
        return list(self._preroll())

    @property
    def spoken(self) -> int:
        """Samples that were captured in the manual turn so far, without the pre-roll; none while muted."""
        return self._spoken

    def release(self) -> None:
        """End a manual turn."""
        self.pressed = False

    def _preroll(self) -> Iterator[Sent]:
        if self.continuous:
            self._ahead += self._held_samples
        held, self._held = self._held, deque()
        self._held_samples = 0
        yield from held

    def _hold(self, block: Sent) -> None:
        self._held.append(block)
        self._held_samples += len(block.pcm) // _WIDTH
        while self._held_samples - len(self._held[0].pcm) // _WIDTH >= self.preroll_samples:
            self._held_samples -= len(self._held.popleft().pcm) // _WIDTH

    def _forget(self) -> None:
        self._held.clear()
        self._held_samples = 0

    def _silence(self, block: Sent) -> list[Sent]:
        if not self.continuous:
            return []
        samples = len(block.pcm) // _WIDTH
        if self._ahead >= samples:
            self._ahead -= samples
            return []
        return [attrs.evolve(block, pcm=bytes(len(block.pcm)))]
