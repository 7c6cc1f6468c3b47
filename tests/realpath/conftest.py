"""The way of sound that users have: PortAudio, ALSA and a sound server, only that the last has no hardware."""

from collections.abc import AsyncIterator

import pytest

from .pulse import PulseServer, missing, open_pulse


@pytest.fixture(scope="session")
def installed() -> None:
    """Skip what cannot be tried on this machine."""
    if packages := missing():
        pytest.skip(f"the real path of sound: apt-get install {' '.join(packages)}")


@pytest.fixture
async def pulse(installed: None) -> AsyncIterator[PulseServer]:
    """Run a sound server for one test."""
    async with open_pulse() as server:
        yield server
