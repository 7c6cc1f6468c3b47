"""Every row of the tables in docs/endings.md: what comes out, what is left, and how long it takes."""

import os
import signal
import ssl
import threading
import time
from contextlib import asynccontextmanager, nullcontext
from email.utils import formatdate

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from realtime_trio import (
    Budget,
    BudgetExceeded,
    ConnectError,
    ConnectionClosed,
    DeviceChanged,
    DeviceUnavailable,
    Lagged,
    NotAcknowledged,
    Refused,
    ResponseFailed,
    ResponseNotCompleted,
    ServerError,
    SessionExpired,
    ToolFailed,
    events,
    open_server,
    open_session,
    tool,
)
from realtime_trio.server import Misbehaviour
from realtime_trio.testing import FakeDevice, open_scripted_peer

from . import test_table_of_recoveries  # noqa: F401 its rows count
from .ends import COVERED, GUARD, Boom, Stage, row, rows_of_the_page


def test_each_row_has_a_test_and_each_test_a_row():
    assert sorted(rows_of_the_page()) == sorted(COVERED)


@pytest.fixture
def stage():
    return Stage()


# The server says goodbye, or does not


CLOSES = [
    (1000, ConnectionClosed, "the server ended the session"),
    (1001, ConnectionClosed, "open a new one"),
    (1002, ConnectionClosed, "not the protocol"),
    (1008, ConnectionClosed, "does not allow this"),
    (1009, ConnectionClosed, "max_message_size"),
    (1011, ConnectionClosed, "not this program"),
    (1012, ConnectionClosed, "the server restarts"),
    (1013, ConnectionClosed, "too much to do"),
    (4000, ConnectionClosed, "refuses what the session asked for"),
]


@row(*(f"close code {code}" for code, _, _ in CLOSES))
@pytest.mark.parametrize(("code", "kind", "cure"), CLOSES)
async def test_the_server_closes(autojump_clock, stage, code, kind, cure):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(kind) as caught:
            async with stage.session(peer):
                stage.breaks()
                await peer.close(code, "because of sk-secret1234567890")
                await trio.sleep_forever()
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.reason) == (code, "because of [redacted]")
    assert cure in str(caught.value)
    assert stage.took <= 0.2


@row("close code 1001, the session being too old")
async def test_the_session_is_too_old(autojump_clock, stage):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(SessionExpired, match="open a new one"):
            async with stage.session(peer):
                stage.breaks()
                await peer.close(1001, "Your session hit the maximum duration of 60 minutes.")
                await trio.sleep_forever()
    assert stage.took <= 0.2


@row("no CLOSE, the link is just gone")
async def test_no_close_frame(autojump_clock, stage):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed, match="is the network up") as caught:
            async with stage.session(peer):
                stage.breaks()
                await peer.drop()
                await trio.sleep_forever()
    assert caught.value.code == 1006
    assert stage.took <= 0.2


@row("the link is silent")
async def test_the_link_is_silent(autojump_clock, stage):
    """Also when the program waits for nothing; a ping leaves every 20 s, and is waited for as long."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed, match=r"keepalive.*not even the answer to a ping") as caught:
            async with stage.session(peer):
                await trio.sleep(1)
                peer.never_answer_pings()
                peer.never_answer_close()
                stage.breaks()
                await trio.sleep_forever()
    assert caught.value.code == 1006
    assert stage.took <= 41


@row("the uplink is stalled")
async def test_the_uplink_is_stalled(autojump_clock, stage):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed, match=r"stalled.*too slow for sound") as caught:
            async with stage.session(peer):
                stage.breaks()
                peer.stall()
                await trio.sleep_forever()
    assert caught.value.code == 1006
    assert stage.took <= 5.3


# There is no connection


SAID = '{"error": {"message": "No, sk-secret1234567890.", "code": "some_code"}}'


@row(*(f"HTTP {status} at the handshake" for status in (401, 403, 429, 500, 503)))
@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (401, "OPENAI_API_KEY"),
        (403, "may not do this"),
        (429, "too many requests"),
        (500, "not this program"),
        (503, "try again later"),
    ],
)
async def test_the_handshake_is_refused(autojump_clock, stage, status, cure):
    async with open_scripted_peer() as peer:
        peer.refuse(status, SAID, [("Retry-After", "7")])
        stage.breaks()
        with pytest.raises(Refused) as caught:
            async with stage.session(peer):
                pytest.fail("it opened")
    assert (caught.value.status, caught.value.retry_after) == (status, 7)
    assert cure in str(caught.value)
    assert "it says: No, [redacted] (some_code)" in str(caught.value)
    assert "may be asked again in 7 s" in str(caught.value)
    assert "secret" not in str(caught.value) + caught.value.body
    assert stage.took <= 0.1


async def test_retry_after_may_be_a_date(autojump_clock, stage):
    """A server's date is of its own clock; a past one is now."""
    async with open_scripted_peer() as peer:
        for seconds in (90, -90):
            peer.refuse(429, "", [("Retry-After", formatdate(time.time() + seconds, usegmt=True))])
            with pytest.raises(Refused) as caught:
                async with stage.session(peer):
                    pytest.fail("it opened")
            assert caught.value.retry_after == pytest.approx(max(0, seconds), abs=30)


@row("the name does not resolve")
async def test_the_name_does_not_resolve():
    with trio.fail_after(GUARD), pytest.raises(ConnectError, match=r"'nowhere\.invalid' does not resolve.*network up"):
        async with open_session(url="wss://nowhere.invalid/v1/realtime", api_key="sk-x"):
            pytest.fail("it opened")


@row("nobody listens there")
async def test_nobody_listens():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with trio.fail_after(GUARD), pytest.raises(ConnectError, match="is a server running there"):
        async with open_session(url=f"ws://127.0.0.1:{port}/v1/realtime"):
            pytest.fail("it opened")


@row("TLS fails")
async def test_tls_fails():
    authority, server = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    async with open_scripted_peer(port=0, ssl_context=server) as peer:
        with trio.fail_after(GUARD), pytest.raises(ConnectError, match=r"certificate .* not accepted .*ssl_context="):
            async with open_session(url=peer.url, api_key="sk-x"):
                pytest.fail("it opened")


@row("the server refuses the session itself")
async def test_the_session_is_refused(autojump_clock, stage):
    async def refuse(peer):
        error = {"type": "invalid_request_error", "code": "model_not_found", "message": "There is no such model."}
        await peer.send("error", error=error)
        await peer.close(4000, "invalid_request_error.model_not_found")

    async with open_scripted_peer(refuse) as peer:
        stage.breaks()
        with pytest.raises(ServerError, match="no such model"):
            async with stage.session(peer):
                pytest.fail("it opened")
    assert stage.took <= 0.2


@row("the server says nothing after the handshake")
async def test_the_server_says_nothing(autojump_clock, stage):
    async with open_scripted_peer() as peer:
        stage.breaks()
        with pytest.raises(NotAcknowledged, match=r"no session\.created within 10 s"):
            async with stage.session(peer):
                pytest.fail("it opened")
    assert stage.took <= 12


# The program and what belongs to it


@row("the body raises")
async def test_the_body_raises(autojump_clock, stage):
    error = Boom("mine")
    async with open_scripted_peer(greet=True) as peer:
        peer.answer("input_audio_buffer.append", lambda _: ())
        with pytest.raises(Boom) as caught:
            async with stage.session(peer):
                stage.breaks()
                raise error
        assert (await peer.expect_end()).code == 1000
    assert caught.value is error
    assert stage.took <= 0.2


@row("the body is cancelled from outside")
async def test_the_body_is_cancelled(autojump_clock, stage):
    """A peer that never answers CLOSE makes it half a second."""
    async with open_scripted_peer(greet=True) as peer:
        with trio.CancelScope() as scope:
            async with stage.session(peer):
                peer.never_answer_close()
                stage.breaks()
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - stage.broke_at <= 0.7
    assert not stage.device.is_open


@row("Ctrl-C")
def test_ctrl_c():
    async def main():
        async with open_scripted_peer(greet=True, port=0) as peer, open_session(url=peer.url, audio=FakeDevice()):
            signal.raise_signal(signal.SIGINT)
            await trio.sleep(GUARD)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert time.monotonic() - began < GUARD


@row("the device is lost")
async def test_the_device_is_lost(autojump_clock, stage):
    error = DeviceUnavailable("unplugged")
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(DeviceUnavailable) as caught:
            async with stage.session(peer):
                stage.breaks()
                stage.device.fail(error)
                await trio.sleep_forever()
    assert caught.value is error
    assert stage.took <= 0.2


@row("the device's hardware is away for a while")
async def test_the_hardware_is_away(autojump_clock, stage):
    """It is told, and the session goes on."""
    async with open_scripted_peer(greet=True) as peer:
        peer.answer("input_audio_buffer.append", lambda _: ())
        async with stage.session(peer) as session:
            changes = session.events(DeviceChanged)
            stage.device.change(False, "unplugged")
            assert await changes.receive() == DeviceChanged(False, "unplugged")
            await trio.sleep(60)
            stage.device.change(True, "back")
            assert (await changes.receive()).available


@tool
async def fail() -> None:
    """Fail."""
    raise Boom("in the tool")


async def call_fail(peer, as_function_call):
    await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
    output = [as_function_call("call_1", "fail", "{}")]
    value = {"id": "resp_1", "status": "completed", "conversation_id": "conv_1", "output": output}
    await peer.send("response.done", response=value)


@row("a tool crashes")
async def test_a_tool_crashes(autojump_clock, stage, as_function_call):
    """The model is told in a line without a traceback, the program with the exception; the session goes on."""
    async with (
        open_scripted_peer(greet=True) as peer,
        stage.session(peer, voice=False, tools=[fail], drain=False) as session,
    ):
        failures = session.events(ToolFailed)
        await call_fail(peer, as_function_call)
        output = (await peer.expect("conversation.item.create"))["item"]["output"]
        assert isinstance((await failures.receive()).exception, Boom)
        more = session.events(events.UnknownEvent)
        await peer.send("something.new")
        assert (await more.receive()).type == "something.new"
    assert output == "Error: fail failed: Boom: in the tool"


@row('a tool crashes, with `tool_errors="raise"`')
async def test_a_tool_crashes_and_ends_it(autojump_clock, stage, as_function_call):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(Boom, match="in the tool"):
            async with stage.session(peer, tools=[fail], tool_errors="raise"):
                await call_fail(peer, as_function_call)
                stage.breaks()
                await trio.sleep_forever()
    assert stage.took <= 0.2


NEVER_DONE = Misbehaviour(done_delay_s=1e6)


@row("the server says nothing more of a response")
async def test_a_response_never_ends(autojump_clock, stage):
    """It is asked for once more; then who asked is told."""
    async with (
        open_server(listen=False, misbehaviour=NEVER_DONE) as server,
        stage.session(server, voice=False) as session,
    ):
        responses = session.events(ResponseNotCompleted)
        begun = trio.current_time()
        with pytest.raises(ResponseFailed) as caught:
            await session.ask("What is 6 times 7?")
        assert caught.value.code == "response_lost"
        assert [(await responses.receive()).reason for _ in range(2)] == ["response_lost"] * 2
        assert trio.current_time() - begun == pytest.approx(60, abs=2)
        await session.update(instructions="Be brief.")
        assert session.config.instructions == "Be brief."


@row("the body ends, and the server says nothing more of a response")
async def test_the_body_ends_and_a_response_never_does(autojump_clock, stage):
    async with open_server(listen=False, misbehaviour=NEVER_DONE) as server, stage.session(server) as session:
        responses = session.responses()
        await session.send_text("What is 6 times 7?")
        await responses.receive()
        stage.breaks()
    assert stage.took <= 65  # what is heard of it is beside that
    assert any("42" in item.heard_text for item in session.conversation)


@row("a subscriber is too slow")
async def test_a_subscriber_is_too_slow(autojump_clock, stage):
    """The oldest go, and it is told how many in band; nobody else notices."""
    async with open_scripted_peer(greet=True) as peer, stage.session(peer, voice=False) as session:
        slow, quick = session.events(events.UnknownEvent, size=2), session.events(events.UnknownEvent)
        for number in range(5):
            await peer.send("something.new", number=number)
        await wait_all_tasks_blocked()
        assert await slow.receive() == Lagged(3)
        assert [(await quick.receive()).type for _ in range(5)] == ["something.new"] * 5


@row("a budget is spent")
async def test_a_budget_is_spent(autojump_clock, stage):
    async with open_server(listen=False) as server:
        with pytest.raises(BudgetExceeded) as caught:
            async with stage.session(server, voice=False, budget=Budget(turns=1)) as session:
                await session.ask("What is 6 times 7?")
                stage.breaks()
                await trio.sleep_forever()
    assert caught.value.kind == "turns"
    assert stage.took <= 1


# Two at once


@row("the body raises, and the link is lost")
async def test_body_and_link(autojump_clock, stage):
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(Boom) as caught:
            async with stage.session(peer):
                try:
                    stage.breaks()
                    await peer.drop()
                    await trio.sleep_forever()
                finally:
                    raise Boom("while leaving")
    assert any("1006" in note for note in caught.value.__notes__)
    assert stage.took <= 0.2


@row("the device is lost, and the link is lost")
@pytest.mark.parametrize("first", ["device", "link"])
async def test_device_and_link(autojump_clock, stage, first):
    """What came first is raised; that the device is gone as well is said."""
    async with open_scripted_peer(greet=True) as peer:
        kind = DeviceUnavailable if first == "device" else ConnectionClosed
        with pytest.raises(kind) as caught:
            async with stage.session(peer):
                stage.breaks()
                with trio.CancelScope(shield=True):
                    if first == "device":
                        stage.device.fail(DeviceUnavailable("unplugged"))
                        await wait_all_tasks_blocked()
                    await peer.drop()
                    await wait_all_tasks_blocked()
                    if first == "link":
                        stage.device.fail(DeviceUnavailable("unplugged"))
                        await wait_all_tasks_blocked()
                await trio.sleep_forever()
    notes = getattr(caught.value, "__notes__", [])
    expected = ["something went wrong at the end, too: DeviceUnavailable('unplugged')"] if first == "link" else []
    assert notes == expected
    assert stage.took <= 0.2


class FailsWhenClosed(FakeDevice):
    """Hardware that is found gone when it is to be closed."""

    @asynccontextmanager
    async def open(self):
        async with super().open() as stream:
            try:
                yield stream
            finally:
                raise DeviceUnavailable("unplugged")


@row("the device is lost while the session ends")
@pytest.mark.parametrize("error", [None, Boom("mine")])
async def test_the_device_is_lost_at_the_end(autojump_clock, stage, error):
    """A normal end stays one; an exception says it in a note."""
    stage.device = FailsWhenClosed()
    async with open_scripted_peer(greet=True) as peer:
        with nullcontext() if error is None else pytest.raises(Boom) as caught:
            async with stage.session(peer):
                stage.breaks()
                if error is not None:
                    raise error
    if error is not None:
        assert caught.value is error
        assert error.__notes__ == ["something went wrong at the end, too: DeviceUnavailable('unplugged')"]
    assert stage.took <= 0.2


@row("Ctrl-C while a session ends by an exception")
def test_a_ctrl_c_at_the_end_of_a_session_that_failed_is_not_lost():
    """Who catches what the body raised, to try again, is not to go on."""

    async def main():
        async with open_scripted_peer(greet=True, port=0) as peer:
            try:
                async with open_session(url=peer.url):
                    await peer.connected()
                    peer.never_answer_close()
                    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
                    raise Boom("mine")  # noqa: TRY301 what this is about
            except Boom:
                pytest.fail("the program goes on")

    with pytest.raises(KeyboardInterrupt) as caught:
        trio.run(main)
    assert caught.value.__notes__ == ["the session was ending already: Boom('mine')"]
