"""The programs in docs/devices.md are complete and do what the page says: its own text is what runs here."""

import re
import socket
import struct
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import realtime_trio.audio
from realtime_trio import ConnectionClosed, DeviceUnavailable, open_server, open_session
from realtime_trio.audio import BridgeDevice
from realtime_trio.audio.pcm import fade_out
from realtime_trio.device import AudioDevice, AudioStream

LIMIT = 60  # seconds
PAGE = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
(DEVICE,) = (block for block in BLOCKS if "class Phone:" in block)
(BRIDGE,) = (block for block in BLOCKS if "async def from_browser(" in block)


def run_text(block):
    """Run a program of the page, and give what it defines."""
    names = {}
    exec(compile(block, "docs/devices.md", "exec"), names)  # noqa: S102 - our own documentation
    return names


def phone(line):
    """Make the page's own device from its text."""
    return run_text(DEVICE)["Phone"](line)


@contextmanager
def telephone_line():
    with socket.socket(type=socket.SOCK_DGRAM) as near, socket.socket(type=socket.SOCK_DGRAM) as far:
        for end in (near, far):
            end.bind(("127.0.0.1", 0))
            end.settimeout(0)
        near.connect(far.getsockname())
        far.connect(near.getsockname())
        yield near, far


def numbered(count: int, first: int = 0) -> bytes:
    return struct.pack(f"<{count}h", *range(1 + first, 1 + first + count))


def test_it_is_as_short_as_promised():
    assert len([line for line in DEVICE.splitlines() if line.strip()]) <= 40


@pytest.mark.parametrize("block", BLOCKS)
def test_every_program_on_the_page_is_python(block):
    """With `await` outside of a function, as in a notebook."""
    compile("async def page():\n" + "".join(f"    {line}\n" for line in block.splitlines()), "docs/devices.md", "exec")


def test_what_the_page_names_is_there():
    table = PAGE.partition("| you have | give |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)\(", table))

    assert named == {"SoundCard", "WavDevice", "BridgeDevice", "ClockedDevice", "memory_pair"}
    assert named <= set(realtime_trio.audio.__all__)


async def test_it_is_a_device_and_moves_sound(autojump_clock):
    with telephone_line() as (near, far):
        device = phone(near)
        assert isinstance(device, AudioDevice)
        async with device.open() as stream:
            assert isinstance(stream, AudioStream)
            begun = trio.current_time()
            stream.write(numbered(1000))
            far.send(numbered(480, 5000))
            first, second, third = [await stream.receive_block() for _ in range(3)]

            assert trio.current_time() == pytest.approx(begun + 0.06)
            assert [block.captured for block in (first, second)] == [numbered(480, 5000), bytes(960)]
            assert second.captured_at == pytest.approx(begun + 0.02)
            assert [block.position.samples for block in (first, second, third)] == [480, 960, 1000]
            assert third.position.until == pytest.approx(begun + 0.06 + 40 / 24_000 + 0.06)
            assert b"".join(far.recv(4096) for _ in range(3)) == numbered(1000).ljust(2880, b"\0")


async def test_a_cut_falls_as_the_drawing_says(autojump_clock):
    """Two blocks were handed over, the 40 samples that wait are faded, and the next generation begins at zero."""
    with telephone_line() as (near, far):
        async with phone(near).open() as stream:
            stream.write(numbered(1000))
            before = [await stream.receive_block() for _ in range(2)][-1]
            stream.cut(1)
            after = await stream.receive_block()

        assert (before.position.generation, before.position.samples, before.cut) == (0, 960, None)
        assert (after.cut.generation, after.cut.samples) == (0, 1000)
        assert (after.position.generation, after.position.samples) == (1, 0)
        assert [far.recv(4096) for _ in range(3)][-1] == fade_out(numbered(40, 960)).ljust(960, b"\0")


async def test_leaving_sends_the_fade(autojump_clock):
    with telephone_line() as (near, far):
        async with phone(near).open() as stream:
            stream.write(numbered(1000))
            await stream.receive_block()
            stream.cut(1)

        assert [far.recv(4096) for _ in range(2)] == [numbered(480), fade_out(numbered(240, 480))]


async def test_a_line_that_stalled_adds_no_delay(autojump_clock):
    """Half a second that comes at once is cut down to its last 100 ms."""
    with telephone_line() as (near, far):
        async with phone(near).open() as stream:
            for n in range(25):
                far.send(numbered(480, 480 * n))
            captured = b"".join([(await stream.receive_block()).captured for _ in range(6)])

        assert captured == numbered(2400, 20 * 480) + bytes(960)


async def test_who_hangs_up_ends_the_session_in_words(autojump_clock):
    """The system tells it with what is sent or received next, so nobody's own error goes up."""
    with telephone_line() as (near, far), pytest.raises(DeviceUnavailable, match=r"hung up .*: wait for the next call"):
        async with phone(near).open() as stream:
            await stream.receive_block()
            far.close()
            for _ in range(3):
                await stream.receive_block()


async def test_leaving_a_line_that_is_dead_raises_nothing(autojump_clock):
    with telephone_line() as (near, far):
        async with phone(near).open() as stream:
            stream.write(numbered(1000))
            await stream.receive_block()
            stream.cut(1)
            far.close()
            near.send(b"")  # who sends next, which is the fade, hears that nobody is there


async def test_a_line_that_takes_nothing_more_is_alive():
    class FullLine:
        def send(self, pcm):
            raise BlockingIOError

        recv = send

    async with phone(FullLine()).open() as stream:
        assert (await stream.receive_block()).captured == bytes(960)


class Browser:
    """The far end of a WebSocket, and the WebSocket itself: a silent person who hears everything."""

    def __init__(self):
        self.gone = False
        self.heard = 0
        self._hears = trio.Event()

    def __aiter__(self):
        return self

    async def __anext__(self):
        await trio.sleep(0.02)
        if self.gone:
            raise StopAsyncIteration
        return bytes(960)

    async def send(self, pcm):
        await trio.lowlevel.checkpoint()
        self.heard += len(pcm)
        self._hears.set()

    async def hears(self):
        await self._hears.wait()


@pytest.fixture
async def server(monkeypatch):
    async with open_server(recogniser="none") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


async def test_the_bridge_ends_when_the_browser_leaves(server):
    browser = Browser()
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_text(BRIDGE)["talk"], browser)
            await browser.hears()
            browser.gone = True


async def test_the_bridge_ends_with_the_servers_words_when_the_server_goes(monkeypatch):
    browser = Browser()
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:

            async def talk():
                with pytest.raises(ConnectionClosed):
                    await run_text(BRIDGE)["talk"](browser)

            async with open_server(recogniser="none") as server:
                monkeypatch.setenv("OPENAI_BASE_URL", server.url)
                nursery.start_soon(talk)
                await browser.hears()


async def test_the_bridges_tasks_end_with_the_session_wherever_they_run(server):
    """Also outside of its block, where nothing cancels them."""
    page, browser, device = run_text(BRIDGE), Browser(), BridgeDevice()
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page["from_browser"], browser, device)
            nursery.start_soon(page["to_browser"], browser, device)
            async with open_session(audio=device):
                await browser.hears()

    assert browser.heard
    assert not browser.gone
