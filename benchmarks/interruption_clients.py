"""The two programs that `interruptions.py` interrupts, each with a device of 10 ms blocks; one to a process.

Started with a name, a URL, a file for what was played and, for a busy process, the URL of a server for 20 more
sessions. It prints the time at which its device was opened, by the clock of the machine, and when it was told to stop.
"""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from session_clients import AGENTS, OURS, SESSIONS, run_agents, run_ours

BLOCK_MS = 10
BLOCK_BYTES = BLOCK_MS * 48
SILENCE = bytes(BLOCK_BYTES)


class Burning:
    """Whether the tool is to go on."""

    until_told = True


def burn() -> str:
    """Compute something in pure Python until the program ends."""
    while Burning.until_told:
        sum(range(1_000))
    return "done"


# Ours


class Tape:
    """Keeps what a device played."""

    def __init__(self):
        self.played = bytearray()

    def write(self, captured, played):  # noqa: ARG002
        """Take what was played."""
        self.played += played

    def flush(self):
        """Have nothing to flush."""


class WatchedDevice:
    """A device, when it was opened, when it was told to stop, and when it was given sound."""

    def __init__(self, device):
        self._device = device
        self.opened = None
        self.cuts = []
        self.writes = []

    @contextlib.asynccontextmanager
    async def open(self):
        """Open it, as `AudioDevice` says."""
        async with self._device.open() as stream:
            yield WatchedStream(stream, self)


class WatchedStream:
    """Its stream, as `AudioStream` says."""

    def __init__(self, stream, device):
        self._stream, self._device = stream, device

    @property
    def room(self):
        """Pass it on."""
        return self._stream.room

    def write(self, pcm):
        """Pass it on, and note when."""
        self._stream.write(pcm)
        self._device.writes.append(time.perf_counter())

    def cut(self, generation):
        """Pass it on, and note when."""
        self._stream.cut(generation)
        self._device.cuts.append(time.perf_counter())

    async def receive_block(self):
        """Pass it on; the first tells when the device was opened."""
        block = await self._stream.receive_block()
        if self._device.opened is None:  # the first block began when the device's clock did
            self._device.opened = block.captured_at + clock_offset()
        return block


def clock_offset():
    """Find what to add to Trio's time for the machine's: of many readings, the one that was least disturbed."""
    import trio

    readings = []
    for _ in range(100):
        before, now, after = time.perf_counter(), trio.current_time(), time.perf_counter()
        readings.append((after - before, (before + after) / 2 - now))
    return min(readings)[1]


async def interrupt_ours(url, more):
    """Give the session a device, and leave the rest to it."""
    import trio

    from realtime_trio import ConnectionClosed, open_session, tool
    from realtime_trio.audio import ClockedDevice

    tape = Tape()
    device = WatchedDevice(ClockedDevice(block_ms=BLOCK_MS, recorder=tape))
    async with trio.open_nursery() as nursery:
        for _ in range(SESSIONS if more else 0):
            nursery.start_soon(run_ours, more)
        with contextlib.suppress(ConnectionClosed):  # the server hangs up when it is done
            async with open_session(url=url, audio=device, tools=[tool(burn)], drain=False):
                await trio.sleep_forever()
        Burning.until_told = False
        nursery.cancel_scope.cancel()
    return device.opened, device.cuts, bytes(tape.played)


# openai-agents


class Speaker:
    """A device of the program's own, on the same terms: every 10 ms it takes what there is, else it plays silence.

    Like ours it lets the blocks happen that are due by now whenever it is touched, so that a late loop does not
    lengthen what is played. `flush` stops with the block that is being played, as the documented program does.
    """

    def __init__(self, tracker):
        self.opened = time.perf_counter()
        self.cuts = []
        self.blocks = 0
        self.played = bytearray(BLOCK_BYTES)  # what is handed over is heard in the block that follows
        self._tracker = tracker
        self._waiting = []  # pieces: item, content index, sound

    @property
    def due(self):
        """When the next block is handed over."""
        return self.opened + (self.blocks + 1) * BLOCK_MS / 1000

    def catch_up(self):
        """Hand over what is due by now."""
        while self.due <= time.perf_counter():
            self.blocks += 1
            self.played += self._next_block()

    def _next_block(self):
        block = bytearray()
        while self._waiting and len(block) < BLOCK_BYTES:
            item_id, index, sound = self._waiting[0]
            piece, rest = sound[: BLOCK_BYTES - len(block)], sound[BLOCK_BYTES - len(block) :]
            block += piece
            self._tracker.on_play_bytes(item_id, index, bytes(piece))
            if rest:
                self._waiting[0] = (item_id, index, rest)
            else:
                self._waiting.pop(0)
        return block + bytes(BLOCK_BYTES - len(block))

    def write(self, item_id, index, sound):
        """Put sound behind what waits."""
        self.catch_up()
        self._waiting.append((item_id, index, memoryview(sound)))

    def flush(self):
        """Throw away what waits."""
        self.catch_up()
        self._waiting.clear()
        self.cuts.append(time.perf_counter())


async def interrupt_agents(url, more):
    """Do what the documentation and its command-line example do: buffer `audio`, flush on `audio_interrupted`."""
    from agents import function_tool
    from agents.realtime import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner

    class Tracker(RealtimePlaybackTracker):
        """Told of every block, as in the example; up to date whenever it is asked."""

        def get_state(self):
            speaker.catch_up()
            return super().get_state()

    tracker = Tracker()
    runner = RealtimeRunner(RealtimeAgent(name="Assistant", instructions="Be brief.", tools=[function_tool(burn)]))
    model = {"url": url, "api_key": "none", "playback_tracker": tracker}
    model["initial_model_settings"] = {"model_name": "gpt-realtime"}
    others = [asyncio.create_task(run_agents(more)) for _ in range(SESSIONS if more else 0)]
    async with await runner.run(model_config=model) as session:
        speaker = Speaker(tracker)

        async def run_device():
            while True:
                await asyncio.sleep(speaker.due - time.perf_counter())
                speaker.catch_up()
                await session.send_audio(SILENCE)

        device = asyncio.create_task(run_device())
        async for event in session:  # until the server hangs up
            if event.type == "audio":
                speaker.write(event.item_id, event.content_index, event.audio.data)
            elif event.type == "audio_interrupted":
                speaker.flush()
        Burning.until_told = False
        for task in (device, *others):
            task.cancel()
        await asyncio.gather(device, *others, return_exceptions=True)
    return speaker.opened, speaker.cuts, bytes(speaker.played)


def main(name, url, played_to, more=""):
    """Be interrupted until the server hangs up."""
    if name == OURS:
        import trio

        opened, cuts, played = trio.run(interrupt_ours, url, more)
    else:
        opened, cuts, played = asyncio.run(interrupt_agents(url, more))
    Path(played_to).write_bytes(played)
    print(json.dumps({"opened": opened, "cuts": cuts}))


if __name__ == "__main__":
    assert sys.argv[1] in (OURS, AGENTS)
    main(*sys.argv[1:])
