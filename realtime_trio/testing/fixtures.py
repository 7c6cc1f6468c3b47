"""Fixtures for pytest: what the other modules here open, ready at the beginning of a test and gone at its end.

They are there for those who ask for them, in their topmost `conftest.py`, or in one test module:

    pytest_plugins = ["realtime_trio.testing.fixtures"]

Those that wait are for pytest-trio. Programs that call `trio.run` themselves, and tests that want other settings, open
the same things with the context managers of `realtime_trio.testing` and `open_server`. How it all goes together is in
`docs/testing.md`.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from realtime_trio import open_server
from realtime_trio.server import Server
from realtime_trio.server.babble import babble_source

from . import recorded
from .devices import FakeDevice
from .faulty_proxy import FaultyProxy, open_faulty_proxy
from .peer import ScriptedPeer, open_scripted_peer
from .recorded import Replayed
from .talker import Talker, open_talker

try:
    import pytest
except ImportError:
    raise ImportError("these fixtures are for pytest: pip install pytest pytest-trio") from None

try:
    from pytest_trio import trio_fixture  # type: ignore[import-untyped]
except ImportError:
    trio_fixture = None

__all__ = [
    "fake_device",
    "faulty_proxy",
    "listening_server",
    "offline_options",
    "offline_server",
    "scripted_peer",
    "session_from_recording",
    "talker",
]


def _fixture(function: Callable[..., Any]) -> Any:
    """Make a fixture that waits; without pytest-trio, one that says what to install."""
    if trio_fixture is not None:
        return trio_fixture(function)

    def missing() -> None:
        pytest.fail(
            f"the fixture {function.__name__!r} is for tests that pytest-trio runs: pip install pytest-trio. "
            "For trio.run, realtime_trio.testing has a context manager instead.",
            pytrace=False,
        )

    missing.__doc__ = function.__doc__
    return pytest.fixture(missing, name=function.__name__)


if trio_fixture is None:

    @pytest.fixture
    def autojump_clock() -> trio.testing.MockClock:
        """A clock that jumps over every wait: `trio.run(main, clock=autojump_clock)`. pytest-trio has one too."""
        return trio.testing.MockClock(autojump_threshold=0)


@pytest.fixture
def fake_device() -> FakeDevice:
    """A sound device that moves when the test says so: `fake_device.step()`."""
    return FakeDevice()


@_fixture
async def talker() -> AsyncGenerator[Talker]:
    """A simulated person with a device: `open_session(audio=talker.device)`, `await talker.talk(session, [...])`."""
    async with open_talker(voice=babble_source()) as person:
        yield person  # noqa: ASYNC119  pytest-trio takes it to its end


@pytest.fixture
def offline_options() -> dict[str, Any]:
    """Options of `open_server` for `offline_server` and `listening_server`: define a fixture of this name to give some.

    For example `{"brain": my_brain}`, or `{"misbehaviour": Misbehaviour(...)}`.
    """
    return {}


@_fixture
async def offline_server(talker: Talker, offline_options: dict[str, Any]) -> AsyncGenerator[Server]:
    """The offline server in memory, which understands the `talker`.

    `open_session(connect=offline_server.connect, url=offline_server.url)`. Also under `autojump_clock`.
    """
    async with open_server(**{"listen": False, "recogniser": talker.recogniser, **offline_options}) as server:
        yield server  # noqa: ASYNC119  pytest-trio takes it to its end


@_fixture
async def listening_server(
    talker: Talker, offline_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Server]:
    """The offline server on a socket, which is where a program without a URL of its own connects to.

    The environment says so during the test, and holds no key. It needs the real clock.
    """
    if isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock):
        pytest.fail("listening_server has sockets, which no mock clock waits for: take offline_server", pytrace=False)
    options = {"recogniser": talker.recogniser, "voice": babble_source(), **offline_options}
    async with open_server(**options) as server:
        for name in [name for name in os.environ if name.startswith("OPENAI_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server  # noqa: ASYNC119  pytest-trio takes it to its end


@_fixture
async def faulty_proxy(offline_server: Server) -> AsyncGenerator[FaultyProxy]:
    """A network before `offline_server` that fails when it is told to: `faulty_proxy.strike(Cut())`.

    `open_session(connect=faulty_proxy.connect, url=faulty_proxy.url)`.
    """
    async with open_faulty_proxy(offline_server) as proxy:
        yield proxy  # noqa: ASYNC119  pytest-trio takes it to its end


@_fixture
async def scripted_peer() -> AsyncGenerator[ScriptedPeer]:
    """A server that does what the test says, line by line; it greets by itself.

    `open_session(connect=scripted_peer.connect, url=scripted_peer.url)`.
    """
    async with open_scripted_peer(greet=True) as peer:
        yield peer  # noqa: ASYNC119  pytest-trio takes it to its end


@pytest.fixture
def session_from_recording(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Replayed]]:
    """Play a recording again, for example a user's report: see `realtime_trio.testing.session_from_recording`.

    A path that is relative begins at the test's own folder: `async with session_from_recording("reports/17") as ...`.
    """

    def open_recorded(path: str | os.PathLike[str], **options: Any) -> AbstractAsyncContextManager[Replayed]:
        return recorded.session_from_recording(Path(request.path).parent / path, **options)

    return open_recorded
