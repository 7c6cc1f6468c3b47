"""A session whose link is lost goes on with another."""

import json
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from realtime_trio import LeftOut, LinkLost, Reconnected, ReconnectPolicy, open_server, open_session, tool
from realtime_trio.errors import ConnectError, ConnectionClosed, NotAcknowledged, Refused
from realtime_trio.session.backlog import Backlog
from realtime_trio.testing import open_scripted_peer

from .cuttable import Cuttable


@pytest.fixture
def open_talk():
    @asynccontextmanager
    async def open_talk(brain=None, **options):
        async with open_server(listen=False, brain=brain) as server:
            links = Cuttable(server.connect)
            async with open_session(connect=links.connect, url=server.url, modality="text", **options) as session:
                yield session, links

    return open_talk


async def reconnected(events) -> Reconnected:
    async for notice in events:
        if isinstance(notice, Reconnected):
            return notice
    raise AssertionError


async def test_a_cut_link_is_replaced_and_the_conversation_is_there(open_talk, autojump_clock):
    async with open_talk(instructions="Be brief.") as (session, links), session.events() as notices:
        await session.ask("What is 2 plus 3?")
        before = [(item.id, item.role, item.text) for item in session.conversation]
        links.cut()
        report = await reconnected(notices)
        assert report.reason == "lost"
        assert report.attempts == 1
        assert report.restored == len(before)
        assert report.left_out == ()
        assert session.config.instructions == "Be brief."
        reply = await session.ask("What is 4 plus 5?")
        assert "9" in reply.text or "nine" in reply.text
        assert [(item.id, item.role, item.text) for item in session.conversation][: len(before)] == before
    assert len(links.links) == 2


async def test_it_is_told_once_that_the_link_is_lost_and_once_that_there_is_another(open_talk, autojump_clock):
    async with open_talk() as (session, links), session.events(LinkLost, Reconnected) as notices:
        links.cut()
        first, second = await anext(notices), await anext(notices)
        assert isinstance(first, LinkLost)
        assert "cut" in str(first.problem)
        assert isinstance(second, Reconnected)
        await session.ask("What is 2 plus 3?")
        with trio.move_on_after(5) as scope:
            await anext(notices)
        assert scope.cancelled_caught


async def test_an_answer_that_is_cut_is_asked_for_again(open_talk, autojump_clock):
    async with open_talk() as (session, links), session.responses() as responses:
        async with trio.open_nursery() as nursery:
            replies = []

            async def ask():
                replies.append(await session.ask("What is 2 plus 3?"))

            nursery.start_soon(ask)
            await anext(responses)
            links.cut()
        assert "5" in replies[0].text or "five" in replies[0].text
        assert [item.role for item in session.conversation] == ["user", "assistant"]


async def test_a_tool_that_runs_through_the_gap_delivers_its_output(open_talk, autojump_clock):
    began, goes_on = trio.Event(), trio.Event()

    @tool
    async def get_weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        began.set()
        await goes_on.wait()
        return f"sunny in {city}"

    async with open_talk(tools=[get_weather]) as (session, links), session.events() as notices:
        async with trio.open_nursery() as nursery:
            replies = []

            async def ask():
                replies.append(await session.ask("What is the weather in Lima?"))

            nursery.start_soon(ask)
            await began.wait()
            links.cut()
            await reconnected(notices)
            goes_on.set()
        outputs = [item for item in session.conversation if item.type == "function_call_output"]
        assert len(outputs) == 1
        assert "sunny" in outputs[0].output
        assert replies[0].tool_calls[0].output == outputs[0].output


async def test_attempts_wait_longer_and_longer(open_talk, autojump_clock):
    async with open_talk() as (session, links), session.events() as notices:
        links.refusals = [ConnectError("no route") for _ in range(5)]
        links.cut()
        report = await reconnected(notices)
        assert report.attempts == 6
        waits = [b - a for a, b in zip(links.attempts[1:], links.attempts[2:], strict=False)]
        assert len(waits) == 5
        assert waits[-1] > waits[0]
        assert report.gap_ms >= 1000 * sum(waits)


async def test_retry_after_is_honoured(open_talk, autojump_clock):
    async with open_talk() as (session, links), session.events() as notices:
        links.refusals = [Refused("busy", status=503, retry_after=20)]
        links.cut()
        await reconnected(notices)
        assert links.attempts[-1] - links.attempts[-2] >= 20


async def test_a_key_that_does_not_count_any_more_ends_it(open_talk, autojump_clock):
    with pytest.raises(Refused, match="no such key") as caught:
        async with open_talk() as (_session, links):
            links.refusals = [Refused("no such key", status=401)]
            links.cut()
            await trio.sleep_forever()
    assert any("reconnect" in note for note in caught.value.__notes__)


async def test_attempts_are_used_up(open_talk, autojump_clock):
    with pytest.raises(ConnectionClosed, match="cut") as caught:
        async with open_talk(reconnect=ReconnectPolicy(attempts=3)) as (_session, links):
            links.refusals = [ConnectError("no route") for _ in range(9)]
            links.cut()
            await trio.sleep_forever()
    assert any("3 times" in note for note in caught.value.__notes__)


async def test_without_a_policy_a_lost_link_ends_it(open_talk, autojump_clock):
    with pytest.raises(ConnectionClosed, match="cut"):
        async with open_talk(reconnect=None) as (_session, links):
            links.cut()
            await trio.sleep_forever()
    assert len(links.attempts) == 1


async def test_a_call_that_was_not_answered_is_made_again(open_talk, autojump_clock):
    async with open_talk() as (session, links):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(session.send_text, "one", when="now_silently"))
            links.cut()
        await session.update(instructions="Be kind.")
        assert session.config.instructions == "Be kind."
        assert [item.text for item in session.conversation] == ["one"]


async def test_each_link_is_replaced_before_it_is_too_old(open_talk, autojump_clock):
    policy = ReconnectPolicy(max_age=600)
    async with open_talk(reconnect=policy) as (session, links), session.events(LinkLost, Reconnected) as notices:
        await session.ask("What is 2 plus 3?")
        reports = [await anext(notices) for _ in range(3)]
        assert [report.reason for report in reports] == ["age"] * 3
        assert [report.gap_ms for report in reports] == [0] * 3
        assert len(session.conversation) == 2
        ages = [b - a for a, b in zip(links.attempts, links.attempts[1:], strict=False)]
        assert all(480 < age < 600 for age in ages)
        reply = await session.ask("What is 4 plus 5?")
        assert "9" in reply.text or "nine" in reply.text


async def test_at_the_end_what_waits_is_sent_on_the_new_link_too(autojump_clock):
    async with open_scripted_peer(greet=True) as peer:
        async with open_session(connect=peer.connect, url=peer.url) as session, session.events() as notices:
            await peer.drop()
            await reconnected(notices)
            for _ in range(50):
                await session.append_audio(bytes(960))
        assert (await peer.expect_end()).code == 1000
        assert sum(event["type"] == "input_audio_buffer.append" for event in peer.received) == 50


class Deaf:
    """A link of which the session does not hear certain events."""

    def __init__(self, stream, types) -> None:
        self._stream, self._types = stream, types

    async def send_message(self, message: str) -> None:
        await self._stream.send_message(message)

    async def receive_message(self) -> str:
        while True:
            message = await self._stream.receive_message()
            if json.loads(message)["type"] not in self._types:
                return message

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._stream.aclose(code, reason)


@pytest.fixture
def open_deaf():
    """Open a session whose first link does not hear the answers to what it asks, once it is open."""

    @asynccontextmanager
    async def open_deaf(**options):
        types: set[str] = set()

        async with open_server(listen=False) as server:

            @asynccontextmanager
            async def connect(target):
                async with server.connect(target) as stream:
                    yield stream if links.links else Deaf(stream, types)

            links = Cuttable(connect)
            async with open_session(connect=links.connect, url=server.url, modality="text", **options) as session:
                types |= {"session.updated", "conversation.item.added", "conversation.item.done"}
                yield session, links

    return open_deaf


@pytest.mark.parametrize("texts", [0, 1, 5])
async def test_an_update_that_was_not_answered_is_in_effect_on_all_later_links(open_deaf, autojump_clock, texts):
    async with open_deaf(instructions="Be brief.") as (session, links), session.events() as notices:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(session.update, instructions="Be kind."))
            for number in range(texts):
                nursery.start_soon(partial(session.send_text, f"text {number}", when="now_silently"))
            await trio.sleep(1)
            links.cut()
            began = trio.current_time()
        assert trio.current_time() - began < 5
        assert session.config.instructions == "Be kind."
        assert len(session.conversation) == texts
        links.cut()
        for _ in range(2):
            await reconnected(notices)
        assert session.config.instructions == "Be kind."


async def test_an_item_that_the_server_does_not_take_back_is_left_out_and_keeps_its_place(autojump_clock):
    async with (
        open_scripted_peer(greet=True) as peer,
        open_session(connect=peer.connect, url=peer.url) as session,
        session.events() as notices,
    ):
        peer.answer("conversation.item.create", take_all_but())
        items = [await session.send_text(text, when="now_silently") for text in ("one", "two", "three")]
        peer.answer("conversation.item.create", take_all_but("two"))
        await peer.drop()
        report = await reconnected(notices)
        assert report.restored == 2
        assert report.left_out == (LeftOut(items[1].id, "refused"),)
        await session.delete_item(items[1].id)
        assert [item.text for item in session.conversation] == ["one", "three"]


def take_all_but(*refused: str):
    """Make a script for items: what says one of these is refused."""
    last = None

    def answer(event):
        nonlocal last
        item = event["item"]
        if item["content"][0]["text"] in refused:
            error = {"type": "invalid_request_error", "message": "no", "event_id": event["event_id"]}
            return [{"type": "error", "error": error}]
        previous, last = last, item["id"]
        return [
            {"type": f"conversation.item.{kind}", "item": item, "previous_item_id": previous}
            for kind in ("added", "done")
        ]

    return answer


async def test_a_standby_that_does_not_live_is_not_asked_for_again_and_again(open_talk, autojump_clock):
    """For example because the server lets each user in once."""

    async with open_talk(brain=endless) as (session, links):
        await trio.sleep(3300)
        await session.send_text("Tell me a story.")
        while trio.current_time() < 3590:
            await trio.sleep(0.2)
            for link in links.links[1:]:
                link.cut()
        assert not links.links[0].is_cut
        assert 1 < len(links.attempts) <= 1 + ReconnectPolicy().attempts


async def test_a_link_that_is_lost_at_the_very_moment_of_taking_over(open_talk, autojump_clock, monkeypatch):
    """The writer of the new link finds it out first."""
    async with open_talk() as (session, links), session.events() as notices:
        await session.send_text("one", when="now_silently")
        original, left = Backlog.leave, []

        def leave(backlog, send_nowait):
            if not left:
                left.append(True)
                raise ConnectionClosed(None, "lost again")
            original(backlog, send_nowait)

        monkeypatch.setattr(Backlog, "leave", leave)
        links.cut()
        report = await reconnected(notices)
        assert report.attempts == 2
        assert report.restored == 1


async def endless(request):
    while True:
        yield "and "
        await trio.sleep(1)


@pytest.mark.parametrize("is_dead", [False, True])
async def test_what_stands_by_takes_over_at_once_if_it_lives(open_talk, autojump_clock, is_dead):
    async with open_talk(brain=endless) as (session, links), session.events() as notices:
        await trio.sleep(3400)
        await session.send_text("Tell me a story.")
        await trio.sleep(100)  # what stands by has to wait for the end of the story
        standby = links.links[1]
        if is_dead:
            standby.cut()
            await trio.testing.wait_all_tasks_blocked()  # until that is known
        links.links[0].cut()
        report = await reconnected(notices)
        assert (report.reason, report.attempts) == ("lost", 1)
        assert len(links.links) == (3 if is_dead else 2)
        assert report.restored == 1


async def test_a_link_is_not_replaced_while_a_call_waits_for_its_answer(open_deaf, autojump_clock):
    """It would have to be made again; and there is time until then."""
    policy = ReconnectPolicy(max_age=600)
    async with open_deaf(reconnect=policy, ack_timeout=20) as (session, _), session.events() as notices:
        await trio.sleep(538)  # another link stands by from 540 on
        with pytest.raises(NotAcknowledged):
            await session.send_text("one", when="now_silently")
        asked_until = trio.current_time()
        assert (await reconnected(notices)).reason == "age"
        assert asked_until <= trio.current_time() < 600
