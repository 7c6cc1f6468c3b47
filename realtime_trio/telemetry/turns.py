"""Whose turn it is: which responses and tool calls belong to what the user said, as far as events tell.

Theory of operation. A turn begins when the user does (the server heards speech, or an item of the user's comes), and is
a turn once something is answered. What is said while it has no answer yet belongs to it. A response belongs to the
newest turn; one that nobody asked for by speaking or writing (a greeting, a reply after the turn was over) is a turn of
its own. A turn is over when its responses were heard, its tool calls have ended, and no reply to them is to come; or
when the user has begun another, and nothing of this one goes on. What the spans of it are is in `observer.py`.
"""

from typing import Literal

import attrs
from opentelemetry import trace

from realtime_trio import events
from realtime_trio.core.recent import Recent

__all__ = ["Trigger", "Turn", "Turns"]

Trigger = Literal["speech", "text", "session"]

_MOST_KNOWN = 4096


@attrs.define(eq=False)
class Turn:
    """One turn.

    Attributes:
        began_at: When the user began; when the response was asked for, if no user did.
        trigger: What began it.
        span: Its span; None as long as nothing is answered.
        responses: Those that are not over.
        tools: The calls that are not over; those in the background are nobody's turn.
        owes: Whether a reply to tool calls is to come.
        answers: How many responses there were.
        calls: How many tool calls.
        interrupted: What interrupted it; empty if nothing did.
        latency: Milliseconds until its first sound was heard, by where they went.
        quiet_since: When the last of its responses or calls was over.
    """

    began_at: float
    trigger: Trigger
    span: trace.Span | None = None
    responses: set[str] = attrs.field(factory=set, init=False)
    tools: set[str] = attrs.field(factory=set, init=False)
    owes: bool = attrs.field(default=False, init=False)
    answers: int = attrs.field(default=0, init=False)
    calls: int = attrs.field(default=0, init=False)
    interrupted: str = attrs.field(default="", init=False)
    latency: dict[str, int] = attrs.field(factory=dict, init=False)
    quiet_since: float | None = attrs.field(default=None, init=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.span is not None and not (self.responses or self.tools or self.owes)


@attrs.define(eq=False)
class Turns:
    """The turns of one session.

    Attributes:
        speech_began_at: When the user was last heard to begin to speak.
        open: Those that are not over, the newest last.
    """

    speech_began_at: float | None = None
    open: list[Turn] = attrs.field(factory=list, init=False)
    _speaks: bool = attrs.field(default=False, init=False)
    _said: Recent[str] = attrs.field(factory=lambda: Recent(_MOST_KNOWN), init=False)  # the user's items, and silence

    def handle(self, event: object, now: float) -> None:
        """Follow one server event: the user may begin a turn."""
        match event:
            case events.InputAudioBufferSpeechStarted():
                self.speech_began_at, self._speaks = now, True
            case events.InputAudioBufferTimeoutTriggered(item_id=item_id):
                self._said.add(item_id)  # nobody spoke
            case events.InputAudioBufferCommitted(item_id=item_id):
                began_at = self.speech_began_at if self._speaks else None
                self._speaks = False
                self._begin(item_id, "speech", now if began_at is None else began_at)
            case events.ConversationItemAdded(item=item) | events.ConversationItemCreated(item=item):
                if isinstance(item, events.Message) and item.role == "user" and item.id:
                    self._begin(item.id, "text", now)
            case _:
                pass

    def _begin(self, item_id: str, trigger: Trigger, began_at: float) -> None:
        if item_id in self._said:
            return
        self._said.add(item_id)
        newest = self.open[-1] if self.open else None
        if newest is None or newest.span is not None:  # else it goes on: nothing is answered yet
            self.open.append(Turn(began_at, trigger))

    def of_new_response(self, asked_at: float) -> Turn:
        """Give the turn that a new response belongs to: the newest, or one of its own."""
        if not self.open:
            self.open.append(Turn(asked_at, "session"))
        for older in self.open[:-1]:
            older.owes = False  # what is said now is said to what the user said last
        newest = self.open[-1]
        newest.owes = False
        newest.answers += 1
        return newest

    def of_response(self, response_id: str) -> Turn | None:
        """Find the turn of a response that is not over."""
        return next((turn for turn in self.open if response_id in turn.responses), None)

    def of_tool(self, call_id: str) -> Turn | None:
        """Find the turn of a tool call that is not over."""
        return next((turn for turn in self.open if call_id in turn.tools), None)

    def take_over(self) -> list[Turn]:
        """Take out the turns that are over."""
        over = [turn for turn in self.open if turn.is_over]
        if over:
            self.open = [turn for turn in self.open if not turn.is_over]
        return over
