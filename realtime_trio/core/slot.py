"""The default conversation's one slot for a response: what is in it, and when it is worth asking for it again."""

import math

from .life_signs import LifeSigns

__all__ = ["Slot"]

_FIRST_BACKOFF = 0.25
_LAST_BACKOFF = 4.0


class Slot:
    """What is known of the slot, which is the server's.

    * "Already active" may name a response of which we do not know (its `response.created` is on its way, or another
      client made it). Then there is no `response.done` to wait for and the time to the next try doubles from 0.25 s.
    * A server that loses a `response.done` must not silence us for ever: a response of which nothing came for 30 s does
      not hold the slot any more. If it lives after all, asking is rejected, which does no harm.

    Args:
        life: When anything last came of each response.

    Attributes:
        response_id: The response that is in it; None for none that is known.
    """

    def __init__(self, life: LifeSigns) -> None:
        self.response_id: str | None = None
        self._life = life
        self._retry_at = -math.inf

    @property
    def free_at(self) -> float:
        """From when on it may be asked for, as far as is known."""
        quiet_at = -math.inf if self.response_id is None else self._life.quiet_at(self.response_id)
        return max(self._retry_at, quiet_at)

    def pass_time(self, now: float) -> None:
        """Let go of a response of which nothing came for long."""
        if self.response_id is not None and now >= self._life.quiet_at(self.response_id):
            self.response_id = None

    def take(self, response_id: str) -> None:
        """A response was created in it."""
        self.response_id = response_id

    def leave(self, response_id: str | None) -> None:
        """A response of the conversation is done; none that we know, perhaps the one that we were rejected for."""
        self._retry_at = -math.inf
        if response_id == self.response_id:
            self.response_id = None

    def rejected(self, times: int, now: float) -> None:
        """It was asked for, and is taken.

        Args:
            times: How often before this, in a row, for a response that nobody knows.
            now: The time.
        """
        if self.response_id is None:
            self._retry_at = now + min(_LAST_BACKOFF, _FIRST_BACKOFF * 2.0**times)
        else:
            self._life.sign(self.response_id, now)  # asking again waits for its end, and it lives

    def empty(self) -> None:
        """Start over: the link is lost."""
        self.response_id = None
        self._retry_at = -math.inf
