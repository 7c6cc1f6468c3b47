"""How long sound is on its way inside the library: from the microphone to the socket, from the socket to the device.

A session in a process of its own has a device of 10 ms blocks in real time, whose microphone captures numbered samples.
A server of ours in this process notes when each block arrives, and sends 20 ms of numbered samples at random moments
into the silence. When a block was over, and when a sample was handed over, is known from the device's clock.

- *Microphone to socket*: from the end of the captured block until the server has read it.
- *Socket to buffer*: from before the server sends until the device has the sound.
- *Socket to device*: until its first sample is handed over, with the wait for the next block (0 to 10 ms).

`--quick` is a second, to see that it works: its figures mean nothing.
"""

import base64
import contextlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trio

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from interruption_clients import Tape, WatchedDevice
from measuring import machine, percentile, progress, spread
from numbered import RATE, numbered, samples_of
from paced_server import (
    BEGIN,
    CLOSE,
    CREATED,
    PING,
    PLACE,
    PONG,
    SESSION,
    answer_handshake,
    event,
    frame,
    take_frame,
)

DELTAS = 300
PIECE = RATE // 50  # samples of one delta: 20 ms
BLOCK_MS = 10
BLOCK = BLOCK_MS * RATE // 1000
PAUSE = (0.06, 0.1)  # seconds from delta to delta
AIM_MS = 5.0
APPEND = b'{"type":"input_audio_buffer.append"'


class Server:
    """Notes when blocks come, and sends sound at random moments."""

    def __init__(self, deltas):
        self.arrived = []  # when, and what
        self.sent = []
        self._deltas = deltas
        self._random = random.Random(11)

    async def serve(self, stream):
        """Serve one client until everything was sent."""
        buffer = bytearray()
        await answer_handshake(stream, buffer)
        await stream.send_all(CREATED)
        with contextlib.suppress(EOFError, trio.BrokenResourceError):
            async with trio.open_nursery() as nursery:
                talking = False
                while (frame_in := await take_frame(stream, buffer))[0] != CLOSE:
                    opcode, payload = frame_in
                    if opcode == PING:
                        await stream.send_all(frame(PONG, payload))
                    elif payload.startswith(APPEND):
                        self.arrived.append((time.perf_counter(), payload))
                        if not talking:
                            talking = True
                            nursery.start_soon(self._speak, stream)
                    elif b'"session.update"' in payload:
                        await stream.send_all(event("session.updated", session=SESSION))
                nursery.cancel_scope.cancel()

    async def _speak(self, stream):
        await stream.send_all(BEGIN)
        await trio.sleep(0.3)
        for number in range(self._deltas):
            if number and number % 100 == 0:
                progress(f"sound {number} of {self._deltas}")
            sound = base64.b64encode(numbered(number * PIECE, PIECE, 0).tobytes()).decode()
            delta = event("response.output_audio.delta", **PLACE, delta=sound)
            self.sent.append(time.perf_counter())
            await stream.send_all(delta)
            await trio.sleep(self._random.uniform(*PAUSE))
        await stream.send_all(frame(CLOSE, b"\x03\xe8"))


async def client(url, played_to, seconds):
    """Have a session with a device until the server hangs up."""
    from realtime_trio import ConnectionClosed, open_session
    from realtime_trio.audio import ClockedDevice

    tape = Tape()
    clocked = ClockedDevice(block_ms=BLOCK_MS, recorder=tape)
    clocked.speak(numbered(0, round(float(seconds) * RATE), 0).tobytes())
    device = WatchedDevice(clocked)
    with contextlib.suppress(ConnectionClosed):
        async with open_session(url=url, audio=device, drain=False):
            await trio.sleep_forever()
    await trio.Path(played_to).write_bytes(tape.played)
    print(json.dumps({"opened": device.opened, "writes": device.writes}))


def judge_way_in(server, opened):
    """Find for each block how long it took after its end, in ms."""
    capture = {int(numbered(number * BLOCK, 1, 0)[0]): number for number in range(16_000)}
    taken = []
    for moment, payload in server.arrived:
        first = samples_of(base64.b64decode(json.loads(payload)["audio"]))[0]
        taken.append((moment - opened) * 1000 - (capture[int(first)] + 1) * BLOCK_MS)
    return taken


def judge_way_out(server, heard, played):
    """Find for each piece of sound when the device had it, and when it was handed over, in ms after it came."""
    sounds = np.flatnonzero(played)
    starts = [int(sounds[0]), *(int(sounds[place + 1]) for place in np.flatnonzero(np.diff(sounds) > 1))]
    assert len(starts) == len(heard["writes"]) == len(server.sent), "not every piece of sound was played by itself"
    expected = numbered(0, len(server.sent) * PIECE, 0)
    assert np.array_equal(played[sounds], expected), "what was played is not what was sent"
    buffered = [(written - sent) * 1000 for written, sent in zip(heard["writes"], server.sent, strict=True)]
    handed_over = [
        (start / RATE + heard["opened"] - sent) * 1000 for start, sent in zip(starts, server.sent, strict=True)
    ]
    return buffered, handed_over


async def main(*options):
    """Measure, and say what was aimed at."""
    server = Server(10 if "--quick" in options else DELTAS)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "played")
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/v1/realtime"
            nursery.start_soon(trio.serve_listeners, server.serve, [listener])
            command = [sys.executable, __file__, url, recording, "60"]
            done = await trio.run_process(command, capture_stdout=True)
            nursery.cancel_scope.cancel()
        heard, played = json.loads(done.stdout), samples_of(await trio.Path(recording).read_bytes())
    way_in = judge_way_in(server, heard["opened"])
    buffered, handed_over = judge_way_out(server, heard, played)
    figures = {"microphone to socket": way_in, "socket to buffer": buffered, "socket to device": handed_over}
    spread(f"Sound on its way through the library, {BLOCK_MS} ms blocks", "ms", figures)
    print(f"  aim: less than {AIM_MS:.0f} ms beyond the block in 99 of 100:", end=" ")
    print(
        f"{percentile(way_in, 99):.1f} ms to the socket, {percentile(handed_over, 99) - BLOCK_MS:.1f} ms to the device"
    )
    print(flush=True)


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("--"):
        trio.run(client, *sys.argv[1:])
    else:
        print(machine("realtime_trio", "trio", "trio-websocket"))
        trio.run(main, *sys.argv[1:])
