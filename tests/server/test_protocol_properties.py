"""Whatever a client, a brain and a recogniser do, in whatever order: the protocol's promises hold."""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_trio import events
from realtime_trio.server import Failed, Incomplete, Misbehaviour, SpeechStarted, SpeechStopped, ToolCall, Transcript
from realtime_trio.server.outbox import (
    CallTool,
    ListTools,
    Overhear,
    Recognise,
    StartResponse,
    StopCall,
    StopResponse,
    TellLater,
)
from realtime_trio.server.shapes import CLIENT_EVENTS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
IDS = st.sampled_from(["root", "item_4", "item_5", "item_11", "resp_4", "resp_9", "mine", "nobody"])
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_audio"])},
    optional={"text": st.text(max_size=5), "audio": st.just(base64.b64encode(bytes(4800)).decode()), "x": JSON},
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "function_call_output", "item_reference"])},
    optional={
        "id": IDS,
        "role": st.sampled_from(["user", "system", "assistant"]),
        "content": st.lists(PART, max_size=2),
        "call_id": IDS,
        "name": st.text(max_size=3),
        "arguments": st.text(max_size=3),
        "output": st.text(max_size=3),
    },
)
GOOD_ITEM = st.builds(
    lambda text: {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
    st.text(max_size=5),
)
MCP_TOOL = st.fixed_dictionaries(
    {"type": st.just("mcp"), "server_label": st.sampled_from(["a", "b"])},
    optional={
        "server_url": st.sampled_from(["https://a", "https://b"]),
        "require_approval": st.sampled_from(["always", "never", {"never": {"tool_names": ["look"]}}]),
        "allowed_tools": st.sampled_from([["look"], ["nothing"], {"read_only": True}]),
    },
)
RESPONSE = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["auto", "none"]),
        "output_modalities": st.sampled_from([["text"], ["audio"]]),
        "max_output_tokens": st.sampled_from([1, 5, "inf"]),
        "tools": st.lists(MCP_TOOL, max_size=2),
        "metadata": st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        "input": st.lists(ITEM | GOOD_ITEM, max_size=2),
        "x": JSON,
    },
)
SESSION = st.fixed_dictionaries(
    {"type": st.sampled_from(["realtime", "realtime", "transcription"])},
    optional={
        "instructions": st.text(max_size=5),
        "output_modalities": st.sampled_from([["text"], ["audio"], []]),
        "tools": st.lists(
            st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"parameters": JSON}) | MCP_TOOL, max_size=2
        ),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "format": st.sampled_from([{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}]),
                        "noise_reduction": st.sampled_from([None, {"type": "near_field"}, {"strength": 0.5}]),
                        "transcription": st.sampled_from([None, {"model": "whisper-1"}, {}]),
                        "turn_detection": st.sampled_from(
                            [
                                None,
                                {"type": "server_vad"},
                                {"type": "server_vad", "idle_timeout_ms": 5000, "interrupt_response": False},
                                {"type": "semantic_vad", "create_response": False},
                                {"type": "semantic_vad", "eagerness": "high"},
                            ]
                        ),
                    },
                ),
                "output": st.fixed_dictionaries(
                    {}, optional={"voice": st.sampled_from(["alloy", "echo", {"id": "v"}])}
                ),
            },
        ),
    },
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.text(max_size=5) | JSON,
        "session": SESSION,
        "item": GOOD_ITEM | ITEM,
        "item_id": IDS,
        "previous_item_id": IDS,
        "response_id": IDS,
        "response": RESPONSE,
        "content_index": st.integers(-1, 1),
        "audio_end_ms": st.integers(-1, 1000),
        "audio": st.integers(0, 9601).map(lambda size: base64.b64encode(bytes(size)).decode()),
        "x": JSON,
    },
)


@st.composite
def client_event(draw: Any) -> Any:
    """Draw an event that is nearly right: the fields that its type has, now and then a few others."""
    kind = draw(st.sampled_from(list(CLIENT_EVENTS)))
    fields = {
        "session.update": {"session": SESSION},
        "input_audio_buffer.append": {"audio": st.just(base64.b64encode(bytes(9600)).decode())},
        "conversation.item.create": {"item": GOOD_ITEM | ITEM},
        "conversation.item.retrieve": {"item_id": IDS},
        "conversation.item.delete": {"item_id": IDS},
        "conversation.item.truncate": {
            "item_id": IDS,
            "content_index": st.just(0),
            "audio_end_ms": st.integers(0, 300),
        },
        "response.create": {"response": RESPONSE},
    }.get(kind, {})
    event = {"type": kind, **draw(st.fixed_dictionaries(fields))}
    return {**event, **draw(FIELDS)} if draw(st.integers(0, 3)) == 0 else event


STEP = st.one_of(
    st.tuples(st.just("client"), client_event()),
    st.tuples(st.just("client"), client_event()),
    st.tuples(st.just("raw"), JSON),
    st.tuples(st.just("speech"), st.booleans()),
    st.tuples(st.just("text"), st.text(max_size=5)),
    st.tuples(st.just("sound"), st.integers(0, 4800)),
    st.tuples(st.just("call"), st.text(max_size=3) | st.just("look")),
    st.tuples(st.just("end"), st.booleans()),
    st.tuples(st.just("bad end"), st.sampled_from([Failed(), Incomplete()])),
    st.tuples(st.just("said"), st.none()),
    st.tuples(st.just("mcp"), st.sampled_from([True, False])),
    st.tuples(st.just("listed"), st.booleans()),
    st.tuples(st.just("called"), st.sampled_from(["warm", events.McpHttpError(code=502, message="x")])),
    st.tuples(st.just("approve"), st.booleans()),
    st.tuples(st.just("heard"), st.none() | st.text(max_size=5)),
    st.tuples(st.just("overheard"), st.none() | st.sampled_from(["stop", "and", ""])),
    st.tuples(st.just("quiet"), st.sampled_from([100, 3000])),
    st.tuples(st.just("time"), st.sampled_from([0.1, 6.0, 5000.0])),
)


def check_promises(log: list[dict[str, Any]]) -> set[str]:
    """Check what holds over any session; return the responses in progress at its end."""
    open_default: str | None = None
    started: set[str] = set()
    ended: set[str] = set()
    added: set[str] = set()
    for event in log:
        kind = event["type"]
        if kind == "response.created":
            response = event["response"]
            assert response["id"] not in started
            started.add(response["id"])
            if response["conversation_id"] is not None:
                assert open_default is None
                open_default = response["id"]
        elif kind == "response.done":
            response = event["response"]
            assert response["id"] in started
            assert response["id"] not in ended
            ended.add(response["id"])
            assert all(item.get("status") != "in_progress" for item in response["output"])
            if open_default == response["id"]:
                open_default = None
        elif kind.startswith("response.") and "response_id" in event:  # the calls of MCP servers' tools have none
            assert event["response_id"] in started - ended
        elif kind == "conversation.item.added":
            assert event["item"]["id"] not in added
            added.add(event["item"]["id"])
        elif kind == "conversation.item.deleted":
            added.remove(event["item_id"])
    event_ids = [event["event_id"] for event in log]
    assert len(event_ids) == len(set(event_ids))
    return started - ended


def play(bench: Any, what: str, value: Any) -> None:
    """Do one step."""
    if what in {"client", "raw"}:
        bench.protocol.receive(json.dumps(value), bench.now)
    elif what in {"text", "sound", "call", "end", "bad end", "said"}:
        play_brain(bench, what, value)
    elif what in {"mcp", "listed", "called", "approve"}:
        play_mcp(bench, what, value)
    elif what in {"speech", "quiet", "heard", "overheard"}:
        play_user(bench, what, value)
    else:
        bench.now += value
        bench.protocol.tick(bench.now)


def play_brain(bench: Any, what: str, value: Any) -> None:
    """Let the newest response say something, or end."""
    protocol = bench.protocol
    responses = [effect.response_id for effect in bench.of_kind(StartResponse)]
    newest = responses[-1] if responses else "resp_0"
    if what == "text":
        begun = [effect for effect in bench.of_kind(StartResponse) if effect.response_id == newest]
        spoken = begun and begun[0].modality == "audio"
        (protocol.response_transcript if spoken else protocol.response_text)(newest, value, bench.now)
    elif what == "sound":
        protocol.response_audio(newest, bytes(2 * value), bench.now)
    elif what == "call":
        protocol.response_call(newest, ToolCall(value, {"a": value}), bench.now)
    elif what == "bad end":
        protocol.response_ended(newest, value, bench.now)
    elif what == "said":
        if not protocol.calling(newest):
            protocol.response_said(newest)
    else:
        protocol.response_finished(newest, bench.now) if value else protocol.response_failed(newest, "x", bench.now)


def play_mcp(bench: Any, what: str, value: Any) -> None:
    """Let the client name an MCP server or approve, or an MCP server answer."""
    protocol = bench.protocol
    if what == "mcp":
        tool = {"type": "mcp", "server_label": "a", "server_url": "https://a", "require_approval": "never"}
        tools = [{**tool, "require_approval": "always"} if value else tool]
        event = {"type": "session.update", "session": {"type": "realtime", "tools": tools}}
        protocol.receive(json.dumps(event), bench.now)
    elif what == "listed":
        look = events.McpToolDefinition(name="look", input_schema={})
        for effect in bench.of_kind(ListTools)[-1:]:
            protocol.tools_listed(effect.item_id, [look] if value else None)
    elif what == "called":
        for effect in bench.of_kind(CallTool)[-1:]:
            protocol.tool_called(effect.item_id, value)
    else:
        items = [event["item"] for event in bench.log if event["type"] == "conversation.item.done"]
        for request in [item for item in items if item["type"] == "mcp_approval_request"][-1:]:
            answer = {"id": f"ok {len(bench.log)}", "approval_request_id": request["id"], "approve": value}
            item = {"type": "mcp_approval_response", **answer}
            protocol.receive(json.dumps({"type": "conversation.item.create", "item": item}), bench.now)


def check_calls(bench: Any) -> None:
    """Check that each MCP call was begun once and ended once at most, and that none goes on that was cut off."""
    ends: dict[str, list[str]] = {}
    for event in bench.log:
        if event["type"].startswith("response.mcp_call."):
            ends.setdefault(event["item_id"], []).append(event["type"].rpartition(".")[2])
    assert all(steps in (["in_progress"], *FINISHED) for steps in ends.values())
    wanted = [effect.item_id for effect in bench.of_kind(CallTool)]
    assert len(wanted) == len(set(wanted))
    stopped = {effect.item_id for effect in bench.of_kind(StopCall)}
    assert stopped <= {item_id for item_id, steps in ends.items() if steps == ["in_progress"]}


FINISHED = (["in_progress", "completed"], ["in_progress", "failed"], ["failed"])


def play_user(bench: Any, what: str, value: Any) -> None:
    """Let the user speak or be quiet, or the recogniser answer."""
    transcript = Transcript(value) if isinstance(value, str) else None
    if what == "speech":
        event = SpeechStarted(bench.detector.position) if value else SpeechStopped(bench.detector.position)
        if value != bench.detector.speaking:
            bench.append(20, event)
    elif what == "quiet":
        bench.append(value)
    elif what == "heard":
        for effect in bench.of_kind(Recognise)[-1:]:
            bench.protocol.heard(effect.item_id, transcript)
    else:
        for effect in bench.of_kind(Overhear)[-1:]:
            bench.protocol.overheard(effect.pause, transcript, bench.now)


MANNERS = st.builds(
    Misbehaviour,
    mcp_reply=st.sampled_from([None, "new_response", "none"]),
    other_order=st.booleans(),
    rejected_creates=st.sets(st.integers(1, 3)),
    transcript_delay_s=st.sampled_from([0, 1]),
    transcript_after_answer=st.booleans(),
    failed_transcripts=st.sets(st.integers(1, 3)),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEP, max_size=25), st.just(Misbehaviour()) | MANNERS)
def test_the_promises_hold_whatever_happens(make_bench, steps, misbehaviour):
    bench = make_bench(misbehaviour=misbehaviour)
    for what, value in steps:
        play(bench, what, value)
        bench.take()
    in_progress = check_promises(bench.log)
    check_calls(bench)
    begun = {effect.response_id for effect in bench.of_kind(StartResponse)}
    stopped = {effect.response_id for effect in bench.of_kind(StopResponse)}
    assert in_progress == begun - stopped
    for response in in_progress:
        bench.protocol.response_ended(response, Failed(), bench.now)
    for effect in bench.of_kind(TellLater):
        bench.protocol.tell_transcript(effect.item_id)
    bench.take()
    assert set() == check_promises(bench.log)


CREATE = st.sampled_from([{}, {}, {"conversation": "none"}]).map(
    lambda response: ("client", {"type": "response.create", "response": {"output_modalities": ["text"], **response}})
)
CALLING = st.one_of(
    CREATE,
    st.tuples(st.just("call"), st.sampled_from(["look", "look", "function"])),
    st.tuples(st.just("call"), st.just("look")),
    st.tuples(st.just("called"), st.sampled_from(["warm", events.McpHttpError(code=502, message="x")])),
    st.tuples(st.just("approve"), st.booleans()),
    st.tuples(st.just("mcp"), st.booleans()),
    st.tuples(st.just("speech"), st.booleans()),
    st.tuples(st.just("end"), st.booleans()),
    st.just(("client", {"type": "response.cancel"})),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.booleans(), st.lists(CALLING, min_size=2, max_size=20), st.just(Misbehaviour()) | MANNERS)
def test_every_call_of_an_mcp_servers_tool_ends_once(make_bench, asks, steps, misbehaviour):
    bench = make_bench(misbehaviour=misbehaviour)
    for what, value in (("mcp", asks), ("listed", True), *steps):
        newest = [effect.response_id for effect in bench.of_kind(StartResponse)][-1:]
        if what in {"call", "end"} and newest and bench.protocol.calling(newest[0]):
            continue  # the driver waits
        play(bench, what, value)
        bench.take()
    check_promises(bench.log)
    check_calls(bench)
    for effect in bench.of_kind(CallTool):
        bench.protocol.tool_called(effect.item_id, "late")
    bench.take()
    check_calls(bench)
    steps_of = {event["item_id"] for event in bench.log if event["type"].endswith(("call.completed", "call.failed"))}
    stopped = {effect.item_id for effect in bench.of_kind(StopCall)}
    assert {effect.item_id for effect in bench.of_kind(CallTool)} <= steps_of | stopped
    assert steps_of.isdisjoint(stopped)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(CLIENT_EVENTS)), st.dictionaries(st.text(max_size=8), JSON, max_size=4), FIELDS)
def test_any_json_is_answered_with_valid_events(make_bench, kind, noise, fields):
    bench = make_bench()
    bench.protocol.receive(json.dumps({**noise, **fields, "type": kind}), bench.now)
    bench.take()


@pytest.mark.parametrize("text", ["\ud800", "\0", "x" * 1000])
def test_strange_ids_are_answered(bench, text):
    bench.protocol.receive(json.dumps({"type": "conversation.item.retrieve", "item_id": text}), bench.now)
    assert "error" == bench.take()[0]["type"]
