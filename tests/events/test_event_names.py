"""Names, counts and docstrings: what a reader may rely on without looking."""

import ast
import importlib
import pkgutil
import re
from typing import get_args

import pytest

from realtime_trio import events
from realtime_trio.events._base import EventBase, Shape

ALL = list(
    dict.fromkeys(
        cls for table in (events.CLIENT_EVENTS, events.SERVER_EVENTS) for classes in table.values() for cls in classes
    )
)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_a_class_is_named_after_its_wire_type(cls):
    """`response.output_audio.delta` is `ResponseOutputAudioDelta`, with no exception."""
    words = re.split(r"[._]", events.wire_type(cls))
    assert "".join(word.capitalize() for word in words) == cls.__name__


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_a_docstring_says_meaning_wire_type_and_when(cls):
    """The first line says what it means, the `Wire:` line what it is called and when it is sent."""
    first, _, rest = cls.__doc__.partition("\n")
    assert first.endswith(".")
    assert re.search(rf"Wire: `{re.escape(events.wire_type(cls))}`, \w+", " ".join(rest.split()))


def test_14_client_and_53_server_pairs():
    """Every (kind, type) pair that the API documents: transcription shares the events of realtime."""
    client, server = events.CLIENT_EVENTS, events.SERVER_EVENTS

    assert len(client["realtime"]) + len(client["translation"]) == 14
    assert len(server["realtime"]) + len(server["translation"]) == 53
    assert client["transcription"] == client["realtime"]
    assert server["transcription"] == server["realtime"]
    assert len({events.wire_type(cls) for kind in client.values() for cls in kind}) == 13
    assert len({events.wire_type(cls) for kind in server.values() for cls in kind}) == 50


def test_the_models_of_the_sdk_have_the_same_types(samples):
    """No pair is missing and none is invented."""
    ours = {
        (direction, kind, events.wire_type(cls))
        for direction, table in (("client", events.CLIENT_EVENTS), ("server", events.SERVER_EVENTS))
        for kind in ("realtime", "translation")
        for cls in table[kind]
    }
    assert ours == set(samples)


@pytest.mark.parametrize(
    ("alias", "table"),
    [(events.ClientEvent, events.CLIENT_EVENTS), (events.ServerEvent, events.SERVER_EVENTS)],
)
def test_the_unions_hold_the_same_classes_as_the_tables(alias, table):
    """What a type checker sees is what the codec makes."""
    expected = {cls for classes in table.values() for cls in classes} | {events.UnknownEvent, events.MalformedEvent}
    assert expected == set(get_args(alias))


def test_every_shape_is_exported_frozen_and_described():
    """Nothing public is hidden in a module, and nothing goes without a word on what it is."""
    for info in pkgutil.iter_modules(events.__path__):
        module = importlib.import_module(f"{events.__name__}.{info.name}")
        for name in module.__all__:
            value = getattr(module, name)
            if not (isinstance(value, type) and issubclass(value, Shape)) or info.name == "_base":
                continue
            assert name in events.__all__, name
            assert getattr(events, name) is value
            assert value.__struct_config__.frozen, name
            assert value.__struct_config__.forbid_unknown_fields, name
            assert ast.get_docstring(ast.parse(f"class C:\n {value.__doc__!r}").body[0]), name


def test_all_is_sorted_and_true():
    """`from realtime_trio.events import *` works."""
    assert len(set(events.__all__)) == len(events.__all__)
    for name in events.__all__:
        assert hasattr(events, name)


def test_wire_type_of_instances_and_classes():
    """The `type` is had from either."""
    assert events.wire_type(events.SessionClose) == "session.close"
    assert events.wire_type(events.SessionClose()) == "session.close" == events.SessionClose().type
    assert events.wire_type(events.UnknownEvent(type="a.b", data={})) == "a.b"
    assert issubclass(events.Error, EventBase)
