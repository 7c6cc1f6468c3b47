"""What every wire value has in common: strictness, unknown fields, and a repr that shows neither audio nor credentials.

The values themselves are in the modules named after their nouns; turning them into text and back is in `codec`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from realtime_trio.errors import redact

__all__ = ["EXTRA", "MARK", "NOTES", "ClientEventBase", "EventBase", "Maybe", "ServerEventBase", "Shape", "Tagged"]

_T = TypeVar("_T")

Maybe: TypeAlias = _T | UnsetType | None
"""An optional field: a value, `None` (null on the wire) or `UNSET` (not on the wire). To a merge these differ."""

MARK = "$$"
"""How the names of fields without a place on the wire begin. `encode` looks for it to know that there is work."""
EXTRA = MARK + "extra"
NOTES = MARK + "notes"

if TYPE_CHECKING:
    Extra: TypeAlias = dict[str, Any]
    Notes: TypeAlias = tuple[str, ...]
else:
    # The decoder takes neither of these from JSON, so that no peer can fill a field that has no place on the wire.
    class Extra(dict):
        """Never instantiated: only its refusal by the decoder is wanted."""

    class Notes(tuple):
        """Never instantiated: only its refusal by the decoder is wanted."""

        __slots__ = ()


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Any JSON object of the protocol, as a frozen value."""

    extra: Extra | UnsetType = msgspec.field(default=UNSET, name=EXTRA)
    """Fields on the wire that this version does not know, kept as they came and written back by `encode`.

    So are a server's optional fields whose values do not fit: the field itself is then `UNSET`, and `notes` of the
    event says why.
    """

    LONGEST_SHOWN: ClassVar[int] = 200
    """A longer text is shown in a repr by its length only."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in self._shown())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show the same to `rich`: msgspec's own way would show everything, in tracebacks with locals too."""
        return [(name, _AsItIs(text)) for name, text in self._shown()]

    def _shown(self) -> Iterator[tuple[str, str]]:
        for name in sorted(self.__struct_fields__, key=_ASIDE.__contains__):  # what is not on the wire comes last
            value = getattr(self, name)
            if value is UNSET or (name == "notes" and not value):
                continue
            limits = (_LONGEST_FOREIGN, _MOST_FOREIGN) if name in _FOREIGN else (self.LONGEST_SHOWN,)
            text = "<hidden>" if name in _CREDENTIALS else _show(value, *limits)
            yield name, redact(text) if name in _WORDS else text


class Tagged(Shape, tag_field="type", tag="", frozen=True):
    """A shape that its `type` tells apart from its neighbours."""

    @property
    def type(self) -> str:
        """The wire's `type`."""
        return str(self.__struct_config__.tag)


class EventBase(Tagged, tag="", frozen=True):
    """An event of either direction."""

    notes: Notes = msgspec.field(default=(), name=NOTES)
    """What had to be repaired to read it, in words, for example `"lone surrogate replaced"`. Nearly always empty."""


class ClientEventBase(EventBase, tag="", frozen=True):
    """An event that a client sends."""

    event_id: Maybe[str] = UNSET
    """Made by the client, at most 512 characters; comes back only in `error.event_id`."""


class ServerEventBase(EventBase, tag="", frozen=True, kw_only=True):
    """An event that the server sends."""

    event_id: str
    """Made by the server."""


_ASIDE = ("extra", "notes")
_CREDENTIALS = frozenset({"authorization", "headers", "client_secret"})
_FOREIGN = frozenset({"element"})  # of no known form: it may be sound
_WORDS = frozenset({"message", "json", "element"})  # of a server's, which may quote a credential
_MOST_FOREIGN = 16  # items of a list: sound may also come as numbers
_LONGEST_FOREIGN = 64  # of base64: 48 bytes, one millisecond of audio


class _AsItIs:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _show(value: object, limit: int, most: int | None = None) -> str:
    """Return the repr of a field, with audio, texts beyond `limit` and lists beyond `most` replaced by their sizes."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return repr(value) if len(value) <= limit else f"<{len(value)} characters>"
    if isinstance(value, dict):
        # An object that this version does not know may hold audio in any form and under any name, and credentials.
        shown = (
            f"{_show(key, _LONGEST_FOREIGN)}: "
            f"{'<hidden>' if key in _CREDENTIALS else redact(_show(item, _LONGEST_FOREIGN, _MOST_FOREIGN))}"
            for key, item in value.items()
        )
        return f"{{{', '.join(shown)}}}"
    if isinstance(value, list | tuple):
        if most is not None and len(value) > most:
            return f"<{len(value)} items>"
        body = ", ".join(_show(item, limit, most) for item in value)
        return f"[{body}]" if isinstance(value, list) else f"({body}{',' if len(value) == 1 else ''})"
    return repr(value)
