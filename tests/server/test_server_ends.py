"""How the server ends sessions, by their age or when a test asks for it, and how it refuses to begin any."""

import math
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack

import pytest
import trio

from realtime_trio.errors import ConfigurationError, ConnectionClosed, Refused, SessionExpired
from realtime_trio.server import __main__ as command
from realtime_trio.server import open_server
from realtime_trio.transport import Target, open_websocket

WAYS = pytest.mark.parametrize("listen", [False, True], ids=["memory", "socket"])
TARGET = Target(url="ws://localhost/v1/realtime?model=m")


def way_in(server):
    """Connect in the way that the server is there for, and only knock: the session is not awaited."""
    return open_websocket(Target(url=f"{server.url}?model=m")) if server.port else server.connect(TARGET)


async def end_of(link):
    """Receive up to the end, and return it."""
    with trio.fail_after(10), pytest.raises(ConnectionClosed) as caught:
        while True:
            await link.receive_message()
    return caught.value


async def are_in_progress(server, *numbers):
    """Wait until these sessions are in progress and no others."""
    with trio.fail_after(10):
        while server.sessions != numbers:  # noqa: ASYNC110 nobody else is told of their ends
            await trio.sleep(0.01)


# ---- age ----


@WAYS
async def test_a_session_that_is_too_old_is_told_so_and_closed(listen, make_client):
    async with open_server(listen=listen, recogniser="none", session_seconds=1) as server, way_in(server) as link:
        begun = trio.current_time()
        client = make_client(link)
        session = (await client.receive())["session"]
        problem = (await client.receive())["error"]
        took = trio.current_time() - begun
        with pytest.raises(SessionExpired) as caught:
            await client.receive()

    assert (problem["code"], caught.value.code) == ("session_expired", 1001)
    assert problem["message"] == caught.value.reason == "Your session hit the maximum duration of 1 second."
    assert 0.9 <= took < 5
    assert link.server_time == session["expires_at"] - 1
    assert abs(link.server_time - time.time()) < 10


@pytest.mark.parametrize(
    ("seconds", "words", "expires_in"),
    [
        (3600, "60 minutes", 3600),
        (60, "1 minute", 60),
        (90, "1.5 minutes", 90),
        (10, "10 seconds", 10),
        (2.5, "2.5 seconds", 2),
    ],
)
async def test_by_the_servers_own_clock_no_session_ends_before_it_says(
    autojump_clock, client_of, seconds, words, expires_in
):
    """Whole seconds of that clock are all that can be told: a fraction is left out of what is promised, not added."""
    async with open_server(listen=False, session_seconds=seconds) as server, client_of(server) as client:
        session = (await client.receive())["session"]
        begun = trio.current_time()
        problem = (await client.receive())["error"]
        took = trio.current_time() - begun

    assert took == pytest.approx(seconds)
    assert words in problem["message"]
    assert session["expires_at"] - client.link.server_time == expires_in


@pytest.mark.parametrize("seconds", [0, 0.5, -1, math.nan, math.inf])
async def test_an_age_that_makes_no_sense_is_refused(seconds):
    with pytest.raises(ConfigurationError, match="session_seconds"):
        async with open_server(listen=False, session_seconds=seconds):
            raise AssertionError("opened")


def test_the_command_takes_an_age(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["server", "--session-seconds", "0.25"])

    assert 2 == command.main()
    assert "error: session_seconds=0.25: it must be at least 1, and have an end\n" == capsys.readouterr().err


def test_the_commands_sessions_have_that_age():
    program = [sys.executable, "-m", "realtime_trio.server", "--session-seconds", "7"]

    async def ask(url):
        async with open_websocket(Target(url=f"{url}?model=m")) as link:
            return await link.receive_message(), link.server_time

    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            message, server_time = trio.run(ask, url)
        finally:
            process.send_signal(signal.SIGKILL)
    assert f'"expires_at":{server_time + 7:.0f}' in message


# ---- refusals ----


@WAYS
async def test_the_next_clients_are_refused_and_then_let_in(listen, make_client):
    async with open_server(listen=listen, recogniser="none") as server:
        server.refuse(2, status=503, body="come back later", retry_after=7)
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                async with way_in(server):
                    raise AssertionError("let in")
            assert (caught.value.status, caught.value.body, caught.value.retry_after) == (503, "come back later", 7)
        async with way_in(server) as link:
            assert "session.created" == (await make_client(link).receive())["type"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (503, None, '"type": "invalid_request_error"')),
        ({"status": 429, "body": b'{"error": {"code": "insufficient_quota"}}'}, (429, None, "insufficient_quota")),
        ({"status": 500, "retry_after": 0.25}, (500, 0.25, "")),
        ({"status": 500, "retry_after": 1000}, (500, 1000, "")),
        ({"status": 429, "retry_after": "Thu, 01 Jan 1970 00:00:00 GMT"}, (429, 0, "")),
        ({"status": 302, "body": ""}, (302, None, "")),
    ],
)
async def test_a_refusal_is_what_was_asked_for(autojump_clock, asked, expected):
    async with open_server(listen=False) as server:
        server.refuse(**asked)
        with pytest.raises(Refused) as caught:
            async with way_in(server):
                raise AssertionError("let in")

    status, retry_after, words = expected
    assert (caught.value.status, caught.value.retry_after) == (status, retry_after)
    assert words in caught.value.body


async def test_a_server_can_refuse_everybody_for_a_while(autojump_clock):
    async with open_server(listen=False) as server:
        server.refuse(math.inf)
        for _ in range(5):
            with pytest.raises(Refused):
                async with way_in(server):
                    raise AssertionError("let in")
        server.refuse(0)
        async with way_in(server) as link:
            await link.receive_message()


@pytest.mark.parametrize(
    "nonsense",
    [{"times": -1}, {"times": math.nan}, {"status": 200}, {"status": 101}, {"status": 600}, {"retry_after": -1},
     {"retry_after": math.inf}],
)  # fmt: skip
async def test_a_refusal_that_makes_no_sense_is_refused(autojump_clock, nonsense):
    async with open_server(listen=False) as server:
        with pytest.raises(ConfigurationError):
            server.refuse(**nonsense)
        async with way_in(server) as link:
            await link.receive_message()


# ---- breaking off, and closing ----


@WAYS
async def test_a_connection_breaks_off_without_a_word(listen, make_client):
    async with open_server(listen=listen, recogniser="none") as server, way_in(server) as link:
        await make_client(link).receive()
        assert server.drop_sessions() == 1
        end = await end_of(link)
        await are_in_progress(server)

    assert end.code == 1006
    assert server.drop_sessions() == 0


async def test_a_connection_breaks_off_in_the_middle_of_an_answer(autojump_clock, client_of):
    async def endless(request):
        while True:
            yield "word "

    async with open_server(listen=False, brain=endless) as server, client_of(server) as client:
        await client.send("response.create", response={"output_modalities": ["text"]})
        await client.until("response.output_text.delta")
        server.drop_sessions()
        assert (await end_of(client.link)).code == 1006
        await are_in_progress(server)


@WAYS
@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013, 4000])
async def test_a_session_is_closed_with_the_code_that_a_test_wants(listen, code, make_client):
    async with open_server(listen=listen, recogniser="none") as server, way_in(server) as link:
        await make_client(link).receive()
        assert server.close_sessions(code=code, reason="enough") == 1
        end = await end_of(link)

    assert (end.code, end.reason) == (code, "enough")


async def test_sessions_have_numbers(autojump_clock, make_client):
    """So that of a program's two links the old one or the new one can be ended."""
    async with open_server(listen=False) as server, AsyncExitStack() as stack:
        links = []
        for _ in range(4):
            links.append(await stack.enter_async_context(way_in(server)))
            await links[-1].receive_message()
        assert server.sessions == (1, 2, 3, 4)

        assert server.drop_sessions(2, 77) == 1
        assert server.close_sessions(3, 4, code=1012) == 2
        assert [(await end_of(link)).code for link in links[1:]] == [1006, 1012, 1012]
        await are_in_progress(server, 1)
        links.append(await stack.enter_async_context(way_in(server)))
        await links[-1].receive_message()
        assert server.sessions == (1, 5)


@pytest.mark.parametrize(
    "nonsense", [{"code": 1005}, {"code": 1006}, {"code": 1015}, {"code": 999}, {"code": 5000}, {"reason": "ä" * 62}]
)
async def test_a_close_that_nobody_can_say_is_refused(autojump_clock, nonsense):
    async with open_server(listen=False) as server, way_in(server) as link:
        await link.receive_message()
        with pytest.raises(ConfigurationError):
            server.close_sessions(**nonsense)
        assert server.sessions == (1,)


async def test_a_reset_is_a_reset():
    """Not an orderly end of the stream: what is on its way to the client may be lost with it."""
    async with open_server(recogniser="none") as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        await stream.send_all(
            b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        received = b""
        while b"session.created" not in received:
            received += await stream.receive_some()
        assert b"\r\ndate: " in received.lower()

        server.drop_sessions()

        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError) as caught:
            while await stream.receive_some():
                pass
        await stream.aclose()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
