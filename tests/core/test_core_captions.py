"""Which words were heard: whole words from the beginning, never fewer, exact at both ends, and about right between."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.captions import PACE, Captions

TEXT = "Toronto? It is fifteen degrees there, with light rain and a gentle wind from the lake. Take an umbrella."
LONG = " ".join([TEXT] * 4)


def arrive(events, **settings):
    """Note what came, in order: words as text, sound as milliseconds."""
    captions, text = Captions(**settings), ""
    for event in events:
        if isinstance(event, str):
            captions.note_words(len(text))
            text += event
        else:
            captions.note_sound(event)
    return captions, text


def words(text):
    return [word + " " for word in text.split(" ")[:-1]] + [text.rsplit(" ", maxsplit=1)[-1]]


def spoken(text, pace, stretch=lambda ms: ms):
    """Give the time at which each word begins for a speaker who takes so long for each sign, and the end of all."""
    begins, at = [], 0
    for word in words(text):
        begins.append(stretch(at * pace))
        at += len(word)
    return begins, stretch(at * pace)


def deliver(text, begins, end, *, lead=0.0, chunk=200.0):
    """Give words and chunks of sound as a server does that has its words so far ahead of their sound."""
    events, told, at = [], 0, 0.0
    while at < end:
        while told < len(begins) and begins[told] - lead < at + chunk:
            events.append(words(text)[told])
            told += 1
        events.append(min(chunk, end - at))
        at += chunk
    return events + words(text)[told:]


def errors(text, begins, end, events, *, whole=True):
    """Compare the number of words with the truth, all through the sound."""
    captions, got = arrive(events)
    assert got == text
    found = []
    for ms in range(1, int(end), 50):
        heard = captions.heard(text, ms, whole=whole)
        found.append(len(heard.split()) - sum(following <= ms for following in [*begins[1:], end]))
    return found


def test_nothing_heard_is_no_word():
    """However many words have come."""
    captions, text = arrive([TEXT, 1000.0])

    assert captions.heard(text, 0, whole=False) == ""
    assert captions.heard(text, 0, whole=True) == ""
    assert arrive([TEXT])[0].heard(TEXT, 0, whole=True) == ""


def test_all_heard_of_a_whole_part_is_every_word():
    """To the last sign, whatever the words would have taken; positions come in whole milliseconds."""
    captions, text = arrive([TEXT + " ", 300.7])

    assert captions.heard(text, 300, whole=True) == TEXT + " "


def test_all_heard_of_a_part_that_was_cut_off_is_not_every_word():
    """The transcript may have been generated ahead of the sound: what never became sound was not heard."""
    captions, text = arrive([TEXT, 1000.0])
    heard = captions.heard(text, 1000, whole=False)

    assert heard.startswith("Toronto?")
    assert len(heard) < 25


def test_words_are_heard_whole():
    """A word counts once all of it was heard."""
    captions, text = arrive(["Incomprehensibilities", 2000.0])

    assert captions.heard(text, 1000, whole=True) == ""
    assert captions.heard(text, 1990, whole=True) == "Incomprehensibilities"


def test_pauses_at_punctuation_take_time():
    """After a full stop nothing is said for a while."""
    captions, text = arrive(["Well. Abcd", 1000.0])
    times = [len(captions.heard(text, ms, whole=True)) for ms in range(1000)]

    assert times.count(5) > times.count(0)


@pytest.mark.parametrize(("lead", "most"), [(0.0, 3), (1000.0, 4), (4000.0, 6), (-700.0, 4)])
def test_a_constant_lead_of_the_words_does_not_mislead(lead, most):
    """Nor a lag. What counts is how the two run together, not which is first."""
    # a speaker who takes his time in the first half of it
    begins, end = spoken(LONG, 60.0, stretch=lambda ms: ms * 1.4 if ms < 12_000 else 12_000 * 1.4 + (ms - 12_000) * 0.8)
    even = errors(LONG, begins, end, [LONG, end])
    found = errors(LONG, begins, end, deliver(LONG, begins, end, lead=lead))

    assert max(map(abs, even)) == 11
    assert max(map(abs, found)) <= most


def test_words_generated_faster_than_their_sound_do_not_mislead():
    """They run away from it at a steady rate; the speaker's pace shows all the same."""
    begins, end = spoken(LONG, 60.0)
    events, told, at = [], 0, 0.0
    while at < end:
        while told < len(begins) and begins[told] / 3 < at + 200:
            events.append(words(LONG)[told])
            told += 1
        events.append(min(200.0, end - at))
        at += 200
    found = errors(LONG, begins, end, events)

    assert max(map(abs, found)) <= 2


@pytest.mark.parametrize("order", ["before", "behind", "in the middle"])
def test_words_all_at_once_are_spread_over_the_sound(order):
    """With nothing to go by but how long words are."""
    begins, end = spoken(LONG, 60.0)
    sound = [200.0] * int(end // 200) + [end % 200]
    at = {"before": 0, "behind": len(sound), "in the middle": len(sound) // 2}[order]
    found = errors(LONG, begins, end, [*sound[:at], LONG, *sound[at:]])

    assert max(map(abs, found)) <= 3


def test_lumps_out_of_step_with_the_sound_are_not_believed():
    """No speaker says ten words in no time: an even pace is likelier."""
    begins, end = spoken(LONG, 60.0)
    every = words(LONG)
    sound = [200.0] * int(end // 200)
    lumps = ["".join(every[:5]), *sound[:5], "".join(every[5:50]), *sound[5:90], "".join(every[50:55]), *sound[90:95]]
    found = errors(LONG, begins, end, [*lumps, "".join(every[55:]), *sound[95:], end % 200])

    assert max(map(abs, found)) <= 6


def test_the_usual_pace_counts_while_a_part_is_generated():
    """A slow speaker has said less by then."""
    slow, text = arrive([LONG, 5000.0], usual_pace=1.5 * PACE)
    usual, _ = arrive([LONG, 5000.0])

    assert 0 < len(slow.heard(text, 4000, whole=False)) < len(usual.heard(text, 4000, whole=False))


def test_the_pace_of_a_whole_part_is_learnt_unless_no_speaker_is_like_that():
    """A short part says little, and a part with half a minute of silence says something wrong."""
    assert arrive(["Yes.", 500.0])[0].pace("Yes.") is None
    assert arrive([TEXT, 60_000.0])[0].pace(TEXT) is None
    assert arrive([5000.0])[0].pace("") is None
    assert arrive([TEXT, 8000.0])[0].pace(TEXT) == pytest.approx(74, abs=8)


def test_scripts_without_spaces_are_heard_sign_by_sign():
    """Each sign of Chinese or Japanese may be the last that was heard."""
    text = "今天天气很好。我们去公园吧。"
    captions, _ = arrive([text, 3000.0])
    heard = {ms: captions.heard(text, ms, whole=True) for ms in range(0, 3000, 10)}

    assert len(set(heard.values())) >= 12
    assert heard[1500] in ("今天天气很", "今天天气很好", "今天天气很好。")


DELTAS = st.lists(
    st.one_of(
        st.text(alphabet="ab7 .,?\n今é", min_size=1, max_size=12), st.floats(0.1, 3000), st.sampled_from([TEXT, " on"])
    ),
    max_size=25,
)


@given(events=DELTAS, heard=st.lists(st.floats(0, 40_000), min_size=1, max_size=6), whole=st.booleans())
def test_it_is_a_prefix_of_whole_words_and_grows_with_time(events, heard, whole):
    """Whatever came, in whatever order."""
    captions, text = arrive(events)
    before = ""
    for ms in sorted(heard):
        now = captions.heard(text, ms, whole=whole)

        assert text.startswith(now)
        assert now.startswith(before)
        assert len(now) == len(text) or not now or not now[-1].isspace()
        rest = text[len(now) :]
        assert not rest or rest[0].isspace() or not now or not (now[-1].isascii() and rest[0].isascii())
        before = now
    assert captions.heard(text, 0, whole=whole) == before  # what was told is not taken back


@given(events=DELTAS, heard=st.floats(0, 10_000))
def test_further_deltas_take_no_word_back(events, heard):
    """Also when they show that the speaker was slower than it seemed."""
    captions, text, before = Captions(), "", ""
    for event in events:
        if isinstance(event, str):
            captions.note_words(len(text))
            text += event
        else:
            captions.note_sound(event)
        now = captions.heard(text, min(heard, captions.received_ms), whole=False)

        assert text.startswith(now)
        assert now.startswith(before)
        before = now


@given(events=DELTAS)
def test_both_ends_are_exact(events):
    """Nothing at the beginning, everything at the end."""
    captions, text = arrive(events)

    assert captions.heard(text, 0, whole=True) == ""
    if captions.received_ms:
        assert captions.heard(text, captions.received_ms, whole=True) == text


@pytest.mark.slow
def test_noting_a_delta_costs_next_to_nothing():
    """A response of ten minutes is three thousand deltas of each kind."""
    best = float("inf")
    for _ in range(5):
        captions = Captions()
        begin = time.process_time()
        for n in range(3000):
            captions.note_words(n * 6)
            captions.note_sound(200)
        best = min(best, time.process_time() - begin)

    assert best / 6000 < 10e-6


def test_a_long_text_is_worked_out_once():
    """A screen may ask ten times a second."""
    text = LONG * 10
    captions, _ = arrive([*words(text), 240_000.0])
    captions.heard(text, 1000, whole=True)
    plan = captions._plan
    captions.heard(text, 2000, whole=True)

    assert captions._plan is plan


PIECES = st.lists(
    st.one_of(
        st.text('ab1 .,!"\n\u4f60\u597d\u3002\u3001\u00e9\u0301\uff21\u2003', min_size=1, max_size=4),
        st.floats(0, 400),
    ),
    max_size=30,
)


@given(PIECES, st.text("ab1 .\u4f60\u3002", max_size=12), st.booleans(), st.data())
def test_what_was_weighed_before_changes_nothing(pieces, ending, is_changed, data):
    """Asked with each piece, it says what it says to who asks once; also where the text is another in the end."""
    captions, text, coming = Captions(), "", []
    for piece in [*pieces, ending]:
        if isinstance(piece, str):
            captions.note_words(len(text))
            is_last = len(coming) == len(pieces)
            text = text[: len(text) // 2] + piece if is_changed and is_last else text + piece
        else:
            captions.note_sound(piece)
        coming.append((piece, len(text)))
        fresh, noted = Captions(), 0
        for one, length in coming:
            if isinstance(one, str):
                fresh.note_words(noted)
                noted = length
            else:
                fresh.note_sound(one)
        place = data.draw(st.integers(0, len(text)))
        assert captions.end_of(text, place) == fresh.end_of(text, place)
        assert captions.pace(text) == fresh.pace(text)


def test_what_was_heard_stays_when_it_is_forgotten_how_that_was_known():
    captions, text = arrive(deliver(TEXT, *spoken(TEXT, 60)))
    heard = captions.heard(text, 2_000, whole=False)
    pace = captions.pace(text)
    captions.close(text)
    captions.note_words(len(text))

    assert "" < heard < text
    assert captions.heard(text, 1, whole=False) == heard
    assert captions.heard(text, 3_000, whole=False) == heard
    assert captions.pace(text) == pace
    assert len(captions._at) == 0
    assert captions.heard(text, captions.received_ms, whole=True) == text
