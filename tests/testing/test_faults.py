"""What a faulty proxy does to a link: at which byte, to which side, over sockets and in memory alike."""

import math
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from realtime_trio import errors, open_server, open_session
from realtime_trio.testing import (
    Cut,
    Delay,
    HalfClose,
    MemoryEnd,
    Merge,
    Reset,
    Split,
    Stall,
    memory_pipe,
    open_faulty_proxy,
    open_scripted_peer,
)


class Far:
    """A server of bytes: keeps the streams of its clients."""

    url = "ws://far.localhost/v1/realtime"

    def __init__(self):
        self._send, self._receive = trio.open_memory_channel(math.inf)

    def accept_stream(self, stream):
        self._send.send_nowait(stream)

    async def client(self):
        return await self._receive.receive()

    async def serve(self, stream):
        """As a handler for sockets: leave the stream open."""
        self.accept_stream(stream)
        await trio.sleep_forever()


@asynccontextmanager
async def link_in_memory(plan, capacity=1000):
    far = Far()
    async with open_faulty_proxy(far, plan, capacity=capacity) as proxy, trio.open_nursery() as nursery:
        near, ours = memory_pipe(capacity)
        nursery.start_soon(proxy.serve, ours)  # noqa: ASYNC113  its client is waited for
        yield near, await far.client(), proxy
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def link_over_sockets(plan):
    far = Far()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, far.serve, [listener])  # noqa: ASYNC113  it listens already
        port = listener.socket.getsockname()[1]
        async with open_faulty_proxy(f"ws://127.0.0.1:{port}/v1/realtime?model=m", plan) as proxy:
            assert proxy.url.endswith("/v1/realtime?model=m")
            near = await trio.open_tcp_stream("127.0.0.1", int(proxy.url.split(":")[2].split("/")[0]))
            yield near, await far.client(), proxy
            await trio.aclose_forcefully(near)
        nursery.cancel_scope.cancel()


LINKS = {"in memory": link_in_memory, "over sockets": link_over_sockets}


@pytest.fixture(params=LINKS)
def open_link(request):
    return LINKS[request.param]


async def receive_all(stream):
    """All bytes up to the end, and how it ended."""
    data = b""
    with trio.fail_after(5):
        while True:
            try:
                more = await stream.receive_some(100)
            except trio.BrokenResourceError:
                return data, "reset"
            if not more:
                return data, "end"
            data += more


async def test_a_pipe_in_memory_is_a_stream_as_trio_defines_it():
    async def make():
        return memory_pipe(1000)

    async def make_clogged():
        here, there = memory_pipe(1)
        await here.send_all(b"1")
        await there.send_all(b"1")
        return here, there

    with trio.fail_after(5):
        await trio.testing.check_half_closeable_stream(make, make_clogged)


async def test_what_a_pipe_holds_is_lost_with_a_reset():
    here, there = memory_pipe(10)
    await here.send_all(b"12345")
    there.reset()
    assert await receive_all(there) == (b"", "reset")
    with pytest.raises(trio.BrokenResourceError):
        await here.send_all(b"1")


async def test_without_a_plan_everything_passes(open_link):
    async with open_link(()) as (near, far, proxy):
        for one, other in [(near, far), (far, near)]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.send_all, bytes(5000))
                got = b""
                while len(got) < 5000:
                    got += await other.receive_some()
        await near.send_eof()
        assert await receive_all(far) == (b"", "end")
        await far.send_all(b"12")
        await far.aclose()
        assert await receive_all(near) == (b"12", "end")
        (connection,) = proxy.connections
        await connection.wait_ended()
        assert (connection.up, connection.down) == (5000, 5002)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_cut_is_at_its_byte_and_ends_both_ways(open_link, direction):
    async with open_link(Cut(direction=direction, after=7)) as (near, far, proxy):
        one, other = (near, far) if direction == "up" else (far, near)
        await one.send_all(b"0123")
        await one.send_all(b"456789")
        assert await receive_all(other) == (b"0123456", "end")
        assert await receive_all(one) == (b"", "end")
        assert getattr(proxy.connections[0], direction) == 7


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_reset_is_an_error_to_both(open_link, direction):
    async with open_link(Reset(direction=direction, after=7)) as (near, far, _):
        one, other = (near, far) if direction == "up" else (far, near)
        await one.send_all(b"0123456789")
        assert (await receive_all(other))[1] == "reset"
        assert (await receive_all(one))[1] == "reset"


async def test_of_a_half_closed_link_the_other_half_goes_on(open_link):
    async with open_link(HalfClose(direction="down", after=3)) as (near, far, proxy):
        await far.send_all(b"0123456789")
        assert await receive_all(near) == (b"012", "end")
        await near.send_all(b"still here")
        await near.send_eof()
        assert await receive_all(far) == (b"still here", "end")
        await far.aclose()
        await proxy.connections[0].wait_ended()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_who_is_not_read_cannot_send_on(open_link, direction):
    """The sender's buffer fills, however large it is; what was read before the stall arrives."""
    async with open_link(Stall(direction=direction, after=7)) as (near, far, proxy):
        one, other = (near, far) if direction == "up" else (far, near)
        if hasattr(one, "setsockopt"):
            one.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
        got = bytearray()

        async def receive():
            while True:
                got.extend(await other.receive_some())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            with trio.move_on_after(0.3) as scope:
                await one.send_all(bytes(20_000_000))
            assert scope.cancelled_caught
            assert len(got) == 7
            proxy.connections[0].resume()
            while len(got) == 7:  # noqa: ASYNC110 real bytes
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_a_stall_ends(autojump_clock):
    async with link_in_memory(Stall(direction="up", after=2, seconds=3, both=True)) as (near, far, _):
        began = trio.current_time()
        await near.send_all(b"0123")
        await far.send_all(b"back")
        assert await far.receive_some() == b"01"
        assert trio.current_time() - began == 0
        assert await near.receive_some() == b"back"
        assert trio.current_time() - began == 3
        assert await far.receive_some() == b"23"
        assert trio.current_time() - began == 3


async def test_a_delay_is_of_every_byte_and_slows_nothing(autojump_clock):
    async with link_in_memory(Delay(direction="up", seconds=0.5), capacity=10_000) as (near, far, _):
        began = trio.current_time()
        came = []

        async def receive():
            while len(came) < 20:
                came.append((await far.receive_some(), trio.current_time() - began))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            for n in range(20):
                await near.send_all(bytes([n]))
                await trio.sleep(0.1)
        assert came == [(bytes([n]), pytest.approx(n * 0.1 + 0.5)) for n in range(20)]


async def test_writes_are_split(autojump_clock, monkeypatch):
    written, send_all = [], MemoryEnd.send_all

    async def note(end, data):
        written.append(bytes(data))
        await send_all(end, data)

    async with link_in_memory(Split(direction="up", after=3, size=2)) as (near, far, proxy):
        await proxy.connection(1)
        monkeypatch.setattr(MemoryEnd, "send_all", note)
        await near.send_all(b"01234567")
        await near.send_eof()
        assert await receive_all(far) == (b"01234567", "end")
    assert written == [b"01234567", b"012", b"34", b"56", b"7"]


async def test_writes_are_merged(autojump_clock):
    """When there is enough, when the time is over, and before the end."""
    async with link_in_memory([Merge(size=8)]) as (near, far, _):
        began = trio.current_time()
        for _ in range(4):
            await far.send_all(b"01")
            await trio.sleep(0.001)
        assert await near.receive_some() == b"01010101"
        await far.send_all(b"01")
        assert await near.receive_some() == b"01"
        assert trio.current_time() - began == pytest.approx(0.024)
        await far.send_all(b"2")
        await far.send_eof()
        assert await near.receive_some() == b"2"
        assert trio.current_time() - began == pytest.approx(0.024)


async def test_every_connection_has_its_own_plan(autojump_clock):
    async with open_scripted_peer(greet=True) as peer, open_faulty_proxy(peer, {2: Cut()}) as proxy:
        async with open_session(connect=proxy.connect, url=proxy.url):
            pass
        with pytest.raises(errors.ConnectError):
            async with open_session(connect=proxy.connect, url=proxy.url):
                pass
        async with open_session(connect=proxy.connect, url=proxy.url):
            pass
        proxy.plan({4: Cut(direction="up")})
        with pytest.raises(errors.ConnectError):
            async with open_session(connect=proxy.connect, url=proxy.url):
                pass
        assert [connection.number for connection in proxy.connections] == [1, 2, 3, 4]


async def test_a_fault_at_a_moment(autojump_clock):
    async with link_in_memory(()) as (near, _far, proxy):
        await near.send_all(b"0123")
        connection = await proxy.connection(1)
        await trio.testing.wait_all_tasks_blocked()
        proxy.strike(Reset())
        await connection.wait_ended()
        assert (await receive_all(near))[1] == "reset"
        with pytest.raises(errors.ConfigurationError):
            proxy.strike(Delay(seconds=1))
        with pytest.raises(errors.ConfigurationError):
            proxy.strike(Cut(after=1))


async def test_a_server_that_is_not_there():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with open_faulty_proxy(f"ws://127.0.0.1:{port}/v1") as proxy:
        with pytest.raises(errors.ConnectError):
            async with open_session(url=proxy.url):
                pass


async def test_a_session_over_sockets_through_a_proxy():
    async with open_server() as server, open_faulty_proxy(server.url, Split(size=100)) as proxy:
        async with open_session(url=proxy.url) as session:
            assert "42" in (await session.ask("What is 6 times 7?")).text
        await proxy.connections[0].wait_ended()
        assert proxy.connections[0].down > 1000


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Cut(direction="left"),
        lambda: Cut(after=-1),
        lambda: Cut(after=1.5),
        lambda: Stall(seconds=-1),
        lambda: Stall(seconds=math.nan),
        lambda: Split(size=0),
        lambda: open_faulty_proxy("wss://a.example/v1"),
        lambda: open_faulty_proxy(Far(), {0: Cut()}),
        lambda: open_faulty_proxy(Far(), "cut"),
        lambda: open_faulty_proxy(Far(), Cut),
    ],
)
async def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(errors.ConfigurationError):
        async with wrong():
            pass


async def test_a_proxy_is_in_memory_or_listens():
    async with open_server() as server, open_faulty_proxy(server.url) as proxy:
        with pytest.raises(errors.ConfigurationError):
            async with open_session(connect=proxy.connect, url=proxy.url):
                pass
    with pytest.raises(errors.ConnectError):
        server.accept_stream(memory_pipe()[0])
