"""A guard under random schedules: words, sound and ends in any order, judged at any pace, interrupted at any moment."""

import base64

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from realtime_trio import open_session
from realtime_trio.testing import FakeDevice, open_scripted_peer

LEVEL = (1000).to_bytes(2, "little")
ITEMS = ("item_1", "item_2")

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("words"), st.sampled_from(ITEMS), st.sampled_from(["well ", "go", " on. ", "ne", "ver ", "."])
        ),
        st.tuples(st.just("sound"), st.sampled_from(ITEMS), st.sampled_from([20, 100, 700])),
        st.tuples(st.just("said"), st.sampled_from(ITEMS)),
        st.tuples(st.just("part"), st.sampled_from(ITEMS)),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.1, 1.0])),
        st.tuples(st.just("done")),
    ),
    min_size=3,
    max_size=25,
)
GUARDS = st.tuples(st.sampled_from(["passes", "stops", "raises"]), st.sampled_from([0.0, 0.05, 0.4, 20.0]))
ENDINGS = st.sampled_from(["nobody", "program", "user"])


class Wire:
    """What the server says of its one response."""

    def __init__(self, peer):
        self.peer = peer
        self.texts = dict.fromkeys(ITEMS, "")
        self.received = 0

    async def send(self, type, item_id, **fields):
        place = {"response_id": "resp_1", "item_id": item_id, "output_index": 0, "content_index": 0}
        await self.peer.send(type, **place, **fields)

    async def respond(self, type, status):
        value = {"id": "resp_1", "status": status, "conversation_id": "conv_1", "output": [], "metadata": None}
        await self.peer.send(type, response={"object": "realtime.response", **value})

    async def step(self, kind, item_id="", value=None):
        match kind:
            case "words":
                self.texts[item_id] += value
                await self.send("response.output_audio_transcript.delta", item_id, delta=value)
            case "sound":
                self.received += value
                pcm = base64.b64encode(LEVEL * (24 * value)).decode()
                await self.send("response.output_audio.delta", item_id, delta=pcm)
            case "said":
                await self.send("response.output_audio_transcript.done", item_id, transcript=self.texts[item_id])
            case "part":
                part = {"type": "audio", "transcript": self.texts[item_id]}
                await self.send("response.content_part.done", item_id, part=part)
            case "wait":
                await trio.sleep(item_id)
            case "done":
                await self.respond("response.done", "completed")


async def play(steps, kind, delay, ending, *, has_device):
    asked = []

    async def guard(text):
        asked.append(text)
        await trio.sleep(delay)
        if kind == "raises" and len(asked) > 1:
            raise LookupError
        return "not that" if kind == "stops" and "never" in text.text else None

    device = FakeDevice(output_latency_ms=30) if has_device else None
    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as background:
        if device is not None:
            background.start_soon(device.run)
        options = {"audio": device} if has_device else {"modality": "audio"}
        async with open_session(
            connect=peer.connect, url=peer.url, guard=guard, guard_timeout=2, turn_detection="server_vad", **options
        ) as session:
            wire, responses = Wire(peer), session.responses()
            await wire.respond("response.created", "in_progress")
            response = await responses.receive()
            for number, step in enumerate(steps):
                await wire.step(*step)
                if number == len(steps) // 2 and ending == "program":
                    session.interrupt()
                elif number == len(steps) // 2 and ending == "user":
                    await peer.send("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
            await wire.step("done")
            with trio.fail_after(60):
                await response.heard()
                await session.drained()
        background.cancel_scope.cancel()
    return response, asked, wire, b"" if device is None else bytes(device.played)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(STEPS, GUARDS, ENDINGS, st.booleans())
def test_whatever_happens_nothing_unjudged_gets_out_and_nobody_hangs(steps, guards, ending, has_device):
    kind, delay = guards

    async def run():
        return await play(steps, kind, delay, ending, has_device=has_device)

    response, asked, wire, played = trio.run(run, clock=MockClock(autojump_threshold=0))
    shown = "".join(response.transcript_deltas.entries)
    given_ms = len(b"".join(response.audio_chunks.entries)) / 48
    played_ms = sum(1 for sample in memoryview(played).cast("h") if sample) / 24

    for one in asked:
        assert one.text.endswith(one.new)
    if kind == "stops":
        assert "never" not in shown
    if delay > 2:
        assert not shown, "no answer in time is no leave"
        assert given_ms == played_ms == 0 or not asked
    if response.stopped_by is None and not response.interrupted:
        assert kind == "passes" or len(asked) < 2 or (kind == "stops" and not any("never" in one.text for one in asked))
        if ("done",) not in steps:  # what comes behind the end may find nobody
            assert given_ms == wire.received
            assert played_ms == (wire.received if has_device else 0)
            assert shown == "".join(wire.texts.values()) or len({step[1] for step in steps if step[0] == "words"}) > 1
    elif has_device:
        assert played_ms <= given_ms + 1
