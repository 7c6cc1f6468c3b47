"""Whether sessions live for hours: thousands of turns, drawn at random, and what the process holds meanwhile.

`hours.py virtual [--hours 2]` is one session with the offline server in memory, in Trio's virtual time.
`hours.py sockets [--seconds 60] [--sessions 4]` is several sessions over sockets with one server in a process of its
own, in real time. The link is lost at random, and replaced when it is old. What has to hold is checked with each turn
(`long_life.py`); memory, tasks and files have to stay flat (`flatness.py`). The exit code tells.
"""

import argparse
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import trio
import trio.testing

from realtime_trio import ReconnectPolicy, Session, open_server, open_session
from realtime_trio.audio import ClockedDevice

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from flatness import Flatness, Sample, kilobytes, take_sample
from long_life import TOOLS, Counts, Life
from long_server import Hearing, Loudness, Witness
from measuring import load, machine

HELD_A_TURN = 5_000
"""Bytes by which what a session holds may grow with each turn: names of what is over, until their tables are full."""
MEMORY_A_TURN = 20_000.0
"""Bytes by which the process may beside that: what a heap loses in holes."""
TASKS_OF_A_LINK = 8
"""A session may have so many more than in the beginning: another link that stands by."""
LEAST_TURNS = 130
"""Fewer do not fill the tables that have a size."""
TURNS_OF_A_HEAP = 500
"""Over fewer its holes, some megabytes, are more than what a leak makes."""


class Gathering:
    """Where lives meet between two turns, so that all rest when a sample is taken.

    Args:
        parties: How many lives.
        every: Seconds between two samples.
        until: When nobody is waited for any more.
    """

    def __init__(self, parties: int, every: float, until: float) -> None:
        self.flat = Flatness()
        self.sessions: list[Session] = []
        self.lives: list[Life] = []
        self._parties = parties
        self._every = every
        self.until = until
        self._begun = trio.current_time()
        self._next = self._begun + every
        self._present = 0
        self._taken = trio.Event()
        self._wall = time.monotonic()

    def counts(self) -> Counts:
        """Everything that happened so far."""
        counts = Counts()
        for life in self.lives:
            counts.add(life.counts)
        return counts

    async def rest(self) -> None:
        """Rest until all do, when it is time for a sample."""
        if trio.current_time() < self._next:
            await trio.lowlevel.checkpoint()
            return
        self._present += 1
        if self._present == self._parties:
            self._sample()
        else:
            await self._taken.wait()

    def leave(self) -> None:
        """A life is over: it is not waited for."""
        self._parties -= 1
        if self._parties and self._present == self._parties:
            self._sample()

    def _sample(self) -> None:
        now = trio.current_time()
        counts = self.counts()
        sample = take_sample(now - self._begun, counts.turns.total(), self.sessions)
        self.flat.samples.append(sample)
        print(self._line(sample, counts), flush=True)
        self._present, self._next = 0, now + self._every
        self._taken.set()
        self._taken = trio.Event()

    def _line(self, sample: Sample, counts: Counts) -> str:
        took = time.monotonic() - self._wall
        links = f", {counts.notices['lost links']} links lost, {counts.notices['old links']} replaced"
        return f"{sample.at / 3600:6.2f} h (after {took:.0f} s): {sample}{links}, {load()}"


async def live(
    gathering: Gathering, options: argparse.Namespace, seed: int, witness: Witness | None, **where: object
) -> None:
    """Open a session, and live in it."""
    block = options.block_ms
    device = ClockedDevice(block_ms=block, ring_ms=max(400, 2 * block), output_latency_ms=30)
    drawn = random.Random(seed)
    try:
        async with open_session(
            audio=device,
            tools=TOOLS,
            turn_detection="server_vad",
            transcription="gpt-4o-mini-transcribe",
            reconnect=ReconnectPolicy(max_age=options.max_age),
            **where,
        ) as session:
            take = None if witness is None else witness.take
            one = Life(session, device, drawn, silence=options.silence, history=take)
            gathering.sessions.append(session)
            gathering.lives.append(one)
            async with trio.open_nursery() as nursery:
                await nursery.start(one.listen)
                await one.run(gathering.until, gathering.rest)
                nursery.cancel_scope.cancel()
    finally:
        gathering.leave()


async def in_memory(options: argparse.Namespace) -> Gathering:
    """One session in virtual time."""
    witness, hearing = Witness(), Hearing(options.seed)
    gathering = Gathering(1, options.every, trio.current_time() + options.hours * 3600)
    async with (
        open_server(listen=False, brain=witness, recogniser=hearing, turn_detector=Loudness) as server,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drop_links, options, server.drop_sessions)
        await live(gathering, options, options.seed, witness, connect=server.connect, url=server.url)
        nursery.cancel_scope.cancel()
    return gathering


async def drop_links(options: argparse.Namespace, drop: Callable[[], object]) -> None:
    """Lose a link now and then, whatever goes on."""
    drawn = random.Random(options.seed + 1000)
    while True:
        await trio.sleep(drawn.uniform(0, 2 * options.drops))
        drop()


async def over_sockets(options: argparse.Namespace, url: str, drop: Callable[[], object]) -> Gathering:
    """Several sessions in real time."""
    gathering = Gathering(options.sessions, options.every, trio.current_time() + options.seconds)
    async with trio.open_nursery() as dropping:
        dropping.start_soon(drop_links, options, drop)
        async with trio.open_nursery() as nursery:
            for number in range(options.sessions):
                nursery.start_soon(lambda seed: live(gathering, options, seed, None, url=url), options.seed + number)
        dropping.cancel_scope.cancel()
    return gathering


@contextlib.contextmanager
def server_process(seed: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Run the server in a process of its own; give its URL, and what has it lose a link."""
    program = str(Path(__file__).with_name("long_server.py"))
    command = [sys.executable, program, str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            url = process.stdout.readline().decode().strip()
            yield url, lambda: (process.stdin.write(b"drop\n"), process.stdin.flush())
        finally:
            process.stdin.close()


def verdict(gathering: Gathering) -> bool:
    """Print what a run came to, and tell whether it is as it has to be."""
    flat, counts = gathering.flat, gathering.counts()
    print("turns:", ", ".join(f"{number} {name}" for name, number in counts.turns.most_common()))
    print("answers:", ", ".join(f"{number} {name}" for name, number in counts.answers.most_common()))
    print("notices:", ", ".join(f"{number} {name}" for name, number in counts.notices.most_common()))
    print(f"{counts.calls} calls with one output each, {counts.compared} items compared with the server's")
    per = len(gathering.lives)
    flat.from_turn = LEAST_TURNS * per
    enough = counts.turns.total() >= LEAST_TURNS * per
    held, beside = flat.slope("held"), flat.slope("beside")
    print(f"with each turn, in the second half: sessions hold {held:+.0f} bytes, the rest {beside:+.0f}")
    found = [
        words
        for wrong, words in (
            (enough and held > HELD_A_TURN, f"a session grows by {kilobytes(held)} with each turn"),
            (
                counts.turns.total() >= TURNS_OF_A_HEAP and beside > MEMORY_A_TURN,
                f"the process grows by {kilobytes(beside)} with each turn",
            ),
            (flat.slope("tasks") > 0, "the number of tasks grows"),
            (flat.most_tasks() > per * TASKS_OF_A_LINK, f"{flat.most_tasks()} tasks more than at the beginning"),
            (bool(counts.wrong), f"{len(counts.wrong)} times something was not as it should be: see WRONG above"),
            (flat.slope("files") > 0, "files are left open"),
            (len(flat.samples) < 3, "there are too few samples to tell anything"),
        )
        if wrong
    ]
    print(
        "\n".join(found)
        or ("flat" if enough else f"well; {LEAST_TURNS} turns of each are needed to judge what it holds")
    )
    return not found


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=["virtual", "sockets"])
    parser.add_argument("--hours", type=float, default=2.0, help="how long, in virtual time")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, over sockets")
    parser.add_argument("--sessions", type=int, default=4, help="how many, over sockets")
    parser.add_argument("--block-ms", type=int, default=100, help="how much sound the device gives at a time")
    parser.add_argument("--silence", type=float, help="the longest silence between two turns, in seconds")
    parser.add_argument("--max-age", type=float, help="seconds after which a link is replaced")
    parser.add_argument("--drops", type=float, help="seconds between two lost links, on average")
    parser.add_argument("--every", type=float, help="seconds between two samples")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    virtual = options.kind == "virtual"
    if options.silence is None:
        options.silence = 60.0 if virtual else 2.0
    if options.max_age is None:
        options.max_age = 600.0 if virtual else max(20.0, options.seconds / 10)
    if options.drops is None:
        options.drops = 600.0 if virtual else 60.0 / options.sessions
    if options.every is None:
        options.every = min(600.0, options.hours * 150) if virtual else options.seconds / 24
    return options


def main(arguments: list[str]) -> int:
    """Run one, and say how it was."""
    options = parse(arguments)
    print(machine("realtime_trio", "trio", "trio-websocket", "msgspec"))
    if options.kind == "virtual":
        gathering = trio.run(in_memory, options, clock=trio.testing.MockClock(autojump_threshold=0))
    else:
        with server_process(options.seed) as (url, drop):
            gathering = trio.run(over_sockets, options, url, drop)
    return 0 if verdict(gathering) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
