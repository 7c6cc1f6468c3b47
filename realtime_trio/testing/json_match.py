"""JSON values beside each other: what differs, what a merge makes, how they look in one line. Nothing is sent."""

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["merge", "mismatch", "show"]

_LONGEST: Final = 200


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Merge as the server does: what is absent stays, objects are merged, everything else is replaced."""
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        result[name] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def mismatch(event: object, wanted: object, path: str = "") -> str | None:
    """Say where an event is not what is wanted; None if it is.

    Objects may contain more than is wanted, everything else has to be equal; a callable is asked about the value, `...`
    is happy with any.
    """
    if isinstance(wanted, Mapping) and isinstance(event, Mapping):
        for name, value in wanted.items():
            place = f"{path}.{name}" if path else str(name)
            problem = mismatch(event[name], value, place) if name in event else f"{place} is missing"
            if problem:
                return problem
        return None
    if isinstance(wanted, list | tuple) and isinstance(event, list) and len(event) == len(wanted):
        found = (mismatch(one, other, f"{path}[{n}]") for n, (one, other) in enumerate(zip(event, wanted, strict=True)))
        return next(filter(None, found), None)
    fits = wanted is ... or (wanted(event) if callable(wanted) else event == wanted)
    return None if fits else f"{path} is {show(event)}"


def show(value: object) -> str:
    """Write a value in one line, long strings (audio!) cut."""

    def short(part: object) -> object:
        if isinstance(part, str) and len(part) > _LONGEST:
            return f"{part[:20]}… ({len(part)} characters)"
        if isinstance(part, Mapping):
            return {key: short(inner) for key, inner in part.items()}
        if isinstance(part, list | tuple):
            return [short(inner) for inner in part]
        return part

    return json.dumps(short(value), ensure_ascii=False, default=repr)
