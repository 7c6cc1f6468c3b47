"""A child process that answers requests in turn: what `espeak` and `recogniser` have in common.

A request and an answer are a line of JSON and, where it says `"bytes": n`, as many bytes behind it. The first message
of the child says that it is ready. It ends when its input ends, so it never outlives its parent. Whatever goes wrong
over a request (also a cancellation) leaves the two out of step, so the process is killed then, and replaced at the
next request.
"""

import contextlib
import json
import subprocess
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from realtime_trio.errors import AudioError

__all__ = ["Child", "try_child"]

_GOODBYE = 0.5  # seconds for the process to end by itself


def try_child(command: Sequence[str]) -> str | None:
    """Start a child, let it say that it is ready, and let it end. Blocks meanwhile.

    Returns:
        None if it works, else the reason why not.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own file and interpreter
            command, input=b"", capture_output=True, timeout=20, check=False
        )
        ready = json.loads(done.stdout.split(b"\n")[0])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return f"{Path(command[-1]).name}: {type(error).__name__}"
    return None if "error" not in ready else str(ready["error"])


@attrs.define(eq=False)
class _Pipe:
    """One running process."""

    process: trio.Process
    _received: bytearray = attrs.field(factory=bytearray, init=False, repr=False)

    async def _receive(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - opened with a pipe
        data = await self.process.stdout.receive_some()
        if not data:
            raise trio.BrokenResourceError("the process ended")
        self._received += data

    async def answer(self) -> tuple[dict[str, Any], bytes]:
        while (end := self._received.find(b"\n")) < 0:
            await self._receive()
        header: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        size = header.get("bytes", 0)
        while len(self._received) < size:
            await self._receive()
        body = bytes(self._received[:size])
        del self._received[:size]
        return header, body

    async def ask(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        assert self.process.stdin is not None  # noqa: S101 - opened with a pipe
        await self.process.stdin.send_all(json.dumps(request | {"bytes": len(body)}).encode() + b"\n" + body)
        return await self.answer()

    async def goodbye(self) -> None:
        """Let the process end by itself if it does so in time, else by force."""
        with trio.CancelScope() as scope:
            scope.shield = True
            assert self.process.stdin is not None  # noqa: S101 - opened with a pipe
            await self.process.stdin.aclose()
            with trio.move_on_after(_GOODBYE):
                await self.process.wait()
            await self.kill()

    async def kill(self) -> None:
        """End the process now, also under cancellation."""
        with trio.CancelScope() as scope:
            scope.shield = True
            self.process.kill()  # nothing happens if it is over
            await self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    await pipe.aclose()


class Child:
    """A child process, or the next one after it died. Many tasks may ask; they are served in turn.

    Args:
        name: What it is, for errors.
        command: How it is started.
        limit: Seconds that it may take to start, or to answer.
    """

    def __init__(self, name: str, command: Sequence[str], *, limit: float = 30.0) -> None:
        self._name = name
        self._command = list(command)
        self._limit = limit
        self._pipe: _Pipe | None = None
        self._lock = trio.Lock()
        self.ready: dict[str, Any] = {}
        """What the child said when it was ready."""

    @property
    def pid(self) -> int | None:
        """The process that runs now, if any."""
        return self._pipe.process.pid if self._pipe is not None else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Start it, and end it when the block is left.

        Raises:
            AudioError: It does not start.

        Cancellation:
            Safe: no process is left behind.
        """
        try:
            await self._start()
            yield
        finally:
            if self._pipe is not None:
                await self._pipe.goodbye()  # noqa: ASYNC102 - shields itself, and takes a bounded time

    async def _start(self) -> _Pipe:
        process = await trio.lowlevel.open_process(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        pipe = _Pipe(process)
        try:
            with trio.fail_after(self._limit):
                self.ready = self._checked(await pipe.answer())[0]
        except (trio.TooSlowError, trio.BrokenResourceError, ValueError) as error:
            await pipe.kill()  # noqa: ASYNC120 - shields itself
            raise AudioError(f"the process of {self._name} does not start") from error
        except BaseException:
            await pipe.kill()  # noqa: ASYNC102 - shields itself, and takes a moment
            raise
        self._pipe = pipe
        return pipe

    def _checked(self, answer: tuple[dict[str, Any], bytes]) -> tuple[dict[str, Any], bytes]:
        if "error" in answer[0]:
            raise AudioError(f"{self._name}: {answer[0]['error']}")
        return answer

    async def ask(self, request: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer. If the process died, a new one gets the same request, once.

        Raises:
            AudioError: It failed, twice died, or did not answer in time.

        Cancellation:
            Safe: the process is killed, and started again for the next request.
        """
        async with self._lock:
            try:
                return await self._ask(request, body)
            except trio.BrokenResourceError:
                pass
            try:
                return await self._ask(request, body)
            except trio.BrokenResourceError as error:
                raise AudioError(f"the process of {self._name} died twice over a request") from error

    async def _ask(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        pipe = self._pipe or await self._start()
        self._pipe = None  # kept only if it answers: otherwise it may be out of step
        try:
            with trio.fail_after(self._limit):
                answer = self._checked(await pipe.ask(request, body))
        except trio.TooSlowError as error:
            await pipe.kill()  # noqa: ASYNC120 - shields itself
            raise AudioError(f"{self._name} did not answer within {self._limit:g} s") from error
        except BaseException:
            await pipe.kill()  # noqa: ASYNC102 - shields itself, and takes a moment
            raise
        self._pipe = pipe
        return answer
