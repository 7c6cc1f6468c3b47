"""How a session ends: which scope is cancelled when, and which exception comes out.

Theory of operation. There are two scopes beside each other. The *body* scope holds the user's code. The *services*
scope is shielded and holds the reader, capture, playout, tools and the timer, so that a cancellation from outside (or
Ctrl-C) takes the body down first; the services leave only after the goodbyes, which are bounded in time.

An end that is not the user's is one call, `end(reason)`: it cancels the body, wakes whoever waits outside of it, and
`reason` is raised once, where the session's block ends. The body's own exception wins and comes out as the same object;
our reason then becomes a note on it. Only a Ctrl-C meanwhile wins over both. Services never raise: they end the
session.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import trio

from realtime_trio.errors import InternalError, RealtimeError

from .inside import Inside

__all__ = ["Lifetime"]

Service = Callable[..., Awaitable[object]]


@attrs.define(eq=False, repr=False)
class Lifetime(Inside):
    """The scopes of one session and the reason why it ended, if that was not the user's doing.

    Attributes:
        reason: Why the session ended, None as long as it lives or when the user ended it.
        over: Whether no more calls make sense: it ended, or it is saying goodbye.
        ended_well: Whether it is saying goodbye because the block was left without an exception.
    """

    reason: BaseException | None = attrs.field(default=None, init=False)
    over: bool = attrs.field(default=False, init=False)
    ended_well: bool = attrs.field(default=False, init=False)
    _body: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _services: trio.CancelScope = attrs.field(factory=lambda: trio.CancelScope(shield=True), init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _late: Exception | None = attrs.field(default=None, init=False)  # of what is the user's, while everything ends
    _witnesses: list[Callable[[Exception], None]] = attrs.field(factory=list, init=False)

    def on_end(self, witness: Callable[[Exception], None]) -> None:
        """Let `witness` know the reason when the session ends without the user's doing."""
        self._witnesses.append(witness)

    def end(self, reason: BaseException) -> None:
        """End the session for a reason that is not the user's. Only the first reason counts.

        Args:
            reason: What is raised where the block ends. Who waits elsewhere gets it too, unless it is of the kind that
                is for the main task only (`SystemExit`, `KeyboardInterrupt`).
        """
        if self.over:
            return
        self.reason, self.over = reason, True
        # The body first: a task in it that waits for an answer is to see the cancellation, not the reason,
        # which is raised once, at the end of the block.
        self._body.cancel(reason=f"the session ended: {reason}")
        told = reason if isinstance(reason, Exception) else trio.ClosedResourceError(f"the session ended: {reason!r}")
        for witness in self._witnesses:
            witness(told)

    def start_soon(self, service: Service, *args: object, name: str | None = None, foreign: bool = False) -> None:
        """Start a service task; a crash of it ends the session.

        Args:
            service: An async function.
            args: Its arguments.
            name: The task's name.
            foreign: Whether it runs code of the user's, whose exceptions stay as they are. Otherwise a crash is our
                mistake: `InternalError`.
        """
        assert self._nursery is not None, "services start inside `running()`"  # noqa: S101
        self._nursery.start_soon(self._serve, service, args, foreign, name=name or service)

    @trio.lowlevel.enable_ki_protection
    async def _serve(self, service: Service, args: tuple[object, ...], foreign: bool) -> None:  # noqa: FBT001 ours
        try:
            await service(*args)
        except (SystemExit, KeyboardInterrupt) as error:
            self.end(error)
        except Exception as error:  # noqa: BLE001 a border: whatever it was reaches the one who can act
            if foreign or isinstance(error, RealtimeError):
                if foreign and self.over:
                    self._late = self._late or error
                self.end(error)
                return
            mistake = InternalError(f"{getattr(service, '__name__', service)} crashed: {error!r}; please report this")
            mistake.__cause__ = error
            self.end(mistake)

    @trio.lowlevel.enable_ki_protection
    async def _host(self, ready: trio.Event) -> None:
        with self._services:
            async with trio.open_nursery() as self._nursery:
                ready.set()
                await trio.sleep_forever()

    @asynccontextmanager
    async def running(
        self, *, drain: Callable[[], Awaitable[object]], goodbye: Callable[[], Awaitable[object]]
    ) -> AsyncIterator[None]:
        """Run the block as the session's body, with the services around it.

        Args:
            drain: Called after a normal end of the body; what it waits for may still be cut short from outside.
            goodbye: Called at every end; bounded in time by itself.

        Raises:
            Exception: What the body raised, as the same object; else the reason for an end that was not the user's.

        Tasks:
            The services run in a shielded scope until the goodbye is said.
        """
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                # not nursery.start(): cancelled before it returns, that would wait for a host that nobody ends
                ready = trio.Event()
                nursery.start_soon(self._host, ready)
                try:
                    with trio.CancelScope(shield=True):
                        await ready.wait()
                except KeyboardInterrupt:
                    self._services.cancel(reason="the session is over")
                    raise
                try:
                    with self._body:
                        yield
                        await drain()
                except BaseException as error:  # noqa: BLE001, ASYNC103 re-raised below, once the services are gone
                    failure = error
                self.ended_well = failure is None and not self.over
                self.over = True
                try:
                    with trio.CancelScope(shield=True):
                        await goodbye()
                except KeyboardInterrupt as error:  # an impatient one cuts the goodbye short
                    failure = _weightier(failure, error)
                finally:
                    self._services.cancel(reason="the session is over")
        except BaseExceptionGroup as group:
            # Services do not raise and the body is caught above: this is Ctrl-C while the nursery closed, or our
            # mistake.
            failure = _weightier(failure, _single(group))
        outcome = self._outcome(failure)
        try:
            if outcome is not None:
                raise outcome
        finally:
            del failure, outcome  # they hold this frame, which would hold them: a cycle

    def _outcome(self, failure: BaseException | None) -> BaseException | None:
        """Choose what is raised, with notes on what else went wrong. What the body raised comes first."""
        outcome = failure or self.reason
        if outcome is None:
            # hardware that is gone spoils no normal end: all was heard; a mistake in the user's device does
            return None if isinstance(self._late, RealtimeError) else self._late
        if not isinstance(outcome, trio.Cancelled):
            # the body may have met the very end that the reader did
            same = isinstance(failure, RealtimeError) and repr(failure) == repr(self.reason)
            if failure is not None and self.reason is not None and not same:
                failure.add_note(f"the session had ended as well: {self.reason!r}")
            if self._late is not None:
                outcome.add_note(f"something went wrong at the end, too: {self._late!r}")
        return outcome


def _weightier(failure: BaseException | None, later: BaseException) -> BaseException:
    """Tell which of two comes out: the first, but for a Ctrl-C, which is never lost; it says what it met."""
    if failure is None:
        return later
    if isinstance(failure, KeyboardInterrupt | SystemExit) or not isinstance(later, KeyboardInterrupt):
        return failure
    if not isinstance(failure, trio.Cancelled):
        later.add_note(f"the session was ending already: {failure!r}")
    return later


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Unwrap our own nursery's group, which holds one exception unless we made a mistake."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
