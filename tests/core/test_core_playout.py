"""The playout ledger against a model device whose every output sample is known by name."""

import math
import struct

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_trio.core.playout import SAMPLE_RATE, PartKey, PlayoutLedger

A = PartKey("resp_1", "item_a", 0)
B = PartKey("resp_1", "item_b", 0)
C = PartKey("resp_2", "item_c", 0)


def seconds(n: float) -> bytes:
    return bytes(2 * int(n * SAMPLE_RATE))


def play(ledger: PlayoutLedger, samples: int, until: float) -> None:
    """Take and hand over at once, as a device without latency would."""
    generation = ledger.generation
    ledger.take(samples)
    log = ledger._logs[generation]
    ledger.report(generation, log.taken, until)


def test_nothing_is_heard_before_the_converter_says_so():
    """Handed over is not heard: the output latency lies between, and inside a block the clock counts."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.take(4800)

    assert ledger.heard_ms(A, now=100.0) == 0

    ledger.report(0, 480, until=10.050)
    ledger.report(0, 960, until=10.070)

    assert ledger.heard_ms(A, now=10.0) == 0
    assert ledger.heard_ms(A, now=10.050) == 20
    assert ledger.heard_samples(A, now=10.060) == 720
    assert ledger.heard_ms(A, now=10.070) == 40
    assert ledger.heard_ms(A, now=99.0) == 40


def test_the_end_of_generation_is_not_the_end_of_playback():
    """`done` changes no position; `played` and `drained` wait for the last sample."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.finish(A)
    ledger.end("resp_1")

    assert ledger.done(A)
    assert not ledger.played("resp_1", now=1e9)
    assert ledger.drained_at() == math.inf

    play(ledger, 24_000, until=11.0)

    assert not ledger.played("resp_1", now=10.999)
    assert ledger.played("resp_1", now=11.0)
    assert ledger.drained(11.0)
    assert ledger.drained_at() == ledger.played_at("resp_1") == pytest.approx(11.0)


def test_when_a_response_sounds_is_told_to_the_sample():
    """From the first sample that was handed over, whatever follows: a gap behind it does not move it."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(0.001))
    ledger.receive(C, seconds(1))

    assert ledger.sounds_at("resp_1") == math.inf

    ledger.take(24)
    ledger.report(0, 24, until=10.051)
    ledger.report(0, 24, until=10.071)  # nothing came

    assert ledger.sounds_at("resp_1") == pytest.approx(10.050)
    assert ledger.sounds_at("resp_2") == math.inf

    ledger.finish(A)
    ledger.take(480)
    ledger.report(0, 504, until=10.120)

    assert ledger.sounds_at("resp_1") == pytest.approx(10.050)
    assert ledger.sounds_at("resp_2") == pytest.approx(10.100)
    assert ledger.sounds_at("unknown") == math.inf


def test_a_cut_is_where_the_device_says_and_heard_stays_behind_it():
    """The two positions are never mixed: cut includes what cannot be recalled."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(3))
    ledger.take(4800)
    ledger.report(0, 2400, until=10.030)

    assert ledger.cut({"resp_1"}) == 1
    assert ledger.cut_ms(A) is None

    ledger.cut_report(0, 2640)

    assert ledger.heard_ms(A, now=10.0) == 70
    assert ledger.cut_ms(A) == 110
    assert ledger.heard_ms(A, now=11.0) == 110
    assert ledger.received_ms(A) == 3000


def test_a_cut_before_anything_played_is_known_at_once():
    """Nothing was handed to the device, so the cut cannot fall anywhere but at 0."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.cut()

    assert ledger.cut_ms(A) == 0
    assert ledger.take(1000) == b""


def test_stragglers_of_a_cut_response_are_refused_but_counted():
    """Deltas after barge-in never reach playout. What the server has grows all the same."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.cut({"resp_1"})

    assert ledger.receive(A, seconds(1)) is False
    assert ledger.receive(B, seconds(1)) is False
    assert ledger.queued == 0
    assert ledger.take(24_000) == b""
    assert ledger.received_ms(A) == 2000
    assert ledger.cut_ms(B) == 0
    assert ledger.receive(C, seconds(1)) is True


def test_twice_in_a_row_the_generation_that_never_played_ends_at_nothing():
    """The device sees only the second cut; its report about the first generation settles what lay between."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.take(4800)
    ledger.cut({"resp_1"})
    ledger.receive(C, seconds(1))
    ledger.take(4800)
    ledger.cut({"resp_2"})
    ledger.cut_report(0, 1200)

    assert ledger.cut_ms(A) == 50
    assert ledger.cut_ms(C) is None

    ledger.report(2, 0, until=12.0)

    assert ledger.cut_ms(C) == 0


def test_a_report_about_an_old_generation_that_comes_late_changes_nothing():
    """The number of the generation is what tells it apart."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.take(4800)
    ledger.cut({"resp_1"})
    ledger.cut_report(0, 1200)
    ledger.receive(C, seconds(1))
    ledger.take(4800)
    ledger.report(0, 4800, until=20.0)
    ledger.cut_report(0, 4800)
    ledger.report(7, 4800, until=20.0)

    assert ledger.cut_ms(A) == 50
    assert ledger.heard_ms(C, now=99.0) == 0


def test_a_pause_loses_no_sample():
    """An empty cut spares everything: what the device dropped comes again, from the sample of the cut."""
    ledger = PlayoutLedger()
    sound = struct.pack("<1000h", *range(1000))
    ledger.receive(A, sound)
    ledger.take(600)
    ledger.cut(())

    assert ledger.take(100) == b""

    ledger.cut_report(0, 250)

    assert ledger.take(10_000) == sound[500:]
    assert ledger.cut_ms(A) is None


@pytest.mark.parametrize("end", [PlayoutLedger.discard, lambda ledger, response_id: ledger.cut({response_id})])
def test_a_response_that_ends_during_a_pause_does_not_come_again(end):
    """What the pause spared is refused by the time that the device reports the cut."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(1))
    ledger.take(4800)
    ledger.cut(())
    end(ledger, "resp_1")
    ledger.cut_report(0, 1200)

    assert ledger.take(24_000) == b""
    assert ledger.queued == 0
    assert ledger.cut_ms(A) == 50


def test_a_cut_never_falls_before_what_was_handed_over_or_behind_what_was_taken():
    """A device that says otherwise is wrong: heard never shrinks, and nothing is truncated past what was received."""
    for said, expected in ((0, 100), (99_999, 200)):
        ledger = PlayoutLedger()
        ledger.receive(A, seconds(1))
        ledger.take(4800)
        ledger.report(0, 2400, until=10.0)
        ledger.cut()
        ledger.cut_report(0, said)

        assert ledger.cut_ms(A) == ledger.heard_ms(A, now=99.0) == expected


def test_one_voice_at_a_time():
    """A part that runs dry while it is generated is not replaced by another response, until it is known to be over."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(0.1))
    ledger.receive(C, seconds(0.1))

    assert len(ledger.take(24_000)) == 2 * 2400

    ledger.receive(A, seconds(0.1))

    assert len(ledger.take(24_000)) == 2 * 2400

    ledger.end("resp_1")

    assert len(ledger.take(24_000)) == 2 * 2400


def test_the_next_part_of_the_same_response_follows_without_a_done():
    """A response makes its parts one after the other, so a later one tells that the earlier is over."""
    ledger = PlayoutLedger()
    ledger.receive(A, seconds(0.1))
    ledger.receive(B, seconds(0.1))

    assert len(ledger.take(24_000)) == 2 * 4800
    assert ledger.parts("resp_1") == (A, B)


def test_half_a_sample_at_the_end_of_a_delta_waits_for_its_other_half():
    """A delta may end anywhere; samples stay whole."""
    ledger = PlayoutLedger()
    sound = struct.pack("<4h", 1, 2, 3, 4)
    ledger.receive(A, sound[:3])
    ledger.receive(A, sound[3:])

    assert ledger.take(4) == sound


def test_memory_is_bounded():
    """An hour of talk with interruptions leaves bookkeeping of a fixed size and no audio."""
    ledger = PlayoutLedger()
    now = 0.0
    for n in range(3000):
        part = PartKey(f"resp_{n}", f"item_{n}", 0)
        ledger.receive(part, seconds(0.02))
        ledger.finish(part)
        ledger.take(240)
        now += 0.02
        ledger.report(ledger.generation, 240, now)
        if n % 2:
            ledger.cut()
        else:
            ledger.take(240)
            ledger.report(ledger.generation, 480, now)
            ledger.cut(())

    assert len(ledger.parts()) <= 1024
    assert sum(len(ledger.parts(response_id)) for response_id in ledger._of) == len(ledger.parts())
    assert len(ledger._logs) <= 66
    assert all(not log.in_flight for log in ledger._logs.values())
    assert ledger.queued == 0
    assert ledger.drained(now)


def test_endless_playing_keeps_few_marks():
    """One generation of an hour in blocks of 20 ms does not remember every block."""
    ledger = PlayoutLedger()
    for n in range(10_000):
        ledger.receive(A, bytes(960))
        ledger.take(480)
        ledger.report(0, 480 * (n + 1), until=n * 0.02)

    assert len(ledger._logs[0].marks) <= 502
    assert ledger.heard_ms(A, now=10_000 * 0.02) == 200_000


def test_of_a_held_part_no_more_is_taken_than_was_released():
    """It keeps its place and its truth meanwhile: received, not played; and whatever is behind it waits."""
    ledger = PlayoutLedger()
    ledger.hold(A)
    ledger.receive(A, seconds(1))
    ledger.finish(A)
    ledger.receive(C, seconds(1))
    ledger.finish(C)

    assert ledger.take(48_000) == b""
    assert ledger.received_ms(A) == 1000
    assert ledger.queued == 48_000
    assert ledger.pending("resp_1")
    assert ledger.drained_at() == ledger.played_at("resp_1") == math.inf

    ledger.release(A, 4800)
    ledger.release(A, 2400)  # what was let go stays so
    assert len(ledger.take(48_000)) == 2 * 4800
    assert ledger.take(48_000) == b""

    ledger.release(A)
    assert len(ledger.take(48_000)) == 2 * (19_200 + 24_000)


def test_what_a_pause_put_back_is_taken_again_and_not_more():
    ledger = PlayoutLedger()
    ledger.hold(A)
    ledger.receive(A, seconds(1))
    ledger.release(A, 4800)
    ledger.take(48_000)
    ledger.report(0, 2400, until=10.0)
    ledger.cut(())
    ledger.cut_report(0, 3000)

    assert len(ledger.take(48_000)) == 2 * 1800


def test_a_cut_of_what_is_held_and_unheard_falls_at_its_beginning():
    ledger = PlayoutLedger()
    ledger.hold(A)
    ledger.receive(A, seconds(1))
    ledger.cut(["resp_1"])
    ledger.release(A)

    assert ledger.cut_ms(A) == 0
    assert ledger.take(48_000) == b""
    assert ledger.drained_at() == -math.inf


@attrs.define
class ModelDevice:
    """A ring, a callback and a converter with latency; counts every sample that comes out by its name."""

    latency: int
    generation: int = 0
    wanted: int = 0
    ring: list[tuple[int, int]] = attrs.Factory(list)  # (generation, name)
    handed: int = 0
    clock: int = 0  # samples
    out: list[tuple[int, int]] = attrs.Factory(list)  # (name, the sample time at which it has left the speaker)
    reports: list[tuple[str, int, int, float]] = attrs.Factory(list)

    def write(self, pcm: bytes) -> None:
        self.ring += [(self.wanted, name) for (name,) in struct.iter_unpack("<H", pcm)]

    def callback(self, block: int, fade: int) -> None:
        at = self.clock + self.latency
        room = block
        if self.generation != self.wanted:
            old = [name for generation, name in self.ring if generation == self.generation][: min(fade, room)]
            at = self._emit(old, at)
            room -= len(old)
            self.reports.append(("cut", self.generation, self.handed, at / SAMPLE_RATE))
            self.ring = [(generation, name) for generation, name in self.ring if generation == self.wanted]
            self.generation, self.handed = self.wanted, 0
        at = self._emit([name for _, name in self.ring[:room]], at)
        del self.ring[:room]
        self.reports.append(("play", self.generation, self.handed, at / SAMPLE_RATE))
        self.clock += block

    def _emit(self, names: list[int], at: int) -> int:
        for name in names:
            at += 1
            self.out.append((name, at))
        self.handed += len(names)
        return at


class LedgerMachine(RuleBasedStateMachine):
    """Random deltas, blocks, underruns, cuts, pauses and late reports; the model knows what really came out."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = PlayoutLedger()
        self.device = ModelDevice(latency=70)
        self.names: dict[PartKey, list[int]] = {}
        self.name = 0
        self.blocked: set[str] = set()
        self.response = 0
        self.item = 0
        self.old_reports: list[tuple[str, int, int, float]] = []
        self.released: dict[PartKey, int] = {}

    def _part(self) -> PartKey:
        return PartKey(f"r{self.response}", f"i{self.item}", 0)

    @rule(samples=st.integers(1, 120))
    def delta(self, samples):
        part = self._part()
        names = range(self.name, self.name + samples)
        self.name = (self.name + samples) % 65_536
        self.names.setdefault(part, []).extend(name % 65_536 for name in names)
        kept = self.ledger.receive(part, struct.pack(f"<{samples}H", *(name % 65_536 for name in names)))

        assert kept == (part.response_id not in self.blocked)

    @rule(new_response=st.booleans(), says_done=st.booleans())
    def next_part(self, new_response, says_done):
        if says_done:
            self.ledger.finish(self._part())
        if new_response:
            self.ledger.end(f"r{self.response}")
            self.response += 1
        self.item += 1

    @precondition(lambda self: self._part() not in self.names)
    @rule()
    def hold(self):
        self.ledger.hold(self._part())
        self.released[self._part()] = 0

    @precondition(lambda self: self.released)
    @rule(data=st.data(), samples=st.none() | st.integers(0, 200))
    def release(self, data, samples):
        part = data.draw(st.sampled_from(sorted(self.released, key=str)))
        self.ledger.release(part, samples)
        if samples is None:
            del self.released[part]
        else:
            self.released[part] = max(self.released[part], samples)

    @rule(room=st.integers(0, 300))
    def feed(self, room):
        pcm = self.ledger.take(room)

        assert len(pcm) <= 2 * room

        self.device.write(pcm)

    @rule(block=st.integers(1, 100), fade=st.integers(0, 30), deliver=st.booleans())
    def block(self, block, fade, deliver):
        self.device.callback(block, fade)
        if deliver:
            self.deliver()

    @rule()
    def deliver(self):
        for report in self.device.reports:
            self._tell(report)
        self.old_reports += self.device.reports
        self.device.reports.clear()

    @precondition(lambda self: self.old_reports and not self.device.reports)
    @rule(data=st.data())
    def a_report_comes_again(self, data):
        kind, generation, samples, until = data.draw(st.sampled_from(self.old_reports[-20:]))
        if kind == "cut" or generation < self.ledger.generation:
            self._tell((kind, generation, samples, until))

    def _tell(self, report):
        kind, generation, samples, until = report
        if kind == "cut":
            self.ledger.cut_report(generation, samples, until)
        else:
            self.ledger.report(generation, samples, until)

    @rule(data=st.data())
    def cut(self, data):
        known = sorted({part.response_id for part in self.ledger.parts()})
        some = data.draw(st.none() | st.sets(st.sampled_from(known)) if known else st.none())
        generation = self.ledger.cut(some)
        self.blocked |= set(known) if some is None else some
        self.device.wanted = generation
        if some is None and self.names:
            assert self.ledger.queued == 0

    @rule(data=st.data())
    def discard(self, data):
        known = sorted({part.response_id for part in self.names})
        if known:
            response_id = data.draw(st.sampled_from(known))
            self.ledger.discard(response_id)
            self.blocked.add(response_id)

    @invariant()
    def of_what_is_held_no_more_came_out_than_was_released(self):
        came_out = {name for name, _ in self.device.out}
        for part, samples in self.released.items():
            assert not came_out.intersection(self.names.get(part, [])[samples:])

    @invariant()
    def what_came_out_is_a_prefix_of_what_was_received(self):
        came_out = {name: n for n, (name, _) in enumerate(self.device.out)}
        for names in self.names.values():
            heard = [came_out[name] for name in names if name in came_out]

            assert heard == sorted(heard)
            assert all(name in came_out for name in names[: len(heard)])

    @invariant()
    def one_voice_at_a_time(self):
        owner = {name: part for part, names in self.names.items() for name in names}
        voices = [owner[name] for name, _ in self.device.out]
        changes = [voice for n, voice in enumerate(voices) if n == 0 or voices[n - 1] != voice]

        assert len(changes) == len(set(changes))

    @invariant()
    def heard_is_what_left_the_speaker(self):
        if self.device.reports:
            return  # the ledger cannot know yet
        for now in (self.device.clock, self.device.clock + 35, self.device.clock + 1000):
            heard = {name for name, at in self.device.out if at <= now}
            for part, names in self.names.items():
                expected = sum(name in heard for name in names)

                assert self.ledger.heard_samples(part, now / SAMPLE_RATE) == expected

    @invariant()
    def cut_is_all_that_came_out_and_never_more_than_received(self):
        came_out = {name for name, _ in self.device.out}
        for part, names in self.names.items():
            cut = self.ledger.cut_samples(part)
            if part.response_id not in self.blocked:
                assert cut is None
            elif cut is not None:
                assert cut == sum(name in came_out for name in names)
                assert cut <= self.ledger.received_samples(part) == len(names)

    def teardown(self):
        """Whatever happened, all that was not cut comes out once it is released, and every cut becomes known."""
        self.next_part(new_response=True, says_done=True)
        for part in self.released:
            self.ledger.release(part)
        for _ in range(10_000):
            if self.ledger.drained(self.device.clock / SAMPLE_RATE):
                break
            self.feed(200)
            self.block(100, 10, deliver=True)

        came_out = {name for name, _ in self.device.out}

        assert self.ledger.drained(self.device.clock / SAMPLE_RATE)
        for part, names in self.names.items():
            if part.response_id in self.blocked:
                assert self.ledger.cut_samples(part) == sum(name in came_out for name in names)
            else:
                assert self.ledger.played(part.response_id, self.device.clock / SAMPLE_RATE)
                assert came_out.issuperset(names)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_when_old_sound_left_the_speaker_is_forgotten_and_not_that_it_did():
    """A session that is interrupted again and again keeps no history of blocks."""
    ledger = PlayoutLedger()
    for turn in range(10):
        part = PartKey(f"resp_{turn}", f"item_{turn}", 0)
        ledger.receive(part, seconds(30))
        for block in range(200):
            play(ledger, 2400, until=100.0 * turn + 0.1 * block)
        ledger.cut()

        assert ledger.heard_ms(part, now=1e9) == 20_000

    assert sum(len(log.marks) for log in ledger._logs.values()) < 3 * 101
    assert [ledger.heard_ms(PartKey(f"resp_{n}", f"item_{n}", 0), now=1e9) for n in range(10)] == [20_000] * 10
    assert ledger.sounds_at("resp_0") == -math.inf
