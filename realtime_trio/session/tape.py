"""One record of what a response produced, read by any number of cursors from its start."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Generic, TypeVar

import trio

__all__ = ["Tape"]

T = TypeVar("T")


class Tape(AsyncIterable[T], Generic[T]):
    """An append-only record. Each `async for` over it is a reader of its own, from the first entry.

    Readers end quietly when the record is complete, also when the response was interrupted.
    """

    def __init__(self) -> None:
        self._entries: list[T] = []
        self._complete = False
        self._readers = trio.lowlevel.ParkingLot()

    @property
    def entries(self) -> tuple[T, ...]:
        """What is on it so far."""
        return tuple(self._entries)

    def append(self, entry: T) -> None:
        """Write an entry and wake the readers; a complete record takes no more. For the session, not for users."""
        if not self._complete:
            self._entries.append(entry)
            self._readers.unpark_all()

    def complete(self) -> None:
        """Let the readers end once they have read everything. For the session, not for users."""
        self._complete = True
        self._readers.unpark_all()

    async def entry(self, index: int) -> T:
        """Wait for the entry at `index`, counted from 0.

        Raises:
            trio.EndOfChannel: The record is complete and has no such entry.

        Cancellation:
            Safe: reading changes nothing.
        """
        if index < len(self._entries) or self._complete:
            await trio.lowlevel.checkpoint()
        while index >= len(self._entries):
            if self._complete:
                raise trio.EndOfChannel
            await self._readers.park()
        return self._entries[index]

    def __aiter__(self) -> AsyncIterator[T]:
        return _Cursor(self)


class _Cursor(AsyncIterator[T]):
    def __init__(self, tape: Tape[T]) -> None:
        self._tape = tape
        self._next = 0

    async def __anext__(self) -> T:
        try:
            entry = await self._tape.entry(self._next)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        self._next += 1
        return entry
