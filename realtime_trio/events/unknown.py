"""What this version does not know, and what does not fit: kept as data, so that one odd part does not cost the whole.

When these arise is decided in `codec`.
"""

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from ._base import MARK, Extra, Shape

__all__ = ["MalformedEvent", "Unknown", "UnknownEvent", "UnknownItem", "UnknownPart", "UnknownShape", "UnknownTool"]

DATA = MARK + "data"


class Unknown(Shape, tag_field="type", tag=MARK, frozen=True, kw_only=True):
    """An object whose `type` is not known, or whose `type` is known but whose fields do not fit it; or no object."""

    # A type that no JSON decodes to: the strict decoder can never make one of these by itself.
    type: str = msgspec.field(name=MARK + "type")
    """The wire's `type`; `""` where there was none."""
    data: Extra = msgspec.field(name=DATA)
    """The whole object as it came, `type` included."""
    element: Any = msgspec.field(default=UNSET, name=MARK + "element")
    """What stood in the list where it was no object at all; `type` and `data` are then empty."""


class UnknownItem(Unknown, tag=MARK + "item", frozen=True):
    """An item of a type that this version does not know, or that does not fit its type."""

    @property
    def id(self) -> str | UnsetType:
        """The item's id, when it has one."""
        value = self.data.get("id")
        return value if isinstance(value, str) else UNSET


class UnknownPart(Unknown, tag=MARK + "part", frozen=True):
    """A content part of a type that this version does not know, or that does not fit its type."""


class UnknownTool(Unknown, tag=MARK + "tool", frozen=True):
    """A tool of a type that this version does not know, or that does not fit its type."""


class UnknownShape(Unknown, tag=MARK + "shape", frozen=True):
    """Any other object of a type that this version does not know: a turn detection, a tool choice, an MCP error."""


class UnknownEvent(Shape, frozen=True, kw_only=True):
    """An event of a type that this version does not know."""

    type: str
    """The wire's `type`."""
    data: dict[str, Any]
    """The whole event as it came, `type` included."""
    event_id: str | UnsetType = UNSET
    """Its id, when it has one."""
    notes: tuple[str, ...] = ()
    """What had to be repaired to read it, in words."""


class MalformedEvent(Shape, frozen=True, kw_only=True):
    """An event of a known type that does not fit that type, or that cannot be read to its end."""

    LONGEST_SHOWN: ClassVar[int] = 64  # its text may hold audio

    type: str
    """The wire's `type`."""
    json: str
    """The whole text as it came (lone surrogates replaced)."""
    problem: str
    """What does not fit, in words, without the values themselves."""
    param: str | UnsetType = UNSET
    """Where, for example `"session.audio.input.format.rate"`, when one place is at fault."""
    code: str | UnsetType = UNSET
    """What OpenAI's server would call it: `"missing_required_parameter"`, `"invalid_type"` or `"invalid_value"`."""
    event_id: str | UnsetType = UNSET
    """Its id, when it has one."""
    notes: tuple[str, ...] = ()
    """What had to be repaired to read it, in words."""
