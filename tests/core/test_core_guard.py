"""How much may be said while words are being judged, over every order in which words, sound and verdicts can come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_trio.core.captions import Captions, whole_words
from realtime_trio.core.guard import GuardedPart, Stop
from realtime_trio.errors import ConfigurationError

WORDS = st.text("abé .,!?\n語7", min_size=1, max_size=12)


def estimate(part: GuardedPart) -> float:
    """When the words that passed are spoken, as an estimate of its own has it."""
    return part._captions.end_of(part.text, part.passed)


class PartMachine(RuleBasedStateMachine):
    """Words, sound, the end of the words, and verdicts about what had come some time before."""

    def __init__(self) -> None:
        super().__init__()
        self.part = GuardedPart(lead_ms=200)
        self.asked: str | None = None
        self.judged: list[str] = []
        self.released = 0.0
        self.stopped_at: tuple[float, int] | None = None

    @rule(words=WORDS)
    def words(self, words):
        self.part.add_words(words)

    @rule(ms=st.integers(1, 3000))
    def sound(self, ms):
        self.part.add_sound(ms)

    @rule(words=st.none() | WORDS)
    def finish(self, words):
        self.part.finish(self.part.text if words is None else words)

    @precondition(lambda self: self.asked is None and self.part.waits)
    @rule()
    def ask(self):
        until = self.part.unjudged
        self.asked = self.part.text[:until]

        assert self.part.passed <= until <= len(self.part.text)
        assert until > self.part.passed or (self.part.complete and not self.part.text)

    @precondition(lambda self: self.asked is not None)
    @rule()
    def let_pass(self):
        before = self.part.allowed_ms
        self.part.let_pass(self.asked)
        self.judged.append(self.asked)
        self.asked = None
        if not (self.part.open or self.part.stopped):
            assert self.part.allowed_ms <= max(before, estimate(self.part) - 200)

    @rule()
    def stop(self):
        self.part.stop()
        if self.stopped_at is None:
            self.stopped_at = self.part.allowed_ms, self.part.passed

    @invariant()
    def nothing_passes_that_was_not_judged(self):
        passed = self.part.text[: self.part.passed]
        assert not passed or any(judged.startswith(passed) for judged in self.judged)

    @invariant()
    def what_was_let_go_stays_so(self):
        assert self.part.allowed_ms >= self.released
        self.released = self.part.allowed_ms

    @invariant()
    def all_is_let_go_when_all_passed(self):
        if self.part.open:
            assert self.part.allowed_ms == math.inf
            assert self.part.complete
            assert self.part.passed == len(self.part.text)
            assert not self.part.waits

    @invariant()
    def after_a_stop_nothing_moves(self):
        if self.stopped_at is not None:
            assert self.part.allowed_ms == self.stopped_at[0]
            assert self.part.passed <= self.stopped_at[1]  # less where the server takes words back
            assert not self.part.waits


TestPart = PartMachine.TestCase


@given(st.lists(WORDS | st.integers(1, 2000), min_size=1))
def test_all_is_released_in_the_end_if_all_passes(arrivals):
    part = GuardedPart(lead_ms=200)
    for arrival in arrivals:
        if isinstance(arrival, str):
            part.add_words(arrival)
        else:
            part.add_sound(arrival)
    part.finish()
    questions = 0
    while part.waits:
        questions += 1
        part.let_pass(part.text[: part.unjudged])

    assert part.over
    assert part.open == bool(part.text or part.received_ms)
    assert questions <= 1


def test_of_what_passed_the_lead_is_held_back():
    part = GuardedPart(lead_ms=200)
    part.add_words("Ten letters ")
    part.add_sound(5000)
    part.let_pass(part.text[: part.unjudged])

    assert part.allowed_ms == pytest.approx(10.5 * 63 - 200)  # ten letters and a gap

    part.add_words("more")
    assert not part.waits, "the word may go on"
    part.add_words("over ")
    assert part.waits
    part.stop()
    assert part.allowed_ms == pytest.approx(10.5 * 63 - 200)


def test_a_part_begins_with_more_than_a_syllable():
    part = GuardedPart(lead_ms=200)
    part.add_words("Oh, ")
    part.add_sound(5000)
    part.let_pass(part.text[: part.unjudged])
    assert part.allowed_ms == 0

    part.add_words("I see ")
    part.let_pass(part.text[: part.unjudged])
    assert part.allowed_ms == pytest.approx((2 + 0.5 + 3 + 1 + 0.5 + 3) * 63 - 200)


def test_the_last_words_open_the_part_whether_it_was_known_to_be_complete_or_not():
    early, late = GuardedPart(lead_ms=200), GuardedPart(lead_ms=200)
    for part in (early, late):
        part.add_words("That is all.")
    early.finish("That is all.")
    early.let_pass(early.text[: early.unjudged])
    late.let_pass(late.text[: late.unjudged])
    assert not late.open
    late.finish("That is all.")

    assert early.open
    assert late.open


def test_what_the_server_says_differently_in_the_end_is_judged_again():
    part = GuardedPart(lead_ms=200)
    part.add_words("I like it a lot. ")
    part.let_pass(part.text[: part.unjudged])
    part.finish("I like to kill. ")

    assert (part.text, part.passed, part.waits) == ("I like to kill. ", 7, True)


def test_a_part_with_nothing_in_it_asks_nothing():
    part = GuardedPart(lead_ms=200)
    part.finish("")

    assert part.over
    assert not part.waits

    part.add_words("Late. ")
    assert part.waits
    assert not part.over


def test_words_behind_the_end_are_judged_too():
    part = GuardedPart(lead_ms=200)
    part.add_words("That is all.")
    part.finish("That is all.")
    part.let_pass(part.text[: part.unjudged])
    part.add_words(" But no.")

    assert (part.over, part.waits, part.unjudged) == (False, True, 20)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("wor", ""),
        ("two wor", "two "),
        ("two words ", "two words "),
        ("two words\n", "two words\n"),
        ("The end.", "The end."),
        ('He said: "No!"', 'He said: "No!"'),
        ("one, ", "one, "),
        ("one,", ""),
        ("日本語", "日本"),
        ("日本語。", "日本語。"),
        ("go to 日", "go to "),
    ],
)
def test_whole_words(text, whole):
    assert text[: whole_words(text)] == whole


@given(WORDS, WORDS)
def test_whole_words_of_a_growing_text_never_shrink(text, more):
    """What was whole once is in what is whole later, but for an end of a sentence that turns out to be none."""
    if text[-1:].isspace():
        assert whole_words(text + more) >= whole_words(text)
    assert 0 <= whole_words(text) <= len(text)


@given(st.text("ab .", max_size=60), st.integers(0, 60))
def test_the_end_of_words_grows_with_the_place(text, place):
    captions = Captions()
    captions.note_words(0)
    captions.note_sound(1000)

    assert 0 <= captions.end_of(text, place) <= captions.end_of(text, place + 1)


@pytest.mark.parametrize("reason", ["", "  ", None, 3])
def test_a_stop_has_a_reason(reason):
    with pytest.raises(ConfigurationError, match="reason in words"):
        Stop(reason)
