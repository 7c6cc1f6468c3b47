"""Rows of docs/endings.md once more, over real sockets and on the real clock, with a guard in place of exact times.

Those about name resolution, TLS and Ctrl-C are real already in `test_table_of_ends`.
"""

import time

import pytest
import trio

from realtime_trio import (
    ConnectionClosed,
    DeviceUnavailable,
    LinkLost,
    Reconnected,
    ReconnectPolicy,
    Refused,
    open_server,
    open_session,
    tool,
)
from realtime_trio.testing import FakeDevice, open_scripted_peer

from .ends import GUARD, Boom

pytestmark = pytest.mark.slow

SAID = '{"error": {"message": "No, sk-secret1234567890.", "code": "some_code"}}'
QUICK = ReconnectPolicy(first_wait=0.05, longest_wait=0.05, attempts=3)


async def closed(peer, _, __):
    await peer.close(1011, "because of sk-secret1234567890")


async def lost(peer, _, __):
    await peer.drop()


async def stalled(peer, session, _):
    """Until the system's buffers are full, and 5 s longer."""
    peer.stall()
    while True:
        await session.append_audio(bytes(48_000 * 30))


async def device_fails(_, __, device):
    device.fail(DeviceUnavailable("unplugged"))


async def body_raises(_, __, ___):
    raise Boom("mine")


@pytest.mark.parametrize(
    ("act", "kind", "says"),
    [
        (closed, ConnectionClosed, r"code 1011: because of \[redacted\]"),
        (lost, ConnectionClosed, "code 1006"),
        (stalled, ConnectionClosed, "code 1006: stalled"),
        (device_fails, DeviceUnavailable, "unplugged"),
        (body_raises, Boom, "mine"),
    ],
)
async def test_it_ends(act, kind, says):
    device = FakeDevice()
    async with open_scripted_peer(greet=True, port=0) as peer:
        with trio.fail_after(3 * GUARD):
            began = time.monotonic()
            with pytest.raises(kind, match=says) as caught:
                async with open_session(url=peer.url, audio=device, reconnect=None) as session:
                    await act(peer, session, device)
                    await trio.sleep_forever()
        assert type(caught.value) is kind
        assert time.monotonic() - began < 2 * GUARD
        assert not device.is_open


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_the_handshake_is_refused(status):
    async with open_scripted_peer(port=0) as peer:
        peer.refuse(status, SAID, [("Retry-After", "7")])
        with trio.fail_after(GUARD), pytest.raises(Refused, match=r"it says: No, \[redacted\] \(some_code\)") as caught:
            async with open_session(url=peer.url):
                pytest.fail("it opened")
        assert (caught.value.status, caught.value.retry_after) == (status, 7)


async def test_a_tool_crashes_and_ends_it():
    @tool
    async def fail() -> None:
        """Fail."""
        raise Boom("in the tool")

    async with open_server() as server:
        with trio.fail_after(GUARD), pytest.raises(Boom, match="in the tool"):
            async with open_session(url=server.url, tools=[fail], tool_errors="raise") as session:
                await session.send_text("Please call fail {}")
                await trio.sleep_forever()


async def test_a_lost_link_is_followed_by_another():
    async with open_server() as server:
        with trio.fail_after(GUARD):
            async with open_session(url=server.url, reconnect=QUICK) as session:
                notices = session.events(LinkLost, Reconnected)
                server.refuse(2, status=503)
                server.drop_sessions()
                assert isinstance(await notices.receive(), LinkLost)
                assert (await notices.receive()).attempts == 3
                assert "42" in (await session.ask("What is 6 times 7?")).text


@pytest.mark.parametrize(("status", "kind"), [(503, ConnectionClosed), (401, Refused)])
async def test_no_other_link_can_be_had(status, kind):
    device = FakeDevice()
    async with open_server() as server:
        with trio.fail_after(GUARD), pytest.raises(kind) as caught:
            async with open_session(url=server.url, audio=device, reconnect=QUICK):
                server.refuse(99, status=status)
                server.drop_sessions()
                await trio.sleep_forever()
        assert "reconnect" in caught.value.__notes__[0]
        assert not device.is_open
        server.refuse(0)
        async with open_session(url=server.url, audio=device) as session:
            await session.send_text("Still there.", when="now_silently")
