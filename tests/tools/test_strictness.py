"""Random JSON against random signatures and schemas: the function is never entered with a value that does not fit."""

from __future__ import annotations

import builtins
import enum
import inspect
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

import attrs
import msgspec
import trio
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from realtime_trio.tools import Tool, Toolbox, tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Place:
    city: str
    height: int = 0


LEAVES: list[Any] = [str, int, float, bool, type(None), Literal["a", 1], Colour, Place]
NAMES = ["alpha", "beta", "gamma"]


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        inner.map(lambda kind: list[kind])
        | inner.map(lambda kind: dict[str, kind])
        | inner.map(lambda kind: kind | None)
    )


kinds = st.recursive(st.sampled_from(LEAVES), _composed, max_leaves=3)
signatures = st.dictionaries(st.sampled_from(NAMES), st.tuples(kinds, st.booleans()), max_size=3)

numbers = st.integers() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(st.characters(codec=None, categories=None), max_size=5) | st.sampled_from(["red", "a", "", "1", "city"])
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a type, exactly: True is no int, 1 no float, and no number is infinite."""
    inside = typing.get_args(kind)
    match typing.get_origin(kind):
        case types.UnionType | typing.Union:
            fitting = any(fits(value, one) for one in inside)
        case typing.Literal:
            fitting = any(type(value) is type(one) and value == one for one in inside)
        case builtins.list:
            fitting = type(value) is list and all(fits(one, inside[0]) for one in value)
        case builtins.dict:
            fitting = type(value) is dict and all(fits(key, str) and fits(one, inside[1]) for key, one in value.items())
        case _:
            fitting = type(value) is kind
    if isinstance(value, Place):
        return fitting and fits(value.city, str) and fits(value.height, int)
    if isinstance(value, str):
        value.encode()  # half a surrogate pair could not be sent on
    return fitting and not (isinstance(value, float) and not math.isfinite(value))


def example_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that JSON can hold."""
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is int:
        return st.integers(-(10**30), 10**30)
    if typing.get_origin(kind) is list:
        return st.lists(example_of(typing.get_args(kind)[0]), max_size=3)
    if typing.get_origin(kind) is dict:
        return st.dictionaries(st.text(max_size=3), example_of(typing.get_args(kind)[1]), max_size=3)
    if typing.get_origin(kind) is types.UnionType:
        return st.one_of(*map(example_of, typing.get_args(kind)))
    return st.from_type(kind)


@st.composite
def written(draw: st.DrawFn, parameters: dict[str, Any]) -> str:
    """What a model writes for parameters of these types: mostly about right, now and then wrong in any way."""
    pairs = []
    for name in draw(st.permutations([*parameters, "delta"])):
        kind = parameters.get(name)
        luck = draw(st.integers(0, 19))
        right = kind is not None and luck > 1
        if right or luck == 0:
            pairs.append((name, draw(example_of(kind) if right else values)))
    if pairs and draw(st.integers(0, 9)) == 0:
        pairs.append(draw(st.sampled_from(pairs)))
    body = ", ".join(f"{json.dumps(name)}: {json.dumps(value, default=msgspec.to_builtins)}" for name, value in pairs)
    odd = [(" {", "}\n"), ("\ufeff{", "}"), ("{", "}{}"), ("[{", "}]"), ("", ""), ('{"a": {', "}}")]
    frames = [("{", "}")] * 20 + odd
    before, behind = draw(st.sampled_from(frames))
    return f"{before}{body}{behind}"


def entered_with(one: Callable[[Callable[..., Any]], Tool[..., Any]], text: str) -> dict[str, Any] | None:
    """What the function is called with; None when the arguments are refused, which the model is told in few words."""
    entered: list[dict[str, Any]] = []

    async def function(**named: Any) -> str:
        await trio.lowlevel.checkpoint()
        entered.append(named)
        return "entered"

    outcome = trio.run(Toolbox([one(function)]).run, "function", text)
    assert outcome.failure is None
    assert len(outcome.output) < 1000
    assert (outcome.output == "entered") == bool(entered)
    event("entered" if entered else "refused")
    return entered[0] if entered else None


def under(signature: dict[str, tuple[Any, bool]]) -> Callable[[Callable[..., Any]], Tool[..., Any]]:
    """Make a function a tool as if it had this signature."""

    def make(function: Any) -> Tool[..., Any]:
        function.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=kind,
                    default=None if optional else inspect.Parameter.empty,
                )
                for name, (kind, optional) in signature.items()
            ]
        )
        return tool(function)

    return make


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@settings(max_examples=300, deadline=None)
@given(signatures.flatmap(lambda one: st.tuples(st.just(one), written({n: k for n, (k, _) in one.items()}))))
@example(({"alpha": (int, False)}, '{"alpha": 1.0}'))
@example(({"alpha": (float, False)}, '{"alpha": 1}'))
@example(({"alpha": (float, False)}, '{"alpha": 1e999}'))
@example(({"alpha": (str, False)}, '{"alpha": "\\ud800"}'))
@example(({"alpha": (str, False)}, '{"alpha": "a", "alpha": "b"}'))
@example(({"alpha": (Place, False)}, '{"alpha": {"city": "x", "city": "y"}}'))
def test_a_signature_is_kept(case: tuple[dict[str, tuple[Any, bool]], str]) -> None:
    """Every value has its type, every required one is there, no other is, and it is what the JSON says once."""
    signature, text = case
    named = entered_with(under(signature), text)
    if named is None:
        return
    assert {name for name, (_, optional) in signature.items() if not optional} <= set(named) <= set(signature)
    for name, value in named.items():
        assert fits(value, signature[name][0]), (name, value)
    assert set(json.loads(text.strip() or "{}", object_pairs_hook=without_doubles)) == set(named)


@settings(max_examples=100, deadline=None)
@given(signatures, st.data())
def test_what_fits_is_taken(signature: dict[str, tuple[Any, bool]], data: st.DataObject) -> None:
    """The other half: strict is not deaf. What the types allow arrives as it was."""
    wanted = {name: data.draw(example_of(kind), label=name) for name, (kind, _) in signature.items()}

    assert entered_with(under(signature), msgspec.json.encode(wanted).decode()) == wanted


SCHEMA_TYPES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list[int]: "array",
    dict[str, int]: "object",
}
NAMES_OF_TYPES = {typing.get_origin(kind) or kind: name for kind, name in SCHEMA_TYPES.items()}
schemas = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(list(SCHEMA_TYPES)), max_size=3)


@settings(max_examples=200, deadline=None)
@given(schemas.flatmap(lambda one: st.tuples(st.just(one), written(one))))
@example(({"alpha": int}, '{"alpha": 1.0}'))
@example(({"alpha": int}, '{"alpha": true}'))
@example(({"alpha": float}, '{"alpha": NaN}'))
@example(({"alpha": str}, '{"alpha": "a", "alpha": "b"}'))
def test_a_schema_by_hand_is_kept(case: tuple[dict[str, Any], str]) -> None:
    """The same for a schema of one's own."""
    kinds_of, text = case
    schema = {
        "properties": {name: {"type": SCHEMA_TYPES[kind]} for name, kind in kinds_of.items()},
        "required": list(kinds_of),
        "additionalProperties": False,
    }
    named = entered_with(lambda function: tool(function, parameters=schema), text)
    if named is None:
        return
    assert set(named) == set(kinds_of)
    for name, value in named.items():
        is_of, wanted = NAMES_OF_TYPES[type(value)], SCHEMA_TYPES[kinds_of[name]]
        assert is_of == wanted or (is_of, wanted) == ("integer", "number")
    assert json.loads(text.strip() or "{}", object_pairs_hook=without_doubles) == named
