"""The simulated talker against the offline server, in virtual time: when it speaks, and what it says was heard."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from realtime_trio import ConfigurationError, ConnectionClosed, DeviceUnavailable, open_server, open_session, tool
from realtime_trio.events import ServerVad
from realtime_trio.server import Misbehaviour
from realtime_trio.server.espeak import why_no_espeak
from realtime_trio.testing import (
    Cut,
    FakeDevice,
    Line,
    Silence,
    Talk,
    Turn,
    open_faulty_proxy,
    open_scripted_peer,
    open_talker,
)

BLOCK = 0.02


@tool
async def get_weather(city: str) -> dict[str, float]:
    """Tell the weather, which takes a while."""
    await trio.sleep(3)
    return {"celsius": 21.5}


@asynccontextmanager
async def rehearsal(*, device=None, server_options=None, **options):
    """A talker and a session with the offline server."""
    async with (
        open_talker(device=device) as talker,
        open_server(listen=False, recogniser=talker.recogniser, **(server_options or {})) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            audio=talker.device,
            **{"turn_detection": "server_vad", "transcription": "whisper-1", **options},
        ) as session,
    ):
        yield talker, session, server


async def test_it_hears_the_answers_one_by_one(autojump_clock):
    async with rehearsal() as (talker, session, _):
        talk = await talker.talk(session, ["what is two plus two", "How are you?"])

    assert talk.said == ("what is two plus two", "How are you?")
    assert talk.heard == ("2 plus 2 is 4.", "I am well, thank you: rules do not get tired.")
    assert [turn.who for turn in talk.turns] == ["user", "assistant", "user", "assistant"]
    question, answer, second, _ = talk.turns
    assert 0.5 == pytest.approx(question.began, abs=BLOCK)
    assert 0.4 < answer.began - question.ended < 0.6, "turn detection waits for half a second of silence"
    assert 0.5 == pytest.approx(second.began - answer.ended, abs=2 * BLOCK)


async def test_a_line_alone_is_a_script(autojump_clock):
    async with rehearsal() as (talker, session, _):
        assert (await talker.talk(session, "what is two plus two")).said == ("what is two plus two",)


def test_the_same_talk_is_the_same_to_the_millisecond():
    async def main():
        async with rehearsal(interruption="confirm") as (talker, session, _):
            script = ["count to twenty", Line("uh-huh", over=1, mumbled=True), Line("stop", at_word="six")]
            return await talker.talk(session, script)

    talks = [trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) for _ in range(5)]

    assert talks[1:] == talks[:1] * 4
    assert len(talks[0].turns) == 5


async def test_a_barge_in_after_a_time(autojump_clock):
    async with rehearsal() as (talker, session, _):
        talk = await talker.talk(session, ["count to twenty", Line("what is two plus two", over=0.8)])

    _, counting, barge_in, answer = talk.turns
    assert 0.8 == pytest.approx(barge_in.began - counting.began, abs=2 * BLOCK)
    assert counting.cut
    assert not answer.cut
    assert 0.8 < counting.ended - counting.began < 1.5, "turn detection notices speech after 120 ms"
    assert counting.text.startswith("One")
    assert "six" not in counting.text
    assert answer.text == "2 plus 2 is 4."


async def test_a_barge_in_at_a_word(autojump_clock):
    """The truth of when the word is spoken is the server's."""
    async with rehearsal() as (talker, session, server):
        talk = await talker.talk(session, ["count to twenty", Line("stop", at_word="Seven")])
        (counted,) = [item for item in session.conversation if "twenty" in item.generated_text and item.heard_ms]
        (spoken,) = [word.start / 24_000 for word in server.spoken_words(counted.id) if "seven," in word.text.lower()]

    _, counting, stop, _ = talk.turns
    assert spoken == pytest.approx(stop.began - counting.began, abs=0.7)
    assert counting.text.split()[:7] == ["One,", "two,", "three,", "four,", "five,", "six,", "seven,"]
    assert len(counting.text.split()) < 10


async def test_a_mumble_is_a_backchannel(autojump_clock):
    """Short enough for the session not to be sure, and no question."""
    async with rehearsal(interruption="confirm") as (talker, session, _):
        script = ["count to ten", Line("uh-huh", over=1, mumbled=True), "what is two plus two"]
        talk = await talker.talk(session, script)

    assert talk.said == ("count to ten", "uh-huh", "what is two plus two")
    assert len(talk.heard) == 2
    assert talk.heard[0].endswith("ten.")
    assert [turn.cut for turn in talk.turns] == [False] * 5


async def test_what_is_said_over_an_answer_that_goes_on_is_answered_after_it(autojump_clock):
    async with rehearsal(interruption="never") as (talker, session, _):
        script = ["count to ten", Line("what is two plus two", over=1), "what is three plus three"]
        talk = await talker.talk(session, script)

    assert [words.split()[-1] for words in talk.heard] == ["ten.", "4.", "6."]
    assert [turn.who[0] for turn in talk.turns] == ["u", "a", "u", "a", "u", "a"]


async def test_silences_and_moments(autojump_clock):
    async with rehearsal() as (talker, session, _):
        began = trio.current_time()
        talk = await talker.talk(
            session,
            ["hello", Line("how are you", after=3), Silence(20), Line("what is two plus two", at=60), Silence(5)],
        )
        took = trio.current_time() - began

    hello, answer, how, _, question, last = talk.turns
    assert hello.text == "hello"
    assert how.began - answer.ended == pytest.approx(3, abs=2 * BLOCK)
    assert question.began == pytest.approx(60, abs=BLOCK)
    assert last.text == "2 plus 2 is 4."
    assert took == pytest.approx(question.ended + 5, abs=0.1)


async def test_a_silence_is_counted_from_the_line_before(autojump_clock):
    async with rehearsal(turn_detection=ServerVad(idle_timeout_ms=5000)) as (talker, session, _):
        talk = await talker.talk(session, ["hello", Silence(12)])

    assert len(talk.heard) == 2, "the server asks again when nobody says anything for five seconds"


@pytest.mark.parametrize(("detection", "turns"), [("server_vad", 2), ("semantic_vad", 1)])
async def test_an_ellipsis_is_a_pause(autojump_clock, detection, turns):
    """Silence alone ends a turn in the middle; by the words it goes on. Either way the talk ends with the answer."""
    async with rehearsal(turn_detection=detection) as (talker, session, _):
        talk = await talker.talk(session, ["what is ... two plus two"])
        transcripts = [item.transcript for item in session.conversation if item.role == "user"]

    assert len(transcripts) == turns
    assert " ".join(transcripts) == "what is two plus two"
    assert talk.turns[0].text == "what is ... two plus two"
    assert talk.turns[-1].began > talk.turns[0].ended
    assert talk.heard[-1] if turns == 2 else talk.heard == ("2 plus 2 is 4.",)


async def test_an_answer_that_fell_into_a_pause_and_was_cut_is_none(autojump_clock):
    async with rehearsal() as (talker, session, _):
        talk = await talker.talk(session, [Line("hello ... what is two plus two", pause=1.5)])

    assert [turn.cut for turn in talk.turns] == [False, True, False]
    assert talk.heard[-1] == "2 plus 2 is 4."


async def test_the_words_before_a_pause_are_not_taken_for_the_whole(autojump_clock):
    """They are a sentence that a server would answer, did it not hear that more follows."""
    async with rehearsal(turn_detection="semantic_vad") as (talker, session, _):
        talk = await talker.talk(session, [Line("count to twenty ... no what is two plus two", pause=1.2)])

    assert len(talk.turns) == 2


async def test_an_answer_that_stops_itself_is_one(autojump_clock):
    async def interrupt(session):
        await trio.sleep(4)
        session.interrupt()

    async with rehearsal() as (talker, session, _), trio.open_nursery() as nursery:
        nursery.start_soon(interrupt, session)
        talk = await talker.talk(session, ["count to twenty", Silence(5)])

    assert talk.turns[1].cut


async def test_silence_is_not_speech_whatever_the_session_says(autojump_clock):
    async def hum(_request):
        yield bytes(48_000 * 5)

    async with rehearsal(server_options={"brain": hum}) as (talker, session, _):
        with pytest.raises(AssertionError, match="have spoken for 1 s"):
            await talker.talk(session, ["hello", Line("stop", over=1)])


async def test_the_next_line_waits_for_a_slow_tool(autojump_clock):
    async with rehearsal(tools=[get_weather]) as (talker, session, _):
        talk = await talker.talk(session, ["what is the weather in Lima", "thank you"])

    assert "21.5" in talk.heard[0]
    assert talk.turns[1].began - talk.turns[0].ended > 3
    assert talk.heard[1] == "You are welcome."


async def test_it_presses_the_key(autojump_clock):
    """Which interrupts at once, before a word of it could be heard."""
    async with rehearsal(turn_detection=None) as (talker, session, _):
        script = ["count to twenty", Line("what is two plus two", over=2)]
        talk = await talker.talk(session, script, push_to_talk=True)

    _, counting, barge_in, answer = talk.turns
    assert counting.cut
    assert counting.ended == pytest.approx(barge_in.began, abs=2 * BLOCK)
    assert answer.text == "2 plus 2 is 4."
    assert answer.began - barge_in.ended < 0.3, "nothing has to be detected"


async def test_what_it_says_by_hand_is_understood_too(autojump_clock):
    async with rehearsal() as (talker, session, _), session.responses() as responses:
        await (await talker.say("what is two plus two")).captured()
        response = await responses.receive()
        await response.heard()

    assert response.text == "2 plus 2 is 4."


async def test_a_line_that_nobody_answers(autojump_clock):
    async with rehearsal(turn_detection=ServerVad(create_response=False)) as (talker, session, _):
        with pytest.raises(AssertionError, match=r"^nobody answered 'hello' within 7 s$"):
            await talker.talk(session, ["hello"], patience=7)
        await talker.talk(session, [Line("hello", answered=False), Line("hello again", answered=False)])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (Line("stop", at_word="a hundred"), "'stop' waits for the assistant to say 'a hundred', but all it said was"),
        (Line("stop", over=30), "'stop' waits for the assistant to have spoken for 30 s, but all it said was"),
    ],
)
async def test_a_moment_that_does_not_come(autojump_clock, line, words):
    async with rehearsal() as (talker, session, _):
        with pytest.raises(AssertionError) as caught:
            await talker.talk(session, ["what is two plus two", line])

    assert str(caught.value) == f"{words} '2 plus 2 is 4.'"


async def test_a_lost_link_is_told_by_the_session(autojump_clock):
    async def script(peer):
        peer.answer_updates()
        peer.ignored.add("input_audio_buffer.append")
        await peer.greet(update=False)
        await trio.sleep(2)
        await peer.close(4000, "enough")

    async with open_talker() as talker, open_scripted_peer(script) as peer:
        with pytest.raises(ConnectionClosed, match="enough"):
            async with open_session(connect=peer.connect, url=peer.url, audio=talker.device) as session:
                await talker.talk(session, ["hello"])


@pytest.mark.parametrize("seconds", [1.0, 2.5], ids=["in the question", "in the answer"])
async def test_a_talk_goes_on_over_a_link_that_was_lost(autojump_clock, seconds):
    async def cut(proxy):
        await trio.sleep(seconds)
        proxy.strike(Cut())

    async with (
        open_talker() as talker,
        open_server(listen=False, recogniser=talker.recogniser) as server,
        open_faulty_proxy(server) as proxy,
        open_session(connect=proxy.connect, url=proxy.url, audio=talker.device, turn_detection="server_vad") as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(cut, proxy)
        talk = await talker.talk(session, ["what is two plus two", "what is three plus three"])

    assert len(proxy.connections) == 2
    assert talk.said == ("what is two plus two", "what is three plus three")
    assert len(talk.heard) == 2
    assert talk.heard[1] == "3 plus 3 is 6."


async def test_a_device_that_breaks_is_told_by_the_session(autojump_clock):
    async def pull_the_plug(device):
        await trio.sleep(4)
        device.fail(DeviceUnavailable("unplugged"))

    async with trio.open_nursery() as nursery:
        with pytest.raises(DeviceUnavailable, match="unplugged"):
            async with rehearsal() as (talker, session, _):
                nursery.start_soon(pull_the_plug, talker.device)
                await talker.talk(session, ["count to twenty", Line("stop", over=60)])


async def test_a_device_of_ones_own(autojump_clock):
    """It is heard when it left the speaker, not when it was handed over."""
    async with rehearsal(device=FakeDevice(output_latency_ms=300)) as (talker, session, _):
        talk = await talker.talk(session, ["what is two plus two"])
        response_ended = talk.turns[1].ended

    assert talker.device.openings == 1
    assert response_ended - talk.turns[1].began == pytest.approx(1.7, abs=0.4)
    assert talk.turns[1].began - talk.turns[0].ended > 0.7


async def test_a_server_that_is_late_is_waited_for(autojump_clock):
    async with rehearsal(server_options={"misbehaviour": Misbehaviour(transcript_after_answer=True)}) as (
        talker,
        session,
        _,
    ):
        assert (await talker.talk(session, ["what is two plus two"])).heard == ("2 plus 2 is 4.",)


async def test_under_the_real_clock_it_has_the_best_voice():
    async with open_talker() as talker:
        assert ("espeak" in talker.description) == (why_no_espeak() is None)


@pytest.mark.slow
async def test_under_the_real_clock_it_talks_over_a_socket():
    with trio.fail_after(60):
        async with (
            open_talker() as talker,
            open_server(recogniser=talker.recogniser) as server,
            open_session(url=server.url, audio=talker.device, turn_detection="server_vad") as session,
        ):
            assert (await talker.talk(session, "what is two plus two")).heard == ("2 plus 2 is 4.",)


async def test_under_a_mock_clock_no_process_is_started(autojump_clock):
    async with open_talker() as talker:
        assert "babble" in talker.description


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Line("..."), "to say nothing is Silence"),
        (lambda: Line("stop", over=1, at_word="five"), "one moment, not by over and at_word"),
        (lambda: Line("stop", at_word="!"), "there is no word in it"),
        (lambda: Line("stop", after=-1), "after=-1: it is a number of seconds"),
        (lambda: Silence(float("inf")), "seconds=inf"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_talk_can_be_read():
    talk = Talk((Turn("user", "count", 0.5, 1.25), Turn("assistant", "One, two,", 11.8, 13, cut=True)))

    assert str(talk) == "   0.5 s  user       count\n  11.8 s  assistant  One, two, //"


async def test_a_session_with_another_device_is_told_at_once(autojump_clock):
    async with (
        open_talker() as talker,
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url) as session,
    ):
        with pytest.raises(ConfigurationError, match=r"audio=talker\.device"):
            await talker.talk(session, ["hello"])
