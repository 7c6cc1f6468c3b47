"""What came and went in a session: counts for people and for logs.

They are gathered here from where each arises; a session's `statistics()` is the way in.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import attrs

from realtime_trio import events
from realtime_trio.core.playout import SAMPLES_PER_MS
from realtime_trio.core.recent import Recent
from realtime_trio.core.usage import SessionUsage

from .notices import Interrupted, LinkLost, Reconnected, ToolCancelled, ToolFailed, ToolFinished, ToolStarted

if TYPE_CHECKING:
    from .engine import Engine

__all__ = [
    "InputStatistics",
    "LinkStatistics",
    "PlayoutStatistics",
    "QueueStatistics",
    "ResponseStatistics",
    "SessionStatistics",
    "Tally",
    "ToolStatistics",
    "statistics_of",
]

_MOST_KNOWN: Final = 4096
_MINUTE_MS: Final = 60_000
_WAITING: Final = ("received", "awaiting approval", "queued")
_RUNNING: Final = ("running", "detached")


@attrs.frozen(kw_only=True)
class LinkStatistics:
    """The link to the server. Counts of events are those of the whole session.

    Attributes:
        open: Whether there is one; False while a lost one is being replaced.
        age: Seconds since this link was opened.
        lost: How often a link was lost.
        reconnects: How often another followed: after a loss, or before it became too old.
        round_trip: Seconds to the server and back, the shortest of the last pings; None until the first pong came, and
            on a link that does not measure it.
        sent: Events that the writer took.
        received: Events that came.
        waiting: Events that wait for the writer.
        waiting_audio_ms: Milliseconds of sound among them.
        unknown_events: Those of a type that this version does not know; they were delivered as `events.UnknownEvent`.
        malformed_events: Those that do not fit their type; they were delivered as `events.MalformedEvent`.
        not_events: Messages that are no events; they were reported as `NotAnEvent`.
    """

    open: bool
    age: float
    lost: int
    reconnects: int
    round_trip: float | None
    sent: int
    received: int
    waiting: int
    waiting_audio_ms: int
    unknown_events: int
    malformed_events: int
    not_events: int


@attrs.frozen(kw_only=True)
class QueueStatistics:
    """Who waits for whom.

    Attributes:
        subscribers: Open subscriptions (`Session.events`, `Session.responses`).
        lag: Values that the slowest of them has not received yet.
        dropped: Values that were dropped because a subscriber was too slow, all subscribers together.
        calls: Calls that wait for the server's acknowledgement.
        replies: Replies that are owed, asked for, being generated or played.
    """

    subscribers: int
    lag: int
    dropped: int
    calls: int
    replies: int


@attrs.frozen(kw_only=True)
class InputStatistics:
    """The user's sound.

    Attributes:
        sent_ms: Milliseconds of sound that were sent, silence included.
        dropped_ms: Milliseconds that a slow uplink cost.
    """

    sent_ms: int
    dropped_ms: int


@attrs.frozen(kw_only=True)
class PlayoutStatistics:
    """The assistant's sound, on a device. What the hardware itself went through, `statistics()` of the device tells.

    Attributes:
        queued_ms: Milliseconds that were received and not handed over to the device yet.
        underruns: How often an answer that had begun to sound had to wait for more sound from the server.
    """

    queued_ms: int
    underruns: int


@attrs.frozen(kw_only=True)
class ResponseStatistics:
    """The responses, those beside the conversation included.

    Attributes:
        live: Being generated, or played.
        created: Begun by the server.
        completed: Generated to their end.
        incomplete: Cut short by a limit or a filter.
        cancelled: Cancelled by either side.
        failed: Failed.
        interruptions: How often something that was being said was interrupted.
    """

    live: int
    created: int
    completed: int
    incomplete: int
    cancelled: int
    failed: int
    interruptions: int


@attrs.frozen(kw_only=True)
class ToolStatistics:
    """The model's function calls that this program runs.

    Attributes:
        waiting: Wait for approval, or for their turn.
        running: Run, in the background too.
        telling: Are over, and the server has not acknowledged the output yet.
        started: Began to run.
        finished: The model was told what they came to, errors too.
        failed: Raised, took too long, or their output was lost.
        cancelled: Cancelled before they had a result.
    """

    waiting: int
    running: int
    telling: int
    started: int
    finished: int
    failed: int
    cancelled: int

    @property
    def open(self) -> int:
        """Calls that are not over: those that wait, run, or are being told of."""
        return self.waiting + self.running + self.telling


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """A session at one moment; counts are since it was opened.

    Attributes:
        link: The link to the server.
        queues: Who waits for whom.
        input: The user's sound.
        playout: The assistant's sound.
        responses: The responses.
        tools: The function calls.
        usage: What was used: tokens by kind, turns, minutes.
    """

    link: LinkStatistics
    queues: QueueStatistics
    input: InputStatistics
    playout: PlayoutStatistics
    responses: ResponseStatistics
    tools: ToolStatistics
    usage: SessionUsage


class Tally:
    """Counts what happens in a session, as its subscribers are told of it; each response once."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._created = Recent[str](_MOST_KNOWN)
        self._done = Recent[str](_MOST_KNOWN)

    def __getitem__(self, what: str) -> int:
        return self._counts[what]

    def witness(self, value: object) -> None:
        """Be told what subscribers are told."""
        what = _COUNTED.get(type(value))
        if what is not None:
            self._counts[what] += 1
        elif isinstance(value, events.ResponseCreated):
            self._note(self._created, value, "created")
        elif isinstance(value, events.ResponseDone):
            self._note(self._done, value, value.response.status or "completed")

    def _note(self, known: Recent[str], event: events.ResponseCreated | events.ResponseDone, what: str) -> None:
        key = event.response.id or event.event_id
        if key not in known:
            known.add(key)
            self._counts[what] += 1


_COUNTED: Final[dict[type[Any], str]] = {
    Interrupted: "interruptions",
    LinkLost: "lost",
    Reconnected: "reconnects",
    ToolStarted: "started",
    ToolFinished: "finished",
    ToolFailed: "tools failed",
    ToolCancelled: "tools cancelled",
}


def statistics_of(engine: "Engine") -> SessionStatistics:
    """Look at all parts of a session. It costs some microseconds, and more only with many calls and subscribers."""
    link, odd, sound = engine.line.statistics(), engine.reader.not_understood, engine.sound
    tally, usage = engine.tally, engine.accounts.usage
    subscribers = engine.subscribers.statistics()
    states = Counter(call.life.state for call in engine.tool_calls.outputs.live.values())
    waiting, running = (sum(states[state] for state in group) for group in (_WAITING, _RUNNING))
    return SessionStatistics(
        link=LinkStatistics(
            open=engine.line.is_open and not engine.line.is_over,
            age=link.age,
            lost=tally["lost"],
            reconnects=tally["reconnects"],
            round_trip=link.round_trip,
            sent=link.sent,
            received=link.received,
            waiting=link.waiting,
            waiting_audio_ms=round(link.waiting_audio * 1000),
            unknown_events=odd["unknown"],
            malformed_events=odd["malformed"],
            not_events=odd["not an event"],
        ),
        queues=QueueStatistics(
            subscribers=subscribers.number,
            lag=subscribers.lag,
            dropped=subscribers.dropped,
            calls=engine.calls.waiting,
            replies=engine.turns.requested,
        ),
        input=InputStatistics(
            sent_ms=round(usage.audio_in_minutes * _MINUTE_MS), dropped_ms=round(link.dropped_audio * 1000)
        ),
        playout=PlayoutStatistics(queued_ms=sound.ledger.queued // SAMPLES_PER_MS, underruns=sound.underruns),
        responses=ResponseStatistics(
            live=len(engine.turns.live),
            created=tally["created"],
            completed=tally["completed"],
            incomplete=tally["incomplete"],
            cancelled=tally["cancelled"],
            failed=tally["failed"],
            interruptions=tally["interruptions"],
        ),
        tools=ToolStatistics(
            waiting=waiting,
            running=running,
            telling=states.total() - waiting - running,
            started=tally["started"],
            finished=tally["finished"],
            failed=tally["tools failed"],
            cancelled=tally["tools cancelled"],
        ),
        usage=usage,
    )
