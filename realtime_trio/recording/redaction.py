"""What is taken out of a recording before it is written: credentials, by their place, their look and their value."""

from collections.abc import Callable
from typing import Any, Final

from realtime_trio.config import shown_url
from realtime_trio.errors import redact

__all__ = ["Redaction"]

_HIDDEN: Final = "[redacted]"
_LEAST: Final = 4  # characters of a text that can hold a piece of a credential
_LEAST_LEARNT: Final = 8  # a shorter credential may be a word that stands elsewhere for itself
_MOST_LEARNT: Final = 64
_CREDENTIALS: Final = frozenset({"authorization", "api_key", "client_secret"})


class Redaction:
    """Takes credentials out of JSON values. What it finds in a place for credentials it takes out everywhere after.

    Args:
        custom: What a user's own function does to every text after that.
        off: Whether nothing is taken out, but by `custom`.
    """

    def __init__(self, custom: Callable[[str], str] | None = None, *, off: bool = False) -> None:
        self._custom = custom
        self._off = off
        self._known: list[Callable[[str], str]] = []
        self._learnt: dict[str, None] = {}

    def learn(self, redact_known: Callable[[str], str]) -> None:
        """Take out what this function takes out as well: it knows the credentials of a connection."""
        self._known = [*self._known[-7:], redact_known]

    def text(self, text: str) -> str:
        """Take credentials out of a text."""
        if not self._off and len(text) >= _LEAST:
            text = redact(text, *self._learnt)
            for redact_known in self._known:
                text = redact_known(text)
        return text if self._custom is None else self._custom(text)

    def value(self, value: Any) -> Any:
        """Take credentials out of a JSON value; a new one is made where that changes something.

        Returns:
            The value without them.
        """
        match value:
            case str():
                return self.text(value)
            case dict():
                hosted = value.get("type") == "mcp" and not self._off
                return {self._key(key): self._field(key, item, hosted=hosted) for key, item in value.items()}
            case list():
                return [self.value(item) for item in value]
            case _:
                return value

    def _key(self, key: str) -> str:
        # the protocol's own words are short and lower case; a longer name is somebody's data
        return key if key.isidentifier() and key.islower() else self.text(key)

    def _field(self, key: str, value: Any, *, hosted: bool) -> Any:
        if hosted and key == "headers" and isinstance(value, dict):
            return {self.text(name): self._hide(content) for name, content in value.items()}
        if hosted and key == "authorization":
            return self._hide(value)
        if hosted and key == "server_url" and isinstance(value, str):
            return self.text(_shown(value))
        if not self._off and isinstance(value, str) and key.lower() in _CREDENTIALS:
            return _HIDDEN
        return self.value(value)

    def _hide(self, value: Any) -> Any:
        if isinstance(value, str):
            secret = value.rpartition(" ")[2]
            if len(secret) >= _LEAST_LEARNT:
                self._learnt[secret] = None
                while len(self._learnt) > _MOST_LEARNT:
                    del self._learnt[next(iter(self._learnt))]
        return None if value is None else _HIDDEN


def _shown(url: str) -> str:
    try:
        return shown_url(url)
    except ValueError:
        return _HIDDEN
