"""The typed connection over real WebSockets in memory: order, waiting, cancelling, and what is left when it ends."""

import gc
import json
import signal
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio import events
from realtime_trio.connection import Connection, open_connection
from realtime_trio.errors import (
    ConfigurationError,
    ConnectionClosed,
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
    SessionExpired,
)
from realtime_trio.testing import open_scripted_peer

MS = 48  # bytes of PCM16 in a millisecond


def append(milliseconds):
    return events.InputAudioBufferAppend(audio=bytes(milliseconds * MS))


@pytest.fixture
async def peer():
    async with open_scripted_peer() as peer:
        yield peer


@asynccontextmanager
async def blocked(peer, **options):
    """A connection whose writer is stuck in the first event, `response.create`, until `peer.resume()`."""
    async with open_connection(connect=peer.connect, **options) as connection:
        await peer.connected()
        peer.stall()
        await connection.send(events.ResponseCreate(event_id="stuck"))
        await trio.testing.wait_all_tasks_blocked()
        yield connection


# --- sending ----------------------------------------------------------------------------------------------------


async def test_an_event_gets_an_id_unless_it_has_one(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        first = await connection.send(events.ResponseCreate())
        second = connection.send_nowait(events.ResponseCancel(response_id="r"))
        third = await connection.send(events.InputAudioBufferCommit(event_id="mine"))

        assert (await peer.expect("response.create"))["event_id"] == first
        assert (await peer.expect("response.cancel", response_id="r"))["event_id"] == second
        assert (await peer.expect("input_audio_buffer.commit"))["event_id"] == third == "mine"
    assert first.startswith("evt_")
    assert first != second
    assert len(first) <= 32


async def test_send_returns_when_the_writer_took_it(peer, autojump_clock):
    async with blocked(peer) as connection:
        with trio.move_on_after(1) as scope:
            await connection.send(events.ResponseCancel())
        assert scope.cancelled_caught
        peer.resume()
        await connection.send(events.ResponseCreate(event_id="next"))
        await peer.expect("response.create", event_id="stuck")
        # the cancelled one is not there
        await peer.expect("response.create", event_id="next")


async def test_cancelled_after_it_was_taken_it_is_sent_as_a_whole(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await peer.connected()
        peer.stall()
        with trio.CancelScope() as scope:
            await connection.send(append(1000))
            scope.cancel()
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        peer.resume()
        await peer.expect("input_audio_buffer.append", audio=lambda audio: len(audio) == 64_000)
        await connection.send(events.ResponseCreate())
        await peer.expect("response.create")


async def test_what_was_taken_is_sent_even_if_the_connection_is_closed_in_the_same_moment(peer, autojump_clock):
    """Trio shuffles who runs first: the sender or the closer, and then the writer or the closer."""
    returned = set()
    for number in range(40):
        async with open_connection(connect=peer.connect) as connection, trio.open_nursery() as nursery:
            await peer.connected()
            await trio.testing.wait_all_tasks_blocked()

            async def send(connection=connection, number=number):
                with suppress(trio.ClosedResourceError):
                    returned.add(await connection.send(events.ResponseCreate(event_id=f"evt_{number}")))

            nursery.start_soon(send)
            nursery.start_soon(connection.aclose)
        await peer.expect_end()

    assert {event["event_id"] for event in peer.received} == returned
    assert returned


async def test_a_scope_that_is_cancelled_already_sends_nothing(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.send(events.ResponseCreate())
        await peer.expect_nothing(1)


async def test_what_stops_the_assistant_overtakes_waiting_audio(peer, autojump_clock):
    async with blocked(peer) as connection:
        for _ in range(10):
            connection.send_nowait(append(20))
        connection.send_nowait(events.InputAudioBufferCommit())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send, events.ResponseCancel())
            await trio.testing.wait_all_tasks_blocked()
            peer.resume()

        await peer.expect("response.create")
        await peer.expect("response.cancel")
        for _ in range(10):
            await peer.expect("input_audio_buffer.append")
        await peer.expect("input_audio_buffer.commit")


async def test_audio_that_waits_is_bounded_in_seconds_and_the_oldest_goes(peer, autojump_clock):
    async with blocked(peer) as connection:
        ids = [connection.send_nowait(append(300)) for _ in range(10)]
        found = connection.statistics()

        assert (found.dropped_appends, found.dropped_audio) == (4, pytest.approx(1.2))
        assert (found.waiting, found.waiting_audio) == (6, pytest.approx(1.8))
        assert connection.dropped_appends == 4
        peer.resume()
        await peer.expect("response.create")
        assert [(await peer.expect("input_audio_buffer.append"))["event_id"] for _ in range(6)] == ids[4:]
    assert connection.statistics().waiting == 0


@pytest.mark.parametrize("source", ["sent", "received"])
async def test_the_bound_follows_the_format(peer, autojump_clock, source):
    """G.711 has 8000 bytes a second: two seconds are 16,000."""
    audio = events.SessionAudio(input=events.AudioInput(format=events.PCMU))
    session = events.RealtimeSession(audio=audio)
    async with blocked(peer) as connection:
        if source == "sent":
            connection.send_nowait(events.SessionUpdate(session=session))
        else:
            await peer.send(events.SessionUpdated(event_id="e", session=session))
            await connection.receive()
        for _ in range(5):
            connection.send_nowait(events.InputAudioBufferAppend(audio=bytes(4000)))

        assert connection.statistics().waiting_audio == 2.0
        assert connection.dropped_appends == 1
        peer.resume()


async def test_audio_that_somebody_waits_for_is_never_dropped(peer, autojump_clock):
    async with blocked(peer, queue_seconds=0.1) as connection, trio.open_nursery() as nursery:
        nursery.start_soon(connection.send, append(5000))
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(20):
            connection.send_nowait(append(20))
        assert connection.dropped_appends == 15
        assert connection.statistics().tasks_waiting_send == 1
        peer.resume()
        await peer.expect("response.create")
        await peer.expect("input_audio_buffer.append", audio=lambda audio: len(audio) == 320_000)


async def test_what_may_not_be_dropped_is_bounded_in_number(peer, autojump_clock):
    async with blocked(peer) as connection:
        for _ in range(1024):
            connection.send_nowait(events.ResponseCancel())
        with pytest.raises(trio.WouldBlock):
            connection.send_nowait(events.ResponseCancel())
        connection.send_nowait(append(20))
        peer.resume()


async def test_audio_that_waits_leaves_room_for_what_may_not_be_dropped(peer, autojump_clock):
    """Thousands of tiny appends on a link that is stuck: what stops the assistant still gets in, and overtakes them."""
    async with blocked(peer) as connection:
        for _ in range(2000):
            connection.send_nowait(append(1))
        for _ in range(1024):
            connection.send_nowait(events.ResponseCancel())
        with pytest.raises(trio.WouldBlock):
            connection.send_nowait(events.ResponseCancel())
        peer.resume()
        await peer.expect("response.create")
        for _ in range(1024):
            await peer.expect("response.cancel")
        await peer.expect("input_audio_buffer.append")


async def test_room_comes_back_when_events_are_sent(peer, autojump_clock):
    async with blocked(peer) as connection:
        connection.send_nowait(append(1))
        for _ in range(1024):
            connection.send_nowait(events.ResponseCancel())
        peer.resume()
        await connection.flush()
        peer.stall()
        await connection.send(events.ResponseCreate(event_id="stuck again"))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.1):
            await connection.send(events.ResponseCreate(event_id="given up"))
        for _ in range(1024):
            connection.send_nowait(events.ResponseCancel())
        with pytest.raises(trio.WouldBlock):
            connection.send_nowait(events.ResponseCancel())
        peer.resume()


async def test_what_cannot_be_encoded_is_refused_at_the_caller(peer, autojump_clock):
    event = events.ConversationItemCreate(item=events.user_message("\ud800"))
    async with open_connection(connect=peer.connect) as connection:
        with pytest.raises(LocalProtocolError):
            await connection.send(event)
        with pytest.raises(LocalProtocolError):
            connection.send_nowait(event)
        await peer.expect_nothing(1)


@pytest.mark.parametrize(
    "nothing",
    [
        5,
        None,
        {"type": "response.create"},
        "response.create",
        events.ResponseCreate,
        events.user_message("hi"),
        events.SessionUpdated(event_id="e", session=events.RealtimeSession()),
    ],
    ids=lambda nothing: type(nothing).__name__,
)
async def test_what_is_no_event_of_a_client_is_refused_at_the_caller(peer, autojump_clock, nothing):
    words = f"{type(nothing).__name__} is not an event that a client sends: give one of realtime_trio.events"
    async with open_connection(connect=peer.connect) as connection:
        with pytest.raises(LocalProtocolError, match=words):
            await connection.send(nothing)
        with pytest.raises(LocalProtocolError, match=words):
            connection.send_nowait(nothing)
        await peer.expect_nothing(1)


@given(st.lists(st.sampled_from(["append", "commit", "create", "respond", "cancel", "truncate", "wait"]), max_size=30))
def test_nothing_is_lost_or_repeated_on_the_way(steps):
    """Everything sent arrives once; what is not urgent arrives in the order in which it was sent."""
    make = {
        "append": lambda name: events.InputAudioBufferAppend(audio=b"\0\0", event_id=name),
        "commit": lambda name: events.InputAudioBufferCommit(event_id=name),
        "create": lambda name: events.ConversationItemCreate(item=events.user_message("x"), event_id=name),
        "respond": lambda name: events.ResponseCreate(event_id=name),
        "cancel": lambda name: events.ResponseCancel(event_id=name),
        "truncate": lambda name: events.ConversationItemTruncate(
            item_id="i", content_index=0, audio_end_ms=1, event_id=name
        ),
    }

    async def main():
        sent = []
        async with open_scripted_peer() as peer:
            async with open_connection(connect=peer.connect) as connection:
                for number, step in enumerate(steps):
                    if step == "wait":
                        await trio.testing.wait_all_tasks_blocked()
                        continue
                    sent.append(f"{number} {step}")
                    connection.send_nowait(make[step](sent[-1]))
            await peer.expect_end()
            arrived = [event["event_id"] for event in peer.received]
        calm = [name for name in sent if not name.endswith(("cancel", "truncate"))]
        assert sorted(arrived) == sorted(sent)
        assert [name for name in arrived if name in set(calm)] == calm

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# --- receiving --------------------------------------------------------------------------------------------------


async def test_events_come_typed_and_what_is_unknown_or_misfit_is_data(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await peer.send("session.created", session={"type": "realtime"})
        await peer.send("brand.new", thing=1)
        await peer.send("response.done", response=5)

        assert isinstance(await connection.receive(), events.SessionCreated)
        unknown = await connection.receive()
        assert isinstance(unknown, events.UnknownEvent)
        assert unknown.data["thing"] == 1
        assert isinstance(await connection.receive(), events.MalformedEvent)
        assert connection.statistics().received == 3


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"type": 5}', '{"no": "type"}', "[" * 10_000])
async def test_what_is_no_event_is_a_typed_problem_and_the_connection_goes_on(peer, autojump_clock, text):
    async with open_connection(connect=peer.connect) as connection:
        await peer.send_text(text)
        await peer.send("brand.new")
        with pytest.raises(RemoteProtocolError):
            await connection.receive()
        assert (await connection.receive()).type == "brand.new"


async def test_two_receivers_are_one_too_many(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection, trio.open_nursery() as nursery:
        nursery.start_soon(connection.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await connection.receive()
        await peer.send("brand.new")


async def test_a_cancelled_receive_consumes_nothing(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        with trio.move_on_after(1):
            await connection.receive()
        await peer.send("brand.new")
        assert (await connection.receive()).type == "brand.new"


async def test_iteration_ends_quietly_when_the_peer_closes_normally(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await peer.send("one")
        await peer.send("two")
        await peer.close(1000)
        assert [event.type async for event in connection] == ["one", "two"]


async def test_iteration_raises_any_other_end(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await peer.send("one")
        await peer.close(1011, "oops")
        assert (await anext(connection)).type == "one"
        with pytest.raises(ConnectionClosed, match="1011: oops"):
            await anext(connection)


async def test_iteration_ends_quietly_when_this_side_closes(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await connection.aclose()
        assert [event async for event in connection] == []


# --- ending -----------------------------------------------------------------------------------------------------


async def ends(peer, act, **options):
    """Let a receiver and two senders wait, make the connection end, and return what each of the three was told."""
    told = {}

    async def wait(name, function, *arguments):
        try:
            await function(*arguments)
        except Exception as error:  # noqa: BLE001  it is what the test judges
            told[name] = error

    async with blocked(peer, **options) as connection:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "receive", connection.receive)
            nursery.start_soon(wait, "send", connection.send, events.ResponseCancel())
            nursery.start_soon(wait, "append", connection.send, append(20))
            await trio.testing.wait_all_tasks_blocked()
            await act()
        await wait("send again", connection.send, events.ResponseCancel())
        await wait("receive again", connection.receive)
        with pytest.raises(type(told["send"])):
            connection.send_nowait(events.ResponseCancel())
    return told


NAMES = ["receive", "send", "append", "send again", "receive again"]


async def test_a_stalled_uplink_is_told_to_everybody_who_waits(peer, autojump_clock):
    async def act():
        pass  # blocked() has stalled it

    told = await ends(peer, act)

    assert sorted(told) == sorted(NAMES)
    assert {(type(error), error.code, error.reason) for error in told.values()} == {(ConnectionClosed, 1006, "stalled")}
    assert len({id(error) for error in told.values()}) == 5
    assert trio.current_time() == pytest.approx(5)


@pytest.mark.parametrize("way", ["drop", "close"])
async def test_a_lost_link_is_told_to_everybody_who_waits(peer, autojump_clock, way):
    async def act():
        await (peer.drop() if way == "drop" else peer.close(1011, "oops"))
        peer.resume()

    told = await ends(peer, act)

    assert sorted(told) == sorted(NAMES)
    assert {(type(error), error.code) for error in told.values()} == {
        (ConnectionClosed, 1006 if way == "drop" else 1011)
    }


async def test_closing_is_told_to_everybody_who_waits(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        for _ in range(2):
            await connection.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await connection.send(events.ResponseCancel())
        with pytest.raises(trio.ClosedResourceError):
            connection.send_nowait(events.ResponseCancel())
        with pytest.raises(trio.ClosedResourceError):
            await connection.receive()
    with pytest.raises(trio.ClosedResourceError):
        await connection.receive()


async def test_closing_wakes_a_receiver_and_a_sender(peer, autojump_clock):
    async with blocked(peer) as connection, trio.open_nursery() as nursery:

        async def wait(function, *arguments):
            with pytest.raises(trio.ClosedResourceError):
                await function(*arguments)

        nursery.start_soon(wait, connection.receive)
        nursery.start_soon(wait, connection.send, events.ResponseCancel())
        await trio.testing.wait_all_tasks_blocked()
        await connection.aclose()


@pytest.mark.parametrize("way", ["error event", "close reason", "both"])
async def test_an_expired_session_is_told_apart(peer, autojump_clock, way):
    async with open_connection(connect=peer.connect) as connection:
        if way != "close reason":
            await peer.send(
                "error", error={"type": "invalid_request_error", "code": "session_expired", "message": "old"}
            )
        words = "" if way == "error event" else "Your session hit the maximum duration of 60 minutes."
        await peer.close(1001, words)
        if way != "close reason":
            assert (await connection.receive()).error.code == "session_expired"
        with pytest.raises(SessionExpired) as caught:
            await connection.receive()
        assert (caught.value.code, caught.value.reason) == (1001, words)
        with pytest.raises(SessionExpired):
            await connection.send(events.ResponseCancel())


async def test_last_words_come_out_before_the_end_even_when_sending_failed_first(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await peer.send("error", error={"type": "t", "code": "session_expired", "message": "old"})
        await peer.close(1001)
        await trio.testing.wait_all_tasks_blocked()
        connection.send_nowait(events.ResponseCancel())
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await connection.receive(), events.Error)
        with pytest.raises(SessionExpired):
            await connection.receive()


async def test_what_was_left_for_the_writer_is_sent_before_the_goodbye(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        for _ in range(50):
            connection.send_nowait(append(20))
        connection.send_nowait(events.InputAudioBufferCommit())
    assert (await peer.expect_end()).code == 1000
    assert [event["type"] for event in peer.received][-1] == "input_audio_buffer.commit"
    assert len(peer.received) == 51
    assert trio.current_time() == 0


async def test_flush_waits_until_nothing_waits(peer, autojump_clock):
    async with open_connection(connect=peer.connect) as connection:
        await connection.flush()
        connection.send_nowait(append(20))
        await connection.flush()
        assert connection.statistics().waiting == 0
        await connection.send(append(20))
        await connection.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert len(peer.received) == 2


async def test_flush_after_a_cancelled_send_does_not_wait_for_ever(peer, autojump_clock):
    async with blocked(peer) as connection:
        with trio.move_on_after(1):
            await connection.send(events.ResponseCancel())
        peer.resume()
        with trio.fail_after(1):
            await connection.flush()


async def test_a_blocked_link_holds_up_leaving_for_two_seconds_at_most(peer, autojump_clock):
    async with blocked(peer) as connection:
        connection.send_nowait(append(20))
        start = trio.current_time()
    assert trio.current_time() - start <= 2


async def test_after_an_exception_what_waits_is_not_sent(peer, autojump_clock):
    async def main():
        async with open_connection(connect=peer.connect) as connection:
            connection.send_nowait(append(20))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await main()
    assert (await peer.expect_end()).code == 1000
    assert peer.received == []


async def test_events_lost_with_the_link_are_not_forgotten(peer, autojump_clock):
    """Nobody received or sent after the end, so leaving is the last chance to say it."""

    async def main():
        async with open_connection(connect=peer.connect) as connection:
            await peer.drop()
            connection.send_nowait(events.ResponseCreate())

    with pytest.raises(ConnectionClosed, match="the link was lost"):
        await main()


async def test_an_end_that_lost_nothing_or_was_told_is_not_raised_again(peer, autojump_clock):
    async with open_connection(connect=peer.connect):
        await peer.close(1000)
        await trio.testing.wait_all_tasks_blocked()
    async with open_connection(connect=peer.connect) as connection:
        await peer.drop()
        connection.send_nowait(events.ResponseCreate())
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConnectionClosed):
            await connection.receive()
    async with open_connection(connect=peer.connect) as connection:
        await peer.drop()
        connection.send_nowait(events.ResponseCreate())
        await trio.testing.wait_all_tasks_blocked()
        await connection.aclose()


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), KeyboardInterrupt(), ExceptionGroup("mine", [ValueError("a"), OSError("b")])],
    ids=["error", "Ctrl-C", "group"],
)
async def test_the_bodys_exception_comes_out_as_the_same_object(peer, autojump_clock, error, waiting):
    async def main():
        async with open_connection(connect=peer.connect):
            if waiting:
                await peer.drop()
                await trio.sleep(1)
            raise error

    with pytest.raises(BaseException) as caught:  # noqa: PT011  which one is judged below
        await main()

    assert caught.value is error
    assert getattr(error, "__notes__", []) == []


async def test_an_outer_cancellation_passes_and_says_goodbye(peer, autojump_clock):
    with trio.move_on_after(3) as scope:
        async with open_connection(connect=peer.connect) as connection:
            await connection.receive()
    assert scope.cancelled_caught
    assert (await peer.expect_end()).code == 1000
    assert trio.current_time() == 3


async def test_a_peer_that_never_answers_close_costs_half_a_second(peer, autojump_clock):
    async with open_connection(connect=peer.connect):
        await peer.connected()
        peer.never_answer_close()
    assert trio.current_time() == pytest.approx(0.5)


async def test_a_refusal_comes_out_plain(peer, autojump_clock):
    peer.refuse(401, "no")
    with pytest.raises(Refused) as caught:
        async with open_connection(connect=peer.connect):
            pytest.fail("it opened")
    assert caught.value.status == 401


def test_ctrl_c_comes_out_plain_wherever_it_lands():
    """The signal is delivered between any two steps of the main loop; only the body may feel it."""

    async def main(steps):
        async with open_scripted_peer(greet=True) as peer, open_connection(connect=peer.connect) as connection:

            async def interrupt():
                for _ in range(steps):
                    await trio.lowlevel.cancel_shielded_checkpoint()
                signal.raise_signal(signal.SIGINT)

            async with trio.open_nursery() as nursery:
                # on a protected task the signal waits for the main one
                nursery.start_soon(trio.lowlevel.enable_ki_protection(interrupt))
                async for _ in connection:
                    connection.send_nowait(append(20))

    for steps in range(12):
        with pytest.raises(BaseException) as caught:  # noqa: PT011  which one is judged below
            trio.run(main, steps, clock=trio.testing.MockClock(autojump_threshold=0))
        # the nursery of the test itself may wrap it
        error = caught.value
        while isinstance(error, BaseExceptionGroup):
            (error,) = error.exceptions
        assert type(error) is KeyboardInterrupt


# --- secrets ----------------------------------------------------------------------------------------------------


async def test_no_words_of_the_servers_quote_the_key_whatever_it_looks_like(peer, autojump_clock):
    key = "9f8e7d6c5b4a39281706"
    async with open_connection(connect=peer.connect, api_key=key) as connection:
        said = {"type": "t", "code": "invalid_api_key", "message": f"wrong key {key}, or 9f8e***1706"}
        await peer.send("error", error=said)
        event = await connection.receive()
        assert event.error.message == "wrong key [redacted], or [redacted]"
        assert (event.error.code, event.event_id) == ("invalid_api_key", event.event_id)
        assert connection.redact(f"once more {key}") == "once more [redacted]"
        assert key not in repr(vars(connection))


async def test_what_a_server_says_of_an_error_has_an_end(peer, autojump_clock):
    """It is looked through for the key, and with a mask in every place that takes long."""
    key = "9f8e7d6c5b4a39281706"
    async with open_connection(connect=peer.connect, api_key=key) as connection:
        await peer.send("error", error={"type": key, "param": key, "code": key, "message": f"{key} " + "*a" * 20_000})
        error = (await connection.receive()).error

    assert (error.type, error.param, error.code) == ("[redacted]",) * 3
    assert error.message == "[redacted] " + "*a" * ((16_384 - len(key) - 1) // 2) + "*"


async def test_a_link_of_somebody_elses_making_may_end_with_the_key(autojump_clock):
    key = "9f8e7d6c5b4a39281706"

    class Ended:
        async def send_message(self, message):
            raise ConnectionClosed(3000, f"wrong key {key}")

        async def receive_message(self):
            raise ConnectionClosed(3000, f"wrong key {key}")

        async def aclose(self, code=1000, reason=""):
            pass

    @asynccontextmanager
    async def connect(target):
        yield Ended()

    async with open_connection(connect=connect, api_key=key) as connection:
        with pytest.raises(ConnectionClosed) as caught:
            await connection.receive()
    assert caught.value.reason == "wrong key [redacted]"


# --- the ways in ------------------------------------------------------------------------------------------------


async def test_settings_reach_the_handshake(peer, autojump_clock):
    async with open_connection(
        connect=peer.connect,
        url="wss://h/v1",
        api_key="sk-test",
        model="m",
        headers={"X-A": "b"},
        organization="org",
        project="proj",
    ) as connection:
        (handshake,) = peer.handshakes
        assert (handshake.path, handshake.query) == ("/v1/realtime", {"model": "m"})
        names = ["authorization", "x-a", "openai-organization", "openai-project"]
        assert [handshake.header(name) for name in names] == ["Bearer sk-test", "b", "org", "proj"]
        assert connection.kind == "realtime"


async def test_tls_settings_for_a_url_without_tls_are_refused(peer, autojump_clock):
    with pytest.raises(ConfigurationError, match="ssl_context="):
        async with open_connection(url="ws://localhost:1/v1", ssl_context=ssl.create_default_context()):
            pytest.fail("it opened")


@pytest.mark.parametrize("kind", ["realtime", "transcription", "translation"])
async def test_over_a_real_socket(kind):
    async with open_scripted_peer(port=0) as peer:
        async with open_connection(url=peer.url, kind=kind) as connection:
            await peer.send("session.created", session={"type": "realtime"})
            assert (await connection.receive()).type == "session.created"
            for _ in range(100):
                connection.send_nowait(append(20))
        assert (await peer.expect_end()).code == 1000
        assert len(peer.received) == 100
        assert peer.handshakes[0].path.endswith("/translations") == (kind == "translation")


async def test_a_stream_of_somebody_elses_making_may_forget_to_say_that_it_is_over(autojump_clock):
    """Sending fails, receiving hangs: within a second the receiver is told all the same."""

    class Stream:
        async def send_message(self, message):
            raise ConnectionClosed(1006, "gone")

        async def receive_message(self):
            await trio.sleep_forever()

        async def aclose(self, code=1000, reason=""):
            pass

    @asynccontextmanager
    async def connect(target):
        yield Stream()

    async with open_connection(connect=connect) as connection, trio.open_nursery() as nursery:

        async def wait():
            with pytest.raises(ConnectionClosed, match="gone"):
                await connection.receive()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        connection.send_nowait(events.ResponseCreate())
        await trio.sleep(2)
        await wait()
    assert trio.current_time() == 3


async def test_nothing_is_left_behind(autojump_clock):
    """However it ends: no task of ours runs on, no connection object is kept alive by a cycle of exceptions."""

    async def once(way):
        with trio.move_on_after(10):
            async with open_scripted_peer() as peer, open_connection(connect=peer.connect) as connection:
                await connection.send(events.ResponseCreate())
                if way == "drop":
                    await peer.drop()
                elif way == "close":
                    await peer.close(1011)
                elif way == "raise":
                    raise ValueError
                await connection.receive()

    def connections():
        gc.collect()
        return {id(thing): thing for thing in gc.get_objects() if isinstance(thing, Connection)}

    others = connections()  # of tests before this one, whose exceptions pytest may still hold
    before = trio.lowlevel.current_statistics().tasks_living
    for way in ("drop", "close", "raise", "cancel"):
        with suppress(ValueError, ConnectionClosed):
            await once(way)
        assert trio.lowlevel.current_statistics().tasks_living == before
    assert connections().keys() - others.keys() == set()


def test_cancelled_at_any_step_it_leaves_a_whole_wire_and_nothing_behind():
    """Cancelled after each of its steps, a conversation leaves whole events, and a proper end or none at all."""

    async def talk(connect):
        async with open_connection(connect=connect) as connection:
            assert (await connection.receive()).type == "session.created"
            for number in range(3):
                connection.send_nowait(append(200))
                await connection.send(events.ConversationItemCreate(item=events.user_message(str(number))))
            connection.send_nowait(events.ResponseCreate())

    async def main(steps):
        async with open_scripted_peer(greet=True) as peer:
            await trio.testing.wait_all_tasks_blocked()
            before = trio.lowlevel.current_statistics().tasks_living
            async with trio.open_nursery() as nursery:

                async def cancel_later():
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(talk, peer.connect)
                nursery.start_soon(cancel_later)
            await trio.testing.wait_all_tasks_blocked()
            assert trio.lowlevel.current_statistics().tasks_living == before
            assert peer.closed is None or peer.closed.code in {1000, 1006}
            types = [event["type"] for event in peer.received]
            assert "not JSON" not in types
            return types

    seen = [trio.run(main, steps, clock=trio.testing.MockClock(autojump_threshold=0)) for steps in range(80)]

    assert seen[0] == []
    assert seen[-1][-1] == "response.create"
    assert len(seen[-1]) == 7
    # Trio shuffles who runs first, so the lengths do not grow evenly; but there has to be something between
    assert {len(types) for types in seen} - {0, 7}


async def test_the_statistics_are_plain_values():
    connection = Connection(stream=None)
    found = connection.statistics()
    with pytest.raises(AttributeError):
        found.sent = 1
    assert json.dumps(found.sent) == "0"


async def test_what_a_link_knows_of_the_servers_clock_is_passed_on(peer, autojump_clock):
    """Also where it says nothing: a user's own link need not know."""
    async with open_connection(connect=peer.connect) as connection:
        assert (connection.server_time, connection.opened_at) == (None, trio.current_time())

    @asynccontextmanager
    async def connect(target):
        async with peer.connect(target) as stream:
            stream.server_time, stream.opened_at = 784111777.0, 12.5
            yield stream

    async with open_connection(connect=connect) as connection:
        assert (connection.server_time, connection.opened_at) == (784111777.0, 12.5)

    assert (Connection(stream=None).server_time, Connection(stream=None).opened_at) == (None, None)
