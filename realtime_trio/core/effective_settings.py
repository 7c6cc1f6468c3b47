"""The configuration that a session asked for and got, put together from its updates: what a new link is told.

It is not the server's echo of it: that one is full of defaults, leaves secrets out, and may be a part only.
"""

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from realtime_trio.events import (
    UNSET,
    AudioFormat,
    AudioTranscription,
    Error,
    Prompt,
    RealtimeSession,
    ServerEvent,
    SessionUpdated,
    ToolChoiceFunction,
    ToolChoiceMcp,
    UnknownShape,
    UnknownTool,
)

__all__ = ["EffectiveSettings", "merged"]

_SERVERS_OWN = {"id": UNSET, "object": UNSET, "expires_at": UNSET}
# Options of another format, model or prompt do not fit this one: what names another is another object.
_NAMED_BY: dict[type, str] = {AudioFormat: "type", AudioTranscription: "model", Prompt: "id"}
_WHOLE = (ToolChoiceFunction, ToolChoiceMcp, UnknownShape, UnknownTool)  # a choice, not a collection of settings


@attrs.define(eq=False)
class EffectiveSettings:
    """What is in effect, by the updates that the server acknowledged."""

    _acknowledged: RealtimeSession = attrs.field(factory=RealtimeSession, init=False)
    _pending: dict[str, RealtimeSession] = attrs.field(factory=dict, init=False)  # by event id, the oldest first

    def sent(self, event_id: str, session: RealtimeSession) -> None:
        """Note that an update was sent.

        Args:
            event_id: The id of the `session.update`, which an error would name.
            session: What it changes.
        """
        self._pending[event_id] = session

    def handle(self, event: ServerEvent) -> None:
        """Follow one server event: the oldest update is acknowledged, or one is refused."""
        match event:
            case SessionUpdated() if self._pending:
                self._acknowledged = merged(self._acknowledged, self._pending.pop(next(iter(self._pending))))
            case Error(error=problem) if isinstance(problem.event_id, str):
                self._pending.pop(problem.event_id, None)
            case _:
                pass

    def effective(self, *, with_pending: bool = False) -> RealtimeSession:
        """Return what is in effect, as one update says it.

        Args:
            with_pending: Whether what was sent and not answered so far is put on top.
        """
        session = self._acknowledged
        for update in self._pending.values() if with_pending else ():
            session = merged(session, update)
        return msgspec.structs.replace(session, **_SERVERS_OWN)

    def begin_link(self, session: RealtimeSession) -> None:
        """Note that a new link has this configuration; what was pending on the old one is not answered any more."""
        self._acknowledged = session
        self._pending.clear()


def merged(before: RealtimeSession, update: RealtimeSession) -> RealtimeSession:
    """Put an update over a configuration: what it leaves out stays; `""`, `[]` and None clear."""
    session: RealtimeSession = _fields_merged(before, update)
    return session


def _merged(before: Any, update: Any) -> Any:
    if isinstance(before, Mapping) and isinstance(update, Mapping):
        return {**before, **{name: _merged(before.get(name, UNSET), value) for name, value in update.items()}}
    if isinstance(update, msgspec.Struct) and type(update) is type(before) and not isinstance(update, _WHOLE):
        name = _NAMED_BY.get(type(update))
        named = UNSET if name is None else getattr(update, name)
        if name is None or named is UNSET or named == getattr(before, name):
            return _fields_merged(before, update)
    return update


def _fields_merged(before: Any, update: Any) -> Any:
    given = {name: getattr(update, name) for name in update.__struct_fields__ if getattr(update, name) is not UNSET}
    changes = {name: _merged(getattr(before, name), value) for name, value in given.items()}
    return msgspec.structs.replace(before, **changes)
