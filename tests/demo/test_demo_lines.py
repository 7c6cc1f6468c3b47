"""The demo's lines stand in the order of the talk, whenever their words come."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.demo.lines import Lines, can_be_drawn_on, folded, wants_colour


class Screen:
    def __init__(self, *, colour: bool = False):
        self.time = 0.0
        self.text = ""
        self.lines = Lines(self.write, now=lambda: self.time, colour=colour)

    def write(self, text):
        self.text += text

    @property
    def said(self):
        """What stands there, without times."""
        return [" ".join(line.split()[2:]) for line in self.text.splitlines()]


def test_a_line_says_when_who_and_what():
    screen = Screen()
    screen.time = 12.34

    screen.lines.say("user", "what time is it")

    assert screen.text == "  12.3 s  user        what time is it\n"


def test_words_appear_as_they_come():
    screen = Screen()

    answer = screen.lines.begin("assistant")
    screen.lines.extend(answer, "One, ")
    first = screen.text
    screen.lines.extend(answer, "two.")
    screen.lines.finish(answer)

    assert first.endswith("assistant   One, ")
    assert screen.said == ["assistant One, two."]


def test_a_late_transcript_stands_above_the_answer_to_it():
    screen = Screen()

    question = screen.lines.begin("user", patience=3)
    answer = screen.lines.begin("assistant")
    screen.lines.extend(answer, "Half past")
    before = screen.text
    screen.time = 1.0
    screen.lines.finish(question, "what time is it")
    screen.lines.extend(answer, " two.")
    screen.lines.finish(answer)

    assert before == ""
    assert screen.said == ["user what time is it", "assistant Half past two."]


def test_nobody_waits_longer_than_their_patience():
    """Words that come after that get a line of their own, and are not lost."""
    screen = Screen()

    question = screen.lines.begin("user", patience=3)
    screen.lines.say("assistant", "Half past two.")
    screen.time = 3.0
    screen.lines.refresh()
    screen.lines.finish(question, "what time is it")

    assert screen.said == [
        "user (no words yet)",
        "assistant Half past two.",
        "user what time is it (said at 0.0 s)",
    ]


def test_nobody_who_has_no_words_yet_is_kept_waiting():
    """A slow transcript is only left behind for the sake of an answer."""
    screen = Screen()

    question = screen.lines.begin("user", patience=3)
    screen.lines.begin("assistant")
    screen.time = 10.0
    screen.lines.refresh()
    screen.lines.finish(question, "what time is it")

    assert screen.said == ["user what time is it"]


def test_a_line_without_words_is_not_shown():
    screen = Screen()

    screen.lines.finish(screen.lines.begin("assistant"))
    screen.lines.say("user", "hello")

    assert screen.said == ["user hello"]


def test_the_end_shows_what_was_waited_for():
    screen = Screen()
    screen.lines.begin("user", patience=3)
    answer = screen.lines.begin("assistant")
    screen.lines.extend(answer, "One, two")
    screen.lines.say("interrupted", "heard 0.4 s")

    screen.lines.flush()

    assert screen.said == ["assistant One, two", "interrupted heard 0.4 s"]


def test_a_models_words_cannot_move_the_cursor():
    screen = Screen()

    screen.lines.say("assistant", "a\x1b[2Jb\r\nc")

    assert screen.said == ["assistant a [2Jb c"]


@given(ends=st.permutations(range(6)))
def test_lines_stand_in_the_order_in_which_they_began(ends):
    screen = Screen()
    lines = [screen.lines.begin("user") for _ in ends]

    for end in ends:
        screen.lines.extend(lines[end], f"line {end}")
        screen.lines.finish(lines[end])

    assert [f"user line {number}" for number in range(6)] == screen.said


def test_colours_are_around_the_words_not_in_them():
    screen = Screen(colour=True)

    screen.lines.say("user", "hello")

    assert "\x1b[36m" in screen.text
    assert screen.text.endswith("hello\n")


@pytest.mark.parametrize(("environ", "wanted"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(environ, wanted):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert wants_colour(Terminal(), environ) is wanted
    assert wants_colour(io.StringIO(), environ) is False


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (None, "  usage          input 10 tokens (3 text, 7 audio), output 5 tokens"),
        (80, "  usage          input 10 tokens (3 text, 7 audio), output 5 tokens"),
        (45, "  usage          input 10 tokens (3 text, 7\n                 audio), output 5 tokens"),
        (20, "  usage          input 10 tokens (3 text, 7 audio), output 5 tokens"),  # nothing would be left
    ],
)
def test_long_lines_are_folded_between_words(width, text):
    assert folded("  usage          input 10 tokens (3 text, 7 audio), output 5 tokens", width, 17) == text


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False), ("unknown", False), (None, True)])
def test_a_dumb_terminal_cannot_be_drawn_on(term, drawn):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    environ = {"TERM": term} if term else {}
    assert can_be_drawn_on(Terminal(), environ) is drawn
    assert can_be_drawn_on(io.StringIO(), environ) is False
