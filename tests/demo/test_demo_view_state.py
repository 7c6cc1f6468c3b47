"""What the screen shows is a value, and follows from what is going on by rules that can be read."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.demo.view_state import Board, Entry, Meter, echo_words, phase_of
from realtime_trio.device import EchoState

NOTHING = {
    "lost": False,
    "disconnected": False,
    "paused": False,
    "user_speaks": False,
    "assistant_speaks": False,
    "expected": False,
    "muted": False,
    "closed": False,
    "since_cut": math.inf,
}


@pytest.mark.parametrize(
    ("what", "phase"),
    [
        ({}, "listening"),
        ({"expected": True}, "thinking"),
        ({"expected": True, "user_speaks": True}, "listening"),
        ({"expected": True, "assistant_speaks": True}, "speaking"),
        ({"closed": True}, "ready"),
        ({"closed": True, "expected": True}, "thinking"),
        ({"closed": True, "muted": True}, "muted"),
        ({"muted": True}, "muted"),
        ({"muted": True, "assistant_speaks": True}, "speaking"),
        ({"muted": True, "expected": True}, "thinking"),
        ({"since_cut": 0.5, "user_speaks": True}, "interrupted"),
        ({"since_cut": 5.0, "user_speaks": True}, "listening"),
        ({"since_cut": 0.5, "assistant_speaks": True}, "speaking"),
        ({"paused": True, "user_speaks": True}, "paused"),
        ({"lost": True, "assistant_speaks": True, "paused": True}, "device lost"),
        ({"disconnected": True, "assistant_speaks": True, "muted": True}, "disconnected"),
        ({"disconnected": True, "lost": True}, "device lost"),
    ],
)
def test_one_word_says_what_is_going_on(what, phase):
    assert phase_of(**{**NOTHING, **what}) == phase


def test_a_meter_rises_at_once_and_falls_slowly():
    meter = Meter()

    assert meter.feed(-20.3, 0.1) == -21
    assert meter.feed(-math.inf, 0.1) == pytest.approx(-24, abs=1.5)
    assert meter.feed(-math.inf, 0.1) == pytest.approx(-28, abs=1.5)
    assert meter.feed(-math.inf, 10) == -math.inf


@given(st.lists(st.tuples(st.floats(-200, 20) | st.just(-math.inf), st.floats(0, 1))))
def test_a_meter_shows_what_a_bar_can(levels):
    meter = Meter()
    for level, seconds in levels:
        shown = meter.feed(level, seconds)

        assert shown == -math.inf or -60 <= shown <= 0
        assert shown >= min(round(level / 1.5) * 1.5, 0) if level > -60 else True


@pytest.mark.parametrize(
    ("echo", "words", "brief"),
    [
        (None, "not cancelled", "not cancelled"),
        (EchoState("pywebrtc-audio"), "nothing played yet; pywebrtc-audio", "nothing played yet"),
        (EchoState("livekit", 31.6, True, 64.2), "32 dB taken out, 64 ms away; livekit", "32 dB taken out, 64 ms away"),
        (EchoState("livekit", 31.6, True), "32 dB taken out; livekit", "32 dB taken out"),
        (EchoState("livekit", -7.0, None), "looking for it; livekit", "looking for it"),
        (EchoState("livekit", 0.0, False), "none (headphones); livekit", "none (headphones)"),
        (
            EchoState("half duplex"),
            "half duplex: the microphone is closed while the assistant speaks",
            "half duplex",
        ),
    ],
)
def test_the_echo_in_words(echo, words, brief):
    assert echo_words(echo) == words
    assert echo_words(echo, brief=True) == brief


def board() -> Board:
    times = itertools.count()
    return Board(lambda: float(next(times)))


def test_lines_stand_where_they_were_begun():
    shown = board()

    question = shown.begin("user")
    answer = shown.begin("assistant")
    shown.extend(answer, "Half ")
    shown.extend(answer, "past two.")
    before = shown.entries()
    shown.finish(question, "what time is it")
    shown.finish(answer)

    assert before == (Entry(0, "user", ""), Entry(1, "assistant", "Half past two."))
    assert shown.entries() == (Entry(0, "user", "what time is it"), Entry(1, "assistant", "Half past two."))


def test_late_words_replace_what_stands_there():
    shown = board()
    line = shown.begin("user")
    shown.finish(line)
    shown.finish(line, "after all")

    assert [entry.words for entry in shown.entries()] == ["after all"]


def test_nothing_is_added_to_what_is_over_and_nothing_moves_the_cursor():
    shown = board()
    shown.say("tool", "a\x1b[2J\nb")
    line = shown.begin("assistant")
    shown.extend(line, "One,\r")
    shown.finish(line)
    shown.extend(line, "two")

    assert [entry.words for entry in shown.entries()] == ["a [2J b", "One, "]


def test_the_last_entries_are_what_a_screen_needs():
    shown = board()
    for number in range(300):
        shown.say("user", str(number))

    assert [entry.words for entry in shown.entries(2)] == ["298", "299"]
    assert len(shown.entries()) == 200


def test_a_line_without_a_word_is_left_out_when_it_is_over():
    shown = board()
    shown.begin("assistant")
    assert len(shown.entries()) == 1

    shown.flush()
    assert shown.entries() == ()
