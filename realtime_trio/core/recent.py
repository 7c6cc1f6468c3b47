"""A set that remembers so many, and then forgets the oldest: for names that a server makes up.

A server that behaves never gets near such a bound; one that does not is not to fill the memory.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T", bound=Hashable)


class Recent(Generic[T]):
    """The newest names that were added.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: dict[T, None] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[T]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: T) -> None:
        """Remember a name; one that is remembered keeps its age."""
        self._names[name] = None
        if len(self._names) > self._most:
            del self._names[next(iter(self._names))]

    def discard(self, name: T) -> None:
        """Forget a name, if it is remembered."""
        self._names.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._names.clear()
