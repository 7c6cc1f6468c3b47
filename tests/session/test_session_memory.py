"""A session that goes on for days holds its conversation, and nothing of what is over beside it."""

import gc
import weakref

import pytest
import trio

from realtime_trio import open_server, open_session
from realtime_trio.audio import ClockedDevice

from .scripts import HANDLES, TOOLS, calling


@pytest.mark.parametrize("question", ["What is 6 times 7?", "Count to ten.", calling("look_up"), calling("slow")])
async def test_a_response_and_its_sound_are_let_go_of_when_it_was_heard(question, autojump_clock):
    responses = []
    async with (
        open_server(listen=False) as server,
        open_session(
            connect=server.connect, url=server.url, audio=ClockedDevice(), tools=TOOLS, dependencies=[HANDLES]
        ) as session,
    ):
        for _ in range(3):
            reply = await session.ask(question)
            responses += map(weakref.ref, reply.responses)
            del reply
            await trio.sleep(3)
            await session.drained()
        gc.collect()

        assert responses
        assert [response() for response in responses if response() is not None] == []


async def test_what_a_turn_leaves_behind_is_little_more_than_its_words(autojump_clock):
    """When all was heard, nobody needs to know any more when which word came."""
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url, audio=ClockedDevice()) as session,
    ):
        await session.ask("Count to sixty.")
        item = session.conversation.items[-1]
        heard, captions = item.heard_text, item.parts[0].captions

        assert heard == item.transcript
        assert heard.endswith("sixty.")
        assert [len(captions._before), len(captions._at), captions._plan, captions._weights] == [0, 0, None, None]
