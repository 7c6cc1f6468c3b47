"""What differs between what was asked for and what was said."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.utterance import Difference, differences

WORDS = st.lists(st.sampled_from(["one", "Two", "don't", "3.5", "10:30", "für", "四"]), max_size=8)


def test_case_punctuation_and_encoding_do_not_count():
    asked = "Good evening! It's 10:30, caf\u00e9 time."
    assert differences(asked, "good evening - it\u2019s 10:30 cafe\u0301 TIME") == ()


def test_each_place_where_other_words_were_said_is_told():
    assert differences("Your bill is 10 euros", "Well, your bill is 12 euros") == (
        Difference("", "Well"),
        Difference("10", "12"),
    )
    assert differences("Say this", "") == (Difference("Say this", ""),)


@given(WORDS, WORDS)
def test_what_is_told_turns_one_into_the_other(asked, said):
    """As many words go and come as the texts differ by, and equal texts do not differ."""
    found = differences(" ".join(asked), " ".join(said))
    gone = sum(len(one.asked.split()) for one in found)
    come = sum(len(one.said.split()) for one in found)
    assert len(asked) - gone + come == len(said)
    assert (found == ()) == ([word.casefold() for word in asked] == [word.casefold() for word in said])
