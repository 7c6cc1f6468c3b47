"""The rows of docs/endings.md about sessions that reconnect: when they do, and how they end while there is no link."""

import math
import re
import signal
import ssl
import time
from contextlib import asynccontextmanager

import pytest
import trio
import trustme

from realtime_trio import (
    ConnectError,
    ConnectionClosed,
    DeviceUnavailable,
    LinkLost,
    NotAcknowledged,
    Reconnected,
    ReconnectPolicy,
    Refused,
    ServerError,
    SessionExpired,
    open_server,
    open_session,
    tool,
)
from realtime_trio.testing import FakeDevice, open_scripted_peer
from realtime_trio.transport import Target, open_websocket

from .cuttable import Cuttable
from .ends import GUARD, Boom, Stage, row, rows_of_the_page

RECONNECTS = {"reconnect": ReconnectPolicy()}
WHILE_RECONNECTING = ["this was while the session reconnected, because its link had been lost"]


@pytest.fixture
def stage():
    return Stage()


@asynccontextmanager
async def losing_its_link(stage: Stage, **options):
    """Open a session, lose its link, and refuse each attempt at another; see that the next session opens."""
    async with open_server(listen=False) as server:
        try:
            async with stage.session(server, **{**RECONNECTS, **options}) as session:
                notices = session.events(LinkLost)
                server.refuse(math.inf, status=503)
                stage.breaks()
                server.drop_sessions()
                await notices.receive()
                yield session, server
        finally:
            server.refuse(0)
            with trio.CancelScope(shield=True):
                async with open_session(connect=server.connect, audio=stage.device) as session:
                    await session.send_text("Still there.", when="now_silently")


# When it reconnects


CODES = [int(first.split()[-1]) for first in rows_of_the_page() if re.fullmatch(r"close code \d+", first)]
OTHERS = ["close code 1001, the session being too old", "no CLOSE, the link is just gone"]
AFTER_SILENCE = ["the link is silent", "the uplink is stalled"]


async def goes_on(stage: Stage, lose) -> list[object]:
    """Lose the link of a session with the default policy, and give what it tells."""
    async with open_scripted_peer(greet=True) as peer, stage.session(peer, **RECONNECTS) as session:
        notices = session.events(LinkLost, Reconnected)
        await lose(peer)
        told = [await notices.receive(), await notices.receive()]
        await session.append_audio(bytes(960))
        return told


@pytest.mark.parametrize("end", [*(f"close code {code}" for code in CODES), *OTHERS, *AFTER_SILENCE])
async def test_it_reconnects_where_the_page_says_so(autojump_clock, stage, end):
    async def lose(peer):
        stage.breaks()
        if found := re.search(r"\d+", end):
            await peer.close(int(found[0]), "maximum duration" if "too old" in end else "a reason")
        elif end == "the link is silent":
            peer.never_answer_pings()
        elif end == "the uplink is stalled":
            peer.stall()
        else:
            await peer.drop()

    if rows_of_the_page()[end][-1] == "reconnects":
        assert [type(notice) for notice in await goes_on(stage, lose)] == [LinkLost, Reconnected]
    else:
        with pytest.raises(ConnectionClosed) as caught:
            await goes_on(stage, lose)
        assert str(caught.value.code) in end
        assert stage.took <= 0.2


# While there is none


FAILURES = [ConnectError("no route"), *(Refused("not now", status=status) for status in (500, 503, 408, 425, 429))]


@row("an attempt fails: no network, DNS, HTTP 5xx, 408, 425 or 429, no answer")
@pytest.mark.parametrize("problem", [*FAILURES, NotAcknowledged("no answer")], ids=repr)
async def test_an_attempt_fails(autojump_clock, stage, problem):
    async with open_server(listen=False) as server:
        links = Cuttable(server.connect)
        links.url = server.url
        async with stage.session(links, **RECONNECTS) as session:
            notices = session.events(Reconnected)
            links.refusals = [problem]
            links.cut()
            assert (await notices.receive()).attempts == 2


@row("all attempts fail")
async def test_all_attempts_fail(autojump_clock, stage):
    with pytest.raises(ConnectionClosed, match="is the network up") as caught:
        async with losing_its_link(stage):
            await trio.sleep_forever()
    (note,) = caught.value.__notes__
    assert note.startswith("the session tried to reconnect 8 times in vain; at last: Refused(")
    assert 15 < stage.took < 32


async def test_all_attempts_go_unanswered(autojump_clock, stage):
    """Eight waits, and eight times as long as connecting may take."""

    @asynccontextmanager
    async def connect(target):
        if stage.device.is_open:  # this is not the first
            await trio.sleep(target.connect_timeout)
            raise ConnectError("nobody answers")
        async with server.connect(target) as stream:
            yield stream

    async with open_server(listen=False) as server:
        links = Cuttable(connect)
        links.url = server.url
        with pytest.raises(ConnectionClosed, match="cut"):
            async with stage.session(links, **RECONNECTS):
                stage.breaks()
                links.cut()
                await trio.sleep_forever()
    assert stage.took < 32 + 8 * 15


@row("an attempt is refused for good: HTTP 401 and other 4xx")
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_an_attempt_is_refused_for_good(autojump_clock, stage, status):
    async with open_server(listen=False) as server:
        with pytest.raises(Refused) as caught:
            async with stage.session(server, **RECONNECTS):
                server.refuse(status=status)
                stage.breaks()
                server.drop_sessions()
                await trio.sleep_forever()
    assert caught.value.status == status
    assert caught.value.__notes__ == WHILE_RECONNECTING
    assert stage.took <= 0.3


@row("an attempt finds that the quota is used up")
async def test_the_quota_is_used_up(autojump_clock, stage):
    async with open_server(listen=False) as server:
        with pytest.raises(Refused, match="insufficient_quota") as caught:
            async with stage.session(server, **RECONNECTS):
                server.refuse(status=429, body='{"error": {"message": "No money.", "code": "insufficient_quota"}}')
                stage.breaks()
                server.drop_sessions()
                await trio.sleep_forever()
    assert caught.value.__notes__ == WHILE_RECONNECTING
    assert stage.took <= 0.3


@row("an attempt finds a certificate that is not trusted")
async def test_the_certificate_is_not_trusted():
    """Over real sockets, and Trio's own clock."""
    authority, server_side = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    attempts = 0

    @asynccontextmanager
    async def connect(target):
        nonlocal attempts
        attempts += 1
        opened = open_websocket(Target(url=stranger.url)) if attempts > 1 else server.connect(target)
        async with opened as stream:
            yield stream

    async with (
        open_scripted_peer(port=0, ssl_context=server_side) as stranger,
        open_server(listen=False) as server,
    ):
        with trio.fail_after(GUARD), pytest.raises(ConnectError, match=r"certificate .* not accepted") as caught:
            async with open_session(connect=connect, **RECONNECTS):
                server.drop_sessions()
                await trio.sleep_forever()
    assert attempts == 2
    assert caught.value.__notes__ == WHILE_RECONNECTING


@row("the server does not take the configuration any more")
async def test_the_configuration_is_not_taken_any_more(autojump_clock, stage):
    first = True

    async def script(peer):
        nonlocal first
        if first:
            first = False
            await peer.greet()
            await peer.expect("let go")
            await peer.drop()
            return
        await peer.greet(update=False)
        update = await peer.expect("session.update")
        error = {"type": "invalid_request_error", "message": "No such voice.", "event_id": update["event_id"]}
        await peer.send("error", error=error)

    async with open_scripted_peer(script) as peer:
        with pytest.raises(ServerError, match="No such voice") as caught:
            async with stage.session(peer, voice=False, **RECONNECTS) as session:
                stage.breaks()
                await session.send_raw({"type": "let go"})
                await trio.sleep_forever()
    assert caught.value.__notes__ == WHILE_RECONNECTING
    assert stage.took <= 0.3


@row("the body raises while there is no connection")
async def test_the_body_raises(autojump_clock, stage):
    error = Boom("mine")
    with pytest.raises(Boom) as caught:
        async with losing_its_link(stage):
            await trio.sleep(2)
            stage.breaks()
            raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert stage.took <= 0.2


@row("the body is cancelled while there is no connection")
async def test_the_body_is_cancelled(autojump_clock, stage):
    with trio.CancelScope() as scope:
        async with losing_its_link(stage):
            await trio.sleep(2)
            stage.breaks()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert stage.took <= 0.2


@row("Ctrl-C while there is no connection")
def test_ctrl_c():
    """Twice: while it waits for the next attempt, and while it connects."""

    async def main(connecting):
        lost = trio.Event()

        @asynccontextmanager
        async def connect(target):
            if lost.is_set():
                await trio.sleep(GUARD if connecting else 0)
                raise ConnectError("no route")
            async with server.connect(target) as stream:
                yield stream

        policy = ReconnectPolicy(first_wait=GUARD, longest_wait=GUARD)
        async with (
            open_server(listen=False) as server,
            open_session(connect=connect, audio=FakeDevice(), reconnect=policy) as session,
        ):
            notices = session.events(LinkLost)
            lost.set()
            server.drop_sessions()
            await notices.receive()
            await trio.sleep(0.1)
            signal.raise_signal(signal.SIGINT)
            await trio.sleep(GUARD)

    for connecting in (True, False):
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            trio.run(main, connecting)
        assert time.monotonic() - began < GUARD


@row("the device is lost while there is no connection")
async def test_the_device_is_lost(autojump_clock, stage):
    error = DeviceUnavailable("unplugged")
    with pytest.raises(DeviceUnavailable) as caught:
        async with losing_its_link(stage):
            await trio.sleep(2)
            stage.breaks()
            stage.device.fail(error)
            await trio.sleep_forever()
    assert caught.value is error
    assert stage.took <= 0.2


@row('a tool crashes while there is no connection, with `tool_errors="raise"`')
async def test_a_tool_crashes(autojump_clock, stage):
    began, goes_on = trio.Event(), trio.Event()

    @tool
    async def fail() -> None:
        """Fail."""
        began.set()
        await goes_on.wait()
        raise Boom("in the tool")

    async with open_server(listen=False) as server:
        with pytest.raises(Boom, match="in the tool"):
            async with stage.session(server, voice=False, tools=[fail], tool_errors="raise", **RECONNECTS) as session:
                await session.send_text("Please call fail {}")
                await began.wait()
                server.refuse(math.inf)
                server.drop_sessions()
                await trio.sleep(2)
                stage.breaks()
                goes_on.set()
                await trio.sleep_forever()
    assert stage.took <= 0.2


@row("the body ends while there is no connection")
@pytest.mark.parametrize("owed", [False, True])
async def test_the_body_ends(autojump_clock, stage, owed):
    """What is owed is said over the next link."""
    async with open_server(listen=False) as server, stage.session(server, **RECONNECTS) as session:
        notices, responses = session.events(LinkLost), session.responses()
        if owed:
            await session.send_text("What is 6 times 7?")
            await responses.receive()
        server.refuse(4)
        server.drop_sessions()
        await notices.receive()
        stage.breaks()
    said = [item.heard_text for item in session.conversation if item.role == "assistant"]
    if owed:
        assert len(said) == 1
        assert "42" in said[0]
        assert stage.device.played
    else:
        assert said == []
        assert stage.took <= 0.2


@row("the connection grows too old, and no other can be had")
async def test_the_connection_grows_too_old(autojump_clock, stage):
    """As long as it lasts, nobody notices that the next one is refused, whatever the reason."""
    async with open_server(listen=False, session_seconds=100) as server:
        with pytest.raises(SessionExpired) as caught:
            async with stage.session(server, **RECONNECTS) as session:
                notices = session.events(LinkLost)
                server.refuse(math.inf, status=503)
                began = trio.current_time()
                await session.ask("What is 6 times 7?")
                assert isinstance((await notices.receive()).problem, SessionExpired)
                assert trio.current_time() - began == pytest.approx(100, abs=2)
                stage.breaks()
                await trio.sleep_forever()
    assert "in vain" in caught.value.__notes__[0]
    assert stage.took < 32


@row("somebody waits for an answer while there is no connection")
async def test_somebody_waits(autojump_clock, stage):
    told = []

    async def ask(session):
        with pytest.raises(ConnectionClosed) as caught:
            await session.ask("What is 6 times 7?")
        told.append((type(caught.value), trio.current_time()))

    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionClosed):
            async with losing_its_link(stage) as (session, _):
                nursery.start_soon(ask, session)
                await trio.sleep_forever()
        ended = stage.broke_at + stage.took
    ((kind, at),) = told
    assert kind is ConnectionClosed
    assert at == pytest.approx(ended, abs=0.2)
