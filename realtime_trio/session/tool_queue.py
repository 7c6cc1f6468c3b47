"""First in, first out: how many calls of one tool run at once.

Not a semaphore: who is next is settled when a call comes, not when its task happens to run for the first time.
"""

from collections import deque

import attrs
import trio

__all__ = ["Place", "ToolQueue"]


@attrs.define(eq=False)
class Place:
    """One call's place in the queue of its tool.

    Attributes:
        queue: Where it is.
        admitted: Set when its turn has come.
    """

    queue: "ToolQueue"
    admitted: trio.Event = attrs.field(factory=trio.Event)

    def leave(self) -> None:
        """Make room for the next, whether its own turn has come or not. Leaving again changes nothing."""
        self.queue.leave(self)


@attrs.define(eq=False)
class ToolQueue:
    """The calls of one tool.

    Attributes:
        limit: How many run at once; None for no limit.
    """

    limit: int | None = None
    _inside: set[Place] = attrs.field(factory=set, init=False)
    _waiting: deque[Place] = attrs.field(factory=deque, init=False)

    def join(self) -> Place:
        """Take the last place."""
        place = Place(self)
        self._waiting.append(place)
        self._admit()
        return place

    def leave(self, place: Place) -> None:
        """Give a place up."""
        self._inside.discard(place)
        if place in self._waiting:
            self._waiting.remove(place)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and (self.limit is None or len(self._inside) < self.limit):
            place = self._waiting.popleft()
            self._inside.add(place)
            place.admitted.set()
