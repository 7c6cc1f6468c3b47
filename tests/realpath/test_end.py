"""From Ctrl-C, or an error, to a process that is gone: with a dead peer, a device that plays, and a tool that hangs."""

import pytest
import trio

from .dying import LIMIT, died, seconds_of_an_empty_process

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tool", ["async", "sync"])
@pytest.mark.parametrize("way", ["ctrl-c", "error"])
def test_it_is_over_within_a_second(way, tool):
    allowance = seconds_of_an_empty_process()
    took, errors = died(way, tool)
    assert "the device is closed" in errors
    assert ("its thread goes on" in errors) == (tool == "sync")
    assert took <= LIMIT + allowance


@pytest.mark.parametrize("way", ["ctrl-c", "error"])
def test_while_it_tries_to_reconnect_too(way):
    allowance = seconds_of_an_empty_process()
    took, errors = died(way, "sync", reconnecting=True)
    assert "the device is closed" in errors
    assert took <= LIMIT + allowance


@pytest.mark.parametrize("tool", ["async", "sync"])
async def test_with_a_sound_card_too(pulse, tool):
    allowance = await trio.to_thread.run_sync(seconds_of_an_empty_process)
    took, errors = await trio.to_thread.run_sync(lambda: died("ctrl-c", tool, "card", environment=pulse.environment))
    assert ("its thread goes on" in errors) == (tool == "sync")
    assert took <= LIMIT + allowance
