"""The link: how it comes about, how it ends, and that every end has a reason and comes in bounded time."""

import signal
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
import trustme

from realtime_trio.errors import ConnectError, ConnectionClosed, Refused, RemoteProtocolError, SessionExpired
from realtime_trio.testing import open_scripted_peer
from realtime_trio.transport import Target, open_websocket, receive_handshake, websocket_over

KEY = "sk-" + "proj-abcdefghijklmnop"  # in two, so that nobody takes it for a real one
WRONG_ACCEPT = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n"


@pytest.fixture
async def peer():
    """A peer over memory streams."""
    async with open_scripted_peer() as peer:
        yield peer


@asynccontextmanager
async def tcp_server(handler):
    """Serve raw bytes on a free port of this machine."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handler, [listener])
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/v1/realtime?token=hunter2"
        nursery.cancel_scope.cancel()


async def receive_all(stream):
    """Return the messages up to the end, and the end."""
    messages = []
    while True:
        try:
            messages.append(await stream.receive_message())
        except ConnectionClosed as end:
            return messages, end


# --- coming about -----------------------------------------------------------------------------------------------


async def test_the_handshake_carries_path_query_and_headers(peer, autojump_clock):
    target = Target(url="ws://h:81/v1/realtime?model=m", headers=(("Authorization", f"Bearer {KEY}"),))
    async with peer.connect(target):
        (handshake,) = peer.handshakes
        assert (handshake.path, handshake.query) == ("/v1/realtime", {"model": "m"})
        assert handshake.header("authorization") == f"Bearer {KEY}"
        assert handshake.header("OpenAI-Beta") is None
        assert KEY not in repr(handshake)
    assert KEY not in repr(target)


@pytest.mark.parametrize(
    ("url", "host"),
    [("wss://h/x", b"h"), ("wss://h:443/", b"h:443"), ("ws://h:81", b"h:81"), ("ws://[::1]:81/", b"[::1]:81")],
)
async def test_the_host_header_is_written_as_browsers_do(autojump_clock, url, host):
    client, server = trio.testing.memory_stream_pair()
    with pytest.raises(ConnectError):
        async with websocket_over(client, Target(url=url, connect_timeout=1)):
            pytest.fail("it opened")

    assert b"\r\nHost: " + host + b"\r\n" in await server.receive_some()


async def test_a_refusal_tells_status_words_and_cure_but_no_piece_of_the_key(peer, autojump_clock):
    peer.refuse(
        401, '{"error": {"message": "Incorrect API key provided: sk-proj-abc***mnop.", "code": "invalid_api_key"}}'
    )

    with pytest.raises(Refused) as caught:
        async with peer.connect(Target(url="wss://api.openai.com/v1/realtime")):
            pytest.fail("it opened")

    assert caught.value.status == 401
    assert "invalid_api_key" in caught.value.body
    assert str(caught.value) == (
        "the server refused the connection with status 401; the key is missing, wrong or revoked "
        "(OPENAI_API_KEY); it says: Incorrect API key provided: [redacted] (invalid_api_key)"
    )
    assert "sk-proj" not in str(caught.value) + caught.value.body
    assert caught.value.__context__ is None


async def test_over_a_stream_of_somebody_elses_making_no_host_is_blamed(peer, autojump_clock):
    """It may lead anywhere, for example into this process: only who dialled knows whom."""
    client, server = trio.testing.memory_stream_pair()
    target = Target(url="wss://api.openai.com/v1/realtime", connect_timeout=3)
    with pytest.raises(ConnectError, match=r"^the server did not answer within 3 s"):
        async with websocket_over(client, target):
            pytest.fail("it opened")
    await server.aclose()

    client, server = trio.testing.memory_stream_pair()
    await server.aclose()
    with pytest.raises(ConnectError, match=r"^the server hung up"):
        async with websocket_over(client, target):
            pytest.fail("it opened")

    client, server = trio.testing.memory_stream_pair()
    await server.send_all(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(Refused, match=r"^the tunnel to h refused the connection"):
        async with websocket_over(client, target, where="the tunnel to h"):
            pytest.fail("it opened")


FOREIGN_KEY = "9f8e7d6c5b4a39281706"


@pytest.mark.parametrize(
    "target",
    [
        Target(url="ws://h", headers=(("Authorization", f"Bearer {FOREIGN_KEY}"),)),
        Target(url="ws://h", headers=(("api-key", FOREIGN_KEY),)),
        Target(url=f"ws://h/?api-key={FOREIGN_KEY}"),
    ],
    ids=["bearer", "header", "query"],
)
async def test_whatever_the_key_looks_like_no_end_of_a_link_quotes_it(peer, autojump_clock, target):
    peer.refuse(401, f"wrong key {FOREIGN_KEY}, or 9f8e7***1706", [("Location", f"/{FOREIGN_KEY}")])
    with pytest.raises(Refused) as caught:
        async with peer.connect(target):
            pytest.fail("it opened")
    assert caught.value.body == "wrong key [redacted], or [redacted]"
    assert "it points to /[redacted]; it says: wrong key [redacted], or [redacted]" in str(caught.value)

    peer.refuse(101)
    async with peer.connect(target) as stream:
        await peer.close(3000, f"wrong key {FOREIGN_KEY}")
        _, end = await receive_all(stream)
    assert end.reason == "wrong key [redacted]"


async def test_a_refusal_that_hangs_up_does_not_quote_the_key_either():
    async def handler(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\nnobody knows " + FOREIGN_KEY.encode())

    async with tcp_server(handler) as url:
        with pytest.raises(Refused, match=r"it says: nobody knows \[redacted\]"):
            async with open_websocket(Target(url=url, headers=(("x-api-key", FOREIGN_KEY),))):
                pytest.fail("it opened")


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("1.5", 1.5), ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0), ("soon", None)]
)
async def test_a_refusal_says_when_to_come_back(peer, autojump_clock, value, seconds):
    peer.refuse(429, "slow down", [("Retry-After", value)])

    with pytest.raises(Refused, match="it says: slow down") as caught:
        async with peer.connect(Target(url="ws://h")):
            pytest.fail("it opened")

    assert (caught.value.status, caught.value.retry_after) == (429, seconds)


async def test_a_refusal_says_when_to_come_back_as_a_date_to_come(peer, autojump_clock):
    peer.refuse(503, "", [("Retry-After", "Fri, 01 Jan 2100 00:00:00 GMT")])

    with pytest.raises(Refused) as caught:
        async with peer.connect(Target(url="ws://h")):
            pytest.fail("it opened")

    assert caught.value.retry_after > 1e9
    assert caught.value.body == ""


async def test_after_a_refusal_the_next_is_let_in(peer, autojump_clock):
    peer.refuse(500)
    with pytest.raises(Refused):
        async with peer.connect(Target(url="ws://h")):
            pytest.fail("it opened")
    peer.refuse(101)
    async with peer.connect(Target(url="ws://h")):
        await peer.connected()


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\nupstream sk-abcdef is down", 502, "it says: upstream [redacted] is down"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://other/x?token=t\r\nContent-Length: 0\r\n\r\n",
            301,
            "https://other/x",
        ),
        (b"HTTP/1.0 404 Not Found\r\n\r\n<html>", 404, "check url= and model="),
    ],
)
async def test_an_answer_that_ends_by_hanging_up_is_a_refusal_too(answer, status, words):
    async def handler(stream):
        await stream.receive_some()
        await stream.send_all(answer)
        await stream.aclose()

    async with tcp_server(handler) as url:
        with pytest.raises(Refused) as caught:
            async with open_websocket(Target(url=url)):
                pytest.fail("it opened")

    assert caught.value.status == status
    assert words in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "hung up when asked for a WebSocket"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not a WebSocket handshake"),
        (WRONG_ACCEPT, "is not a WebSocket handshake"),
        (b"\x00" * 300_000, "is not a WebSocket handshake"),
    ],
)  # fmt: skip
async def test_what_is_no_websocket_server_is_told_apart(answer, words):
    async def handler(stream):
        await stream.receive_some()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(answer)
        await stream.aclose()

    async with tcp_server(handler) as url:
        with pytest.raises(ConnectError, match=words) as caught:
            async with open_websocket(Target(url=url)):
                pytest.fail("it opened")

    assert type(caught.value) is ConnectError
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_says_nothing_is_waited_for_so_long_and_no_longer():
    async def handler(stream):
        await trio.sleep_forever()

    async with tcp_server(handler) as url:
        with trio.fail_after(3), pytest.raises(ConnectError, match=r"did not answer within 0\.2 s"):
            async with open_websocket(Target(url=url, connect_timeout=0.2)):
                pytest.fail("it opened")


async def test_nobody_listens():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()

    with pytest.raises(ConnectError, match=rf"no connection to 127.0.0.1 port {port} .*refused.*server running"):
        async with open_websocket(Target(url=f"ws://127.0.0.1:{port}/")):
            pytest.fail("it opened")


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70 + ".example"])
async def test_a_name_that_does_not_resolve(host):
    with pytest.raises(ConnectError, match=f"the name '{host}' does not resolve"):
        async with open_websocket(Target(url=f"ws://{host}/")):
            pytest.fail("it opened")


def test_ctrl_c_while_connecting_comes_out_plain():
    """Trio tries each address in a task of a nursery of its own, whose group would come out."""

    class Interrupted(trio.socket.SocketType):
        def __init__(self, *arguments):
            pass

        def setsockopt(self, *arguments):
            pass

        def close(self):
            pass

        async def connect(self, address):
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    class Factory(trio.abc.SocketFactory):
        def socket(self, *arguments):
            return Interrupted()

    async def main():
        trio.socket.set_custom_socket_factory(Factory())
        async with open_websocket(Target(url="ws://127.0.0.1:9")):
            pytest.fail("it opened")

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)


def tls(*names):
    """Make a server's context, and a client's that trusts it."""
    ca = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*names).configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


async def test_tls_with_an_authority_of_ones_own():
    server, client = tls("127.0.0.1")
    async with open_scripted_peer(port=0, ssl_context=server) as peer:
        assert peer.url.startswith("wss://127.0.0.1:")
        async with open_websocket(Target(url=peer.url, ssl_context=client)) as stream:
            await stream.send_message('{"type": "hello"}')
            await peer.expect("hello")
            await peer.send("x" * 100_000)
            assert len(await stream.receive_message()) > 100_000
        assert (await peer.expect_end()).code == 1000


@pytest.mark.parametrize("names", [("127.0.0.1",), ("example.org",)])
async def test_a_certificate_that_is_not_accepted(names):
    server, client = tls(*names)
    context = client if names == ("example.org",) else None
    async with open_scripted_peer(port=0, ssl_context=server) as peer:
        with pytest.raises(ConnectError, match=r"the certificate of 127\.0\.0\.1 is not accepted .*ssl_context="):
            async with open_websocket(Target(url=peer.url, ssl_context=context)):
                pytest.fail("it opened")


async def test_tls_with_a_server_that_speaks_plain_text():
    async with tcp_server(lambda stream: stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        with pytest.raises(ConnectError, match=r"no TLS with .* the URL begins with ws://"):
            async with open_websocket(Target(url=url.replace("ws://", "wss://"))):
                pytest.fail("it opened")


async def test_tls_with_a_server_that_hangs_up():
    async with tcp_server(lambda stream: stream.aclose()) as url:
        with pytest.raises(ConnectError, match=r"hung up during the TLS handshake|no TLS with"):
            async with open_websocket(Target(url=url.replace("ws://", "wss://"))):
                pytest.fail("it opened")


# --- being open -------------------------------------------------------------------------------------------------


async def test_a_message_longer_than_a_mebibyte_passes_both_ways(peer, autojump_clock):
    """trio-websocket's own limit closes real sessions when a long user turn is retrieved."""
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.send("big", audio="x" * 3_000_000)
        assert len(await stream.receive_message()) > 3_000_000
        await stream.send_message('{"type": "big", "audio": "' + "y" * 3_000_000 + '"}')
        assert len((await peer.expect("big"))["audio"]) == 3_000_000


async def test_a_message_that_is_too_long_ends_with_1009(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h", max_message_size=1000)) as stream:
        await peer.send("big", audio="x" * 1000)
        with pytest.raises(ConnectionClosed) as caught:
            await stream.receive_message()
        assert caught.value.code == 1009
        assert (await peer.expect_end()).code == 1009


async def test_a_binary_message_is_a_typed_problem_and_the_link_goes_on(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.send_bytes(b"\x82\x03abc")
        await peer.send_text("after")
        with pytest.raises(RemoteProtocolError, match="binary message of 3 bytes"):
            await stream.receive_message()
        assert await stream.receive_message() == "after"


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff", b"\x83\x00", b"\x81\x02\xff\xfe", b"\x80\x01x", b"\x09\x00", b"\x81\x85abcdefghi", b"\x88\x01x"],
    ids=["reserved bits", "unknown opcode", "bad UTF-8", "lost continuation", "ping in pieces", "masked", "bad close"],
)
async def test_bytes_that_are_no_websocket_end_the_link_with_a_reason(peer, autojump_clock, garbage):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.send_text("before")
        await peer.send_bytes(garbage)
        messages, end = await receive_all(stream)
        with pytest.raises(ConnectionClosed):
            await stream.send_message("x")

    assert messages == ["before"]
    assert end.code in {1002, 1007}
    assert end.reason


async def test_a_cancelled_receive_consumes_nothing(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        with trio.move_on_after(1):
            await stream.receive_message()
        await peer.send_text("one")
        assert await stream.receive_message() == "one"


# --- ending -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1000, "", ConnectionClosed),
        (1001, "going down", ConnectionClosed),
        (1001, "Your session hit the maximum duration of 60 minutes.", SessionExpired),
        (1000, "Your session hit the maximum duration of 60 minutes.", ConnectionClosed),
        (1008, "session expired", ConnectionClosed),
        (1001, "session expired", SessionExpired),
        (1011, "oops", ConnectionClosed),
        (4000, "beta_api_shape_disabled", ConnectionClosed),
    ],
)
async def test_the_peer_closes(peer, autojump_clock, code, reason, kind):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.send_text("last words")
        await peer.close(code, reason)
        messages, end = await receive_all(stream)
        with pytest.raises(ConnectionClosed) as again:
            await stream.send_message("x")

    assert messages == ["last words"]
    assert (type(end), end.code, end.reason) == (kind, code, reason)
    assert (type(again.value), again.value.code, again.value.reason) == (kind, code, reason)


async def test_the_peers_reason_is_redacted(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.close(3000, f"no such key: {KEY}")
        _, end = await receive_all(stream)

    assert end.reason == "no such key: [redacted]"


async def test_the_link_drops(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.drop()
        _, end = await receive_all(stream)

    assert (end.code, end.reason) == (1006, "the link was lost")


@pytest.mark.parametrize("secure", [False, True])
async def test_the_link_drops_on_a_real_socket(secure):
    server, client = tls("127.0.0.1") if secure else (None, None)
    async with (
        open_scripted_peer(port=0, ssl_context=server) as peer,
        open_websocket(Target(url=peer.url, ssl_context=client)) as stream,
    ):
        await peer.drop()
        _, end = await receive_all(stream)

    assert end.code == 1006


async def test_we_close(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await stream.aclose(1000, "bye")
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_message("x")
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_message()
        await stream.aclose()
        assert (await peer.expect_end()).reason == "bye"
    assert trio.current_time() == 0


async def test_closing_wakes_who_waits(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream, trio.open_nursery() as nursery:

        async def wait():
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_message()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()


async def test_a_ping_at_the_moment_of_closing_does_not_cost_the_goodbye(autojump_clock):
    """It may not be answered any more, and is no reason to drop the link before the peer has our CLOSE."""

    class Crossing(trio.abc.Stream):
        """Has a ping arrive between the decision to close and the CLOSE on the wire."""

        async def send_all(self, data):
            if data[0] == 0x88:
                await server.send_all(b"\x89\x00")
                await trio.testing.wait_all_tasks_blocked()
            await client.send_all(data)

        async def wait_send_all_might_not_block(self):
            await client.wait_send_all_might_not_block()

        async def receive_some(self, max_bytes=None):
            return await client.receive_some(max_bytes)

        async def aclose(self):
            await client.aclose()

    async def serve():
        async with receive_handshake(server) as handshake:
            _, end = await receive_all(await handshake.accept())
            ends.append(end)

    ends = []
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with websocket_over(Crossing(), Target(url="ws://h")) as stream:
            start = trio.current_time()
            await stream.aclose(1000, "goodbye")
            assert trio.current_time() == start
    assert [(end.code, end.reason) for end in ends] == [(1000, "goodbye")]


async def test_a_peer_that_never_answers_close_costs_half_a_second(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")):
        await peer.connected()
        peer.never_answer_close()
    assert trio.current_time() == pytest.approx(0.5)


async def test_a_peer_that_never_answers_close_costs_half_a_second_on_a_real_socket():
    async with open_scripted_peer(port=0) as peer:
        async with open_websocket(Target(url=peer.url, close_timeout=0.2)):
            await peer.connected()
            peer.never_answer_close()
            start = trio.current_time()
        assert 0.15 < trio.current_time() - start < 2


async def test_a_peer_that_talks_on_does_not_hold_up_the_goodbye(peer, autojump_clock):
    """What nobody takes stops trio-websocket's reader: the goodbye has to come past it."""
    async with peer.connect(Target(url="ws://h")):
        for _ in range(10):
            await peer.send_text("chatter")
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() <= 1
    assert (await peer.expect_end()).code == 1000


async def test_a_cancelled_body_says_goodbye_too(peer, autojump_clock):
    """The reader, which the CLOSE needs, hears of an outer cancellation only afterwards."""
    with trio.move_on_after(5) as scope:
        async with peer.connect(Target(url="ws://h")):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 5
    assert (await peer.expect_end()).code == 1000


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        KeyboardInterrupt(),
        trio.EndOfChannel(),
        ExceptionGroup("mine", [ValueError("a"), OSError("b")]),
    ],
    ids=["error", "Ctrl-C", "Trio's", "group"],
)
async def test_the_bodys_exception_comes_out_as_the_same_object(peer, autojump_clock, error):
    with pytest.raises(BaseException) as caught:  # noqa: PT011  which one is judged below
        async with peer.connect(Target(url="ws://h")):
            raise error

    assert caught.value is error
    assert (await peer.expect_end()).code == 1000


async def test_an_end_while_the_body_works_does_not_disturb_it(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")):
        await peer.drop()
        await trio.sleep(100)
    assert trio.current_time() == 100


# --- dead links -------------------------------------------------------------------------------------------------


async def test_a_send_without_progress_for_five_seconds_is_a_dead_link(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.connected()
        peer.stall()
        with pytest.raises(ConnectionClosed) as caught:
            await stream.send_message("x")
        assert (caught.value.code, caught.value.reason) == (1006, "stalled")
        assert trio.current_time() == 5
        with pytest.raises(ConnectionClosed, match="stalled"):
            await stream.receive_message()
    # part of a frame may be out, so there is nothing more to say
    assert trio.current_time() == 5


async def test_a_stalled_link_wakes_who_receives(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream, trio.open_nursery() as nursery:

        async def wait():
            with pytest.raises(ConnectionClosed, match="stalled"):
                await stream.receive_message()

        nursery.start_soon(wait)
        await peer.connected()
        peer.stall()
        with pytest.raises(ConnectionClosed, match="stalled"):
            await stream.send_message("x")


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True])
async def test_a_stalled_uplink_is_noticed_on_a_real_socket(secure):
    server, client = tls("127.0.0.1") if secure else (None, None)
    async with (
        open_scripted_peer(port=0, ssl_context=server) as peer,
        open_websocket(Target(url=peer.url, ssl_context=client, send_timeout=0.3)) as stream,
    ):
        await peer.connected()
        peer.stall()
        with trio.fail_after(10), pytest.raises(ConnectionClosed, match="stalled"):
            await stream.send_message("x" * 10_000_000)


async def test_a_slow_send_that_gets_on_is_no_dead_link(autojump_clock):
    """The stopwatch is for progress: 160 KiB at 16 KiB per 4 s take 40 s, and arrive."""
    client, server = trio.testing.memory_stream_pair()
    at_once = client.send_stream.send_all_hook

    async def slowly():
        await trio.sleep(4)
        await at_once()

    message = "x" * 160 * 1024
    async with trio.open_nursery() as nursery:

        async def serve():
            async with receive_handshake(server) as handshake:
                stream = await handshake.accept()
                assert await stream.receive_message() == message

        nursery.start_soon(serve)
        async with websocket_over(client, Target(url="ws://h", ping_interval=1000)) as stream:
            await trio.testing.wait_all_tasks_blocked()  # the first ping is answered
            client.send_stream.send_all_hook = slowly
            await stream.send_message(message)
            assert trio.current_time() > 39


async def test_after_half_a_frame_nothing_more_is_said(autojump_clock):
    """The peer would take the CLOSE for the rest of the frame, and never come to its end."""
    client, server = trio.testing.memory_stream_pair()
    seen = []

    async def serve():
        async with receive_handshake(server) as handshake:
            seen.append((await receive_all(await handshake.accept()))[1].code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with websocket_over(client, Target(url="ws://h")) as stream:
            at_once = client.send_stream.send_all_hook

            async def slowly():
                await at_once()
                await trio.sleep(3)

            client.send_stream.send_all_hook = slowly
            with trio.move_on_after(1):
                await stream.send_message("x" * 100_000)
            start = trio.current_time()
    assert seen == [1006]
    assert trio.current_time() == start


async def test_a_link_without_pongs_is_dead(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.connected()
        peer.never_answer_pings()
        with pytest.raises(ConnectionClosed) as caught:
            await stream.receive_message()
        assert (caught.value.code, caught.value.reason) == (1006, "keepalive")
        assert trio.current_time() == pytest.approx(20)


async def test_the_round_trip_is_known_soon_and_is_the_shortest_of_late(autojump_clock):
    """The first ping goes at once; a pong that was held up says nothing of the network."""
    client, server = trio.testing.memory_stream_pair()
    delay = 0.08
    at_once = server.send_stream.send_all_hook

    async def later():
        await trio.sleep(delay)
        await at_once()

    async def serve():
        async with receive_handshake(server) as handshake:
            stream = await handshake.accept()
            server.send_stream.send_all_hook = later
            with suppress(ConnectionClosed):
                await stream.receive_message()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with websocket_over(client, Target(url="ws://h", ping_interval=10)) as stream:
            opened_at = trio.current_time()
            assert (stream.round_trip, stream.answered_at) == (None, None)
            await trio.sleep(1)
            assert stream.round_trip == pytest.approx(0.08)
            assert stream.answered_at == opened_at  # when the ping left, not when its answer came
            delay = 0.5
            await trio.sleep(20)
            assert stream.round_trip == pytest.approx(0.08)
            await trio.sleep(80)
            assert stream.round_trip == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Date", "Sun, 06 Nov 1994 08:49:37 GMT")], 784111777),
        ([("DATE", "Sun, 06 Nov 1994 10:49:37 +0200")], 784111777),
        ([("date", "Sun, 06 Nov 1994 08:49:37 -0000")], 784111777),
        ([("Date", "yesterday")], None),
        ([("Date", "Sun, 99 Nov 1994 08:49:37 GMT")], None),
        ([("Date", "Sun, 06 Nov 1994 08:49:37 \xc4\xff")], 784111777),
        ([("X-Date", "Sun, 06 Nov 1994 08:49:37 GMT")], None),
        ([], None),
    ],
)
async def test_the_servers_clock_is_read_from_its_handshake(autojump_clock, headers, expected):
    """A session's age goes by it. What the server says is odd, at worst, and never an error."""
    client, server = trio.testing.memory_stream_pair()

    async def serve():
        async with receive_handshake(server) as handshake:
            await trio.sleep(0.25)
            stream = await handshake.accept(headers=headers)
            with suppress(ConnectionClosed):
                await stream.receive_message()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with websocket_over(client, Target(url="ws://h")) as stream:
            answered_at = trio.current_time()
            await trio.sleep(1)
            assert (stream.server_time, stream.opened_at) == (expected, answered_at)
            assert stream.opened_at == pytest.approx(0.25)


async def test_with_pongs_an_idle_link_lives_for_an_hour(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        with trio.move_on_after(3600):
            await stream.receive_message()
        await stream.send_message('{"type": "still here"}')
        await peer.expect("still here")


async def test_whoever_talks_is_alive_even_without_pongs(peer, autojump_clock):
    async with peer.connect(Target(url="ws://h")) as stream:
        await peer.connected()
        peer.never_answer_pings()
        for _ in range(20):
            await trio.sleep(15)
            await peer.send_text("x")
            assert await stream.receive_message() == "x"
        with pytest.raises(ConnectionClosed, match="keepalive"):
            await stream.receive_message()


async def test_a_program_that_does_not_receive_for_long_keeps_its_link(peer, autojump_clock):
    """Unread messages stop trio-websocket's reader, so the pongs behind them are not seen: that is not a dead link."""
    async with peer.connect(Target(url="ws://h")) as stream:
        for number in range(5):
            await peer.send_text(str(number))
        await trio.sleep(600)
        assert [await stream.receive_message() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        await trio.sleep(600)
        await stream.send_message('{"type": "still here"}')
        await peer.expect("still here")


# --- the server's half ------------------------------------------------------------------------------------------


async def test_a_client_that_says_nothing_is_not_waited_for_for_ever(autojump_clock):
    _, server = trio.testing.memory_stream_pair()
    with pytest.raises(ConnectError, match="no handshake came in time"):
        async with receive_handshake(server, timeout=3):
            pytest.fail("it opened")
    assert trio.current_time() == 3


@pytest.mark.parametrize("words", [b"", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"])
async def test_a_client_that_wants_something_else_is_told_apart(autojump_clock, words):
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(words)
    await client.send_stream.aclose()
    with pytest.raises(ConnectError, match="no WebSocket handshake came"):
        async with receive_handshake(server):
            pytest.fail("it opened")
