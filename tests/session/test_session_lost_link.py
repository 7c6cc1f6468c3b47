"""What becomes of turns when the link is lost, and when there is a new one.

The link itself is not the matter here: the turns are told that it is lost, and regained, and the same peer stands for
both servers. What it gets in between should never have been sent.
"""

from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio import Interrupted


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

        regain(talk)
        await talk.peer.expect_nothing(30)
    assert replies[0].status == "cancelled"


def replies_to(talk):
    (response,) = talk.session._engine.turns.live.values()
    return response
