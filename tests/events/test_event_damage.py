"""Whatever is done to an event, it ends in a value, or is not an event at all."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime_trio import events
from realtime_trio.errors import RemoteProtocolError
from realtime_trio.events import MalformedEvent, decode, decode_client, encode

DEEP = 10_000
WRONG = [None, True, -1, 0.5, 1e300, 10**40, "not base64: \x00 {", [], [None], {}, {"type": "later"}, {"type": 1}]
PAIRS = [
    (direction, kind, events.wire_type(cls))
    for direction, table in (("client", events.CLIENT_EVENTS), ("server", events.SERVER_EVENTS))
    for kind in ("realtime", "translation")
    for cls in table[kind]
]


def places(value: Any, path: tuple = ()):
    """Yield the path of every member and element."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in pairs:
        yield (*path, step)
        yield from places(inner, (*path, step))


def changed(value: Any, path: tuple, change) -> Any:
    """Return a copy in which `change` was applied to what holds the last step of the path."""
    copy = json.loads(json.dumps(value))
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    change(holder, path[-1])
    return copy


def read(text: str | bytes, direction: str, kind: str) -> Any:
    event = decode(text) if direction == "server" else decode_client(text, kind=kind)
    # What came out can be shown and written again.
    assert repr(event)
    assert decode_again(encode(event), direction, kind) is type(event)
    return event


def decode_again(text: str, direction: str, kind: str) -> type:
    return type(decode(text) if direction == "server" else decode_client(text, kind=kind))


def new_places(samples):
    """Yield each sample with the places that those before did not have: by path and by `type` of the holder."""
    seen = set()
    for sample in samples:
        for path in places(sample):
            holder = at(sample, path[:-1])
            key = (path, holder.get("type") if isinstance(holder, dict) else None)
            if key not in seen:
                seen.add(key)
                yield sample, path


def at(value: Any, path: tuple) -> Any:
    for step in path:
        value = value[step]
    return value


FULLEST: dict[tuple, list] = {}


def fullest(samples, pair):
    """The sample with most in it, and each that has other members than those."""
    if pair not in FULLEST:
        FULLEST[pair] = list(find_fullest(samples, pair))
    return FULLEST[pair]


def find_fullest(samples, pair):
    seen = set()
    for sample in sorted(samples[pair], key=lambda sample: -len(json.dumps(sample))):
        shape = frozenset(tuple(step for step in path if isinstance(step, str)) for path in places(sample))
        if not shape <= seen:
            seen |= shape
            yield sample


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_member_is_missing(samples, pair):
    """Optional: read as usual. Required: malformed, saying which. Within an item of a server: the item is data."""
    for sample, path in new_places(fullest(samples, pair)):
        text = json.dumps(changed(sample, path, lambda holder, step: holder.pop(step)))
        if path == ("type",):
            with pytest.raises(RemoteProtocolError):
                read(text, *pair[:2])
            continue
        event = read(text, *pair[:2])
        assert event.type == pair[2]
        if isinstance(event, MalformedEvent):
            assert event.code == "missing_required_parameter"
            assert event.param.split(".")[-1] == path[-1]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: json.dumps(wrong)[:12])
def test_a_member_is_of_another_type(samples, pair, wrong):
    """The event is read, or is malformed in one named place."""

    def put(holder, step):
        holder[step] = wrong

    for sample, path in new_places(fullest(samples, pair)):
        text = json.dumps(changed(sample, path, put))
        if path == ("type",):
            if isinstance(wrong, str):
                assert isinstance(read(text, *pair[:2]), events.UnknownEvent)
            else:
                with pytest.raises(RemoteProtocolError):
                    read(text, *pair[:2])
            continue
        event = read(text, *pair[:2])
        assert event.type == pair[2]
        if isinstance(event, MalformedEvent):
            assert event.param.split(".")[0].partition("[")[0] == path[0]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_an_unknown_member_anywhere_is_kept(samples, pair):
    """In every object of the event, at any depth, and written back."""
    news = {"later": [1.5, None, {"$$extra": "x"}]}
    for sample in fullest(samples, pair):
        objects = [(), *(path for path in places(sample) if isinstance(at(sample, path), dict))]
        objects = [path for path in objects if path[-1:] not in (("metadata",), ("headers",))]  # maps of text to text
        for path in objects:
            marked = json.loads(json.dumps(sample))
            at(marked, path).update(news)
            event = read(json.dumps(marked), *pair[:2])
            assert events.wire_type(type(event)) == pair[2]
            assert json.loads(encode(event)) == marked


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_whole_numbers_with_a_point(samples, pair):
    """`7.0` is 7: some servers write all numbers that way."""
    for sample in fullest(samples, pair):
        text = json.dumps(sample)
        assert read(text.replace(": 7", ": 7.0"), *pair[:2]) == read(text, *pair[:2])


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_nested_too_deeply(samples, pair):
    """In place of a member (which is not always the type that is read first), and as an unknown one."""
    sample = samples[pair][0]
    for name in [*list(sample)[:3], "later"]:
        for deep in ("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP):
            text = json.dumps(sample | {name: "@@"}).replace('"@@"', deep)
            if name == "type":
                with pytest.raises(RemoteProtocolError):
                    read(text, *pair[:2])
            else:
                event = read(text, *pair[:2])
                assert isinstance(event, MalformedEvent)
                assert event.type == pair[2]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_lone_surrogate(samples, pair):
    """Escaped or not, in every text: replaced, and noted."""
    sample = samples[pair][0]
    for name, value in sample.items():
        if name == "type" or not isinstance(value, str) or name in ("audio", "format"):
            continue
        if name == "delta" and "audio.delta" in pair[2]:
            continue
        for half in (r"\ud83d", r"\uDE00", r"\udE00\uD83d", "\ud83d", "\ude00"):
            event = read(json.dumps(sample | {name: "@@"}).replace("@@", f"a{half}b"), *pair[:2])
            assert events.wire_type(type(event)) == pair[2]
            assert getattr(event, name) == "a" + "\ufffd" * (2 if len(half) > 6 else 1) + "b"
            assert event.notes == ("lone surrogate replaced",)


_DELTA = (
    '{"type":"response.output_text.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,'
    '"content_index":0,"delta":"AAAA"}'
)
_DONE = (
    '{"type":"response.done","event_id":"e","response":{"id":"r","output":[{"type":"message","role":"assistant",'
    r'"content":[{"type":"output_text","text":"a\ud83d\ude00\\\"b"}]}],"usage":{"total_tokens":1.0}}}'
)
_UPDATE = '{"type":"session.update","session":{"type":"realtime","tools":[{"type":"function","parameters":{"a":[1]}}]}}'
_LATER = '{"type":"later.event","event_id":"e","value":[1,2.5e3,null,true]}'
TEXTS = st.sampled_from([_DELTA, _DONE, _UPDATE, _LATER])
SPLINTERS = st.sampled_from(
    [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"\x00", b"NaN",
     b"-Infinity", b"1e999", b"9" * 5000, b'"type":"error",', b'"type":1,', "\ufeff".encode(), b"null", b"0"]
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(
    text=TEXTS.map(str.encode),
    cuts=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 8), SPLINTERS), min_size=1, max_size=3),
)
@example(text=b"", cuts=[])
@example(text=b'{"type":"error","type":"session.closed","event_id":"e"}', cuts=[])
@example(text=b'{"type":"error","a":' + b'{"a":' * DEEP, cuts=[])
@example(text=b"[" * DEEP + b"]" * DEEP, cuts=[])
def test_any_damage_to_the_text(text, cuts):
    """Bytes cut out and put in anywhere: a value or `RemoteProtocolError`, in both directions, as bytes and as text."""
    for where, length, splinter in cuts:
        text = text[:where] + splinter + text[where + length :]
    for whole in (text, text.decode("utf-8", "surrogateescape"), text.decode("utf-8", "surrogatepass")
                  if is_text(text) else ""):  # fmt: skip
        for direction, kind in (("server", ""), ("client", "realtime"), ("client", "translation")):
            with contextlib.suppress(RemoteProtocolError):
                read(whole, direction, kind)


def is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_text_at_all(text):
    """Noise is refused with the one typed error."""
    with pytest.raises(RemoteProtocolError):
        decode(text)


def test_close_to_the_limit_of_the_stack():
    """A caller deep in its own recursion gets a whole value, or Python's own error for its own depth."""
    text = '{"type":"response.done","event_id":"e","response":{"usage":{"total_tokens":1.0}}}'
    outcomes = set()

    def descend():
        try:
            event = decode(text)
        except RecursionError:
            return
        outcomes.add(type(event))
        descend()

    descend()
    assert outcomes <= {events.ResponseDone, MalformedEvent}
    assert events.ResponseDone in outcomes
