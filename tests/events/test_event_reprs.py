"""A repr shows neither audio nor credentials, and stays short."""

import base64
import json

from realtime_trio import events
from realtime_trio.events import decode

PCM = bytes(range(256)) * 40
BASE64 = base64.b64encode(PCM).decode()


def test_audio_is_shown_by_its_size():
    assert repr(events.InputAudioBufferAppend(audio=PCM)) == "InputAudioBufferAppend(audio=<10240 bytes>)"
    part = events.InputAudio(audio=PCM, transcript="hello")
    assert repr(part) == "InputAudio(audio=<10240 bytes>, transcript='hello')"


def test_audio_that_was_not_understood_is_not_shown_either():
    """Unknown and malformed events and items may hold base64 under any name."""
    texts = [
        {"type": "response.audio.delta", "event_id": "e", "delta": BASE64},
        {"type": "response.output_audio.delta", "event_id": "e", "delta": BASE64},
        {"type": "session.closed", "event_id": "e", "sound": [{"deep": BASE64}]},
        {"type": "conversation.item.added", "event_id": "e", "item": {"type": "sound", "data": BASE64}},
        {"type": "conversation.item.added", "event_id": "e", "item": {"type": "message", "role": 1, "a": BASE64}},
    ]
    for text in texts:
        shown = repr(decode(json.dumps(text)))
        assert BASE64[:16] not in shown
        assert "characters>" in shown
        assert len(shown) < 300


def test_short_malformed_audio_is_not_shown():
    """Not even a few samples of it."""
    text = json.dumps({"type": "response.output_audio.delta", "event_id": "e", "delta": "QUJDREVG"})

    assert "QUJDREVG" not in repr(decode(text))


def test_what_is_not_known_is_shown_in_short_whatever_its_form():
    """Sound may come as a list of numbers too, and anything may be a key."""
    for strange in ([0.5] * 480, {"deep": [[1] * 480]}, {BASE64: 1}, [BASE64[:150]] * 3):
        shown = repr(decode(json.dumps({"type": "later", "event_id": "e", "strange": strange})))
        assert len(shown) < 200
        assert BASE64[:16] not in shown
        assert "0.5, 0.5" not in shown
    assert "[1, 2]" in repr(decode('{"type": "later", "few": [1, 2]}'))


def test_credentials_are_not_shown():
    tool = events.McpTool(server_label="m", authorization="tok_very_secret", headers={"X": "tok_very_secret"})
    assert repr(tool) == "McpTool(server_label='m', authorization=<hidden>, headers=<hidden>)"

    data = {
        "type": "later",
        "authorization": "tok_very_secret",
        "note": "key sk-abcdefgh",
        "headers": {"a": "tok_very"},
    }
    shown = repr(events.UnknownTool(type="later", data=data))
    assert "tok_very" not in shown
    assert "abcdefgh" not in shown


def test_credentials_in_the_words_of_an_error_are_not_shown_and_the_value_stays():
    words = "Incorrect API key provided: sk-abcdefgh"
    problems = [
        events.ErrorDetails(type="t", message=words),
        events.ResponseError(message=words),
        events.TranscriptionError(message=words),
        events.McpProtocolError(code=1, message=words),
    ]
    for problem in problems:
        assert "message='Incorrect API key provided: [redacted]'" in repr(problem)
        assert problem.message == words
    malformed = decode('{"type":"error","event_id":"e","error":"sk-abcdefgh"}')
    assert "abcdefgh" not in repr(malformed)
    assert "abcdefgh" in malformed.json


def test_absent_fields_are_left_out_and_null_is_not():
    assert repr(events.ResponseCancel()) == "ResponseCancel()"
    assert repr(events.ResponseCancel(response_id=None, extra={"a": "b"})) == (
        "ResponseCancel(response_id=None, extra={'a': 'b'})"
    )
    assert repr(events.PCM16) == "AudioFormat(type='audio/pcm', rate=24000)"
    assert repr(events.Message(role="user", content=[])) == "Message(role='user', content=[])"
