"""How much CPU twenty voice sessions take, against the least Trio could do: a bare socket loop with json and base64.

Each session sends 20 ms of audio every 20 ms and gets 100 ms of audio every 100 ms, over a plain loopback socket. Each
side runs in a fresh process, the two take turns, and only the CPU time of the client's process in the steady part is
counted. The bare loop keeps nothing, checks nothing and ends no response; ours does all of that.
"""

import base64
import contextlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import trio
from trio_websocket import open_websocket_url

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from measuring import machine, progress, table

SESSIONS = 20
BLOCK = 0.02
WARM_UP, MEASURED = 1.0, 4.0  # seconds
ROUNDS = 10
PCM = bytes(range(256)) * 3 + bytes(192)  # 20 ms
DELTA_BYTES = 4_800
OURS, BARE = "realtime_trio", "bare trio-websocket loop"
SERVER = Path(__file__).with_name("paced_server.py")


class Counts:
    """What went through the sessions of this process."""

    sent = 0
    received = 0


async def paced(send):
    """Send a block of audio every 20 ms, by the clock and not by the time that sending takes."""
    due = trio.current_time()
    while True:
        await send(PCM)
        Counts.sent += 1
        due += BLOCK
        await trio.sleep_until(due)


async def run_ours(url):
    """Use a session as a program with sound of its own does: append blocks, take chunks from responses."""
    from realtime_trio import open_session

    async with (
        open_session(url=url, modality="audio") as session,
        session.responses() as responses,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(paced, session.append_audio)
        async for response in responses:
            async for chunk in response.audio_chunks:
                Counts.received += len(chunk)


async def run_bare(url):
    """Do what has to be done and nothing else."""
    async with (
        open_websocket_url(url, receive_buffer_size=2**16, max_message_size=2**26) as link,
        trio.open_nursery() as nursery,
    ):

        async def send(pcm):
            audio = base64.b64encode(pcm).decode()
            await link.send_message(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

        nursery.start_soon(paced, send)
        while True:
            event = json.loads(await link.get_message())
            if event["type"] == "response.output_audio.delta":
                Counts.received += len(base64.b64decode(event["delta"]))


async def client(run, url):
    """Run all sessions, and print the milliseconds of CPU that one session takes in a second."""
    with trio.move_on_after(WARM_UP + MEASURED + 5):
        async with trio.open_nursery() as nursery:
            for _ in range(SESSIONS):
                nursery.start_soon(run, url)
                await trio.sleep(BLOCK / SESSIONS)  # as sessions do, they send at different moments
            await trio.sleep(WARM_UP)
            sent, received = Counts.sent, Counts.received
            cpu, clock = time.process_time(), time.perf_counter()
            await trio.sleep(MEASURED)
            cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
            sent, received = Counts.sent - sent, Counts.received - received
            nursery.cancel_scope.cancel()
    expected = clock * SESSIONS
    assert abs(sent / (expected / BLOCK) - 1) < 0.03, f"{sent} blocks sent in {clock:.1f} s"
    assert abs(received / (expected * DELTA_BYTES * 10) - 1) < 0.03, f"{received} bytes received in {clock:.1f} s"
    print(cpu / expected * 1000)


@contextlib.contextmanager
def server():
    """Start the server in its own process, and say where it is."""
    process = subprocess.Popen([sys.executable, SERVER, "600"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"ws://127.0.0.1:{process.stdout.readline().strip()}/v1/realtime"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def main():
    """Take turns, a fresh process each time, and change who goes first; the median of the rounds' ratios counts."""
    print(machine("realtime_trio", "trio", "trio-websocket", "msgspec"))
    taken = {OURS: [], BARE: []}
    with server() as url:
        for number in range(ROUNDS):
            for name in (OURS, BARE) if number % 2 else (BARE, OURS):
                command = [sys.executable, __file__, name, url]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                taken[name].append(float(answer.stdout))
            ours, bare = (values[-1] for values in taken.values())
            progress(f"round {number + 1} of {ROUNDS}: {ours:.2f} ms against {bare:.2f} ms, {ours / bare:.2f} times")
    figures = {name: statistics.median(values) for name, values in taken.items()}
    table(f"CPU of one of {SESSIONS} paced sessions, for each second of it", "ms", figures, ours=OURS, digits=2)
    ratios = sorted(ours / bare for ours, bare in zip(*taken.values(), strict=True))
    print(f"  a whole session takes {statistics.median(ratios):.2f} times what the bare loop takes", end=" ")
    print(f"(rounds: {ratios[0]:.2f} to {ratios[-1]:.2f})\n")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        trio.run(client, {OURS: run_ours, BARE: run_bare}[sys.argv[1]], sys.argv[2])
    else:
        main()
