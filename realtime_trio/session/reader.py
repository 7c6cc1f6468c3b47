"""The one task of a session that receives, and the order in which each event is looked at.

What comes next is a plain function call after the other: nothing here waits for anybody, except for another connection
when the one that it reads from is lost (`recovery.py`).
"""

import logging
from collections import Counter
from collections.abc import Callable

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.arbiter import ALREADY_ACTIVE
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.failures import refusal
from realtime_trio.core.interruption import is_benign
from realtime_trio.core.kept_audio import KeptAudio
from realtime_trio.errors import ConnectionClosed, NotAcknowledged, RemoteProtocolError

from .accounts import Accounts
from .calls import Calls, server_error
from .closing import Closing
from .inside import Inside
from .lifetime import Lifetime
from .line import Line
from .mcp import HostedMcp
from .notices import NotAnEvent
from .recovery import Recovery
from .subscribers import Subscribers
from .turns import Turns

__all__ = ["Reader"]

_log = logging.getLogger("realtime_trio.session")


@attrs.define(eq=False, repr=False)
class Reader(Inside):
    """The reader of one session.

    Attributes:
        line: Where events come from.
        recovery: Finds another connection.
        lifetime: Ended by what no session survives.
        conversation: The mirror, the first to know.
        calls: Those that wait for an answer.
        kept: Learns which sound became which item.
        turns: Who owns a response, who may speak, what is interrupted.
        subscribers: The program's own readers.
        closing: Ends the session once what is being said was heard.
        accounts: What was used.
        mcp: The tools that the server runs.
        configured: Told of each configuration in effect.
        excess: Tells whether a server makes the session remember too much.
        created_at: When the first `session.created` came, in Trio's time.
        not_understood: Counts of messages that say nothing to this version, by what they are.
    """

    line: Line
    recovery: Recovery
    lifetime: Lifetime
    conversation: Conversation
    calls: Calls
    kept: KeptAudio
    turns: Turns
    subscribers: Subscribers
    closing: Closing
    accounts: Accounts
    mcp: HostedMcp
    configured: Callable[[events.RealtimeSession], object]
    excess: Callable[[], Exception | None]
    created_at: float = attrs.field(default=0.0, init=False)
    not_understood: Counter[str] = attrs.field(factory=Counter, init=False)
    _created: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def created(self, timeout: float) -> None:  # noqa: ASYNC109 it is what the error says, too
        """Wait for the session.

        Raises:
            NotAcknowledged: The server sent no `session.created` in that time.
        """
        with trio.move_on_after(timeout):
            await self._created.wait()
        if not self._created.is_set():
            raise NotAcknowledged(f"the server sent no session.created within {timeout:g} s")

    async def run(self) -> None:
        """Receive, until cancelled.

        Raises:
            ConnectionClosed: The link is over, and no other follows.
        """
        while True:
            try:
                event = await self.line.receive()
            except RemoteProtocolError as problem:
                self.not_understood["not an event"] += 1
                self.subscribers.publish(NotAnEvent(problem))
            except ConnectionClosed as end:
                await self.recovery.recover(end)
            else:
                self._take(event)

    def _take(self, event: events.ServerEvent) -> None:
        now = trio.current_time()
        self.conversation.apply(event)
        self._note(event, now)
        answered = self.calls.handle(event)
        if isinstance(event, events.Error) and not (
            answered or self.turns.answers(event.error) or _is_expected(event.error)
        ):
            _log.warning("the server reports: %s", server_error(event.error))
            self.accounts.lost(refusal(event.error))
        self.kept.handle(event)
        self.turns.handle(event, now)
        self.subscribers.publish(event)
        self.closing.handle(event)
        self.accounts.handle(event, now)
        self.mcp.handle(event)
        self.turns.act(now)
        if (problem := self.excess()) is not None:
            self.lifetime.end(problem)

    def _note(self, event: events.ServerEvent, now: float) -> None:
        match event:
            case events.SessionCreated(session=session) | events.SessionUpdated(session=session):
                if isinstance(session, events.RealtimeSession):
                    self.configured(session)
                if not self._created.is_set():
                    self.created_at = now
                self._created.set()
            case events.UnknownEvent():
                self.not_understood["unknown"] += 1
            case events.MalformedEvent():
                self.not_understood["malformed"] += 1
            case events.Error() if not self._created.is_set():
                # before the session exists every error is final; what the server says beats the close that follows
                self.lifetime.end(server_error(event.error))
            case _:
                pass


def _is_expected(problem: events.ErrorDetails) -> bool:
    """Tell whether an error is part of ordinary races: too late to matter, or asked again by the arbiter."""
    return problem.code == ALREADY_ACTIVE or is_benign(problem)
