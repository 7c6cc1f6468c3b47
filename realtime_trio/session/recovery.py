"""How a session survives the loss of its connection: another is opened, made its equal, and takes over.

Theory of operation. A lost link is the reader's business: it finds the end, and sees here to the next connection before
it goes on reading. Whether and when to try is decided in `core.reconnect`; how one connection follows another is in
`succession.py`. A link that becomes too old is replaced by a task of its own, while it still works (`renewal.py`).
"""

import logging
import random

import trio

from realtime_trio import events
from realtime_trio.core.reconnect import Backoff, Fatal, ReconnectPolicy, verdict
from realtime_trio.errors import ConnectionClosed
from realtime_trio.log_words import problem_of

from .notices import LinkLost
from .renewal import Renewal
from .succession import Succession
from .successor import Successor

__all__ = ["Recovery"]

_log = logging.getLogger("realtime_trio.session")


class Recovery:
    """The recovery of one session.

    Args:
        policy: How hard it is tried; None for not at all.
        links: Lets one connection follow another.
    """

    def __init__(self, policy: ReconnectPolicy | None, links: Succession) -> None:
        self._policy = policy
        self._links = links
        self._backoff: Backoff | None = None
        self._renewal: Renewal | None = None

    @property
    def count(self) -> int:
        """How many connections have followed another."""
        return self._links.count

    def begin(self, session: events.RealtimeSession, created_at: float) -> None:
        """The session stands: from now on a lost link is not its end.

        Args:
            session: What the first connection said of itself.
            created_at: When it said so.
        """
        if self._policy is None:
            return
        self._links.begin(session, created_at, self._policy.max_age)
        self._backoff = Backoff(self._policy, random.random)
        self._renewal = Renewal(self._policy, self._links)
        self._links.start_soon(self._renewal.run, name="renewal")

    async def say_goodbye(self) -> None:
        """Let what still waits on a link that followed another leave, as it does on the first; bounded as that is."""
        await self._links.say_goodbye()

    async def recover(self, end: ConnectionClosed) -> None:
        """See to another connection; the caller is who reads, and found that the link is over.

        Args:
            end: How it ended.

        Raises:
            ConnectionClosed: The same: no other link follows.
            ConnectError: Why none follows, where that says more.
            ServerError: Likewise.

        Cancellation:
            The session is without a link.
        """
        if self._backoff is None or self._renewal is None or isinstance(verdict(end), Fatal):
            raise end
        if not self._links.has_let_go:  # else a swap came to nothing
            self._backoff.lived(trio.current_time() - self._links.since)
            self._links.let_go("lost")
        standby = self._renewal.give_up()
        self._links.publish(LinkLost(end))
        attempts = 0
        problem: Exception = end
        while True:
            judged = verdict(problem)
            if isinstance(judged, Fatal):
                problem.add_note("this was while the session reconnected, because its link had been lost")
                raise problem
            wait = self._backoff.next(judged.after)
            if wait is None:
                end.add_note(
                    f"the session tried to reconnect {_times(attempts)} in vain; at last: {self._shown(problem)}"
                    if attempts
                    else f"it had reconnected {_times(self._backoff.attempts)} in a row, and soon lost each link again"
                )
                raise end
            if attempts:
                words = "session %s: attempt %d to reconnect: %s; the next in %.1f s"
                _log.warning(words, self._links.name, attempts, problem_of(problem), wait)
            if standby is None:
                await trio.sleep(wait)
            attempts += 1
            try:
                await self._go_over(standby or self._links.open(), attempts)
            except Exception as error:  # noqa: BLE001 what it means is judged above
                problem, standby = error, None
            else:
                return

    async def _go_over(self, successor: Successor, attempts: int) -> None:
        """Let a link carry the session."""
        try:
            await self._links.bring_up_to_date(successor)
            await self._links.take_over(successor, "lost", attempts)
        except BaseException:
            self._links.fail(successor)
            raise

    def _shown(self, problem: Exception) -> str:
        return self._links.line.connection.redact(repr(problem))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
