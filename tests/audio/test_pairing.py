"""Two streams on two clocks: what was captured comes out whole, and what was played stays beside it."""

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.audio.pairing import Pair, Pairing

RATE, BLOCK = 24_000, 480
WRAP = 60_000  # a sample tells its place in its stream, modulo this
TABLE = (np.arange(2 * WRAP) % WRAP + 1).astype("<u2").tobytes()


def numbered(first: int, count: int) -> bytes:
    """Make samples that say their place, none of them 0."""
    return TABLE[2 * (first % WRAP) : 2 * (first % WRAP + count)]


def places(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<u2").astype(int) - 1


class Streams:
    """A microphone at the nominal rate, a speaker whose clock is `ppm` faster, each delivering in its own pieces.

    Every pair is judged as it comes: what was captured has to be whole, in order and on time.

    Attributes:
        waits: For how many ms each block waited after it was captured.
        ages: When it came out, and how many ms before its own end the reference was handed over; None for silence.
    """

    def __init__(self, pairing: Pairing, *, ppm: float = 0, phase: float = 0.007, piece: int = 480, burst: int = 1):
        self.pairing = pairing
        self.waits: list[float] = []
        self.captured = 0
        self._ages: list[tuple[float, float | None]] = []
        self._lost = 0  # samples while the microphone did not run
        self._piece, self._burst = piece, burst
        self._played = 0
        self._speaker_rate = RATE * (1 + ppm * 1e-6)
        self._phase = phase

    def run(self, until: float, *, microphone: bool = True, speaker: bool = True) -> None:
        """Deliver all that is due, in the order of time; a side that does not run loses its time."""
        played = self._due(self._played, self._piece * self._burst, self._speaker_rate, self._phase)
        captured = self._due(self.captured, BLOCK, RATE, 0.0)
        due = heapq.merge(zip(captured, itertools.repeat(True)), zip(played, itertools.repeat(False)))
        for at, of_microphone in itertools.takewhile(lambda found: found[0] <= until, due):
            if of_microphone:
                if microphone:
                    self.pairing.push_captured(numbered(self.captured, BLOCK), at - BLOCK / RATE)
                else:
                    self._lost += BLOCK
                self.captured += BLOCK
            else:
                if speaker:
                    self.pairing.push_played(numbered(self._played, self._piece * self._burst))
                self._played += self._piece * self._burst
            for pair in self.pairing.take():
                self._judge(pair, at)

    def _judge(self, pair: Pair, at: float) -> None:
        first = len(self.waits) * BLOCK + (self._lost if pair.captured_at * RATE > len(self.waits) * BLOCK + 1 else 0)
        assert pair.captured == numbered(first, BLOCK)
        assert pair.captured_at == pytest.approx(first / RATE, abs=1e-6)
        assert len(pair.played) == len(pair.captured)
        end = pair.captured_at + BLOCK / RATE
        self.waits.append(1000 * (at - end))
        handed_over = (end - self._phase) * self._speaker_rate  # what would be handed over just then
        place = int.from_bytes(pair.played[:2], "little") - 1
        age = ((handed_over - place + WRAP / 2) % WRAP - WRAP / 2) * 1000 / RATE
        self._ages.append((at, age if place >= 0 else None))

    def ages(self, since: float) -> list[float]:
        return [age for at, age in self._ages if at >= since and age is not None]

    @staticmethod
    def _due(done, step, rate, phase):
        return (phase + n * step / rate for n in itertools.count(done // step + 1))


def assert_whole(pairs: list[Pair]) -> None:
    for n, pair in enumerate(pairs):
        assert pair.captured == numbered(n * BLOCK, BLOCK)
        assert pair.captured_at == pytest.approx(n * BLOCK / RATE, abs=1e-6)
        assert len(pair.played) == len(pair.captured)


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-200, -50, 50, 200])
def test_hours_of_two_clocks(ppm):
    """The reference is never late by much, the voice never waits for long, and corrections are as many as the drift."""
    streams = Streams(pairing := Pairing(BLOCK), ppm=ppm)
    hours = 2
    streams.run(hours * 3600)

    assert min(streams.ages(since=1)) >= 0, "never a reference from the future"
    assert max(streams.ages(since=1)) <= 75
    assert max(streams.waits) <= 20.001
    assert len(streams.waits) * BLOCK == streams.captured
    drift_ms = hours * 3600 * ppm * 1e-3
    assert (pairing.dropped - pairing.inserted) * 10 == pytest.approx(drift_ms, abs=40)
    assert min(pairing.dropped, pairing.inserted) == 0, "it never corrects to and fro"
    assert pairing.restarts == 0


@settings(deadline=None, max_examples=40)
@given(
    ppm=st.integers(-20_000, 20_000),
    phase=st.floats(0, 0.3),
    piece=st.sampled_from([240, 441, 480, 960]),
    burst=st.integers(1, 3),
)
def test_any_clocks_and_pieces(ppm, phase, piece, burst):
    """Also far beyond what hardware does: what was captured is whole, waits are bounded and so is what is kept."""
    streams = Streams(Pairing(BLOCK), ppm=ppm, phase=phase, piece=piece, burst=burst)
    streams.run(30)

    period = piece * burst / 24
    assert max(streams.waits) <= 201
    assert streams.captured - len(streams.waits) * BLOCK <= RATE * 0.2 + BLOCK
    if abs(ppm) <= 5000:
        ages = streams.ages(since=10)
        assert min(ages) >= -1e-6
        assert max(ages) <= 20 + 20 + 2 * period + 15


pushes = st.lists(
    st.tuples(st.sampled_from(["captured", "played"]), st.integers(0, 4000)), max_size=60
)  # of any kind, whatever a host may do


@given(pushes=pushes)
def test_whatever_comes_nothing_captured_is_lost_and_the_reference_keeps_its_order(pushes):
    pairing, pairs, captured, played = Pairing(BLOCK), [], 0, 0
    for side, count in pushes:
        if side == "captured":
            pairing.push_captured(numbered(captured, count), captured / RATE)
            captured += count
        else:
            pairing.push_played(numbered(played, count))
            played += count
        pairs += pairing.take()
        assert len(pairing._played) <= 2 * 9600
        assert captured - len(pairs) * BLOCK < BLOCK + 4800 + BLOCK

    assert_whole(pairs)
    reference = places(b"".join(pair.played for pair in pairs))
    known = reference[reference >= 0]
    assert (np.diff(known) > 0).all()


def test_before_anything_is_played_the_voice_goes_through_at_once():
    streams = Streams(Pairing(BLOCK))
    streams.run(2, speaker=False)

    assert max(streams.waits) == pytest.approx(0, abs=1e-6)
    assert streams.ages(since=0) == []


def test_a_speaker_that_stops_delays_the_voice_by_200_ms_at_most_and_is_aligned_again():
    streams = Streams(pairing := Pairing(BLOCK))
    streams.run(5)
    streams.run(8, speaker=False)
    streams.run(20)

    assert 180 <= max(streams.waits) <= 201
    assert streams.waits[-1] <= 1e-6
    assert pairing.restarts == 1
    assert 0 <= min(streams.ages(since=9)) <= max(streams.ages(since=9)) <= 55


def test_a_microphone_that_stops_is_aligned_again():
    streams = Streams(pairing := Pairing(BLOCK))
    streams.run(5)
    streams.run(8, microphone=False)
    streams.run(20)

    assert pairing.restarts == 1
    assert 0 <= min(streams.ages(since=8.1)) <= max(streams.ages(since=8.1)) <= 55


@pytest.mark.parametrize("late", ["captured", "played"])
def test_a_side_that_is_late_for_a_moment_loses_no_alignment(late):
    """A busy machine delivers 100 ms at once. Both keep their place, and nothing is corrected."""
    pairing, pairs, queued = Pairing(BLOCK), [], 0
    for n in range(500):
        for side in ("played", "captured"):
            if side == late and 200 <= n % 250 < 205:
                queued += 1
                continue
            count = BLOCK * (1 + queued) if side == late else BLOCK
            first = n * BLOCK + BLOCK - count
            queued = 0 if side == late else queued
            if side == "captured":
                pairing.push_captured(numbered(first, count), first / RATE)
            else:
                pairing.push_played(numbered(first, count))
            pairs += pairing.take()

    assert len(pairs) == 500
    assert_whole(pairs)
    assert (pairing.dropped, pairing.inserted, pairing.restarts) == (0, 0, 0)
    assert all(pair.captured == pair.played for pair in pairs)


def test_times_go_with_the_samples_also_across_pieces():
    pairing = Pairing(BLOCK)
    pairing.push_captured(numbered(0, 300), 10.0)
    pairing.push_captured(numbered(300, 900), 11.0)

    first, second = pairing.take()

    assert first.captured_at == 10.0
    assert second.captured_at == pytest.approx(11.0 + 180 / RATE)


@pytest.mark.parametrize("slip", [0, 30])
def test_what_cannot_be_is_refused(slip):
    with pytest.raises(ValueError, match="slip_ms"):
        Pairing(BLOCK, slip_ms=slip)
    with pytest.raises(ValueError, match="odd byte"):
        Pairing(BLOCK).push_played(b"\0")
