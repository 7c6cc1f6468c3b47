"""When was millisecond N of the input spoken: whatever was held back, left out, or captured late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.capture import CaptureLedger

BLOCK = 480
SECONDS = 0.02  # of a block
JITTER = 0.005


def fed(*times: float, samples: int = BLOCK) -> CaptureLedger:
    """A ledger to which blocks were given that were captured at these times."""
    ledger = CaptureLedger()
    for time in times:
        ledger.append(samples, time)
    return ledger


def test_nothing_is_known_before_anything_was_sent():
    assert CaptureLedger().time_of(0) is None


def test_one_block_is_known_from_its_first_sample_to_its_end():
    ledger = fed(7.0)
    assert ledger.sent == BLOCK
    assert ledger.time_of(0) == 7.0
    assert ledger.time_of(5) == pytest.approx(7.005)
    assert ledger.time_of(20) == pytest.approx(7.02)  # speech may end with the last sample


@pytest.mark.parametrize("ms", [-1, 21, 10_000])
def test_what_was_not_sent_has_no_time(ms):
    """Before the first sample, and after the last."""
    assert fed(7.0).time_of(ms) is None


def test_a_gap_in_the_capture_is_a_gap_in_the_times():
    """A microphone that was away for a second: nothing of that was sent."""
    ledger = fed(1.0, 1.02, 2.04)
    assert ledger.time_of(39) == pytest.approx(1.039)
    assert ledger.time_of(40) == pytest.approx(2.04)
    assert ledger.time_of(60) == pytest.approx(2.06)


def test_pre_roll_goes_back_in_time():
    """What was held back is sent after the silence that stood for it: a later millisecond was spoken earlier."""
    ledger = fed(1.0, 1.02, 1.04, 1.0, 1.02, 1.04, 1.06)
    assert ledger.time_of(59) == pytest.approx(1.059)
    assert ledger.time_of(60) == pytest.approx(1.0)
    assert ledger.time_of(121) == pytest.approx(1.061)


def test_silence_that_is_left_out_makes_up_for_the_pre_roll():
    ledger = fed(1.0, 1.0, 1.02, 1.06)
    assert ledger.time_of(59) == pytest.approx(1.039)
    assert ledger.time_of(60) == pytest.approx(1.06)


def test_jitter_is_no_gap():
    """A block that is told 4 ms early or late follows the one before it; the sound itself has no such steps."""
    ledger = fed(1.0, 1.024, 1.036)
    assert ledger.time_of(20) == pytest.approx(1.02)
    assert ledger.time_of(45) == pytest.approx(1.045)


def test_a_clock_that_drifts_is_followed():
    """A millisecond too much with each block: never more than the jitter away, however long it lasts."""
    times = [n * (SECONDS + 0.001) for n in range(1000)]
    ledger = fed(*times)
    errors = [ledger.time_of(20 * n) - time for n, time in enumerate(times)]
    assert max(map(abs, errors)) <= JITTER + 1e-6


def test_blocks_may_be_of_any_length():
    ledger = CaptureLedger()
    ledger.append(24, 1.0)
    ledger.append(4800, 1.001)
    ledger.append(240, 5.0)
    assert ledger.sent == 5064
    assert ledger.time_of(200) == pytest.approx(1.2)
    assert ledger.time_of(201) == pytest.approx(5.0)


def test_another_rate():
    ledger = CaptureLedger(rate=8000)
    ledger.append(80, 1.0)
    ledger.append(80, 3.0)
    assert ledger.time_of(9) == pytest.approx(1.009)
    assert ledger.time_of(15) == pytest.approx(3.005)


def test_a_long_talk_without_gaps_is_remembered_from_its_beginning():
    """It costs one anchor, not one for each block; also after a gap."""
    ledger = fed(0.0, *(60 + n * SECONDS for n in range(10_000)))
    assert ledger.time_of(0) == 0
    assert ledger.time_of(20) == 60
    assert ledger.time_of(150_027) == pytest.approx(210.007)


def test_of_gaps_the_newest_4096_are_remembered():
    """Memory is bounded; what is forgotten has no time, instead of a wrong one."""
    ledger = fed(*(float(n) for n in range(5000)))
    forgotten = 5000 - 4096
    assert ledger.time_of(0) is None
    assert ledger.time_of(20 * forgotten - 1) is None
    assert ledger.time_of(20 * forgotten) == forgotten
    assert ledger.time_of(20 * 4999 + 3) == pytest.approx(4999.003)


def test_what_was_given_up_before_it_was_sent_is_not_on_the_timeline():
    """What comes after it moves up, with the times at which it was spoken."""
    ledger = fed(*(1 + n * SECONDS for n in range(10)))
    ledger.drop(2 * BLOCK, 5 * BLOCK)  # the fourth and the fifth
    assert ledger.sent == 8 * BLOCK
    assert ledger.time_of(59) == pytest.approx(1.059)
    assert ledger.time_of(60) == pytest.approx(1.1)
    assert ledger.time_of(160) == pytest.approx(1.2)
    assert ledger.time_of(161) is None
    ledger.append(BLOCK, 1.2)
    assert ledger.time_of(180) == pytest.approx(1.22)


def test_what_was_appended_last_may_be_given_up():
    """What follows it is a gap, as far as the server knows."""
    ledger = fed(*(1 + n * SECONDS for n in range(10)))
    ledger.drop(2 * BLOCK, 0)
    ledger.append(BLOCK, 1.2)
    assert ledger.sent == 9 * BLOCK
    assert ledger.time_of(159) == pytest.approx(1.159)
    assert ledger.time_of(160) == pytest.approx(1.2)


def test_all_of_it_may_be_given_up():
    """More than there is counts as all."""
    ledger = fed(1.0, 1.02)
    ledger.drop(3 * BLOCK, 0)
    assert ledger.sent == 0
    assert ledger.time_of(0) is None
    ledger.append(BLOCK, 5.0)
    assert ledger.time_of(0) == 5.0


def test_another_link_begins_its_own_timeline():
    """What is sent again on it keeps the times at which it was spoken."""
    ledger = fed(1.0, 1.02, 5.0)
    ledger.restart()

    assert ledger.sent == 0
    assert ledger.time_of(0) is None

    ledger.append(BLOCK, 5.0)
    ledger.append(BLOCK, 7.0)

    assert ledger.time_of(0) == 5.0
    assert ledger.time_of(20) == 7.0


LENGTHS = st.integers(1, 100)  # whole milliseconds, so that each block has a millisecond of its own
PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.001, -0.001, 0.0049, -0.004, 0.006, -0.006, 0.3, -0.3, 60.0])


DROPS = st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1))  # from where to where, of what there is


@given(st.lists(st.tuples(LENGTHS, PAUSES, DROPS), min_size=1, max_size=60))
def test_it_says_what_a_list_of_all_samples_says(blocks):
    """To the jitter that is no gap, for every millisecond that was sent, whatever was given up before."""
    ledger = CaptureLedger()
    times: list[float] = []  # of each millisecond
    at = 100.0
    for length, pause, drop in blocks:
        at += pause
        ledger.append(length * 24, at)
        times += [at + n / 1000 for n in range(length)]
        at += length / 1000
        if drop is not None:
            begin, end = sorted(round(place * len(times)) for place in drop)
            ledger.drop((end - begin) * 24, (len(times) - end) * 24)
            del times[begin:end]
    assert ledger.sent == len(times) * 24
    for ms, time in enumerate(times):
        assert abs(ledger.time_of(ms) - time) <= JITTER + 1e-6
    if times:
        assert abs(ledger.time_of(len(times)) - times[-1] - 0.001) <= JITTER + 1e-6
    assert ledger.time_of(len(times) + 1) is None
