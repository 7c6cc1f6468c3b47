"""One odd leaf in a server's event costs that leaf only: nothing else changes, and nothing is lost.

What is done to the text itself, and to a client's events, is in `test_event_damage`.
"""

import json
from typing import Any, get_type_hints

import msgspec
import pytest

from realtime_trio import events
from realtime_trio.events import UNSET, MalformedEvent, decode, decode_client, encode
from realtime_trio.events._base import Shape
from realtime_trio.events.unknown import Unknown

WRONG = ["many", 7, 3.5, True, None, 1e300, [], ["x"], [None], {}, {"type": "later"}, {"a": 1, "b": "c"}]
PAIRS = [(kind, events.wire_type(cls)) for kind in ("realtime", "translation") for cls in events.SERVER_EVENTS[kind]]
SIMPLE = {str: str, int: int, float: (int, float), bytes: str}


def holders(value: Any, path: tuple = ()):
    """Yield each object of an event with its path."""
    if isinstance(value, Shape) and not isinstance(value, Unknown):
        yield path, value
        for name in value.__struct_fields__:
            if name not in ("extra", "notes"):
                yield from holders(getattr(value, name), (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from holders(item, (*path, index))


def plain(value: Any, path: tuple, without: tuple) -> Any:
    """Return an event as comparable data, without one field and without what came of it."""
    if isinstance(value, Shape):
        fields = {
            name: plain(getattr(value, name), (*path, name), without)
            for name in value.__struct_fields__
            if name != "notes" and (*path, name) != without and not (name == "extra" and path == without[:-1])
        }
        return type(value).__name__, fields
    if isinstance(value, list):
        return [plain(item, (*path, index), without) for index, item in enumerate(value)]
    return value


def put(sample: Any, path: tuple, wrong: Any) -> Any:
    """Return a copy of JSON with another value at a path."""
    copy = json.loads(json.dumps(sample))
    at(copy, path[:-1])[path[-1]] = wrong
    return copy


def at(value: Any, path: tuple) -> Any:
    for step in path:
        value = getattr(value, step) if isinstance(value, Shape) else value[step]
    return value


def places(samples, pair, *, required):
    """Yield each sample with the paths of the fields that those before did not have, by class and path."""
    seen = set()
    for sample in samples["server", *pair]:
        event = decode(json.dumps(sample))
        for path, holder in holders(event):
            for field in msgspec.structs.fields(holder):
                place = (*path, field.name)
                key = (type(holder), place)
                if field.name in ("extra", "notes") or field.required != required or key in seen:
                    continue
                seen.add(key)
                yield sample, event, place


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_an_optional_field_does_not_cost_the_event(samples, pair):
    """Whatever stands in it: same class, the rest unchanged, all of it written back, and a note of the place."""
    for sample, whole, place in places(samples, pair, required=False):
        for wrong in WRONG:
            damaged = put(sample, place, wrong)
            event = decode(json.dumps(damaged))

            assert type(event) is type(whole)
            assert plain(event, (), place) == plain(whole, (), place)
            holder = at(event, place[:-1])
            if getattr(holder, place[-1]) is UNSET:
                assert holder.extra == (at(whole, place[:-1]).extra or {}) | {place[-1]: wrong}
                steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
                assert any(note.startswith(f"kept in extra: {steps[1:]}") for note in event.notes)
            written = json.loads(encode(event))
            if any(note.startswith("type missing, taken as") for note in event.notes):
                at(written, place).pop("type")  # documented: guessed, and then written
            assert written == damaged
            assert decode(encode(event)) == event or event.notes


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_required_field_does(samples, pair):
    """Of the event itself: malformed, naming it, and never put aside."""
    tried = set()
    for sample, whole, place in places(samples, pair, required=True):
        if len(place) > 1:
            continue
        (name,) = place
        fitting = SIMPLE.get(get_type_hints(type(whole))[name], type(sample[name]))
        for wrong in WRONG:
            if (name, wrong) == ("event_id", None) or (isinstance(wrong, fitting) and not isinstance(wrong, bool)):
                continue
            event = decode(json.dumps(put(sample, place, wrong)))
            assert isinstance(event, MalformedEvent)
            assert event.param == name
            tried.add(name)
    assert tried == {field.name for field in msgspec.structs.fields(whole) if field.required}


def read(kind: str, **payload: Any) -> Any:
    text = json.dumps({"type": kind, "event_id": "e", **payload})
    event = decode(text)
    assert json.loads(encode(event)) == json.loads(text)
    return event


@pytest.mark.parametrize("kind", ["response.created", "response.done"])
@pytest.mark.parametrize(
    ("odd", "path", "problem"),
    [
        ({"usage": {"total_tokens": "many", "input_tokens": 3}}, "usage.total_tokens", "Expected `int | null`"),
        ({"usage": {"total_tokens": 3.5}}, "usage.total_tokens", "Expected `int | null`"),
        ({"metadata": [1]}, "metadata", "Expected `object | null`"),
        ({"audio": {"output": {"format": "pcm16", "voice": "cedar"}}}, "audio.output.format", "Expected `object"),
        ({"conversation_id": 5}, "conversation_id", "Expected `str | null`"),
        ({"status": 5}, "status", "Expected `str | null`"),
        ({"status_details": "x"}, "status_details", "Expected `object | null`"),
        ({"output": "x"}, "output", "Expected `array | null`"),
        ({"output_modalities": ["text", 1]}, "output_modalities[1]", "Expected `str`"),
    ],
)
def test_a_response_that_is_odd_in_one_place_still_begins_and_ends(kind, odd, path, problem):
    event = read(kind, response={"id": "r", **odd})

    assert isinstance(event, events.ResponseCreated | events.ResponseDone)
    assert event.response.id == "r"
    (note,) = event.notes
    assert note.startswith(f"kept in extra: response.{path}: {problem}")


@pytest.mark.parametrize("kind", ["session.created", "session.updated"])
@pytest.mark.parametrize("name", ["pcm16", "g711_ulaw", "g711_alaw"])
def test_the_beta_names_of_formats_do_not_cost_the_session(kind, name):
    """Official examples show them where the schemas have an object."""
    audio = {"input": {"format": name}, "output": {"format": name, "voice": "marin"}}
    session = read(kind, session={"type": "realtime", "audio": audio, "expires_at": "soon"}).session

    assert session.audio.output == events.AudioOutput(voice="marin", extra={"format": name})
    assert session.audio.input == events.AudioInput(extra={"format": name})
    assert (session.expires_at, session.extra) == (UNSET, {"expires_at": "soon"})


def test_the_texts_of_a_map_stay():
    """By one of them a response is known as ours."""
    event = read("response.created", response={"id": "r", "metadata": {"n": 1, "realtime_trio": "q", "z": None}})

    assert event.response.metadata == {"realtime_trio": "q"}
    assert event.response.extra == {"metadata": {"n": 1, "z": None}}
    assert event.notes == ("kept in extra: response.metadata: Expected `str`, got `int`",)


def test_an_element_that_is_no_object_keeps_its_place():
    """The indexes of its neighbours are those of the server."""
    good = {"type": "message", "role": "assistant", "content": ["a", {"type": "output_text", "text": "b"}]}
    event = read("response.done", response={"output": ["x" * 300, good, None, [1] * 20]})

    first, message, *rest = event.response.output
    assert first == events.UnknownItem(type="", data={}, element="x" * 300)
    assert first.id is UNSET
    assert message.content == [events.UnknownPart(type="", data={}, element="a"), events.OutputText(text="b")]
    assert [item.element for item in rest] == [None, [1] * 20]
    assert event.notes[:2] == (
        "kept as data: response.output[0]: Expected `object`, got `str`",
        "kept as data: response.output[1].content[0]: Expected `object`, got `str`",
    )
    # It may be sound or a credential: sizes only.
    assert "<300 characters>" in repr(event)
    assert "<20 items>" in repr(event)
    assert "sk-" not in repr(events.UnknownItem(type="", data={}, element="sk-" + "a" * 40))


def test_no_peer_can_pass_an_object_for_what_is_none():
    item = {"type": "$$item", "$$element": "x", "$$type": "", "$$data": {}}
    assert read("conversation.item.added", item=item).item == events.UnknownItem(type="$$item", data=item)


def test_an_item_keeps_its_type_where_only_an_optional_field_is_odd():
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c", "status": 4}
    event = read("response.output_item.done", response_id="r", output_index=0, item=call)

    assert event.item == events.FunctionCall(name="f", arguments="{}", call_id="c", extra={"status": 4})


def test_one_note_for_what_is_kept_whole():
    """Not also one for a `type` guessed within it, since it is written back without."""
    part = {"text": "a"}
    event = read("conversation.item.added", item={"type": "message", "role": 7, "content": [part]})

    assert event.item.data["content"] == [part]
    assert event.notes == ("kept as data: item.role: Expected `str`, got `int`",)


@pytest.mark.parametrize(
    ("kind", "payload", "param"),
    [
        ("response.done", {"response": "x"}, "response"),
        ("session.created", {"session": ["x"]}, "session"),
        ("error", {"error": {"type": "x", "message": 5}}, "error.message"),
        ("error", {"error": {"type": "x"}}, "error.message"),
        ("conversation.item.deleted", {}, "item_id"),
        ("conversation.item.added", {"item": "x"}, "item"),
        ("rate_limits.updated", {"rate_limits": ["x"]}, "rate_limits[0]"),
    ],
)
def test_what_an_event_is_about_must_be_there(kind, payload, param):
    event = read(kind, **payload)

    assert isinstance(event, MalformedEvent)
    assert event.param == param


def test_a_number_beyond_all_limits_can_not_be_kept():
    text = '{"type":"response.done","event_id":"e","response":{"usage":{"total_tokens":1e999}}}'
    event = decode(text)

    assert isinstance(event, MalformedEvent)
    assert event.param == "response.usage.total_tokens"
    assert encode(event) == text


@pytest.mark.parametrize("odd", [{"metadata": {"n": 1}}, {"instructions": 5}, {"input": ["x"]}, {"audio": "pcm16"}])
def test_a_client_is_held_to_its_types(odd):
    event = decode_client(json.dumps({"type": "response.create", "response": odd}))

    assert isinstance(event, MalformedEvent)
    assert event.param.startswith(f"response.{next(iter(odd))}")
