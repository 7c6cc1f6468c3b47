"""Samples of every event, made from the models of the official SDK, which here is the judge of the wire."""

import types
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from openai.types import realtime as sdk
from pydantic import BaseModel

_UNIONS = {
    "server": {
        "realtime": sdk.RealtimeServerEvent,
        "translation": sdk.RealtimeTranslationServerEvent,
    },
    "client": {
        "realtime": sdk.RealtimeClientEvent,
        "translation": sdk.RealtimeTranslationClientEvent,
    },
}


def _alternatives(annotation: Any) -> list[Any]:
    """Return the members of a union, without the wrappers around it."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _variants(annotation: Any) -> list[Any]:
    """Return JSON values for a type: at least one of each alternative in it."""
    kinds = _alternatives(annotation)
    if len(kinds) > 1:
        # null last, so that the first variant is a full one
        return [value for kind in sorted(kinds, key=lambda kind: kind is type(None)) for value in _variants(kind)]
    kind = kinds[0]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if get_origin(kind) is list:
        return [[value] for value in _variants(get_args(kind)[0])] + [[]]
    if get_origin(kind) is dict:
        return [{"key": value} for value in _variants(get_args(kind)[1])] + [{}]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _objects(kind)
    simple = {str: ["AAAA"], int: [7], float: [0.5, 2], bool: [True, False], type(None): [None]}
    return simple.get(kind, [{"a": [1, None, "b"]}])


def _objects(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return objects of a model: the smallest, the fullest, and the fullest with each other variant of each member."""
    variants = {field.alias or name: _variants(field.annotation) for name, field in model.model_fields.items()}
    required = {field.alias or name for name, field in model.model_fields.items() if field.is_required()}
    fullest = {name: values[0] for name, values in variants.items()}
    smallest = {name: value for name, value in fullest.items() if name in required}
    rest = [fullest | {name: value} for name, values in variants.items() for value in values[1:]]
    return [fullest, smallest, *rest]


@pytest.fixture(scope="session")
def samples():
    """By direction, kind of session and wire type: JSON objects, the fullest first, the smallest second."""
    return {
        (direction, kind, model.model_fields["type"].annotation.__args__[0]): _objects(model)
        for direction, unions in _UNIONS.items()
        for kind, union in unions.items()
        for model in _alternatives(union)
    }
