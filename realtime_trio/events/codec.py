"""Text to events and back.

The strict way in is here.
"""

from typing import Any, cast

import msgspec

from ..errors import LocalProtocolError, RemoteProtocolError
from .registry import CLIENT_EVENTS, SERVER_EVENTS, ClientEvent, Kind, ServerEvent
from .unknown import MalformedEvent, UnknownEvent

__all__ = ["decode", "decode_client", "encode"]


def _d(classes: Any) -> Any:
    from functools import reduce
    from operator import or_

    return msgspec.json.Decoder(reduce(or_, classes))


_SERVER = _d(dict.fromkeys(c for k in SERVER_EVENTS.values() for c in k))
_CLIENT = {k: _d(v) for k, v in CLIENT_EVENTS.items()}
_KNOWN = {c.__struct_config__.tag for k in SERVER_EVENTS.values() for c in k}
_KNOWN_CLIENT = {k: {c.__struct_config__.tag for c in v} for k, v in CLIENT_EVENTS.items()}


def decode(text: str | bytes) -> ServerEvent:
    """Read a server event."""
    try:
        return cast(ServerEvent, _SERVER.decode(text))
    except (ValueError, RecursionError) as error:
        return _slow(text, _KNOWN, error)


def decode_client(text: str | bytes, *, kind: Kind = "realtime") -> ClientEvent:
    """Read a client event."""
    try:
        return cast(ClientEvent, _CLIENT[kind].decode(text))
    except (ValueError, RecursionError) as error:
        return _slow(text, _KNOWN_CLIENT[kind], error)


def _slow(text: str | bytes, known: set[Any], error: Exception) -> Any:
    try:
        data = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("this is not a JSON object") from None
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise RemoteProtocolError("this is not a JSON object with a string type")
    if data["type"] in known:
        return MalformedEvent(type=data["type"], json=str(text), problem=str(error))
    return UnknownEvent(type=data["type"], data=data, event_id=data.get("event_id", msgspec.UNSET))


def encode(event: ClientEvent | ServerEvent) -> str:
    """Write an event."""
    try:
        return msgspec.json.encode(event).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(str(error)) from None
