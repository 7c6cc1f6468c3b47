"""What the program wants to be said: lines, greetings, texts that interrupt, and what is generated beside the talk."""

import pytest
import trio

from realtime_trio import (
    ConfigurationError,
    Difference,
    Interrupted,
    LocalProtocolError,
    ReplyLost,
    ServerError,
    events,
)


async def say(talk, nursery, *args, **options):
    """Start saying, and give what will become of it."""
    results = []

    async def run():
        results.append(await talk.session.say(*args, **options))

    nursery.start_soon(run)
    return results


async def answer_aloud(talk, request, sound, words, item_id="item_a"):
    """The assistant speaks these words, with this sound."""
    response_id = item_id.replace("item", "resp")
    await talk.created(request, response_id)
    item = {"type": "message", "role": "assistant", "id": item_id, "status": "in_progress", "content": []}
    await talk.peer.send("conversation.item.added", item=item, previous_item_id=None)
    await talk.peer.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
    await talk.peer.send(
        "response.output_audio_transcript.delta",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=0,
        delta=words,
    )
    await talk.audio(response_id, sound, item_id)
    await talk.audio_done(response_id, item_id)
    content = [{"type": "output_audio", "transcript": words}]
    await talk.done(response_id, {**item, "status": "completed", "content": content})


async def test_a_line_is_asked_for_without_tools_and_compared(autojump_clock, open_voice, tone):
    """The model is told the words, may call nothing, and what it said instead is reported when it was heard."""
    async with open_voice(instructions="Be a pirate.") as talk, trio.open_nursery() as nursery:
        start = trio.current_time()
        results = await say(talk, nursery, "Your table is ready.")
        request = await talk.peer.expect("response.create")
        assert request["response"]["tools"] == []
        assert request["response"]["tool_choice"] == "none"
        assert '"""\nYour table is ready.\n"""' in request["response"]["instructions"]
        await answer_aloud(talk, request, tone(2000), "Arr, your table be ready.")
    (utterance,) = results
    assert trio.current_time() - start >= 2
    assert utterance.asked == "Your table is ready."
    assert utterance.said == utterance.heard == "Arr, your table be ready."
    assert utterance.differences == (Difference("", "Arr"), Difference("is", "be"))
    assert not utterance.exact
    assert utterance.status == "completed"
    assert utterance.response.id == "resp_a"


async def test_a_line_waits_for_its_turn(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await trio.sleep(0.01)
        results = await say(talk, nursery, "Later.")
        await talk.peer.expect_nothing(5)
        await talk.text("resp_1", "I am done")
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Later.")
    assert results[0].exact


async def test_a_line_that_interrupts_comes_after_the_server_knows_what_was_heard(
    autojump_clock, open_voice, tone, played_ms
):
    """Sound first, then cancel and truncate, then the new response: in that order on the wire."""
    async with open_voice() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(5000))
        await trio.sleep(1.01)
        results = await say(talk, nursery, "Stop, there is a fire!", when="interrupt")
        await talk.peer.expect("response.cancel")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        request = await talk.peer.expect("response.create")
        await answer_aloud(talk, request, tone(500), "Stop, there is a fire!", "item_b")
    assert results[0].exact
    assert 1000 <= played_ms(talk.device) <= 1000 + 500 + 100


async def test_a_silent_line_is_only_written_down(autojump_clock, open_talk):
    """It stands in the conversation as the assistant's words, and what is being said goes on."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await trio.sleep(0.01)
        results = await say(talk, nursery, "I have noted it.", when="now_silently")
        item = await talk.acknowledge()
        assert item["role"] == "assistant"
        assert item["content"] == [{"type": "output_text", "text": "I have noted it."}]
        await talk.text("resp_1", "as I said")
        await talk.peer.expect_nothing(5)
    assert results[0].status == "silent"
    assert results[0].said == ""
    assert results[0].response is None


async def test_an_interrupted_line_tells_what_was_heard(autojump_clock, open_voice, tone):
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:
        results = await say(talk, nursery, "one two three four five six seven eight nine ten")
        request = await talk.peer.expect("response.create")
        words = "one two three four five six seven eight nine ten"
        nursery.start_soon(answer_aloud, talk, request, tone(4000), words)
        await trio.sleep(2)
        await talk.session.interrupt()
        await trio.sleep(0.1)
        (utterance,) = results
        assert utterance.said == words
        assert utterance.exact
        assert utterance.heard
        assert words.startswith(utterance.heard)
        assert len(utterance.heard) < len(words)


async def test_a_cancelled_line_is_not_said(autojump_clock, open_talk):
    """Unsent it is forgotten; sent it is cancelled."""
    async with open_talk() as talk:
        async with trio.open_nursery() as nursery:
            await say(talk, nursery, "Never mind.")
            request = await talk.peer.expect("response.create")
            nursery.cancel_scope.cancel()
        await talk.created(request, "resp_a")
        await talk.peer.expect("response.cancel", response_id="resp_a")
        await talk.done("resp_a", status="cancelled")
        await talk.created(None, "resp_2")
        await trio.sleep(0.01)
        with trio.move_on_after(1):
            await talk.session.say("Never sent.")
        await talk.done("resp_2")
        await talk.peer.expect_nothing(5)


async def test_a_moment_or_policy_that_does_not_exist_is_refused(autojump_clock, open_talk):
    async with open_talk() as talk:
        with pytest.raises(ConfigurationError, match="when is 'queue', 'interrupt', 'now_silently', not 'soon'"):
            await talk.session.say("x", when="soon")
        with pytest.raises(ConfigurationError, match="when is 'queue', 'interrupt', not 'now_silently'"):
            await talk.session.ask("x", when="now_silently")
        with pytest.raises(ConfigurationError, match="interruption is"):
            await talk.session.say("x", interruption="maybe")
        with pytest.raises(ConfigurationError, match="interruption is"):
            await talk.session.respond(interruption=False)
        await talk.peer.expect_nothing(1)


async def test_a_text_may_interrupt(autojump_clock, open_voice, tone):
    """Cut, told, and only then the user's words and the request for an answer."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(5000))
        await trio.sleep(1.01)
        nursery.start_soon(lambda: talk.session.send_text("Wait.", when="interrupt"))
        await talk.peer.expect("response.cancel")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect("conversation.item.truncate")
        await talk.acknowledge(item={"role": "user"})
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")


async def test_the_assistant_speaks_first(autojump_clock, open_talk):
    """The greeting is asked for at once, in the manner of the session, and appears like every response."""
    async with open_talk(instructions="Be brief.", greeting="Say hello.") as talk:
        request = await talk.peer.expect("response.create")
        assert request["response"]["instructions"] == "Be brief.\n\nSay hello."
        assert request["response"]["tool_choice"] == "none"
        async with talk.session.responses() as responses:
            await talk.created(request, "resp_1")
            response = await anext(responses)
        await talk.text("resp_1", "Hello!")
        assert response.text == "Hello!"


async def test_a_greeting_that_cannot_be_had_is_reported(autojump_clock, open_talk):
    async with open_talk(greeting="Say hello.") as talk:
        lost = talk.session.events(ReplyLost)
        request = await talk.peer.expect("response.create")
        problem = {"type": "invalid_request_error", "code": "bad", "message": "no", "event_id": request["event_id"]}
        await talk.peer.send("error", error=problem)
        assert isinstance((await anext(lost)).problem, ServerError)
        await lost.aclose()


async def test_any_number_is_generated_beside_the_talk(autojump_clock, open_talk, as_message):
    """At once, also while somebody speaks; each has its own response, and the mirror has none of them."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_talk")
        texts = {}

        async def judge(topic):
            response = await talk.session.generate([f"About {topic}?"], instructions="Judge.")
            await response.done()
            texts[topic] = response.text

        for topic in ("a", "b", "c"):
            nursery.start_soon(judge, topic)
        requests = [await talk.peer.expect("response.create") for _ in "abc"]
        for number, request in enumerate(requests):
            asked = request["response"]
            assert asked["conversation"] == "none"
            assert asked["output_modalities"] == ["text"]
            assert asked["instructions"] == "Judge."
            assert asked["tools"] == []
            await talk.created(request, f"resp_{number}", conversation_id=None)
        for number, request in reversed(list(enumerate(requests))):
            words = request["response"]["input"][0]["content"][0]["text"]
            delta = {"response_id": f"resp_{number}", "item_id": f"item_{number}", "output_index": 0}
            await talk.peer.send("response.output_text.delta", **delta, content_index=0, delta=f"on {words}")
            item = as_message(f"item_{number}", f"on {words}")
            await talk.done(f"resp_{number}", item, conversation_id=None)
        await talk.text("resp_talk", "done")
    assert texts == {"a": "on About a?", "b": "on About b?", "c": "on About c?"}
    assert [item.id for item in talk.session.conversation] == []


async def test_what_is_generated_may_be_about_items_of_the_conversation(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def put():
            await talk.session.send_text("My name is Ada.", when="now_silently")

        nursery.start_soon(put)
        given = await talk.acknowledge()
        (item,) = talk.session.conversation
        nursery.start_soon(talk.session.generate, [item, events.system_message("Name?"), "Well?"])
        request = await talk.peer.expect("response.create")
        reference, system, text = request["response"]["input"]
        assert reference == {"type": "item_reference", "id": given["id"]}
        assert system["role"] == "system"
        assert text["role"] == "user"
        await talk.created(request, "resp_1", conversation_id=None)
        await talk.done("resp_1", conversation_id=None)
        nursery.start_soon(talk.session.generate)
        request = await talk.peer.expect("response.create")
        assert "input" not in request["response"]
        await talk.created(request, "resp_2", conversation_id=None)
        await talk.done("resp_2", conversation_id=None)
        with pytest.raises(ConfigurationError, match="int is none of them"):
            await talk.session.generate([3])


async def test_a_later_line_is_dropped_when_it_is_not_wanted_any_more(autojump_clock, open_talk):
    """Before it is asked for it is forgotten; asked for and not begun it is cancelled; begun it is said."""
    async with open_talk() as talk:
        speaking = talk.session._engine.speaking
        wanted = [True]
        await talk.created(None, "resp_1")
        await trio.sleep(0.01)
        speaking.say_later("One moment.", wanted=lambda: wanted[0])
        await talk.peer.expect_nothing(1)
        wanted[0] = False
        await talk.text("resp_1", "Hello")
        await talk.peer.expect_nothing(5)
        wanted[0] = True
        speaking.say_later("One moment.", wanted=lambda: wanted[0])
        request = await talk.peer.expect("response.create")
        wanted[0] = False
        await talk.created(request, "resp_2")
        await talk.peer.expect("response.cancel", response_id="resp_2")
        await talk.done("resp_2", status="cancelled")
        await talk.peer.expect_nothing(5)


async def test_quiet_is_when_nobody_speaks_and_nothing_is_owed(autojump_clock, open_voice, tone):
    async with open_voice() as talk, trio.open_nursery() as nursery:
        times = []

        async def wait():
            await talk.session._engine.turns.timer.quiet()
            times.append(trio.current_time())

        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(0.01)
        nursery.start_soon(wait)
        await trio.sleep(3)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await trio.sleep(0.5)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(4000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        spoken = trio.current_time()
        assert times == []
    assert times[0] == pytest.approx(spoken + 4, abs=0.2)


async def test_words_that_cannot_be_sent_are_refused_where_they_come_from(autojump_clock, open_talk):
    """Half a character: whoever wants it said is told at once, also while somebody speaks; nobody else notices."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        for busy in (False, True):
            if busy:
                await talk.created(None, "resp_1")
                await trio.sleep(0.01)
            for ask in (
                lambda: talk.session.respond(instructions="\ud800"),
                lambda: talk.session.say("half \ud800"),
                lambda: talk.session.generate(instructions="\ud800"),
            ):
                with pytest.raises(LocalProtocolError):
                    await ask()
        await talk.done("resp_1")
        results = await say(talk, nursery, "Fine.")
        await talk.created(await talk.peer.expect("response.create", within=0.1), "resp_2")
        await talk.text("resp_2", "Fine.")
    assert results[0].exact


async def test_a_line_that_nobody_waits_for_is_said_without_its_half_character(autojump_clock, open_talk):
    """Progress, fillers, a guard's other words: they come from anywhere."""
    async with open_talk() as talk:
        talk.session._engine.speaking.say_later("half \ud800 done")
        request = await talk.peer.expect("response.create")
        assert "half ? done" in request["response"]["instructions"]
        await talk.created(request, "resp_1")
        await talk.text("resp_1", "half done")


# One utterance with a policy of its own


def told(talk):
    """What the server was told about speech, update by update, and when a response was asked for; the opening not."""
    happened = []
    for event in talk.peer.received:
        if event["type"] == "response.create":
            happened.append("response.create")
        elif event["type"] == "session.update" and "audio" in event["session"]:
            detection = event["session"]["audio"]["input"]["turn_detection"]
            happened.append((detection["create_response"], detection["interrupt_response"]))
    return happened


async def user_turn(talk, item_id="item_u"):
    await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
    await trio.sleep(0.6)
    await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=1100, item_id=item_id)
    await talk.peer.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
    item = {"type": "message", "role": "user", "id": item_id, "status": "completed", "content": []}
    for kind in ("added", "done"):
        await talk.peer.send(f"conversation.item.{kind}", item=item, previous_item_id=None)


async def test_one_utterance_may_be_heard_to_its_end(autojump_clock, open_voice, tone, played_ms):
    """The server is told not to interrupt it, in the message before; what the user says meanwhile is answered by the
    session; and when it was heard, speech is the server's again."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:
        interrupted = talk.session.events(Interrupted)
        results = await say(talk, nursery, "Calls are recorded.", interruption="never")
        request = await talk.peer.expect("response.create")
        assert told(talk) == [(False, False), "response.create"]
        nursery.start_soon(answer_aloud, talk, request, tone(3000), "Calls are recorded.")
        await trio.sleep(1)
        await user_turn(talk)
        request = await talk.peer.expect("response.create")  # the answer, as soon as the slot is free
        assert played_ms(talk.device) < 3000
        await talk.created(request, "resp_2")
        await talk.audio("resp_2", tone(2000, 3000), "item_b")
        await talk.audio_done("resp_2", "item_b")
        await talk.done("resp_2")
        assert told(talk) == [(False, False), "response.create", "response.create"]
        await trio.sleep(2)
        assert results[0].exact
        assert played_ms(talk.device) >= 2990
        assert told(talk)[3:] == [(True, True)]
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_v")
        await talk.peer.expect("conversation.item.truncate", item_id="item_b")  # like every other utterance
        assert (await anext(interrupted)).interruption.reason == "speech_started"
        await talk.peer.expect_nothing(0.1)
        await interrupted.aclose()


async def test_an_utterance_may_be_easier_to_interrupt_than_the_others(autojump_clock, open_voice, tone):
    """In a session that is never interrupted by speech, this one is, and the session answers as always."""
    async with open_voice(interruption="never", drain=False) as talk, trio.open_nursery() as nursery:
        results = await say(talk, nursery, "Say stop to stop me.", interruption="immediate")
        request = await talk.peer.expect("response.create")
        nursery.start_soon(answer_aloud, talk, request, tone(3000), "Say stop to stop me.")
        await trio.sleep(1)
        nursery.start_soon(user_turn, talk)
        await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.done("resp_2")
        await talk.peer.expect_nothing(3)
        assert results[0].heard == "" or results[0].asked.startswith(results[0].heard)


async def test_an_answer_that_must_be_heard_stays_so_over_its_tool_calls(autojump_clock, open_talk, as_function_call):
    """The reply to the outputs belongs to the same question, and is protected like its first response."""

    async def look_up() -> str:
        return "found"

    async with open_talk(tools=[look_up]) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: talk.session.ask("Well?", interruption="never"))
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "look_up", "{}"))
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Found.")
        await trio.sleep(1)
        protected = (False, False)
        assert told(talk) == [protected, "response.create", (True, True), protected, "response.create", (True, True)]


async def test_with_manual_turns_the_server_is_told_nothing(autojump_clock, open_talk):
    async with open_talk(turn_detection=None) as talk, trio.open_nursery() as nursery:
        await say(talk, nursery, "Hello.", interruption="never")
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.text("resp_1", "Hello.")
        await talk.peer.expect_nothing(3)


async def test_an_update_during_such_an_utterance_counts_after_it(autojump_clock, open_voice, tone):
    """The program changes turn detection: its wish is what comes back, and not before the utterance was heard."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:
        await say(talk, nursery, "Calls are recorded.", interruption="confirm")
        request = await talk.peer.expect("response.create")
        nursery.start_soon(answer_aloud, talk, request, tone(3000), "Calls are recorded.")
        await trio.sleep(1)
        await talk.session.update(turn_detection=events.SemanticVad(eagerness="low", interrupt_response=False))
        assert told(talk) == [(False, False), "response.create", (False, False)]
        await trio.sleep(3)
        updates = [event for event in talk.peer.received if event["type"] == "session.update"]
        assert updates[-1]["session"]["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "low",
            "create_response": True,
            "interrupt_response": False,
        }


async def test_an_answer_under_a_policy_of_its_own_is_not_the_one_to_the_users_turn(autojump_clock, open_talk):
    """Turn detection answers as the session is set up: under that policy the response would not be heard to its end."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        texts = []

        async def ask():
            texts.append((await talk.session.ask("Well?", interruption="never")).text)

        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=1100, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_1")
        await talk.text("resp_1", "To the user.")
        request = await talk.peer.expect("response.create")
        assert told(talk) == [(False, False), "response.create"]
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "To the program.", "item_b")

    assert texts == ["To the program."]


async def test_what_is_generated_beside_an_utterance_does_not_make_it_easier_to_interrupt(
    autojump_clock, open_voice, tone, played_ms
):
    """It began first, but nobody hears it."""
    async with open_voice(drain=False) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.generate, "Sum it up.")
        await talk.created(await talk.peer.expect("response.create"), "resp_beside", conversation_id=None)
        results = await say(talk, nursery, "Calls are recorded.", interruption="never")
        request = await talk.peer.expect("response.create")
        nursery.start_soon(answer_aloud, talk, request, tone(3000), "Calls are recorded.")
        await trio.sleep(1)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(4)
        assert results[0].exact
        assert played_ms(talk.device) >= 2990
        await talk.done("resp_beside", conversation_id=None)
