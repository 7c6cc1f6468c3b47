"""The screen as it looks, to the letter: a picture is worth a thousand assertions."""

import io

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from realtime_trio.demo.link_words import LOST as LOST_WORDS
from realtime_trio.demo.screen import ScreenView
from realtime_trio.demo.view_state import Entry, ViewState
from realtime_trio.device import EchoState

COUNTED = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve."

SPEAKING = ViewState(
    server="offline stand-in (rules, not the real model)",
    elapsed_s=83,
    phase="speaking",
    assistant_speaks=True,
    microphone="held back",
    microphone_dbfs=-43.5,
    speaker_dbfs=-18,
    queued_ms=7300,
    echo=EchoState("pywebrtc-audio", 34.2, True, 64.0),
    hints=("what time is it", "what is the weather in Paris", "count to twenty"),
    entries=(
        Entry(6.4, "user", "what is the weather in paris"),
        Entry(6.8, "tool", 'get_weather({"city": "Paris"}) -> {"celsius":16.8,"sky":"light rain"}'),
        Entry(6.8, "assistant", "It is 16.8 degrees Celsius in Paris, sky light rain."),
        Entry(13.5, "user", "count to twelve"),
        Entry(13.7, "assistant", COUNTED, heard=len("One, two, three, four, five,"), cut=True),
        Entry(16.3, "interrupted", "the user spoke; heard 2.63 s of 5.31 s generated"),
        Entry(16.3, "user", ""),
        Entry(81.4, "assistant", "12 times 3 is 36.", heard=8),
    ),
)
LOST = attrs.evolve(
    SPEAKING,
    phase="device lost",
    assistant_speaks=False,
    microphone="lost",
    queued_ms=0,
    notice="the device 'USB Audio' is gone: plug it in again, or make another one the default",
    echo=EchoState("half duplex"),
    push_to_talk=True,
)


def console(width, height, *, encoding="utf-8", **options):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="", write_through=True)
    return Console(
        file=file, width=width, height=height, record=True, legacy_windows=False,
        **{"force_terminal": False, "color_system": None, **options},
    )  # fmt: skip


def drawn(state, width, height, **options):
    """Draw a screen as text, without spaces at the ends of lines."""
    screen = console(width, height, **options)
    screen.print(ScreenView(state), height=height, end="")
    return "\n".join(line.rstrip() for line in screen.export_text().split("\n"))


WIDE = """\
 speaking                                                                                                           1:23
mic     ████████▊······················· -44 dB  held back
speaker ██████████████████████▍········· -18 dB  assistant +7.3 s
echo    34 dB taken out, 64 ms away; pywebrtc-audio
── offline stand-in (rules, not the real model) ────────────────────────────────────────────────────────────────────────
  6.4 s  user        what is the weather in paris
  6.8 s  tool        get_weather({"city": "Paris"}) -> {"celsius":16.8,"sky":"light rain"}
  6.8 s  assistant   It is 16.8 degrees Celsius in Paris, sky light rain.
 13.5 s  user        count to twelve
 13.7 s  assistant   One, two, three, four, five, // six, seven, eight, nine, ten, eleven, twelve.
 16.3 s  interrupted the user spoke; heard 2.63 s of 5.31 s generated
 16.3 s  user        ...
 81.4 s  assistant   12 times 3 is 36.
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
try saying: what time is it, what is the weather in Paris, count to twenty
m mute   i interrupt   q quit
"""

USUAL = """\
 speaking                                                                   1:23
mic     ████████▊······················· -44 dB  held back
speaker ██████████████████████▍········· -18 dB  assistant +7.3 s
echo    34 dB taken out, 64 ms away; pywebrtc-audio
── offline stand-in (rules, not the real model) ────────────────────────────────
  6.4 s  user        what is the weather in paris
  6.8 s  tool        get_weather({"city": "Paris"}) ->
                     {"celsius":16.8,"sky":"light rain"}
  6.8 s  assistant   It is 16.8 degrees Celsius in Paris, sky light rain.
 13.5 s  user        count to twelve
 13.7 s  assistant   One, two, three, four, five, // six, seven, eight, nine,
                     ten, eleven, twelve.
 16.3 s  interrupted the user spoke; heard 2.63 s of 5.31 s generated
 16.3 s  user        ...
 81.4 s  assistant   12 times 3 is 36.
────────────────────────────────────────────────────────────────────────────────
try saying: what time is it, what is the weather in Paris, count to twenty
m mute   i interrupt   q quit
"""

NARROW = """\
 speaking                           1:23
mic     ██▎····· -44  held back
speaker █████▋·· -18  assistant +7.3 s
echo    34 dB taken out, 64 ms away
── offline stand-in (rules, not the rea…
user: what is the weather in paris
tool: get_weather({"city": "Paris"})
  -> {"celsius":16.8,"sky":"light rain"}
assistant: It is 16.8 degrees Celsius
  in Paris, sky light rain.
user: count to twelve
assistant: One, two, three, four,
  five, // six, seven, eight, nine, ten,
  eleven, twelve.
interrupted: the user spoke; heard
  2.63 s of 5.31 s generated
user: ...
assistant: 12 times 3 is 36.

────────────────────────────────────────
try saying: what time is it
m mute i interrupt q quit
"""

USUAL_LOST = """\
 device lost                                                                1:23
mic     ████████▊······················· -44 dB  gone
speaker ██████████████████████▍········· -18 dB
echo    half duplex: the microphone is closed while the assistant speaks
the device 'USB Audio' is gone: plug it in again, or make another one the
default
── offline stand-in (rules, not the real model) ────────────────────────────────
 13.7 s  assistant   One, two, three, four, five, // six, seven, eight, nine,
                     ten, eleven, twelve.
 16.3 s  interrupted the user spoke; heard 2.63 s of 5.31 s generated
 16.3 s  user        ...
 81.4 s  assistant   12 times 3 is 36.
────────────────────────────────────────────────────────────────────────────────
try saying: what time is it, what is the weather in Paris, count to twenty
a terminal knows no key-up: press space to talk, again when you are done
space talk / done   m mute   i interrupt   q quit
"""


def test_without_a_connection_the_screen_says_so():
    state = attrs.evolve(SPEAKING, phase="disconnected", entries=(Entry(83.0, "link", LOST_WORDS),))

    screen = drawn(state, 80, 12).splitlines()

    assert screen[0].startswith(" no connection: trying again ")
    assert " 83.0 s  link        connection lost, trying again..." in screen


@pytest.mark.parametrize(
    ("state", "width", "screen"),
    [(SPEAKING, 120, WIDE), (SPEAKING, 80, USUAL), (SPEAKING, 40, NARROW), (LOST, 80, USUAL_LOST)],
    ids=["wide", "usual", "narrow", "device lost"],
)
def test_the_screen_looks_like_this(state, width, screen):
    assert drawn(state, width, screen.count("\n")) + "\n" == screen


@given(
    st.sampled_from([SPEAKING, LOST, ViewState(server="")]),
    st.integers(1, 200),
    st.integers(1, 60),
    st.lists(
        st.builds(
            Entry,
            st.floats(0, 4000),
            st.sampled_from(["user", "assistant", "somebody unheard of"]),
            st.text(st.characters(categories=["L", "P", "Zs"]), max_size=200),
            heard=st.none() | st.integers(0, 300),
            cut=st.booleans(),
        ),
        max_size=10,
    ),
)
def test_every_screen_fits(state, width, height, entries):
    """Whatever is said, in whatever script: exactly as many lines as there are, none of them too long."""
    screen = console(width, height)
    options = screen.options.update(width=width, height=height)

    lines = screen.render_lines(ScreenView(attrs.evolve(state, entries=tuple(entries))), options, pad=False)

    assert len(lines) == height
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)


def test_what_happened_last_is_what_is_seen():
    entries = tuple(Entry(float(number), "user", f"number {number}") for number in range(100))

    shown = drawn(attrs.evolve(SPEAKING, entries=entries), 80, 20)

    assert "number 99" in shown
    assert "number 80" not in shown


def test_a_terminal_that_knows_ascii_only_gets_ascii_only():
    shown = drawn(SPEAKING, 80, 20, encoding="ascii", force_terminal=True)

    assert shown.isascii()
    assert "mic     #########......................." in shown


def styles_of(words, state):
    """Tell in which styles some words are drawn."""
    screen = console(120, 20, color_system="truecolor", force_terminal=True)
    segments = screen.render(ScreenView(state), screen.options.update(height=20))
    return {str(segment.style) for segment in segments if words in segment.text}


def test_what_nobody_heard_is_struck_and_what_is_still_to_be_heard_is_dim():
    assert styles_of("One, two,", SPEAKING) == {"none"}
    assert styles_of("six, seven", SPEAKING) == {"dim strike"}
    assert styles_of("12 times", SPEAKING) == {"none"}
    assert styles_of("3 is 36.", SPEAKING) == {"dim"}


def test_words_that_nobody_heard_at_all_are_all_struck():
    entry = Entry(1.0, "assistant", " Good morning!", heard=0, cut=True)

    assert "assistant    // Good morning!" in drawn(attrs.evolve(SPEAKING, entries=(entry,)), 80, 20)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user_speaks": True}, "you speak"),
        ({"microphone": "muted"}, "muted (m opens)"),
        ({"microphone": "closed"}, "closed"),
        ({"microphone": "open", "user_speaks": False}, "-44 dB\n"),
        ({"phase": "paused"}, "paused: was that meant?"),
        ({"push_to_talk": True}, "space talk / done"),
        ({"echo": None}, "not cancelled"),
    ],
)
def test_words_beside_the_meters(changes, words):
    assert words in drawn(attrs.evolve(SPEAKING, **changes), 80, 20)
