"""The life of one tool call, as a table, and the promise that it gets exactly one output.

Whose approval is asked, which task runs the tool and how an output reaches the server is the session's
(`session.tool_calls`); docs/states.md draws the table.

Theory of operation. A call is *attached* as long as the model waits for its output. Something settles it, once: the
tool returned, time ran out, somebody refused, an interruption or the session's end cancelled it. What settles it second
comes too late and changes nothing. Then its output is delivered. A call that is *detached* has got its output, which
says that it goes on; what it comes to is told later, as news. Only `CallLife.answer` gives the right to send an output,
and it does so once.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import attrs

from realtime_trio.errors import InternalError

__all__ = ["ATTACHED", "ENDS", "FIRST", "OUTCOMES", "STATES", "TRANSITIONS", "CallLife", "Outcome", "State", "Trigger"]

State: TypeAlias = Literal[
    "received", "awaiting approval", "queued", "running", "detached", "delivering", "reporting", "over"
]

Trigger: TypeAlias = Literal[
    "needs approval",
    "needs none",
    "approved",
    "refused",
    "its turn came",  # fewer calls of the tool are running than may
    "returned",  # whatever it came to: a value or an error
    "timed out",
    "cancelled",  # by an interruption, under on_interrupt="cancel"
    "detached",  # by an interruption, under on_interrupt="detach"; or it is a background tool
    "acknowledged",  # the server has what it was told
    "lost",  # the server did not take it
    "session ended",
]

Outcome: TypeAlias = Literal["value", "error", "timeout", "cancelled", "refused", "session ended"]

FIRST: Final[State] = "received"

STATES: Final[Mapping[State, str]] = {
    "received": "It came complete with its `response.done`.",
    "awaiting approval": "Somebody is asked whether it may run.",
    "queued": "Waits until fewer calls of the tool are running than may at once.",
    "running": "The tool is at work, and the model waits.",
    "detached": "The model was told that it goes on; it may still wait for approval or for its turn.",
    "delivering": "Settled; its output is on the way to the server.",
    "reporting": "Settled while detached; what it came to waits until both sides are quiet.",
    "over": "The server has its output, or never will.",
}
"""What each state means."""

ATTACHED: Final[frozenset[State]] = frozenset({"awaiting approval", "queued", "running"})
"""The states in which the model waits and nothing settled the call yet: those that an interruption is about."""

ENDS: Final[frozenset[State]] = frozenset({"over"})

OUTCOMES: Final[Mapping[Outcome, str]] = {
    "value": "The tool returned; or the model is told what is wrong with its call: an unknown tool, bad arguments.",
    "error": "The tool crashed.",
    "timeout": "It took too long.",
    "cancelled": "It was interrupted.",
    "refused": "Somebody did not agree.",
    "session ended": "The session ended first. Nothing can be sent any more; it is reported to the program.",
}
"""What a call can come to."""

TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    # received
    ("received", "needs approval"): "awaiting approval",
    ("received", "needs none"): "queued",
    # awaiting approval
    ("awaiting approval", "approved"): "queued",
    ("awaiting approval", "refused"): "delivering",
    ("awaiting approval", "cancelled"): "delivering",
    ("awaiting approval", "detached"): "detached",
    ("awaiting approval", "session ended"): "over",
    # queued
    ("queued", "its turn came"): "running",
    ("queued", "cancelled"): "delivering",
    ("queued", "detached"): "detached",
    ("queued", "session ended"): "over",
    # running
    ("running", "returned"): "delivering",
    ("running", "timed out"): "delivering",
    ("running", "cancelled"): "delivering",
    ("running", "detached"): "detached",
    ("running", "session ended"): "over",
    # detached
    ("detached", "approved"): "detached",
    ("detached", "its turn came"): "detached",
    ("detached", "refused"): "reporting",
    ("detached", "returned"): "reporting",
    ("detached", "timed out"): "reporting",
    ("detached", "session ended"): "over",
    # delivering
    ("delivering", "acknowledged"): "over",
    ("delivering", "lost"): "over",
    ("delivering", "session ended"): "over",
    # reporting
    ("reporting", "acknowledged"): "over",
    ("reporting", "lost"): "over",
    ("reporting", "session ended"): "over",
}
"""What becomes of a call in a state when something happens. What is not here comes too late, and changes nothing."""

_COMES_TO: Final[Mapping[Trigger, Outcome]] = {
    "returned": "value",
    "timed out": "timeout",
    "cancelled": "cancelled",
    "refused": "refused",
    "session ended": "session ended",
}


@attrs.define
class CallLife:
    """Where one call is in its life.

    Attributes:
        state: Its state.
        outcome: What it came to; None as long as nothing settled it.
        answered: Whether the right to send its one output was taken.
    """

    state: State = FIRST
    outcome: Outcome | None = None
    answered: bool = False

    @property
    def is_attached(self) -> bool:
        """Whether the model waits for its output, and nothing settled it."""
        return self.state in ATTACHED

    @property
    def is_settled(self) -> bool:
        """Whether it is known what it comes to."""
        return self.outcome is not None

    def take(self, trigger: Trigger, outcome: Outcome | None = None) -> bool:
        """Let something happen.

        Args:
            trigger: What happens.
            outcome: What the call comes to by it, where the trigger alone does not tell.

        Returns:
            Whether it changed anything; if not, it came too late, or does not apply.
        """
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            return False
        self.state = after
        told = outcome or _COMES_TO.get(trigger)
        if told is not None:
            self.outcome = told
        return True

    def answer(self) -> None:
        """Take the right to send the call's output.

        Raises:
            InternalError: It was taken before: the call would get two outputs.
        """
        if self.answered:
            raise InternalError("a function call was about to get a second output")
        self.answered = True
