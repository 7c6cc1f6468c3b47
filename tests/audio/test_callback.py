"""What happens in PortAudio's thread: the same counts as the simulated devices', whatever the two threads do."""

import struct
import threading
from collections import deque

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime_trio.audio.callback import Callback, CutFrame, HandoverRing
from realtime_trio.audio.pcm import fade_out
from realtime_trio.audio.ring import PlayoutRing

BLOCK = 480
CAPACITY = 7200


@attrs.frozen
class Times:
    """What PortAudio tells the callback."""

    currentTime: float = 10.0  # noqa: N815
    inputBufferAdcTime: float = 9.97  # noqa: N815
    outputBufferDacTime: float = 10.06  # noqa: N815


@attrs.frozen
class Flags:
    """Of PortAudio's callback."""

    input_overflow: bool = False
    output_underflow: bool = False


def numbered(first: int, count: int) -> bytes:
    """Make samples that can be told apart, none of them 0."""
    return struct.pack(f"<{count}h", *(1 + (first + n) % 32_000 for n in range(count)))


def make_ring(capacity: int = 2 * CAPACITY + BLOCK, **options: int) -> HandoverRing:
    ring = HandoverRing(capacity, **({"frame_bytes": 2, "fade": 240, "pause": 12_000} | options))
    ring.cut(0)
    return ring


def make_callback(ring: HandoverRing | None, most_waiting: int = 100, woken: list[int] | None = None) -> Callback:
    woken = [] if woken is None else woken
    return Callback(ring, clock=lambda: 100.0, wake=lambda: woken.append(1), most_waiting=most_waiting)


def tick(callback: Callback, captured: bytes = bytes(2 * BLOCK), status: object = None, times: object = None) -> bytes:
    out = bytearray(b"\x55" * 2 * BLOCK)
    callback.duplex(captured, out, BLOCK, Times() if times is None else times, status)
    return bytes(out)


class AgainstThePlayoutRing(RuleBasedStateMachine):
    """The ring between two threads, and the pure one that is the law: the same samples, marks and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = make_ring()
        self.law = PlayoutRing(CAPACITY)
        self.made = 0
        self.ring.take(bytearray(2 * BLOCK), BLOCK)  # it learns of generation 0, as at opening
        self.law.take(BLOCK)

    @rule(count=st.integers(0, 3000))
    def write(self, count: int) -> None:
        count = min(count, self.law.room, self.ring.room)
        pcm = numbered(self.made, count)
        self.made += count
        self.ring.write(pcm)
        self.law.write(pcm)

    @rule()
    def cut(self) -> None:
        self.ring.cut(self.law.generation + 1)
        self.law.cut(self.law.generation + 1)

    @rule(times=st.sampled_from([1, 1, 1, 2, 30]))
    def take(self, times: int) -> None:
        for _ in range(times):
            out = bytearray(b"\x55" * 2 * BLOCK)
            cuts = self.ring.take(out, BLOCK)
            law = self.law.take(BLOCK)

            assert bytes(out) == law.pcm
            assert cuts == [(mark.generation, mark.samples, mark.offset) for mark in law.cuts]
            position = (self.ring.generation, self.ring.frames, self.ring.offset)
            assert position == (law.position.generation, law.position.samples, law.position.offset)

    @invariant()
    def the_same_underruns(self) -> None:
        assert self.ring.underruns == self.law.underruns


@pytest.mark.slow
class TestAgainstThePlayoutRing(AgainstThePlayoutRing.TestCase):  # type: ignore[misc]
    """Run the machine above."""


@given(played=st.integers(0, 3000), pending=st.integers(0, 3000), channels=st.sampled_from([1, 2]))
def test_a_cut_at_any_place_of_any_format(played: int, pending: int, channels: int) -> None:
    ring = make_ring(frame_bytes=2 * channels)
    sound = numbered(0, (played + pending) * channels)
    ring.write(sound)
    out = b""
    for _ in range(played // BLOCK):
        block = bytearray(2 * channels * BLOCK)
        ring.take(block, BLOCK)
        out += block
    begun = len(out) // (2 * channels)
    held = ring.held

    ring.cut(7)
    block = bytearray(2 * channels * BLOCK)
    cuts = ring.take(block, BLOCK)

    fade = min(240, held) if begun else 0
    assert cuts[-1] == (0, begun + fade, fade or None)
    size = 2 * channels
    assert bytes(block[: fade * size]) == fade_out(sound[begun * size : (begun + fade) * size])
    assert not any(block[fade * size :])


def test_what_does_not_fit_is_refused_whole() -> None:
    ring = make_ring(1000)
    ring.write(bytes(1200))

    with pytest.raises(ValueError, match="room for 400"):
        ring.write(bytes(802))
    assert ring.held == 600


def test_a_cut_that_comes_while_the_callback_looks_for_one() -> None:
    """What is written after it waits for the next block; it is not taken for sound of the generation before."""
    ring = make_ring()
    ring.write(numbered(0, 100))

    class Interleaved(deque):
        def __bool__(self) -> bool:
            found = len(self) > 0
            if not found and ring.held == 100:  # just now, in the other thread
                self.append((1, 100))
                ring.write(numbered(5000, 50))
            return found

    ring._cuts = Interleaved(ring._cuts)
    first, second = bytearray(960), bytearray(960)

    assert ring.take(first, BLOCK) == [(-1, 0, None)]
    assert (bytes(first[:202]), ring.generation, ring.frames) == (numbered(0, 100) + bytes(2), 0, 100)
    assert ring.take(second, BLOCK) == [(0, 100, None)]
    assert (bytes(second[:102]), ring.generation, ring.frames) == (numbered(5000, 50) + bytes(2), 1, 50)


@pytest.mark.slow
def test_two_threads_lose_invent_and_reorder_nothing() -> None:
    """One writes and cuts as fast as it can, the other takes: each generation comes out as a prefix of itself."""
    ring = make_ring()
    taken: list[tuple[int, int, int | None]] = []
    stop = threading.Event()
    out_of: dict[int, bytearray] = {}

    def play() -> None:
        out = bytearray(2 * BLOCK)
        while not stop.is_set() or ring.held or ring.unseen:
            before = ring.generation
            cuts = ring.take(out, BLOCK)
            taken.extend(cuts)
            faded = max((offset or 0 for _, _, offset in cuts), default=0)
            if ring.offset is not None:
                out_of.setdefault(ring.generation, bytearray()).extend(out[2 * faded : 2 * ring.offset])
            if not cuts:
                assert ring.generation == before

    player = threading.Thread(target=play)
    player.start()
    written: dict[int, int] = {}
    for generation in range(400):
        written[generation] = 0
        for count in (100, 481, 959, 7 * generation % 1000):
            while ring.room < count:
                pass
            ring.write(numbered(written[generation], count))
            written[generation] += count
        ring.cut(generation + 1)
    stop.set()
    player.join()

    ended = {generation: frames for generation, frames, _ in taken if generation >= 0}
    assert list(ended) == list(range(400)), "each cut once, in order"
    for generation, pcm in out_of.items():
        assert bytes(pcm) == numbered(0, len(pcm) // 2)
        assert 0 <= ended[generation] - len(pcm) // 2 <= 240, "what sounded, and at most the fade"
        assert ended[generation] <= written[generation]


def test_a_block_carries_what_was_captured_with_what_was_played_and_when() -> None:
    ring = make_ring()
    callback = make_callback(ring)
    ring.write(numbered(0, 300))

    out = tick(callback, numbered(5000, BLOCK))

    (block,) = callback.blocks
    assert block.captured == numbered(5000, BLOCK)
    assert block.played == out == numbered(0, 300) + bytes(2 * 180)
    assert (block.generation, block.frames, block.offset) == (0, 300, 300)
    assert block.now == 100.0
    assert block.captured_ago == pytest.approx(0.03)
    assert block.played_in == pytest.approx(0.06)


@pytest.mark.parametrize(
    "times",
    [Times(0, 0, 0), Times(10, 0, 0), Times(10, 10.5, 9.5), Times(10, 1, 99), Times(0, 9, 11)],
    ids=["none", "only now", "backwards", "absurd", "no now"],
)
def test_a_time_that_makes_no_sense_is_not_known(times: Times) -> None:
    callback = make_callback(make_ring())

    tick(callback, times=times)

    assert callback.blocks[0].captured_ago is None
    assert callback.blocks[0].played_in is None


def test_the_oldest_blocks_go_when_nobody_comes_but_no_cut_does() -> None:
    ring = make_ring()
    callback = make_callback(ring, most_waiting=3)
    tick(callback)
    callback.cuts.clear()

    for generation in range(1, 11):
        ring.write(numbered(0, 100))
        ring.cut(generation)
        tick(callback)

    assert [block.number for block in callback.blocks] == [8, 9, 10]
    assert callback.overruns == 8
    assert [cut.generation for cut in callback.cuts] == list(range(10))
    assert callback.cuts[0] == CutFrame(1, 0, 0, None)


def test_what_portaudio_dropped_counts() -> None:
    ring = make_ring()
    callback = make_callback(ring)
    tick(callback, status=Flags(input_overflow=True, output_underflow=True))
    ring.write(numbered(0, BLOCK))
    tick(callback, status=Flags(output_underflow=True))

    assert (callback.overruns, callback.late) == (1, 1), "an underflow in silence is heard by nobody"


def test_no_exception_reaches_portaudio() -> None:
    """It would end the stream. The block is silence, and Trio is woken all the same."""
    ring = make_ring()
    woken: list[int] = []
    callback = make_callback(ring, woken=woken)
    ring.write(numbered(0, BLOCK))

    class NoTimes:
        pass

    out = tick(callback, times=NoTimes())

    assert out == bytes(2 * BLOCK)
    assert callback.failures == 1
    assert callback.passed == 0
    assert woken == [1]

    words = callback.failure
    assert words.startswith(
        "AttributeError: 'NoTimes' object has no attribute 'currentTime' (realtime_trio.audio.callb"
    )

    callback.input(bytes(960), BLOCK, NoTimes(), None)  # type: ignore[arg-type]
    silent = bytearray(b"\x55" * 960)
    callback.output(silent, BLOCK, NoTimes(), None)  # type: ignore[arg-type]
    assert callback.failures == 3
    assert callback.failure == words, "the first is told"
    assert not any(silent)


class Unspeakable(Exception):
    """Cannot even be said."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyError(b"sound"), "KeyError"), (ValueError("x" * 500), "ValueError: " + "x" * 200), (Unspeakable(), "Unspeak")],
    ids=["sound", "long", "unspeakable"],
)
def test_the_words_of_a_failure_hold_no_sound_and_are_short(error: Exception, words: str) -> None:
    def clock() -> float:
        raise error

    callback = Callback(make_ring(), clock=clock, wake=lambda: None, most_waiting=3)

    assert tick(callback) == bytes(2 * BLOCK)

    assert callback.failure.startswith(words)
    assert "sound" not in callback.failure
    assert len(callback.failure) < 300


def test_retired_it_plays_silence_and_touches_nothing() -> None:
    ring = make_ring()
    woken: list[int] = []
    callback = make_callback(ring, woken=woken)
    ring.write(numbered(0, BLOCK))
    callback.retired = True

    out = tick(callback)
    callback.input(bytes(960), BLOCK, Times(), None)
    alone = bytearray(b"\x55" * 960)
    callback.output(alone, BLOCK, Times(), None)

    assert out == bytes(960) == bytes(alone)
    assert (ring.held, callback.passed, callback.failures, woken) == (BLOCK, 0, 0, [])


def test_input_and_output_alone() -> None:
    ring = make_ring()
    speaker, microphone = make_callback(ring), make_callback(None)
    ring.write(numbered(0, BLOCK))
    out = bytearray(960)

    speaker.output(out, BLOCK, Times(), None)
    microphone.input(numbered(9, BLOCK), BLOCK, Times(), None)

    assert bytes(out) == numbered(0, BLOCK) == speaker.blocks[0].played
    assert (speaker.blocks[0].captured, speaker.blocks[0].captured_ago) == (b"", None)
    assert microphone.blocks[0].captured == numbered(9, BLOCK)
    assert microphone.blocks[0].played == b""


def test_the_end_of_a_stream_wakes() -> None:
    woken: list[int] = []
    callback = make_callback(None, woken=woken)

    callback.finish()

    assert callback.finished
    assert woken == [1]
