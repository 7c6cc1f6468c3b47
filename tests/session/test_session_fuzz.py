"""A session under a server that says anything in any order: it lives, and everything it says is the protocol."""

import base64
import contextlib
import json
from collections import Counter
from functools import partial

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from realtime_trio import GuardedText, LocalProtocolError, RealtimeError, ToolContext, events, open_session, tool
from realtime_trio.session import Guard
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


async def play(steps: list, interruption: str, guard: Guard | None) -> list[dict]:
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
            ) as session,
            trio.open_nursery() as users,
        ):

            async def quietly(call):
                with contextlib.suppress(RealtimeError):  # refused, failed, unanswered: this server is like that
                    await call()

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
    received = trio.run(play, steps, interruption, guard, clock=MockClock(autojump_threshold=0))

    for event in received:
        assert type(events.decode_client(json.dumps(event))) in events.CLIENT_EVENTS["realtime"]
    # an item may stand in both responses here; for each of them it is truncated once at the most
    truncated = Counter(
        (event["item_id"], event["content_index"]) for event in received if event["type"].endswith("truncate")
    )
    assert max(truncated.values(), default=0) <= 2
