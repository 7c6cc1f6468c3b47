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


def test_a_model_that_loops_is_compared_in_no_time():
    """It took half a minute, in which nothing else happened."""
    assert differences("go " + "la " * 800 + "on", "go " + "la lo " * 800 + "on") == (
        Difference(("la " * 799).strip(), ("lo la " * 799 + "lo").strip()),
    )
    assert differences("la " * 800 + "lo", "la " * 850 + "lo") == (Difference("", ("la " * 50).strip()),)
    prose = " ".join(f"word{n % 400} and" for n in range(1600))
    assert differences(prose, prose.replace("word7 ", "other ", 1) + " end") == (
        Difference("word7", "other"),
        Difference("", "end"),
    )


def fewest(a, b):
    """The least number of words to be dropped and added, by looking at all ways."""
    before = list(range(len(b) + 1))
    for n, one in enumerate(a, 1):
        row = [n]
        for m, other in enumerate(b, 1):
            row.append(before[m - 1] if one == other else 1 + min(before[m], row[m - 1]))
        before = row
    return before[-1]


@given(WORDS, WORDS)
def test_what_is_told_turns_one_into_the_other(asked, said):
    """As many words go and come as the texts differ by, and equal texts do not differ."""
    found = differences(" ".join(asked), " ".join(said))
    gone = sum(len(one.asked.split()) for one in found)
    come = sum(len(one.said.split()) for one in found)
    assert len(asked) - gone + come == len(said)
    assert (found == ()) == ([word.casefold() for word in asked] == [word.casefold() for word in said])
    assert gone + come == fewest([word.casefold() for word in asked], [word.casefold() for word in said])
