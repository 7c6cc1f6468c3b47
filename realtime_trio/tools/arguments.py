"""Reading a call's arguments strictly: JSON without loopholes, and words for the model about what does not fit.

`TypedArguments` are those of a signature. Those of a schema that was written by hand are in `by_hand.py`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import msgspec

from realtime_trio.errors import redact

__all__ = ["Arguments", "Bound", "Misfit", "TypedArguments", "clipped", "decode_strictly"]

_LONGEST_NAME = 64  # characters that are repeated of a name, which the model can make as long as it likes
_HALF_A_PAIR = "it has half a surrogate pair, which is no character"
_LONGEST_LIST = 400  # characters of what there would be

Bound = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments for a function."""


class Misfit(ValueError):
    """The arguments do not fit; says what, and what would, and never repeats a value."""


class Arguments(Protocol):
    """How the arguments of one tool are read."""

    def bind(self, text: str) -> Bound:
        """Read what the model wrote, check all of it, and give what the function is called with.

        Raises:
            Misfit: It does not fit.
        """
        ...


@attrs.frozen
class TypedArguments:
    """Arguments that are described by the types of a signature."""

    kind: type[msgspec.Struct]
    """A field for each parameter; one with a default may be `msgspec.UNSET`."""

    schema: dict[str, Any]
    """The same as JSON Schema, for words about what would fit."""

    def bind(self, text: str) -> Bound:
        """Read what the model wrote, check all of it, and give what the function is called with.

        Raises:
            Misfit: It does not fit.
        """
        decoded = decode_strictly(text, self.kind, self.schema)
        given = ((field, getattr(decoded, field)) for field in decoded.__struct_fields__)
        return (), {field: value for field, value in given if value is not msgspec.UNSET}


def decode_strictly(text: str, kind: Any, schema: Mapping[str, Any]) -> Any:
    """Decode JSON into a type: nothing is converted, left out, or taken twice.

    Args:
        text: What the model wrote. Nothing at all counts as an object without members.
        kind: The type, as msgspec knows it.
        schema: The same as JSON Schema.

    Returns:
        A value of the type.

    Raises:
        Misfit: It does not fit: no JSON, NaN or Infinity, half a surrogate pair, a number out of range, a key that
            stands twice, too many levels, another type, an unknown or a missing member.
    """
    text = text.strip(" \t\r\n") or "{}"
    try:
        decoded = msgspec.json.decode(text, type=kind, strict=True)
        # msgspec takes the last of two equal keys, and which one the model meant nobody knows. Numbers are left alone.
        json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except Misfit:
        raise
    except msgspec.MsgspecError as error:
        if not isinstance(error, msgspec.ValidationError) and _has_half_a_pair(text):
            raise Misfit(_HALF_A_PAIR) from error  # which msgspec takes for the text's end
        raise Misfit(_words(str(error), schema)) from error
    except UnicodeError as error:
        raise Misfit(_HALF_A_PAIR) from error
    except RecursionError as error:
        raise Misfit("it is nested too deeply") from error
    return decoded


def _has_half_a_pair(text: str) -> bool:
    """Whether it is JSON, and an escape in it stands for no character."""
    try:
        json.dumps(json.loads(text, parse_int=str, parse_float=str), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise Misfit(f"the key `{clipped(key)}` stands twice in one object")
        seen.add(key)


def _words(problem: str, schema: Mapping[str, Any]) -> str:
    """Put msgspec's words into words that say what would fit and repeat no value."""
    what, _, path = problem.rpartition(" - at `")
    what, place = (what, f" - at `{path}") if what else (problem, "")
    if what.startswith(("Invalid enum value", "Invalid value")):  # the value stands in the words
        there = _descend(schema, path.removesuffix("`"))
        choices = [choice for one in there for choice in one.get("enum", ())]
        fits = f", it is one of {clipped(_json(choices)[1:-1], _LONGEST_LIST)}" if choices else ""
        return f"Invalid value{fits}{place}"
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what, flags=re.DOTALL):
        there = _descend(schema, path.removesuffix("`"))
        there_is = ", ".join(dict.fromkeys(name for one in there for name in one.get("properties", ()))) or "none"
        return f"Object contains unknown field `{clipped(unknown[1])}` (there is: {there_is}){place}"
    return clipped(problem, _LONGEST_LIST)


def _descend(schema: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    """Follow msgspec's path (`$.city`, `$.days[...]`) into a schema: all that may stand there."""
    here = _choices(schema, schema)
    for name, index in re.findall(r"\.([^.\[\]]+)|(\[[^\]]*\])", path):
        inside = [one.get("items", one.get("additionalProperties")) for one in here] if index else []
        inside += [one.get("properties", {}).get(name) for one in here] if name else []
        here = [choice for one in inside for choice in _choices(one, schema)]
    return here


def _choices(schema: Any, root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Take a union apart, and follow a reference to a type that contains itself."""
    if not isinstance(schema, Mapping):
        return []
    if "$ref" in schema:
        return _choices(root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2]), root)
    return [choice for one in schema["anyOf"] for choice in _choices(one, root)] if "anyOf" in schema else [schema]


def clipped(text: str, longest: int = _LONGEST_NAME) -> str:
    """Make a text fit to be repeated: without a key in it, and not longer than that."""
    text = redact(text)
    return text if len(text) <= longest else f"{text[:longest]}..."


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
