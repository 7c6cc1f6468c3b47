"""What holds for every test: nobody's settings, no deadline that a busy machine could miss, a Ctrl-C that works."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# the profile that hypothesis chose (it knows CI when it sees it), without its stopwatch
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run where there is no `.env`, with no key and no proxy in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith("OPENAI_") or name.upper().endswith("_PROXY"):
                patch.delenv(name)
        patch.chdir(tmp_path_factory.mktemp("empty"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """Undo that a shell's background job ignores SIGINT: tests send it, and child processes would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _exporters_have_time() -> Iterator[None]:
    """Let what telemetry's thread has to do be done on a busy machine, too, before a test looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime_trio.telemetry.outbox._LAST_WORDS", 60.0)
        yield
