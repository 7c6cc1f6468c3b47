"""A nursery for tasks that serve a body: the body's own exception stays itself.

`trio.open_nursery` wraps whatever leaves it in an `ExceptionGroup`, also a lone error of the user's code. Here only our
own nursery's group is taken apart. Which tasks there are, and when they say goodbye, is the caller's business.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVarTuple

import trio

from .errors import InternalError

__all__ = ["Services", "open_services", "plain"]

Args = TypeVarTuple("Args")


class Services:
    """Tasks that serve a body and outlive its cancellation, so that it can say goodbye through them.

    When an outer scope is cancelled the body hears of it at once, the services only when the body has ended: a
    WebSocket's CLOSE needs its reader. Every service is protected from Ctrl-C, which lands in the body instead.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: set[trio.CancelScope] = set()
        self._ended = False

    def start_soon(self, function: Callable[[*Args], Awaitable[object]], *args: *Args) -> None:
        """Start a service.

        Args:
            function: An async function.
            *args: Its arguments.
        """
        self._nursery.start_soon(self._run, function, args, name=function)

    def end(self, reason: str) -> None:
        """Cancel all of them: the body has ended."""
        self._ended = True
        for scope in self._scopes:
            scope.shield = False
        self._nursery.cancel_scope.cancel(reason=reason)

    @trio.lowlevel.enable_ki_protection
    async def _run(self, function: Callable[[*Args], Awaitable[object]], args: tuple[*Args]) -> None:
        with trio.CancelScope(shield=not self._ended) as scope:
            self._scopes.add(scope)
            try:
                await function(*args)
            finally:
                self._scopes.discard(scope)


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_services(name: str = "services") -> AsyncGenerator[Services]:
    """Open a nursery whose tasks live as long as the body, and are cancelled at its end.

    The body's exception leaves as the same object, also when it is a group or a `trio.Cancelled` of an outer scope.
    `KeyboardInterrupt` leaves plain. When a service crashes the body is cancelled, and the crash is raised plain; had
    the body an exception of its own by then, that one is raised and the crash is a note on it.

    Args:
        name: For the cancellation reason and for error messages.

    Yields:
        What starts them.

    Raises:
        InternalError: Several services crashed at once; their group is its cause.

    Cancellation:
        Passes through to the body at once, and ends the services after it.

    Tasks:
        Those that the caller starts.
    """
    held = _Held()
    crash: BaseException | None = None
    try:
        try:
            async with trio.open_nursery() as nursery:
                services = Services(nursery)
                with held:
                    yield services
                services.end(f"the body of {name} has ended")
        except BaseExceptionGroup as group:
            crash = plain(group, name)
        body_error = held.error
        if crash is not None and (body_error is None or _yields_to(body_error, crash)):
            raise crash
        if body_error is not None:
            if crash is not None and not isinstance(crash, trio.Cancelled):
                body_error.add_note(f"At the same time {name} ended with {type(crash).__name__}: {crash}")
            raise body_error
    finally:
        # an exception holds its traceback, that holds this frame: no cycle for the garbage collector
        held.error = body_error = crash = None


class _Held:
    """Keeps the body's exception until the services have ended; it is raised then."""

    error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self.error = error
        return True


def _yields_to(body_error: BaseException, crash: BaseException) -> bool:
    """Tell whether the body's exception is but the consequence, or of less weight."""
    if isinstance(crash, KeyboardInterrupt):
        return True
    return isinstance(body_error, trio.Cancelled) and not isinstance(crash, trio.Cancelled)


def _leaves(group: BaseExceptionGroup) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def plain(group: BaseExceptionGroup, name: str) -> BaseException:
    """Make one exception of what left our own nursery, or Trio's.

    Args:
        group: What left it.
        name: For an error message.

    Returns:
        `KeyboardInterrupt`, else `SystemExit`, else the one crash, else a `trio.Cancelled`; an `InternalError` for
        several crashes.
    """
    leaves = list(_leaves(group))
    for kind in (KeyboardInterrupt, SystemExit):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    crashes = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)]
    if not crashes:
        return leaves[0]
    if len(crashes) == 1:
        return crashes[0]
    problem = InternalError(f"several tasks of {name} crashed at once")
    problem.__cause__ = group
    return problem
