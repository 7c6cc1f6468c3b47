"""Text to events and back: the strict way, which nearly every message takes.

What the strict way refuses is read once more, part by part, in `salvage`; what the encoder alone would write wrongly is
prepared in `unfold`.
"""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any, cast

import msgspec
from msgspec import UNSET

from realtime_trio.errors import LocalProtocolError

from ._base import MARK, EventBase
from .client import InputAudioBufferAppend, SessionInputAudioBufferAppend, SessionUpdate
from .config import TranslationSession
from .registry import CLIENT_EVENTS, SERVER_EVENTS, ClientEvent, Kind, ServerEvent
from .salvage import Salvage
from .server_responses import ResponseOutputAudioDelta
from .unfold import unfold
from .unknown import MalformedEvent, UnknownEvent

__all__ = ["decode", "decode_client", "encode"]


def _decoder(classes: Iterable[type[EventBase]]) -> msgspec.json.Decoder[Any]:
    # One decoder for the union: msgspec finds the class by its tag in the same pass in which it reads the fields.
    return msgspec.json.Decoder(reduce(or_, classes))


_ALL_SERVER_EVENTS = tuple(dict.fromkeys(cls for classes in SERVER_EVENTS.values() for cls in classes))
_strict_server = _decoder(_ALL_SERVER_EVENTS).decode
_strict_client = {kind: _decoder(classes).decode for kind, classes in CLIENT_EVENTS.items()}
_salvage_server = Salvage(_ALL_SERVER_EVENTS, lenient=True)
_salvage_client = {kind: Salvage(classes, translation=kind == "translation") for kind, classes in CLIENT_EVENTS.items()}
_write = msgspec.json.Encoder().encode
_MARK = MARK.encode()
_AUDIO = frozenset({InputAudioBufferAppend, SessionInputAudioBufferAppend, ResponseOutputAudioDelta})


def decode(text: str | bytes) -> ServerEvent:
    """Read one event of a server, of any kind of session.

    Nothing that is an event is refused: see `UnknownEvent`, `MalformedEvent`, `UnknownItem` and its kin, and the fields
    `extra` and `notes`.

    Args:
        text: One whole message.

    Returns:
        The event. `encode` gives back what was read, apart from what `notes` says was repaired.

    Raises:
        RemoteProtocolError: The text is not a JSON object with a string `type`.
        TypeError: It is no text at all.
    """
    try:
        return cast("ServerEvent", _strict_server(text))
    except TypeError:
        raise _no_text(text) from None
    except (ValueError, RecursionError):
        return cast("ServerEvent", _salvage_server.read(text))


def decode_client(text: str | bytes, *, kind: Kind = "realtime") -> ClientEvent:
    """Read one event of a client, as a server does.

    Stricter than `decode` in one thing: whatever does not fit makes the whole event malformed, so that the client can
    be told which parameter is wrong.

    Args:
        text: One whole message.
        kind: The session's kind. An event that belongs to another kind is unknown.

    Returns:
        The event.

    Raises:
        RemoteProtocolError: The text is not a JSON object with a string `type`.
        TypeError: It is no text at all.
        ValueError: There is no such kind.
    """
    if kind not in _strict_client:
        raise ValueError(f"kind={kind!r} is none of {', '.join(map(repr, _strict_client))}")
    try:
        return cast("ClientEvent", _strict_client[kind](text))
    except TypeError:
        raise _no_text(text) from None
    except (ValueError, RecursionError):
        return cast("ClientEvent", _salvage_client[kind].read(text))


def encode(event: ClientEvent | ServerEvent) -> str:
    """Write an event as one message.

    Args:
        event: Any event. An unknown or malformed one is written as it came.

    Returns:
        JSON text.

    Raises:
        LocalProtocolError: It cannot be written: a lone surrogate, a number that is not finite, something that has no
            form in JSON, or nested too deeply.
    """
    try:
        if isinstance(event, EventBase):
            written = _write(event)
            if type(event) in _AUDIO and event.extra is UNSET and not event.notes:
                # Nothing below can apply, and to search so much text would take longer than to write it.
                return written.decode()
            # msgspec writes NaN and infinities as null, and knows nothing of what has no place on the wire.
            if (
                _MARK in written
                or b"null" in written
                or (type(event) is SessionUpdate and type(event.session) is TranslationSession)
            ):
                written = _write(unfold(event))
            return written.decode()
        if isinstance(event, UnknownEvent):
            return _write(unfold(event)).decode()
        if isinstance(event, MalformedEvent):
            event.json.encode()  # refuses lone surrogates
            return event.json
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise LocalProtocolError(f"this {type(event).__name__} cannot be written as JSON: {error}") from None
    raise LocalProtocolError(f"a {type(event).__name__} is not an event")


def _no_text(text: object) -> TypeError:
    return TypeError(f"an event is read from one message, str or bytes, not from {type(text).__name__}")
