"""The session's configuration, the strictness of the server, and the error table, without I/O."""

import json
from typing import Any

import pytest

from realtime_trio.server import guesses
from realtime_trio.server.outbox import Close


def test_the_first_event_is_the_session_with_its_defaults(bench):
    assert ["session.created"] == [event["type"] for event in bench.log]
    session = bench.session
    assert "realtime" == session["type"]
    assert "realtime.session" == session["object"]
    assert 1_700_003_600 == session["expires_at"]
    assert ["audio"] == session["output_modalities"]
    assert {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    } == session["audio"]["input"]["turn_detection"]


def test_an_update_merges_by_presence(bench):
    bench.update(instructions="Be brief.", tools=[{"type": "function", "name": "f", "parameters": {}}])
    session = bench.update(audio={"output": {"speed": 1.2}})
    assert "Be brief." == session["instructions"]
    assert ["f"] == [tool["name"] for tool in session["tools"]]
    assert 1.2 == session["audio"]["output"]["speed"]
    assert bench.session["audio"]["output"]["voice"] == session["audio"]["output"]["voice"]


def test_empty_values_and_null_clear(bench):
    bench.update(instructions="x", tools=[{"name": "f"}], audio={"input": {"transcription": {"model": "whisper-1"}}})
    session = bench.update(instructions="", tools=[], audio={"input": {"transcription": None, "turn_detection": None}})
    assert "" == session["instructions"]
    assert [] == session["tools"]
    assert session["audio"]["input"]["transcription"] is None
    assert session["audio"]["input"]["turn_detection"] is None


def test_turn_detection_of_the_same_type_merges_and_another_starts_afresh(bench):
    bench.update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.8}}})
    session = bench.update(audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}})
    assert 0.8 == session["audio"]["input"]["turn_detection"]["threshold"]
    session = bench.update(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}})
    assert {"type": "semantic_vad", "eagerness": "high", "create_response": True, "interrupt_response": True} == (
        session["audio"]["input"]["turn_detection"]
    )
    assert guesses.SEMANTIC_PAUSE_MS == bench.detector.settings["silence_duration_ms"]


def test_noise_reduction_keeps_a_strength_that_is_not_named(bench):
    bench.update(audio={"input": {"noise_reduction": {"type": "near_field", "strength": 0.5}}})
    session = bench.update(audio={"input": {"noise_reduction": {"type": "far_field"}}})
    assert {"type": "far_field", "strength": 0.5} == session["audio"]["input"]["noise_reduction"]
    session = bench.update(audio={"input": {"noise_reduction": None}})
    assert session["audio"]["input"]["noise_reduction"] is None


def test_the_detector_gets_the_settings(bench):
    bench.update(
        audio={
            "input": {
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.7,
                    "prefix_padding_ms": 100,
                    "silence_duration_ms": 200,
                }
            }
        }
    )
    assert {"threshold": 0.7, "prefix_padding_ms": 100, "silence_duration_ms": 200} == bench.detector.settings


def test_a_refused_update_changes_nothing(bench):
    error = bench.error(
        "session.update", event_id="mine", session={"type": "realtime", "instructions": "new", "voice": "alloy"}
    )
    assert ("unknown_parameter", "session.voice", "mine") == (error["code"], error["param"], error["event_id"])
    assert bench.session["instructions"] == bench.update()["instructions"]


def test_the_voice_is_locked_by_the_first_sound(bench):
    assert "alloy" == bench.update(audio={"output": {"voice": "alloy"}})["audio"]["output"]["voice"]
    response = bench.respond()
    bench.protocol.response_audio(response, bytes(480), bench.now)
    bench.protocol.response_finished(response, bench.now)
    bench.take()
    error = bench.error(
        "session.update", session={"type": "realtime", "audio": {"output": {"voice": "echo"}}, "instructions": "new"}
    )
    assert "cannot_update_voice" == error["code"]
    assert (
        "cannot_update_voice"
        == bench.error("response.create", response={"audio": {"output": {"voice": "echo"}}})["code"]
    )
    assert "new" != bench.update(audio={"output": {"voice": "alloy"}})["instructions"]


def test_speed_waits_for_the_end_of_a_response(bench):
    response = bench.respond()
    fast = {"type": "realtime", "audio": {"output": {"speed": 1.5}}}
    assert guesses.LOCKED_PARAMETER_CODE == bench.error("session.update", session=fast)["code"]
    bench.protocol.response_finished(response, bench.now)
    bench.take()
    assert 1.5 == bench.update(audio={"output": {"speed": 1.5}})["audio"]["output"]["speed"]


def test_the_model_stays_and_may_be_named_again(bench):
    assert bench.session["model"] == bench.update(model=bench.session["model"])["model"]
    error = bench.error("session.update", session={"type": "realtime", "model": "another"})
    assert "session.model" == error["param"]


def test_tracing_stays_once_it_is_on(bench):
    bench.update(tracing="auto")
    assert "session.tracing" == bench.error("session.update", session={"type": "realtime", "tracing": None})["param"]


SESSION = {"type": "realtime"}
MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "scooby.dooby.doo"}, "invalid_value", "type"),
        ({"no": "type"}, "invalid_event", None),
        ({"type": 5}, "invalid_type", "type"),
        ([], "invalid_event", None),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
        ({"type": "session.update", "session": {"type": "other"}}, "invalid_value", "session.type"),
        ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_value", "session.type"),
        (
            {"type": "session.update", "session": {**SESSION, "temperature": 1}},
            "unknown_parameter",
            "session.temperature",
        ),
        ({"type": "session.update", "session": {**SESSION, "instructions": 5}}, "invalid_type", "session.instructions"),
        (
            {"type": "session.update", "session": {**SESSION, "output_modalities": ["text", "audio"]}},
            "invalid_value",
            "session.output_modalities",
        ),
        (
            {"type": "session.update", "session": {**SESSION, "audio": {"input": {"format": "pcm16"}}}},
            "invalid_type",
            "session.audio.input.format",
        ),
        (
            {
                "type": "session.update",
                "session": {**SESSION, "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            },
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    **SESSION,
                    "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": None}}},
                },
            },
            "invalid_type",
            "session.audio.input.turn_detection.create_response",
        ),
        (
            {"type": "session.update", "session": {**SESSION, "audio": {"output": {"speed": 2}}}},
            "decimal_above_max_value",
            "session.audio.output.speed",
        ),
        (
            {"type": "session.update", "session": {**SESSION, "max_output_tokens": 5000}},
            "integer_above_max_value",
            "session.max_output_tokens",
        ),
        (
            {"type": "session.update", "session": {**SESSION, "tools": [{"type": "mcp"}]}},
            "missing_required_parameter",
            "session.tools[0].server_label",
        ),
        (
            {"type": "session.update", "session": {**SESSION, "tool_choice": {"type": "function", "name": "f"}}},
            "invalid_value",
            "session.tool_choice.name",
        ),
        ({"type": "input_audio_buffer.append", "audio": "not base64!"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
        ({"type": "conversation.item.create", "item": {"type": "message"}}, "missing_required_parameter", "item.role"),
        (
            {
                "type": "conversation.item.create",
                "item": {**MESSAGE, "content": [{"type": "output_text", "text": "x"}]},
            },
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": ""}]},
            },
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {"type": "conversation.item.create", "item": {**MESSAGE, "id": "x" * 33}},
            "string_above_max_length",
            "item.id",
        ),
        (
            {"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "nobody"},
            guesses.UNKNOWN_PREVIOUS_ITEM_CODE,
            "previous_item_id",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "c", "output": ""},
            },
            guesses.UNKNOWN_CALL_CODE,
            "item.call_id",
        ),
        ({"type": "conversation.item.retrieve", "item_id": "nobody"}, "item_retrieve_invalid_item_id", "item_id"),
        ({"type": "conversation.item.delete", "item_id": "nobody"}, "item_delete_invalid_item_id", "item_id"),
        (
            {"type": "conversation.item.truncate", "item_id": "nobody", "content_index": 0, "audio_end_ms": 0},
            guesses.TRUNCATE_UNKNOWN_CODE,
            "item_id",
        ),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
        (
            {"type": "response.create", "response": {"metadata": {"k": "v" * 513}}},
            "string_above_max_length",
            "response.metadata.k",
        ),
        (
            {"type": "response.create", "response": {"metadata": {str(n): "" for n in range(17)}}},
            "invalid_value",
            "response.metadata",
        ),
        (
            {"type": "response.create", "response": {"input": [{"type": "item_reference", "id": "nobody"}]}},
            guesses.UNKNOWN_REFERENCE_CODE,
            "response.input[0].id",
        ),
        ({"type": "output_audio_buffer.clear"}, guesses.WRONG_TRANSPORT_CODE, "type"),
    ],
)
def test_the_error_table(bench, event: Any, code: str, param: str | None):
    named = {**event, "event_id": "mine"} if isinstance(event, dict) else event
    bench.protocol.receive(json.dumps(named), bench.now)
    (answer,) = bench.take()
    assert "error" == answer["type"]
    assert (code, param) == (answer["error"]["code"], answer["error"]["param"])
    assert "invalid_request_error" == answer["error"]["type"]
    echoed = isinstance(event, dict) and code != "item_delete_invalid_item_id"
    assert ("mine" if echoed else None) == answer["error"]["event_id"]
    assert bench.update()["instructions"] == bench.session["instructions"]


@pytest.mark.parametrize("message", ["", "{", "nonsense", b"\0\1", '"\\ud800"', '{"type": "\ud800"}', "[" * 5000])
def test_what_is_no_event_is_an_error_event(bench, message):
    bench.protocol.receive(message, bench.now)
    (answer,) = bench.take()
    assert "invalid_event" == answer["error"]["code"]


def test_tools_that_could_not_be_told_back_are_refused(bench):
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    for parameters in (deep, {"maximum": 2**70}):
        tools = [{"name": "f", "parameters": parameters}]
        assert "invalid_value" == bench.error("session.update", session={**SESSION, "tools": tools})["code"]


def test_a_session_ends_after_its_hour(bench):
    assert bench.now + guesses.SESSION_SECONDS == bench.protocol.deadline
    bench.protocol.tick(bench.protocol.deadline)
    (answer,) = bench.take()
    assert "session_expired" == answer["error"]["code"]
    assert [1001] == [effect.code for effect in bench.of_kind(Close)]
    assert [] == bench.send("response.create")


def test_a_transcription_session_writes_down_and_answers_nobody(make_bench):
    bench = make_bench("transcription")
    assert "realtime.transcription_session" == bench.session["object"]
    assert "output" not in bench.session["audio"]
    bench.update(audio={"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}})
    assert "type" == bench.error("response.create")["param"]
    bench.append(500)
    sent = bench.send("input_audio_buffer.commit")
    assert ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"] == [
        event["type"] for event in sent
    ]


def detection(**fields: Any) -> dict[str, Any]:
    return {**SESSION, "audio": {"input": {"turn_detection": fields}}}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("threshold", -0.1, "decimal_below_min_value"),
        ("threshold", 1.5, "decimal_above_max_value"),
        ("threshold", 2, "decimal_above_max_value"),
        ("threshold", "0.5", "invalid_type"),
        ("threshold", None, "invalid_type"),
        ("prefix_padding_ms", -1, "integer_below_min_value"),
        ("prefix_padding_ms", 10.5, "invalid_type"),
        ("prefix_padding_ms", True, "invalid_type"),
        ("silence_duration_ms", -1, "integer_below_min_value"),
        ("silence_duration_ms", 10**6, "integer_above_max_value"),
        ("idle_timeout_ms", 4999, "integer_below_min_value"),
        ("idle_timeout_ms", 30001, "integer_above_max_value"),
        ("idle_timeout_ms", 6000.5, "invalid_type"),
        ("idle_timeout_ms", "6000", "invalid_type"),
        ("eagerness", "high", "unknown_parameter"),
        ("create_response", "yes", "invalid_type"),
    ],
)
def test_odd_values_of_server_vad_are_refused_and_change_nothing(bench, name: str, value: Any, code: str):
    before = bench.update()
    error = bench.error("session.update", session=detection(type="server_vad", **{name: value}))
    path = f"session.audio.input.turn_detection.{name}"
    assert (code, path) == (error["code"], error["param"])
    assert f"'{path}'" in error["message"]
    assert before == bench.update()


def test_a_number_out_of_range_is_told_with_its_bound(bench):
    error = bench.error("session.update", session=detection(type="server_vad", idle_timeout_ms=100))
    expected = (
        "Invalid 'session.audio.input.turn_detection.idle_timeout_ms': integer below minimum value. "
        "Expected a value >= 5000, but got 100 instead."
    )
    assert expected == error["message"]


@pytest.mark.parametrize("value", [5000, 30000, None])
def test_idle_timeout_takes_its_whole_range(bench, value):
    session = bench.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": value}}})
    assert value == session["audio"]["input"]["turn_detection"]["idle_timeout_ms"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        *[
            (name, 500, "unknown_parameter")
            for name in ("threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms")
        ],
        ("eagerness", "hasty", "invalid_value"),
        ("eagerness", None, "invalid_type"),
    ],
)
def test_semantic_vad_has_eagerness_and_no_more(bench, name: str, value: Any, code: str):
    error = bench.error("session.update", session=detection(type="semantic_vad", **{name: value}))
    assert (code, f"session.audio.input.turn_detection.{name}") == (error["code"], error["param"])


@pytest.mark.parametrize(
    ("value", "code", "param"),
    [
        ("near_field", "invalid_type", ""),
        ({"type": "mid_field"}, "invalid_value", ".type"),
        ({"type": None}, "invalid_type", ".type"),
        ({"type": "near_field", "strength": -0.5}, "decimal_below_min_value", ".strength"),
        ({"type": "near_field", "strength": "much"}, "invalid_type", ".strength"),
        ({"type": "near_field", "gain": 1}, "unknown_parameter", ".gain"),
    ],
)
def test_odd_noise_options_are_refused(bench, value: Any, code: str, param: str):
    error = bench.error("session.update", session={**SESSION, "audio": {"input": {"noise_reduction": value}}})
    assert (code, f"session.audio.input.noise_reduction{param}") == (error["code"], error["param"])


def test_the_betas_name_of_noise_reduction_is_unknown(bench):
    beta = {**SESSION, "input_audio_noise_reduction": {"type": "near_field"}}
    error = bench.error("session.update", session=beta)
    assert ("unknown_parameter", "session.input_audio_noise_reduction") == (error["code"], error["param"])
