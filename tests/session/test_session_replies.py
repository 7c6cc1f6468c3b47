"""Replies in odd moments: what random schedules found, one by one."""

import trio
import trio.testing


async def test_a_turn_answered_while_our_create_was_lost_is_the_reply(autojump_clock, open_voice, tone):
    """The create was never answered; meanwhile the user spoke, and was answered with the question in view."""
    async with open_voice() as talk, trio.open_nursery() as nursery:
        replies = []

        @nursery.start_soon
        async def ask():
            replies.append(await talk.session.ask("Well?"))

        await talk.acknowledge()
        await talk.peer.expect("response.create")  # and it is lost
        await talk.peer.send("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await talk.peer.send("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=1)
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(500))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        await trio.sleep(20)  # it was heard long before the create is given up
        assert [reply.responses[0].id for reply in replies] == ["resp_1"]
        await talk.session.drained()


async def test_a_reply_that_failed_when_it_had_been_stopped_was_cancelled(autojump_clock, open_talk):
    """The program said stop, and the server had failed already: there is nothing to raise, and nothing to ask again."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        replies = []

        @nursery.start_soon
        async def ask():
            replies.append(await talk.session.ask("Well?"))

        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await trio.testing.wait_all_tasks_blocked()
        talk.session.interrupt()
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.done("resp_1", status="failed")
        await talk.peer.expect_nothing(20)
        assert [reply.status for reply in replies] == ["cancelled"]


async def test_several_beside_the_conversation_of_a_server_that_echoes_no_metadata(autojump_clock, open_talk):
    """They are known by their order."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        texts = []

        async def generate(about):
            response = await talk.session.generate(about)
            await response.done()
            texts.append((about, response.text))

        for about in ("one", "two"):
            nursery.start_soon(generate, about)
            await talk.peer.expect("response.create")
        for number in ("1", "2"):
            await talk.created(None, f"resp_{number}", conversation_id=None)
        for number in ("2", "1"):
            await talk.text(f"resp_{number}", number)
        await trio.testing.wait_all_tasks_blocked()
        assert texts == [("two", "2"), ("one", "1")]


async def test_a_program_may_wait_for_as_many_answers_as_it_likes(autojump_clock, open_talk):
    """The limit on replies that do not come is for turns that the server begins, not for calls of the program's."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await trio.sleep(0.01)
        for _ in range(1100):
            nursery.start_soon(talk.session.respond)
        await trio.sleep(0.01)
        await talk.peer.send("rate_limits.updated", rate_limits=[])
        await trio.sleep(0.01)
        await talk.done("resp_1")
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        nursery.cancel_scope.cancel()


async def test_a_response_to_an_ask_that_was_cancelled_long_ago_is_cancelled(autojump_clock, open_talk):
    """It was asked for, nobody waits for it any more, and the server takes longer than anybody expects."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        @nursery.start_soon
        async def ask():
            with scope:
                await talk.session.ask("Well?")

        await talk.acknowledge()
        request = await talk.peer.expect("response.create")
        scope.cancel()
        await trio.sleep(15)
        await talk.created(request, "resp_late")
        await talk.peer.expect("response.cancel", response_id="resp_late")
        await talk.done("resp_late", status="cancelled")
