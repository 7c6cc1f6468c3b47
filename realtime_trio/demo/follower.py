"""Follows a session: what goes on becomes lines on the screen, and a record for the summary.

It only listens. How lines are kept in order is in `lines.py`; what is counted at the end, in `summary.py`.
"""

import contextlib
import math
from collections.abc import Iterator

import attrs
import trio

from realtime_trio import events
from realtime_trio.errors import NotAcknowledged, RealtimeError
from realtime_trio.session import (
    AudioDropped,
    BudgetSpent,
    BudgetWarning,
    DeviceChanged,
    EchoNotCancelled,
    Guarded,
    GuardFailed,
    Interrupted,
    Interruption,
    Lagged,
    LinkLost,
    NotAnEvent,
    Notice,
    Paused,
    Reconnected,
    ReplyLost,
    Response,
    ResponseNotCompleted,
    Resumed,
    Session,
    ToolFailed,
    ToolFinished,
    ToolProgress,
    ToolStarted,
)

from .lines import Line, Showing
from .link_words import LOST, back_words
from .record import Record, Turn

__all__ = ["Follower"]

_PATIENCE = 3.0  # seconds that an answer's line waits for the transcript of its question
_REPLY_LIMIT = 5.0  # seconds after a turn or a tool call from which on no answer is expected any more
_REASONS = {
    "speech_started": "the user spoke",
    "pressed": "the user took the floor",
    "link_lost": "the connection was lost",
}
_GLANCE = 0.05  # seconds between two looks at whether it is quiet
_LONGEST_QUOTE = 8  # words
_SIZE = 4096  # events held for the follower, which never waits: more than come in a minute


@attrs.define(eq=False)
class _Answer:
    """The line of a response, and the items that its words belong to, in order."""

    line: Line
    item_ids: list[str] = attrs.field(factory=list)


class Follower:
    """Listens to a session.

    Attributes:
        record: What happened so far.
        user_speaks: Whether turn detection hears the user.
        cut_at: When speech was last cut; Trio time, -inf before.
        lost: Whether the sound hardware is gone.
        notice: The last that was said of the hardware, while it is gone.
        disconnected: Whether there is no connection now.

    Args:
        session: What is followed.
        lines: Where it is shown.
        record: Where it is kept.
        requested: Why `Session.interrupt` is called here, in words.
        shows_cuts: Whether the lines show by themselves how much of an answer was heard; else it is quoted.
    """

    def __init__(
        self,
        session: Session,
        lines: Showing,
        record: Record,
        *,
        requested: str = "a line was typed",
        shows_cuts: bool = False,
    ) -> None:
        self.record = record
        self.user_speaks = False
        self.cut_at = -math.inf
        self.lost = False
        self.notice = ""
        self.disconnected = False
        self._session = session
        self._lines = lines
        self._shows_cuts = shows_cuts
        self._reasons = {**_REASONS, "requested": requested}
        self._events = session.events(size=_SIZE)
        self._responses = session.responses()
        self._user_lines: dict[str, Line] = {}  # by item id
        self._spoken: dict[str, Turn] = {}  # by item id
        self._answers: dict[str, _Answer] = {}  # by response id, until it was heard
        self._calls: dict[str, ToolStarted] = {}  # those that run, by call id
        self._speech_interrupts = False
        self._reply_due = 0.0  # until when an answer is expected; 0 when none is
        self._last = trio.current_time()

    async def run(self) -> None:
        """Follow until the session is over. Why it is over is the session's to say, where its block ends.

        Cancellation:
            Safe; it is the usual end.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_responses)
                nursery.start_soon(self._refresh)
                with contextlib.suppress(RealtimeError):
                    async for event in self._events:
                        self._last = trio.current_time()
                        self.handle(event)
                nursery.cancel_scope.cancel(reason="the session is over")
        finally:
            self.record.usage = self._session.usage

    def typed(self, text: str) -> None:
        """Take note of a turn that the user typed."""
        self.record.turns.append(Turn(said=text, typed=True))
        self._reply_due = trio.current_time() + _REPLY_LIMIT
        self._lines.say("you", text)

    def problem(self, words: str) -> None:
        """Take note of something that went wrong."""
        self.record.problems.append(words)
        self._lines.say("error", words)

    def remark(self, who: str, words: str) -> None:
        """Say something that is worth knowing, and no problem."""
        self._lines.say(who, words)

    async def quiet(self, seconds: float) -> None:
        """Wait until nothing has been said, generated or played, and no tool has run, for so long.

        Args:
            seconds: How long.

        Cancellation:
            Safe.
        """
        while True:
            now = trio.current_time()
            if self._busy(now):
                self._last = now
            elif now - self._last >= seconds:
                return
            await trio.sleep(_GLANCE)

    def _busy(self, now: float) -> bool:
        if self.disconnected:
            return True
        return self.user_speaks or self.assistant_speaks or self.expected or now < self._reply_due

    # What there is to see

    @property
    def assistant_speaks(self) -> bool:
        """Whether the assistant is to be heard."""
        return any(response.first_sound_at is not None for response in self._unheard())

    @property
    def expected(self) -> bool:
        """Whether an answer is on its way."""
        return (
            bool(self._calls)
            or trio.current_time() < self._reply_due
            or any(response.first_sound_at is None for response in self._unheard())
        )

    def _unheard(self) -> Iterator[Response]:
        return (response for response in self.record.responses if not response.is_heard)

    def mark_heard(self) -> None:
        """Note how far each answer was heard by now: for a screen, which shows what is still to be said in another way.

        What nobody looks at need not be known: a screen calls it before it looks.
        """
        unheard = {response.id for response in self._unheard()}
        for response_id, answer in list(self._answers.items()):
            if response_id in unheard:
                answer.line.heard = sum(len(self._heard_text(item_id)) for item_id in answer.item_ids)
            elif answer.line.over:
                answer.line.heard = answer.line.heard if answer.line.cut else None
                del self._answers[response_id]

    def _heard_text(self, item_id: str) -> str:
        item = self._session.conversation.get(item_id)
        return item.heard_text if item is not None else ""

    async def _follow_responses(self) -> None:
        with contextlib.suppress(RealtimeError):
            async for response in self._responses:
                if isinstance(response, Response):
                    self._follow_response(response)

    def _follow_response(self, response: Response) -> None:
        self._reply_due = 0.0
        self.record.responses.append(response)
        if not self.record.turns:
            self.record.turns.append(Turn())
        self.record.turns[-1].responses.append(response)

    async def _refresh(self) -> None:
        """Show the lines behind one that is late."""
        while True:
            await trio.sleep(_PATIENCE / 4)
            self.mark_heard()
            self._lines.refresh()

    # What goes on

    def handle(self, event: events.ServerEvent | Notice | Lagged) -> None:
        """Take one event of the session."""
        match event:
            case Interrupted(interruption=interruption):
                self._interrupted(interruption)
            case ToolStarted() | ToolFinished() | ToolFailed():
                self._handle_tools(event)
            case ToolProgress(name=name, text=text):
                self._lines.say("tool", f"{name}: {text}")
            case DeviceChanged() | LinkLost() | Reconnected():
                self._handle_surroundings(event)
            case BudgetWarning(kind=kind, spent=spent, limit=limit) | BudgetSpent(kind=kind, spent=spent, limit=limit):
                self._lines.say("budget", f"{spent:.4g} of {limit:g} {kind} are spent")
            case EchoNotCancelled(words=words):
                self._lines.say("echo", words)
            case Resumed():
                self._lines.say("resumed", "that was no interruption")
            case Paused() | Guarded() | GuardFailed():
                pass  # a screen shows a pause by itself, and lines tell how it ends
            case AudioDropped() | NotAnEvent() | ReplyLost() | ResponseNotCompleted() | Lagged():
                self._handle_trouble(event)
            case _:
                self._handle_turns(event)
                self._handle_words(event)

    def _handle_tools(self, event: ToolStarted | ToolFinished | ToolFailed) -> None:
        match event:
            case ToolStarted(call_id=call_id):
                self._calls[call_id] = event
                self._reply_due = trio.current_time() + _REPLY_LIMIT
            case ToolFinished(call_id=call_id, output=output):
                self._called(call_id, f"-> {output}", well=True)
            case ToolFailed(call_id=call_id, exception=exception):
                self._called(call_id, f"failed: {exception!r}", well=False)

    def _handle_trouble(self, event: AudioDropped | NotAnEvent | ReplyLost | ResponseNotCompleted | Lagged) -> None:
        match event:
            case AudioDropped(ms=ms):
                self.problem(f"{ms} ms of the user's sound were dropped: the link is too slow")
            case NotAnEvent(problem=problem):
                self.problem(str(problem))
            case ReplyLost(problem=problem):
                self._reply_due = 0.0
                if isinstance(problem, NotAcknowledged):  # an error, or a failed response, is an event of its own
                    self.problem(str(problem))
            case ResponseNotCompleted(error=error, reason=reason):
                self.problem(
                    str(error) if error is not None else f"an answer was cut short: {reason or 'no reason given'}"
                )
            case Lagged(count=count):
                self.problem(f"{count} events were missed here")

    def _handle_turns(self, event: events.ServerEvent | Notice) -> None:
        match event:
            case events.InputAudioBufferSpeechStarted():
                self.user_speaks = True
                self._speech_interrupts = any(not one.is_heard for one in self.record.responses)
            case events.InputAudioBufferSpeechStopped():
                self.user_speaks = False
            case events.InputAudioBufferCommitted(item_id=item_id):
                self._reply_due = trio.current_time() + _REPLY_LIMIT
                self._user_lines[item_id] = self._lines.begin("user", patience=_PATIENCE)
                self._spoken[item_id] = turn = Turn(barge_in=self._speech_interrupts)
                self.record.turns.append(turn)
            case events.ConversationItemTruncated(item_id=item_id, audio_end_ms=audio_end_ms):
                self.record.told_ms[item_id] = audio_end_ms
            case events.ConversationItemDeleted(item_id=item_id):
                self.record.told_ms[item_id] = 0
            case events.Error(error=error):
                self.problem(error.message)
            case _:
                pass

    def _handle_surroundings(self, event: DeviceChanged | LinkLost | Reconnected) -> None:
        match event:
            case DeviceChanged(available=available, words=words):
                self.lost = not available
                self.notice = "" if available else words
                self.record.losses += not available
                self._lines.say("device", words)
            case LinkLost():
                self.disconnected, self.user_speaks = True, False  # the end of what is said now is told by nobody
                for answer in self._answers.values():
                    self._lines.finish(answer.line)  # no more words of it will come
                self._lines.say("link", LOST)
            case Reconnected(reason=reason, gap_ms=gap_ms, asked_again=asked_again):
                self.disconnected = False
                self.record.gaps_ms += [gap_ms] if reason == "lost" else []
                if asked_again:
                    self._reply_due = trio.current_time() + _REPLY_LIMIT
                self._lines.say("link", back_words(event))

    def _handle_words(self, event: events.ServerEvent | Notice) -> None:
        match event:
            case events.ConversationItemInputAudioTranscriptionCompleted(item_id=item_id, transcript=transcript):
                self._said(item_id, transcript.strip() or "(nothing that could be understood)")
            case events.ConversationItemInputAudioTranscriptionFailed(item_id=item_id, error=error):
                self._said(item_id, f"(speech, no transcript: {error.message or 'no reason given'})")
            case events.ResponseOutputAudioTranscriptDelta(response_id=response_id, item_id=item_id, delta=delta):
                self._answers_words(response_id, delta, item_id)
            case events.ResponseOutputTextDelta(response_id=response_id, delta=delta):
                self._answers_words(response_id, delta)
            case events.ResponseDone(response=response):
                if answer := self._answers.get(response.id or ""):
                    self._lines.finish(answer.line)
            case _:
                pass

    def _answers_words(self, response_id: str, words: str, spoken_item: str = "") -> None:
        if response_id not in self._answers:
            self._answers[response_id] = _Answer(self._lines.begin("assistant"))
        answer = self._answers[response_id]
        self._lines.extend(answer.line, words)
        if spoken_item and spoken_item not in answer.item_ids:
            answer.item_ids.append(spoken_item)

    def _said(self, item_id: str, words: str) -> None:
        if line := self._user_lines.pop(item_id, None):
            self._lines.finish(line, words)
        if turn := self._spoken.pop(item_id, None):
            turn.said = words

    def _called(self, call_id: str, words: str, *, well: bool) -> None:
        self._reply_due = trio.current_time() + _REPLY_LIMIT
        if call := self._calls.pop(call_id, None):  # none: its failure was told before
            self.record.tools.append((call.name, well))
            self._lines.say("tool", f"{call.name}({call.arguments}) {words}")

    def _interrupted(self, interruption: Interruption) -> None:
        for response_id in interruption.response_ids:
            if answer := self._answers.get(response_id):
                parts = [part for part in interruption.parts if part.response_id == response_id]
                answer.line.cut = True
                answer.line.heard = sum(len(part.heard_text) for part in parts)
                self._lines.finish(answer.line)
        if not interruption.parts or (interruption.reason == "link_lost" and not interruption.cut_ms):
            return  # nothing of it had sounded yet
        self.cut_at = trio.current_time()
        self.record.interruptions.append(interruption)
        cut, generated = interruption.cut_ms / 1000, interruption.received_ms / 1000
        why = self._reasons.get(interruption.reason, interruption.reason)
        words = f"{why}; heard {cut:.2f} s of {generated:.2f} s generated"
        if not self._shows_cuts:
            unheard = sum(len(part.generated_text[len(part.heard_text) :].split()) for part in interruption.parts)
            heard = _ending(interruption.heard_text.split())
            words += f', about "{heard}"; cut off: {_count(unheard, "word")}'
        self._lines.say("interrupted", words)


def _ending(words: list[str]) -> str:
    """Give the last words of what was heard."""
    return ("… " if len(words) > _LONGEST_QUOTE else "") + " ".join(words[-_LONGEST_QUOTE:])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
