"""What the log says of a session as a whole: when it was opened and closed, and what a person should look at.

Crashes in the user's own code are logged where they are caught; each event's type and size, by the connection. What was
said, written or heard never gets here: see `log_words`.
"""

import itertools
import logging
import math
from collections.abc import Callable
from typing import Any, Final

import attrs
import msgspec
import trio

from realtime_trio import events
from realtime_trio.errors import ToolTimeout, redact
from realtime_trio.log_words import name_of, problem_of

from . import notices as told
from .responses import Response

__all__ = ["SessionLog"]

_log = logging.getLogger("realtime_trio.session")

_Line = tuple[int, str]

_TELL_DROPPED_AFTER: Final = 5.0  # seconds between two warnings of the same
_LONGEST: Final = 200  # characters of a problem: it names the place, and the server makes its names


@attrs.define(eq=False)
class SessionLog:
    """The log of one session, which it numbers."""

    # not the server's id, which a hostile server could make of anything
    _id: int = attrs.field(factory=itertools.count(1).__next__, init=False)
    _opened_at: float | None = attrs.field(default=None, init=False)
    _misfits: set[type] = attrs.field(factory=set, init=False)
    _dropped_ms: int = attrs.field(default=0, init=False)  # and not told yet
    _dropped_told_at: float = attrs.field(default=-math.inf, init=False)

    def opened(self, config: events.RealtimeSession, *, device: object) -> None:
        """The block is about to be entered."""
        self._opened_at = trio.current_time()
        given = getattr(device, "__wrapped__", device)  # what records it is none of the user's
        kind = "without a device" if device is None else f"with a {type(given).__name__}"
        _log.info("session %d is open: %s, %s", self._id, name_of(config.model), kind)

    def closed(self, reason: Exception | None) -> None:
        """It is over: for a reason that is not the user's, or without one."""
        if self._opened_at is None:
            _log.debug("no session came about%s", "" if reason is None else f": {problem_of(reason)}")
            return
        seconds = trio.current_time() - self._opened_at
        if reason is None or isinstance(reason, trio.ClosedResourceError):
            _log.info("session %d is closed after %.1f s", self._id, seconds)
        else:
            _log.warning("session %d ended after %.1f s: %s", self._id, seconds, problem_of(reason))

    def witness(self, value: object) -> None:
        """Be told what a session's subscribers are told, when it happens."""
        if isinstance(value, msgspec.Struct):  # an event; the connection has logged its type
            if isinstance(value, events.MalformedEvent):
                words = f"a {name_of(value.type)} event does not fit its type ({redact(value.problem[:_LONGEST])})"
                self._note_misfit(value, words)
            elif isinstance(value, events.UnknownEvent):
                self._note_misfit(value, "an event came of a type that this version does not know")
        elif isinstance(value, told.NotAnEvent):
            self._note_misfit(value, "a message came that is no event")
        elif isinstance(value, told.AudioDropped):
            self._note_dropped(value.ms)
        elif not isinstance(value, _ELSEWHERE):
            words_of = _WORDS.get(type(value))
            level, text = (logging.DEBUG, type(value).__name__) if words_of is None else words_of(value)
            _log.log(level, "session %d: %s", self._id, text)

    def _note_dropped(self, ms: int) -> None:
        """Warn of what a slow uplink costs; on one that stands still there is more with each block."""
        self._dropped_ms += ms
        now = trio.current_time()
        if now >= self._dropped_told_at + _TELL_DROPPED_AFTER:
            words = "session %s: the uplink is too slow: %d ms of audio were dropped"
            _log.warning(words, self._id, self._dropped_ms)
            self._dropped_ms, self._dropped_told_at = 0, now

    def _note_misfit(self, value: object, words: str) -> None:
        """Warn of the first of its kind; how many there were, `statistics()` counts."""
        if type(value) not in self._misfits:
            self._misfits.add(type(value))
            _log.warning("session %d: %s; more of the kind are only counted", self._id, words)


def _interrupted(notice: told.Interrupted) -> _Line:
    record = notice.interruption
    heard = f"{record.heard_ms} of {record.received_ms} ms heard"
    return logging.DEBUG, f"{len(record.response_ids)} responses interrupted ({name_of(record.reason)}), {heard}"


def _device_changed(notice: told.DeviceChanged) -> _Line:
    return (logging.INFO if notice.available else logging.WARNING), notice.words


def _reconnected(notice: told.Reconnected) -> _Line:
    why = "after the link was lost" if notice.reason == "lost" else "before the old one became too old"
    lost = f", {len(notice.left_out)} left out" if notice.left_out else ""
    words = f"{why}, {notice.gap_ms} ms without one, {notice.restored} items restored{lost}"
    return logging.INFO, f"another connection carries the session ({words})"


def _tool_failed(notice: told.ToolFailed) -> _Line:
    # a crash is logged with its traceback where it is caught
    level = logging.WARNING if isinstance(notice.exception, ToolTimeout) else logging.DEBUG
    return level, f"{_call(notice)} failed: {problem_of(notice.exception)}"


def _call(notice: Any) -> str:
    return f"tool call {name_of(notice.name)} ({name_of(notice.call_id)})"


def _spent(notice: told.BudgetSpent | told.BudgetWarning) -> str:
    return f"{notice.spent} of {notice.limit} {notice.kind}"


_WORDS: Final[dict[type, Callable[[Any], _Line]]] = {
    told.Interrupted: _interrupted,
    told.Paused: lambda one: (logging.DEBUG, f"the sound pauses for item {name_of(one.item_id)}"),
    told.Resumed: lambda _: (logging.DEBUG, "the sound goes on"),
    told.DeviceChanged: _device_changed,
    told.LinkLost: lambda one: (logging.WARNING, f"the link is lost: {problem_of(one.problem)}"),
    told.Reconnected: _reconnected,
    told.ReplyLost: lambda one: (logging.WARNING, f"a reply cannot be had: {problem_of(one.problem)}"),
    told.ResponseNotCompleted: lambda one: (
        logging.WARNING,
        f"response {name_of(one.response_id)} is {name_of(one.status)}: {name_of(one.reason)}",
    ),
    told.BudgetWarning: lambda one: (logging.WARNING, f"{_spent(one)} are used"),
    told.BudgetSpent: lambda one: (logging.WARNING, f"the budget is spent: {_spent(one)}"),
    told.Guarded: lambda one: (logging.DEBUG, f"the guard stopped response {name_of(one.response_id)}"),
    told.ApprovalNeeded: lambda one: (logging.DEBUG, f"tool call {name_of(one.request.id)} waits for approval"),
    told.ToolStarted: lambda one: (logging.DEBUG, f"{_call(one)} begins"),
    told.ToolProgress: lambda one: (logging.DEBUG, f"{_call(one)} gets on"),
    told.ToolFinished: lambda one: (logging.DEBUG, f"{_call(one)} is answered, {len(one.output)} characters"),
    told.ToolCancelled: lambda one: (logging.DEBUG, f"{_call(one)} is cancelled ({name_of(one.reason)})"),
    told.ToolDetached: lambda one: (logging.DEBUG, f"{_call(one)} goes on in the background"),
    told.ToolFailed: _tool_failed,
    told.McpListed: lambda one: (logging.DEBUG, f"MCP server {name_of(one.server.label)} listed its tools"),
    told.McpListingFailed: lambda one: (
        logging.WARNING,
        f"MCP server {name_of(one.server_label)} could not list its tools",
    ),
    told.McpCallStarted: lambda one: (logging.DEBUG, f"MCP call {name_of(one.name)} begins"),
    told.McpCallFinished: lambda one: (logging.DEBUG, f"MCP call {name_of(one.name)} is done"),
    told.McpCallFailed: lambda one: (logging.WARNING, f"MCP call {name_of(one.name)} failed"),
    told.HandedOver: lambda _: (logging.DEBUG, "another agent takes over"),
    told.VoiceKept: lambda _: (logging.DEBUG, "the voice stays, though the agent has another"),
}
"""What is said of a notice, and how loudly."""

_ELSEWHERE: Final = (Response, told.EchoNotCancelled, told.GuardFailed, told.RecordingStopped)
"""What is logged where it arises, or not at all."""
