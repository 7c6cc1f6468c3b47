"""Asking a guard: the call runs in a task of its own, so that one that does not stop when it is told to keeps nobody.

What is asked, and what follows from the answer, is `guarding.py`'s.
"""

import inspect
from collections.abc import Callable

import attrs
import trio

from realtime_trio.core.guard import Guard, GuardedText, Stop

__all__ = ["ask_guard"]


@attrs.define(eq=False)
class _Call:
    guard: Guard
    text: GuardedText
    late: Callable[[Exception], object]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)
    verdict: object = None
    error: Exception | None = None
    is_awaited: bool = True

    async def run(self) -> None:
        try:
            with self.scope:
                self.verdict = await self._ask()
        except Exception as error:  # noqa: BLE001 the user's code: who asked is told
            self.error = error
            if not self.is_awaited:
                self.late(error)
        finally:
            self.over.set()

    async def _ask(self) -> object:
        answer = self.guard(self.text)
        if not inspect.isawaitable(answer):
            raise TypeError("a guard is an async function: async def guard(text)")
        return await answer


async def ask_guard(
    guard: Guard,
    text: GuardedText,
    *,
    within: float,
    start_soon: Callable[..., None],
    late: Callable[[Exception], object],
) -> Stop | None:
    """Ask a guard about words.

    Args:
        guard: The guard.
        text: The words.
        within: Seconds that it may take.
        start_soon: Starts a child task of the session.
        late: Takes an exception of the guard's when nobody waits for it any more.

    Returns:
        Its verdict: None lets the words pass.

    Raises:
        Exception: Whatever the guard raises.
        TypeError: It gave something that is no verdict, or is no async function.
        trio.TooSlowError: It gave no answer in time. It is cancelled; where it does not heed that, because it waits for
            a thread, say, its answer is not waited for.

    Cancellation:
        The guard is cancelled, likewise.
    """
    call = _Call(guard, text, late)
    start_soon(call.run, name="guard call")
    try:
        with trio.move_on_after(within):
            await call.over.wait()
    finally:
        call.is_awaited = call.over.is_set()
        call.scope.cancel(reason="nobody waits for the guard any more")
    if not call.is_awaited:
        raise trio.TooSlowError(f"the guard gave no answer within {within:g} s (guard_timeout)")
    if call.error is not None:
        raise call.error
    if isinstance(call.verdict, str):
        return Stop(call.verdict)
    if call.verdict is None or isinstance(call.verdict, Stop):
        return call.verdict
    raise TypeError(f"a guard returns None to let words pass, a reason or a Stop, not {type(call.verdict).__name__}")
