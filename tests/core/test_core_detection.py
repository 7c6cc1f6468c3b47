"""What a configuration says about turns, and what one that leaves it out does not change."""

import pytest

from realtime_trio.core.detection import Detection
from realtime_trio.events import (
    UNSET,
    AudioInput,
    AudioTranscription,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionAudio,
    TranscriptionSession,
)


def session(detection=UNSET, transcription=UNSET) -> RealtimeSession:
    return RealtimeSession(audio=SessionAudio(input=AudioInput(turn_detection=detection, transcription=transcription)))


@pytest.mark.parametrize(
    ("detection", "wanted"),
    [
        (ServerVad(), Detection()),
        (
            ServerVad(silence_duration_ms=200, prefix_padding_ms=0),
            Detection(silence_ms=200, most_silence_ms=200, padding_ms=0),
        ),
        (ServerVad(create_response=False), Detection(creates=False)),
        (SemanticVad(interrupt_response=False), Detection(interrupts=False, silence_ms=None, most_silence_ms=4000)),
        (SemanticVad(eagerness="low"), Detection(silence_ms=None, most_silence_ms=8000)),
        (None, Detection(is_on=False, creates=False, interrupts=False, silence_ms=None, most_silence_ms=4000)),
    ],
)
def test_what_is_said_counts(detection, wanted):
    assert Detection().after(session(detection)) == wanted


def test_what_is_left_out_stays():
    known = Detection().after(session(ServerVad(silence_duration_ms=200), AudioTranscription(model="whisper-1")))
    assert known.transcribes
    for partial in (RealtimeSession(), RealtimeSession(audio=SessionAudio()), session()):
        assert known.after(partial) is known or known.after(partial) == known
    assert not known.after(session(transcription=None)).transcribes


def test_a_session_that_is_not_realtime_never_answers():
    assert not Detection().after(TranscriptionSession()).creates
