"""Runs a program, and waits for what it is to tell, in lines of JSON (`talk.py`) or of text (the demo)."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trio

from realtime_trio.nursery import open_services

from .pulse import LIMIT

HOME = Path(__file__).parent


class Program:
    """A running program.

    Attributes:
        told: Everything that it has told, in order; a line of text is the event "line".
    """

    def __init__(self, process: trio.Process) -> None:
        self.told: list[dict[str, Any]] = []
        self._process = process
        self._stderr = b""
        self._news = trio.Event()
        self._over = False
        self._waited_for: dict[str, int] = {}

    async def do(self, what: str, **details: object) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps({"do": what, **details}).encode() + b"\n")

    def all(self, event: str) -> list[dict[str, Any]]:
        """Give what was told under this name so far."""
        return [one for one in self.told if one["event"] == event]

    async def next(self, event: str, *, limit: float = LIMIT) -> dict[str, Any]:
        """Wait for the next event of this name that was not waited for; that there is none is a failure."""
        number = self._waited_for[event] = self._waited_for.get(event, 0) + 1
        with trio.move_on_after(limit):
            while len(self.all(event)) < number and not self._over:
                await self._news.wait()
        if len(self.all(event)) >= number:
            return self.all(event)[number - 1]
        ended = f"the program ended with {self._process.returncode}" if self._over else f"not within {limit:g} s"
        raise AssertionError(f"no {event!r} no. {number}: {ended}")

    async def line(self, pattern: str) -> str:
        """Wait for a line of text in which a pattern is found; that there is none is a failure."""
        with trio.move_on_after(LIMIT):
            while not (found := [line for line in self.lines() if re.search(pattern, line)]) and not self._over:
                await self._news.wait()
            assert found, f"no line {pattern!r}: the program ended with {self._process.returncode}"
            return found[-1]
        raise AssertionError(f"no line {pattern!r} within {LIMIT:g} s")

    def lines(self) -> list[str]:
        """Give the lines of text that it has written so far."""
        return [one["text"] for one in self.all("line")]

    async def stand_still(self, seconds: float) -> None:
        """Let it stand still, as Ctrl-Z and `fg` do, or a laptop that sleeps."""
        self._process.send_signal(signal.SIGSTOP)
        await trio.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    async def finish(self) -> int:
        """Let it end by itself, as at the end of its input, and give its exit code."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        return await self._end()

    async def interrupt(self) -> int:
        """Let it end as Ctrl-C does, and give its exit code."""
        self._process.send_signal(signal.SIGINT)
        return await self._end()

    async def _end(self) -> int:
        with trio.move_on_after(LIMIT):
            while not self._over:
                await self._news.wait()
            return await self._process.wait()
        raise AssertionError("it does not end")

    @property
    def stderr(self) -> str:
        return self._stderr.decode(errors="replace")

    def history(self) -> str:
        """Tell all that is known, for a failure's words."""
        return "\n".join([*(json.dumps(one) for one in self.told), "stderr:", self.stderr])

    async def listen(self) -> None:
        """Take what it tells until it ends."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_stderr, self._process.stderr)
            received = b""
            async for data in self._process.stdout:
                *lines, received = (received + data).split(b"\n")
                self.told += [_event(line.decode()) for line in lines]
                self._tell()
        await self._process.wait()
        self._over = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _take_stderr(self, stream: trio.abc.ReceiveStream) -> None:
        async for data in stream:
            self._stderr += data


def _event(line: str) -> dict[str, Any]:
    return json.loads(line) if line.startswith("{") else {"event": "line", "text": line}


@asynccontextmanager
async def open_program(
    *command: str, environment: Mapping[str, str], folder: Path | None = None
) -> AsyncIterator[Program]:
    """Run a program of Python's, in which warnings are errors; it is killed when the block is left.

    Args:
        command: What Python is told to run.
        environment: Its environment.
        folder: Where it runs.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, "-X", "faulthandler", "-W", "error", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        cwd=folder,
    )
    program = Program(process)
    try:
        async with open_services("a program's output") as services:
            services.start_soon(program.listen)
            try:
                yield program
            except Exception as error:
                error.add_note(program.history())
                raise
    finally:
        process.kill()
        with trio.move_on_after(LIMIT, shield=True):
            await process.wait()


def open_talk(
    environment: Mapping[str, str],
    folder: Path,
    *,
    answers: Sequence[str],
    program: str = "talk.py",
    card: Mapping[str, object] = MappingProxyType({}),
    session: Mapping[str, object] = MappingProxyType({}),
) -> AbstractAsyncContextManager[Program]:
    """Run `talk.py`, and keep what it fetches in this folder."""
    options = {"answers": list(answers), "kept": str(folder), "card": dict(card), "session": dict(session)}
    return open_program(str(HOME / program), json.dumps(options), environment=environment)
