"""Small checks of JSON values, put together to shapes: each takes a value and its path and raises a `Problem`.

The shapes of the API's own events stand in `shapes`. They are checked here, and not by the library's event types, so
that the server is strict where the library is lenient and judges the library by other code than its own.
"""

import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from realtime_trio.server import problems

__all__ = [
    "Check",
    "array",
    "audio",
    "boolean",
    "choice",
    "decode_audio",
    "free_object",
    "integer",
    "join",
    "mapping",
    "nullable",
    "number",
    "obj",
    "one_of_type",
    "string",
]

Check: TypeAlias = Callable[[Any, str], None]
"""Raises a `Problem` when the value at that path does not fit."""

_DEEPEST = 64
_LONGEST_INTEGER = 63  # bits


def join(path: str, name: str) -> str:
    """Name a field of the object at `path`."""
    return f"{path}.{name}" if path else name


def free_object(value: Any, path: str) -> None:
    """Accept every object that can be told again: not too deep, no number that JSON's readers choke on."""
    if not isinstance(value, dict):
        raise problems.invalid_type(path, "an object", value)
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        if any(isinstance(inner, int) and inner.bit_length() > _LONGEST_INTEGER for inner in level):
            raise problems.invalid_value(path, "...", "An integer in it is too large.")
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if not level:
            return
    raise problems.invalid_value(path, "...", f"Expected an object nested at most {_DEEPEST} deep.")


def boolean(value: Any, path: str) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise problems.invalid_type(path, "a boolean", value)


def string(*, longest: int | None = None, shortest: int = 0) -> Check:
    """Accept text of that length in characters."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise problems.invalid_type(path, "a string", value)
        if longest is not None and len(value) > longest:
            raise problems.wrong_length(path, len(value), longest, below=False)
        if len(value) < shortest:
            raise problems.wrong_length(path, len(value), shortest, below=True)

    return check


def integer(least: int | None = None, most: int | None = None) -> Check:
    """Accept whole numbers in that range."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise problems.invalid_type(path, "an integer", value)
        _in_range("integer", value, path, least, most)

    return check


def number(least: float | None = None, most: float | None = None) -> Check:
    """Accept finite numbers in that range."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise problems.invalid_type(path, "a decimal", value)
        _in_range("decimal", value, path, least, most)

    return check


def _in_range(kind: str, value: float, path: str, least: float | None, most: float | None) -> None:
    if least is not None and value < least:
        raise problems.out_of_range(path, kind, value, least, below=True)
    if most is not None and value > most:
        raise problems.out_of_range(path, kind, value, most, below=False)


def choice(*names: str) -> Check:
    """Accept one of these texts."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise problems.invalid_type(path, "a string", value)
        if value not in names:
            raise problems.invalid_value(path, value, names)

    return check


def nullable(inner: Check) -> Check:
    """Accept null as well."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def array(inner: Check, *, longest: int | None = None, shortest: int = 0) -> Check:
    """Accept lists of such values."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise problems.invalid_type(path, "an array", value)
        if longest is not None and len(value) > longest:
            raise problems.invalid_value(path, f"{len(value)} elements", f"Expected at most {longest}.")
        if len(value) < shortest:
            raise problems.invalid_value(path, f"{len(value)} elements", f"Expected at least {shortest}.")
        for index, element in enumerate(value):
            inner(element, f"{path}[{index}]")

    return check


def mapping(inner: Check, *, longest: int | None = None, longest_key: int | None = None) -> Check:
    """Accept objects with any names and such values."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise problems.invalid_type(path, "an object", value)
        if longest is not None and len(value) > longest:
            raise problems.invalid_value(path, f"{len(value)} properties", f"Expected at most {longest}.")
        for key, element in value.items():
            if longest_key is not None and len(key) > longest_key:
                raise problems.invalid_value(path, key, f"Expected keys of at most {longest_key} characters.")
            inner(element, join(path, key))

    return check


def obj(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Accept objects with these fields and no others."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise problems.invalid_type(path, "an object", value)
        for name in required:
            if name not in value:
                raise problems.missing_parameter(join(path, name))
        for name, element in value.items():
            inner = known.get(name)
            if inner is None:
                raise problems.unknown_parameter(join(path, name))
            inner(element, join(path, name))

    return check


def one_of_type(shapes: Mapping[str, Check], *, field: str = "type", otherwise: str | None = None) -> Check:
    """Accept the object shape that the text in `field` names; with `otherwise`, an absent one means that."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise problems.invalid_type(path, "an object", value)
        name = value.get(field, otherwise)
        if name is None and field not in value:
            raise problems.missing_parameter(join(path, field))
        choice(*shapes)(name, join(path, field))
        shapes[str(name)](value, path)

    return check


def decode_audio(value: str, path: str) -> bytes:
    """Decode base64, or raise the problem."""
    try:
        return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are both
        raise problems.invalid_value(path, "...", "Expected base64-encoded audio bytes.") from None


def audio(value: Any, path: str) -> None:
    """Accept base64."""
    if not isinstance(value, str):
        raise problems.invalid_type(path, "a base64-encoded string", value)
    decode_audio(value, path)
