"""A session with a device whose link is lost, or replaced, while somebody speaks. Nobody scripts the other side."""

import math
from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio import LinkLost, Reconnected, ReconnectPolicy, events, open_server, open_session
from realtime_trio.audio import ClockedDevice
from realtime_trio.errors import ConnectError
from realtime_trio.server import Transcript

from .cuttable import Cuttable

RATE = 24_000


class Recorder:
    """Keeps what the loudspeaker plays."""

    def __init__(self) -> None:
        self.played = bytearray()

    def write(self, captured: bytes, played: bytes) -> None:
        self.played += played

    def flush(self) -> None:
        pass

    @property
    def sounded(self) -> int:
        """Samples that were no silence."""
        return sum(sample != 0 for sample in memoryview(bytes(self.played)).cast("h"))


class Counting:
    """A recogniser that counts the syllables that it is given."""

    def __init__(self) -> None:
        self.counts: list[float] = []

    async def recognise(self, pcm: bytes) -> Transcript:
        samples = memoryview(pcm).cast("h")
        self.counts.append(round(sum(abs(sample) > 50 for sample in samples) / RATE / 0.3, 1))
        return Transcript(f"{self.counts[-1]} syllables")


async def six_seconds(request):
    for _ in range(60):
        yield (12_000).to_bytes(2, "little") * 2400


async def many_words(request):
    yield "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


def voice(ms: int) -> bytes:
    """Syllables of 300 ms with 100 ms between them: loud enough for turn detection, and no steady noise."""
    tone = (round(8000 * math.sin(2 * math.pi * 180 * n / RATE)) or 100 for n in range(RATE * 3 // 10))
    syllable = b"".join(sample.to_bytes(2, "little", signed=True) for sample in tone) + bytes(RATE // 10 * 2)
    return (syllable * (ms // 400 + 1))[: ms * RATE // 1000 * 2]


class Talk:
    def __init__(self, session, links, device, recorder, recogniser) -> None:
        self.session, self.links, self.device = session, links, device
        self.recorder, self.recogniser = recorder, recogniser
        self.notices = session.events(LinkLost, Reconnected)
        self.responses = session.responses()

    async def reconnected(self) -> Reconnected:
        async for notice in self.notices:
            if isinstance(notice, Reconnected):
                return notice
        raise AssertionError

    @property
    def users(self) -> list:
        return [item for item in self.session.conversation if item.role == "user"]


@pytest.fixture
def open_talk():
    @asynccontextmanager
    async def open_talk(brain=six_seconds, **options):
        recorder, recogniser = Recorder(), Counting()
        device = ClockedDevice(recorder=recorder)
        async with open_server(listen=False, brain=brain, recogniser=recogniser) as server:
            links = Cuttable(server.connect)
            async with open_session(
                connect=links.connect,
                url=server.url,
                audio=device,
                transcription="gpt-4o-mini-transcribe",
                drain=False,
                **{"turn_detection": "server_vad", **options},
            ) as session:
                yield Talk(session, links, device, recorder, recogniser)

    return open_talk


async def test_a_link_that_is_lost_while_the_user_speaks_costs_no_word(open_talk, autojump_clock):
    async with open_talk() as talk:
        await trio.sleep(3)
        talk.links.refusals = [ConnectError("no route")] * 2
        spoken = talk.device.speak(voice(4000))
        await trio.sleep(1.5)
        talk.links.cut()
        report = await talk.reconnected()
        assert report.gap_ms > 200
        assert report.dropped_audio_ms == 0
        await spoken.captured()
        response = await talk.responses.receive()
        assert talk.recogniser.counts == [10]
        await response.heard()
        assert response.interruption is None
        assert [item.transcript for item in talk.users] == ["10.0 syllables"]


async def test_a_turn_spoken_in_the_gap_is_heard(open_talk, autojump_clock):
    async with open_talk() as talk:
        await trio.sleep(3)
        talk.links.refusals = [ConnectError("no route")] * 4
        talk.links.cut()
        await trio.sleep(0.2)
        talk.device.speak(voice(2000))
        report = await talk.reconnected()
        assert report.gap_ms > 1500
        await talk.responses.receive()
        assert talk.recogniser.counts == [5]


async def test_more_than_is_kept_is_reported(open_talk, autojump_clock):
    async with open_talk(reconnect=ReconnectPolicy(keep_audio=2.0)) as talk:
        await trio.sleep(3)
        talk.links.refusals = [ConnectError("no route")] * 5
        talk.links.cut()
        report = await talk.reconnected()
        assert report.gap_ms > 3000
        # two seconds before the gap may not have come over any more: nothing was heard of the server since
        assert report.dropped_audio_ms == pytest.approx(report.gap_ms, abs=60)


async def test_what_was_generated_is_played_through_the_gap(open_talk, autojump_clock):
    """And the new link is told all of it, because all of it will be heard."""
    async with open_talk() as talk:
        talk.device.speak(voice(1000))
        response = await talk.responses.receive()
        await response.done()
        talk.links.cut()
        report = await talk.reconnected()
        assert (report.asked_again, report.cut_off) == ((), ())
        await response.heard()
        assert response.interruption is None
        assert talk.recorder.sounded == RATE * 6
        assert [item.role for item in talk.session.conversation] == ["user", "assistant"]


async def test_what_is_interrupted_after_the_gap_is_cut_on_the_new_link_too(open_talk, autojump_clock):
    async with open_talk(brain=many_words) as talk:
        talk.device.speak(voice(1000))
        response = await talk.responses.receive()
        await response.done()
        item = next(item for item in talk.session.conversation if item.role == "assistant")
        talk.links.cut()
        await talk.reconnected()
        while response.first_sound_at is None:  # noqa: ASYNC110 the clock jumps
            await trio.sleep(0.02)
        await trio.sleep(1)
        await talk.session.interrupt()
        assert response.interruption.heard_ms < 3000
        told = await talk.session.retrieve_item(item.id)
        assert told.content[0].text == item.heard_text
        assert 0 < len(item.heard_text) < len(item.parts[0].transcript)
        assert item.truncated_ms == response.interruption.cut_ms


@pytest.mark.parametrize("after_ms", [0, 400, 700])
async def test_an_answer_cut_in_the_middle_is_played_as_far_as_it_came_or_asked_for_again(
    open_talk, autojump_clock, after_ms
):
    async with open_talk() as talk:
        talk.device.speak(voice(1000))
        response = await talk.responses.receive()
        await trio.sleep(after_ms / 1000)
        talk.links.cut()
        report = await talk.reconnected()
        assert not response.is_done or response.status in ("cancelled", "completed")
        if report.asked_again:
            assert report.asked_again == (response.id,)
            again = await talk.responses.receive()
            await again.heard()
            assert again.interruption is None
        elif report.cut_off:
            assert report.cut_off == (response.id,)
            await response.heard()
            assert response.interruption.reason == "link_lost"
        await talk.session.drained()


async def test_push_to_talk_through_a_gap(open_talk, autojump_clock):
    async with open_talk(turn_detection=None) as talk:
        talk.device.speak(voice(3000))
        talk.session.press()
        await trio.sleep(1)
        talk.links.refusals = [ConnectError("no route")] * 2
        talk.links.cut()
        await trio.sleep(0.1)
        item_id = await talk.session.release()
        assert talk.session.conversation.get(item_id).role == "user"
        await talk.responses.receive()
        assert 2.7 <= talk.recogniser.counts[0] <= 3.2


@pytest.mark.parametrize("pause_ms", [0, 700])
async def test_a_link_is_replaced_in_a_talk_without_losing_a_word(open_talk, autojump_clock, pause_ms):
    """The user speaks without an end, or with pauses in which nobody answers."""
    policy = ReconnectPolicy(max_age=60)
    turn_detection = events.ServerVad(create_response=False, silence_duration_ms=300)
    async with open_talk(reconnect=policy, turn_detection=turn_detection) as talk:
        await trio.sleep(1)
        turns = 1 if pause_ms == 0 else 40
        length = 150_000 if pause_ms == 0 else 3200
        for _ in range(turns):
            await talk.device.speak(voice(length) + bytes(pause_ms * 48)).captured()
        await trio.sleep(5)
        reports = [await talk.reconnected() for _ in range(2)]
        assert [(report.reason, report.gap_ms) for report in reports] == [("age", 0)] * 2
        if pause_ms:
            assert talk.recogniser.counts == [8] * turns
            assert len(talk.users) == turns
