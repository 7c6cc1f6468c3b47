"""A server that says nothing more of a response, and never that it is over."""

from functools import partial

import pytest
import trio

from realtime_trio import ResponseFailed, ResponseNotCompleted


async def outcome(wait):
    """What it comes to, and when."""
    try:
        value = await wait()
    except ResponseFailed as error:
        value = error.code
    return value, trio.current_time()


async def test_a_lost_response_is_asked_for_once_more(autojump_clock, open_talk):
    """Who waits for it waits for the second; who waits for the second in vain is told so."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        responses = talk.session.responses()
        notices = talk.session.events(ResponseNotCompleted)
        found = []

        async def ask():
            found.append(await outcome(partial(talk.session.ask, "Hello?")))

        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        begun = trio.current_time()
        code, at = await outcome((await responses.receive()).done)

        assert (code, at) == ("response_lost", begun + 30)
        notice = await notices.receive()
        assert (notice.response_id, notice.status, notice.reason) == ("resp_1", "failed", "response_lost")
        assert talk.session.conversation.response_status("resp_1") == "failed"

        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.created(await talk.peer.expect("response.create"), "resp_2")
        begun = trio.current_time()
        await trio.sleep(30)
        await talk.peer.expect("response.cancel", response_id="resp_2")
        await talk.peer.expect_nothing(100)

        assert found == [("response_lost", begun + 30)]


async def test_a_lost_response_that_lives_after_all_changes_nothing(autojump_clock, open_talk):
    """Its end comes late: the one that was asked for in its place is the reply."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        found = []

        async def ask():
            found.append((await talk.session.ask("Hello?")).text)

        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await trio.sleep(30)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        request = await talk.peer.expect("response.create")
        await talk.text("resp_1", "Too late")
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "In time")
        await trio.testing.wait_all_tasks_blocked()

        assert found == ["In time"]


async def test_a_response_that_speaks_slowly_is_not_lost(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        found = []

        async def ask():
            found.append((await talk.session.ask("Hello?")).text)

        nursery.start_soon(ask)
        await talk.acknowledge()
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        for _ in range(4):
            await trio.sleep(29)
            await talk.peer.send(
                "response.output_text.delta",
                response_id="resp_1",
                item_id="item_a",
                output_index=0,
                content_index=0,
                delta="so ",
            )
        await talk.done("resp_1")
        await trio.testing.wait_all_tasks_blocked()

        assert found == ["so so so so "]


async def test_a_lost_response_of_turn_detection_is_reported(autojump_clock, open_talk):
    """Nobody asked for it, so nobody asks again."""
    async with open_talk() as talk:
        notices = talk.session.events(ResponseNotCompleted)
        await talk.created(None, "resp_1")
        await trio.sleep(30)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect_nothing(100)

        assert (await notices.receive()).reason == "response_lost"


async def test_a_lost_response_beside_the_conversation_fails(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        found = []

        async def generate():
            response = await talk.session.generate("Sum up.")
            found.append(await outcome(response.done))

        nursery.start_soon(generate)
        await talk.created(await talk.peer.expect("response.create"), "resp_1", conversation_id=None)
        begun = trio.current_time()
        await trio.sleep(30)
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect_nothing(100)

        assert found == [("response_lost", begun + 30)]


async def test_an_interrupted_response_whose_end_never_comes_is_cancelled(autojump_clock, open_talk):
    async with open_talk() as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        response = await responses.receive()
        talk.session.interrupt()
        await talk.peer.expect("response.cancel", response_id="resp_1")
        with trio.fail_after(31):
            assert (await response.done()).status == "cancelled"
        await talk.peer.expect_nothing(100)
        assert not talk.session._engine.turns.live


async def test_what_was_heard_of_a_lost_response_is_heard_to_its_end(autojump_clock, open_voice, tone):
    async with open_voice() as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(40_000))
        response, begun = await responses.receive(), trio.current_time()
        with pytest.raises(ResponseFailed):
            await response.done()

        assert not response.is_heard

        await response.heard()

        assert trio.current_time() - begun == pytest.approx(40, abs=0.1)
        assert not response.interrupted
