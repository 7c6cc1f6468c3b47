"""What of the microphone is sent: complete, without gaps under turn detection, and nothing that was muted."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.uplink import Sent, Uplink

BLOCK = 480


def block(number: int) -> bytes:
    """A block of which every sample tells its number."""
    return (number + 1).to_bytes(2, "little") * BLOCK


def numbers(sent: list[Sent]) -> list[int]:
    """Say which blocks were sent; -1 for silence."""
    return [int.from_bytes(one.pcm[:2], "little") - 1 for one in sent]


def at(number: int) -> float:
    return number * 0.02


def test_an_open_gate_lets_everything_pass():
    uplink = Uplink()
    assert numbers([one for n in range(5) for one in uplink.feed(block(n), at(n))]) == [0, 1, 2, 3, 4]


def test_a_closed_gate_sends_silence_at_the_same_pace():
    uplink = Uplink()
    sent = [one for n in range(5) for one in uplink.feed(block(n), at(n), is_open=False)]
    assert numbers(sent) == [-1] * 5
    assert [one.captured_at for one in sent] == [at(n) for n in range(5)]


def test_what_was_held_back_goes_first_and_is_repaid_with_silence_left_out():
    """The first syllable is not lost, and the input is not longer than the time in the end."""
    uplink = Uplink(preroll_samples=3 * BLOCK)
    for n in range(10):
        uplink.feed(block(n), at(n), is_open=False)
    sent = uplink.feed(block(10), at(10))
    assert numbers(sent) == [7, 8, 9, 10]
    assert [one.captured_at for one in sent] == [at(n) for n in (7, 8, 9, 10)]
    later = [uplink.feed(block(n), at(n), is_open=False) for n in range(11, 16)]
    assert [numbers(one) for one in later] == [[], [], [], [-1], [-1]]


def test_what_is_known_to_be_the_speakers_is_never_sent_later():
    uplink = Uplink()
    for n in range(10):
        uplink.feed(block(n), at(n), is_open=False, keep=False)
    assert numbers(uplink.feed(block(10), at(10))) == [10]


def test_muted_sound_is_silence_and_not_kept():
    uplink = Uplink()
    uplink.feed(block(0), at(0), is_open=False)
    uplink.mute(muted=True)
    assert numbers(uplink.feed(block(1), at(1))) == [-1]
    uplink.mute(muted=False)
    assert numbers(uplink.feed(block(2), at(2))) == [2]


def test_between_manual_turns_nothing_is_sent():
    uplink = Uplink(continuous=False, preroll_samples=2 * BLOCK)
    assert [uplink.feed(block(n), at(n)) for n in range(5)] == [[]] * 5
    assert numbers(uplink.press()) == [3, 4]
    assert numbers(uplink.feed(block(5), at(5), is_open=False)) == [5]  # the key says that it is meant
    uplink.release()
    assert uplink.spoken == BLOCK
    assert uplink.feed(block(6), at(6)) == []
    assert numbers(uplink.press()) == [6]  # nothing is sent twice
    assert uplink.spoken == 0


def test_what_was_captured_before_the_key_went_up_belongs_to_the_turn():
    """A microphone gives its sound late."""
    uplink = Uplink(continuous=False)
    uplink.press()
    uplink.close_at = at(2) + 0.001
    assert [numbers(uplink.feed(block(n), at(n))) for n in range(5)] == [[0], [1], [2], [], []]
    assert uplink.spoken == 3 * BLOCK
    uplink.release()
    assert numbers(uplink.press()) == [3, 4]


def test_what_was_held_back_before_a_switch_is_never_sent():
    """Between manual turns nobody listened; turning turn detection on does not change that afterwards."""
    uplink = Uplink(continuous=False)
    uplink.feed(block(0), at(0))
    uplink.press()
    uplink.feed(block(1), at(1))
    uplink.switch(continuous=True)
    assert not uplink.pressed
    assert numbers(uplink.feed(block(2), at(2))) == [2]


def test_pre_roll_of_a_manual_turn_is_not_owed_to_turn_detection():
    """Between manual turns the input stands still: there is no time that it could be ahead of."""
    uplink = Uplink(continuous=False)
    for n in range(10):
        uplink.feed(block(n), at(n))
    assert numbers(uplink.press()) == list(range(10))
    uplink.release()
    uplink.switch(continuous=True)
    assert [numbers(uplink.feed(block(n), at(n), is_open=False)) for n in range(10, 15)] == [[-1]] * 5


def test_a_manual_turn_that_is_muted_has_no_length():
    uplink = Uplink(continuous=False)
    uplink.mute(muted=True)
    uplink.press()
    assert uplink.feed(block(0), at(0)) == []
    assert uplink.spoken == 0


@given(st.lists(st.sampled_from(["open", "closed", "mute", "unmute"]), max_size=120))
def test_under_turn_detection_the_input_is_complete_in_order_and_not_behind(steps):
    """Never a block twice or out of order; the input's length follows the time, pre-roll ahead at most."""
    uplink = Uplink(preroll_samples=3 * BLOCK)
    sent: list[Sent] = []
    passed = 0
    for step in steps:
        if step in ("mute", "unmute"):
            uplink.mute(muted=step == "mute")
            continue
        sent += uplink.feed(block(passed), at(passed), is_open=step == "open")
        passed += 1
        length = sum(len(one.pcm) // 2 for one in sent)
        assert passed * BLOCK <= length
    real = [number for number in numbers(sent) if number >= 0]
    assert real == sorted(set(real))
    closing = [uplink.feed(block(passed + n), at(passed + n), is_open=False) for n in range(200)]
    length = sum(len(one.pcm) // 2 for one in [*sent, *(one for piece in closing for one in piece)])
    assert length == (passed + 200) * BLOCK  # all pre-roll was repaid
