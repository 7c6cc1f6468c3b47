"""Running the model's function calls: one task each, exactly one output each, one reply for a batch.

What a call comes to is decided by the tool runner (`realtime_trio.tools`); here it runs beside the others, its output
goes to the server, and when a batch is complete a reply is asked for.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from realtime_trio import events
from realtime_trio.core.calls import ReadyCall
from realtime_trio.errors import NotAcknowledged, ServerError

from .exchanges import Exchange, new_id
from .notices import Notice, ToolFailed, ToolFinished, ToolStarted
from .responses import ToolCall
from .tool_context import ToolContext
from .tool_runner import ToolRunner

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ToolCalls", "ToolErrors"]

ToolErrors: TypeAlias = Literal["report", "raise"]


@attrs.define(eq=False)
class _Batch:
    """The calls of one response."""

    exchanges: Sequence[Exchange]
    missing: int
    runner: ToolRunner
    lost: Exception | None = None
    outputs: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class ToolCalls:
    """The calls of one session.

    Attributes:
        runner: Runs them.
        start_soon: Starts a child task of the session.
        deliver: Creates an item and returns when the server has acknowledged it.
        owe: Asks for one reply to the acknowledged outputs of a batch.
        publish: Takes notices.
        crash: Where a tool's exception goes with `tool_errors="raise"`; None to report it only.
        dependencies: What the program gave for its tools.
        session: The session that the tools are given; set when it is made.
        running: How many calls are without an output.
    """

    runner: ToolRunner
    start_soon: Callable[..., None]
    deliver: Callable[[events.Item], Awaitable[object]]
    owe: Callable[[Sequence[str], Sequence[Exchange]], object]
    publish: Callable[[Notice], None]
    crash: Callable[[Exception], object] | None = None
    dependencies: tuple[object, ...] = ()
    session: "Session" = attrs.field(init=False)
    running: int = attrs.field(default=0, init=False)
    _seen: dict[str, None] = attrs.field(factory=dict, init=False)

    def start(
        self, calls: Sequence[ReadyCall], exchanges: Sequence[Exchange] = (), runner: ToolRunner | None = None
    ) -> None:
        """Run the completed calls of one response, side by side.

        Args:
            calls: All of them.
            exchanges: What they belong to; several, when one response settled several requests.
            runner: Runs them instead of the session's, for a response that was asked for with tools of its own.
        """
        calls = [call for call in calls if call.call_id not in self._seen]  # exactly one output each, whatever is sent
        if not calls:
            return
        self._seen.update(dict.fromkeys(call.call_id for call in calls))
        batch = _Batch(exchanges, len(calls), runner or self.runner)
        for exchange in exchanges:
            exchange.hold()
        self.running += len(calls)
        for call in calls:
            self.start_soon(self._run, call, batch, name=f"tool {call.name}")

    async def _run(self, call: ReadyCall, batch: _Batch) -> None:
        call_id = call.call_id
        self.publish(ToolStarted(call_id, call.name, call.arguments))
        context = ToolContext(self.session, call_id, call.name, self.dependencies)
        outcome = await batch.runner.run(call.name, call.arguments, context=context)
        if outcome.failure is not None:
            self.publish(ToolFailed(call_id, call.name, outcome.failure))
            if self.crash is not None:
                self.crash(outcome.failure)
                return
        item = events.function_call_output(call_id, outcome.output, id=new_id("item"))
        try:
            await self.deliver(item)
        except (ServerError, NotAcknowledged) as error:
            batch.lost = error
            self.publish(ToolFailed(call_id, call.name, error))
        else:
            batch.outputs.append(str(item.id))
            self.publish(ToolFinished(call_id, call.name, outcome.output))
        for exchange in batch.exchanges:
            exchange.tool_calls.append(ToolCall(call_id, call.name, call.arguments, outcome.output))
        self._put_in(batch)

    def _put_in(self, batch: _Batch) -> None:
        self.running -= 1
        batch.missing -= 1
        if batch.missing:
            return
        if batch.outputs:
            self._owe_one_reply(batch)
        for exchange in batch.exchanges:
            if batch.lost is not None and not batch.outputs:
                exchange.over.break_(batch.lost)  # no output reached the model: there is nothing to reply to
            exchange.release()

    def _owe_one_reply(self, batch: _Batch) -> None:
        """Ask for one reply to the whole batch, on behalf of those who still wait for it."""
        waiting = [exchange for exchange in batch.exchanges if not exchange.abandoned]
        if waiting or not batch.exchanges:
            self.owe(batch.outputs, waiting)
