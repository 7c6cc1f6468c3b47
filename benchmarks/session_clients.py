"""The voice sessions of `sessions.py`, one kind to a process: started with kind, URL, seconds, and how many sessions.

Each session sends a block of audio every 10 ms and takes whatever audio comes, in the way that its documentation
shows. When they all run, the CPU time of this process is taken over the steady part, and printed as
milliseconds for one second of one session.
"""

import asyncio
import base64
import json
import sys
import time

SESSIONS = 20
BLOCK = 0.01  # seconds
WARM_UP = 1.0
PATIENCE = 20.0
PCM = bytes(range(256)) + bytes(224)  # 10 ms
DELTA_BYTES = 4_800  # 100 ms, which the server sends ten times a second

OURS, DEVICE, SDK, AGENTS, BARE = "realtime_trio", "realtime_trio, device", "openai", "openai-agents", "trio-websocket"


class Counts:
    """What went through the sessions of this process."""

    sent = 0
    received = 0


# On Trio


async def paced_by_trio(send):
    """Send a block of audio every 10 ms, by the clock and not by the time that sending takes."""
    import trio

    due = trio.current_time()
    while True:
        await send(PCM)
        Counts.sent += 1
        due += BLOCK
        await trio.sleep_until(due)


async def run_ours(url):
    """Use a session as a program with sound of its own does: append blocks, take chunks from responses."""
    import trio

    from realtime_trio import open_session

    async with (
        open_session(url=url, modality="audio") as session,
        session.responses() as responses,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(paced_by_trio, session.append_audio)
        async for response in responses:
            async for chunk in response.audio_chunks:
                Counts.received += len(chunk)


class CountingRecorder:
    """Counts what passes through a device, and throws it away."""

    def write(self, captured, played):
        """Count both."""
        Counts.sent += len(captured) // len(PCM)
        Counts.received += len(played) if any(played) else 0

    def flush(self):
        """Have nothing to flush."""


async def run_device(url):
    """Leave the sound to the session: capture, playout, and the count of what was heard."""
    import trio

    from realtime_trio import open_session
    from realtime_trio.audio import ClockedDevice

    device = ClockedDevice(block_ms=BLOCK * 1000, recorder=CountingRecorder())
    async with open_session(url=url, audio=device):
        await trio.sleep_forever()


async def run_bare(url):
    """Do what has to be done and nothing else."""
    import trio
    from trio_websocket import open_websocket_url

    async with (
        open_websocket_url(url, receive_buffer_size=2**16, max_message_size=2**26) as link,
        trio.open_nursery() as nursery,
    ):

        async def send(pcm):
            audio = base64.b64encode(pcm).decode()
            await link.send_message(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

        nursery.start_soon(paced_by_trio, send)
        while True:
            event = json.loads(await link.get_message())
            if event["type"] == "response.output_audio.delta":
                Counts.received += len(base64.b64decode(event["delta"]))


async def measure_on_trio(run, url, seconds, sessions):
    """Run all sessions; give the milliseconds of CPU that one takes in a second."""
    import trio

    with trio.fail_after(WARM_UP + seconds + PATIENCE):
        async with trio.open_nursery() as nursery:
            for _ in range(sessions):
                nursery.start_soon(run, url)
                await trio.sleep(BLOCK / sessions)  # as sessions do, they send at different moments
            await trio.sleep(WARM_UP)
            steady = Steady(sessions)
            await trio.sleep(seconds)
            taken = steady.end()
            nursery.cancel_scope.cancel()
    return taken


# On asyncio


async def paced_by_asyncio(send):
    """The same on the other loop."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await send(PCM)
        Counts.sent += 1
        due += BLOCK
        await asyncio.sleep(due - loop.time())


async def run_sdk(url):
    """Use the official client as its documentation does."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="none", websocket_base_url=url.removesuffix("/realtime"))
    async with client.realtime.connect(model="gpt-realtime") as connection, asyncio.TaskGroup() as tasks:

        async def send(pcm):
            await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

        tasks.create_task(paced_by_asyncio(send))
        async for event in connection:
            if event.type == "response.output_audio.delta":
                Counts.received += len(base64.b64decode(event.delta))


async def run_agents(url):
    """Use the agents' session as its documentation does."""
    from agents.realtime import RealtimeAgent, RealtimeRunner

    runner = RealtimeRunner(RealtimeAgent(name="Assistant", instructions="Be brief."))
    model = {"url": url, "api_key": "none", "initial_model_settings": {"model_name": "gpt-realtime"}}
    async with await runner.run(model_config=model) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(paced_by_asyncio(session.send_audio))
        async for event in session:
            if event.type == "audio":
                Counts.received += len(event.audio.data)


async def measure_on_asyncio(run, url, seconds, sessions):
    """The same on the other loop."""
    async with asyncio.timeout(WARM_UP + seconds + PATIENCE):
        running = []
        for _ in range(sessions):
            running.append(asyncio.create_task(run(url)))
            await asyncio.sleep(BLOCK / sessions)
        await asyncio.sleep(WARM_UP)
        steady = Steady(sessions)
        await asyncio.sleep(seconds)
        taken = steady.end()
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return taken


class Steady:
    """The part that counts: begins when it is made."""

    def __init__(self, sessions):
        self._sessions = sessions
        self._cpu, self._clock = time.process_time(), time.perf_counter()
        self._sent, self._received = Counts.sent, Counts.received

    def end(self):
        """Give the milliseconds; refuse a figure of sessions that did not keep pace."""
        cpu, clock = time.process_time() - self._cpu, time.perf_counter() - self._clock
        sent, received = Counts.sent - self._sent, Counts.received - self._received
        expected = clock * self._sessions
        tolerance = 0.02 + 0.1 / clock  # of pace, and for the deltas at the two ends
        kept_pace = (
            abs(sent / (expected / BLOCK) - 1) < tolerance
            and abs(received / (expected * DELTA_BYTES * 10) - 1) < tolerance
        )
        if not kept_pace:
            sys.exit(f"did not keep pace: {sent} blocks out, {received} bytes in, {cpu:.1f} s of CPU in {clock:.1f} s")
        return cpu / expected * 1000


ON_TRIO = {OURS: run_ours, DEVICE: run_device, BARE: run_bare}
ON_ASYNCIO = {SDK: run_sdk, AGENTS: run_agents}


def main(kind, url, seconds, sessions):
    """Measure one kind."""
    if kind in ON_TRIO:
        import trio

        print(trio.run(measure_on_trio, ON_TRIO[kind], url, float(seconds), int(sessions)))
    else:
        print(asyncio.run(measure_on_asyncio(ON_ASYNCIO[kind], url, float(seconds), int(sessions))))


if __name__ == "__main__":
    main(*sys.argv[1:])
