"""Values that are not shown: not by `repr`, and not by whoever shows a traceback with its locals, as crash reports do.

What is taken out of texts of others is `errors.redact`'s.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["Headers", "HiddenHeaders", "Secret", "hide"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
"""Extra HTTP headers of the handshake: a mapping, or pairs of name and value, which may repeat a name."""


class Secret:
    """A text that is never shown: not by `repr`, `str`, `format`, nor in a traceback's locals.

    Args:
        value: The text. `reveal` is the one way to it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled: a pickle would show it")


class HiddenHeaders(Iterable[tuple[str, str]]):
    """Headers whose values are not shown, in a traceback's locals either.

    Args:
        headers: A mapping, or pairs; checked by `resolve`.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __iter__(self) -> Iterator[tuple[str, str]]:
        headers: Any = self._headers
        return iter(headers.items() if isinstance(headers, Mapping) else headers)

    def __repr__(self) -> str:
        return "HiddenHeaders(…)"


def hide(value: str | Secret | None) -> Secret | None:
    """Put a text out of sight: whoever shows a traceback with its locals would show it."""
    return Secret(value) if isinstance(value, str) else value
