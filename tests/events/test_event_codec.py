"""The codec's promises, one by one, with the examples that a reader would ask for."""

import copy
import json
import math
import pickle

import pytest

from realtime_trio import events
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError
from realtime_trio.events import UNSET, decode, decode_client, encode
from realtime_trio.events.repair import outline, repair_surrogates

DELTA = {
    "type": "response.output_audio.delta",
    "event_id": "e",
    "response_id": "r",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
    "delta": "AAEC",
}


def item_added(item):
    return decode(json.dumps({"type": "conversation.item.added", "event_id": "e", "item": item}))


def test_audio_is_bytes_here_and_base64_there():
    event = decode(json.dumps(DELTA))

    assert event.delta == b"\x00\x01\x02"
    assert json.loads(encode(event)) == DELTA


def test_absent_and_null_are_two_things():
    """A merge would switch off with null and leave alone what is absent."""
    off = events.SessionUpdate(
        session=events.RealtimeSession(audio=events.SessionAudio(input=events.AudioInput(turn_detection=None)))
    )
    assert json.loads(encode(off))["session"]["audio"]["input"] == {"turn_detection": None}
    assert decode_client(encode(off)).session.audio.input.turn_detection is None

    alone = events.SessionUpdate(session=events.RealtimeSession(audio=events.SessionAudio(input=events.AudioInput())))
    assert json.loads(encode(alone))["session"]["audio"]["input"] == {}
    assert decode_client(encode(alone)).session.audio.input.turn_detection is UNSET


def test_an_unknown_enumeration_value_is_kept():
    event = decode('{"type":"response.done","event_id":"e","response":{"status":"paused"}}')

    assert event.response.status == "paused"


def test_an_unknown_item_and_an_unknown_part_are_data():
    event = item_added({"type": "hologram", "id": "i", "size": 3})
    assert event.item == events.UnknownItem(type="hologram", data={"type": "hologram", "id": "i", "size": 3})
    assert event.item.id == "i"
    assert event.notes == ()

    event = item_added({"type": "message", "role": "user", "content": [{"type": "smell"}, {"type": "input_text"}]})
    assert event.item.content == [events.UnknownPart(type="smell", data={"type": "smell"}), events.InputText()]


@pytest.mark.parametrize(
    ("session", "path"),
    [
        ({"tools": [{"type": "web_search"}]}, lambda session: session.tools[0]),
        ({"tool_choice": {"type": "web_search"}}, lambda session: session.tool_choice),
        ({"truncation": {"type": "web_search"}}, lambda session: session.truncation),
        ({"audio": {"input": {"turn_detection": {"type": "web_search"}}}}, lambda s: s.audio.input.turn_detection),
    ],
)
def test_unknown_configuration_does_not_cost_the_session(session, path):
    text = json.dumps({"type": "session.created", "event_id": "e", "session": {"type": "realtime"} | session})

    event = decode(text)

    assert isinstance(path(event.session), events.UnknownTool | events.UnknownShape)
    assert json.loads(encode(event)) == json.loads(text)


def test_one_odd_item_does_not_cost_the_response():
    """From a server, an item that does not fit its type is data, and a note says why."""
    odd = {"type": "function_call", "name": 7, "arguments": "{}"}
    good = {"type": "message", "role": "assistant", "content": []}
    text = json.dumps({"type": "response.done", "event_id": "e", "response": {"output": [odd, good]}})

    event = decode(text)

    assert event.response.output == [
        events.UnknownItem(type="function_call", data=odd),
        events.Message(role="assistant", content=[]),
    ]
    assert event.notes == ("kept as data: response.output[0].name: Expected `str`, got `int`",)
    assert json.loads(encode(event)) == json.loads(text)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"session": {}}, "session.type", "missing_required_parameter"),
        ({"session": {"type": "holographic"}}, "session.type", "invalid_value"),
        ({"session": {"type": 7}}, "session.type", "invalid_type"),
        ({"session": {"type": "realtime", "tools": [{"type": "mcp"}]}}, "session.tools[0].server_label", None),
        ({"session": {"type": "realtime", "instructions": 7}}, "session.instructions", "invalid_type"),
        ({"session": []}, "session", "invalid_type"),
        ({"event_id": 7}, "event_id", "invalid_type"),
        ({"session": {"type": "realtime", "max_output_tokens": True}}, "session.max_output_tokens", "invalid_type"),
    ],
)
def test_a_client_is_told_what_is_wrong(change, param, code):
    """Which parameter, and by which of the server's codes."""
    event = decode_client(json.dumps({"type": "session.update", "event_id": "e"} | change))

    assert isinstance(event, events.MalformedEvent)
    assert (event.param, event.code) == (param, code or "missing_required_parameter")
    assert event.type == "session.update"
    assert event.event_id == ("e" if "event_id" not in change else UNSET)
    assert event.problem.startswith(param + ": ")


def test_a_malformed_event_keeps_its_text():
    text = json.dumps(DELTA | {"delta": "not base64"})

    event = decode(text)

    assert isinstance(event, events.MalformedEvent)
    assert (event.json, event.param, event.code) == (text, "delta", "invalid_value")
    assert encode(event) == text


def test_a_missing_event_id_is_forgiven():
    """Some servers send none."""
    for text in (json.dumps({"type": "session.closed"}), json.dumps({"type": "session.closed", "event_id": None})):
        assert decode(text) == events.SessionClosed(event_id="", notes=("event_id missing",))


def test_dtmf_has_no_event_id():
    event = decode('{"type":"input_audio_buffer.dtmf_event_received","event":"5","received_at":1}')

    assert event == events.InputAudioBufferDtmfEventReceived(event="5", received_at=1)


def test_a_translation_update_has_no_type_in_its_session():
    event = events.SessionUpdate(
        session=events.TranslationSession(audio=events.SessionAudio(output=events.AudioOutput(language="fr")))
    )
    text = encode(event)

    assert json.loads(text) == {"type": "session.update", "session": {"audio": {"output": {"language": "fr"}}}}
    assert decode_client(text, kind="translation") == event


def test_an_event_of_another_kind_of_session_is_unknown():
    assert isinstance(decode_client('{"type":"session.close"}'), events.UnknownEvent)
    assert decode_client('{"type":"session.close"}', kind="translation") == events.SessionClose()
    assert isinstance(decode_client('{"type":"session.closed","event_id":"e"}'), events.UnknownEvent)


@pytest.mark.parametrize(
    "text",
    ["", "null", "7", "[]", '"a"', "{}", '{"type":null}', '{"type":7}', '{"type":{}}', "{", '{"type":"error"',
     b"\xff{}", '{"type":"a"}{"type":"a"}', '{"type":"a","b":NaN}', '{"type":"error","b":Infinity}', "[" * 10_000,
     '{"a":' * 10_000, '{"type":7,"a":' + "[" * 10_000 + "]" * 10_000 + "}"],
    ids=lambda text: text[:14],
)  # fmt: skip
def test_what_is_not_an_event_is_one_error(text):
    for read in (decode, decode_client):
        with pytest.raises(RemoteProtocolError):
            read(text)


@pytest.mark.parametrize("nothing", [None, 5, {"type": "error"}])
def test_what_is_not_even_a_message_is_a_mistake_of_the_program(nothing):
    for read in (decode, decode_client):
        with pytest.raises(TypeError, match=f"one message, str or bytes, not from {type(nothing).__name__}"):
            read(nothing)


def test_a_kind_that_there_is_not_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match="kind='foo' is none of 'realtime', 'transcription', 'translation'"):
        decode_client('{"type": "response.cancel"}', kind="foo")


def test_the_last_of_duplicate_keys_counts():
    assert decode('{"type":"error","event_id":"a","type":"session.closed","event_id":"b"}') == events.SessionClosed(
        event_id="b"
    )


def test_a_byte_order_mark_is_taken_off():
    for text in ("\ufeff" + json.dumps(DELTA), b"\xef\xbb\xbf" + json.dumps(DELTA).encode()):
        event = decode(text)
        assert event.delta == b"\x00\x01\x02"
        assert event.notes == ("byte order mark removed",)


def test_no_peer_can_fill_what_has_no_place_on_the_wire():
    """Fields that look like ours are unknown fields like any other."""
    sent = DELTA | {"$$extra": {"delta": "AAAA"}, "$$notes": ["all is well"]}

    event = decode(json.dumps(sent))

    assert event.notes == ()
    assert event.extra == {"$$extra": {"delta": "AAAA"}, "$$notes": ["all is well"]}
    assert json.loads(encode(event)) == sent
    item = {"type": "$$item", "$$type": "message", "$$data": {}}
    assert item_added(item).item == events.UnknownItem(type="$$item", data=item)


def test_an_extra_field_never_replaces_a_known_one():
    event = events.ResponseCancel(response_id="r", extra={"response_id": "other", "type": "error", "later": 1})

    assert json.loads(encode(event)) == {"type": "response.cancel", "response_id": "r", "later": 1}


@pytest.mark.parametrize("bad", ["\ud800", "a\udfffb", math.nan, math.inf, -math.inf, object(), {1j: 1}, UNSET])
def test_what_cannot_be_written_is_refused(bad):
    """Also deep in a free object, where the encoder alone would write null for NaN."""
    tool = events.FunctionTool(name="f", parameters={"a": [{"b": bad}]})
    with pytest.raises(LocalProtocolError):
        encode(events.SessionUpdate(session=events.RealtimeSession(tools=[tool])))
    with pytest.raises(LocalProtocolError):
        encode(events.UnknownEvent(type="x", data={"type": "x", "a": bad}))
    with pytest.raises(LocalProtocolError):
        encode(events.SessionClose(extra={"a": bad}))


def test_what_is_not_finite_in_a_field_is_refused():
    for number in (math.nan, math.inf):
        with pytest.raises(LocalProtocolError):
            encode(
                events.SessionUpdate(
                    session=events.RealtimeSession(audio=events.SessionAudio(output=events.AudioOutput(speed=number)))
                )
            )


def test_what_goes_round_in_circles_is_refused():
    circle: dict = {}
    circle["self"] = circle
    with pytest.raises(LocalProtocolError):
        encode(events.UnknownEvent(type="x", data=circle))
    with pytest.raises(LocalProtocolError):
        encode(
            events.ResponseCreate(response=events.ResponseCreateParams(tools=[events.FunctionTool(parameters=circle)]))
        )


def test_only_events_are_written():
    for thing in (events.user_message("hi"), {"type": "session.close"}, None):
        with pytest.raises(LocalProtocolError):
            encode(thing)
    with pytest.raises(LocalProtocolError):
        encode(events.MalformedEvent(type="x", json="\ud800", problem=""))


def test_null_in_a_text_is_only_text():
    event = events.ConversationItemCreate(item=events.user_message('null "$$extra"'))

    assert decode_client(encode(event)) == event


def test_ready_made_items():
    assert events.user_message("a", id="i") == events.Message(role="user", content=[events.InputText(text="a")], id="i")
    assert events.system_message("a").role == "system"
    assert events.assistant_message("a").content == [events.OutputText(text="a")]
    assert events.function_call_output("c", "{}", id="i") == events.FunctionCallOutput(call_id="c", output="{}", id="i")


def test_events_are_values():
    """Frozen, compared by content, and they can be copied and pickled."""
    event = decode(json.dumps(DELTA | {"later": 1}))

    assert copy.deepcopy(event) == event == pickle.loads(pickle.dumps(event))  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        event.delta = b""


def test_a_part_without_type_is_guessed_by_its_message():
    """`type` is optional in the schemas of parts and function tools."""
    parts = [{"text": "a"}, {"transcript": "a"}, {"image_url": "data:"}]
    event = item_added({"content": parts, "type": "message", "role": "user"})
    assert [part.type for part in event.item.content] == ["input_text", "input_audio", "input_image"]
    assert event.notes == tuple(f"type missing, taken as {part.type}" for part in event.item.content)

    event = item_added({"content": parts[:2], "type": "message", "role": "assistant"})
    assert [part.type for part in event.item.content] == ["output_text", "output_audio"]

    for sent, taken in (({"text": ""}, "text"), ({"audio": "", "transcript": ""}, "audio")):
        text = json.dumps(DELTA | {"type": "response.content_part.added", "part": sent})
        assert decode(text).part.type == taken


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (r'"\ud83d\ude00"', r'"\ud83d\ude00"'),
        (r'"\ud83d"', r'"\ufffd"'),
        (r'"\ude00\ud83d"', r'"\ufffd\ufffd"'),
        (r'"\ud83dx\ude00"', r'"\ufffdx\ufffd"'),
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
        (r'"\n\u00e9\ud7ff"', r'"\n\u00e9\ud7ff"'),
        ("\ud83d", "\ufffd"),
        ("é😀", "é😀"),
    ],
)
def test_lone_surrogates(text, repaired):
    """Only halves left alone are replaced, and a backslash that is escaped itself begins nothing."""
    assert repair_surrogates(text) == repaired


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"type":"a","b":{"type":"c"},"d":["type","e"],"f":7}', {"type": "a"}),
        (r' { "ty\u0070e" : "a\"}" } ', {"type": 'a"}'}),
        ('{"type":"a","type":"b"}', {"type": "b"}),
        ("{}", {}),
        ("", None),
        ("[]", None),
        ("{]", None),
        ('{"a', None),
        ("{}{}", None),
        ('{"a":[}', None),
        ("}", None),
    ],
)
def test_outline(text, members):
    """What is nested is passed over; brackets must match."""
    assert outline(text) == members


@pytest.mark.parametrize("rest", ["[" * 2**20, '"' + "a" * 2**20, "[" * 2**18 + "nonsense}"])
def test_a_long_outline_is_not_read_to_its_end(rest):
    """It is gone through one by one: a message of 60 MiB would keep a session busy for half a minute."""
    assert outline('{"type":"a","b":"c","d":' + rest) == {"type": "a", "b": "c"}
