"""The recipe in docs/asyncio.md does what it says: its own text is what runs here."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

BRIDGE, PROGRAM, *_ = re.findall(
    r"^```python\n(.*?)^```",
    (Path(__file__).parents[2] / "docs" / "asyncio.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)


def bridge():
    """Make the recipe's own function from its text."""
    names = {}
    exec(compile(BRIDGE, "docs/asyncio.md", "exec"), names)  # noqa: S102 - our own documentation
    return names["trio_thread"]


class Log:
    """A resource that notes in which thread it was used, and how it ended."""

    def __init__(self):
        self.lines = []
        self.threads = set()

    @asynccontextmanager
    async def open(self):
        self.threads.add(threading.current_thread())
        try:
            yield self
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
                self.lines.append("closed")

    async def echo(self, text):
        self.threads.add(threading.current_thread())
        await trio.lowlevel.checkpoint()
        return text

    async def wait(self):
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.lines.append("cancelled")
            raise


def test_a_call_runs_in_the_other_thread_and_the_resource_is_closed():
    log = Log()

    async def main():
        async with bridge()(log.open) as call:
            return [await call(Log.echo, "one"), await call(Log.echo, "two")]

    assert asyncio.run(main()) == ["one", "two"]
    assert log.lines == ["closed"]
    assert threading.main_thread() not in log.threads
    assert len(log.threads) == 1


def test_cancelling_the_call_cancels_it_in_the_thread_and_others_go_on():
    log = Log()

    async def main():
        async with bridge()(log.open) as call:
            waiting = asyncio.create_task(call(Log.wait))
            await call(Log.echo, "the call before is under way now")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return await call(Log.echo, "still here")

    assert asyncio.run(main()) == "still here"
    assert log.lines == ["cancelled", "closed"]


def test_an_error_of_the_call_is_raised_at_the_call():
    async def fail(resource):
        raise LookupError(resource.lines)

    async def main():
        async with bridge()(Log().open) as call:
            with pytest.raises(LookupError):
                await call(fail)

    asyncio.run(main())


def test_an_error_of_the_body_is_raised_and_the_resource_is_closed():
    log = Log()

    async def main():
        async with bridge()(log.open):
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main())

    assert log.lines == ["closed"]


def test_what_does_not_open_says_why():
    @asynccontextmanager
    async def refuse():
        raise PermissionError
        yield

    async def main():
        async with bridge()(refuse):
            pass

    with pytest.raises(PermissionError):
        asyncio.run(main())


def test_cancelling_while_it_opens_leaves_nothing_behind():
    closed = []

    @asynccontextmanager
    async def never_opens():
        try:
            await trio.sleep_forever()
        finally:
            closed.append(True)
        yield

    async def main():
        async with asyncio.timeout(0.05), bridge()(never_opens):
            pass

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert closed == [True]


def test_when_the_resource_ends_pending_calls_end_and_the_block_says_why():
    @asynccontextmanager
    async def lose_the_link():
        lost = trio.Event()
        try:
            async with trio.open_nursery() as nursery:

                async def watch():
                    await lost.wait()
                    raise ConnectionResetError  # noqa: TRY301 - it has to come out of a task

                nursery.start_soon(watch)
                yield lost
        except* ConnectionResetError:
            raise ConnectionResetError from None

    async def lose(lost):
        lost.set()
        await trio.sleep_forever()

    async def main():
        async with bridge()(lose_the_link) as call:
            with pytest.raises(RuntimeError, match="is ending"):
                await call(lose)

    with pytest.raises(ConnectionResetError):
        asyncio.run(main())


def test_the_whole_recipe_talks_to_the_offline_server():
    """The page's program, in a process of its own as a reader would run it."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", BRIDGE + PROGRAM],
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (answer.returncode, answer.stderr) == (0, "")
    assert "five" in answer.stdout.lower() or "5" in answer.stdout
