"""Values that are not shown: not by `repr`, and not by whoever shows a traceback with its locals, as crash reports do.

What is taken out of texts of others is `errors.redact`'s.
"""

import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["CREDENTIALS", "Headers", "HiddenHeaders", "Secret", "hide", "secrets_in", "shown_url"]

CREDENTIALS: Final = frozenset({"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization"})
"""Headers whose values let somebody in, in lower case."""
_SHOWN_IN_QUERY: Final = frozenset({"model", "intent", "call_id", "api-version", "deployment"})

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


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without user, password and fragment, and of its query only harmless words."""
    parts = urllib.parse.urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    query = [
        f"{name}={value}" if name in _SHOWN_IN_QUERY else f"{name}=…" if name else "…"
        for name, value in _words_of(parts.query)
    ]
    return urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "&".join(query), ""))


def secrets_in(url: str, headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return what is not to be shown of a handshake: the values that `shown_url` leaves out, and the credentials."""
    query = _words_of(urllib.parse.urlsplit(url).query)
    credentials = [(name.lower(), value) for name, value in headers if name.lower() in CREDENTIALS]
    return (
        *(value for name, value in query if value and name not in _SHOWN_IN_QUERY),
        # without the scheme, such as Bearer
        *(value.partition(" ")[2] or value if name.endswith("authorization") else value for name, value in credentials),
    )


def _words_of(query: str) -> list[tuple[str, str]]:
    """Split a query into names and values. A word that stands alone is a value without a name: it may be a key."""
    return [
        pair
        for word in filter(None, query.split("&"))
        for pair in urllib.parse.parse_qsl(word if "=" in word else f"={word}", keep_blank_values=True)
    ]
