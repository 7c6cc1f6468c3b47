"""Items: create, retrieve, truncate, delete, and where they stand, without I/O."""

import base64

import pytest

from realtime_trio.server import ToolAnswered, ToolCall, ToolCalled, guesses
from realtime_trio.server.outbox import Recognise


def spoken(bench, ms: int = 1000, *, finish: bool = True) -> tuple[str, str]:
    """Have the assistant speak for that long; return the ids of the response and its item."""
    response = bench.respond()
    bench.protocol.response_transcript(response, "One two three. ", bench.now)
    bench.protocol.response_audio(response, b"\1\0" * (24 * ms), bench.now)
    if finish:
        bench.protocol.response_finished(response, bench.now)
    added = next(event for event in bench.take() if event["type"] == "conversation.item.added")
    return response, added["item"]["id"]


def test_items_go_to_the_end_to_the_front_or_behind_another(bench):
    first = bench.say("first")
    assert first["previous_item_id"] is None
    second = bench.say("second")
    assert first["item"]["id"] == second["previous_item_id"]
    assert bench.say("front", previous_item_id="root")["previous_item_id"] is None
    assert first["item"]["id"] == bench.say("middle", previous_item_id=first["item"]["id"])["previous_item_id"]
    response = bench.respond()
    texts = [said.text for said in bench.protocol.brain_request(response).history]
    assert ["front", "first", "middle", "second"] == texts


def test_a_client_chooses_an_id_once(bench):
    item = {"type": "message", "id": "mine", "role": "system", "content": [{"type": "input_text", "text": "x"}]}
    added, _ = bench.send("conversation.item.create", item=item)
    assert ("mine", "completed") == (added["item"]["id"], added["item"]["status"])
    assert guesses.DUPLICATE_ITEM_CODE == bench.error("conversation.item.create", item=item)["code"]


def test_an_item_with_sound_is_told_without_it_and_retrieved_with_it(bench):
    audio = base64.b64encode(b"\1\2" * 4800).decode()
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    added, done = bench.send("conversation.item.create", item=item)
    assert [{"type": "input_audio", "transcript": None}] == added["item"]["content"] == done["item"]["content"]
    retrieved = bench.one("conversation.item.retrieve", item_id=added["item"]["id"])
    assert audio == retrieved["item"]["content"][0]["audio"]
    assert [b"\1\2" * 4800] == [effect.pcm for effect in bench.of_kind(Recognise)]


def test_the_assistants_sound_is_retrieved_with_its_transcript(bench):
    _, item_id = spoken(bench, 100)
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert {"type": "output_audio", "transcript": "One two three. "} == {k: part[k] for k in ("type", "transcript")}
    assert b"\1\0" * 2400 == base64.b64decode(part["audio"])


def test_truncation_takes_the_sound_behind_the_mark_and_the_whole_transcript(bench):
    _, item_id = spoken(bench)
    told = bench.one("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=400)
    assert ("conversation.item.truncated", item_id, 0, 400) == tuple(
        told[name] for name in ("type", "item_id", "content_index", "audio_end_ms")
    )
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert "transcript" not in part
    assert 24 * 400 * 2 == len(base64.b64decode(part["audio"]))
    response = bench.respond()
    assert [None] == [said.text for said in bench.protocol.brain_request(response).history]


def test_truncation_beyond_the_end_is_refused(bench):
    _, item_id = spoken(bench)
    error = bench.error("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1001)
    assert guesses.TRUNCATE_TOO_FAR_CODE == error["code"]
    assert "Audio content of 1000ms is already shorter than 1001ms" == error["message"]
    sent = bench.one("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000)
    assert "conversation.item.truncated" == sent["type"]


def test_a_second_truncation_is_refused(bench):
    _, item_id = spoken(bench)
    bench.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=400)
    error = bench.error("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    assert guesses.TRUNCATE_TWICE_CODE == error["code"]


def test_only_the_assistants_sound_can_be_truncated(bench):
    user = bench.say("hello")["item"]["id"]
    assert (
        "item_id" == bench.error("conversation.item.truncate", item_id=user, content_index=0, audio_end_ms=0)["param"]
    )
    _, item_id = spoken(bench)
    error = bench.error("conversation.item.truncate", item_id=item_id, content_index=1, audio_end_ms=0)
    assert "content_index" == error["param"]


def test_an_item_in_progress_may_be_truncated_and_grows_no_more(bench):
    response, item_id = spoken(bench, 600, finish=False)
    bench.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    bench.protocol.response_audio(response, bytes(9600), bench.now)
    bench.protocol.response_finished(response, bench.now)
    bench.take()
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert 24 * 300 * 2 == len(base64.b64decode(part["audio"]))


def test_a_deleted_item_is_gone(bench):
    item_id = bench.say("forget me")["item"]["id"]
    told = bench.one("conversation.item.delete", item_id=item_id)
    assert ("conversation.item.deleted", item_id) == (told["type"], told["item_id"])
    error = bench.error("conversation.item.delete", event_id="mine", item_id=item_id)
    assert f"Error deleting item: the item with id '{item_id}' does not exist." == error["message"]
    assert error["event_id"] is None
    response = bench.respond()
    assert () == bench.protocol.brain_request(response).history


def test_a_call_and_its_output_reach_the_brain_with_the_tools_name(bench):
    response = bench.respond()
    bench.protocol.response_call(response, ToolCall("weather", {"city": "Lima"}), bench.now)
    bench.protocol.response_finished(response, bench.now)
    done = next(event for event in bench.take() if event["type"] == "response.function_call_arguments.done")
    item = {"type": "function_call_output", "call_id": done["call_id"], "output": "warm"}
    added, _ = bench.send("conversation.item.create", item=item)
    assert done["item_id"] == added["previous_item_id"]
    assert (
        ToolCalled(call_id=done["call_id"], name="weather", arguments='{"city": "Lima"}'),
        ToolAnswered(call_id=done["call_id"], name="weather", output="warm"),
    ) == bench.protocol.brain_request(bench.respond()).history


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_other_roles_write_text(bench, role):
    part = "output_text" if role == "assistant" else "input_text"
    item = {"type": "message", "role": role, "content": [{"type": part, "text": "x"}]}
    added, _ = bench.send("conversation.item.create", item=item)
    assert [{"type": part, "text": "x"}] == added["item"]["content"]


def test_a_picture_is_kept(bench):
    part = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    added, _ = bench.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    assert [part] == added["item"]["content"]
