"""What one `ask` sets off: requests for replies, the responses that settle them, tool calls, and its end.

Pure bookkeeping with one promise at its end; who may speak is `core.arbiter`'s decision, tasks are in `tool_calls.py`.
"""

import math
import secrets
from collections.abc import Callable

import attrs

from realtime_trio import events
from realtime_trio.core.barge_in import InterruptionPolicy

from .promise import Promise
from .responses import Reply, Response, ToolCall, total_cost, total_usage
from .tool_runner import ToolRunner

__all__ = ["Exchange", "Request", "new_id"]


def new_id(prefix: str) -> str:
    """Make an id that is ours, of at most 32 characters (the server's limit for item ids)."""
    return f"{prefix}_{secrets.token_hex(12)}"


@attrs.define(eq=False)
class Exchange:
    """One user turn and all that follows from it.

    Attributes:
        over: Kept when no reply and no tool output is owed any more; broken when a reply cannot be had.
        responses: The responses that settled its requests, in order.
        tool_calls: The calls they made, in the order of their outputs.
        abandoned: Whether nobody waits for it any more.
        cut_short: The response whose tool calls were cancelled, so that nothing follows from it.
        interruption: What the user's speech does while its responses are to be heard; None for what it does in the
            session.
    """

    over: Promise[None] = attrs.field(factory=Promise)
    responses: list[Response] = attrs.field(factory=list)
    tool_calls: list[ToolCall] = attrs.field(factory=list)
    requests: list["Request"] = attrs.field(factory=list)
    abandoned: bool = False
    cut_short: Response | None = None
    interruption: InterruptionPolicy | None = None
    _holds: int = attrs.field(default=0, init=False)

    def hold(self) -> None:
        """Something is owed: a reply, or the outputs of a batch of calls."""
        self._holds += 1

    def release(self) -> None:
        """One thing that was owed is there, or never will be."""
        self._holds -= 1
        if self._holds == 0:
            self.over.keep(None)

    @property
    def status(self) -> str:
        """What became of its last response: cancelled, if it was cut short, also when its generation was over by then.

        One that failed without being an error had been stopped before.
        """
        last = self.responses[-1] if self.responses else None
        if last is None or last.status == "failed":
            return "cancelled"
        was_cut = last.interrupted or last is self.cut_short
        return "cancelled" if was_cut and last.status == "completed" else last.status

    def reply(self) -> Reply:
        """Sum it up."""
        last = self.responses[-1] if self.responses else None
        return Reply(
            text=last.text if last else "",
            status=self.status,
            usage=total_usage(response.usage for response in self.responses),
            tool_calls=tuple(self.tool_calls),
            responses=tuple(self.responses),
            interruption=last.interruption if last else None,
            incomplete_reason=last.incomplete_reason if last else None,
            cancelled_reason=last.cancelled_reason if last else None,
            cost=total_cost(self.responses),
        )


@attrs.define(eq=False)
class Request:
    """A reply that is owed.

    Attributes:
        id: The key by which the server's answer is known (`metadata["realtime_trio"]`).
        overrides: What to ask for beside the session's settings.
        exchanges: What it belongs to; none for what nobody waits for.
        tools: Runs the calls of the response, where it was asked for with tools of its own.
        is_awaited: Whether a call waits for its response.
        is_programs: Whether the program wanted it, be it awaited or not; else it came of what the server said.
        continues: Whether it goes on with a turn that was answered already: a reply to tool calls, a line in between.
        wanted: Asked until its response is created; when it says no, the request is dropped. None: it is wanted.
        interruption: What the user's speech does while it is to be heard; None for what it does in the session.
        expected_until: The server may answer by itself: until then it is not asked for, and any response settles it.
        created: The response that settles it.
        response: The same, once there is one.
    """

    overrides: events.ResponseCreateParams | events.UnsetType = events.UNSET
    exchanges: list[Exchange] = attrs.field(factory=list)
    tools: ToolRunner | None = None
    is_awaited: bool = False
    is_programs: bool = attrs.field(default=False, kw_only=True)
    continues: bool = attrs.field(default=False, kw_only=True)
    wanted: Callable[[], bool] | None = attrs.field(default=None, kw_only=True)
    interruption: InterruptionPolicy | None = attrs.field(default=None, kw_only=True)
    expected_until: float = attrs.field(default=-math.inf, kw_only=True)
    id: str = attrs.field(factory=lambda: new_id("req"))
    created: Promise[Response] = attrs.field(factory=Promise)
    response: Response | None = None

    def __attrs_post_init__(self) -> None:
        for exchange in self.exchanges:
            exchange.requests.append(self)
            exchange.hold()
            self.interruption = self.interruption or exchange.interruption

    def settle(self, response: Response) -> None:
        """A response was created for it."""
        self.response = response
        response.policy = self.interruption
        self.created.keep(response)
        for exchange in self.exchanges:
            if response not in exchange.responses:
                exchange.responses.append(response)

    def release(self) -> None:
        """Nothing more is owed for it."""
        exchanges, self.exchanges = self.exchanges, []
        for exchange in exchanges:
            exchange.release()

    def fail(self, error: Exception) -> None:
        """It cannot be had."""
        self.created.break_(error)
        for exchange in self.exchanges:
            exchange.over.break_(error)
        self.release()
