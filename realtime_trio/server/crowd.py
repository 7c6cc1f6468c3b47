"""How many clients there may be at once: so many sessions, and so many who have only come to the door."""

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

__all__ = ["MOST_AT_THE_DOOR", "Crowd"]

MOST_AT_THE_DOOR = 64
"""Clients that have connected and not asked for a session yet. When one more comes, the eldest goes."""


@attrs.define(eq=False)
class Crowd:
    """The clients of one server.

    Attributes:
        most_sessions: How many sessions there may be.
        sessions: How many there are.
    """

    most_sessions: int
    sessions: int = attrs.field(default=0, init=False)
    _at_the_door: dict[trio.CancelScope, None] = attrs.field(factory=dict, init=False)

    @property
    def is_full(self) -> bool:
        """Whether no more sessions are taken."""
        return self.sessions >= self.most_sessions

    @contextmanager
    def at_the_door(self) -> Iterator[trio.CancelScope]:
        """Stand at the door for the block, which is cancelled when others crowd in; call `let_in` to stay."""
        while len(self._at_the_door) >= MOST_AT_THE_DOOR:
            eldest = next(iter(self._at_the_door))
            del self._at_the_door[eldest]
            eldest.cancel(reason="too many others came to the door")
        with trio.CancelScope() as scope:
            self._at_the_door[scope] = None
            try:
                yield scope
            finally:
                self._at_the_door.pop(scope, None)

    @contextmanager
    def let_in(self, scope: trio.CancelScope) -> Iterator[None]:
        """Have a session for the block."""
        self._at_the_door.pop(scope, None)
        self.sessions += 1
        try:
            yield
        finally:
            self.sessions -= 1
