"""Responses: their events in order, cancelling, out-of-band ones, calls, limits and usage, without I/O."""

import base64
import json

import pytest

from realtime_trio.server import ToolCall
from realtime_trio.server.answers import MAXIMUM_RESPONSES
from realtime_trio.server.outbox import Recognise, StartResponse, StopResponse

ITEM = ["response.output_item.added", "conversation.item.added"]
ITEM_DONE = ["conversation.item.done", "response.output_item.done"]
END = ["response.done", "rate_limits.updated"]


def done(bench) -> dict:
    """Give the last `response.done`'s response."""
    return next(event["response"] for event in reversed(bench.log) if event["type"] == "response.done")


def test_a_text_response(bench, types_of):
    bench.say("hi")
    response = bench.respond(output_modalities=["text"], metadata={"mine": "1"})
    created = bench.log[-1]["response"]
    assert ("in_progress", [], {"mine": "1"}) == (created["status"], created["output"], created["metadata"])
    assert created["conversation_id"].startswith("conv_")
    for word in ("Hello ", "there"):
        assert bench.protocol.response_text(response, word, bench.now)
    bench.protocol.response_finished(response, bench.now)
    sent = bench.take()
    assert [
        *ITEM,
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        *ITEM_DONE,
        *END,
    ] == types_of(sent)
    assert [] == sent[0]["item"]["content"]
    assert {"type": "text", "text": ""} == sent[2]["part"]
    assert "Hello there" == sent[5]["text"] == sent[6]["part"]["text"]
    final = done(bench)
    assert ("completed", {"mine": "1"}) == (final["status"], final["metadata"])
    assert [{"type": "output_text", "text": "Hello there"}] == final["output"][0]["content"]
    assert [response] == [effect.response_id for effect in bench.of_kind(StopResponse)]


def test_an_audio_response(bench, types_of):
    response = bench.respond()
    bench.protocol.response_transcript(response, "Hello ", bench.now)
    bench.protocol.response_audio(response, bytes(9600), bench.now)
    bench.protocol.response_finished(response, bench.now)
    sent = bench.take()
    assert [
        *ITEM,
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        *ITEM_DONE,
        *END,
    ] == types_of(sent)
    assert {"type": "audio", "transcript": ""} == sent[2]["part"]
    assert {"type": "audio", "transcript": "Hello "} == sent[7]["part"]
    assert [{"type": "output_audio", "transcript": "Hello "}] == done(bench)["output"][0]["content"]


def test_parallel_calls_after_a_message(bench, types_of):
    response = bench.respond(output_modalities=["text"])
    bench.protocol.response_text(response, "Let me see.", bench.now)
    for city in ("Lima", "Oslo"):
        bench.protocol.response_call(response, ToolCall("weather", {"city": city}), bench.now)
    bench.protocol.response_finished(response, bench.now)
    sent = bench.take()
    calls = [event for event in sent if event["type"] == "response.function_call_arguments.done"]
    assert [1, 2] == [event["output_index"] for event in calls]
    assert 2 == len({event["call_id"] for event in calls})
    assert [{"city": "Lima"}, {"city": "Oslo"}] == [json.loads(event["arguments"]) for event in calls]
    assert "weather" == calls[0]["name"]
    for call in calls:
        deltas = [e["delta"] for e in sent if e["type"].endswith("arguments.delta") and e["call_id"] == call["call_id"]]
        assert call["arguments"] == "".join(deltas)
    added = [event["item"] for event in sent if event["type"] == "response.output_item.added"]
    assert ["message", "function_call", "function_call"] == [item["type"] for item in added]
    assert ("in_progress", "") == (added[1]["status"], added[1]["arguments"])
    output = done(bench)["output"]
    assert ["completed"] * 3 == [item["status"] for item in output]
    assert calls[1]["arguments"] == output[2]["arguments"]


def test_one_response_at_a_time_writes_to_the_conversation(bench):
    running = bench.respond()
    error = bench.error("response.create", event_id="mine")
    assert ("conversation_already_has_active_response", "mine") == (error["code"], error["event_id"])
    assert running in error["message"]
    bench.protocol.response_finished(running, bench.now)
    bench.take()
    assert running != bench.respond()


def test_any_number_are_out_of_band_and_leave_the_conversation_alone(bench, types_of):
    bench.say("hi")
    default = bench.respond()
    others = [bench.respond(conversation="none", metadata={"n": str(n)}) for n in range(3)]
    assert bench.log[-1]["response"]["conversation_id"] is None
    for response in reversed(others):
        bench.protocol.response_transcript(response, "psst", bench.now)
        bench.protocol.response_finished(response, bench.now)
    sent = bench.take()
    assert not [name for name in types_of(sent) if name.startswith("conversation.")]
    assert ["2", "1", "0"] == [e["response"]["metadata"]["n"] for e in sent if e["type"] == "response.done"]
    bench.protocol.response_finished(default, bench.now)
    bench.take()
    assert 1 == len(bench.protocol.brain_request(bench.respond()).history)


def test_wild_clients_are_bounded(bench):
    for _ in range(MAXIMUM_RESPONSES):
        bench.respond(conversation="none")
    assert "rate_limit_exceeded" == bench.error("response.create", response={"conversation": "none"})["code"]


def test_a_response_has_the_conversation_nothing_or_its_own_input_as_context(bench):
    first = bench.say("one")["item"]["id"]
    bench.say("two")

    def context(**params) -> list[str]:
        request = bench.protocol.brain_request(bench.respond(conversation="none", **params))
        return [said.text for said in request.history]

    assert ["one", "two"] == context()
    assert [] == context(input=[])
    raw = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "raw"}]}
    assert ["raw", "one"] == context(input=[raw, {"type": "item_reference", "id": first}])


def test_sound_in_its_own_input_is_heard_first(bench):
    part = {"type": "input_audio", "audio": "AAAA"}
    bench.respond(conversation="none", input=[{"type": "message", "role": "user", "content": [part]}])
    (heard,), (begun,) = bench.of_kind(Recognise), bench.of_kind(StartResponse)
    assert (heard.item_id,) == begun.hear_first


def test_overrides_hold_for_one_response(bench):
    bench.update(instructions="session", tools=[{"name": "a"}], tool_choice="required")
    response = bench.respond(
        output_modalities=["text"],
        instructions="mine",
        tools=[{"name": "b", "description": "B"}],
        tool_choice={"type": "function", "name": "b"},
        conversation="none",
    )
    request = bench.protocol.brain_request(response)
    assert ("mine", "mine", "b", "text") == (
        request.instructions,
        request.response_instructions,
        request.tool_choice,
        request.modality,
    )
    assert [("b", "B")] == [(tool.name, tool.description) for tool in request.tools]
    request = bench.protocol.brain_request(bench.respond())
    assert ("session", None, "required", "audio") == (
        request.instructions,
        request.response_instructions,
        request.tool_choice,
        request.modality,
    )


def test_cancel_ends_the_default_response_or_the_one_named(bench, types_of):
    default, other = bench.respond(), bench.respond(conversation="none")
    bench.protocol.response_transcript(default, "Hel", bench.now)
    bench.take()
    assert [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        *ITEM_DONE,
        *END,
    ] == types_of(bench.send("response.cancel"))
    final = done(bench)
    assert (default, "cancelled", "client_cancelled") == (
        final["id"],
        final["status"],
        final["status_details"]["reason"],
    )
    assert "incomplete" == final["output"][0]["status"]
    assert "response_cancel_not_active" == bench.error("response.cancel")["code"]
    assert END == types_of(bench.send("response.cancel", response_id=other))
    assert "response_cancel_not_active" == bench.error("response.cancel", response_id=other)["code"]


def test_what_comes_after_the_end_is_ignored(bench):
    response = bench.respond()
    bench.send("response.cancel")
    assert not bench.protocol.response_text(response, "late", bench.now)
    assert not bench.protocol.response_transcript(response, "late", bench.now)
    assert not bench.protocol.response_audio(response, bytes(100), bench.now)
    assert not bench.protocol.response_call(response, ToolCall("late"), bench.now)
    bench.protocol.response_finished(response, bench.now)
    bench.protocol.response_failed(response, "late", bench.now)
    assert bench.protocol.brain_request(response) is None
    assert [] == bench.take()


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_max_output_tokens_makes_it_incomplete(bench, modality):
    response = bench.respond(output_modalities=[modality], max_output_tokens=10)
    send = bench.protocol.response_text if modality == "text" else bench.protocol.response_transcript
    sent = sum(send(response, "word ", bench.now) for _ in range(100))
    bench.take()
    assert 7 == sent  # of 5 characters each: 9 tokens; the next would make it more than 10
    final = done(bench)
    assert ("incomplete", "max_output_tokens") == (final["status"], final["status_details"]["reason"])
    assert "incomplete" == final["output"][0]["status"]
    assert (9, 10) == (final["usage"]["output_tokens"], final["max_output_tokens"])


def test_a_failure_is_told_with_its_reason(bench):
    response = bench.respond()
    bench.protocol.response_failed(response, "KeyError: 'x'", bench.now)
    bench.take()
    assert {
        "type": "failed",
        "error": {"type": "server_error", "code": "server_error", "message": "KeyError: 'x'"},
    } == done(bench)["status_details"]


def test_usage_counts_both_sides(bench):
    bench.update(instructions="x" * 40, tools=[], audio={"input": {"turn_detection": None}})
    bench.append(1000)
    bench.send("input_audio_buffer.commit")
    bench.say("y" * 20)
    response = bench.respond()
    bench.protocol.response_transcript(response, "z" * 12, bench.now)
    bench.protocol.response_audio(response, bytes(48_000), bench.now)
    bench.protocol.response_finished(response, bench.now)
    bench.take()
    usage = done(bench)["usage"]
    assert (10 + 5, 10) == (usage["input_token_details"]["text_tokens"], usage["input_token_details"]["audio_tokens"])
    assert {"text_tokens": 3, "audio_tokens": 20} == usage["output_token_details"]
    assert (25, 23, 48) == (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])


def test_rate_limits_go_down(bench):
    for _ in range(2):
        bench.protocol.response_finished(bench.respond(), bench.now)
        bench.take()
    limits = [event["rate_limits"] for event in bench.log if event["type"] == "rate_limits.updated"]
    assert limits[1][0]["remaining"] == limits[0][0]["remaining"] - 1
    assert limits[1][1]["remaining"] < limits[0][1]["remaining"]


def test_speech_leaves_in_the_sessions_format(bench):
    bench.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
    response = bench.respond()
    assert {"type": "audio/pcmu"} == bench.log[-1]["response"]["audio"]["output"]["format"]
    bench.protocol.response_audio(response, bytes(48_000), bench.now)
    delta = next(event for event in bench.take() if event["type"] == "response.output_audio.delta")
    assert 8000 == len(base64.b64decode(delta["delta"]))
