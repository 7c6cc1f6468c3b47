"""What spans and measurements a session makes, with the SDK's own providers, and that it never suffers from it."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from realtime_trio import ConfigurationError, ConnectError, ConnectionClosed, ReconnectPolicy, open_session, tool
from realtime_trio.server import open_server
from realtime_trio.telemetry import Telemetry, outbox
from realtime_trio.testing import open_scripted_peer

from .cuttable import Cuttable


class Spans(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.all.extend(spans)
        return SpanExportResult.SUCCESS

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name, the earliest first."""
        return sorted((one for one in self.all if one.name == name), key=lambda one: one.start_time)

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def tree(self) -> dict[str, list[str]]:
        """The names of each span's children, by its name."""
        names = {one.context.span_id: one.name for one in self.all}
        found: dict[str, list[str]] = {}
        for one in sorted(self.all, key=lambda one: one.start_time):
            parent = "" if one.parent is None else names.get(one.parent.span_id, "elsewhere")
            found.setdefault(_short(parent), []).append(_short(one.name))
        return found


def _short(name: str) -> str:
    """Leave the model's name out."""
    return "chat" if name.startswith("chat ") else name


@attrs.define
class Observed:
    """A telemetry whose spans and measurements can be looked at."""

    telemetry: Telemetry
    spans: Spans
    reader: InMemoryMetricReader
    tracers: TracerProvider

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The data points of one metric: attributes, and the point."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return [
            (dict(point.attributes), point)
            for scope in scopes
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def observed():
    spans, reader = Spans(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    yield Observed(Telemetry(tracer_provider=tracers, meter_provider=meters), spans, reader, tracers)
    tracers.shutdown()
    meters.shutdown()


@pytest.fixture
def open_observed(observed):
    """A session with an offline server, observed."""

    @asynccontextmanager
    async def open_observed(server, **options):
        async with open_session(
            connect=server.connect, url=server.url, telemetry=observed.telemetry, **options
        ) as session:
            yield session

    return open_observed


def seconds(span):
    return (span.end_time - span.start_time) / 1e9


async def test_a_typed_turn(autojump_clock, observed, open_observed):
    """Session, turn and response, one inside the other, with the model's name and the tokens."""
    async with open_server(listen=False) as server, open_observed(server, modality="text") as session:
        await session.ask("What is two plus three?")
        used, model = session.usage, session.config.model
        await trio.sleep(10)

    assert observed.spans.tree() == {
        "": ["realtime_trio.session"],
        "realtime_trio.session": ["realtime_trio.turn"],
        "realtime_trio.turn": ["chat"],
    }
    whole, turn, chat = (
        observed.spans.one(name) for name in ("realtime_trio.session", "realtime_trio.turn", f"chat {model}")
    )
    assert whole.attributes["gen_ai.request.model"] == model
    assert whole.attributes["server.address"] == "localhost"
    assert whole.attributes["realtime_trio.end"] == "left"
    assert [event.name for event in whole.events] == ["realtime_trio.session.opened"]
    assert 10 <= seconds(whole) < 15
    assert turn.attributes["realtime_trio.turn.trigger"] == "text"
    assert (turn.attributes["realtime_trio.turn.responses"], turn.attributes["realtime_trio.turn.tool_calls"]) == (1, 0)
    assert chat.kind is trace.SpanKind.CLIENT
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert chat.attributes["gen_ai.request.model"] == model
    assert chat.attributes["gen_ai.response.finish_reasons"] == ("completed",)
    assert chat.attributes["gen_ai.output.type"] == "text"
    assert chat.attributes["gen_ai.usage.input_tokens"] == used.input_tokens > 0
    assert chat.attributes["gen_ai.usage.output_tokens"] == used.output_tokens > 0
    assert chat.attributes["gen_ai.conversation.id"].startswith("conv_")
    assert 0 <= chat.attributes["gen_ai.response.time_to_first_chunk"] <= seconds(chat)
    assert {span.status.status_code for span in observed.spans.all} == {trace.StatusCode.UNSET}
    tokens = {one["gen_ai.token.type"]: point.sum for one, point in observed.points("gen_ai.client.token.usage")}
    assert tokens == {"input": used.input_tokens, "output": used.output_tokens}
    for name in ("gen_ai.client.operation.duration", "gen_ai.client.operation.time_to_first_chunk"):
        ((about, point),) = observed.points(name)
        assert (about["gen_ai.request.model"], point.count) == (model, 1)
    ((_, active),) = observed.points("realtime_trio.session.active")
    assert active.value == 0
    ((about, lasted),) = observed.points("realtime_trio.session.duration")
    assert (about["realtime_trio.end"], lasted.count) == ("left", 1)


async def test_a_tool_call_is_part_of_its_turn(autojump_clock, observed, open_talk, as_function_call):
    """What the tool does is part of the call; the reply to it is part of the turn."""
    mine = trace.get_tracer("mine", tracer_provider=observed.tracers)

    @tool
    async def get_time() -> str:
        """Tell the time."""
        with mine.start_as_current_span("looking at the clock"):
            await trio.sleep(2)
        return "noon"

    async with open_talk(tools=[get_time], telemetry=observed.telemetry) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.ask, "what time is it")
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "r1")
        await trio.sleep(1)
        await talk.done("r1", as_function_call("call_1", "get_time", "{}"))
        await trio.sleep(2)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "r2")
        await trio.sleep(3)
        await talk.text("r2", "It is noon.")
        await trio.sleep(5)

    tree = observed.spans.tree()
    assert tree["realtime_trio.session"] == ["realtime_trio.turn"]
    assert tree["realtime_trio.turn"] == ["chat", "execute_tool get_time", "chat"]
    assert tree["execute_tool get_time"] == ["looking at the clock"]
    turn, call = observed.spans.one("realtime_trio.turn"), observed.spans.one("execute_tool get_time")
    assert (seconds(turn), seconds(call)) == (6, 2)
    assert call.attributes["gen_ai.tool.name"] == "get_time"
    assert call.attributes["gen_ai.tool.type"] == "function"
    assert call.attributes["gen_ai.tool.call.id"] == "call_1"
    assert (turn.attributes["realtime_trio.turn.responses"], turn.attributes["realtime_trio.turn.tool_calls"]) == (2, 1)
    ((about, point),) = observed.points("gen_ai.execute_tool.duration")
    assert (about["gen_ai.tool.name"], point.sum) == ("get_time", 2)


async def test_a_spoken_turn_and_its_interruption(autojump_clock, observed, open_voice, tone):
    """From the beginning of the user's speech until the answer was heard, and how long the first sound took."""
    async with open_voice(telemetry=observed.telemetry, drain=False) as talk:
        talk.peer.ignored |= {"response.cancel", "conversation.item.truncate"}
        await trio.sleep(5)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=4900, item_id="i_user")
        await trio.sleep(2)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=6800, item_id="i_user")
        await talk.peer.send("input_audio_buffer.committed", item_id="i_user", previous_item_id=None)
        await trio.sleep(0.5)
        await talk.created(None, "r1")
        await talk.audio("r1", tone(5000))
        await trio.sleep(1)
        await talk.done("r1")
        await trio.sleep(1)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=9000, item_id="i_next")
        await trio.sleep(1)

    turn, cut = observed.spans.one("realtime_trio.turn"), observed.spans.one("realtime_trio.interruption")
    assert observed.spans.tree()["realtime_trio.turn"] == ["chat", "realtime_trio.interruption"]
    assert 4.5 <= seconds(turn) < 4.6, "2 s of speech, half a second to the answer, 2 s of it until it was cut"
    assert turn.attributes["realtime_trio.turn.trigger"] == "speech"
    assert turn.attributes["realtime_trio.turn.interrupted"] == "speech_started"
    assert cut.attributes["realtime_trio.interruption.reason"] == "speech_started"
    assert 1900 < cut.attributes["realtime_trio.interruption.heard_ms"] < 2000
    assert cut.attributes["realtime_trio.interruption.received_ms"] == 5000
    assert 0 < seconds(cut) < 0.1
    total = turn.attributes["realtime_trio.latency.total_ms"]
    pieces = ("turn_detection_ms", "server_ms", "network_ms", "guard_ms", "buffer_ms")
    assert total == sum(turn.attributes[f"realtime_trio.latency.{piece}"] for piece in pieces) > 500
    ((about, first_sound),) = observed.points("realtime_trio.time_to_first_sound")
    assert (about["realtime_trio.turn.trigger"], first_sound.sum) == ("speech", total / 1000)
    ((about, point),) = observed.points("realtime_trio.interruptions")
    assert (about["realtime_trio.interruption.reason"], point.value) == ("speech_started", 1)


async def test_a_turn_has_one_first_sound(autojump_clock, observed, open_voice, tone, as_function_call):
    """That of "one moment", not that of the answer that follows a tool call."""
    async with open_voice(telemetry=observed.telemetry, tools=[broken], drain=False) as talk:
        talk.peer.answer("conversation.item.create", _acknowledged)
        await talk.peer.send("input_audio_buffer.committed", item_id="i_user", previous_item_id=None)
        for index, calls in enumerate([(as_function_call("c1", "broken", "{}"),), ()]):
            await talk.created(None if calls else await talk.peer.expect("response.create"), f"r{index}")
            await talk.audio(f"r{index}", tone(500), f"i{index}")
            await talk.audio_done(f"r{index}", f"i{index}")
            await talk.done(f"r{index}", *calls)
            await trio.sleep(1)

    turn = observed.spans.one("realtime_trio.turn")
    assert turn.attributes["realtime_trio.turn.responses"] == 2
    assert 1.5 <= seconds(turn) < 1.6
    ((_, point),) = observed.points("realtime_trio.time_to_first_sound")
    assert (point.count, point.sum) == (1, turn.attributes["realtime_trio.latency.total_ms"] / 1000)


async def test_what_is_a_turn(autojump_clock, observed, open_talk):
    """What the user adds before there is an answer belongs to it; noises and history are none; a greeting is one."""
    async with open_talk(telemetry=observed.telemetry) as talk:
        await talk.created(None, "r0")
        await talk.text("r0", "Hello.")
        await trio.sleep(1)
        await talk.peer.send("input_audio_buffer.committed", item_id="i1", previous_item_id=None)
        await trio.sleep(1)
        item = {"id": "i2", "type": "message", "role": "user", "content": [], "status": "completed"}
        for added in (item, {**item, "id": "i1"}, {**item, "id": "i3", "role": "system"}):
            await talk.peer.send("conversation.item.added", item=added, previous_item_id=None)
        await trio.sleep(1)
        await talk.created(None, "r1")
        await talk.text("r1", "Yes.")
        await trio.sleep(1)
        await talk.created(None, "r2")
        await talk.text("r2", "By the way.")
        await talk.peer.send("input_audio_buffer.timeout_triggered", item_id="i4", audio_start_ms=0, audio_end_ms=9)
        await talk.peer.send("input_audio_buffer.committed", item_id="i4", previous_item_id=None)
        await trio.sleep(1)
        await talk.created(None, "r3")
        await talk.text("r3", "Are you there?")
        await talk.peer.send("input_audio_buffer.committed", item_id="i5", previous_item_id=None)
        await trio.sleep(9)

    turns = observed.spans.named("realtime_trio.turn")
    assert [one.attributes["realtime_trio.turn.trigger"] for one in turns] == [
        "session",
        "speech",
        "session",
        "session",
    ]
    assert [round(seconds(one), 2) for one in turns] == [0, 2, 0, 0]
    assert observed.spans.tree()["realtime_trio.session"] == ["realtime_trio.turn"] * 4


async def test_a_response_beside_the_conversation(autojump_clock, observed, open_talk):
    async with open_talk(telemetry=observed.telemetry) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.generate, "think")
        request = await talk.peer.expect("response.create")
        await talk.created(request, "r1", conversation_id=None)
        await trio.sleep(2)
        await talk.done("r1", conversation_id=None)

    assert observed.spans.tree()["realtime_trio.session"] == ["chat"]
    (chat,) = [one for one in observed.spans.all if one.name.startswith("chat")]
    assert (chat.attributes["realtime_trio.out_of_band"], seconds(chat)) == (True, 2)


@tool
async def broken() -> str:
    """Raise."""
    raise LookupError("a zeppelin")


@tool(on_interrupt="cancel")
async def stoppable() -> str:
    """Take its time."""
    await trio.sleep(100)
    return ""


@tool(background=True)
async def slow() -> str:
    """Take its time, and keep nobody waiting."""
    await trio.sleep(20)
    return "at last"


@pytest.mark.parametrize("end", [("broken", "LookupError", 0), ("stoppable", "cancelled", 3), ("slow", None, 20)])
async def test_how_tool_calls_end(autojump_clock, observed, open_talk, as_function_call, end):
    name, problem, lasted = end
    async with open_talk(telemetry=observed.telemetry, tools=[broken, stoppable, slow]) as talk:
        talk.peer.ignored |= {"response.create", "response.cancel"}
        talk.peer.answer("conversation.item.create", _acknowledged)
        await talk.created(None, "r1")
        await talk.done("r1", as_function_call("c1", name, "{}"))
        await trio.sleep(3)
        await talk.session.interrupt()
        await trio.sleep(27)

    call = observed.spans.one(f"execute_tool {name}")
    assert call.attributes.get("error.type") == problem
    assert call.status.is_ok == (problem is None)
    assert call.status.description is None
    assert seconds(call) == lasted
    ((about, point),) = observed.points("gen_ai.execute_tool.duration")
    assert (about.get("error.type"), point.sum) == (problem, lasted)


def _acknowledged(event):
    about = {"item": event["item"], "previous_item_id": None}
    return [{"type": f"conversation.item.{what}", **about} for what in ("added", "done")]


async def test_a_response_that_fails(autojump_clock, observed, open_talk):
    details = {"type": "failed", "error": {"type": "server_error", "code": "overloaded", "message": "a zeppelin"}}
    async with open_talk(telemetry=observed.telemetry) as talk:
        await talk.created(None, "r1")
        await talk.done("r1", status="failed", status_details=details)
        await trio.sleep(1)

    (chat,) = [one for one in observed.spans.all if one.name.startswith("chat")]
    assert chat.attributes["error.type"] == "overloaded"
    assert chat.attributes["gen_ai.response.finish_reasons"] == ("failed",)
    assert chat.status.status_code is trace.StatusCode.ERROR
    ((about, _),) = observed.points("gen_ai.client.operation.duration")
    assert about["error.type"] == "overloaded"
    assert "zeppelin" not in "".join(one.to_json() for one in observed.spans.all)


@pytest.mark.parametrize("ending", ["lost", "crashed", "cancelled", "refused"])
async def test_how_sessions_end(autojump_clock, observed, ending):
    """Whatever is under way then ends with it."""
    async with open_scripted_peer(greet=True) as peer:
        if ending == "refused":
            peer.refuse(401)
        with trio.CancelScope() as scope:
            try:
                async with open_session(
                    connect=peer.connect, url=peer.url, telemetry=observed.telemetry, reconnect=None
                ):
                    value = {"id": "r1", "status": "in_progress", "output": [], "conversation_id": "conv_1"}
                    await peer.send("response.created", response=value)
                    await trio.sleep(3)
                    if ending == "crashed":
                        raise ZeroDivisionError  # noqa: TRY301 - as a body does
                    if ending == "cancelled":
                        scope.cancel()
                    else:
                        await peer.cut()
                    await trio.sleep_forever()
            except Exception as error:  # noqa: BLE001 - whatever comes
                raised = type(error).__name__

    whole = observed.spans.one("realtime_trio.session")
    if ending == "cancelled":
        assert (whole.attributes["realtime_trio.end"], whole.attributes.get("error.type")) == ("cancelled", None)
    else:
        assert (whole.attributes["realtime_trio.end"], whole.attributes["error.type"]) == ("failed", raised)
        assert (whole.status.status_code, whole.status.description) == (trace.StatusCode.ERROR, None)
    assert not [event for event in whole.events if event.name == "exception"]
    others = [one for one in observed.spans.all if one is not whole]
    assert {one.attributes["error.type"] for one in others} == (set() if ending == "refused" else {"session_ended"})
    assert len(others) == (0 if ending == "refused" else 2)
    ((_, active),) = observed.points("realtime_trio.session.active")
    assert active.value == 0


async def test_whose_child_is_whose(autojump_clock, observed):
    """The session belongs to what was current when it was opened, and is itself current in its block."""
    mine = trace.get_tracer("mine", tracer_provider=observed.tracers)
    async with open_scripted_peer(greet=True) as peer:
        with mine.start_as_current_span("my request") as before:
            async with open_session(connect=peer.connect, url=peer.url, telemetry=observed.telemetry):
                with mine.start_as_current_span("my work"):
                    pass
            assert trace.get_current_span() is before

    assert observed.spans.tree() == {
        "": ["my request"],
        "my request": ["realtime_trio.session"],
        "realtime_trio.session": ["my work"],
    }


async def test_a_link_that_is_lost(autojump_clock, observed):
    """What was being answered is asked for again, as part of the same turn."""
    async with open_server(listen=False) as server:
        links = Cuttable(server.connect)
        async with (
            open_session(
                connect=links.connect, url=server.url, modality="text", telemetry=observed.telemetry
            ) as session,
            session.responses() as responses,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(session.ask, "What is two plus three?")
            await anext(responses)
            links.refusals = [ConnectError("not yet")]
            links.cut()
            await trio.sleep(5)
            now = session.statistics()

    assert (now.link.open, now.link.lost, now.link.reconnects) == (True, 1, 1)
    assert now.link.age < 5
    tree = observed.spans.tree()
    assert sorted(tree["realtime_trio.session"]) == ["realtime_trio.reconnect", "realtime_trio.turn"]
    assert sorted(tree["realtime_trio.turn"]) == ["chat", "chat", "realtime_trio.interruption"]
    first, second = (one for one in observed.spans.all if one.name.startswith("chat"))  # as they ended
    assert first.attributes["error.type"] == "link_lost"
    assert second.attributes["gen_ai.response.finish_reasons"] == ("completed",)
    turn, again = observed.spans.one("realtime_trio.turn"), observed.spans.one("realtime_trio.reconnect")
    assert turn.attributes["realtime_trio.turn.responses"] == 2
    assert turn.end_time >= second.end_time
    assert turn.status.is_ok
    told = {name.rpartition(".")[2]: value for name, value in again.attributes.items()}
    assert (told["reason"], told["attempts"], told["asked_again"], told["cut_off"]) == ("lost", 2, 1, 0)
    assert told["gap_ms"] == round(seconds(again) * 1000) > 0
    ((about, point),) = observed.points("realtime_trio.reconnects")
    assert (about["realtime_trio.reconnect.reason"], point.value) == ("lost", 1)


async def test_a_link_that_becomes_too_old(autojump_clock, observed):
    async with (
        open_server(listen=False) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            modality="text",
            telemetry=observed.telemetry,
            reconnect=ReconnectPolicy(max_age=20),
        ) as session,
    ):
        await session.ask("What is two plus three?")
        await trio.sleep(50)
        now = session.statistics()

    assert (now.link.lost, now.link.reconnects) == (0, 2)
    assert now.link.age < 20
    spans = observed.spans.named("realtime_trio.reconnect")
    assert [one.attributes["realtime_trio.reconnect.reason"] for one in spans] == ["age", "age"]
    assert [seconds(one) for one in spans] == [0, 0]
    ((about, point),) = observed.points("realtime_trio.reconnects")
    assert (about["realtime_trio.reconnect.reason"], point.value) == ("age", 2)


async def test_a_link_that_is_lost_for_good(autojump_clock, observed):
    with pytest.raises(ConnectionClosed):
        async with open_server(listen=False) as server:
            links = Cuttable(server.connect)
            async with open_session(
                connect=links.connect, url=server.url, modality="text", telemetry=observed.telemetry
            ) as session:
                links.refusals = [ConnectError("never")] * 100
                links.cut()
                await trio.sleep(1)
                assert not session.statistics().link.open
                await trio.sleep_forever()

    again, whole = observed.spans.one("realtime_trio.reconnect"), observed.spans.one("realtime_trio.session")
    assert again.attributes["error.type"] == "session_ended"
    assert whole.attributes["error.type"] == "ConnectionClosed"
    assert observed.points("realtime_trio.reconnects") == []


# It never hurts


class Slow(SpanExporter):
    """Hangs until told otherwise."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.exported = 0

    def export(self, spans):
        self.go_on.wait(30)
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


def _threads():
    return [one for one in threading.enumerate() if one.name == "realtime_trio telemetry"]


def _through(exporter):
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry(tracer_provider=tracers)


async def _some_turns(talk, number):
    for index in range(number):
        await talk.created(None, f"r{index}")
        await talk.text(f"r{index}", "Yes.")
        await trio.sleep(1)  # else the next may still belong to this turn


async def test_an_exporter_that_hangs_keeps_nobody_waiting(autojump_clock, open_talk, monkeypatch, caplog):
    """At the end it gets half a second; what it has not taken by then it can take later."""
    monkeypatch.setattr(outbox, "_LAST_WORDS", 0.05)
    exporter = Slow()
    telemetry = _through(exporter)
    async with open_talk(telemetry=telemetry) as talk:
        await _some_turns(talk, 3)
        assert talk.session.statistics().responses.completed == 3
    assert exporter.exported == 0
    assert "the telemetry exporter takes too long" in caplog.text
    exporter.go_on.set()
    for thread in _threads():
        thread.join(30)

    assert exporter.exported == 7, "the session, three turns, three responses"
    assert telemetry.statistics().dropped == 0


async def test_what_waits_is_bounded(autojump_clock, open_talk, monkeypatch):
    monkeypatch.setattr(outbox, "_MOST_WAITING", 5)
    monkeypatch.setattr(outbox, "_LAST_WORDS", 0.05)
    exporter = Slow()
    telemetry = _through(exporter)
    async with open_talk(telemetry=telemetry) as talk:
        await _some_turns(talk, 20)
    exporter.go_on.set()
    for thread in _threads():
        thread.join(30)

    told = telemetry.statistics()
    assert told.dropped > 60
    assert told.done < 20


class Broken(SpanExporter):
    """Raises."""

    def export(self, spans):
        raise RuntimeError("a zeppelin")


class BrokenProvider(trace.NoOpTracerProvider):
    """Its tracer raises."""

    def get_tracer(self, *about, **more):
        return self

    def start_span(self, *about, **more):
        raise RuntimeError("a zeppelin")


@pytest.mark.parametrize("provider", [None, BrokenProvider()])
async def test_what_raises_is_counted(autojump_clock, open_talk, caplog, provider):
    """The SDK catches some of it itself, and a tracer of somebody's may raise all the same."""
    telemetry = _through(Broken()) if provider is None else Telemetry(tracer_provider=provider)
    async with open_talk(telemetry=telemetry) as talk:
        await _some_turns(talk, 3)
        assert talk.session.statistics().responses.completed == 3

    if provider is not None:
        assert telemetry.statistics().failed > 3
        assert [one.name for one in caplog.records if "telemetry fails" in one.message] == ["realtime_trio.telemetry"]
    assert _threads() == []


async def test_no_thread_is_left_and_none_is_made_for_nothing(autojump_clock, observed, open_talk):
    async with open_talk():
        assert _threads() == []
    async with open_talk(telemetry=observed.telemetry):
        assert len(_threads()) == 1
    assert _threads() == []


async def test_the_default_is_opentelemetrys_global_one(autojump_clock, open_talk):
    """Which does nothing until somebody configures it."""
    telemetry = Telemetry()
    async with open_talk(telemetry=telemetry) as talk:
        await _some_turns(talk, 1)

    assert telemetry.statistics().failed == 0
    assert telemetry.statistics().done > 3
    assert repr(telemetry).startswith("<Telemetry TelemetryStatistics(done=")


@pytest.mark.parametrize("wrong", [True, Telemetry, "yes"])
async def test_something_else_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"telemetry is a Telemetry\(\.\.\.\), not"):
        async with open_session(url="ws://127.0.0.1:1", telemetry=wrong):
            raise AssertionError("opened")


def test_without_the_package():
    """A session needs it not, and does not load it; telemetry says what to install."""
    script = """
import sys
sys.modules["opentelemetry"] = None
import realtime_trio.opening, realtime_trio.session
from realtime_trio.telemetry import Telemetry
try:
    Telemetry()
except realtime_trio.ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    assert "pip install 'realtime_trio[otel]'" in done.stdout
