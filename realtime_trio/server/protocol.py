"""The server's side of the protocol as a state machine without I/O: client events in, server events and effects out.

```
            receive, tick                          take_events   -> the wire
 client ──────────────────> RealtimeProtocol ───>
 brain, voice, recogniser ─> response_*, heard     take_effects  -> the driver (start, stop, recognise, close)
```
After every input the driver takes the events, in order, and then does the effects. Time is an argument. No input raises
for what a client did: that becomes an `error` event. Any exception from here is a mistake of ours.

The parts: the shape of events in `shapes`, configuration in `session_config`, items in `items` and `item_events`, the
user's turns in `turns` and `hearing`, responses in `answers` and `responses`, MCP servers in `mcp`, errors in
`problems`, guesses in `guesses`, what goes wrong on purpose in `misbehaviour`.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from realtime_trio import events
from realtime_trio.server import guesses, problems
from realtime_trio.server.answers import Answers
from realtime_trio.server.checks import decode_audio
from realtime_trio.server.hearing import Hearing
from realtime_trio.server.item_events import ItemEvents
from realtime_trio.server.items import Conversation
from realtime_trio.server.mcp import Mcp
from realtime_trio.server.misbehaviour import GOOD_BEHAVIOUR, Misbehaviour
from realtime_trio.server.outbox import Close, Effect, NewId, Outbox, random_ids
from realtime_trio.server.problems import Problem
from realtime_trio.server.seams import BrainRequest, Ending, Failed, SpokenWord, ToolCall, Transcript, TurnDetector
from realtime_trio.server.session_config import Kind, SessionConfig
from realtime_trio.server.shapes import check_client_event
from realtime_trio.server.turns import Turns

__all__ = ["RealtimeProtocol"]

_NOT_WHEN_TRANSCRIBING = frozenset(
    {"response.create", "response.cancel", "conversation.item.create", "conversation.item.truncate"}
)


class RealtimeProtocol:
    """One session, as the server sees it."""

    def __init__(
        self,
        *,
        turn_detector: TurnDetector,
        now: float,
        model: str = "gpt-realtime",
        kind: Kind = "realtime",
        unix_time: int = 0,
        session_seconds: float = guesses.SESSION_SECONDS,
        new_id: NewId | None = None,
        misbehaviour: Misbehaviour = GOOD_BEHAVIOUR,
    ) -> None:
        """Prepare a session; `open` begins it.

        Args:
            turn_detector: Finds the turns of this session's user.
            now: The driver's time in seconds, on the clock of all later inputs.
            model: The model that the client asked for. It is told back; it changes nothing.
            kind: What the session is for.
            unix_time: The time of day, for `expires_at`.
            session_seconds: How old the session may become.
            new_id: Makes ids; unique ones by default.
            misbehaviour: What goes wrong on purpose, as far as it takes neither time nor a brain: that is the driver's.
        """
        self._outbox = Outbox(new_id or random_ids())
        self._session_seconds = session_seconds
        self._expires = now + session_seconds
        self._config = SessionConfig(
            kind=kind,
            model=model,
            session_id=self._outbox.new_id("sess"),
            expires_at=unix_time + math.floor(session_seconds),
        )
        self._conversation = Conversation(self._outbox.new_id("conv"))
        self._hearing = Hearing(self._outbox, misbehaviour)
        self._mcp = Mcp(self._outbox, self._conversation, misbehaviour)
        self._answers = Answers(
            self._outbox,
            self._config,
            self._conversation,
            self._hearing,
            mcp=self._mcp,
            misbehaviour=misbehaviour,
        )
        self._turns = Turns(
            self._outbox,
            self._config,
            self._conversation,
            answers=self._answers,
            hearing=self._hearing,
            detector=turn_detector,
        )
        self._items = ItemEvents(
            self._outbox,
            self._config,
            self._conversation,
            answers=self._answers,
            hearing=self._hearing,
            mcp=self._mcp,
        )
        self._closed = False

    # ---- what the driver takes ----

    def take_events(self) -> list[events.ServerEvent]:
        """Take the events to send, in order."""
        return self._outbox.take_events()

    def take_effects(self) -> list[Effect]:
        """Take what else is to be done, in order, once the events are on their way."""
        return self._outbox.take_effects()

    @property
    def deadline(self) -> float:
        """When `tick` is due, if nothing happens before; infinity when it is not."""
        return math.inf if self._closed else min(self._expires, self._idle_deadline())

    @property
    def hearing(self) -> frozenset[str]:
        """The items that the recogniser has not reported on."""
        return frozenset(self._hearing.pending)

    @property
    def listing(self) -> frozenset[str]:
        """The items of the listings of MCP servers that `tools_listed` has not told of."""
        return self._mcp.listings.pending

    def spoken_words(self, item_id: str) -> tuple[SpokenWord, ...] | None:
        """Tell which words the assistant speaks in an item, and where; None when there is no such item."""
        item = self._conversation.find(item_id)
        return None if item is None else tuple(word for part in item.parts for word in part.words)

    # ---- inputs ----

    def open(self) -> None:
        """Begin: the client is told its session."""
        self._outbox.send(events.SessionCreated(event_id=self._outbox.event_id(), session=self._session()))
        if guesses.CONVERSATION_CREATED:
            self._outbox.send(
                events.ConversationCreated(
                    event_id=self._outbox.event_id(),
                    conversation=events.ConversationDetails(id=self._conversation.id, object="realtime.conversation"),
                )
            )

    def receive(self, message: str | bytes, now: float) -> None:
        """Take a message of the client's, whatever it is."""
        if self._closed:
            return
        event_id: Any = None
        try:
            event = _parse(message)
            event_id = event.get("event_id") if isinstance(event, dict) else None
            self._handle(check_client_event(event), now)
        except Problem as problem:
            self._outbox.report(problem, event_id)

    def tick(self, now: float) -> None:
        """Do what is due at this time."""
        if self._closed:
            return
        if now >= self._expires:
            problem = problems.session_expired(self._session_seconds)
            self._outbox.report(problem, None)
            self._outbox.do(Close(1001, problem.message))
            self._closed = True
        elif now >= self._idle_deadline():
            self._turns.idle()

    def heard(self, item_id: str, transcript: Transcript | None, problem: str = "There is no recogniser.") -> None:
        """Take the recogniser's report on an item that it was asked to hear.

        Args:
            item_id: The item.
            transcript: What was understood; None when nothing can be.
            problem: Why not.
        """
        self._hearing.heard(item_id, transcript, problem)

    def tell_transcript(self, item_id: str) -> None:
        """Tell a transcript that was held back, as the effect `TellLater` asks."""
        self._hearing.tell(item_id)

    def overheard(self, pause: int, transcript: Transcript | None, now: float) -> None:
        """Take the recogniser's answer about a turn that may go on.

        Args:
            pause: The pause that it was asked about; nothing happens if speech has resumed since.
            transcript: What was said so far; None when nobody can tell.
            now: The time.
        """
        self._turns.overheard(pause, transcript, now)

    def tools_listed(self, item_id: str, tools: Sequence[events.McpToolDefinition] | None) -> None:
        """Take the tools of an MCP server that were to be listed; None when it cannot be asked."""
        self._mcp.listings.listed(item_id, tools)

    def tool_called(self, item_id: str, outcome: str | events.McpError) -> None:
        """Take the outcome of a call that was to be made: its output, or why there is none."""
        call = self._mcp.calls.finished(item_id, outcome)
        if call is not None:
            self._answers.call_over(call)

    # ---- inputs from a response's brain and voice; each ignored once the response is over ----

    def brain_request(self, response_id: str) -> BrainRequest | None:
        """Tell what the brain is told; None when the response is over."""
        run = self._answers.find(response_id)
        return run.brain_request() if run else None

    def calling(self, response_id: str) -> bool:
        """Tell whether a response waits for the outcome of an MCP call; nothing else may be said in it until then."""
        run = self._answers.find(response_id)
        return run is not None and run.calling

    def next_request(self, response_id: str) -> BrainRequest | None:
        """Tell what the brain is told when it has said all; None when that is the end of the response.

        It is not the end behind an MCP call, whose outcome the brain has not seen.
        """
        run = self._answers.find(response_id)
        goes_on = run is not None and run.ends_with_calls and self._mcp.reply == "same_response"
        return run.brain_request() if run is not None and goes_on else None

    def response_text(self, response_id: str, delta: str, now: float) -> bool:
        """Send a piece of a response's text.

        Returns:
            False when nothing more is wanted of that response.
        """
        run = self._answers.find(response_id)
        if run is None:
            return False
        going_on = run.text(delta)
        self._settle(response_id, now)
        return going_on

    def response_transcript(self, response_id: str, delta: str, now: float, *, ahead: int = 0) -> bool:
        """Send a piece of the text that is spoken; returns as `response_text` does.

        Args:
            response_id: The response.
            delta: The piece.
            now: The time.
            ahead: How many samples behind the sound that was sent so far it begins to be spoken.
        """
        run = self._answers.find(response_id)
        if run is None:
            return False
        going_on = run.spoken_text(delta, ahead)
        self._settle(response_id, now)
        return going_on

    def response_audio(self, response_id: str, pcm: bytes, now: float) -> bool:
        """Send a piece of speech (mono PCM16 at 24 kHz); returns as `response_text` does."""
        run = self._answers.find(response_id)
        if run is None:
            return False
        going_on = run.sound(pcm)
        self._answers.voice_locked = self._answers.voice_locked or going_on
        self._settle(response_id, now)
        return going_on

    def response_call(self, response_id: str, call: ToolCall, now: float) -> bool:
        """Send a function call, or begin an MCP call; returns as `response_text` does."""
        run = self._answers.find(response_id)
        if run is None:
            return False
        going_on = run.call(call)
        self._settle(response_id, now)
        return going_on

    def response_finished(self, response_id: str, now: float) -> None:
        """End a response: everything was said."""
        run = self._answers.find(response_id)
        if run is not None:
            run.end("completed")
            self._settle(response_id, now)

    def response_said(self, response_id: str) -> None:
        """Close a response's last item, with its end still to come."""
        run = self._answers.find(response_id)
        if run is not None:
            run.say_no_more()

    def response_ended(self, response_id: str, ending: Ending, now: float) -> None:
        """End a response badly."""
        run = self._answers.find(response_id)
        if run is not None:
            run.end_badly(ending)
            self._settle(response_id, now)

    def response_failed(self, response_id: str, message: str, now: float) -> None:
        """End a response: its brain or its voice failed."""
        self.response_ended(response_id, Failed(message=message), now)

    def _settle(self, response_id: str, now: float) -> None:
        run = self._answers.find(response_id)
        if run is not None:
            self._answers.settle(run, now)

    # ---- client events ----

    def _handle(self, event: dict[str, Any], now: float) -> None:
        kind = event["type"]
        if self._config.kind == "transcription" and kind in _NOT_WHEN_TRANSCRIBING:
            raise problems.wrong_kind("type", f"A transcription session has no '{kind}'.")
        match kind:
            case "session.update":
                self._update(event["session"])
            case "input_audio_buffer.append":
                self._turns.append(decode_audio(event["audio"], "audio"), now)
            case "input_audio_buffer.commit":
                self._turns.commit()
            case "input_audio_buffer.clear":
                self._turns.clear()
            case "response.create":
                self._answers.request(event.get("response") or {})
            case "response.cancel":
                self._answers.cancel(event.get("response_id"), now)
            case "output_audio_buffer.clear":
                raise problems.wrong_transport(kind)
            case _:
                self._items.handle(kind, event, now)

    def _update(self, changes: dict[str, Any]) -> None:
        self._mcp.listings.check(changes.get("tools", []), "session.tools")
        self._config.update(changes, voice_locked=self._answers.voice_locked, responding=self._answers.any)
        self._turns.configure()
        self._outbox.send(events.SessionUpdated(event_id=self._outbox.event_id(), session=self._session()))
        self._mcp.listings.use(self._config.values.get("tools", []) if "tools" in changes else [])

    @property
    def weight(self) -> int:
        """About how many bytes the conversation takes."""
        return self._conversation.weight

    # ---- parts ----

    def _session(self) -> events.Session:
        told = self._config.json()
        if self._config.kind == "transcription":
            return msgspec.convert(told, events.TranscriptionSession)
        return msgspec.convert(told, events.RealtimeSession)

    def _idle_deadline(self) -> float:
        vad = self._config.vad
        if vad is None or self._turns.speaking:
            return math.inf
        return self._answers.idle_deadline(vad.idle_timeout_ms)


def _parse(message: str | bytes) -> Any:
    if isinstance(message, bytes):
        raise problems.invalid_event("Events are text messages, not binary ones.")
    try:
        return msgspec.json.decode(message)
    except (ValueError, RecursionError):  # UnicodeEncodeError and msgspec.DecodeError are ValueErrors
        raise problems.invalid_event("This is not valid JSON.") from None
