"""What the model is told of its calls: one output each, one reply for a batch, and news of what went on without it.

When a call is settled, and with which words, is decided in `tool_calls.py`.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.calls import ReadyCall
from realtime_trio.core.tool_call import CallLife
from realtime_trio.errors import RealtimeError

from . import tool_words
from .exchanges import Exchange, Request, new_id
from .inside import Inside
from .notices import Notice, ToolFailed, ToolFinished
from .responses import ToolCall
from .tool_policy import ToolPolicy
from .tool_runner import ToolRunner

__all__ = ["Batch", "LiveCall", "ToolOutputs", "follow_up"]


@attrs.define(eq=False)
class Batch:
    """The calls of one response.

    Attributes:
        exchanges: What they belong to.
        missing: How many of them have no output yet.
        runner: Runs them.
        outputs: The ids of the outputs that the server has.
        owes_reply: Whether one of them is to be replied to.
        lost: Why the server did not take one.
        filler: The line that was to be said meanwhile, the newest.
        filling: Held by the call that waits to have one said.
    """

    exchanges: Sequence[Exchange]
    missing: int
    runner: ToolRunner
    outputs: list[str] = attrs.field(factory=list, init=False)
    owes_reply: bool = attrs.field(default=False, init=False)
    lost: Exception | None = attrs.field(default=None, init=False)
    filler: Request | None = attrs.field(default=None, init=False)
    filling: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    @property
    def is_filled(self) -> bool:
        """Whether a filler was begun. One that was dropped, because its call was over first, is none."""
        return self.filler is not None and self.filler.response is not None

    @property
    def is_protected(self) -> bool:
        """Whether the user's speech is none for it: somebody asked with `interruption="never"`."""
        return any(exchange.interruption == "never" for exchange in self.exchanges)

    @property
    def is_wanted(self) -> bool:
        """Whether a reply to it is still for somebody: it belongs to none, or one of them still waits."""
        return not self.exchanges or any(not exchange.abandoned for exchange in self.exchanges)


@attrs.define(eq=False)
class LiveCall:
    """One call that is not over.

    Attributes:
        ready: What the model wrote.
        batch: The calls that came with it.
        policy: How it is run.
        misfit: Why that is not known: it cannot be run.
        life: Where it is in its life.
        output: What the model is to be told of it, once it is settled.
        settled: Set when that is known.
        told: Set when its one output was given.
        scope: Where the tool runs.
        waiting: Where it waits for approval, for its turn, and for its time to run out.
        line: The newest progress that is to be said, until it is asked for.
        line_number: How many of those there were.
    """

    ready: ReadyCall
    batch: Batch
    policy: ToolPolicy
    misfit: Exception | None = None
    life: CallLife = attrs.field(factory=CallLife, init=False)
    output: str = attrs.field(default="", init=False)
    settled: trio.Event = attrs.field(factory=trio.Event, init=False)
    told: trio.Event = attrs.field(factory=trio.Event, init=False)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    waiting: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    line: str = attrs.field(default="", init=False)
    line_number: int = attrs.field(default=0, init=False)

    @property
    def will_be_replied_to(self) -> bool:
        """Whether a reply is to come when its batch has all its outputs; news of a call in the background is none."""
        match self.life.state:
            case "received" | "awaiting approval" | "queued" | "running":
                owes = True
            case "delivering":
                owes = self.life.outcome != "cancelled"
            case "detached":
                owes = self.policy.background and not self.told.is_set()  # that it goes on is replied to
            case _:
                owes = False
        return self.batch.is_wanted and (owes or (self.batch.owes_reply and self.batch.missing > 0))


@attrs.define(eq=False, repr=False)
class ToolOutputs(Inside):
    """The outputs of one session.

    Attributes:
        start_soon: Starts a child task of the session.
        deliver: Creates an item and returns when the server has acknowledged it.
        owe: Asks for one reply to acknowledged items.
        quiet: Waits until nobody speaks and nothing is owed.
        publish: Takes notices.
        live: The calls that are not over, by call id.
    """

    start_soon: Callable[..., None]
    deliver: Callable[[events.Item], Awaitable[object]]
    owe: Callable[[Sequence[str], Sequence[Exchange]], object]
    quiet: Callable[[], Awaitable[object]]
    publish: Callable[[Notice], None]
    live: dict[str, LiveCall] = attrs.field(factory=dict, init=False)
    _news: list[LiveCall] = attrs.field(factory=list, init=False)
    _is_telling: bool = attrs.field(default=False, init=False)

    async def answer(self, call: LiveCall, text: str, owes_reply: bool) -> None:  # noqa: FBT001 a task's arguments
        """Give a call its one output: no other place does.

        Args:
            call: A call that is settled, or was just detached.
            text: The output.
            owes_reply: Whether the model is to reply to it, when its batch is complete.

        Raises:
            InternalError: It has one.
        """
        call.life.answer()
        ready, batch, is_last_word = call.ready, call.batch, call.life.state == "delivering"
        item = events.function_call_output(ready.call_id, tool_words.sendable(text), id=new_id("item"))
        problem = await self._send(item)
        if problem is None:
            batch.outputs.append(str(item.id))
            batch.owes_reply = batch.owes_reply or owes_reply
        else:
            batch.lost = problem
        if is_last_word:
            self._finish(call, problem)
        elif problem is not None and call.life.state != "over":
            self.publish(ToolFailed(ready.call_id, ready.name, problem))
        for exchange in batch.exchanges:
            exchange.tool_calls.append(ToolCall(ready.call_id, ready.name, ready.arguments, text))
        self._put_in(batch)
        call.told.set()

    async def tell_later(self, call: LiveCall) -> None:
        """Let the model know what a detached call came to, when both sides are quiet."""
        await call.told.wait()  # that it goes on
        self._news.append(call)
        if not self._is_telling:
            self._is_telling = True
            self.start_soon(self._tell, name="background results")

    async def _tell(self) -> None:
        while self._news:
            await self.quiet()
            calls, self._news = self._news, []
            items = []
            for call in calls:
                words = tool_words.news(call.ready.name, call.ready.call_id, tool_words.sendable(call.output))
                item = events.system_message(words, id=new_id("item"))
                problem = await self._send(item)
                self._finish(call, problem)
                if problem is None:
                    items.append(str(item.id))
            if items:
                self.owe(items, ())
        self._is_telling = False

    async def _send(self, item: events.FunctionCallOutput | events.Message) -> Exception | None:
        """Create an item. Returns why the server has it not."""
        try:
            await self.deliver(item)
        except (RealtimeError, trio.ClosedResourceError) as error:
            return error
        return None

    def _finish(self, call: LiveCall, problem: Exception | None) -> None:
        """The server has the last word on a call, or did not take it; if the session has ended, that was said."""
        ready = call.ready
        if call.life.take("lost" if problem is not None else "acknowledged"):
            del self.live[ready.call_id]
            done = ToolFinished(ready.call_id, ready.name, call.output)
            self.publish(done if problem is None else ToolFailed(ready.call_id, ready.name, problem))

    def _put_in(self, batch: Batch) -> None:
        batch.missing -= 1
        if batch.missing:
            return
        if batch.owes_reply and batch.is_wanted:
            self.owe(batch.outputs, [exchange for exchange in batch.exchanges if not exchange.abandoned])
        for exchange in batch.exchanges:
            if not batch.owes_reply and exchange.responses:
                exchange.cut_short = exchange.responses[-1]
            if batch.lost is not None and not batch.outputs:
                exchange.over.break_(batch.lost)  # no output reached the model: there is nothing to reply to
            exchange.release()


def follow_up(config: events.RealtimeSession, exchanges: Sequence[Exchange]) -> Request:
    """Make the request for a reply to what tools gave.

    A session that has the model call a tool in every response would have it call one in reply, and so for ever: where
    it does, the choice is the model's in this one.
    """
    choice = config.tool_choice
    forced = choice not in (events.UNSET, None, "auto", "none")
    overrides = events.ResponseCreateParams(tool_choice="auto") if forced else events.UNSET
    return Request(overrides, list(exchanges), continues=True)
