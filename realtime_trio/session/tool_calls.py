"""Running the model's function calls: each in a task of its own, under its tool's policy, until something settles it.

Theory of operation. What can become of a call is `core.tool_call`'s table. Two tasks serve it. One conducts: it asks
for approval, waits for its turn, starts the tool, lets its time run out, and when the call is settled it has the model
told (`tool_outputs.py`). The other runs the tool and nothing else, so that one that does not stop when it is cancelled
keeps nobody waiting. Whatever settles a call goes through `_settle`, and only what comes first counts.
"""

import logging
import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import trio

from realtime_trio.core.calls import ReadyCall
from realtime_trio.core.recent import Recent
from realtime_trio.core.tool_call import Outcome, Trigger
from realtime_trio.errors import ToolTimeout
from realtime_trio.log_words import name_of

from . import tool_words
from .approvals import ApprovalRequest, Approvals
from .exchanges import Exchange, Request
from .inside import Inside
from .notices import Notice, ToolCancelled, ToolDetached, ToolFailed, ToolProgress, ToolStarted
from .tool_context import ToolContext
from .tool_outputs import Batch, LiveCall, ToolOutputs
from .tool_policy import ToolPolicy
from .tool_queue import Place, ToolQueue
from .tool_runner import ToolRunner
from .tool_set import ToolSet

if TYPE_CHECKING:
    from .session import Session

__all__ = ["INTERRUPTING", "ToolCalls", "ToolErrors"]

_log = logging.getLogger("realtime_trio.session")

ToolErrors: TypeAlias = Literal["report", "raise"]

INTERRUPTING = ("speech_started", "pressed", "requested")
"""The reasons for an interruption that tools are told of: the user takes the floor, or the program says stop."""

_MOST_REMEMBERED = 64
_MOST_SEEN = 4096  # calls of which it is remembered that they were answered


@attrs.define(eq=False, repr=False)
class ToolCalls(Inside):
    """The calls of one session.

    Attributes:
        tools: Those of the responses that are created from now on.
        outputs: Tells the model.
        approvals: Asks whether a call may run.
        start_soon: Starts a child task of the session.
        say_later: Has a line said when nobody speaks, unless it is not wanted any more by then.
        publish: Takes notices.
        crash: Where a tool's exception goes with `tool_errors="raise"`; None to report it only.
        dependencies: What the program gave for its tools.
        session: The session that the tools are given; set when it is made.
    """

    tools: ToolSet
    outputs: ToolOutputs
    approvals: Approvals
    start_soon: Callable[..., None]
    say_later: Callable[[str, Callable[[], bool]], Request]
    publish: Callable[[Notice], None]
    crash: Callable[[Exception], object] | None = None
    dependencies: tuple[object, ...] = ()
    session: "Session" = attrs.field(init=False)
    _seen: Recent[str] = attrs.field(factory=lambda: Recent(_MOST_SEEN), init=False)
    _queues: dict[tuple[str, int], ToolQueue] = attrs.field(factory=dict, init=False)
    _runners: dict[str, ToolRunner] = attrs.field(factory=dict, init=False)  # by response, the newest last
    _cut: dict[str, str] = attrs.field(factory=dict, init=False)  # responses, and what interrupted them

    @property
    def running(self) -> int:
        """How many calls are not over, those in the background included."""
        return len(self.outputs.live)

    @property
    def owes_reply(self) -> bool:
        """Whether the model is going to reply to a call that is not over: it waits for its output."""
        return any(call.will_be_replied_to for call in self.outputs.live.values())

    def use(self, tools: ToolSet) -> None:
        """Have other tools from now on: the server has acknowledged them."""
        self.tools = tools

    def created(self, response_id: str) -> None:
        """A response was created: its calls are of the tools that there are now, whatever changes until it is done."""
        self._runners[response_id] = self.tools.runner
        _forget_oldest(self._runners)

    def start(
        self,
        calls: Sequence[ReadyCall],
        exchanges: Sequence[Exchange] = (),
        runner: ToolRunner | None = None,
        *,
        response_id: str = "",
    ) -> None:
        """Run the completed calls of one response, side by side.

        Args:
            calls: All of them.
            exchanges: What they belong to; several, when one response settled several requests.
            runner: Runs them instead of the session's, for a response that was asked for with tools of its own.
            response_id: The response.
        """
        at_creation = self._runners.pop(response_id, self.tools.runner)
        calls = [call for call in calls if call.call_id not in self._seen]  # exactly one output each, whatever is sent
        if not calls:
            return
        for call in calls:
            self._seen.add(call.call_id)
        batch = Batch(exchanges, len(calls), runner or at_creation)
        for exchange in exchanges:
            exchange.hold()
        for ready in calls:
            self._begin(_live(ready, batch))
        if (reason := self._cut.pop(response_id, None)) is not None:  # between the call and the response's end
            self._interrupt([call for call in self.outputs.live.values() if call.batch is batch], reason)

    def interrupt(self, reason: str, response_ids: Collection[str] = ()) -> None:
        """Do to the calls what their tools' policies say about an interruption.

        Args:
            reason: What interrupts.
            response_ids: The responses that are cut by it: it counts for their calls, too, which are yet to come.
        """
        self._cut.update(dict.fromkeys(response_ids, reason))
        _forget_oldest(self._cut)
        self._interrupt(list(self.outputs.live.values()), reason)

    def end(self) -> None:
        """The session is over: nothing can be sent any more. Say so of each call that is not over."""
        for call in list(self.outputs.live.values()):
            if call.life.take("session ended"):
                self._close(call, "session ended")
                self.publish(ToolCancelled(call.ready.call_id, call.ready.name, "session_ended"))
        self.outputs.live.clear()

    # One call

    def _begin(self, call: LiveCall) -> None:
        name, policy = call.ready.name, call.policy
        self.outputs.live[call.ready.call_id] = call
        place = None
        if policy.approve:
            call.life.take("needs approval")
        else:
            call.life.take("needs none")
            place = self._join(call)
        self.start_soon(self._conduct, call, place, name=f"tool call {name}")
        if policy.filler is not None:
            self.start_soon(self._fill, call, policy.filler, name=f"filler of {name}")

    def _join(self, call: LiveCall) -> Place:
        """Take the last place in the tool's queue; the model is told at once of a call in the background."""
        name, policy = call.ready.name, call.policy
        if policy.background and call.life.take("detached"):
            self._answer_detached(call, tool_words.background(name), owes_reply=True)
        if policy.concurrency is None:
            return ToolQueue().join()
        return self._queues.setdefault((name, policy.concurrency), ToolQueue(policy.concurrency)).join()

    async def _conduct(self, call: LiveCall, place: Place | None) -> None:
        life = call.life
        with call.waiting:
            await self._see_through(call, place)
        if life.state == "delivering":
            await self.outputs.answer(call, call.output, life.outcome != "cancelled")
        elif life.state == "reporting":
            await self.outputs.tell_later(call)

    async def _see_through(self, call: LiveCall, place: Place | None) -> None:
        started = False
        try:
            place = place or await self._approved(call)
            if place is None:
                return
            await place.admitted.wait()
            started = call.life.take("its turn came")
        finally:
            if place is not None and not started:
                place.leave()
        if not started:
            return
        ready, seconds = call.ready, call.policy.timeout
        self.publish(ToolStarted(ready.call_id, ready.name, ready.arguments))
        self.start_soon(self._work, call, place, name=f"tool {ready.name}")
        await trio.sleep(math.inf if seconds is None else seconds)
        if seconds is not None:
            failure = ToolTimeout(f"{ready.name} took longer than {seconds:g} s", seconds=seconds)
            self._settle(call, "timed out", tool_words.timed_out(ready.name, seconds), failure)

    async def _approved(self, call: LiveCall) -> Place | None:
        ready = call.ready
        request = ApprovalRequest(ready.call_id, "function", ready.name, ready.arguments)
        decision = await self.approvals.decide(request)
        if not decision.approved:
            self._settle(call, "refused", tool_words.refused(ready.name, decision.reason), decision.failure)
        elif call.life.take("approved"):
            return self._join(call)
        return None

    async def _work(self, call: LiveCall, place: Place) -> None:
        ready = call.ready
        outcome: _Outcome | None = None
        context = ToolContext(
            self.session, ready.call_id, ready.name, self.dependencies, report=partial(self._progress, call)
        )
        try:
            with call.scope:
                if not call.life.is_settled:
                    outcome = await _run(call, context)
        except Exception as error:  # noqa: BLE001 only a runner of the program's own breaks its promise
            _log.exception("running tool %s crashed (call %s)", name_of(ready.name), name_of(ready.call_id))
            outcome = _Outcome(f"Error: {ready.name} failed.", error)
        finally:
            place.leave()
        if outcome is None:  # cancelled, or settled before it began
            return
        failure = outcome.failure
        if not self._settle(call, "returned", outcome.output, failure) and failure is not None:
            words = "tool %s failed when nobody waited for it any more (call %s)"
            _log.warning(words, name_of(ready.name), name_of(ready.call_id), exc_info=failure)
            if self.crash is not None:
                self.crash(failure)

    async def _fill(self, call: LiveCall, line: str) -> None:
        with trio.move_on_after(call.policy.filler_after):
            await call.settled.wait()
        batch = call.batch
        if not call.life.is_attached:
            return
        async with batch.filling:  # else two that wake together would both speak
            await self.outputs.quiet()  # what was said before the call, or another one's line, may be yet to be heard
            if not batch.is_filled and call.life.is_attached:
                batch.filler = self.say_later(line, lambda: call.life.is_attached)

    def _progress(self, call: LiveCall, text: str, speak: bool) -> None:  # noqa: FBT001 the shape that contexts report in
        if call.life.is_settled:
            return
        self.publish(ToolProgress(call.ready.call_id, call.ready.name, text))
        if not (speak and text.strip()):
            return
        call.line_number += 1
        if not call.line:
            self.start_soon(self._say_progress, call, name=f"progress of {call.ready.name}")
        call.line = text

    async def _say_progress(self, call: LiveCall) -> None:
        await self.outputs.quiet()
        line, number, call.line = call.line, call.line_number, ""
        if not call.life.is_settled:
            self.say_later(line, lambda: call.line_number == number and not call.life.is_settled)

    # What settles calls

    def _settle(self, call: LiveCall, trigger: Trigger, output: str, failure: Exception | None = None) -> bool:
        """Let the first thing that settles a call be what it comes to. Returns whether this was the first."""
        outcome: Outcome | None = "error" if trigger == "returned" and failure is not None else None
        if not call.life.take(trigger, outcome):
            return False
        call.output = output
        self._close(call, trigger)
        if failure is not None:
            self.publish(ToolFailed(call.ready.call_id, call.ready.name, failure))
            if self.crash is not None:
                self.crash(failure)
        return True

    def _close(self, call: LiveCall, why: str) -> None:
        call.settled.set()
        call.waiting.cancel(reason=why)
        call.scope.cancel(reason=why)

    def _interrupt(self, calls: Sequence[LiveCall], reason: str) -> None:
        by_user = reason != "requested"
        for call in calls:
            call_id, name, action = call.ready.call_id, call.ready.name, call.policy.on_interrupt
            if reason == "speech_started" and call.batch.is_protected:
                continue
            if action == "cancel" and call.life.is_attached:
                self._settle(call, "cancelled", tool_words.cancelled(name, by_user=by_user))
                self.publish(ToolCancelled(call_id, name, reason))
            elif action == "detach" and call.life.take("detached"):
                self.publish(ToolDetached(call_id, name))
                self._answer_detached(call, tool_words.detached(name, by_user=by_user), owes_reply=False)

    def _answer_detached(self, call: LiveCall, text: str, *, owes_reply: bool) -> None:
        self.start_soon(self.outputs.answer, call, text, owes_reply, name=f"output of {call.ready.name}")


@attrs.frozen
class _Outcome:
    output: str
    failure: Exception | None


def _live(ready: ReadyCall, batch: Batch) -> LiveCall:
    """Ask the runner how a call is to be run. Where it does not say, the call is not: it might have needed approval."""
    runner = batch.runner
    try:
        policy: object = runner.policy(ready.name)
    except Exception as error:  # noqa: BLE001 a runner of the program's own
        return LiveCall(ready, batch, ToolPolicy(), error)
    if isinstance(policy, ToolPolicy):
        return LiveCall(ready, batch, policy)
    misfit = TypeError(f"{type(runner).__name__}.policy() gives a ToolPolicy, not {type(policy).__name__}")
    return LiveCall(ready, batch, ToolPolicy(), misfit)


async def _run(call: LiveCall, context: ToolContext) -> _Outcome:
    """Run one call. Nonsense for an outcome raises TypeError: else the call would never get its output."""
    if call.misfit is not None:
        raise call.misfit
    ready, runner = call.ready, call.batch.runner
    given: object = await runner.run(ready.name, ready.arguments, context=context)
    output, failure = getattr(given, "output", None), getattr(given, "failure", None)
    if not isinstance(output, str) or not isinstance(failure, Exception | None):
        raise TypeError(
            f"{type(runner).__name__}.run() gives a ToolOutcome, with an output (str) and a failure (an exception or "
            f"None), not {type(given).__name__}"
        )
    return _Outcome(output, failure)


def _forget_oldest(remembered: dict[str, Any]) -> None:
    while len(remembered) > _MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
