"""The turn of the user's that turn detection is about to answer by itself, from its commit to its response.

What is promised from the end of the speech on is `core.floor`'s.
"""

import math

__all__ = ["Announced"]

_ANSWER_SECONDS = 10.0


class Announced:
    """The last commit that announces a response.

    Attributes:
        number: Its number in the order of events; 0 once a response of turn detection came.
        is_open: Whether no response at all was created since.
    """

    def __init__(self) -> None:
        self.number = 0
        self.is_open = False
        self._at = -math.inf

    def is_likely(self, now: float) -> bool:
        """Whether a response of turn detection is likely to be on its way."""
        return self.number > 0 and now < self._at + _ANSWER_SECONDS

    def commit(self, number: int, now: float) -> None:
        """A turn was committed; 0 for one that turn detection does not answer."""
        self.number, self._at, self.is_open = number, now, number > 0

    def take(self) -> int:
        """Give the number, once: its response came, or never will."""
        number, self.number = self.number, 0
        return number
