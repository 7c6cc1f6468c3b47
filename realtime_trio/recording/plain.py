"""Values of the session as plain JSON data: notices, exceptions, wire values."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

import attrs
import msgspec

__all__ = ["plain"]


def plain(value: Any) -> Any:  # noqa: PLR0911 one for each kind of value
    """Make JSON data of a value. Nothing here raises; what has no form of its own is shown by its type."""
    match value:
        case None | bool() | int() | str():
            return value if not isinstance(value, str) else value.encode("utf-8", "backslashreplace").decode()
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return str(value)
        case BaseException():
            return {"type": type(value).__name__, "message": plain(str(value))}
        case msgspec.Struct():
            return plain(_wire(value))
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | AbstractSet():
            return [plain(item) for item in value]
        case _ if attrs.has(type(value)):
            names = [field.name for field in attrs.fields(type(value)) if not field.name.startswith("_")]
            return {name: plain(getattr(value, name)) for name in names}
        case _:
            return f"<{type(value).__name__}>"


def _wire(value: msgspec.Struct) -> Any:
    """What a wire value looks like as JSON."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
