"""Following one session, and what spans that makes: session, turns, responses, tool calls, interruptions, links.

Theory of operation. The observer is told what the session's subscribers are told, at once and in the task in which it
happens, and never raises. It begins spans there and then, so that what a tool does can be the tool call's child; ended
they are in a thread (`outbox.py`). Everything is known by ids; no value of a user's or a model's is ever looked at. Who
belongs to which turn is in `turns.py`.
"""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio
from opentelemetry import context, trace

from realtime_trio import events
from realtime_trio.core.calls import ready_calls
from realtime_trio.core.usage import count
from realtime_trio.log_words import name_of
from realtime_trio.session import (
    Interrupted,
    LinkLost,
    McpCallFailed,
    McpCallFinished,
    McpCallStarted,
    Reconnected,
    Response,
    ToolCancelled,
    ToolDetached,
    ToolFailed,
    ToolFinished,
    ToolStarted,
)
from realtime_trio.transport import Connect, MessageStream, Target

from .instruments import Instruments
from .links import Links
from .outbox import Counts, Outbox
from .spans import Attributes, Spans
from .turns import Turn, Turns
from .under_way import FIRST_OF_RESPONSE, PROVIDER, Call, Generation

if TYPE_CHECKING:
    from realtime_trio.session.engine import Engine

__all__ = ["Observer"]


class Observer:
    """Follows one session. Made by `observed`."""

    def __init__(self, tracer: trace.Tracer, instruments: Instruments, outbox: Outbox, counts: Counts) -> None:
        self._instruments = instruments
        self._counts = counts
        self._spans = Spans(tracer, instruments, outbox)
        self._start_soon: Callable[..., None] | None = None
        self._session: trace.Span = trace.INVALID_SPAN
        self._known: dict[str, Any] = {}  # of the session, for its span's end and for measurements
        self._began = False
        self._turns = Turns()
        self._links = Links(self._spans)
        self._generations: dict[str, Generation] = {}
        self._calls: dict[str, Call] = {}
        self._handlers = self._make_handlers()

    # What it is attached to

    def connect(self, connect: Connect) -> Connect:
        """Give what opens links as `connect` does, and learn where to."""

        @asynccontextmanager
        async def connect_observed(target: Target) -> AsyncGenerator[MessageStream]:
            self._known |= {"server.address": target.host, "server.port": target.port}
            async with connect(target) as stream:
                yield stream

        # what it stands for decides which settings are needed: see `open_connection`
        connect_observed.__wrapped__ = connect  # type: ignore[attr-defined]
        return connect_observed

    def watch(self, engine: "Engine") -> None:
        """Follow a session."""
        self._start_soon = engine.lifetime.start_soon
        engine.subscribers.witness(self.witness)

    def begin(self) -> None:
        """The block is entered: what was put into the conversation before is no turn of the user's."""
        self._began = True
        with self._harmless():
            self._session.add_event("realtime_trio.session.opened", timestamp=self._spans.time(trio.current_time()))

    @contextmanager
    def _harmless(self) -> Generator[None]:
        """Let nothing that goes wrong in OpenTelemetry reach the session."""
        try:
            yield
        except Exception as problem:  # noqa: BLE001  somebody else's code
            self._counts.fail(problem)

    # The session

    @contextmanager
    def session(self) -> Generator[None]:
        """Make the span of the session, current for all that is inside: the user's block, and tools."""
        began_at, token = trio.current_time(), None
        with self._harmless():
            self._session = self._spans.begin("realtime_trio.session", began_at, PROVIDER)
            token = context.attach(self._spans.inside(self._session))
            self._spans.outbox.leave(lambda: self._instruments.active.add(1, PROVIDER))
        outcome, problem = "left", ""
        try:
            yield
        except (trio.Cancelled, KeyboardInterrupt):
            outcome = "cancelled"
            raise
        except BaseException as error:
            outcome, problem = "failed", type(error).__name__
            raise
        finally:
            with self._harmless():
                self._end(began_at, outcome, problem)
                if token is not None:
                    context.detach(token)

    def _end(self, began_at: float, outcome: str, problem: str) -> None:
        now = trio.current_time()
        for response_id in list(self._generations):
            self._end_generation(response_id, now, {}, "session_ended")
        for call_id in list(self._calls):
            self._end_call(call_id, now, "session_ended")
        for turn in self._turns.open:
            self._end_turn(turn, now, "session_ended" if turn.responses else "")
        self._links.end(now)
        self._spans.outbox.leave(lambda: self._instruments.active.add(-1, PROVIDER))
        self._spans.measure(self._instruments.session, now - began_at, {**self._model, "realtime_trio.end": outcome})
        self._spans.end(self._session, now, {**self._known, "realtime_trio.end": outcome}, problem)

    @property
    def _model(self) -> Attributes:
        """What measurements are told apart by."""
        return {**PROVIDER, "gen_ai.request.model": self._known.get("gen_ai.request.model", "")}

    # What happens

    def witness(self, value: object) -> None:
        """Be told what a session's subscribers are told, when it happens."""
        with self._harmless():
            self._follow(value, trio.current_time())

    def _follow(self, value: object, now: float) -> None:
        handler = self._handlers.get(type(value))
        if handler is not None:
            handler(value, now)
        elif self._began:
            self._turns.handle(value, now)

    def _make_handlers(self) -> dict[type, Callable[[Any, float], None]]:
        def failed(notice: Any, now: float) -> None:
            exception = getattr(notice, "exception", None)
            self._end_call(notice.call_id, now, type(exception).__name__ if exception is not None else "failed")

        def finished(notice: Any, now: float) -> None:
            self._end_call(notice.call_id, now, "")

        return {
            events.SessionCreated: lambda event, _: self._configured(event.session),
            events.SessionUpdated: lambda event, _: self._configured(event.session),
            Response: self._begin_response,
            events.ResponseCreated: lambda event, now: self._begin_beside(event.response, now),
            **dict.fromkeys(FIRST_OF_RESPONSE, self._note_first),
            events.ResponseDone: lambda event, now: self._done(event.response, now),
            Interrupted: self._interrupted,
            LinkLost: self._lost,
            Reconnected: self._reconnected,
            ToolStarted: self._begin_call,
            ToolFinished: finished,
            ToolFailed: failed,
            ToolCancelled: lambda notice, now: self._end_call(notice.call_id, now, "cancelled", owes=False),
            ToolDetached: lambda notice, now: self._leave_turn(notice.call_id, now, owes=True),
            McpCallStarted: self._begin_call,
            McpCallFinished: finished,
            McpCallFailed: failed,
        }

    def _configured(self, session: object) -> None:
        model = name_of(getattr(session, "model", None), "")
        if model and model != self._known.get("gen_ai.request.model"):
            self._known["gen_ai.request.model"] = model
            self._session.set_attribute("gen_ai.request.model", model)

    # Responses

    def _begin_response(self, response: Response, now: float) -> None:
        """A response of the conversation: it belongs to a turn, and may be heard."""
        stages = response.stages
        asked_at = stages.asked_at if stages.asked_at is not None else stages.turn_over_at
        asked_at = now if asked_at is None else asked_at
        turn = self._turns.of_new_response(asked_at)
        if turn.span is None:
            began_at = min(turn.began_at, asked_at)
            attributes = {**PROVIDER, "realtime_trio.turn.trigger": turn.trigger}
            parent = self._spans.inside(self._session)
            turn.span = self._spans.begin("realtime_trio.turn", began_at, attributes, parent=parent)
        turn.responses.add(response.id)
        self._generate(response.id, asked_at, turn.span, out_of_band=False)
        if self._start_soon is not None:
            self._start_soon(self._hear, response, turn, name="telemetry of a response")
        self._retire(now)

    def _begin_beside(self, value: events.Response, now: float) -> None:
        """A response was created; if it was not told of before, it is beside the conversation."""
        if value.id and value.id not in self._generations:
            self._generate(value.id, now, self._session, out_of_band=True)
        if value.id and isinstance(value.conversation_id, str) and (known := self._generations.get(value.id)):
            known.span.set_attribute("gen_ai.conversation.id", name_of(value.conversation_id, ""))

    def _generate(self, response_id: str, asked_at: float, parent: trace.Span, *, out_of_band: bool) -> None:
        model = self._known.get("gen_ai.request.model", "")
        attributes = {
            **PROVIDER,
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "gen_ai.request.stream": True,
            "gen_ai.response.id": name_of(response_id, ""),
            "realtime_trio.out_of_band": out_of_band,
        }
        self._end_generation(response_id, asked_at, {}, "lost")  # should the server begin it twice
        where = self._spans.inside(parent)
        name = f"chat {model}" if model else "chat"
        span = self._spans.begin(name, asked_at, attributes, parent=where, kind=trace.SpanKind.CLIENT)
        self._generations[response_id] = Generation(span, asked_at)

    def _note_first(self, event: Any, now: float) -> None:
        generation = self._generations.get(event.response_id)
        if generation is not None and generation.first_at is None:
            generation.first_at = now

    def _done(self, response: events.Response, now: float) -> None:
        used = count(response.usage or None)
        details = response.status_details or None
        reason = name_of((details.reason if details else None) or response.status or "completed", "unknown")
        told: dict[str, Any] = {
            "gen_ai.response.finish_reasons": (reason,),
            "gen_ai.output.type": "speech" if "audio" in (response.output_modalities or ()) else "text",
        }
        if response.usage:
            told |= {
                "gen_ai.usage.input_tokens": used.input.total,
                "gen_ai.usage.output_tokens": used.output.total,
                "gen_ai.usage.cache_read.input_tokens": used.cached.total,
                "gen_ai.usage.audio.input_tokens": used.input.audio,
                "gen_ai.usage.audio.output_tokens": used.output.audio,
            }
            for kind, number in (("input", used.input.total), ("output", used.output.total)):
                self._spans.measure(self._instruments.tokens, number, {**self._chat, "gen_ai.token.type": kind})
        problem = ""
        if response.status == "failed":
            error = details.error if details else None
            problem = name_of((error.code if error else None) or "failed", "failed")
        turn = self._turns.of_response(response.id or "")
        if turn is not None and ready_calls(response):
            turn.owes = True  # its calls are about to begin
        self._end_generation(response.id or "", now, told, problem)

    @property
    def _chat(self) -> Attributes:
        return {**self._model, "gen_ai.operation.name": "chat"}

    def _end_generation(self, response_id: str, now: float, told: Attributes, problem: str) -> None:
        generation = self._generations.pop(response_id, None)
        if generation is None:
            return
        first = generation.first_at
        if first is not None:
            seconds = first - generation.asked_at
            told = {**told, "gen_ai.response.time_to_first_chunk": seconds}
            self._spans.measure(self._instruments.first_chunk, seconds, self._chat)
        about = {**self._chat, "error.type": problem}
        self._spans.measure(self._instruments.response, now - generation.asked_at, about)
        self._spans.end(generation.span, now, told, problem)

    async def _hear(self, response: Response, turn: Turn) -> None:
        """Wait until a response was heard, or interrupted."""
        try:
            await response.heard()
        except Exception:  # noqa: BLE001  why the session is over, with all its spans: raised to whoever is to know
            return
        now = trio.current_time()
        with self._harmless():
            latency = response.latency
            if latency is not None and not turn.latency:
                turn.latency = attrs.asdict(latency)
                told = {**self._model, "realtime_trio.turn.trigger": turn.trigger}
                self._spans.measure(self._instruments.first_sound, latency.total_ms / 1000, told)
            turn.responses.discard(response.id)
            turn.quiet_since = now
            self._retire(now)

    # Links

    def _lost(self, notice: LinkLost, now: float) -> None:
        for response_id in list(self._generations):
            self._end_generation(response_id, now, {}, "link_lost")
        self._links.lost(notice, self._turns.open, self._session, now)

    def _reconnected(self, notice: Reconnected, now: float) -> None:
        for response_id in (*notice.asked_again, *notice.cut_off):  # of a link that was too old
            self._end_generation(response_id, now, {}, "link_lost")
        self._links.replaced(notice, self._session, now, self._model)
        self._retire(now)

    # Turns

    def _retire(self, now: float) -> None:
        for turn in self._turns.take_over():
            self._end_turn(turn, now, "")

    def _end_turn(self, turn: Turn, now: float, problem: str) -> None:
        if turn.span is None:  # nothing was answered
            return
        told: dict[str, Any] = {
            "realtime_trio.turn.responses": turn.answers,
            "realtime_trio.turn.tool_calls": turn.calls,
            "realtime_trio.turn.interrupted": turn.interrupted,
            **{f"realtime_trio.latency.{name}": ms for name, ms in turn.latency.items()},
        }
        ended_at = now if turn.quiet_since is None or turn.responses or turn.tools else turn.quiet_since
        self._spans.end(turn.span, ended_at, told, problem)

    def _interrupted(self, notice: Interrupted, now: float) -> None:
        record = notice.interruption
        reason = name_of(record.reason, "unknown")
        began_at = self._turns.speech_began_at if record.reason == "speech_started" else None
        turn = next((turn for one in record.response_ids if (turn := self._turns.of_response(one))), None)
        parent = self._session
        if turn is not None and turn.span is not None:
            turn.interrupted, parent = reason, turn.span
        attributes: dict[str, Any] = {
            **PROVIDER,
            "realtime_trio.interruption.reason": reason,
            "realtime_trio.interruption.heard_ms": record.heard_ms,
            "realtime_trio.interruption.received_ms": record.received_ms,
            "realtime_trio.interruption.responses": len(record.response_ids),
        }
        where = self._spans.inside(parent)
        since = now if began_at is None else began_at
        span = self._spans.begin("realtime_trio.interruption", since, attributes, parent=where)
        self._spans.end(span, now, {}, "")
        self._spans.count(self._instruments.interruptions, {**self._model, "realtime_trio.interruption.reason": reason})

    # Tool calls

    def _begin_call(self, notice: ToolStarted | McpCallStarted, now: float) -> None:
        self._end_call(notice.call_id, now, "lost")  # should the server make it twice
        name = name_of(notice.name, "unnamed")
        kind = "function" if isinstance(notice, ToolStarted) else "extension"
        turn = self._turns.open[-1] if self._turns.open else None
        parent = self._session
        if turn is not None and turn.span is not None:
            turn.tools.add(notice.call_id)
            turn.calls += 1
            parent = turn.span
        attributes = {
            **PROVIDER,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": kind,
            "gen_ai.tool.call.id": name_of(notice.call_id, ""),
        }
        where = self._spans.inside(parent)
        span = self._spans.begin(f"execute_tool {name}", now, attributes, parent=where)
        self._calls[notice.call_id] = Call(span, name, kind, now)
        if kind == "function":
            # This is the task that is about to start the tool, and has nothing else to do: what the tool does, and
            # makes spans of, becomes the child of this span.
            context.attach(self._spans.inside(span))

    def _end_call(self, call_id: str, now: float, problem: str, *, owes: bool = True) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            told = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call.name,
                "gen_ai.tool.type": call.kind,
                "error.type": problem,
            }
            self._spans.measure(self._instruments.tool, now - call.began_at, {**PROVIDER, **told})
            self._spans.end(call.span, now, {}, problem)
        self._leave_turn(call_id, now, owes=owes)

    def _leave_turn(self, call_id: str, now: float, *, owes: bool) -> None:
        """A call is over, or goes on in the background: the turn has one less to wait for."""
        turn = self._turns.of_tool(call_id)
        if turn is not None:
            turn.tools.discard(call_id)
            turn.quiet_since = now
            # the model is going to say something to it
            turn.owes = (owes or (turn.owes and bool(turn.tools))) and turn is self._turns.open[-1]
            self._retire(now)
