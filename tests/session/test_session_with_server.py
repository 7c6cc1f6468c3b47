"""Turns by voice against the offline server, in virtual time: nobody scripts what the other side says."""

import itertools
import math
from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio import (
    Budget,
    BudgetExceeded,
    BudgetSpent,
    Interrupted,
    Paused,
    Resumed,
    events,
    open_server,
    open_session,
)
from realtime_trio.audio import ClockedDevice
from realtime_trio.errors import LocalProtocolError
from realtime_trio.server import Transcript


class Recorder:
    """Keeps what the loudspeaker plays."""

    def __init__(self) -> None:
        self.played = bytearray()

    def write(self, captured: bytes, played: bytes) -> None:
        self.played += played

    def flush(self) -> None:
        pass


class Hearing:
    """A recogniser that is told what it hears, in order."""

    def __init__(self, *words: str) -> None:
        self._words = itertools.chain(words, itertools.repeat(""))

    async def recognise(self, pcm: bytes) -> Transcript:
        return Transcript(next(self._words))


async def long_answer(request):
    """Six seconds of sound, of which every sample tells its place; later answers are short and constant."""
    if any(item.__class__.__name__ == "Said" and item.role == "assistant" for item in request.history):
        yield (20_000).to_bytes(2, "little") * 12_000
    else:
        yield b"".join((100 + n // 12).to_bytes(2, "little") for n in range(24_000 * 6))


def voice(ms: int) -> bytes:
    """A voiced sound, loud enough for any turn detection."""
    samples = (round(8000 * math.sin(2 * math.pi * 180 * n / 24_000)) for n in range(24 * ms))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


@pytest.fixture
def open_conversation():
    @asynccontextmanager
    async def open_conversation(*words, **options):
        recorder = Recorder()
        device = ClockedDevice(recorder=recorder)
        async with (
            open_server(listen=False, brain=long_answer, recogniser=Hearing(*words)) as server,
            open_session(
                connect=server.connect,
                url=server.url,
                audio=device,
                transcription="gpt-4o-mini-transcribe",
                drain=False,
                **{"turn_detection": "server_vad", **options},
            ) as session,
        ):
            yield session, device, recorder

    return open_conversation


async def until_it_speaks(session, device):
    """Say something, and wait until a second of the answer was heard."""
    async with session.responses() as responses:
        device.speak(voice(1000))
        response = await responses.receive()
    while response.first_sound_at is None:  # noqa: ASYNC110 the clock jumps
        await trio.sleep(0.02)
    await trio.sleep(1)
    return response


def levels(pcm) -> list[int]:
    return [sample for sample in memoryview(bytes(pcm)).cast("h") if sample]


@pytest.mark.parametrize("detection", ["server_vad", "semantic_vad", events.SemanticVad(eagerness="low")])
async def test_a_cough_costs_no_word(autojump_clock, open_conversation, detection):
    """The sound pauses and goes on; the server does not have the cough any more; the answer is whole."""
    async with open_conversation("tell me", "uh-huh", interruption="confirm", turn_detection=detection) as (
        session,
        device,
        recorder,
    ):
        notices = session.events(Paused, Resumed, Interrupted)
        response = await until_it_speaks(session, device)
        device.speak(voice(220))
        assert isinstance(await notices.receive(), Paused)
        resumed = await notices.receive()
        assert isinstance(resumed, Resumed)
        await response.heard()
        await session.drained()
        played = levels(recorder.played)
        assert len(played) == pytest.approx(24_000 * 6, abs=10)
        assert max(played) == 100 + 11_999
        assert session.conversation.get(resumed.item_id).deleted
        assert response.interruption is None
        (answer,) = [item for item in session.conversation if item.role == "assistant"]
        assert answer.truncated_ms is None
        assert answer.heard_ms == 6000


async def test_a_word_that_is_meant_interrupts(autojump_clock, open_conversation):
    """A short "stop" is no cough: the answer is truncated where it was heard, and what was said is answered."""
    async with open_conversation("tell me", "stop", interruption="confirm") as (session, device, recorder):
        responses = session.responses()
        interruptions = session.events(Interrupted)
        await until_it_speaks(session, device)
        device.speak(voice(220))
        notice = await interruptions.receive()
        first, second = await responses.receive(), await responses.receive()
        await second.heard()
        assert first.interruption is notice.interruption
        played = [sample for sample in levels(recorder.played) if sample != 20_000]
        assert notice.interruption.cut_ms == pytest.approx(len(played) / 24, abs=1)
        (cut, _) = [item for item in session.conversation if item.role == "assistant"]
        assert cut.truncated_ms == notice.interruption.cut_ms
        assert levels(recorder.played).count(20_000) == 12_000


async def test_never_answers_afterwards(autojump_clock, open_conversation):
    """The first answer is heard whole, then the second."""
    async with open_conversation("tell me", "and this", interruption="never") as (session, device, recorder):
        await until_it_speaks(session, device)
        device.speak(voice(1000))
        await trio.sleep(3)
        await session.drained()
        played = levels(recorder.played)
        assert len(played) == pytest.approx(24_000 * 6 + 12_000, abs=10)
        assert played[-12_000:] == [20_000] * 12_000


@pytest.mark.parametrize("detection", ["server_vad", events.SemanticVad(eagerness="high")])
async def test_speaking_over_it_interrupts_at_once(autojump_clock, open_conversation, detection):
    async with open_conversation("tell me", "stop", turn_detection=detection) as (session, device, recorder):
        interruptions = session.events(Interrupted)
        await until_it_speaks(session, device)
        began = trio.current_time()
        device.speak(voice(1500))
        notice = await interruptions.receive()
        assert trio.current_time() - began < 0.4
        await trio.sleep(4)
        played = [sample for sample in levels(recorder.played) if sample != 20_000]
        assert notice.interruption.cut_ms == pytest.approx(len(played) / 24, abs=1)


async def test_push_to_talk(autojump_clock, open_conversation):
    """Two turns by key, the second over the answer to the first; and a tap at the end."""
    async with open_conversation("tell me", "again", turn_detection=None) as (session, device, recorder):
        responses = session.responses()
        device.speak(voice(10_000))
        session.press()
        await trio.sleep(1)
        item_id = await session.release()
        assert session.conversation.get(item_id).role == "user"
        first = await responses.receive()
        await trio.sleep(1.5)
        session.press()
        await trio.sleep(1)
        await session.release()
        second = await responses.receive()
        await second.heard()
        await trio.sleep(0.1)
        assert first.interruption.cut_ms < 2000
        assert levels(recorder.played).count(20_000) == 12_000
        session.press()
        await trio.sleep(0.03)
        assert await session.release() is None
        with pytest.raises(LocalProtocolError):
            await session.update(turn_detection="server_vad")
            session.press()


async def test_nobody_speaks_over_a_key_that_is_down(autojump_clock, open_conversation):
    """The server acknowledges what the key sent; that frees nothing."""
    async with open_conversation("tell me", turn_detection=None) as (session, device, recorder):
        responses = session.responses()
        device.speak(voice(10_000))
        session.press()
        await trio.sleep(1)
        await session.send_text("And this?")
        await trio.sleep(2)
        assert not recorder.played.strip(b"\0")
        await session.release()
        await (await responses.receive()).heard()
        with trio.move_on_after(5) as nothing_more:
            await responses.receive()
        assert nothing_more.cancelled_caught  # one answer for both


async def test_muted_speech_is_no_turn(autojump_clock, open_conversation):
    async with open_conversation("tell me") as (session, device, recorder):
        session.mute()
        device.speak(voice(2000))
        await trio.sleep(5)
        assert len(session.conversation) == 0
        session.unmute()
        await until_it_speaks(session, device)
        assert levels(recorder.played)


@pytest.mark.parametrize("when", ["while it answers", "when the answer is spent"])
@pytest.mark.parametrize("interruption", ["immediate", "confirm", "never"])
async def test_a_spent_budget_leaves_the_user_unheard_and_the_answer_whole(
    autojump_clock, open_conversation, interruption, when
):
    """Whatever the user goes on saying: the server would answer it by itself, and that would cost more."""
    made = []
    budget = Budget(turns=1) if when == "while it answers" else Budget(tokens=1)
    with pytest.raises(BudgetExceeded):
        async with open_conversation("tell me", "stop it now", interruption=interruption, budget=budget) as (
            session,
            device,
            recorder,
        ):
            spent = session.events(BudgetSpent)
            responses = session.responses()
            device.speak(voice(1000))
            made.append(await responses.receive())
            await spent.receive()
            device.speak(voice(3000))
            while True:
                made.append(await responses.receive())

    (response,) = made
    assert response.status == "completed"
    assert response.interruption is None
    assert len(levels(recorder.played)) == pytest.approx(24_000 * 6, abs=10)


async def test_a_budget_that_ends_in_the_middle_of_a_doubt(autojump_clock, open_conversation):
    """What was said so far is dropped: the sound goes on from the same sample, and is heard to its end."""
    notices = []
    with pytest.raises(BudgetExceeded):
        async with open_conversation("tell me", interruption="confirm", budget=Budget(minutes=3.9 / 60)) as (
            session,
            device,
            recorder,
        ):
            subscription = session.events(Paused, Resumed, BudgetSpent, Interrupted)
            began = trio.current_time()
            device.speak(voice(1000))
            await trio.sleep_until(began + 3.6)
            device.speak(voice(3000))
            while True:
                notices.append(type(await subscription.receive()))

    assert notices == [Paused, BudgetSpent, Resumed]
    assert len(levels(recorder.played)) == pytest.approx(24_000 * 6, abs=10)
