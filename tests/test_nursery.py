"""Tasks that serve a body: whose exception comes out, in which shape, and who hears of a cancellation when."""

import gc
import signal
import weakref

import pytest
import trio
import trio.testing

from realtime_trio.errors import InternalError
from realtime_trio.nursery import open_services


async def crash(error, after=0.0):
    await trio.sleep(after)
    raise error


async def cleanup(error):
    """A service that fails when it is ended."""
    try:
        await trio.sleep_forever()
    finally:
        raise error


async def run(body_error=None, *services):
    """Open services, let them run for a second, and end the body so."""
    async with open_services("the test") as nursery:
        for function, *arguments in services:
            nursery.start_soon(function, *arguments)
        await trio.sleep(1)
        if body_error is not None:
            raise body_error


async def test_services_end_with_the_body(autojump_clock):
    await run(None, (trio.sleep_forever,), (trio.sleep_forever,))
    assert trio.current_time() == 1


@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), KeyboardInterrupt(), StopAsyncIteration(), ExceptionGroup("mine", [ValueError("a")])],
    ids=["error", "Ctrl-C", "StopAsyncIteration", "group"],
)
async def test_the_bodys_exception_is_the_same_object(autojump_clock, error):
    with pytest.raises(BaseException) as caught:  # noqa: PT011  which one is judged below
        await run(error, (trio.sleep_forever,))

    assert caught.value is error or caught.value.__cause__ is error


async def test_the_crash_of_a_service_is_raised_plain_and_ends_the_body(autojump_clock):
    error = OSError("theirs")
    with pytest.raises(OSError, match="theirs") as caught:
        await run(None, (crash, error, 0.5), (trio.sleep_forever,))

    assert caught.value is error
    assert trio.current_time() == 0.5


async def test_a_crash_in_a_nursery_of_the_services_own_is_raised_plain_too(autojump_clock):
    async def service():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash, OSError("deep"))
            await trio.sleep_forever()

    with pytest.raises(OSError, match="deep"):
        await run(None, (service,))


async def test_several_crashes_are_a_mistake_of_ours(autojump_clock):
    with pytest.raises(InternalError, match="several tasks of the test") as caught:
        await run(None, (crash, OSError("a"), 0.5), (crash, OSError("b"), 0.5))

    assert sorted(str(error) for error in caught.value.__cause__.exceptions) == ["a", "b"]


async def test_when_body_and_service_fail_together_the_bodys_error_is_raised_with_a_note(autojump_clock):
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        await run(error, (cleanup, OSError("theirs")))

    assert caught.value is error
    assert error.__notes__ == ["At the same time the test ended with OSError: theirs"]


async def test_an_outer_cancellation_passes(autojump_clock):
    with trio.move_on_after(0.5) as scope:
        await run(None, (trio.sleep_forever,))
    assert scope.cancelled_caught


async def test_services_hear_of_an_outer_cancellation_after_the_body(autojump_clock):
    order = []

    async def service():
        try:
            await trio.sleep_forever()
        finally:
            order.append("service")

    with trio.move_on_after(0.5):
        async with open_services() as services:
            services.start_soon(service)
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(1, shield=True):
                    await trio.sleep(0.7)
                order.append("body")

    assert order == ["body", "service"]


async def test_a_service_that_is_started_late_is_ended_too(autojump_clock):
    async with open_services() as services:

        async def service():
            try:
                await trio.sleep_forever()
            finally:
                services.start_soon(trio.sleep_forever)

        services.start_soon(service)
        await trio.testing.wait_all_tasks_blocked()


def test_ctrl_c_does_not_land_in_a_service():
    landed = []

    async def service():
        try:
            while True:
                await trio.lowlevel.cancel_shielded_checkpoint()
                await trio.lowlevel.checkpoint()
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            landed.append("service")

    async def main():
        async with open_services() as services:
            services.start_soon(service)
            try:
                await trio.sleep_forever()
            except KeyboardInterrupt:
                landed.append("body")
                raise

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert landed == ["body"]


async def test_the_exception_is_freed_without_the_garbage_collector(autojump_clock):
    class Mine(Exception):
        pass

    async def use():
        async with open_services() as services:
            services.start_soon(trio.sleep_forever)
            await trio.sleep(1)
            raise Mine

    gc.collect()
    gc.disable()
    try:
        try:
            await use()
        except Mine as error:
            probe = weakref.ref(error)
        await trio.lowlevel.checkpoint()
        assert probe() is None
    finally:
        gc.enable()
