"""Bounded views of what happens in a session, for any number of consumers.

A subscription is registered by the call that makes it, so nothing that comes after that call is missed; it is a class
with `aclose`, not an async generator (those leak after a `break`, and lose what comes before their first step). What
is put into one is decided elsewhere (`session.py`).
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import attrs
import trio

__all__ = ["Lagged", "Subscription", "again"]

T = TypeVar("T")


@attrs.frozen
class Lagged:
    """This subscriber was too slow: values were dropped, oldest first.

    Attributes:
        count: How many values were dropped since the last one that was received.
    """

    count: int


def again(error: Exception) -> Exception:
    """Make a fresh copy of an exception, so that several waiters can raise it without sharing a traceback."""
    try:
        copy = type(error).__new__(type(error), *error.args)  # groups want theirs here
    except TypeError:
        return error  # a class of the user's that cannot be copied
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    copy.__cause__ = error
    return copy


class Subscription(AsyncIterator[T], Generic[T]):
    """Values in the order in which they happened, at most `size` of them held.

    When it is full the oldest go. A subscription to events says so in band: the next value that is received is
    `Lagged(count)`. Iteration ends when the subscription or the session is closed, after everything held was received.
    When the link was lost, the reason is raised instead.

    Attributes:
        dropped: How many values were dropped so far because nobody received them in time.
    """

    def __init__(
        self,
        size: int,
        forget: Callable[["Subscription[T]"], None],
        lagged: Callable[[int], T] | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"a subscription holds at least 1 value, not {size}")
        self.dropped = 0
        self._lagged = lagged
        self._held: deque[T] = deque()
        self._size = size
        self._untold = 0
        self._forget = forget
        self._ended = False
        self._reason: Exception | None = None
        self._receiver = trio.lowlevel.ParkingLot()

    @property
    def held(self) -> int:
        """How many values wait to be received."""
        return len(self._held)

    def offer(self, value: T) -> None:
        """Put a value in, dropping the oldest when full. For the session, not for users."""
        if self._ended:
            return
        if len(self._held) == self._size:
            self._held.popleft()
            self.dropped += 1
            self._untold += 1
        self._held.append(value)
        self._receiver.unpark_all()

    def end(self, reason: Exception | None = None) -> None:
        """Let nothing more in; who waits gets what is held, then the end. For the session, not for users."""
        if not self._ended:
            self._ended, self._reason = True, reason
            self._receiver.unpark_all()

    async def receive(self) -> T:
        """Wait for the next value.

        Raises:
            trio.EndOfChannel: It is closed, and everything held was received.
            ConnectionClosed: The link was lost, and everything held was received.
            trio.BusyResourceError: Another task is already waiting here.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        await trio.lowlevel.checkpoint()
        while not self._held:
            if self._ended:
                if self._reason is not None:
                    raise again(self._reason)
                raise trio.EndOfChannel
            if self._receiver:
                raise trio.BusyResourceError("another task is already waiting for this subscription")
            await self._receiver.park()
        if self._untold and self._lagged is not None:
            lagged, self._untold = self._lagged(self._untold), 0
            return lagged
        return self._held.popleft()

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Stop receiving and forget what is held.

        Cancellation:
            It is closed in any case.
        """
        self.end()
        self._held.clear()
        self._forget(self)
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self._held.clear()
        self._forget(self)
