"""A conversation as plain data: to be kept as JSON, and to begin another session with.

The live picture that it is taken of is in `core.conversation`, what another session takes over of it in `core.seeds`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec

from realtime_trio.errors import ConfigurationError
from realtime_trio.events import Item

from .seeds import LeftOut, make_seeds
from .snapshot_items import SnapshotItem

__all__ = ["Snapshot"]

_VERSION = 1


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation at one moment, without sound: `session.conversation.snapshot()`.

    It is a value: equal to another with the same items, and unchanged by what the conversation does later.

    Attributes:
        items: What was in the conversation, in the server's order.
    """

    items: tuple[SnapshotItem, ...] = ()

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.items)} items>"

    def to_data(self) -> dict[str, Any]:
        """Give it as dicts, lists, texts and booleans, as JSON has them."""
        data: dict[str, Any] = msgspec.json.decode(self.to_json())
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Make a snapshot of what `to_data` gave.

        Args:
            data: The same, also after a way through JSON.

        Raises:
            ConfigurationError: It is not that; the error names what does not fit, and where.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(f"a snapshot is a mapping, as Snapshot.to_data gives it, not {_name(data)}")
        version = data.get("version")
        if version != _VERSION or isinstance(version, bool):
            raise ConfigurationError(f"a snapshot has the version {_VERSION}; this one has {version!r}")
        try:
            made = msgspec.convert({name: value for name, value in data.items() if name != "version"}, cls)
            msgspec.json.encode(made)
        except UnicodeEncodeError:
            raise ConfigurationError("the snapshot holds a lone surrogate, which no message can carry") from None
        except (msgspec.MsgspecError, TypeError) as error:
            raise ConfigurationError(f"the snapshot does not fit: {error}") from None
        twice = _first_repeated(item.id for item in made.items)
        if twice is not None:
            raise ConfigurationError(f"the snapshot holds two items with the id {twice!r}")
        return made

    def to_json(self) -> str:
        """Give it as JSON text."""
        return msgspec.json.encode({"version": _VERSION, "items": self.items}).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make a snapshot of what `to_json` gave.

        Raises:
            ConfigurationError: It is not that.
        """
        if not isinstance(text, str | bytes):
            cure = ": Snapshot.from_data takes that" if isinstance(text, Mapping) else ""
            raise ConfigurationError(f"a snapshot is a text as Snapshot.to_json gives it, not {_name(text)}{cure}")
        try:
            data = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ConfigurationError(f"the snapshot is not JSON: {error}") from None
        return cls.from_data(data)

    def items_to_create(self) -> list[Item]:
        """Give the items with which a new conversation is to begin, in order and without ids.

        The user's speech becomes its transcript, the assistant's the text that was heard of it (all of it where nobody
        said how much was). Each function call keeps its `call_id` and has exactly one output behind it; a call without
        one is told that its result is not known, so that the model does not make it a second time unawares. A finished
        call of an MCP server becomes a function call, which a client can create.
        """
        return [made[1] for made in make_seeds(self.items) if not isinstance(made, LeftOut)]

    def left_out(self) -> tuple[LeftOut, ...]:
        """Say what `items_to_create` had to leave out; empty when everything comes along."""
        return tuple(made for made in make_seeds(self.items) if isinstance(made, LeftOut))


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _name(value: object) -> str:
    return type(value).__name__
