"""A recording whose program was killed, or whose disk is full: what there is can be read."""

import os
import signal
import subprocess
import sys
import time
import wave

import numpy as np

from realtime_trio.recording import read_recording

TALK = """
import sys
import trio
from realtime_trio import open_session
from realtime_trio.audio.clocked import ClockedDevice
from realtime_trio import RecordingStopped
from realtime_trio.testing import open_scripted_peer

LIMIT = int(sys.argv[2])
if LIMIT:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))

TONE = (3000).to_bytes(2, "little") * 2400

async def main():
    device = ClockedDevice()
    device.speak(TONE * 600)
    async with open_scripted_peer(greet=True) as peer:
        peer.ignored.add("input_audio_buffer.append")
        async with open_session(connect=peer.connect, audio=device, record=sys.argv[1]) as session:
            async with session.events(RecordingStopped) as stopped:
                print("running", flush=True)
                if LIMIT:
                    print((await stopped.receive()).words)
                    await session.update(instructions="the session goes on")
                    print("updated")
                    return
                for number in range(10_000):
                    await peer.send("number", number=number)
                    await trio.sleep(0.01)

trio.run(main)
"""


def start(folder, limit=0):
    return subprocess.Popen(
        [sys.executable, "-c", TALK, str(folder), str(limit)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_what_was_recorded_until_a_kill_can_be_read(tmp_path):
    folder = tmp_path / "recording"
    with start(folder) as process:
        assert process.stdout.readline() == "running\n"
        deadline = time.monotonic() + 60
        while (folder / "events.jsonl").stat().st_size < 20_000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

    session = read_recording(folder)
    entries = list(session.entries())
    assert entries[-1].kind != "ended"
    assert "unreadable" not in {entry.kind for entry in entries}
    numbers = [entry.event["number"] for entry in entries if entry.type == "number"]
    assert len(numbers) > 50
    assert numbers == list(range(len(numbers)))
    messages = [session.message(entry) for entry in entries if entry.kind == "sent"]  # with all the audio they refer to
    assert sum(len(message) for message in messages) > 4 / 3 * (folder / "sent.raw").stat().st_size - 10_000
    with wave.open(str(folder / "device.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert abs(len(sound) / 24_000 - entries[-1].at) < 1.5
    assert np.mean(sound[:, 0] == 3000) > 0.8


def test_a_full_disk_stops_the_recording_and_not_the_session(tmp_path):
    folder = tmp_path / "recording"
    with start(folder, limit=150_000) as process:
        said, complaints = process.communicate(timeout=60)

    assert process.returncode == 0, complaints
    assert f"{folder} is not written any further: File too large. The session goes on" in said, said
    assert said.endswith("updated\n")
    entries = list(read_recording(folder).entries())
    assert {"session.created", "session.updated"} <= {entry.type for entry in entries}
