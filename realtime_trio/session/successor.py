"""A connection that is going to carry the session: opened, configured, and told what the conversation is.

It runs beside whatever carries the session meanwhile, and has its own calls and its own names for the items. When one
is wanted, and how it takes over, is in `succession.py`; what it has to be told, in `core.restore`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias, cast

import msgspec
import trio

from realtime_trio import events
from realtime_trio.connection import Connection
from realtime_trio.core.item_ids import ItemIds
from realtime_trio.core.restore import Delete, Step, Wanted, steps
from realtime_trio.core.seeds import LeftOut, Seed
from realtime_trio.errors import ConnectionClosed, NotAcknowledged, RemoteProtocolError, ServerError

from .calls import Calls, server_error
from .exchanges import new_id
from .inside import Inside
from .promise import Promise
from .seeding import carry_out

__all__ = ["OpenLink", "Successor"]

OpenLink: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens a connection with the session's own settings."""

Change: TypeAlias = events.ConversationItemCreate | events.ConversationItemDelete

_MOST_TOLD: Final = 65_536  # events; a server that says more to a session that has not begun is not a server


class Successor(Inside):
    """One such connection.

    Args:
        open_link: Opens it.
        timeout: Seconds that each call may go without an answer.

    Attributes:
        ids: What it calls the session's items.
        created_at: When its session was created, in Trio's time.
        session: Its configuration, as the server tells it.
        closed: Set when it is over, and nothing of it is left.
    """

    def __init__(self, open_link: OpenLink, timeout: float) -> None:
        self._open_link = open_link
        self._connection: Promise[Connection] = Promise()
        self._created: Promise[None] = Promise()
        self._calls = Calls(timeout)
        self._timeout = timeout
        self._has: list[Seed] = []  # what was created on it, by the names that the items have in the session
        self._refused: dict[str, events.Item] = {}  # what the server did not take, as it was
        self._before: set[str] = set()  # what the session had before this link carried it
        self._settings: events.RealtimeSession | None = None
        self._told: deque[events.ServerEvent] = deque()
        self._reading = trio.CancelScope()
        self._read = trio.Event()
        self._released = trio.Event()
        self._life = trio.CancelScope()
        self._problem: Exception | None = None
        self.ids = ItemIds()
        self.created_at = 0.0
        self.session = events.RealtimeSession()
        self.closed = trio.Event()

    # The task that it lives in

    async def run(self) -> None:
        """Open the connection and have it until `release`; a service of the session's.

        Cancellation:
            Closes the connection.
        """
        try:
            with self._life:
                async with self._open_link() as connection:
                    self._connection.keep(connection)
                    with self._reading:
                        await self._listen(connection)
                    self._read.set()
                    await self._released.wait()
        except Exception as error:  # noqa: BLE001 whoever prepares it gets it, as it is
            self._fail(error)
        finally:
            self.closed.set()

    async def _listen(self, connection: Connection) -> None:
        while True:
            try:
                self._take(await connection.receive())
            except RemoteProtocolError:
                continue  # said again by nobody, and nothing can be made of it
            except ConnectionClosed as end:
                self._fail(end)
                return

    def _take(self, event: events.ServerEvent) -> None:
        match event:
            case events.SessionCreated(session=session):
                self._note(session)
                self.created_at = trio.current_time()
                self._created.keep(None)
            case events.SessionUpdated(session=session):
                self._note(session)
            case events.Error() if not self._created.settled:
                self._fail(server_error(event.error))
        answered = self._calls.handle(event)
        is_ours = answered and isinstance(event, events.Error | events.SessionUpdated)
        if is_ours or isinstance(event, events.SessionCreated):
            return
        self._told.append(event)
        if len(self._told) > _MOST_TOLD:
            self._fail(ConnectionClosed(None, "the server says too much to a session that has not begun"))

    def _note(self, session: Any) -> None:
        if isinstance(session, events.RealtimeSession):
            self.session = session

    def _fail(self, problem: Exception) -> None:
        self._problem = self._problem or problem
        self._connection.break_(problem)
        self._created.break_(problem)
        self._calls.end(problem)
        self._read.set()
        self._reading.cancel(reason="the link is over")

    @property
    def problem(self) -> Exception | None:
        """Why it cannot carry the session, if that is so."""
        return self._problem

    def release(self) -> None:
        """Let the connection go, with what still waits for its writer; one that is being opened, at once."""
        self._released.set()
        self._reading.cancel(reason="nobody wants this link any more")
        if not self._connection.settled:
            self._life.cancel(reason="nobody wants this link any more")

    # What it is told

    async def prepare(self, settings: events.RealtimeSession) -> None:
        """Wait until it is open, and configure it.

        Raises:
            ConnectError: No connection came about.
            ConnectionClosed: It ended.
            ServerError: The server does not want it.
            NotAcknowledged: The server does not answer.

        Cancellation:
            Safe; `release` it.
        """
        try:
            await self._connection.wait()
            await self._greeted()
            await self.configure(settings)
        except Exception as error:
            if self._problem is not None and self._problem is not error:
                raise self._problem  # noqa: B904 the very same, with its own cause: that says more
            raise

    async def _greeted(self) -> None:
        with trio.move_on_after(self._timeout):
            await self._created.wait()
        if not self._created.settled:
            raise NotAcknowledged(f"the server sent no session.created within {self._timeout:g} s")

    async def configure(self, settings: events.RealtimeSession) -> bool:
        """Have it configured like this; raises as `prepare` does. Returns whether it was not so already."""
        if settings == self._settings:
            return False
        await self._calls.make("update", events.SessionUpdate(session=settings), self.send)
        self._settings = settings
        return True

    async def bring(self, want: Wanted) -> bool:
        """Make its conversation these items. What the server refuses is left out; `left_out` tells.

        Returns:
            Whether there was anything to do.

        Raises:
            ConnectionClosed: It ended.
            NotAcknowledged: The server does not answer.
        """
        changes = self.changes(want)
        if not changes:
            return False
        refused: set[int] = set()

        def note(number: int, error: ServerError | NotAcknowledged) -> None:
            if isinstance(error, NotAcknowledged):
                raise error
            refused.add(number)

        await carry_out([change for _, change in changes], self.send, self._calls, refused=note)
        self._take_back([changes[number] for number in sorted(refused)])
        return True

    def _take_back(self, refused: Sequence[tuple[str, Change]]) -> None:
        """Note what the server did not do; who was refused only because another one was is tried again."""
        creates = [(name, one) for name, one in refused if isinstance(one, events.ConversationItemCreate)]
        missing = {getattr(create.item, "id", None) for _, create in creates}
        items = dict(self._has)
        for old_id, create in creates:
            if create.previous_item_id not in missing:
                self._refused[old_id] = items[old_id]
            self.ids.forget(old_id)
        gone = {old_id for old_id, _ in creates}
        self._has = [seed for seed in self._has if seed[0] not in gone]

    def changes(self, want: Wanted) -> list[tuple[str, Change]]:
        """Make what is to be sent so that its conversation becomes these items; it counts as sent.

        Returns:
            The changes in order, each with the item that it is about; the items have their names on the link.
        """
        seeds = [seed for seed in want.items if self._refused.get(seed[0]) != seed[1]]
        changes = self._carry(steps(self._has, seeds), seeds)
        self._before = {name for name, _ in (*want.items, *want.absent)}
        self._note_absent(want)
        return changes

    def left_out(self, want: Wanted) -> tuple[LeftOut, ...]:
        """Tell what of this the server refused."""
        names = dict(self._has)
        return tuple(LeftOut(name, "refused") for name, _ in want.items if name not in names and name in self._refused)

    @property
    def restored(self) -> int:
        """How many items were created on it anew."""
        return len(self._has)

    def _note_absent(self, want: Wanted) -> None:
        names = dict(self._has)
        absent = want.absent_without({name for name in self._refused if name not in names})
        self.ids.left_out(one for one in absent if one[0] in self._before)

    def replace(self, old_id: str, want: Wanted) -> list[Change]:
        """Make what is to be sent so that one item becomes what it is in `want`; it counts as sent."""
        names = {name for name, _ in want.items}
        found = [seed for seed in want.items if seed[0] == old_id]
        self._has = [seed for seed in self._has if seed[0] in names or seed[0] == old_id]  # without what was deleted
        seeds = [one for seed in self._has for one in (found if seed[0] == old_id else [seed])]
        changes = self._carry(steps(self._has, seeds), seeds, at_end=False)
        self._note_absent(want)  # of what nobody heard there are no words
        return [change for _, change in changes]

    def _carry(self, todo: Sequence[Step], seeds: list[Seed], *, at_end: bool = True) -> list[tuple[str, Change]]:
        """Write steps as the wire has them; what was created on it is `at_end` of its conversation, or no more."""
        changes: list[tuple[str, Change]] = []
        last = self._has[-1][0] if self._has else None
        gone: set[str] = set()  # the program deleted them meanwhile
        for step in todo:
            if isinstance(step, Delete):
                if (new := self.ids.forget(step.old_id)) is None:
                    gone.add(step.old_id)
                else:
                    changes.append((step.old_id, events.ConversationItemDelete(item_id=new)))
                continue
            if step.old_id in gone:
                continue
            new = new_id("item")
            create = events.ConversationItemCreate(item=msgspec.structs.replace(step.item, id=new))
            if step.after != last or not at_end:  # else it comes to the end by itself
                create = msgspec.structs.replace(create, previous_item_id=step.after or "root")
            changes.append((step.old_id, cast("Change", self.ids.outgoing(create))))
            self.ids.restored(step.old_id, new)
            last = step.old_id if step.after == last else last
        self._has = [seed for seed in seeds if seed[0] not in gone]
        return changes

    async def send(self, event: events.ClientEvent) -> str:
        """Send something to it that names the session's items by the session's names.

        Raises:
            ConnectionClosed: It ended.
        """
        return await (await self._connection.wait()).send(self.ids.outgoing(event))

    # It takes over

    async def connection(self) -> Connection:
        """Wait until it is open; raises as `prepare` does."""
        return await self._connection.wait()

    async def hand_over(self) -> list[events.ServerEvent]:
        """Stop listening to it.

        Returns:
            What the server said beyond what was asked, in order.

        Cancellation:
            It is not listened to any more.
        """
        self._reading.cancel(reason="it carries the session now")
        await self._read.wait()
        return list(self._told)
