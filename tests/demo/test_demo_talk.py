"""The simulated talk, in memory under the autojump clock: a minute of it in a moment, and every sample of it known."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import numpy as np
import pytest
import trio

from realtime_trio import events
from realtime_trio.audio import ClockedDevice
from realtime_trio.demo import talk as talk_module
from realtime_trio.demo.follower import Follower
from realtime_trio.demo.lines import Lines
from realtime_trio.demo.record import Record
from realtime_trio.demo.summary import summary
from realtime_trio.demo.talk import QUESTIONS, Question, Talk
from realtime_trio.demo.voices import ToldRecogniser
from realtime_trio.demo.weather import get_weather
from realtime_trio.opening import open_session
from realtime_trio.server import Speech, SpokenWord, open_server
from realtime_trio.server.babble import BabbleVoice

BLOCK = 480  # samples: what the device hands over at a time
WORD = 7_200  # samples: 300 ms


class ToneVoice:
    """Speaks without a silent sample, so that what is heard can be counted."""

    async def speak(self, text, *, voice, speed=1.0):
        await trio.lowlevel.checkpoint()
        words = text.split()
        tone = np.where(np.arange(WORD * len(words)) // 40 % 2, 4000, -4000).astype("<i2")
        return Speech(tone.tobytes(), tuple(SpokenWord(f"{word} ", index * WORD) for index, word in enumerate(words)))


class BabblingUser:
    async def speak(self, text):
        return (await BabbleVoice().speak(text, voice="ash")).pcm


@attrs.define
class Tape:
    """A recorder that keeps both sides in memory."""

    captured: bytearray = attrs.Factory(bytearray)
    played: bytearray = attrs.Factory(bytearray)

    def write(self, captured, played):
        self.captured += captured
        self.played += played

    def flush(self):
        pass


@attrs.define
class Stage:
    """All that a talk needs, and what is seen of it."""

    talk: Talk
    record: Record
    tape: Tape
    shown: list[str]
    unanswered: list[str]

    @property
    def lines(self):
        return [" ".join(line.split()[2:]) for line in "".join(self.shown).splitlines()]


@asynccontextmanager
async def open_stage(
    *, turn_detection: events.ServerVad | str = "server_vad", **server_options
) -> AsyncGenerator[Stage]:
    told, tape, shown, unanswered = ToldRecogniser(), Tape(), [], []
    device = ClockedDevice(recorder=tape, output_latency_ms=40)
    options = {"recogniser": told, "voice": ToneVoice(), **server_options}
    async with (
        open_server(listen=False, **options) as server,
        open_session(
            connect=server.connect,
            audio=device,
            turn_detection=turn_detection,
            transcription="gpt-4o-mini-transcribe",
            tools=[get_weather],
        ) as session,
        trio.open_nursery() as nursery,
    ):
        began = trio.current_time()
        record = Record()
        follower = Follower(session, Lines(shown.append, now=lambda: trio.current_time() - began), record)
        nursery.start_soon(follower.run)
        talk = Talk(
            session=session,
            device=device,
            follower=follower,
            voice=BabblingUser(),
            told=told,
            on_unanswered=unanswered.append,
        )
        yield Stage(talk, record, tape, shown, unanswered)
        nursery.cancel_scope.cancel()


def sounding(pcm: bytes) -> list[tuple[int, int]]:
    """Find where there is sound: stretches between at least 100 ms of zeros, as (first sample, end)."""
    places = np.flatnonzero(np.frombuffer(pcm, dtype="<i2"))
    gaps = np.flatnonzero(np.diff(places) > 2400)
    starts = [places[0], *places[gaps + 1]]
    ends = [*places[gaps], places[-1]]
    return [(int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]


async def test_the_talk_goes_as_it_is_told(autojump_clock):
    async with open_stage() as stage:
        began = trio.current_time()
        await stage.talk.run()
        took = trio.current_time() - began

    said = [turn.said for turn in stage.record.turns]
    assert said == ["what time is it", "what is the weather in Paris", "count to twenty", "what is twelve times three"]
    assert [turn.barge_in for turn in stage.record.turns] == [False, False, False, True]
    assert stage.record.tools == [("get_weather", True)]
    assert stage.unanswered == stage.record.problems == []
    assert took < 60


async def test_the_lines_read_like_the_talk(autojump_clock):
    async with open_stage() as stage:
        await stage.talk.run()

    speakers = [line.split()[0] for line in stage.lines]
    assert speakers == [
        *("user", "assistant"),
        *("user", "tool", "assistant"),
        *("user", "assistant", "interrupted"),
        *("user", "assistant"),
    ]
    assert stage.lines[3].startswith('tool get_weather({"city": "Paris"}) -> {"celsius":')
    assert "Celsius in Paris" in stage.lines[4]
    assert stage.lines[-1] == "assistant 12 times 3 is 36."


async def test_what_the_summary_says_was_heard_is_on_the_tape_to_the_sample(autojump_clock):
    """Speaking over the answer stops its sound, and the server is told the place where it stopped."""
    async with open_stage() as stage:
        await stage.talk.run()

    (interruption,) = stage.record.interruptions
    (part,) = interruption.parts
    answers = sounding(bytes(stage.tape.played))
    counting = answers[2]
    heard = counting[1] - counting[0]
    assert abs(heard - part.cut_ms * 24) <= 48  # the fade ends in a few zeros; ms are whole
    assert 2_400 <= part.cut_ms < part.received_ms
    assert stage.record.told_ms == {part.item_id: part.cut_ms}
    assert len(answers) == 4, "nothing of the interrupted answer is played later"

    lines = list(summary(stage.record, recording="x.wav", seconds=1))
    row = f"heard {part.cut_ms / 1000:.2f} s of {part.received_ms / 1000:.2f} s generated"
    assert [line for line in lines if row in line], lines


async def test_the_interruption_quotes_what_was_heard(autojump_clock):
    """The voice here takes 300 ms for every word, so it is known which."""
    async with open_stage() as stage:
        await stage.talk.run()

    (part,) = stage.record.interruptions[0].parts
    numbers = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve,".split()  # noqa: SIM905
    begun = -(-part.cut_ms // 300)
    line = next(line for line in stage.lines if line.startswith("interrupted"))
    quoted = line.split('"')[1].removeprefix("… ").split()
    assert quoted[0] in numbers
    assert abs(numbers.index(quoted[-1]) + 1 - begun) <= 1  # a word is as exact as the pieces that sound comes in
    assert line.endswith(" words")


async def test_sound_stops_soon_after_the_user_begins(autojump_clock):
    """From the user's first sound over the answer to the last of the answer: turn detection and two blocks."""
    async with open_stage() as stage:
        await stage.talk.run()

    counting = sounding(bytes(stage.tape.played))[2]
    over = next(start for start, _ in sounding(bytes(stage.tape.captured)) if start > counting[0])
    assert counting[0] + 2.4 * 24_000 < over < counting[1] < over + 0.35 * 24_000


async def test_each_latency_is_the_distance_on_the_tape(autojump_clock):
    """From the last of the user's sound to the first of the answer, for a question answered at once."""
    async with open_stage() as stage:
        await stage.talk.run(QUESTIONS[:1])

    (turn,) = stage.record.turns
    user_end = sounding(bytes(stage.tape.captured))[-1][1]
    answer_start = sounding(bytes(stage.tape.played))[0][0]
    measured_ms = (answer_start - user_end) / 24
    assert turn.latency_ms is not None
    assert 500 <= turn.latency_ms <= 900
    assert abs(measured_ms - turn.latency_ms) <= 100  # turn detection looks at loudness: it misses a quiet end


async def test_an_answer_that_is_still_to_come_is_no_quiet(autojump_clock):
    async def slow(request):
        await trio.sleep(25)
        yield "Here I am."

    async with open_stage(brain=slow) as stage:
        began = trio.current_time()
        await stage.talk.run([Question("hello")])

        assert trio.current_time() - began > 25
        assert stage.lines[-1] == "assistant Here I am."


async def test_a_question_that_nobody_answers_does_not_stop_the_talk(autojump_clock):
    deaf = events.ServerVad(create_response=False)
    async with open_stage(turn_detection=deaf) as stage:
        await stage.talk.run([Question("hello"), Question("goodbye")])

    assert [turn.said for turn in stage.record.turns] == ["hello", "goodbye"]
    assert stage.unanswered == ["hello", "goodbye"]


async def test_the_user_does_not_wait_for_an_answer_that_ends_early(autojump_clock):
    """Something to speak over may be over before: then it is simply the next question."""
    async with open_stage() as stage:
        await stage.talk.run([Question("count to three"), Question("what is two plus two", over=True)])

    assert stage.record.interruptions == []
    assert [turn.barge_in for turn in stage.record.turns] == [False, False]
    assert stage.lines[-1] == "assistant 2 plus 2 is 4."


async def test_an_answer_that_begins_with_a_tool_call_can_be_spoken_over(autojump_clock):
    """The call makes no sound: the user hears the answer that follows it."""
    async with open_stage() as stage:
        await stage.talk.run([Question("what is the weather in Paris"), Question("count to three", over=True)])

    assert [turn.said for turn in stage.record.turns] == ["what is the weather in Paris", "count to three"]
    (interruption,) = stage.record.interruptions
    assert 2_400 <= interruption.cut_ms <= 3_000
    assert stage.lines[-1] == "assistant One, two, three."


@pytest.mark.parametrize("seed", range(4))
async def test_any_talk_comes_out_right(autojump_clock, monkeypatch, seed):
    """Whatever is asked and whenever it is spoken over: told, cut and heard on the tape are the same."""
    chance = random.Random(seed)
    texts = (
        *("count to twenty", "what time is it", "what is the weather in Paris", "count to five"),
        'call get_weather {"city": "Rome"} call get_weather {"city": "Oslo"}',
    )
    questions = [Question(chance.choice(texts), over=index > 0 and chance.random() < 0.6) for index in range(8)]
    monkeypatch.setattr(talk_module, "_HEARD_OUT", chance.uniform(0, 5))

    async with open_stage(speed=chance.choice([1.5, 4.0, 100.0])) as stage:
        await stage.talk.run(questions)

    record = stage.record
    assert record.problems == stage.unanswered == []
    assert [turn.said for turn in record.turns] == [question.text for question in questions]
    parts = [part for interruption in record.interruptions for part in interruption.parts]
    assert all(part.cut_ms <= part.received_ms for part in parts)
    cut_short = [part for part in parts if part.cut_ms < part.received_ms]
    assert [part.cut_ms for part in cut_short] == [record.told_ms.get(part.item_id) for part in cut_short]
    cut_ms = {part.item_id: part.cut_ms for part in parts}
    heard_ms = sum(
        cut_ms.get(str(response.items[0].id), response.audio_bytes / 48)
        for response in record.responses
        if response.audio_bytes
    )
    on_tape = sum(end - begin for begin, end in sounding(bytes(stage.tape.played))) / 24
    assert abs(heard_ms - on_tape) <= 2 * (1 + len(parts))  # whole ms, and the zeros that a fade ends in


async def test_without_a_recogniser_the_screen_says_so(autojump_clock):
    async with open_stage(recogniser="none") as stage:
        await stage.talk.run(QUESTIONS[:1])

    assert stage.lines[0].startswith("user (speech, no transcript: ")
    assert "no recogniser here" in stage.lines[1]


async def test_a_tool_that_fails_is_a_line_and_a_row(autojump_clock, monkeypatch):
    from realtime_trio.tools import tool

    @tool
    async def get_weather(city: str) -> str:
        """Tell the weather."""
        raise RuntimeError(f"no barometer in {city}")

    monkeypatch.setitem(globals(), "get_weather", get_weather)
    async with open_stage() as stage:
        await stage.talk.run(QUESTIONS[1:2])

    assert stage.record.tools == [("get_weather", False)]
    assert "failed: RuntimeError('no barometer in Paris')" in stage.lines[1]
    assert any("1 x get_weather, 1 failed" in line for line in summary(stage.record, recording="x.wav", seconds=1))
