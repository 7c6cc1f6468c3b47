"""What responses and transcripts cost: sums that add up, a cache that is part of the input, growth."""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_trio.server import ToolCall, Transcript, guesses
from realtime_trio.server.outbox import Recognise

AUDIO = base64.b64encode(bytes(48_000)).decode()
PARTS = st.one_of(
    st.builds(lambda text: {"type": "input_text", "text": text}, st.text(max_size=400)),
    st.just({"type": "input_audio", "audio": AUDIO}),
    st.builds(
        lambda detail: {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": detail},
        st.sampled_from(["low", "high", "auto"]),
    ),
)
STEPS = st.one_of(
    st.tuples(st.just("item"), st.lists(PARTS, min_size=1, max_size=3)),
    st.tuples(st.just("answer"), st.sampled_from(["auto", "none"])),
    st.tuples(st.just("instructions"), st.text(max_size=400)),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("truncate"), st.integers(0, 9)),
)


def answer(bench: Any, **params: Any) -> dict[str, Any]:
    """Have a spoken answer with a call; return its usage."""
    response = bench.respond(**params)
    bench.protocol.response_transcript(response, "Some words. ", bench.now)
    bench.protocol.response_audio(response, bytes(48_000), bench.now)
    bench.protocol.response_call(response, ToolCall("look", {"at": "it"}), bench.now)
    bench.protocol.response_finished(response, bench.now)
    return next(event for event in bench.take() if event["type"] == "response.done")["response"]["usage"]


def check_sums(usage: dict[str, Any]) -> None:
    given, out = usage["input_token_details"], usage["output_token_details"]
    kinds = ("text_tokens", "audio_tokens", "image_tokens")
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == sum(given[kind] for kind in kinds)
    assert usage["output_tokens"] == out["text_tokens"] + out["audio_tokens"]
    cached = given["cached_tokens_details"]
    assert given["cached_tokens"] == sum(cached[kind] for kind in kinds)
    assert all(0 <= cached[kind] <= given[kind] for kind in kinds)


def step(bench: Any, what: str, value: Any, ids: list[str]) -> None:
    if what == "item":
        item = {"type": "message", "role": "user", "content": value}
        ids.append(bench.send("conversation.item.create", item=item)[0]["item"]["id"])
    elif what == "answer":
        usage = answer(bench, conversation=value)
        check_sums(usage)
        added = [event["item"]["id"] for event in bench.log if event["type"] == "conversation.item.added"]
        ids[:] = [*ids, *(found for found in added if found not in ids)]
    elif what == "instructions":
        bench.update(instructions=value)
    elif ids:
        item_id = ids[value % len(ids)]
        fields = {"content_index": 0, "audio_end_ms": 100} if what == "truncate" else {}
        bench.send(f"conversation.item.{what}", item_id=item_id, **fields)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=12))
def test_sums_add_up_whatever_happens(make_bench, steps):
    bench, ids = make_bench(), []
    for what, value in steps:
        step(bench, what, value, ids)
    check_sums(answer(bench))


def test_input_grows_with_the_conversation_and_its_beginning_is_cached(bench):
    bench.update(instructions="x" * 4000)
    first = answer(bench)
    bench.say("y" * 400)
    second = answer(bench)
    bench.say("z" * 400)
    third = answer(bench)
    details = [usage["input_token_details"] for usage in (first, second, third)]
    assert [1000, 1000 + 7 + 100] == [found["text_tokens"] for found in details[:2]]
    assert [0, 20, 40] == [found["audio_tokens"] for found in details]
    step = guesses.CACHE_STEP_TOKENS
    assert [0, 1000 // step * step, 1107 // step * step] == [found["cached_tokens"] for found in details]


def test_what_changes_at_the_front_leaves_nothing_in_the_cache(bench):
    bench.update(instructions="x" * 4000)
    answer(bench)
    assert answer(bench, instructions="y" * 4000)["input_token_details"]["cached_tokens"] == 0
    bench.update(instructions="y" * 4000)
    assert answer(bench)["input_token_details"]["cached_tokens"] >= 960


def test_an_out_of_band_response_uses_the_cache_and_leaves_it_alone(bench):
    bench.update(instructions="x" * 4000)
    answer(bench)
    aside = answer(bench, conversation="none", input=[])
    assert 960 == aside["input_token_details"]["cached_tokens"]
    assert 1000 == aside["input_tokens"]
    answer(bench, conversation="none", instructions="another")
    assert answer(bench)["input_token_details"]["cached_tokens"] >= 960


def test_pictures_count(bench):
    parts = [{"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": d} for d in ("low", "high")]
    bench.send("conversation.item.create", item={"type": "message", "role": "user", "content": parts})
    assert sum(guesses.IMAGE_TOKENS.values()) == answer(bench)["input_token_details"]["image_tokens"]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-realtime-whisper", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_a_transcript_costs_tokens_or_seconds_by_its_model(bench, model):
    bench.update(audio={"input": {"turn_detection": None, "transcription": {"model": model}}})
    bench.append(2500)
    bench.send("input_audio_buffer.commit")
    (wanted,) = bench.of_kind(Recognise)
    bench.protocol.heard(wanted.item_id, Transcript("what time is it"))
    usage = bench.take()[-1]["usage"]
    if model in guesses.DURATION_MODELS:
        assert {"type": "duration", "seconds": 3.0} == usage
    else:
        details = {"text_tokens": 0, "audio_tokens": 25}
        tokens = {"input_tokens": 25, "output_tokens": 4, "total_tokens": 29}
        assert {"type": "tokens", **tokens, "input_token_details": details} == usage


def test_tools_count(bench):
    tool = {"type": "function", "name": "look", "description": "x" * 400, "parameters": {}}
    without = answer(bench, tools=[], conversation="none")["input_tokens"]
    counted = answer(bench, tools=[tool], conversation="none")["input_tokens"]
    assert counted - without == -(-len(json.dumps(tool)) // guesses.CHARACTERS_PER_TOKEN)
