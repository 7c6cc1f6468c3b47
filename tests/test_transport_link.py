"""The bytes below a WebSocket: nothing gets between the pieces of what is sent."""

import pytest
import trio
import trio.testing

from realtime_trio.transport.link import Link


class Gated(trio.abc.Stream):
    """A stream whose first piece waits at a gate."""

    def __init__(self):
        self.sent = bytearray()
        self.gate = trio.Event()

    async def send_all(self, data):
        self.sent += data
        await self.gate.wait()

    async def wait_send_all_might_not_block(self):
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes=None):
        await trio.sleep_forever()

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def test_two_that_send_take_turns_also_in_the_middle_of_long_data():
    """A pong must not land inside a long frame, which leaves in pieces."""
    stream = Gated()
    link = Link(stream, send_timeout=5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send_all, b"a" * 50_000)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(link.send_all, b"b" * 20)
        await trio.testing.wait_all_tasks_blocked()
        stream.gate.set()

    assert b"a" * 50_000 + b"b" * 20 == bytes(stream.sent)


async def test_who_is_cancelled_while_another_sends_has_torn_nothing():
    stream = Gated()
    link = Link(stream, send_timeout=5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send_all, b"a" * 20)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await link.send_all(b"b" * 20)
        torn = link.torn
        stream.gate.set()

    assert scope.cancelled_caught
    assert not torn
    assert b"a" * 20 == bytes(stream.sent)


class Interrupted(Gated):
    """A stream of two halves; in the first Ctrl-C comes, and the second is closed all the same."""

    async def aclose(self):
        try:
            raise KeyboardInterrupt
        finally:
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102 it has to be cancelled here


async def test_ctrl_c_while_closing_is_not_lost():
    """Where closing is cancelled, as it mostly is, the cancellation covered the KeyboardInterrupt."""
    with pytest.raises(KeyboardInterrupt):
        await trio.aclose_forcefully(Link(Interrupted(), send_timeout=5))


@pytest.mark.parametrize("watch", ["sending", "listening"])
async def test_a_process_that_stood_still_does_not_blame_the_link(mock_clock, watch):
    """A timer that is far too late says nothing of the peer: it gets its whole time again; then it is dead."""
    stream = Gated()
    link = Link(stream, send_timeout=5)
    async with trio.open_nursery() as nursery:
        over = []

        async def wait():
            await (link.watch_sending() if watch == "sending" else link.silent_for(5))
            over.append(trio.current_time())

        nursery.start_soon(link.send_all if watch == "sending" else link.receive_some, *([b"a"] * (watch == "sending")))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(60)  # nothing ran in between
        await trio.testing.wait_all_tasks_blocked()
        assert not over
        mock_clock.jump(4.9)
        await trio.testing.wait_all_tasks_blocked()
        assert not over
        mock_clock.jump(0.2)
        await trio.testing.wait_all_tasks_blocked()
        assert over
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("watch", ["sending", "listening"])
async def test_the_time_is_over_when_it_is_over(autojump_clock, watch):
    """Also where a sum and a difference are not rounded alike: it went on for ever, without letting a moment pass."""
    await trio.sleep(59.84944470487219)
    begun = trio.current_time()
    assert begun + 5 - begun < 5
    link = Link(Gated(), send_timeout=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send_all if watch == "sending" else link.receive_some, *([b"a"] * (watch == "sending")))
        await trio.testing.wait_all_tasks_blocked()
        await (link.watch_sending() if watch == "sending" else link.silent_for(5))
        assert trio.current_time() == begun + 5
        nursery.cancel_scope.cancel()
