"""The guard in a session: nothing that it did not let pass is heard, shown, or kept by the server."""

import base64
import logging
import math

import pytest
import trio

from realtime_trio import ConfigurationError, Guarded, GuardFailed, Interrupted, Stop, open_session

SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}
WORDS = "Well, this is what you should never say, my friend."
LEVELS = (1000, 2000, 3000)


class Guard:
    """Lets everything pass but some words, at its own pace; notes what it was asked."""

    def __init__(self, forbidden="never", *, delay=0.0, verdict="no such words"):
        self.asked = []
        self.forbidden = forbidden
        self.delay = delay
        self.verdict = verdict
        self.running = 0
        self.gate = None

    async def __call__(self, text):
        assert not self.running, "asked twice at once"
        self.running += 1
        try:
            self.asked.append(text)
            if self.gate is not None:
                await self.gate.wait()
            await trio.sleep(self.delay)
            return self.verdict if self.forbidden in text.text else None
        finally:
            self.running -= 1


async def say(talk, response_id, words, item_id="item_a", content_index=0):
    await talk.peer.send(
        "response.output_audio_transcript.delta",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=content_index,
        delta=words,
    )


async def said(talk, response_id, words, item_id="item_a", content_index=0):
    await talk.peer.send(
        "response.output_audio_transcript.done",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=content_index,
        transcript=words,
    )


async def whole(talk, response_id, words, sound, item_id="item_a"):
    """Send a whole spoken answer: all words, all sound, done."""
    await say(talk, response_id, words, item_id)
    await talk.audio(response_id, sound, item_id)
    await talk.audio_done(response_id, item_id)
    await said(talk, response_id, words, item_id)
    await talk.done(response_id)


def levels_played(device):
    """The levels that came out of the speaker, each with how many ms of it; fades left out."""
    samples = memoryview(bytes(device.played)).cast("h")
    return {level: round(samples.tolist().count(level) / 24) for level in LEVELS if level in samples}


async def test_sound_is_held_until_its_words_passed(autojump_clock, open_voice, tone):
    """A second of thinking is a second of silence; then all of it is heard, and the session ends when it was."""
    guard = Guard(delay=1.0)
    async with open_voice(guard=guard) as talk:
        await talk.created(None, "resp_1")
        begun = trio.current_time()
        await whole(talk, "resp_1", "All is well. ", tone(2000))
        response = talk.session._engine.turns.live["resp_1"]
        await trio.sleep(0.9)

        assert levels_played(talk.device) == {}
        assert talk.session.sound().queued_ms == 2000
        assert response.status == "completed"
        assert not response.is_heard

    assert levels_played(talk.device) == {1000: 2000}
    assert response.is_heard
    assert response.first_sound_at - begun == pytest.approx(1.03, abs=0.06)
    assert response.interruption is None


async def test_a_stop_comes_before_the_words_are_audible(autojump_clock, open_voice, tone):
    """Of the sound behind the words that passed not a sample comes out; the server is told where it ended, and why."""
    guard = Guard(delay=0.1, verdict=Stop("never is a long time"))
    async with open_voice(guard=guard, drain=False) as talk:
        notices = talk.session.events(Guarded, Interrupted)
        await talk.created(None, "resp_1")
        for words, level in (("This is all well and good, ", 1000), ("but I never said so. ", 2000), ("Ah. ", 3000)):
            await say(talk, "resp_1", words)
            await talk.audio("resp_1", tone(1500, level))
            await trio.sleep(0.4)
        response = talk.session._engine.turns.live["resp_1"]
        await talk.peer.expect("response.cancel", response_id="resp_1")
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a", content_index=0)
        await talk.done("resp_1", status="cancelled")
        await response.heard()
        await talk.peer.expect_nothing(5)  # it is not owed again

        assert set(levels_played(talk.device)) == {1000}
        assert 0 < truncate["audio_end_ms"] <= 1500
        guarded, interrupted = await notices.receive(), await notices.receive()
        assert guarded == Guarded(
            "resp_1",
            "item_a",
            "never is a long time",
            "This is all well and good, but I never said so. ",
            "This is all well and good, ",
        )
        assert interrupted.interruption is response.interruption
        assert (response.interruption.reason, response.interruption.why) == ("guard", "never is a long time")
        assert response.interruption.cut_ms == truncate["audio_end_ms"]
        assert response.stopped_by == Stop("never is a long time")
        assert response.text == "This is all well and good, "
        assert "".join(response.transcript_deltas.entries) == response.text
        assert len(b"".join(response.audio_chunks.entries)) <= 1500 * 48


async def test_what_is_stopped_at_its_first_word_leaves_no_trace(autojump_clock, open_voice, tone):
    """Nothing was heard, so the server is to forget the item."""
    async with open_voice(guard=Guard(), drain=False) as talk:
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "I never do. ")
        await talk.audio("resp_1", tone(1000))
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("conversation.item.delete", item_id="item_a")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(5)

        assert levels_played(talk.device) == {}


async def test_a_slow_guard_is_asked_about_all_that_came_meanwhile(autojump_clock, open_voice, tone):
    """One question at a time; the next is about everything new; words come whole."""
    guard = Guard(delay=0.55)
    async with open_voice(guard=guard) as talk:
        await talk.created(None, "resp_1")
        for piece in ("Well", ", this", " is", " wh", "at you", " wan", "t"):
            await say(talk, "resp_1", piece)
            await trio.sleep(0.2)
        await talk.audio("resp_1", tone(1000))
        await said(talk, "resp_1", "Well, this is what you want")
        await talk.done("resp_1")

    assert [(one.text, one.new, one.complete) for one in guard.asked] == [
        ("Well, ", "Well, ", False),
        ("Well, this is ", "this is ", False),
        ("Well, this is what you ", "what you ", False),
        ("Well, this is what you want", "want", True),
    ]
    assert {(one.response_id, one.item_id, one.content_index, one.before) for one in guard.asked} == {
        ("resp_1", "item_a", 0, "")
    }
    assert levels_played(talk.device) == {1000: 1000}


async def test_words_that_passed_are_played_while_the_rest_is_judged(autojump_clock, open_voice, tone):
    """As far as they reach by the estimate, less the lead; all the time it is known what was heard."""
    guard = Guard()
    async with open_voice(guard=guard, guard_lead_ms=300, guard_timeout=60) as talk:
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "A long first sentence that passes at once. ")
        await trio.sleep(0.01)
        guard.gate = trio.Event()
        await say(talk, "resp_1", "And another one. ")
        await talk.audio("resp_1", tone(6000))
        await trio.sleep(8)
        played = levels_played(talk.device)[1000]

        assert 1500 < played < 3000  # 34 letters and their gaps at about 63 ms, less 300
        assert talk.session.sound().queued_ms == pytest.approx(6000 - played, abs=2)
        assert talk.session.conversation.get("item_a") is None

        guard.gate.set()
        await said(talk, "resp_1", "A long first sentence that passes at once. And another one. ")
        await talk.done("resp_1")

    assert levels_played(talk.device) == {1000: 6000}


@pytest.mark.parametrize("done", [False, True], ids=["while generated", "when generated"])
async def test_interrupting_what_is_held_deletes_it_and_asks_no_more(autojump_clock, open_voice, tone, done):
    """The user speaks while nothing was audible yet: nothing was heard, so the answer is owed again."""
    guard = Guard(delay=3)
    async with open_voice(guard=guard, drain=False, turn_detection="server_vad") as talk:
        asked = []
        async with trio.open_nursery() as nursery:

            async def ask():
                asked.append(await talk.session.ask("Well?"))

            nursery.start_soon(ask)
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await say(talk, "resp_1", "All is well. ")
            await talk.audio("resp_1", tone(1000))
            if done:
                await talk.done("resp_1")
            await trio.sleep(1)
            await talk.peer.send(SPEECH_STARTED)
            await talk.peer.expect("conversation.item.delete", item_id="item_a")
            assert guard.running == 0
            if not done:
                await talk.done("resp_1", status="cancelled")
            await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="item_u")
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            await talk.created(None, "resp_2")
            await whole(talk, "resp_2", "Yes. ", tone(300, 2000), "item_b")
            await talk.peer.send("conversation.item.deleted", item_id="item_a")

        assert levels_played(talk.device) == {2000: 300}
        assert asked[0].text == "Yes. "


async def test_two_parts_are_judged_and_heard_in_order(autojump_clock, open_voice, tone):
    """The second waits for the first, and the guard knows what was said before; a stop in it spares the first."""
    guard = Guard(delay=0.3)
    async with open_voice(guard=guard, drain=False) as talk:
        await talk.created(None, "resp_1")
        for item_id, words, level in (("item_a", "All well. ", 1000), ("item_b", "Say never. ", 2000)):
            await say(talk, "resp_1", words, item_id)
            await talk.audio("resp_1", tone(1000, level), item_id)
            await talk.audio_done("resp_1", item_id)
            await said(talk, "resp_1", words, item_id)
        await talk.done("resp_1")
        await talk.peer.expect("conversation.item.delete", item_id="item_b")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await trio.sleep(2)

        assert set(levels_played(talk.device)) == {1000}
        assert [(one.item_id, one.text, one.before) for one in guard.asked] == [
            ("item_a", "All well. ", ""),
            ("item_b", "Say never. ", "All well. "),
        ]


async def test_a_later_response_waits_for_one_that_is_judged(autojump_clock, open_voice, tone):
    """And is judged behind it."""
    guard = Guard(delay=1)
    async with open_voice(guard=guard) as talk:
        for number, level in ((1, 1000), (2, 2000)):
            await talk.created(None, f"resp_{number}")
            await whole(talk, f"resp_{number}", f"Number {number}. ", tone(500, level), f"item_{number}")

    assert [one.text for one in guard.asked] == ["Number 1. ", "Number 2. "]
    samples = memoryview(bytes(talk.device.played)).cast("h").tolist()
    assert samples.index(2000) > samples.index(1000)
    assert levels_played(talk.device) == {1000: 500, 2000: 500}


async def test_a_pause_in_doubt_and_a_guard_go_together(autojump_clock, open_voice, tone):
    """What passes during the pause is not heard before its end; what is stopped during it ends the doubt."""
    for forbidden, expected in (("nothing", {1000: 2000}), ("Second", {1000: 500})):
        guard = Guard(forbidden)
        async with open_voice(guard=guard, guard_lead_ms=0, interruption="confirm", drain=False) as talk:
            await talk.created(None, "resp_1")
            await say(talk, "resp_1", "First things first. ")
            await talk.audio("resp_1", tone(2000))
            await trio.sleep(0.5)
            await talk.peer.send(SPEECH_STARTED)
            await trio.sleep(0.1)
            paused = levels_played(talk.device)[1000]
            await say(talk, "resp_1", "Second things second. ")
            await trio.sleep(0.1)

            assert levels_played(talk.device)[1000] == paused
            if forbidden == "Second":
                await talk.peer.expect("response.cancel")
                truncate = await talk.peer.expect("conversation.item.truncate")
                assert truncate["audio_end_ms"] == pytest.approx(paused, abs=12)  # the fade was not counted
                assert not talk.session.sound().paused
                continue
            await said(talk, "resp_1", "First things first. Second things second. ")
            await talk.done("resp_1")
            await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=150, item_id="item_u")
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            await trio.sleep(5)
            assert sum(levels_played(talk.device).values()) == pytest.approx(expected[1000], abs=12)


async def test_a_guard_that_raises_stops_the_response(autojump_clock, open_voice, tone, caplog):
    """It fails closed, says so with the exception, and the words are in no log."""

    async def guard(text):
        raise LookupError("no list of words")

    async with open_voice(guard=guard, drain=False) as talk:
        talk.peer.ignored.add("response.cancel")
        notices = talk.session.events(GuardFailed, Interrupted)
        with caplog.at_level(logging.DEBUG, "realtime_trio"):
            await talk.created(None, "resp_1")
            await whole(talk, "resp_1", "The secret is out. ", tone(1000))
            await talk.peer.expect("conversation.item.delete", item_id="item_a")
        failed, interrupted = await notices.receive(), await notices.receive()

        assert (failed.response_id, failed.item_id) == ("resp_1", "item_a")
        assert isinstance(failed.exception, LookupError)
        assert (interrupted.interruption.reason, interrupted.interruption.why) == ("guard", "guard failed")
        assert levels_played(talk.device) == {}
        assert "LookupError: no list of words" in caplog.text
        assert "secret" not in caplog.text


async def test_a_guard_that_raises_can_end_the_session(autojump_clock, open_voice, tone):
    """With tool_errors="raise" its exception comes out plain."""
    mistake = LookupError("no list of words")

    async def guard(text):
        raise mistake

    with pytest.raises((LookupError, ExceptionGroup)) as caught:  # the fixture's nursery wraps it
        async with open_voice(guard=guard, tool_errors="raise") as talk:
            await talk.created(None, "resp_1")
            await whole(talk, "resp_1", "Well. ", tone(1000))
            await trio.sleep(1)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert error is mistake


async def test_a_guard_that_hangs_is_not_waited_for_without_end(autojump_clock, open_voice, tone):
    """After guard_timeout the response is stopped, and that is said."""
    async with open_voice(guard=Guard(delay=math.inf), guard_timeout=2, drain=False) as talk:
        failures = talk.session.events(GuardFailed)
        await talk.created(None, "resp_1")
        begun = trio.current_time()
        await whole(talk, "resp_1", "Well. ", tone(1000))
        await talk.peer.expect("conversation.item.delete", item_id="item_a")

        assert trio.current_time() - begun == pytest.approx(2, abs=0.1)
        failure = (await failures.receive()).exception
        assert isinstance(failure, trio.TooSlowError)
        assert "2 s (guard_timeout)" in str(failure)


@pytest.mark.parametrize("answer", ["", "  ", False, 7, Stop])
async def test_an_answer_that_is_none_stops_too(autojump_clock, open_voice, tone, answer):
    """What a guard meant cannot be guessed."""

    async def guard(text):
        return answer

    async with open_voice(guard=guard, drain=False) as talk:
        talk.peer.ignored.add("response.cancel")
        failures = talk.session.events(GuardFailed)
        await talk.created(None, "resp_1")
        await whole(talk, "resp_1", "Well. ", tone(1000))
        await talk.peer.expect("conversation.item.delete", item_id="item_a")

        assert "a guard " in str((await failures.receive()).exception)


async def test_something_else_is_said_instead(autojump_clock, open_voice, tone):
    """The replacement is asked for when the stopped response is over, is guarded as well, and is not replaced again."""
    guard = Guard("never", verdict=Stop("rude", instead="I cannot talk about that."))
    async with open_voice(guard=guard, drain=False) as talk:
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "You never. ")
        await talk.audio("resp_1", tone(1000))
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("conversation.item.delete", item_id="item_a")
        await talk.peer.expect_nothing(1)
        await talk.done("resp_1", status="cancelled")
        request = await talk.peer.expect("response.create")
        assert "I cannot talk about that." in request["response"]["instructions"]
        assert request["response"]["tool_choice"] == "none"
        await talk.created(request, "resp_2")
        await whole(talk, "resp_2", "I never talk about that. ", tone(500, 2000), "item_b")
        await talk.peer.expect("response.cancel", response_id="resp_2")
        await talk.peer.expect("conversation.item.delete", item_id="item_b")
        await talk.peer.expect_nothing(5)

        assert levels_played(talk.device) == {}


async def test_what_is_said_instead_is_dropped_when_the_talk_goes_on(autojump_clock, open_voice, tone):
    """The user spoke, and was answered: nobody wants the line any more."""
    guard = Guard("never", verdict=Stop("rude", instead="I cannot talk about that."))
    async with open_voice(guard=guard, drain=False, turn_detection="server_vad") as talk:
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "You never. ")
        await talk.audio("resp_1", tone(1000))
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("conversation.item.delete", item_id="item_a")
        await talk.peer.send(SPEECH_STARTED)
        await talk.done("resp_1", status="cancelled")
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_2")
        await whole(talk, "resp_2", "Yes. ", tone(500, 2000), "item_b")
        await talk.peer.expect_nothing(5)

        assert levels_played(talk.device) == {2000: 500}


async def test_written_text_is_shown_when_it_passed(autojump_clock, open_talk):
    """Whole words at a time; the answer is there when all of it passed, not before."""
    guard = Guard(delay=1)
    async with open_talk(guard=guard) as talk, trio.open_nursery() as nursery:
        replies = []

        async def ask():
            replies.append((await talk.session.ask("Well?"), trio.current_time()))

        nursery.start_soon(ask)
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        begun = trio.current_time()
        await talk.text("resp_1", "All is well and good.")
        response = talk.session._engine.turns.live["resp_1"]
        await trio.sleep(0.5)
        assert response.text == ""
        assert response.status == "completed"
        pieces = [piece async for piece in response.text_deltas]
        await trio.sleep(1)

    (reply, at) = replies[0]
    assert "".join(pieces) == reply.text == "All is well and good."
    assert reply.status == "completed"
    assert at - begun == pytest.approx(len(guard.asked), abs=0.1)


async def test_written_text_that_is_stopped_is_not_shown(autojump_clock, open_talk):
    """Also when it was generated long before the guard said so; `ask` returns what passed, and says why."""
    guard = Guard(delay=0.5)
    async with open_talk(guard=guard) as talk, trio.open_nursery() as nursery:
        replies = []

        async def ask():
            replies.append(await talk.session.ask("Well?"))

        nursery.start_soon(ask)
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        await talk.peer.send(
            "response.output_text.delta", response_id="resp_1", item_id="item_a", output_index=0, content_index=0,
            delta="All well. ",
        )  # fmt: skip
        await trio.sleep(0.1)
        await talk.peer.send(
            "response.output_text.delta", response_id="resp_1", item_id="item_a", output_index=0, content_index=0,
            delta="You never do.",
        )  # fmt: skip
        await talk.done("resp_1")
        await talk.peer.expect_nothing(5)

    reply = replies[0]
    assert reply.text == "All well. "
    assert reply.status == "cancelled", "although its generation was completed"
    assert (reply.interruption.reason, reply.interruption.why) == ("guard", "no such words")
    assert reply.responses[0].stopped_by == Stop("no such words")


async def test_what_is_stopped_after_its_generation_was_not_completed(autojump_clock, open_voice, tone):
    """A guard may be slower than the model: whoever looks at the status is not told that all was said."""
    guard = Guard(delay=2)
    async with open_voice(guard=guard, drain=False) as talk, trio.open_nursery() as nursery:
        utterances = []

        async def say():
            utterances.append(await talk.session.say("You never do."))

        nursery.start_soon(say)
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1")
        await talk.peer.send(
            "response.output_audio_transcript.delta", response_id="resp_1", item_id="item_a", output_index=0,
            content_index=0, delta="You never do.",
        )  # fmt: skip
        await talk.audio("resp_1", tone(1000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        talk.peer.ignored |= {"conversation.item.delete", "conversation.item.truncate"}
        await talk.peer.expect_nothing(5)

    assert utterances[0].status == "cancelled"
    assert utterances[0].response.stopped_by == Stop("no such words")


async def test_without_a_device_sound_is_given_when_it_passed(autojump_clock, open_talk, tone):
    """In pieces, in order, whole samples; what is stopped is never given."""
    guard = Guard(delay=0.2)
    async with open_talk(guard=guard, modality="audio", guard_lead_ms=0) as talk:
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "All is well and good so far, ")
        await talk.audio("resp_1", tone(2500, 1000))
        response = talk.session._engine.turns.live["resp_1"]
        await trio.sleep(0.1)
        assert response.audio_chunks.entries == ()
        assert response.audio_bytes == 2500 * 48
        await trio.sleep(0.2)
        given = b"".join(response.audio_chunks.entries)
        assert 1000 * 48 < len(given) <= 2500 * 48
        assert len(given) % 2 == 0
        await say(talk, "resp_1", "but never more. ")
        await talk.audio("resp_1", tone(3000, 2000))
        await talk.peer.expect("response.cancel", response_id="resp_1")
        chunks = [chunk async for chunk in response.audio_chunks]
        assert 2000 not in memoryview(b"".join(chunks)).cast("h").tolist()
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(1)  # what of it was heard only the program knows

        await talk.created(None, "resp_2")
        await whole(talk, "resp_2", "Fine. ", tone(1000, 3000), "item_b")
        second = talk.session._engine.turns.live["resp_2"]
        await second.heard()
        assert b"".join(second.audio_chunks.entries) == base64.b64decode(tone(1000, 3000))


async def test_calls_and_what_is_beside_the_conversation_are_not_guarded(autojump_clock, open_talk, as_function_call):
    """They make no words that anybody hears."""
    guard = Guard()
    async with open_talk(guard=guard) as talk:
        await talk.created(None, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "nothing", "{}"))
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_2", conversation_id=None)
        await talk.text("resp_2", "I never do.")

    assert guard.asked == []


async def test_a_response_without_words_is_judged_by_its_silence(autojump_clock, open_voice, tone):
    """Sound whose transcript never came waits for the end; then the guard is asked about nothing."""
    guard = Guard()
    async with open_voice(guard=guard) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(1000))
        await trio.sleep(3)
        assert levels_played(talk.device) == {}
        await talk.done("resp_1")

    assert [(one.text, one.complete) for one in guard.asked] == [("", True)]
    assert levels_played(talk.device) == {1000: 1000}


async def test_a_lost_response_does_not_keep_the_session(autojump_clock, open_voice, tone):
    """Its end never comes: after 30 s of silence what is left of it is judged as it is, and the session ends."""
    async with open_voice(guard=Guard()) as talk:
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "Well, ")
        await talk.audio("resp_1", tone(1000))

    assert levels_played(talk.device) == {1000: 1000}


async def test_words_that_come_behind_the_end_are_judged_too(autojump_clock, open_voice, tone):
    """A server that mixes up its order gets nothing past the guard, and keeps nobody waiting."""
    guard = Guard()
    async with open_voice(guard=guard) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(1000))
        guard.gate = trio.Event()
        await talk.done("resp_1")
        await trio.sleep(0.1)
        await say(talk, "resp_1", "Well and good. ")
        guard.gate.set()
        await trio.sleep(2)
        await say(talk, "resp_1", "And more. ")

    assert [one.text for one in guard.asked] == ["", "Well and good. "]
    assert levels_played(talk.device) == {1000: 1000}


async def test_a_guard_that_fails_about_what_was_interrupted_says_so_too(autojump_clock, open_voice, tone, caplog):
    """Nobody's exception is lost."""

    async def guard(text):
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("while it was cleaning up")

    async with open_voice(guard=guard, drain=False) as talk:
        failures = talk.session.events(GuardFailed)
        await talk.created(None, "resp_1")
        await say(talk, "resp_1", "Well. ")
        await talk.audio("resp_1", tone(1000))
        await trio.sleep(0.1)
        talk.session.interrupt()

        assert isinstance((await failures.receive()).exception, LookupError)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect("conversation.item.delete", item_id="item_a")
        await talk.peer.expect_nothing(1)


async def test_the_latency_tells_what_the_guard_took(autojump_clock, open_voice, tone):
    """Its part is counted by itself, and the parts still add up."""
    async with open_voice(guard=Guard(delay=0.4)) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.ask, "Well?")
        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        responses = talk.session.responses()
        await talk.created(request, "resp_1")
        response = await responses.receive()
        await talk.audio("resp_1", tone(500))
        await trio.sleep(0.1)
        await whole(talk, "resp_1", "Well, here we are. ", tone(500))
        await response.heard()

    latency = response.latency
    assert latency.guard_ms == pytest.approx(500, abs=5)
    assert latency.buffer_ms < 80
    parts = (latency.turn_detection_ms, latency.server_ms, latency.network_ms, latency.guard_ms, latency.buffer_ms)
    assert sum(parts) == latency.total_ms


@pytest.mark.parametrize(
    "wrong",
    [{"guard": 7}, {"guard": lambda: None, "guard_lead_ms": -1}, {"guard_lead_ms": "much"}, {"guard_timeout": 0}],
)
async def test_what_is_no_guard_is_refused_at_the_border(wrong):
    with pytest.raises(ConfigurationError, match="guard"):
        async with open_session(url="ws://localhost:1", **wrong):
            pass


async def test_a_plain_function_is_no_guard():
    def guard(text):
        return None

    with pytest.raises(ConfigurationError, match="async def guard"):
        async with open_session(url="ws://localhost:1", guard=guard):
            pass


async def test_a_guard_that_does_not_heed_its_timeout_is_not_waited_for(autojump_clock, open_talk):
    """It waits for a thread, or shields itself: what it says too late lets nothing pass."""

    async def guard(text):
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    async with open_talk(guard=guard, guard_timeout=2) as talk, talk.session.events(GuardFailed) as failures:
        start = trio.current_time()
        await talk.created(None, "resp_1")
        place = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
        await talk.peer.send("response.output_text.delta", **place, delta="Hello there. ")
        failure = await failures.receive()
        assert "2 s (guard_timeout)" in str(failure.exception)
        assert trio.current_time() - start == pytest.approx(2, abs=0.1)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.done("resp_1", status="cancelled")
        async with talk.session.responses() as responses:
            await talk.created(None, "resp_2")
            response = await responses.receive()
            await trio.sleep(60)
            assert response.text == ""


async def test_words_that_change_while_they_are_judged_are_judged_again(autojump_clock, open_talk):
    """The server's last word on a part differs from its deltas: what the guard was not asked about does not pass."""
    guard = Guard("evil", delay=0.5)
    async with open_talk(guard=guard) as talk, trio.open_nursery() as nursery:
        replies = []

        async def ask():
            replies.append(await talk.session.ask("Hi."))

        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        place = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
        await talk.peer.send("response.output_text.delta", **place, delta="Hello good ")
        await trio.sleep(0.1)
        await talk.peer.send("response.output_text.done", **place, text="Hello evil ")
        await talk.done("resp_1")
    assert [asked.text for asked in guard.asked] == ["Hello good ", "Hello evil "]
    assert "evil" not in replies[0].text
