"""Checks at the border: what a program gives is of the right kind, or it is told at once which it is and what would do.

One function for each kind of thing, so that the same mistake has the same words wherever it is made.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from realtime_trio.errors import ConfigurationError, RealtimeError

__all__ = ["as_tuple", "check_async", "check_each", "check_text"]


def check_text(
    what: str, value: object, *, empty: bool = True, error: type[RealtimeError] = ConfigurationError
) -> None:
    """Refuse what is no text.

    Args:
        what: What it is, for the words: "the greeting".
        value: What was given.
        empty: Whether it may have no characters.
        error: What to raise.

    Raises:
        RealtimeError: It is none; of the given class.
    """
    if not isinstance(value, str):
        cure = ": decode it first" if isinstance(value, bytes | bytearray) else ""
        raise error(f"{what} is a text, not {_kind(value)}{cure}")
    if not (value or empty):
        raise error(f"{what} is an empty text")


def as_tuple(what: str, value: object, *, cure: str) -> tuple[Any, ...]:
    """Take several things, and refuse one alone; so is what only happens to be iterable: a text, bytes, a mapping.

    Args:
        what: What it has to be, for the words: "tools is a list of tools".
        value: What was given.
        cure: How to write it, for the words: "tools=[...]".

    Raises:
        ConfigurationError: It is not several things.
    """
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | bytearray | memoryview | Mapping):
        raise ConfigurationError(f"{what}, as in {cure}, not {_shown(value)}")
    return tuple(value)


def check_each(call: str, values: Iterable[object]) -> None:
    """Refuse a list where things are given one by one.

    Args:
        call: What was called, for the words: "add_tools".
        values: What it was given.

    Raises:
        ConfigurationError: One of them is several.
    """
    for one in values:
        if isinstance(one, Iterable) and not isinstance(one, str | bytes) and not callable(one):
            raise ConfigurationError(f"{call} takes them one by one, {call}(*them), not in a {_kind(one)}")


def check_async(what: str, value: object, *, cure: str) -> None:
    """Refuse what is surely no async function.

    A lambda and what wraps another function may return something to be awaited; only a call can show.

    Args:
        what: What it is, for the words: "guard".
        value: What was given.
        cure: How to write it, for the words: "async def guard(text)".

    Raises:
        ConfigurationError: It cannot be called, or is a plain function.
    """
    if not callable(value) or _is_plain(value):
        raise ConfigurationError(f"{what} is an async function, {cure}, not {_shown(value)}")


def _is_plain(value: object) -> bool:
    function = value.__func__ if inspect.ismethod(value) else value
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        return False
    return function.__name__ != "<lambda>" and not hasattr(function, "__wrapped__")


def _kind(value: object) -> str:
    return (
        "None" if value is None else f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    )


def _shown(value: object) -> str:
    """Name a thing without telling what is in it, where that may be private."""
    name = getattr(value, "__name__", None)
    return name if callable(value) and isinstance(name, str) else _kind(value)
