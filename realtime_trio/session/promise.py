"""A value that one task waits for and another gives: the smallest thing between a call and its answer."""

from typing import Generic, TypeVar

import attrs
import trio

from .subscription import again

__all__ = ["Promise"]

T = TypeVar("T")


@attrs.define(eq=False)
class Promise(Generic[T]):
    """Settled once, with a value or with an error; later settlements are ignored."""

    _settled: trio.Event = attrs.field(factory=trio.Event, init=False)
    _value: T | None = attrs.field(default=None, init=False)
    _error: Exception | None = attrs.field(default=None, init=False)

    @property
    def settled(self) -> bool:
        """Whether it has a value or an error."""
        return self._settled.is_set()

    def keep(self, value: T) -> None:
        """Give the value."""
        if not self.settled:
            self._value = value
            self._settled.set()

    def break_(self, error: Exception) -> None:
        """Give an error; each waiter raises a copy of its own."""
        if not self.settled:
            self._error = error
            self._settled.set()

    async def wait(self) -> T:
        """Wait for the value, or raise the error.

        Cancellation:
            Safe: waiting changes nothing.
        """
        await self._settled.wait()
        if self._error is not None:
            raise again(self._error)
        return self._value  # type: ignore[return-value]  # settled without an error, so it is a T
