"""From a value to the plain objects that JSON has, where the encoder alone would write something else.

Needed for unknown fields and objects, for numbers that are not finite, and for the `type` that a translation session
does not have in an update.
"""

import math
from typing import Any

from msgspec import UNSET

from ._base import Shape
from .client import SessionUpdate
from .config import TranslationSession
from .unknown import Unknown, UnknownEvent

__all__ = ["unfold"]

_INTERNAL = frozenset({"extra", "notes"})


def unfold(value: Any) -> Any:
    """Turn a value into dicts and lists, with unknown fields back in their places.

    Raises:
        ValueError: A number in it is not finite.
    """
    if isinstance(value, Shape):
        if isinstance(value, Unknown) and value.element is not UNSET:
            return unfold(value.element)
        if isinstance(value, Unknown | UnknownEvent):
            return unfold(value.data)
        return _unfold_shape(value)
    if isinstance(value, dict):
        return {key: unfold(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unfold(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _unfold_shape(value: Shape) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if value.__struct_config__.tag is not None:
        result["type"] = value.__struct_config__.tag
    for name in value.__struct_fields__:
        if name not in _INTERNAL and (item := getattr(value, name)) is not UNSET:
            result[name] = unfold(item)
    if type(value) is SessionUpdate and type(value.session) is TranslationSession:
        del result["session"]["type"]  # the server refuses it there
    for name, item in (value.extra or {}).items():
        if name in result and isinstance(item, dict) and isinstance(getattr(value, name), dict):
            result[name] = unfold(item) | result[name]  # the pairs of a map that did not fit it
        else:
            result.setdefault(name, unfold(item))
    return result
