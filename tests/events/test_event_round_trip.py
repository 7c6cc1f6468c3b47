"""What is written is read as the same value, and the SDK's models accept it."""

import json
import types
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openai.types.realtime import (
    RealtimeClientEvent,
    RealtimeServerEvent,
    RealtimeTranslationClientEvent,
    RealtimeTranslationServerEvent,
)
from pydantic import TypeAdapter

from realtime_trio import events
from realtime_trio.events import UNSET, decode, decode_client, encode
from realtime_trio.events._base import Shape
from realtime_trio.events.unknown import Unknown

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
EFFORTS = ["minimal", "low", "medium", "high", "xhigh"]
STATUSES = ["completed", "in_progress", "incomplete"]
# What the schemas allow where we take any text. By class and field, else by field.
WORDS = {
    "output_modalities": [["text"], ["audio"]],
    "include": [["item.input_audio_transcription.logprobs"]],
    "tool_choice": ["auto", "none", "required"],
    "max_output_tokens": [1, 4096, "inf"],
    "truncation": ["auto", "disabled"],
    "tracing": ["auto"],
    "effort": EFFORTS,
    "delay": EFFORTS,
    "eagerness": ["low", "medium", "high", "auto"],
    "require_approval": ["always", "never"],
    "allowed_callers": [["direct"], ["programmatic"]],
    "connector_id": ["connector_gmail", "connector_dropbox"],
    "conversation": ["auto", "none"],
    "detail": ["auto", "low", "high"],
    "status": STATUSES,
    ("Response", "status"): [*STATUSES, "cancelled", "failed"],
    ("Response", "object"): ["realtime.response"],
    ("RealtimeSession", "object"): ["realtime.session"],
    ("TranscriptionSession", "object"): ["realtime.transcription_session"],
    ("ConversationDetails", "object"): ["realtime.conversation"],
    "object": ["realtime.item"],
    "role": ["system", "user", "assistant"],
    ("NoiseReduction", "type"): ["near_field", "far_field"],
    ("AudioFormat", "type"): ["audio/pcm", "audio/pcmu", "audio/pcma"],
    ("AudioFormat", "rate"): [24000],
    ("StatusDetails", "type"): ["completed", "cancelled", "incomplete", "failed"],
    "reason": ["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"],
    ("RateLimit", "name"): ["requests", "tokens"],
    ("SessionOutputAudioDelta", "format"): ["pcm16"],
    "variables": [{}, {"a": "b"}, {"a": {"type": "input_text", "text": "b"}}],
    ("TracingConfig", "metadata"): [{"a": "b"}],
}
PARTS = {
    "system": (events.InputText,),
    "user": (events.InputText, events.InputAudio, events.InputImage),
    "assistant": (events.OutputText, events.OutputAudio),
}
# The same class serves a translation's update and its answer; these satisfy both.
TRANSLATION_SESSIONS = st.builds(
    lambda model, transcription, strength, language: events.TranslationSession(
        id="sess_1",
        model=model,
        expires_at=1,
        audio=events.SessionAudio(
            input=events.AudioInput(
                transcription=events.AudioTranscription(model=transcription) if transcription else None,
                noise_reduction=events.NoiseReduction(type="near_field", strength=strength) if strength else None,
            ),
            output=events.AudioOutput(language=language),
        ),
    ),
    TEXT,
    TEXT,
    st.sampled_from([0.0, 0.5, UNSET]),
    TEXT,
)
FORMATS = [events.PCM16, events.PCMU, events.PCMA]


@cache
def value_of(annotation: Any, place: tuple[str, str], *, known: bool) -> st.SearchStrategy:
    """Make values for a field: any that its type allows, or only those that the schemas know."""
    words = WORDS.get(place, WORDS.get(place[1])) if known else None
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [
            kind
            for kind in get_args(annotation)
            if not (known and isinstance(kind, type) and issubclass(kind, Unknown))
        ]
        if words is not None:
            kinds = [kind for kind in kinds if kind not in (str, int) and get_origin(kind) not in (list, dict)]
        alternatives = [value_of(kind, place, known=known) for kind in kinds]
        return st.one_of(*([st.sampled_from(words)] if words else []), *alternatives)
    if words is not None and annotation is str:
        return st.sampled_from(words)
    if get_origin(annotation) is list:
        return st.lists(value_of(get_args(annotation)[0], place, known=known), max_size=2)
    if get_origin(annotation) is dict:
        if known and place[1] == "parameters":
            return st.just({"type": "object", "properties": {}})
        return st.dictionaries(TEXT, value_of(get_args(annotation)[1], ("", ""), known=known), max_size=2)
    simple = {
        str: TEXT,
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        bytes: st.binary(max_size=12),
        types.NoneType: st.none(),
        msgspec.UnsetType: st.just(UNSET),
        Any: JSON,
    }
    return simple[annotation] if annotation in simple else st.deferred(lambda: shape_of(annotation, known=known))


@cache
def shape_of(cls: type[Shape], *, known: bool) -> st.SearchStrategy:
    """Make values of a class."""
    if issubclass(cls, Unknown):
        return st.builds(
            lambda name, rest: cls(type=name, data={"type": name} | rest),
            TEXT.map(lambda text: "new." + text),
            st.dictionaries(TEXT.filter(lambda name: name != "type"), JSON, max_size=2),
        )
    if known and cls is events.TranslationSession:
        return TRANSLATION_SESSIONS
    if known and cls is events.AudioFormat:
        return st.sampled_from(FORMATS)
    hints = get_type_hints(cls)
    fields = {name: hints[name] for name in cls.__struct_fields__ if name not in ("extra", "notes")}
    strategies = {name: value_of(hint, (cls.__name__, name), known=known) for name, hint in fields.items()}
    if known and cls is events.Message:
        return st.sampled_from(sorted(PARTS)).flatmap(
            lambda role: st.builds(
                cls,
                **strategies
                | {
                    "role": st.just(role),
                    "content": st.lists(st.one_of(*(shape_of(part, known=True) for part in PARTS[role])), max_size=2),
                },
            )
        )
    if not known:
        taken = {*fields, "type"} if cls.__struct_config__.tag is not None else set(fields)
        names = TEXT.filter(lambda name: name not in taken)
        strategies["extra"] = st.just(UNSET) | st.dictionaries(names, JSON, min_size=1, max_size=2)
    return st.builds(cls, **strategies)


def fits(event: Any, kind: str) -> bool:
    """Whether the session is one of this kind."""
    session = getattr(event, "session", None)
    return session is None or isinstance(session, events.TranslationSession) == (kind == "translation")


def acceptable(value: Any) -> bool:
    """Whether the SDK's models can take it: documented exceptions are refused here.

    Item references in a response's input (the SDK has them in its TypedDict only), and the part types `text`, `audio`
    within items (in its examples only); a part event has only those two. A response names its voice by a text.
    """
    if isinstance(value, events.Response) and "CustomVoice" in repr(value):
        return False
    if isinstance(value, events.ItemReference):
        return False
    if isinstance(value, events.ResponseContentPartAdded | events.ResponseContentPartDone):
        return isinstance(value.part, events.TextPart | events.AudioPart)
    if isinstance(value, list):
        return all(acceptable(item) for item in value)
    return not isinstance(value, Shape) or all(acceptable(getattr(value, name)) for name in value.__struct_fields__)


def cases(table):
    return [(kind, cls) for kind in ("realtime", "translation") for cls in table[kind]]


def identity(value: Any) -> str:
    return value if isinstance(value, str) else value.__name__


RULES = settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize(("kind", "cls"), cases(events.SERVER_EVENTS), ids=identity)
@RULES
@given(data=st.data())
def test_server_events_come_back(kind, cls, data):
    """Unknown fields, items and enumeration values included; absent and null stay two things."""
    event = data.draw(shape_of(cls, known=False))

    assert decode(encode(event)) == event
    assert decode(encode(event).encode()) == event


@pytest.mark.parametrize(("kind", "cls"), cases(events.CLIENT_EVENTS), ids=identity)
@RULES
@given(data=st.data())
def test_client_events_come_back(kind, cls, data):
    """As a server reads them, by the session's kind."""
    event = data.draw(shape_of(cls, known=False).filter(lambda event: fits(event, kind)))

    assert decode_client(encode(event), kind=kind) == event


@pytest.mark.parametrize(("kind", "cls"), cases(events.CLIENT_EVENTS), ids=identity)
@RULES
@given(data=st.data())
def test_the_sdk_accepts_client_events(kind, cls, data):
    """Whatever a user can make out of documented values."""
    event = data.draw(shape_of(cls, known=True).filter(lambda event: fits(event, kind) and acceptable(event)))

    judge = {"realtime": CLIENT, "translation": TRANSLATION_CLIENT}[kind]
    model = judge.validate_json(encode(event))
    assert model.type == event.type


@pytest.mark.parametrize(("kind", "cls"), cases(events.SERVER_EVENTS), ids=identity)
@RULES
@given(data=st.data())
def test_the_sdk_accepts_server_events(kind, cls, data):
    """What the offline server says is the protocol."""
    event = data.draw(shape_of(cls, known=True).filter(lambda event: fits(event, kind) and acceptable(event)))

    judge = {"realtime": SERVER, "translation": TRANSLATION_SERVER}[kind]
    model = judge.validate_json(encode(event))
    assert model.type == event.type


CLIENT = TypeAdapter(RealtimeClientEvent)
SERVER = TypeAdapter(RealtimeServerEvent)
TRANSLATION_CLIENT = TypeAdapter(RealtimeTranslationClientEvent)
TRANSLATION_SERVER = TypeAdapter(RealtimeTranslationServerEvent)


@given(name=TEXT, rest=st.dictionaries(TEXT.filter(lambda name: name not in ("type", "event_id")), JSON, max_size=3))
def test_unknown_events_come_back(name, rest):
    """An event of a later version is kept whole."""
    text = json.dumps({"type": "later." + name, "event_id": "e"} | rest)

    event = decode(text)

    assert isinstance(event, events.UnknownEvent)
    assert event.event_id == "e"
    assert json.loads(encode(event)) == json.loads(text) == event.data
