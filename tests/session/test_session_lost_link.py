"""What becomes of turns when the link is lost, and when there is a new one.

The link itself is not the matter here: the turns are told that it is lost, and regained, and the same peer stands for
both servers. What it gets in between should never have been sent.
"""

from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio import ConnectionClosed, Interrupted, Paused, Resumed, tool
from realtime_trio.session.exchanges import Request
from realtime_trio.session.turns import LostTurns

SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}


def lose(talk):
    turns = talk.session._engine.turns
    lost = turns.lose_link(trio.current_time())
    talk.session._engine.mcp.lose_link()
    return lost


def regain(talk):
    talk.session._engine.turns.regain_link(trio.current_time())


@asynccontextmanager
async def asking(talk, text="Hello?"):
    """Ask, and let the block be the server; gives a list that has the reply when the block is left."""
    replies = []

    async def ask():
        replies.append(await talk.session.ask(text))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await talk.acknowledge()
        yield replies


async def delta(talk, response_id, words, item_id="item_a"):
    await talk.peer.send(
        "response.output_text.delta",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=0,
        delta=words,
    )


async def item_added(talk, item_id, response_id):
    item = {"type": "message", "role": "assistant", "id": item_id, "status": "in_progress", "content": []}
    await talk.peer.send("conversation.item.added", item=item, previous_item_id=None)
    await talk.peer.send("response.output_item.added", response_id=response_id, output_index=0, item=item)


async def test_a_reply_that_was_being_written_is_asked_for_again(autojump_clock, open_talk):
    """Nobody waits in vain, nothing of the first one stays, and nothing is sent or given up meanwhile."""
    async with open_talk() as talk:
        responses = talk.session.responses()
        interruptions = talk.session.events(Interrupted)
        async with asking(talk) as replies:
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await item_added(talk, "item_a", "resp_1")
            await delta(talk, "resp_1", "Hello to")
            first = await responses.receive()
            async for words in first.text_deltas:
                assert words == "Hello to"
                lost = lose(talk)
            await talk.peer.expect_nothing(300)

            assert (lost.asked_again, lost.cut_off) == (("resp_1",), ())
            assert (await first.done()).status == "cancelled"
            assert talk.session.conversation.response_status("resp_1") == "cancelled"
            assert first.interruption.reason == "link_lost"
            assert [item.id for item in talk.session.conversation if item.role == "assistant"] == []
            assert (await interruptions.receive()).interruption is first.interruption
            assert replies == []

            regain(talk)
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "Hello to you", "item_b")

        assert replies[0].text == "Hello to you"
        assert replies[0].status == "completed"


async def test_what_was_asked_for_and_not_created_is_asked_for_again(autojump_clock, open_talk):
    """The create has no answer for longer than it may take: that is nobody's fault now."""
    async with open_talk() as talk, asking(talk) as replies:
        await talk.peer.expect("response.create")

        assert lose(talk).asked_again == ()

        await talk.peer.expect_nothing(300)
        regain(talk)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Here")
    assert replies[0].text == "Here"


async def test_what_somebody_heard_a_part_of_is_heard_to_the_end_of_what_came(autojump_clock, open_voice, tone):
    """And is not said again."""
    async with open_voice() as talk, asking(talk) as replies:
        interruptions = talk.session.events(Interrupted)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await item_added(talk, "item_a", "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        response = replies_to(talk)
        lost = lose(talk)

        assert (lost.asked_again, lost.cut_off) == ((), ("resp_1",))
        assert (await response.done()).status == "cancelled"
        assert not response.interrupted

        begun = trio.current_time()
        await response.heard()

        assert trio.current_time() - begun == pytest.approx(2, abs=0.1)
        (part,) = response.interruption.parts
        assert (response.interruption.reason, part.heard_ms, part.cut_ms) == ("link_lost", 3000, 3000)
        assert (await interruptions.receive()).interruption is response.interruption

        assert not talk.session.interrupt().record_of_nothing.response_ids  # it is over

        regain(talk)
        await talk.peer.expect_nothing(30)
    assert replies[0].status == "cancelled"


async def test_what_waited_behind_another_sound_is_asked_for_again(autojump_clock, open_voice, tone, played_ms):
    """It was received and not begun: nothing of it is heard."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(2000), "item_1")
        await talk.audio_done("resp_1", "item_1")
        await talk.done("resp_1")
        await talk.created(None, "resp_2")
        await item_added(talk, "item_2", "resp_2")
        await talk.audio("resp_2", tone(2000), "item_2")
        await trio.sleep(0.5)
        _, second = talk.session._engine.turns.live.values()

        assert lose(talk).asked_again == ("resp_2",)

        await trio.sleep(5)

        assert played_ms(talk.device) == pytest.approx(2000, abs=1)
        (part,) = second.interruption.parts
        assert (part.heard_ms, part.cut_ms, part.received_ms) == (0, 0, 2000)
        assert not talk.session.interrupt().record_of_nothing.response_ids

        regain(talk)
        await talk.peer.expect("response.create")


def replies_to(talk):
    (response,) = talk.session._engine.turns.live.values()
    return response


async def test_what_was_generated_is_heard_to_its_end(autojump_clock, open_voice, tone):
    """The link is not needed for that, and `drained` waits for it."""
    async with open_voice() as talk, asking(talk) as replies:
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.audio("resp_1", tone(3000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(1)
        begun = trio.current_time()

        assert lose(talk) == LostTurns()

        await talk.session.drained()

        assert trio.current_time() - begun == pytest.approx(2, abs=0.1)

        regain(talk)
        await talk.peer.expect_nothing(30)
    assert replies[0].status == "completed"
    assert replies[0].interruption is None


async def test_drained_waits_for_what_is_owed_until_there_is_a_link(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        over = []

        async def drained():
            await talk.session.drained()
            over.append(trio.current_time())

        lose(talk)
        talk.session._engine.turns.owe(Request(), ())
        nursery.start_soon(drained)
        await talk.peer.expect_nothing(100)

        assert over == []

        regain(talk)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.text("resp_1", "Here")


@pytest.mark.parametrize("seen", ["promised", "committed", "created"])
async def test_the_users_turn_is_answered_whatever_was_seen_of_the_answer(autojump_clock, open_talk, seen):
    async with open_talk() as talk:
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="item_u")
        if seen != "promised":
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        if seen == "created":
            await talk.created(None, "resp_1")
            await delta(talk, "resp_1", "Well")
        await trio.testing.wait_all_tasks_blocked()

        assert lose(talk).asked_again == (("resp_1",) if seen == "created" else ())

        await talk.peer.expect_nothing(100)
        regain(talk)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Here", "item_b")
        await talk.peer.expect_nothing(100)


async def test_a_response_that_the_program_cancels_is_over_and_not_asked_for_again(autojump_clock, open_voice, tone):
    """What was received of it is heard to its end, as without the loss."""
    async with open_voice() as talk, asking(talk) as replies:
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        cancelled = []

        async def cancel():
            cancelled.append(await talk.session.cancel_response())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel)
            await talk.peer.expect("response.cancel")
            response = replies_to(talk)

            assert lose(talk) == LostTurns()

        assert cancelled == [True]

        await response.heard()

        assert response.interruption is None
        assert talk.session._engine.turns.is_idle

        regain(talk)
        await talk.peer.expect_nothing(30)
    assert replies[0].status == "cancelled"


async def test_an_interruption_without_a_link_changes_the_mirror_alone(autojump_clock, open_voice, tone):
    """One item was heard in part, the next not at all. The next link begins with what the mirror shows."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        for item_id in ("item_1", "item_2"):
            await item_added(talk, item_id, "resp_1")
            await talk.audio("resp_1", tone(3000), item_id)
            await talk.audio_done("resp_1", item_id)
        await talk.done("resp_1")
        await trio.sleep(1)
        lose(talk)
        record = await talk.session.interrupt()
        await talk.peer.expect_nothing(30)

        assert record.cut_ms == pytest.approx(1000, abs=100)
        (item,) = talk.session.conversation
        assert (item.id, item.parts[0].truncated_ms) == ("item_1", record.cut_ms)

        regain(talk)
        await talk.peer.expect_nothing(30)


@pytest.mark.parametrize("reason", ["requested", "speech_started"])
async def test_an_interruption_that_meets_the_loss_is_settled(autojump_clock, open_voice, tone, reason):
    """The server is gone before it says so: where the sound ended is known here all the same."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        await item_added(talk, "item_a", "resp_1")
        await talk.audio("resp_1", tone(3000))
        await trio.sleep(1)
        response = replies_to(talk)
        if reason == "requested":
            talk.session.interrupt()
        else:
            await talk.peer.send(SPEECH_STARTED)
            await trio.testing.wait_all_tasks_blocked()

        assert lose(talk) == LostTurns()
        assert (await response.done()).status == "cancelled"

        await response.heard()
        if reason == "requested":
            await talk.peer.expect("response.cancel")
        await talk.peer.expect_nothing(30)

        assert response.interruption.reason == reason
        (item,) = talk.session.conversation
        assert item.parts[0].truncated_ms == response.interruption.cut_ms


async def test_the_guard_is_not_asked_on_about_what_is_asked_for_again(autojump_clock, open_talk):
    began, ended = [], []

    async def guard(text):
        began.append(text.text)
        await trio.sleep(3)
        ended.append(text.text)

    async with open_talk(guard=guard) as talk, asking(talk) as replies:
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await delta(talk, "resp_1", "Hello to ")
        await trio.testing.wait_all_tasks_blocked()

        assert began == ["Hello to "]
        assert lose(talk).asked_again == ("resp_1",)

        await trio.sleep(10)

        assert ended == []

        regain(talk)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Hello")
    assert replies[0].text == "Hello"


async def test_a_deletion_that_has_no_answer_yet_counts(autojump_clock, open_voice, tone):
    """Nobody heard the item: the next link does not have it, whether or not the deletion arrived on this one."""
    async with open_voice(drain=False) as talk:
        await talk.created(None, "resp_1")
        for item_id in ("item_1", "item_2", "item_3"):
            await item_added(talk, item_id, "resp_1")
            await talk.audio("resp_1", tone(3000), item_id)
        await trio.sleep(0.5)
        talk.session.interrupt()
        await talk.peer.expect("response.cancel")
        await talk.peer.expect("conversation.item.delete", item_id="item_2")
        await talk.peer.expect("conversation.item.delete", item_id="item_3")
        await talk.peer.expect("conversation.item.truncate", item_id="item_1")
        await talk.peer.send("conversation.item.deleted", item_id="item_2")
        await trio.testing.wait_all_tasks_blocked()

        assert {item.id for item in talk.session.conversation} == {"item_1", "item_3"}

        lose(talk)
        (item,) = talk.session.conversation

        assert (item.id, item.parts[0].truncated_ms) == ("item_1", pytest.approx(500, abs=100))


async def test_what_is_generated_beside_the_conversation_ends_with_the_link(autojump_clock, open_talk):
    """Who has a part of it is told that there will be no more."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        found = []

        async def generate():
            response = await talk.session.generate("Sum up.")
            with pytest.raises(ConnectionClosed):
                await response.done()
            found.append(response)

        nursery.start_soon(generate)
        await talk.created(await talk.peer.expect("response.create"), "resp_1", conversation_id=None)
        await delta(talk, "resp_1", "All in")
        await trio.testing.wait_all_tasks_blocked()

        assert lose(talk) == LostTurns()

        await trio.testing.wait_all_tasks_blocked()

        assert found[0].text == "All in"
        assert not talk.session._engine.turns.live

        regain(talk)
        await talk.peer.expect_nothing(30)


async def test_what_was_asked_for_beside_the_conversation_is_asked_for_again(autojump_clock, open_talk):
    """Before the loss or after it; nobody's time runs out meanwhile. What nobody wants any more is forgotten."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        found = []

        async def generate(words, scope=None):
            with scope or trio.CancelScope():
                response = await talk.session.generate(words)
                await response.done()
                found.append(response.text)

        unwanted = trio.CancelScope()
        nursery.start_soon(generate, "First")
        await talk.peer.expect("response.create")
        nursery.start_soon(generate, "Nobody's", unwanted)
        await talk.peer.expect("response.create")
        unwanted.cancel()
        await trio.testing.wait_all_tasks_blocked()
        lose(talk)
        late = trio.CancelScope()
        nursery.start_soon(generate, "Nobody's either", late)
        nursery.start_soon(generate, "Second")
        await talk.peer.expect_nothing(100)
        late.cancel()
        await trio.testing.wait_all_tasks_blocked()
        regain(talk)
        requests = [await talk.peer.expect("response.create") for _ in range(2)]
        await talk.peer.expect_nothing(1)
        for number, request in enumerate(requests):
            await talk.created(request, f"resp_{number}", conversation_id=None)
            await talk.text(f"resp_{number}", request["response"]["input"][0]["content"][0]["text"], f"item_{number}")
            await trio.testing.wait_all_tasks_blocked()

        assert sorted(found) == ["First", "Second"]


async def test_a_question_beside_the_conversation_fails_with_the_link(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        found = []

        async def ask():
            with pytest.raises(ConnectionClosed):
                await talk.session.ask("Sum up.", conversation="none")
            found.append(True)

        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1", conversation_id=None)
        await delta(talk, "resp_1", "All in")
        await trio.testing.wait_all_tasks_blocked()
        lose(talk)
        await trio.testing.wait_all_tasks_blocked()

        assert found == [True]


@pytest.mark.parametrize("committed", [False, True])
async def test_a_doubt_ends_with_the_link(autojump_clock, open_voice, tone, committed):
    """The sound goes on. A turn that the server has is answered; what it has not is said again on the next link."""
    transcription = {"model": "whisper-1"}
    async with open_voice(interruption="confirm", transcription=transcription, drain=False) as talk:
        notices = talk.session.events(Paused, Resumed, Interrupted)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(1)
        await talk.peer.send(SPEECH_STARTED)
        if committed:
            await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=700, item_id="item_u")
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await trio.testing.wait_all_tasks_blocked()

        assert isinstance(await notices.receive(), Paused)
        assert talk.session.sound().paused

        lose(talk)

        assert await notices.receive() == Resumed("item_u")
        assert not talk.session.sound().paused

        response = replies_to(talk)
        await response.heard()
        await talk.peer.expect_nothing(30)

        assert not response.interrupted

        regain(talk)
        if committed:
            await talk.peer.expect("response.create")
        else:
            await talk.peer.expect_nothing(30)


async def test_a_noise_that_is_to_be_deleted_is_gone_with_the_link(autojump_clock, open_voice, tone):
    async with open_voice(interruption="confirm", drain=False) as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(3000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(1)
        await talk.peer.send(SPEECH_STARTED)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="item_u")
        await trio.testing.wait_all_tasks_blocked()
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await trio.testing.wait_all_tasks_blocked()

        assert talk.session.conversation.get("item_u") is not None

        lose(talk)

        assert "item_u" not in [item.id for item in talk.session.conversation]

        regain(talk)
        await talk.peer.expect_nothing(30)


async def test_what_an_utterance_took_from_the_server_is_given_back_on_the_next_link(autojump_clock, open_voice, tone):
    """The utterance is heard out while there is no link to say so on."""
    async with open_voice() as talk, trio.open_nursery() as nursery:
        talk.peer.answer_updates()
        said = []

        async def say():
            said.append(await talk.session.say("The train leaves now.", interruption="never"))

        nursery.start_soon(say)
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.audio("resp_1", tone(2000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(1)
        lose(talk)
        updates = updates_of(talk)

        assert updates[-1]["interrupt_response"] is False

        await trio.sleep(30)

        assert said[0].status == "completed"
        assert updates_of(talk) == updates

        regain(talk)
        await trio.testing.wait_all_tasks_blocked()

        assert updates_of(talk)[-1]["interrupt_response"] is True


def updates_of(talk):
    updates = [event["session"] for event in talk.peer.received if event["type"] == "session.update"]
    return [update["audio"]["input"]["turn_detection"] for update in updates if "audio" in update]


async def test_what_the_guard_did_not_let_pass_is_judged_without_a_link_too(autojump_clock, open_voice, tone):
    """Some of it was heard: the rest of what came is judged as a whole, and heard."""
    asked = []

    async def guard(text):
        asked.append(text.text)
        await trio.sleep(0.1)

    async with open_voice(guard=guard, guard_lead_ms=0) as talk, asking(talk):
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await item_added(talk, "item_a", "resp_1")
        await talk.audio("resp_1", tone(3000))
        for words in ("Well, this is ", "what I meant to "):
            await talk.peer.send(
                "response.output_audio_transcript.delta",
                response_id="resp_1",
                item_id="item_a",
                output_index=0,
                content_index=0,
                delta=words,
            )
            await trio.sleep(1)
        response = replies_to(talk)

        assert lose(talk).cut_off == ("resp_1",)

        with trio.fail_after(10):
            await response.heard()

        assert asked[-1] == "Well, this is what I meant to "
        assert response.interruption.reason == "link_lost"
        assert response.interruption.heard_ms == 3000


async def test_a_key_that_is_held_down_keeps_the_floor(autojump_clock, open_talk):
    async with open_talk() as talk:
        turns = talk.session._engine.turns
        turns.take_floor(trio.current_time())
        turns.owe(Request(), ())
        lose(talk)
        regain(talk)
        await talk.peer.expect_nothing(100)
        turns.release_floor()
        await talk.peer.expect("response.create")


async def test_latency_counts_the_time_without_a_link(autojump_clock, open_voice, tone):
    """The user has waited since they stopped speaking, whatever the reason."""
    async with open_voice(drain=False) as talk:
        await talk.peer.send(SPEECH_STARTED)
        await trio.sleep(1)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="item_u")
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_1")
        await trio.testing.wait_all_tasks_blocked()
        first = replies_to(talk)

        assert first.speech_ended_at is not None

        lose(talk)
        await trio.sleep(5)
        regain(talk)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.audio("resp_2", tone(1000))
        await trio.sleep(1)

        assert replies_to(talk).speech_ended_at == first.speech_ended_at
        assert replies_to(talk).latency_ms > 5000


@pytest.mark.parametrize("placed", [True, False])
async def test_a_call_that_was_cut_off_with_its_response_is_not_run(
    autojump_clock, open_talk, as_function_call, placed
):
    """Nor is it restored: nobody would ever answer it."""
    ran = []

    @tool
    async def look_up(word: str) -> str:
        """Look a word up."""
        ran.append(word)
        return "found"

    async with open_talk(tools=[look_up]) as talk, asking(talk) as replies:
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        call = as_function_call("call_1", "look_up", '{"word": "a"}')
        if placed:
            await talk.peer.send("conversation.item.added", item=call, previous_item_id=None)
        await talk.peer.send("response.output_item.done", response_id="resp_1", output_index=0, item=call)
        await trio.testing.wait_all_tasks_blocked()

        assert lose(talk).asked_again == ("resp_1",)
        assert [item.type for item in talk.session.conversation] == ["message"]
        assert not talk.session.conversation.unplaced

        regain(talk)
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        await talk.text("resp_2", "Here")
    assert ran == []
    assert replies[0].text == "Here"


async def test_a_call_behind_what_was_heard_is_not_restored(autojump_clock, open_voice, tone, as_function_call):
    """It is cut off with its response, as a user's interruption does it: nobody would ever answer it."""
    async with open_voice() as talk:
        await talk.created(None, "resp_1")
        await item_added(talk, "item_a", "resp_1")
        await talk.audio("resp_1", tone(2000))
        await trio.sleep(1)
        call = as_function_call("call_1", "look_up", '{"word": "a"}')
        await talk.peer.send("conversation.item.added", item=call, previous_item_id="item_a")
        await talk.peer.send("response.output_item.done", response_id="resp_1", output_index=1, item=call)
        await trio.testing.wait_all_tasks_blocked()

        assert lose(talk).cut_off == ("resp_1",)
        assert [item.id for item in talk.session.conversation] == ["item_a"]
