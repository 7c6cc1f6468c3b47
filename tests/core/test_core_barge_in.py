"""Doubt about an interruption: every way to its verdict, and none changes it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.barge_in import Doubt, is_backchannel
from realtime_trio.core.detection import Detection


def doubt(*, transcribed=False, measured=True, **fields) -> Doubt:
    """A doubt under server VAD, or another turn detection."""
    detection = Detection(transcribes=transcribed, **fields)
    return Doubt("item_u", begun_at=10.0, start_ms=5000, detection=detection, measured=measured)


def test_loud_for_long_is_real_before_the_end():
    one = doubt()
    for _ in range(20):
        one.loud(20)
    assert one.verdict is None
    one.loud(20)
    assert one.verdict == "real"
    assert one.deadline == math.inf


def test_still_going_on_after_the_silence_is_real():
    one = doubt(silence_ms=500, most_silence_ms=500)
    assert one.deadline == pytest.approx(10.9)
    one.pass_time(10.89)
    assert one.verdict is None
    one.pass_time(10.9)
    assert one.verdict == "real"


@pytest.mark.parametrize(("voiced_ms", "verdict"), [(100, "noise"), (400, "noise"), (401, "real"), (3000, "real")])
def test_without_transcription_its_length_decides(voiced_ms, verdict):
    """Padding and silence are no speech."""
    one = doubt(silence_ms=500, padding_ms=300)
    one.ended(5000 + 300 + voiced_ms + 500, 10.7)
    assert one.verdict == verdict


@pytest.mark.parametrize(
    ("words", "verdict"),
    [("", "noise"), ("Uh-huh.", "noise"), ("Yeah, I see.", "noise"), ("Stop!", "real"), ("No.", "real")],
)
def test_a_short_word_is_judged_by_what_it_is(words, verdict):
    one = doubt(transcribed=True)
    one.ended(6000, 10.7)
    assert one.verdict is None
    one.heard(words, complete=True)
    assert one.verdict == verdict


def test_a_piece_of_a_transcript_may_be_enough():
    """A word that is not over yet is not judged: "o" may become "ok" or "on second thoughts"."""
    one = doubt(transcribed=True)
    one.heard("o", complete=False)
    assert one.verdict is None
    one.heard("k but ", complete=False)
    assert one.verdict == "real"


def test_no_transcript_in_time_is_noise():
    one = doubt(transcribed=True)
    one.ended(6000, 11.0)
    one.pass_time(12.4)
    assert one.verdict is None
    one.pass_time(12.5)
    assert one.verdict == "noise"


def test_a_failed_transcription_leaves_its_length():
    one = doubt(transcribed=True)
    one.ended(6000, 11.0)
    one.failed()
    assert one.verdict == "noise"


@pytest.mark.parametrize(
    ("transcribed", "measured", "verdict"), [(False, True, "noise"), (False, False, "real"), (True, False, None)]
)
def test_semantic_vad_says_nothing_of_the_length(transcribed, measured, verdict):
    """It may have waited for seconds; the microphone knows, else the words, else it is taken for real."""
    one = doubt(transcribed=transcribed, measured=measured, silence_ms=None, most_silence_ms=8000)
    one.pass_time(12.0)
    assert one.verdict is None
    one.ended(5000 + 300 + 250 + 6000, 16.5)
    assert one.verdict == verdict
    assert one.deadline > 17


@pytest.mark.parametrize("words", ["mhm", "Mm-hmm.", "Right, right.", "...", "OK", "yes, I know"])
def test_backchannels(words):
    assert is_backchannel(words)


@pytest.mark.parametrize("words", ["wait", "yes but", "no", "what time is it", "okay stop", "はい"])
def test_what_is_no_backchannel(words):
    assert not is_backchannel(words)


_STEPS = st.one_of(
    st.tuples(st.just("loud"), st.floats(0, 100)),
    st.tuples(st.just("ended"), st.integers(5000, 9000)),
    st.tuples(st.just("heard"), st.sampled_from(["uh", "stop now", ""])),
    st.tuples(st.just("failed"), st.none()),
)


@given(st.lists(_STEPS, max_size=30), st.booleans())
def test_it_is_always_decided_once_and_in_time(steps, transcribed):
    one = doubt(transcribed=transcribed)
    now, verdicts = 10.0, []
    for name, value in steps:
        now += 0.05
        match name:
            case "loud":
                one.loud(value)
            case "ended":
                one.ended(value, now)
            case "heard":
                one.heard(value, complete=False)
            case _:
                one.failed()
        one.pass_time(now)
        verdicts.append(one.verdict)
    decided = [verdict for verdict in verdicts if verdict]
    assert len(set(decided)) <= 1
    assert verdicts[len(verdicts) - len(decided) :] == decided  # once it is decided it stays
    one.pass_time(now + 2)
    assert one.verdict in ("real", "noise")
