"""The buffer before the speaker: nothing is lost, invented or reordered, and a cut falls where it says."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_trio.audio.pcm import fade_out
from realtime_trio.audio.ring import Mark, PlayoutRing

BLOCK = 480


def numbered(first: int, count: int) -> bytes:
    """Make samples that can be told apart, none of them 0."""
    return struct.pack(f"<{count}h", *(1 + (first + n) % 32_000 for n in range(count)))


class RingAgainstModel(RuleBasedStateMachine):
    """Write, cut and take in any order, against a model that keeps everything."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = PlayoutRing(7200)
        self.made = 0
        self.waiting = b""  # of the current generation, not yet taken
        self.taken_of = {0: 0}  # samples handed over, by generation
        self.sounding = False  # the last block ended in sound
        self.fade = b""
        self.due: list[tuple[int, int]] = []  # cuts to be told: generation, samples

    @rule(count=st.integers(0, 3000))
    def write(self, count: int) -> None:
        count = min(count, self.ring.room)
        self.ring.write(numbered(self.made, count))
        self.waiting += numbered(self.made, count)
        self.made += count

    @rule(over=st.integers(1, 10))
    def write_too_much(self, over: int) -> None:
        with pytest.raises(ValueError, match="room"):
            self.ring.write(bytes(2 * (self.ring.room + over)))

    @rule()
    def cut(self) -> None:
        ended = self.ring.generation
        kept = self.waiting[:480] if self.sounding and self.taken_of[ended] else b""
        self.fade += fade_out(kept)
        self.due.append((ended, self.taken_of[ended] + len(kept) // 2))
        self.waiting = b""
        self.taken_of[ended + 1] = 0
        self.ring.cut(ended + 1)

    @rule()
    def take(self) -> None:
        taken = self.ring.take(BLOCK)

        space = BLOCK * 2 - len(self.fade)
        new, self.waiting = self.waiting[:space], self.waiting[space:]
        assert taken.pcm == (self.fade + new).ljust(BLOCK * 2, b"\0")
        assert [(mark.generation, mark.samples) for mark in taken.cuts] == self.due
        assert all(mark.offset in {None, len(self.fade) // 2} for mark in taken.cuts)
        generation = self.ring.generation
        self.taken_of[generation] += len(new) // 2
        offset = len(self.fade + new) // 2 if new else None
        assert taken.position == Mark(generation, self.taken_of[generation], offset)
        self.sounding = len(self.fade + new) == BLOCK * 2
        self.fade, self.due = b"", []

    @rule()
    def idle(self) -> None:
        taken = self.ring.idle()

        assert taken.pcm == b""
        faded = len(self.fade) // 2  # only the first of several cuts has a fade
        told = [(generation, samples - (faded if n == 0 else 0)) for n, (generation, samples) in enumerate(self.due)]
        assert [(mark.generation, mark.samples) for mark in taken.cuts] == told
        assert taken.position == Mark(self.ring.generation, self.taken_of[self.ring.generation], None)
        self.fade, self.due = b"", []

    @precondition(lambda self: self.waiting)
    @rule()
    def clear(self) -> None:
        self.ring.clear()
        self.waiting = b""

    @invariant()
    def every_sample_is_somewhere(self) -> None:
        ring = self.ring
        assert ring.written == ring.handed_over + ring.dropped + ring.held == self.made
        assert ring.held == len(self.waiting + self.fade) // 2
        assert ring.room == 7200 - ring.held


@pytest.mark.slow
class TestRingAgainstModel(RingAgainstModel.TestCase):  # type: ignore[misc]
    """Run the machine above."""


@given(played=st.integers(0, 3000), pending=st.integers(0, 3000))
def test_a_cut_at_any_moment(played: int, pending: int) -> None:
    """What comes out is what was written up to the cut, 10 ms of it faded, and the report counts exactly that."""
    ring = PlayoutRing(7200)
    sound = numbered(0, played + pending)
    ring.write(sound)
    out = b""
    for _ in range(played // BLOCK):
        out += ring.take(BLOCK).pcm
    held = ring.held

    ring.cut(7)
    ring.write(b"\x11\x11" * 100)
    taken = ring.take(BLOCK)

    begun = len(out) // 2
    fade = min(240, held) if begun else 0
    assert taken.cuts == (Mark(0, begun + fade, fade or None),)
    assert taken.position == Mark(7, 100, fade + 100)
    whole = out + taken.pcm[: fade * 2]
    assert whole == sound[: begun * 2] + fade_out(sound[begun * 2 : (begun + fade) * 2])
    assert taken.pcm[fade * 2 :] == (b"\x11\x11" * 100).ljust((BLOCK - fade) * 2, b"\0")


def test_a_cut_before_the_first_sound_of_an_answer_lets_nothing_out() -> None:
    """After silence nothing sounds that would click: an answer not begun stays unheard, in a used generation too."""
    ring = PlayoutRing(7200)
    ring.write(numbered(0, 100))
    ring.take(BLOCK)
    ring.write(numbered(100, 1000))

    ring.cut(1)

    taken = ring.take(BLOCK)
    assert taken.cuts == (Mark(0, 100, None),)
    assert taken.pcm == bytes(BLOCK * 2)


def test_two_cuts_within_a_block_are_both_told() -> None:
    """Of the second generation nothing was handed over, so its cut falls at 0."""
    ring = PlayoutRing(7200)
    ring.write(numbered(0, 2000))
    ring.take(BLOCK)
    ring.cut(1)
    ring.write(numbered(0, 1000))
    ring.cut(2)

    assert ring.take(BLOCK).cuts == (Mark(0, BLOCK + 240, 240), Mark(1, 0, None))


def test_underruns_are_gaps_and_not_pauses() -> None:
    """Silence before, after and between answers is no underrun; silence within one is, once."""
    ring = PlayoutRing(7200, pause=5 * BLOCK)

    def play(*pattern: int) -> int:
        before = ring.underruns
        for count in pattern:
            ring.write(numbered(0, count))
            ring.take(BLOCK)
        return ring.underruns - before

    assert play(0, 0, BLOCK, BLOCK, 100) == 0  # begins late, ends early
    assert play(0, 0, 0, 0, 0, BLOCK) == 0  # half a second later the next answer
    assert play(BLOCK, 100, BLOCK) == 1
    assert play(0, 0, BLOCK, BLOCK) == 1
    ring.cut(1)
    assert play(0, BLOCK) == 0


def test_a_block_shorter_than_a_fade_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold a fade"):
        PlayoutRing(7200).take(100)
