"""The level gate: lets the user through over the assistant, learns who that is, and cannot be taught nonsense."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.gate import LevelGate

BLOCK_MS = 20
SPEECH = -26.0  # dBFS, as near a microphone as people sit
ROOM = -60.0
LOWEST, HIGHEST = -52.0, -22.0  # of any threshold; what is louder is never shut out

levels = st.one_of(st.floats(-120, 0), st.just(-math.inf), st.floats())
blocks = st.lists(st.tuples(levels, st.booleans(), st.sampled_from([10, 20, 40])), max_size=400)


def feed(gate: LevelGate, level: float, *, playing: bool, ms: float, block_ms: float = BLOCK_MS) -> list[bool]:
    return [gate.feed(level, playing, block_ms) for _ in range(round(ms / block_ms))]


def talk(gate: LevelGate, level: float, *, seconds: float) -> None:
    """Say something while nothing is played: words of 300 ms, gaps of 100 ms in which the room is heard."""
    for _ in range(round(seconds / 0.4)):
        feed(gate, level, playing=False, ms=300)
        feed(gate, ROOM, playing=False, ms=100)


@given(blocks)
def test_everything_passes_while_nothing_is_played(fed):
    gate = LevelGate()

    assert all(gate.feed(level, playing, ms) for level, playing, ms in fed if not playing)


@given(blocks)
def test_no_sound_moves_the_threshold_out_of_its_bounds(fed):
    gate = LevelGate()

    for level, playing, ms in fed:
        gate.feed(level, playing, ms)

        assert LOWEST <= gate.threshold_dbfs <= HIGHEST


@given(blocks, st.lists(levels, max_size=400))
def test_what_is_heard_over_the_assistant_never_lowers_the_threshold(before, residue):
    gate = LevelGate()
    for level, playing, ms in before:
        gate.feed(level, playing, ms)
    gate.feed(-math.inf, False, BLOCK_MS)
    learnt = gate.threshold_dbfs

    for level in residue:
        gate.feed(level, True, BLOCK_MS)

        assert gate.threshold_dbfs >= learnt


@given(blocks)
def test_residue_is_forgotten(before):
    gate = LevelGate()
    for level, playing, ms in before:
        gate.feed(level, playing, ms)
    gate.feed(-math.inf, False, BLOCK_MS)
    learnt = gate.threshold_dbfs

    feed(gate, -math.inf, playing=True, ms=30_000)

    assert gate.threshold_dbfs == learnt


def test_what_is_left_of_a_loud_echo_cannot_keep_it_open():
    """Bursts of 100 ms that are as loud as speech, in a room where cancelling fails, right after the user's turn."""
    gate = LevelGate()
    talk(gate, SPEECH, seconds=10)
    passed = []

    for _ in range(150):
        passed += feed(gate, -30.0, playing=True, ms=100)
        passed += feed(gate, -45.0, playing=True, ms=100)

    assert not any(passed[-500:]), "in the last ten of thirty seconds"
    assert feed(gate, SPEECH + 4, playing=True, ms=160)[-1], "the user is louder, and is heard"


@given(blocks, st.lists(st.floats(-120, LOWEST), min_size=50, max_size=400))
def test_what_is_quieter_than_any_threshold_never_opens_it(before, residue):
    gate = LevelGate()
    for level, playing, ms in before:
        gate.feed(level, playing, ms)
    feed(gate, -math.inf, playing=True, ms=1_000)

    assert not any(gate.feed(level, True, BLOCK_MS) for level in residue)


@given(blocks)
def test_nobody_louder_than_the_highest_threshold_is_ever_shut_out(before):
    gate = LevelGate()
    for level, playing, ms in before:
        gate.feed(level, playing, ms)

    assert feed(gate, HIGHEST + 1, playing=True, ms=160)[-1]


@pytest.mark.parametrize("block_ms", [10, 20, 40])
def test_it_opens_after_160_ms_whatever_the_length_of_a_block(block_ms):
    gate = LevelGate()

    passed = feed(gate, SPEECH, playing=True, ms=480, block_ms=block_ms)

    assert passed.index(True) == 160 // block_ms - 1
    assert all(passed[160 // block_ms - 1 :])


def test_a_click_does_not_open_it():
    gate = LevelGate()

    for _ in range(20):
        assert not any(feed(gate, -10.0, playing=True, ms=60))
        assert not any(feed(gate, ROOM, playing=True, ms=400))


def test_words_with_gaps_between_syllables_open_it():
    gate = LevelGate()
    passed = []

    for _ in range(4):
        passed += feed(gate, SPEECH, playing=True, ms=60)
        passed += feed(gate, ROOM, playing=True, ms=40)

    assert passed[-1]


def test_a_user_who_talks_on_over_the_assistant_is_not_cut_into_pieces():
    gate = LevelGate()
    talk(gate, SPEECH, seconds=10)
    feed(gate, ROOM, playing=True, ms=2_000)
    passed = []

    for _ in range(75):
        passed += feed(gate, SPEECH + 3, playing=True, ms=150) + feed(gate, SPEECH - 6, playing=True, ms=150)
        passed += feed(gate, ROOM, playing=True, ms=100)

    assert all(passed[10:])


def test_it_stays_open_through_pauses_and_closes_after_the_last_word():
    gate = LevelGate()
    feed(gate, SPEECH, playing=True, ms=200)

    for _ in range(5):
        assert all(feed(gate, ROOM, playing=True, ms=400))
        assert all(feed(gate, SPEECH, playing=True, ms=200))
    after = feed(gate, ROOM, playing=True, ms=2_000)

    assert after.index(False) == 500 // BLOCK_MS - 1
    assert not any(after[500 // BLOCK_MS :])


def test_who_was_speaking_when_the_assistant_begins_is_not_cut_off():
    gate = LevelGate()
    talk(gate, SPEECH, seconds=2)

    assert all(feed(gate, SPEECH, playing=True, ms=1_000))


def test_the_room_that_was_heard_before_does_not_pass_when_the_assistant_begins():
    gate = LevelGate()
    feed(gate, ROOM, playing=False, ms=5_000)

    assert not any(feed(gate, ROOM + 10, playing=True, ms=5_000))


def test_a_user_with_a_quiet_microphone_is_heard_after_a_few_words():
    gate = LevelGate()
    assert not any(feed(gate, -44.0, playing=True, ms=2_000))

    talk(gate, -44.0, seconds=6)

    assert feed(gate, -44.0, playing=True, ms=160)[-1]


def test_a_quiet_user_after_a_loud_one_gets_through_within_a_few_words():
    gate = LevelGate()
    talk(gate, -8.0, seconds=60)
    assert feed(gate, -33.0, playing=True, ms=160)[-1], "at once, if not very quiet"
    feed(gate, ROOM, playing=True, ms=2_000)
    assert not any(feed(gate, -42.0, playing=True, ms=1_000))

    talk(gate, -42.0, seconds=4)

    assert feed(gate, -42.0, playing=True, ms=160)[-1]


@pytest.mark.parametrize("noise", [-70.0, -55.0, -42.0, -math.inf])
def test_a_room_in_which_nobody_speaks_teaches_nothing(noise):
    gate = LevelGate()

    feed(gate, noise, playing=False, ms=60_000)

    assert gate.threshold_dbfs == max(-40.0, noise + 12)
    assert not any(feed(gate, noise, playing=True, ms=5_000))


def test_a_muted_microphone_is_no_quiet_room():
    """Else the room would stand out of that silence when it is heard again, and count as a voice."""
    gate = LevelGate()
    talk(gate, SPEECH, seconds=10)
    learnt = gate.threshold_dbfs

    feed(gate, -math.inf, playing=False, ms=30_000)
    feed(gate, ROOM, playing=False, ms=30_000)

    assert gate.threshold_dbfs == pytest.approx(learnt, abs=0.1)


def test_a_door_that_slams_changes_little():
    gate = LevelGate()
    talk(gate, SPEECH, seconds=10)
    learnt = gate.threshold_dbfs

    feed(gate, 0.0, playing=False, ms=60)

    assert gate.threshold_dbfs == pytest.approx(learnt, abs=1.5)
