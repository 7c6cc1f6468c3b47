"""Acknowledged calls: which answer of the server belongs to which call of ours.

The server echoes no id on success, so answers are matched by what they are about: by the item id for create, delete,
retrieve and truncate; first in, first out, with one of a kind in flight, for update, commit and clear. An `error` is
matched by `event_id`, else by an item id in its message, else it belongs to the only call in flight.
How something is sent is the caller's business (`engine.py`); a call that a lost link left without an answer is asked
again on the next (`succession.py`).
"""

import math
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import attrs
import trio

from realtime_trio import events
from realtime_trio.errors import LocalProtocolError, NotAcknowledged, ServerError

from .promise import Promise

__all__ = ["Call", "Calls", "Kind", "server_error"]

Kind: TypeAlias = Literal["create", "delete", "retrieve", "truncate", "update", "commit", "clear"]

_ONE_IN_FLIGHT: frozenset[Kind] = frozenset({"update", "commit", "clear"})


def server_error(problem: events.ErrorDetails) -> ServerError:
    """Make the exception for the payload of an `error` event."""
    return ServerError(
        problem.message,
        type=problem.type,
        code=problem.code or None,
        param=problem.param or None,
        event_id=problem.event_id or None,
    )


@attrs.define(eq=False)
class Call:
    """One call in flight.

    Attributes:
        kind: What was asked.
        item_id: The item it is about, "" where there is none.
        event_id: The id of the client event, "" until it was sent.
        until: When it is forgotten, at the latest.
        then: What is done at once when it was acknowledged, also if nobody waits for it any more.
        event: What was sent, None as long as it was not: another link may have to be asked the same again.
    """

    kind: Kind
    item_id: str = ""
    event_id: str = ""
    until: float = math.inf
    then: Callable[[Any], object] | None = None
    event: events.ClientEvent | None = None
    answer: Promise[Any] = attrs.field(factory=Promise)


class Calls:
    """The calls that wait for an answer."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._open: list[Call] = []
        self._held = False
        self._lots = {kind: trio.Lock() for kind in _ONE_IN_FLIGHT}

    @property
    def waiting(self) -> int:
        """How many calls wait for the server's answer."""
        return len(self._open)

    async def make(
        self,
        kind: Kind,
        event: events.ClientEvent | Callable[[], events.ClientEvent],
        send: Callable[[events.ClientEvent], Awaitable[str]],
        *,
        item_id: str = "",
        then: Callable[[Any], object] | None = None,
    ) -> Any:
        """Send something and wait for its answer.

        Args:
            kind: What is asked.
            event: What is sent; or what makes it, when it is its turn to be sent.
            send: Hands the event to the writer and returns its event id.
            item_id: The item it is about.
            then: Done with the answer before any later event is looked at, also if nobody waits any more.

        Raises:
            LocalProtocolError: It is not of the wire's shape. Nothing was sent.
            ServerError: The server refused.
            NotAcknowledged: No answer within the time limit.

        Cancellation:
            What was sent stays sent. The answer that then still comes is not taken for that of a later call.
        """
        if not callable(event):
            _check_shape(event)
        if kind in _ONE_IN_FLIGHT:
            async with self._lots[kind]:
                await self._orphan_answered(kind)
                return await self._make(Call(kind, item_id, then=then), event, send)
        return await self._make(Call(kind, item_id, then=then), event, send)

    async def _orphan_answered(self, kind: Kind) -> None:
        """Wait until a cancelled call of this kind, which was sent, has its answer, or never will."""
        for call in [call for call in self._open if call.kind == kind]:
            while not call.answer.settled and trio.current_time() < call.until:
                with trio.move_on_at(call.until):
                    await _settled(call)
            self._close(call)

    def follow(self, kind: Kind, event: events.ClientEvent, event_id: str, item_id: str = "") -> Call:
        """Wait, from now on, for the answer to something that is being sent, beside others of its kind.

        Args:
            kind: What was asked.
            event: What is sent.
            event_id: The id that it is sent with.
            item_id: The item it is about.

        Returns:
            The call, for `outcome`.
        """
        call = Call(kind, item_id, event_id, self._until(), event=event)
        self._open.append(call)
        return call

    def hold(self) -> None:
        """Let no call's time run out: there is no link that an answer could come from."""
        self._held = True
        for call in self._open:
            call.until = math.inf

    def go_on(self) -> None:
        """Let time run again, for each call anew."""
        self._held = False
        for call in self._open:
            if call.event is not None:
                call.until = self._until()

    @property
    def in_flight(self) -> list[Call]:
        """The calls that were sent and not answered, in that order."""
        return [call for call in self._open if call.event is not None]

    def settle(self, call: Call, value: object) -> None:
        """Give a call its answer, which no server is going to give."""
        self._close(call)
        if call.then is not None:
            call.then(value)
        call.answer.keep(value)

    def _until(self) -> float:
        return math.inf if self._held else trio.current_time() + self.timeout

    async def outcome(self, call: Call) -> Any:
        """Wait for the answer to a call that was sent; raises as `make` does.

        Cancellation:
            Safe; the answer that then still comes is not taken for that of a later call.
        """
        while True:
            with trio.move_on_at(call.until):
                return await call.answer.wait()
            if trio.current_time() >= call.until:  # else a link was lost meanwhile, and the time began anew
                break
        if call.kind in _ONE_IN_FLIGHT:
            call.until += self.timeout  # its answer may yet come, and is not to be taken for that of the next call
        else:
            self._close(call)
        about = f" of item {call.item_id!r}" if call.item_id else ""
        raise NotAcknowledged(f"the server did not answer the {call.kind}{about} within {self.timeout:g} s")

    async def _make(
        self,
        call: Call,
        event: events.ClientEvent | Callable[[], events.ClientEvent],
        send: Callable[[events.ClientEvent], Awaitable[str]],
    ) -> Any:
        now = trio.current_time()
        self._open = [one for one in self._open if one.until > now]  # cancelled ones that were never answered
        self._open.append(call)
        try:
            if callable(event):
                event = event()
                _check_shape(event)
            call.event_id = await send(event)
        except BaseException:
            self._close(call)  # never sent
            raise
        call.event, call.until = event, self._until()
        return await self.outcome(call)

    def _close(self, call: Call) -> None:
        if call in self._open:
            self._open.remove(call)

    def handle(self, event: events.ServerEvent) -> bool:  # noqa: PLR0911 a table
        """Give an answer to the call it belongs to. Returns whether there was one."""
        match event:
            case events.ConversationItemAdded() | events.ConversationItemCreated():
                return self._answer("create", event.item, getattr(event.item, "id", ""))
            case events.ConversationItemDeleted(item_id=item_id):
                return self._answer("delete", None, item_id)
            case events.ConversationItemRetrieved():
                return self._answer("retrieve", event.item, getattr(event.item, "id", ""))
            case events.ConversationItemTruncated(item_id=item_id):
                return self._answer("truncate", None, item_id)
            case events.SessionUpdated():
                return self._answer("update", event.session)
            case events.InputAudioBufferCommitted(item_id=item_id):
                return self._answer("commit", item_id)
            case events.InputAudioBufferCleared():
                return self._answer("clear", None)
            case events.Error():
                return self._refuse(event.error)
            case _:
                return False

    def _answer(self, kind: Kind, value: object, item_id: object = "") -> bool:
        for call in self._open:
            if call.kind == kind and (not call.item_id or call.item_id == item_id):
                self.settle(call, value)
                return True
        return False

    def _refuse(self, problem: events.ErrorDetails) -> bool:
        call = next(self._suspects(problem), None)
        if call is None:
            return False
        self._close(call)
        call.answer.break_(server_error(problem))
        return True

    def _suspects(self, problem: events.ErrorDetails) -> Iterator[Call]:
        if problem.event_id:
            yield from (call for call in self._open if call.event_id == problem.event_id)
            return
        kind = _kind_of(problem)
        alike = [call for call in self._open if kind is None or call.kind == kind]
        named = [call for call in alike if call.item_id and _names(problem.message, call.item_id)]
        if named:
            yield from named[:1]
        elif kind is not None and len(alike) == 1 and not (alike[0].item_id and "'" in problem.message):
            yield alike[0]  # the only one of its kind, and no other item is named

    def end(self, reason: Exception) -> None:
        """Let every call raise the reason why the session ended."""
        for call in self._open:
            call.answer.break_(reason)
        self._open.clear()


_CODES: dict[str, Kind] = {
    "input_audio_buffer_commit_empty": "commit",
    "cannot_update_voice": "update",
    "item_retrieve_invalid_item_id": "retrieve",
    "item_delete_invalid_item_id": "delete",
}

_WORDS: dict[str, Kind] = {
    "truncat": "truncate",
    "already shorter than": "truncate",
    "delet": "delete",
    "retriev": "retrieve",
    "commit": "commit",
}


def _kind_of(problem: events.ErrorDetails) -> Kind | None:
    """Tell which kind of call an error without an event id is about, None when nothing says so."""
    if problem.code and problem.code in _CODES:
        return _CODES[problem.code]
    if problem.param and str(problem.param).startswith("session."):
        return "update"
    message = problem.message.lower()
    return next((kind for words, kind in _WORDS.items() if words in message), None)


def _names(message: str, item_id: str) -> bool:
    """Tell whether a message names this very item: `item_1` is not in "item_10"."""
    return re.search(rf"(?<![\w-]){re.escape(item_id)}(?![\w-])", message) is not None


def _check_shape(event: events.ClientEvent) -> None:
    misfit = events.decode_client(events.encode(event))
    if isinstance(misfit, events.MalformedEvent):
        raise LocalProtocolError(f"{misfit.type} does not fit: {misfit.problem}. Nothing was sent.")


async def _settled(call: Call) -> None:
    with suppress(Exception):  # only that it was answered matters here
        await call.answer.wait()
