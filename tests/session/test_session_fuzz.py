"""A session under a server that says anything in any order: it lives, and everything it says is the protocol."""

import base64
import contextlib
import json
from collections import Counter
from functools import partial
from unittest import mock

import msgspec
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from trio.testing import MockClock

from realtime_trio import (
    GuardedText,
    LocalProtocolError,
    RealtimeError,
    ReconnectPolicy,
    ToolContext,
    events,
    open_session,
    tool,
)
from realtime_trio.core.item_ids import ItemIds
from realtime_trio.errors import ConnectionClosed
from realtime_trio.session import Guard
from realtime_trio.telemetry import Telemetry
from realtime_trio.testing import FakeDevice, open_scripted_peer

RESPONSES = st.sampled_from(["resp_1", "resp_2"])
ITEMS = st.sampled_from(["item_1", "item_2", "item_3"])
SOUND = base64.b64encode(b"\1\2" * 480).decode()  # 20 ms


def an_event(type: str, **fields: object) -> st.SearchStrategy[dict]:
    values = {name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in fields.items()}
    return st.fixed_dictionaries({"type": st.just(type), **values})


def part(type: str, **fields: object) -> st.SearchStrategy[dict]:
    """An event about one part of one response."""
    return an_event(
        type, response_id=RESPONSES, item_id=ITEMS, output_index=0, content_index=st.integers(0, 1), **fields
    )


CALLS = st.fixed_dictionaries(
    {
        "type": st.just("function_call"),
        "id": ITEMS,
        "call_id": st.sampled_from(["call_1", "call_2"]),
        "name": st.sampled_from(["note", "nothing"]),
        "arguments": st.sampled_from(['{"text": "x"}', "{", "{}"]),
        "status": st.sampled_from(["completed", "incomplete"]),
    }
)
RESPONSE = st.fixed_dictionaries(
    {
        "id": RESPONSES,
        "status": st.sampled_from(["in_progress", "completed", "cancelled", "failed", "incomplete", "puzzled"]),
        "conversation_id": st.sampled_from(["conv_1", "conv_1", None]),
        "output": st.lists(CALLS, max_size=2),
        "metadata": st.sampled_from([None, {}, {"realtime_trio": "req_of_somebody_else"}]),
    }
)
MESSAGE = st.fixed_dictionaries(
    {"type": st.just("message"), "id": ITEMS, "role": st.sampled_from(["user", "assistant"]), "content": st.just([])}
)
ERRORS = st.fixed_dictionaries(
    {
        "type": st.just("invalid_request_error"),
        "message": st.sampled_from(["item_1 does not exist", "no active response", "?"]),
        "code": st.sampled_from([None, "conversation_already_has_active_response", "response_cancel_not_active", "x"]),
    }
)
EVENTS = st.one_of(
    an_event("response.created", response=RESPONSE),
    an_event("response.done", response=RESPONSE),
    an_event("response.output_item.added", response_id=RESPONSES, output_index=0, item=MESSAGE | CALLS),
    an_event("conversation.item.added", item=MESSAGE | CALLS, previous_item_id=ITEMS | st.none()),
    an_event("conversation.item.done", item=MESSAGE | CALLS, previous_item_id=ITEMS | st.none()),
    an_event("conversation.item.deleted", item_id=ITEMS),
    an_event("conversation.item.truncated", item_id=ITEMS, content_index=st.integers(0, 9), audio_end_ms=5),
    an_event("conversation.item.input_audio_transcription.completed", item_id=ITEMS, content_index=0, transcript="x"),
    an_event("input_audio_buffer.speech_started", item_id=ITEMS, audio_start_ms=st.integers(0, 10**6)),
    an_event("input_audio_buffer.speech_stopped", item_id=ITEMS, audio_end_ms=st.integers(0, 10**6)),
    an_event("input_audio_buffer.committed", item_id=ITEMS, previous_item_id=ITEMS | st.none()),
    an_event("input_audio_buffer.cleared"),
    an_event("session.updated", session=st.just({"type": "realtime", "audio": {"input": {"turn_detection": None}}})),
    an_event("error", error=ERRORS),
    part("response.content_part.added", part=st.just({"type": "audio", "transcript": ""})),
    part("response.output_text.delta", delta="word "),
    part("response.output_audio.delta", delta=st.sampled_from([SOUND, "AQID", "no base64!"])),
    part("response.output_audio.done"),
    part("response.output_audio_transcript.delta", delta="word "),
    an_event("response.telepathy", thought=st.none()),
)
# most of what happens is about a response that speaks
SPEECH = st.one_of(
    an_event("response.created", response=RESPONSE),
    part("response.output_audio.delta", delta=SOUND),
    part("response.output_audio.done"),
    an_event("input_audio_buffer.speech_started", item_id=ITEMS, audio_start_ms=0),
)
STEPS = st.lists(
    SPEECH
    | EVENTS
    | st.sampled_from(["ask", "interrupt", "cancel", "respond", "wait", "wait"])
    | st.sampled_from(["press", "release", "mute", "unmute", "manual", "speak", "unplug", "plug in"]),
    min_size=10,
    max_size=60,
)
POLICIES = st.sampled_from(["immediate", "confirm", "never"])


@tool(on_interrupt="detach", filler="One moment.", filler_after=0.02, concurrency=1, timeout=0.5)
async def note(text: str, context: ToolContext) -> None:
    """Note something."""
    context.progress(text, speak=True)
    await trio.sleep(0.05)


async def hesitant(text: GuardedText) -> str | None:
    """Think for a moment; some words are too many."""
    await trio.sleep(0.05)
    return "too many words" if text.text.count("word") > 3 else None


async def broken(text: GuardedText) -> None:
    """Fail sooner or later."""
    if text.text.count("word") > 1:
        raise LookupError


class Balance(SpanProcessor):
    """Counts spans that are not ended."""

    def __init__(self) -> None:
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(self)
        self.telemetry = Telemetry(tracer_provider=tracers)
        self.open: Counter[str] = Counter()
        self.ended = 0

    def on_start(self, span, parent_context=None):
        self.open[span.name] += 1

    def on_end(self, span):
        self.open[span.name] -= 1
        self.ended += 1

    def check(self) -> None:
        """Whatever happened: no span is left open, and nothing went wrong."""
        assert self.ended >= 1
        assert +self.open == Counter()
        told = self.telemetry.statistics()
        assert (told.failed, told.dropped) == (0, 0)


async def play(steps: list, interruption: str, guard: Guard | None, telemetry: Telemetry) -> list[dict]:
    """Let a server and a program do these steps, and check that the session still answers afterwards."""
    device = FakeDevice(output_latency_ms=30, echoes=True)
    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as background:
        background.start_soon(device.run)
        peer.ignored.add("input_audio_buffer.append")
        async with (
            open_session(
                connect=peer.connect,
                url=peer.url,
                audio=device,
                tools=[note],
                interruption=interruption,
                guard=guard,
                ack_timeout=1,
                drain=False,
                telemetry=telemetry,
            ) as session,
            trio.open_nursery() as users,
        ):
            in_the_background = {
                "ask": partial(session.ask, "Well?"),
                "respond": session.respond,
                "cancel": session.cancel_response,
                "release": session.release,
                "manual": partial(session.update, turn_detection=None),
            }
            at_once = {
                "interrupt": session.interrupt,
                "press": session.press,
                "mute": session.mute,
                "unmute": session.unmute,
                "speak": partial(device.speak, b"\1\20" * 4800),
                "unplug": partial(device.change, False, "unplugged"),
                "plug in": partial(device.change, True, "plugged in"),
            }
            for step in steps:
                if step == "wait":
                    await trio.sleep(0.3)
                elif isinstance(step, dict):
                    await peer.send(step)
                elif step in at_once:
                    with contextlib.suppress(LocalProtocolError):  # no key while turn detection listens
                        at_once[step]()
                else:
                    users.start_soon(quietly, in_the_background[step])
            await trio.sleep(0.5)
            peer.answer(
                "conversation.item.delete",
                lambda event: [{"type": "conversation.item.deleted", "item_id": event["item_id"]}],
            )
            await session.delete_item("item_of_the_end")
            users.cancel_scope.cancel()
        background.cancel_scope.cancel()
    return peer.received


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, POLICIES, st.sampled_from([None, None, hesitant, broken]))
def test_any_order_of_events_leaves_the_session_alive(steps, interruption, guard):
    """No crash, no hang, no growth without end; and every event it sent is one."""
    balance = Balance()
    received = trio.run(play, steps, interruption, guard, balance.telemetry, clock=MockClock(autojump_threshold=0))

    balance.check()
    for event in received:
        assert type(events.decode_client(json.dumps(event))) in events.CLIENT_EVENTS["realtime"]
    # an item may stand in both responses here; for each of them it is truncated once at the most
    truncated = Counter(
        (event["item_id"], event["content_index"]) for event in received if event["type"].endswith("truncate")
    )
    assert max(truncated.values(), default=0) <= 2


# The same, with links that are lost and items that have other names on the next.

RESTORED = st.sampled_from(["restored_0", "restored_1", "restored_2"])  # the items that were created last on this link
ANY = ITEMS | RESTORED
WRITTEN = MESSAGE.map(lambda item: item | {"role": "user", "content": [{"type": "input_text", "text": "x"}]})
ABOUT_ITEMS = st.one_of(
    an_event("conversation.item.added", item=WRITTEN | MESSAGE | CALLS, previous_item_id=ANY | st.none()),
    an_event("conversation.item.deleted", item_id=ANY),
    an_event("conversation.item.truncated", item_id=ANY, content_index=0, audio_end_ms=5),
    an_event("conversation.item.input_audio_transcription.completed", item_id=ANY, content_index=0, transcript="x"),
    an_event("input_audio_buffer.committed", item_id=ITEMS, previous_item_id=ANY | st.none()),
    an_event("error", error=st.fixed_dictionaries({"type": st.just("x"), "message": RESTORED.map("no {}".format)})),
)
KINDS_OF_STEPS = {
    "server": ABOUT_ITEMS,
    "speech": SPEECH,
    "program": st.tuples(st.sampled_from(["delete", "retrieve", "truncate", "create", "insert"]), ANY),
    "other": st.sampled_from(["cut", "wait", "ask", "interrupt", "speak", "refuse"]),
    "cut": st.sampled_from(["cut", "wait"]),
}
KINDS = st.sampled_from([*KINDS_OF_STEPS, "server", "program"])
LINK_STEPS = st.lists(KINDS.flatmap(lambda kind: KINDS_OF_STEPS[kind]), min_size=10, max_size=40).map(
    lambda steps: [("create", "item_1"), ("create", "item_2"), ("create", "item_3"), "wait", "cut", "wait", *steps]
)


class Server:
    """A peer that has the items that it was asked for on this link, and says anything else besides."""

    def __init__(self, peer) -> None:
        self.peer = peer
        self._created: list[str] = []
        self._links = 0
        self.refused = 0
        peer.ignored.add("input_audio_buffer.append")
        peer.answer("conversation.item.create", self.create)
        peer.answer("conversation.item.delete", partial(self.say, "conversation.item.deleted"))
        peer.answer("conversation.item.truncate", partial(self.say, "conversation.item.truncated"))
        peer.answer("conversation.item.retrieve", self.retrieve)

    @property
    def created(self) -> list[str]:
        if self._links != len(self.peer.handshakes):
            self._links, self._created = len(self.peer.handshakes), []
        return self._created

    def create(self, event):
        item_id = event["item"]["id"]
        if self.refused:
            self.refused -= 1
            problem = {"type": "invalid_request_error", "message": f"{item_id} is not to be", "code": "x"}
            return [{"type": "error", "error": problem | {"event_id": event["event_id"]}}]
        self.created.append(item_id)
        told = {"item": event["item"], "previous_item_id": event.get("previous_item_id")}
        return [{"type": f"conversation.item.{what}", **told} for what in ("added", "done")]

    def say(self, type, event):
        names = ("item_id", "content_index", "audio_end_ms")
        return [{"type": type} | {name: event[name] for name in names if name in event}]

    def retrieve(self, event):
        item = {"type": "message", "id": event["item_id"], "role": "assistant"}
        return [{"type": "conversation.item.retrieved", "item": item | {"content": [{"type": "output_text"}]}}]

    async def send(self, event):
        await self.peer.connected()
        text = msgspec.json.encode(event).decode()
        for n, item_id in enumerate(reversed(self.created[-3:])):
            text = text.replace(f"restored_{n}", item_id)
        with contextlib.suppress(ConnectionClosed, trio.ClosedResourceError):  # cut a moment ago
            await self.peer.send(json.loads(text))


async def play_over_links(steps: list, telemetry: Telemetry) -> tuple[list[str], list[str]]:
    """Let a server with bad links, and a program, do these steps; check that the session still answers afterwards.

    Returns:
        What the program was told, and the names of items in the conversation at the end.
    """
    device = FakeDevice(output_latency_ms=30)
    policy = ReconnectPolicy(attempts=1000, first_wait=0.01, longest_wait=0.1)
    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as background:
        background.start_soon(device.run)
        server = Server(peer)
        async with (
            open_session(
                connect=peer.connect,
                url=peer.url,
                audio=device,
                ack_timeout=1,
                drain=False,
                reconnect=policy,
                telemetry=telemetry,
            ) as session,
            session.events() as notices,
            trio.open_nursery() as users,
        ):
            told: list[str] = []
            users.start_soon(listen, notices, told)
            calls = {
                "delete": session.delete_item,
                "retrieve": session.retrieve_item,
                "truncate": partial(session.truncate_item, audio_end_ms=10),
                "create": lambda item_id: session.create_item(events.user_message("new", id=item_id)),
                "insert": lambda item_id: session.create_item(events.user_message("new"), previous_item_id=item_id),
            }
            for step in steps:
                match step:
                    case dict():
                        await server.send(step)
                    case (name, item_id):
                        users.start_soon(quietly, partial(calls[name], item_id))
                    case "ask":
                        users.start_soon(quietly, partial(session.ask, "Well?"))
                    case "interrupt":
                        session.interrupt()
                    case _:
                        await happen(step, server, device)
            await trio.sleep(5)
            await session.delete_item("item_of_the_end")
            users.cancel_scope.cancel()
            names = [item.id for item in session.conversation]
        background.cancel_scope.cancel()
    return told, names


async def listen(notices, told):
    async for notice in notices:
        told.append(repr(notice))


async def quietly(call):
    with contextlib.suppress(RealtimeError):  # refused, unanswered: this server is like that
        await call()


async def happen(step, server, device):
    match step:
        case "refuse":
            server.refused += 1
        case "cut":
            await server.peer.drop()
        case "wait":
            await trio.sleep(0.3)
        case "speak":
            device.speak(b"\1\20" * 4800)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(LINK_STEPS)
def test_no_name_of_another_link_gets_out(steps):
    """Links are lost at any time, and what is said on them names anything: the session lives, with the names it had."""
    given: list[str] = []
    note = ItemIds.restored

    def restored(self, old_id, new_id):
        given.append(new_id)
        note(self, old_id, new_id)

    with mock.patch.object(ItemIds, "restored", restored):
        balance = Balance()
        told, names = trio.run(play_over_links, steps, balance.telemetry, clock=MockClock(autojump_threshold=0))
        balance.check()

    assert not set(names) & set(given)
    leaked = [words for words in told for name in given if name in words]
    assert not leaked, leaked
