"""The way out of telemetry: a thread that finishes spans and records measurements, so that no session waits for it.

An exporter may be slow (a span's end may send it over the network) or broken. So what it is given goes through a queue
of bounded length; what finds it full is dropped and counted, and what raises is counted.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

__all__ = ["Counts", "Outbox"]

_log = logging.getLogger("realtime_trio.telemetry")

Job = Callable[[], object]

_MOST_WAITING: Final = 4096
_GLANCE: Final = 0.01  # real seconds for which the end of a session may stand still: nearly always it is enough
_LAST_WORDS: Final = 0.5  # real seconds that the exporter gets at the end


class Counts:
    """What became of what was left, in all sessions of one `Telemetry`. Exact enough without a lock: they only grow."""

    def __init__(self) -> None:
        self.done = 0
        self.dropped = 0
        self.failed = 0

    def fail(self, problem: Exception) -> None:
        """Note that something of OpenTelemetry raised; say so once."""
        self.failed += 1
        if self.failed == 1:
            words = "telemetry fails: %s; sessions go on without, and more failures are only counted"
            _log.warning(words, type(problem).__name__, exc_info=problem)


class Outbox:
    """The queue of one session, and its thread."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._jobs: deque[Job] = deque()
        self._over = False
        self._news = threading.Condition()
        # a daemon: an exporter that hangs is not to keep the process alive
        self._thread = threading.Thread(target=self._run, name="realtime_trio telemetry", daemon=True)
        self._thread.start()

    def leave(self, job: Job) -> None:
        """Have something done in the thread, in order. It does not wait."""
        with self._news:
            if len(self._jobs) >= _MOST_WAITING or self._over:
                self._counts.dropped += 1
                return
            self._jobs.append(job)
            self._news.notify()

    async def aclose(self) -> None:
        """Let what waits be done, for half a second; what is not done by then goes on by itself.

        Cancellation:
            Is not heard: it is bounded.
        """
        with self._news:
            self._over = True
            self._news.notify()
        # A glance without letting anybody else run: under a virtual clock, to wait for a thread is to let time fly.
        self._thread.join(_GLANCE)
        if self._thread.is_alive():
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._thread.join, _LAST_WORDS, limiter=trio.CapacityLimiter(1))
        if self._thread.is_alive():
            words = "the telemetry exporter takes too long: %d spans and measurements of a session that is over wait"
            _log.warning(words, len(self._jobs))

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._jobs:
                    if self._over:
                        return
                    self._news.wait()
                job = self._jobs.popleft()
            try:
                job()
            except Exception as problem:  # noqa: BLE001  somebody else's code: whatever it is, the session goes on
                self._counts.fail(problem)
            else:
                self._counts.done += 1
