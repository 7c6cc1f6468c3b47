"""Asking somebody whether a call may run: by the program's hook, or by a notice that the program answers.

Which calls need it is said elsewhere: a tool's policy, or the configuration of a hosted MCP server. What a refusal
comes to is the caller's business too.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import attrs

from realtime_trio.core.border import check_async
from realtime_trio.core.recent import Recent
from realtime_trio.errors import LocalProtocolError
from realtime_trio.log_words import name_of

from .inside import Inside
from .notices import ApprovalNeeded, ApprovalRequest, Notice
from .promise import Promise
from .tool_words import sendable

__all__ = ["ApprovalHook", "ApprovalRequest", "Approvals", "Decision", "check_hook"]

_log = logging.getLogger("realtime_trio.session")

ApprovalHook: TypeAlias = Callable[[ApprovalRequest], Awaitable[bool | str]]
"""Says whether a call may run: True, False, or a text: it may not, for this reason, which the model is told."""

_HOOK = "async def approve(request)"
_MOST_DECIDED = 1024


def check_hook(hook: object) -> None:
    """Refuse what cannot be asked; None stands for the notice.

    Raises:
        ConfigurationError: It cannot be called, or is a plain function.
    """
    if hook is not None:
        check_async("approve", hook, cure=_HOOK)


@attrs.frozen
class Decision:
    """What became of a request.

    Attributes:
        approved: Whether the call may run.
        reason: Why not, in words for the model, which a message can carry; empty when nobody said.
        failure: What the hook raised; then it may not run.
    """

    approved: bool
    reason: str = attrs.field(default="", converter=sendable)
    failure: Exception | None = None


@attrs.define(eq=False, repr=False)
class Approvals(Inside):
    """The requests for approval in one session, those for functions and those for hosted MCP tools.

    Attributes:
        publish: Takes notices.
        hook: Decides; None to publish `ApprovalNeeded` and wait for `approve` or `refuse`.
    """

    publish: Callable[[Notice], None]
    hook: ApprovalHook | None = None
    _open: dict[str, Promise[Decision]] = attrs.field(factory=dict, init=False)
    _lost: Recent[object] = attrs.field(factory=lambda: Recent(_MOST_DECIDED), init=False)
    _known: dict[str, None] = attrs.field(factory=dict, init=False)  # ids that were asked about, the newest last

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Ask, and wait for the decision.

        Whatever the hook raises makes it a refusal with that failure, logged with its traceback.

        Cancellation:
            The hook is cancelled; a decision that comes later changes nothing.
        """
        if self.hook is not None:
            return await _by_hook(self.hook, request)
        self._remember(request.id)
        answer = self._open[request.id] = Promise[Decision]()
        try:
            self.publish(ApprovalNeeded(request))
            return await answer.wait()
        finally:
            del self._open[request.id]

    def answer(self, request_id: Any, decision: Decision) -> bool:
        """Give the decision on a request that was published.

        Returns:
            Whether it counts: False if it was decided before, or its call does not wait for it any more.

        Raises:
            LocalProtocolError: There never was such a request, or the link over which it came was lost.
        """
        is_known = isinstance(request_id, str) and request_id in self._known
        waiting = self._open.get(request_id) if is_known else None
        if waiting is None or waiting.settled:
            if not is_known:
                raise LocalProtocolError(
                    f"no request for approval is {request_id!r}: give the id of an ApprovalRequest"
                )
            if request_id in self._lost:
                raise LocalProtocolError(
                    f"{request_id!r} cannot be answered any more: the link over which it came was lost"
                )
            return False
        waiting.keep(decision)
        return True

    def lose(self, request_id: str) -> None:
        """Note that a request cannot be answered any more, because the link over which it came is lost."""
        self._lost.add(request_id)

    def _remember(self, request_id: str) -> None:
        self._known[request_id] = None
        while len(self._known) > _MOST_DECIDED:
            del self._known[next(iter(self._known))]


async def _by_hook(hook: ApprovalHook, request: ApprovalRequest) -> Decision:
    try:
        asked = hook(request)
        if not inspect.isawaitable(asked):
            raise TypeError(f"an approval hook is an async function: {_HOOK}")  # noqa: TRY301
        answer = await asked
        if isinstance(answer, str):
            return Decision(approved=False, reason=answer)
        if not isinstance(answer, bool):
            raise TypeError(f"an approval hook returns True, False or a reason, not {type(answer).__name__}")  # noqa: TRY301
        return Decision(approved=answer)
    except Exception as error:  # noqa: BLE001 a user's code
        _log.exception("the approval hook crashed at %s (%s)", name_of(request.name), name_of(request.id))
        return Decision(approved=False, failure=error)
    except BaseExceptionGroup as group:  # cancelled while something crashed: the cancellation has to pass on alone
        crashes, rest = group.split(Exception)
        if crashes is not None and rest is not None:
            _log.error("the approval hook crashed while it was cancelled (%s)", name_of(request.id), exc_info=crashes)
            raise rest from None
        raise
