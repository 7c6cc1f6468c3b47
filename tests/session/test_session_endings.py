"""How a session ends: what comes out, and that nothing is left behind."""

import gc
import signal
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from realtime_trio import (
    ConnectionClosed,
    DeviceUnavailable,
    Refused,
    SessionExpired,
    ToolFailed,
    open_session,
    tool,
)
from realtime_trio.testing import FakeDevice, open_scripted_peer

# What happens at the end; that a lost link need not be one is test_session_reconnect's.
open_session = partial(open_session, reconnect=None)


class Boom(Exception):
    """The user's own."""


def tasks_below(task: trio.lowlevel.Task) -> list[str]:
    return [child.name for nursery in task.child_nurseries for child in nursery.child_tasks]


@pytest.fixture
async def nothing_left():
    """Every task, also of our nurseries, is gone when the test is over, and nothing was forgotten half way."""
    before = tasks_below(trio.lowlevel.current_task())
    yield
    await wait_all_tasks_blocked()
    assert tasks_below(trio.lowlevel.current_task()) == before
    gc.collect()  # unclosed streams and unawaited coroutines would warn here, and warnings are errors


async def run(body, *, device=False, **options):
    """Run a body in a session with a peer that greets; give back how the peer saw it end."""
    audio = FakeDevice() if device else None
    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as nursery:
        if audio is not None:
            nursery.start_soon(audio.run)
        try:
            async with open_session(connect=peer.connect, url=peer.url, audio=audio, **options) as session:
                await body(session, peer)
        finally:
            nursery.cancel_scope.cancel()
            if audio is not None:
                assert not audio.is_open
    return peer


@pytest.mark.parametrize("device", [False, True])
async def test_the_body_returns(autojump_clock, nothing_left, device):
    """A normal end closes the link with 1000."""

    async def body(session, peer):
        pass

    peer = await run(body, device=device)

    assert (await peer.expect_end()).code == 1000


@pytest.mark.parametrize("device", [None, FakeDevice()])
@pytest.mark.parametrize("error", [Boom("mine"), ExceptionGroup("mine", [Boom("one"), ValueError("two")])])
async def test_the_bodys_exception_comes_out_as_the_same_object(autojump_clock, nothing_left, device, error):
    """The very object is what the block raises, also when it is a group of the user's making; no note is put on it."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(type(error)) as caught:
            async with open_session(connect=peer.connect, url=peer.url, audio=device):
                raise error

    assert caught.value is error
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("device", [False, True])
async def test_the_body_is_cancelled_from_outside(autojump_clock, nothing_left, device):
    """The cancellation passes through; the link is closed all the same, with sound faded out."""

    async def body(session, peer):
        with trio.CancelScope() as inner:
            await trio.sleep_forever()
        assert not inner.cancelled_caught

    with trio.move_on_after(5) as scope:
        await run(body, device=device)

    assert scope.cancelled_caught


async def test_a_cancelled_body_may_still_speak_in_its_finally(autojump_clock, nothing_left):
    """The services outlive the body: cleanup under a shield reaches the server."""
    seen = []

    async def body(session, peer):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                peer.answer(
                    "conversation.item.delete",
                    lambda event: [{"type": "conversation.item.deleted", "item_id": event["item_id"]}],
                )
                await session.delete_item("item_x")
                seen.append("deleted")

    with trio.move_on_after(1):
        await run(body)

    assert seen == ["deleted"]


async def test_the_server_closes(autojump_clock, nothing_left):
    """The body is cancelled with the reason, which is raised once, plain, at the end of the block."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed) as caught:
            async with open_session(connect=peer.connect, url=peer.url):
                await peer.close(1011, "internal trouble")
                await trio.sleep_forever()
    assert (caught.value.code, caught.value.reason) == (1011, "internal trouble")


async def test_the_link_is_dropped(autojump_clock, nothing_left):
    """No CLOSE came: code 1006."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed) as caught:
            async with open_session(connect=peer.connect, url=peer.url, audio=FakeDevice()):
                await peer.drop()
                await trio.sleep_forever()
    assert caught.value.code == 1006


async def test_the_key_is_refused(autojump_clock, nothing_left):
    """A 401 is typed, and shows no piece of a key."""
    async with open_scripted_peer() as peer:
        peer.refuse(401, '{"error": {"message": "Incorrect API key provided: sk-secret1234567890."}}')
        with pytest.raises(Refused) as caught:
            async with open_session(connect=peer.connect, url=peer.url):
                raise AssertionError("entered")
    assert caught.value.status == 401
    assert "secret" not in str(caught.value) + caught.value.body + repr(caught.value)


async def test_the_session_expires(autojump_clock, nothing_left):
    """The hour is over: the error event makes the close a SessionExpired."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(SessionExpired):
            async with open_session(connect=peer.connect, url=peer.url):
                await peer.send(
                    "error",
                    error={
                        "type": "invalid_request_error",
                        "code": "session_expired",
                        "message": "Your session hit the maximum duration of 60 minutes.",
                    },
                )
                await peer.close(1001, "Your session hit the maximum duration of 60 minutes.")
                await trio.sleep_forever()


@pytest.mark.parametrize("device", [False, True])
async def test_the_peer_never_answers_close(autojump_clock, nothing_left, device):
    """Leaving takes at most about a second."""
    times = []

    async def body(session, peer):
        peer.never_answer_close()
        times.append(trio.current_time())

    await run(body, device=device)
    times.append(trio.current_time())

    assert times[1] - times[0] <= 1.2


async def test_two_tasks_wait_when_it_ends(autojump_clock, nothing_left):
    """Who waits inside the body is cancelled; who waits outside of it gets the reason."""
    outcomes = {}

    async def wait(name, session):
        try:
            await session.delete_item(name)
        except BaseException as error:
            outcomes[name] = type(error)
            raise

    async def outside(session):
        with pytest.raises(ConnectionClosed):
            await wait("outside", session)

    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as nursery:
        with pytest.raises(ConnectionClosed):
            async with open_session(connect=peer.connect, url=peer.url) as session:
                nursery.start_soon(outside, session)  # noqa: ASYNC111 - what outlives the session is told so
                async with trio.open_nursery() as inside:
                    inside.start_soon(wait, "inside 1", session)
                    inside.start_soon(wait, "inside 2", session)
                    await wait_all_tasks_blocked()
                    await peer.drop()
    assert outcomes == {"outside": ConnectionClosed, "inside 1": trio.Cancelled, "inside 2": trio.Cancelled}


async def test_body_and_link_fail_together(autojump_clock, nothing_left):
    """The body's exception is raised; ours becomes a note on it."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(Boom) as caught:
            async with open_session(connect=peer.connect, url=peer.url):
                try:
                    await peer.drop()
                    await trio.sleep_forever()
                finally:
                    raise Boom("while leaving")
    assert "1006" in "".join(caught.value.__notes__)


async def test_subscriptions_end_with_the_session(autojump_clock, nothing_left):
    """Quietly after a normal end, with the reason after another."""
    async with open_scripted_peer(greet=True) as peer:
        async with open_session(connect=peer.connect, url=peer.url) as session:
            quiet = session.events()
        assert [event async for event in quiet] == []

        with pytest.raises(ConnectionClosed):
            async with open_session(connect=peer.connect, url=peer.url) as session:
                broken = session.events()
                await peer.drop()
                await trio.sleep_forever()
        with pytest.raises(ConnectionClosed):
            await broken.receive()


async def test_calls_after_the_end_say_so(autojump_clock, nothing_left):
    """A session that is over is closed, like any Trio resource."""
    async with open_scripted_peer(greet=True) as peer:
        async with open_session(connect=peer.connect, url=peer.url) as session:
            pass
        with pytest.raises(trio.ClosedResourceError):
            await session.delete_item("item_x")
        with pytest.raises(trio.ClosedResourceError):
            await session.ask("Anybody there?")


async def test_a_crashing_tool_ends_the_session_when_asked_to(autojump_clock, nothing_left, as_function_call):
    """`tool_errors="raise"` is for tests: the tool's exception comes out, plain."""

    @tool
    async def fail() -> None:
        """Fail."""
        raise Boom("in the tool")

    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(Boom, match="in the tool"):
            async with open_session(connect=peer.connect, url=peer.url, tools=[fail], tool_errors="raise") as session:
                failures = session.events(ToolFailed)
                await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
                await peer.send(
                    "response.done",
                    response={
                        "id": "resp_1",
                        "status": "completed",
                        "conversation_id": "conv_1",
                        "output": [as_function_call("call_1", "fail", "{}")],
                    },
                )
                await trio.sleep_forever()
    assert isinstance(await failures.receive(), ToolFailed)


async def test_an_error_before_the_session_exists_is_raised_at_the_door(autojump_clock, nothing_left):
    """The server lets the socket open and then says why not: its words beat the close code."""
    async with open_scripted_peer() as peer, trio.open_nursery() as nursery:

        async def refuse():
            await peer.send(
                "error",
                error={
                    "type": "invalid_request_error",
                    "code": "model_not_found",
                    "message": "There is no such model.",
                },
            )
            await peer.close(4000, "invalid_request_error.model_not_found")

        nursery.start_soon(refuse)
        with pytest.raises(Exception, match="no such model"):
            async with open_session(connect=peer.connect, url=peer.url):
                raise AssertionError("entered")


@pytest.mark.parametrize("times", range(5))
def test_ctrl_c_comes_out_plain(times):
    """A real SIGINT, over a real socket, at some moment: KeyboardInterrupt, not a group, and the socket is closed."""

    async def main():
        async with open_scripted_peer(greet=True, port=0) as peer:
            try:
                async with open_session(url=peer.url):
                    await trio.sleep(times * 0.003)
                    signal.raise_signal(signal.SIGINT)
                    await trio.sleep(5)
            finally:
                with trio.CancelScope(shield=True):
                    assert (await peer.expect_end()).code == 1000

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)


@pytest.mark.parametrize("device", [False, True])
def test_opening_can_be_cancelled_at_every_step(device):
    """A host of shielded services that is started but not yet handed over once waited for ever."""

    async def main(steps):
        reached = []
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel_later():
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

                async def body(session, peer):
                    reached.append(session)
                    await trio.sleep_forever()

                nursery.start_soon(cancel_later)
                await run(body, device=device)
        return bool(reached), trio.current_time()

    seen = [trio.run(main, steps, clock=trio.testing.MockClock(autojump_threshold=0)) for steps in range(120)]

    assert seen[0][0] is False
    assert seen[-1][0] is True
    assert max(time for _, time in seen) <= 2


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
async def test_what_ends_a_program_ends_it_from_a_tool_too(autojump_clock, nothing_left, as_function_call, kind):
    """sys.exit() in a tool is not an error text for the model, and no Cancelled of ours comes out for it."""

    @tool
    async def leave() -> None:
        """Leave."""
        raise kind("from a tool")

    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(kind, match="from a tool"):
            async with open_session(connect=peer.connect, url=peer.url, tools=[leave]):
                await call_it(peer, as_function_call("call_1", "leave", "{}"))
                await trio.sleep_forever()


async def call_it(peer, call):
    """Send a response that is one function call."""
    await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
    value = {"id": "resp_1", "status": "completed", "conversation_id": "conv_1", "output": [call]}
    await peer.send("response.done", response=value)


async def test_a_tools_group_reaches_every_waiter(autojump_clock, nothing_left, as_function_call):
    """An exception group ends the session like any other exception, for those who wait outside as well."""

    @tool
    async def fail() -> None:
        """Fail."""
        raise ExceptionGroup("two", [Boom("one"), ValueError("two")])

    caught = []

    async def follow(session):
        try:
            async for _ in session.events():
                pass
        except ExceptionGroup as group:
            caught.append([type(one) for one in group.exceptions])

    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as nursery:
        with pytest.raises(ExceptionGroup, match="two"):  # noqa: ASYNC401 - its very message is what is asked
            async with open_session(connect=peer.connect, url=peer.url, tools=[fail], tool_errors="raise") as session:
                nursery.start_soon(follow, session)  # noqa: ASYNC111 - what outlives the session is told so
                await call_it(peer, as_function_call("call_1", "fail", "{}"))
                await trio.sleep_forever()
    assert caught == [[Boom, ValueError]]


async def test_an_unplugged_device_is_raised_plain(autojump_clock, nothing_left):
    """What the device says is what comes out, without our nurseries around it."""
    device = FakeDevice()
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(DeviceUnavailable, match="unplugged"):
            async with open_session(connect=peer.connect, url=peer.url, audio=device):
                device.fail(DeviceUnavailable("unplugged"))
                await trio.sleep_forever()


async def test_a_device_that_is_busy_says_so_itself(autojump_clock, nothing_left):
    """Two sessions on one device are the program's mistake, not ours."""
    device = FakeDevice()
    async with (
        open_scripted_peer(greet=True) as peer,
        open_session(connect=peer.connect, url=peer.url, audio=device),
    ):
        with pytest.raises(trio.BusyResourceError, match="open already"):
            async with open_session(connect=peer.connect, url=peer.url, audio=device):
                raise AssertionError("entered")


@pytest.mark.parametrize("device", [False, True])
async def test_who_waits_for_silence_outside_is_told_the_end(autojump_clock, nothing_left, device):
    """drained() in a task outside of the body raises the reason, and after a normal end that it is closed."""
    outcomes = []

    async def wait(session):
        try:
            await session.drained()
        except (ConnectionClosed, trio.ClosedResourceError) as error:
            outcomes.append(type(error))

    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as nursery:
        peer.answer("response.create", lambda _: [])
        for drops in (True, False):
            audio = FakeDevice() if device else None
            try:
                async with open_session(connect=peer.connect, url=peer.url, audio=audio, drain=False) as session:
                    await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
                    await wait_all_tasks_blocked()
                    nursery.start_soon(wait, session)  # noqa: ASYNC111 - what outlives the session is told so
                    await wait_all_tasks_blocked()
                    if drops:
                        await peer.drop()
                        await trio.sleep_forever()
            except ConnectionClosed:
                assert drops
    assert outcomes == [ConnectionClosed, trio.ClosedResourceError]
