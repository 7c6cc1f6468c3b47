"""What a test expects of a client: its events, in order, and how it left. Nothing is sent or received here."""

import math
from collections import deque
from typing import Any, Final, Self, TypeAlias

import trio

from realtime_trio.errors import ConnectionClosed

from .json_match import mismatch, show

__all__ = ["PATIENCE", "Event", "Expectations"]

Event: TypeAlias = dict[str, Any]
"""An event as JSON has it."""

PATIENCE: Final = 5.0
"""Seconds that is waited for a client by default."""


class Expectations:
    """What clients sent: first in, first out in `expect`, and all of it in `received`.

    Args:
        patience: Seconds that `expect` and `expect_end` wait.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._unread: deque[Event] = deque()
        self._news = trio.Event()
        self.received: list[Event] = []
        """Every event that any client sent, in order, also those answered by themselves."""
        self.ignored: set[str] = set()
        """Types that `expect` and `expect_nothing` pass over, for example `"input_audio_buffer.append"`."""
        self.closed: ConnectionClosed | None = None
        """How the newest connection ended, when the client or the link ended it."""

    async def expect(self, type: str, /, *, within: float | None = None, **fields: object) -> Event:
        """Wait for the client's next event and check it.

        Args:
            type: The type that it has to have.
            within: Seconds to wait, otherwise the peer's patience (5 s).
            **fields: What it has to contain: objects may contain more than is named, everything else has to be equal;
                a callable is asked about the value; `...` is happy with any value.

        Returns:
            The event, as JSON has it.

        Raises:
            AssertionError: Another event came, or none.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        wanted = f"{type}{show(fields) if fields else ''}"
        event = await self._next(self._patience if within is None else within)
        if event is None:
            raise AssertionError(f"expected {wanted}, but {self._silence()}; before that: {self._history()}")
        problem = f"the type is {event.get('type')!r}" if event.get("type") != type else mismatch(event, fields)
        if problem:
            raise AssertionError(f"expected {wanted}, but {problem} in {show(event)}; before that: {self._history(1)}")
        return event

    async def expect_nothing(self, seconds: float) -> None:
        """Check that the client sends nothing for so many seconds (nothing that is not `ignored`).

        Raises:
            AssertionError: Something came.

        Cancellation:
            Safe.
        """
        event = await self._next(seconds, to_the_end=True)
        if event is not None:
            raise AssertionError(f"expected nothing for {seconds:g} s, but this came: {show(event)}")

    async def expect_end(self, *, within: float | None = None) -> ConnectionClosed:
        """Wait until the client closed the connection, or dropped it.

        Returns:
            How: code 1000 when it closed properly, 1006 when it just left.

        Raises:
            AssertionError: It did neither.

        Cancellation:
            Safe.
        """
        with trio.move_on_after(self._patience if within is None else within):
            while self.closed is None:
                await self._news.wait()
        if self.closed is None:
            raise AssertionError(f"expected the client to close, but it is still here; last: {self._history()}")
        return self.closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the client's next event, however long that takes; end when it is gone.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        event = await self._next(math.inf)
        if event is None:
            raise StopAsyncIteration
        return event

    async def _next(self, seconds: float, *, to_the_end: bool = False) -> Event | None:
        """Wait for the next event that counts; None if none comes. A client that is gone ends the wait early."""
        with trio.move_on_after(seconds):
            while True:
                while self._unread:
                    event = self._unread.popleft()
                    if event.get("type") not in self.ignored:
                        return event
                if self.closed is not None and not to_the_end:
                    return None
                await self._news.wait()
        return None

    def _take(self, event: Event) -> None:
        """Keep an event until somebody expects it."""
        self._unread.append(event)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _silence(self) -> str:
        return "nothing came" if self.closed is None else f"the client is gone ({self.closed})"

    def _history(self, but: int = 0) -> str:
        seen = [str(event.get("type")) for event in self.received]
        return ", ".join(seen[: len(seen) - but][-8:]) or "nothing"
