"""Replacing a connection before it becomes too old, while it still carries the session.

When that is to be done is decided in `core.rotation`; how one connection follows another is in `succession.py`.
"""

import logging
import random
from typing import Final

import attrs
import trio

from realtime_trio.core.reconnect import Backoff, Fatal, ReconnectPolicy, Retry, verdict
from realtime_trio.errors import ConnectionClosed
from realtime_trio.log_words import problem_of

from .inside import Inside
from .succession import Succession
from .successor import Successor

__all__ = ["Renewal"]

_log = logging.getLogger("realtime_trio.session")

_PROOF: Final = 0.5  # seconds that may lie between the last proof that sound has arrived, and a swap
_LOOK_AGAIN: Final = 0.05  # seconds: nothing tells when a call has its answer or the last word was heard


@attrs.define(eq=False, repr=False)
class Renewal(Inside):
    """The task of one session that does it.

    Attributes:
        policy: How hard it is tried.
        links: Lets one connection follow another.
    """

    policy: ReconnectPolicy
    links: Succession
    _standby: Successor | None = attrs.field(default=None, init=False)
    _round: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def give_up(self) -> Successor | None:
        """Stop what is under way, because the link was lost meanwhile.

        Returns:
            A connection that stands by and can carry the session, if there is one.
        """
        self._round.cancel(reason="the link is lost")
        standby, self._standby = self._standby, None
        if standby is not None and standby.problem is not None:
            standby.release()
            return None
        return standby

    async def run(self) -> None:
        """Replace each link before it is too old, until cancelled; a service of the session's.

        Cancellation:
            The link that stands by is let go.
        """
        while True:
            await self.links.line.opened()
            with trio.CancelScope() as self._round:
                await self._replace()

    async def _replace(self) -> None:
        """Replace the link that carries the session now."""
        rotation = self.links.rotation
        assert rotation is not None  # noqa: S101 there is one from `begin` on
        backoff = Backoff(self.policy, random.random)
        await trio.sleep_until(rotation.opens_at)
        while True:
            now = trio.current_time()
            standby = self._standby
            ready = standby is not None and standby.problem is None
            quiet, generating = self._is_quiet(now), self._is_generating()
            if ready and (self.links.line.connection.answered_at or 0) < now - _PROOF:
                self.links.line.connection.ping_soon()
            match rotation.step(now, quiet=quiet, generating=generating, ready=ready):
                case "open":
                    await self._stand_by(backoff)
                case "swap" if standby is not None and await self._is_up_to_date(standby):
                    self._standby = None
                    await self._swap(standby)
                    return
                case _:
                    await trio.sleep_until(min(now + _LOOK_AGAIN, rotation.deadline(now)))

    async def _stand_by(self, backoff: Backoff) -> None:
        """Have a link beside the one that carries the session; if it cannot be had, that one is used to its end."""
        self.links.line.connection.ping_soon()
        dead, self._standby = self._standby, None
        problem: Exception | None = None
        if dead is not None:
            dead.release()
            problem = dead.problem
            backoff.lived(trio.current_time() - dead.created_at)
        while True:
            judged = Retry() if problem is None else verdict(problem)
            wait = None if isinstance(judged, Fatal) else backoff.next(judged.after)
            if wait is None:
                await trio.sleep_forever()  # until the link's end, which `recover` sees to
                return
            await trio.sleep(wait)
            successor = self.links.open()
            try:
                await self.links.bring_up_to_date(successor)
            except trio.Cancelled:
                successor.release()
                raise
            except Exception as error:  # noqa: BLE001 what it means is judged above
                successor.release()
                _log.warning("session %s: no link to replace the old one yet: %s", self.links.name, problem_of(error))
                problem = error
            else:
                await self._keep(successor)
                return

    async def _keep(self, standby: Successor) -> None:
        """Have it stand by, unless the link was lost a moment ago: then nobody waits for it any more."""
        if self._round.cancel_called:
            standby.release()
            await trio.lowlevel.checkpoint()
        self._standby = standby

    async def _is_up_to_date(self, standby: Successor) -> bool:
        """See whether a link is the session's equal at this moment; else make it so, for the next."""
        self._standby = None  # half told, it is no use to anybody
        try:
            changed = await standby.configure(self.links.line.settings.effective())
            changed = await standby.bring(self.links.wanted()) or changed
        except trio.Cancelled:
            standby.release()
            raise
        except Exception as error:  # noqa: BLE001 then another one is opened
            self._standby = standby  # it knows its problem
            _log.warning("session %s: the link that stood by is lost: %s", self.links.name, problem_of(error))
            return False
        await self._keep(standby)
        return not changed

    async def _swap(self, standby: Successor) -> None:
        self.links.let_go("age")
        try:
            await self.links.take_over(standby, "age", 1)
        except trio.Cancelled:
            standby.release()
            raise
        except Exception as error:  # noqa: BLE001 the reader finds it, as it finds every lost link
            self.links.fail(standby)
            end = error if isinstance(error, ConnectionClosed) else ConnectionClosed(None, f"{error}")
            self.links.line.fail(end)

    def _is_quiet(self, now: float) -> bool:
        """Whether nothing is under way that another link would have to be told of in the middle."""
        pending = any(item.transcription == "pending" for item in self.links.conversation)
        silent = self.links.turns.timer.is_quiet_at(now) <= now
        return silent and not (self._is_generating() or self.links.calls.in_flight or pending)

    def _is_generating(self) -> bool:
        return any(not response.is_done for response in self.links.turns.live.values()) or not self.links.turns.is_idle
