"""`session.statistics()`: one value that says how a session is doing, in figures."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio import ConnectionClosed, events, open_session, tool
from realtime_trio.core.playout import PartKey, PlayoutLedger
from realtime_trio.server import open_server


@tool
async def fine() -> str:
    """Work."""
    return "fine"


@tool
async def broken() -> str:
    """Raise."""
    raise ValueError


@tool(timeout=100)
async def slow() -> str:
    """Take its time."""
    await trio.sleep(10)
    return "at last"


@tool(approve=True)
async def careful() -> str:
    """Ask first."""
    return "done"


async def test_a_conversation_with_the_offline_server(autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url, modality="text") as session,
    ):
        before = session.statistics()
        await trio.sleep(3)
        await session.append_audio(bytes(4800))
        await session.ask("What is two plus three?")
        now = session.statistics()

    assert (before.responses.created, before.usage.total_tokens, before.input.sent_ms) == (0, 0, 0)
    assert now.link.age - before.link.age >= 3
    assert now.link.sent > before.link.sent >= 1
    assert now.link.received > before.link.received >= 2
    assert (now.link.waiting, now.link.waiting_audio_ms) == (0, 0)
    assert now.link.round_trip is not None
    assert now.input.sent_ms == 100
    counts = attrs.asdict(now.responses)
    assert {name: count for name, count in counts.items() if count} == {"created": 1, "completed": 1}
    assert now.usage == session.usage
    assert now.usage.total_tokens > 0
    assert session.statistics().responses == now.responses, "also when it is over"


async def test_replies_and_calls_that_wait(autojump_clock, open_talk):
    """What is owed, what the server has not acknowledged."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        assert (talk.session.statistics().queues.replies, talk.session.statistics().queues.calls) == (0, 0)
        nursery.start_soon(talk.session.ask, "hello")
        await talk.peer.expect("conversation.item.create")
        assert (talk.session.statistics().queues.replies, talk.session.statistics().queues.calls) == (0, 1)
        nursery.cancel_scope.cancel()
    async with open_talk() as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.session.respond)
        request = await talk.peer.expect("response.create")
        assert talk.session.statistics().queues.replies == 1
        await talk.created(request, "r1")
        await wait_all_tasks_blocked()
        assert talk.session.statistics().responses.live == 1
        await talk.text("r1", "hello")
        await wait_all_tasks_blocked()
        assert (talk.session.statistics().queues.replies, talk.session.statistics().responses.live) == (0, 0)


async def test_tool_calls_that_wait_run_and_end(autojump_clock, open_talk, as_function_call):
    async with open_talk(tools=[fine, broken, slow, careful], drain=False) as talk:
        talk.peer.ignored.add("response.create")
        await talk.created(None, "r1")
        names = ("fine", "broken", "slow", "careful")
        await talk.done("r1", *(as_function_call(f"c_{name}", name, "{}") for name in names))
        await wait_all_tasks_blocked()
        first = talk.session.statistics().tools
        for _ in range(2):
            await talk.acknowledge()
        await wait_all_tasks_blocked()
        second = talk.session.statistics().tools
        await trio.sleep(5)
        talk.session.refuse("c_careful")
        await talk.acknowledge()
        await trio.sleep(6)
        await talk.acknowledge()
        await wait_all_tasks_blocked()
        last = talk.session.statistics().tools

    assert (first.waiting, first.running, first.telling, first.open) == (1, 1, 2, 4)
    assert (first.started, first.finished, first.failed) == (3, 0, 1)
    assert (second.waiting, second.running, second.telling, second.finished) == (1, 1, 0, 2)
    assert (last.open, last.started, last.finished, last.failed, last.cancelled) == (0, 3, 4, 1, 0)


async def test_a_slow_subscriber_is_seen(autojump_clock, open_talk):
    """Those that are closed have still dropped what they dropped."""
    async with open_talk() as talk:
        quick, slow = talk.session.events(), talk.session.events(size=2)
        responses = talk.session.responses(size=1)
        for number in range(3):
            await talk.created(None, f"r{number}")
            await talk.done(f"r{number}")
        await wait_all_tasks_blocked()
        queues = talk.session.statistics().queues
        assert (queues.subscribers, queues.lag, queues.dropped) == (3, 6, 4 + 2)
        async with slow:
            await slow.aclose()
        await quick.aclose()
        await responses.aclose()
        queues = talk.session.statistics().queues
        assert (queues.subscribers, queues.lag, queues.dropped) == (0, 0, 6)


@pytest.mark.parametrize("statuses", [("completed", "failed"), ("cancelled", "incomplete", "incomplete")])
async def test_how_responses_ended(autojump_clock, open_talk, statuses):
    """Each is counted once, however often the server says it."""
    async with open_talk() as talk:
        for number, status in enumerate(statuses):
            await talk.created(None, f"r{number}")
            for _ in range(2):
                await talk.done(f"r{number}", status=status)
        await wait_all_tasks_blocked()
        told = attrs.asdict(talk.session.statistics().responses)

    assert told["created"] == len(statuses)
    assert {name for name in ("completed", "failed", "cancelled", "incomplete") if told[name]} == set(statuses)
    assert sum(told[name] for name in set(statuses)) == len(statuses)


async def test_sound_that_comes_too_late_is_an_underrun(autojump_clock, open_voice, tone):
    """Once for each gap; the end of an answer is none, and neither is an interruption."""
    async with open_voice() as talk:
        await talk.created(None, "r1")
        await talk.audio("r1", tone(100))
        await trio.sleep(0.5)
        assert talk.session.statistics().playout.underruns == 1
        await talk.audio("r1", tone(1000))
        await trio.sleep(0.1)
        assert 0 < talk.session.statistics().playout.queued_ms < 1000
        await talk.audio_done("r1")
        await talk.done("r1")
        await trio.sleep(2)
        assert talk.session.statistics().playout == type(talk.session.statistics().playout)(queued_ms=0, underruns=1)
        await talk.created(None, "r2")
        await talk.audio("r2", tone(1000), "item_b")
        await trio.sleep(0.2)
        talk.peer.ignored |= {"response.cancel", "conversation.item.truncate"}
        await talk.session.interrupt()
        await trio.sleep(1)
        told = talk.session.statistics()

    assert (told.playout.underruns, told.responses.interruptions) == (1, 1)


def test_a_part_that_is_held_is_no_underrun():
    """It waits for the guard, not for the server."""
    ledger, part = PlayoutLedger(), PartKey("r", "i", 0)
    ledger.hold(part)
    ledger.receive(part, bytes(200))
    ledger.release(part, 100)
    ledger.take(1000)
    ledger.report(0, 100, 0.1)
    assert not ledger.is_dry

    ledger.release(part)
    assert ledger.is_dry
    ledger.receive(part, bytes(2))
    assert not ledger.is_dry
    ledger.take(1000)
    assert not ledger.is_dry, "not handed over yet"
    ledger.report(0, 101, 0.2)
    assert ledger.is_dry
    ledger.finish(part)
    assert not ledger.is_dry


async def test_it_is_a_value_of_its_moment(autojump_clock, open_talk):
    """Nothing in it changes afterwards, and it can still be had when the link is lost."""
    with pytest.raises(ConnectionClosed):
        async with open_talk(reconnect=None) as talk:
            session = talk.session
            before, shown = session.statistics(), repr(session.statistics())
            await talk.peer.send(events.InputAudioBufferCleared(event_id="e"))
            await talk.peer.close(1011)
            await trio.sleep_forever()

    assert repr(before).split("received")[1] == shown.split("received")[1]
    assert session.statistics().link.received == before.link.received + 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.link.sent = 5


async def test_no_link_is_open_when_the_session_is_over(autojump_clock, open_talk):
    async with open_talk() as talk:
        assert talk.session.statistics().link.open
    assert not talk.session.statistics().link.open
