"""Waiting for the turns: the task that acts when a deadline passes, and those who wait until nobody speaks.

What there is to do, and until when, is `turns.py`'s knowledge.
"""

import math
from collections.abc import Callable

import attrs
import trio

from .inside import Inside

__all__ = ["Timer"]

_BLOCK_SECONDS = 0.02  # nothing tells when a sound has left the speaker, so look again after a block
_LOOK_AGAIN_SECONDS = 1.0  # whatever may have been missed: nobody who waits is to wait for ever


@attrs.define(eq=False, repr=False)
class Timer(Inside):
    """The time of one session's turns.

    Attributes:
        act: Does what is to be done at a time.
        expire: Lets time decide what it decides, at a time.
        deadline: Tells when that has to be done next; -inf for at once, inf for never.
        is_idle: Tells whether nothing is owed or being generated.
        finish: Ends what would wait for a response that the server has lost; called when nothing else is left.
        is_quiet_at: Tells from when on neither side speaks, once nothing is owed: -inf if neither does, inf where
            nothing but looking again tells.
        over: Whether nobody is to wait any more.
    """

    act: Callable[[float], object]
    expire: Callable[[float], object]
    deadline: Callable[[], float]
    is_idle: Callable[[], bool]
    finish: Callable[[], object]
    is_quiet_at: Callable[[float], float]
    over: bool = attrs.field(default=False, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _alarm: float = attrs.field(default=math.inf, init=False)  # when `run` acts by itself

    def wake(self) -> None:
        """Have everybody look again who waits here."""
        self._changed.set()
        self._changed = trio.Event()

    def note(self) -> None:
        """Something was done: wake those for whom it may matter."""
        if self.is_idle() or self.deadline() < self._alarm:  # after each piece of sound it would cost as much as that
            self.wake()

    async def run(self) -> None:
        """Act at each deadline, until cancelled."""
        while True:
            self._alarm = self.deadline()
            with trio.move_on_at(self._alarm):
                await self._changed.wait()
            now = trio.current_time()
            self.expire(now)
            self.act(now)

    async def idle(self) -> None:
        """Wait until no response of the conversation is being generated or asked for, or owed.

        A response of which nothing came for 30 s does not count: a server that lost it must not keep us here.

        Cancellation:
            Safe: nothing changes.
        """
        while not (self.over or self._is_settled()):
            with trio.move_on_after(_LOOK_AGAIN_SECONDS):
                await self._changed.wait()
            self.act(trio.current_time())

    def _is_settled(self) -> bool:
        if self.is_idle():
            self.finish()
        return self.is_idle()

    async def quiet(self) -> None:
        """Wait until neither side speaks: nothing is owed, generated or to be heard, and the floor is nobody's.

        Cancellation:
            Safe: nothing changes.
        """
        while not self.over:
            await self.idle()
            now = trio.current_time()
            quiet_at = self.is_quiet_at(now)
            if self.is_idle() and quiet_at <= now:
                break
            with trio.move_on_at(now + _BLOCK_SECONDS if quiet_at == math.inf else quiet_at):
                await self._changed.wait()
        await trio.lowlevel.checkpoint()
