"""How soon an interruption silences the device, and how well the server is told where the sound ended.

A server of ours (`interrupting_server.py`) speaks numbered samples over a real socket and then says that the user
began to speak: 200 times, at random moments, in four ways: generation over and 3 s queued; generation going on; sound
that comes too slowly, with gaps; two spoken items in one response. The client (`interruption_clients.py`) has a device
of 10 ms blocks in real time. What was played is found in its recording by content.

- *Told*: from `speech_started` on the socket until the device was told to stop.
- *Handed over*: until the block with the last audible sample was given to the device.
- *Silent*: until that sample's own place on the device's clock. Ours fades for up to 10 ms, so that nothing clicks; the
  documented program of openai-agents stops dead with the block that is playing, and so is ahead by as much.
- *Truncation error*: what the server was told (`audio_end_ms`; 0 for a deletion; all of it when nothing was said) less
  what was played, for each spoken part that had begun.

Busy means: 60 s of audio queued, 20 more paced sessions in the process, and a tool that burns CPU in a thread.
`--quick` is a few rounds, without the 20 sessions, to see that it works: its figures mean nothing.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import trio

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from interrupting_server import InterruptingServer
from measuring import machine, percentile, progress, spread
from numbered import AUDIBLE, RATE, SAMPLES_PER_MS, numbered, samples_of
from session_clients import AGENTS, OURS
from sessions import PLAIN, server

CLIENTS = Path(__file__).with_name("interruption_clients.py")
ROUNDS = {OURS: 200, AGENTS: 100}
BUSY_ROUNDS = 20
BLOCK = FADE = RATE // 100
SURE_START = 16  # samples by which the beginning of a part is known
LATEST_START = 0.2  # seconds after a round in which its sound may still begin, in a process that is late
AIM_MS, AIM_ERROR_MS = 20.0, 10.0


class Findings:
    """What was found in the rounds of one side."""

    def __init__(self):
        self.told, self.handed_over, self.silent, self.errors = [], [], [], []
        self.beyond_received = self.not_stopped = self.unlike = 0


async def run(name, rounds, environment, *, more="", **script):
    """Let one side be interrupted, in a process of its own."""
    script_server = InterruptingServer(rounds, **script)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "played")
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, script_server.serve, [listener])
            nursery.start_soon(tell_progress, name, script_server, rounds)
            command = [sys.executable, CLIENTS, name, f"ws://127.0.0.1:{port}/v1/realtime", recording, more]
            done = await trio.run_process(command, capture_stdout=True, env=environment)
            nursery.cancel_scope.cancel()
        heard = json.loads(done.stdout)
        played = samples_of(await trio.Path(recording).read_bytes())
    if len(script_server.rounds) < rounds:
        raise RuntimeError(f"{name} left after {len(script_server.rounds)} of {rounds} interruptions")
    return judge(script_server.rounds, heard["opened"], heard["cuts"], played)


async def tell_progress(name, script_server, rounds):
    while True:
        await trio.sleep(10)
        progress(f"{name}: interruption {len(script_server.rounds)} of {rounds}")


def judge(rounds, opened, cuts, played):
    """Compare what the server said and heard with the recording."""
    found = Findings()
    starts = [find_start(one, opened, played) for one in rounds]
    played_ones = [(one, start) for one, start in zip(rounds, starts, strict=True) if start is not None]
    for (one, start), (_, end) in zip(played_ones, [*played_ones[1:], (None, played.size)], strict=True):
        judge_latency(one, (start, end), opened, cuts, played, found=found)
        judge_truncation(one, played[start:end], found)
    return found


def find_start(one, opened, played):
    """Find where the sound of a round begins; None when it was interrupted before its first sample."""
    begun = max(0, round((one.begun - opened) * RATE))
    if not one.parts:
        return None
    first = numbered(0, SURE_START, one.parts[0].number)
    ended = round((one.ended - opened + LATEST_START) * RATE)
    places = begun + np.flatnonzero(played[begun:ended] == first[0])
    return next((int(place) for place in places if np.array_equal(played[place : place + SURE_START], first)), None)


def judge_latency(one, window, opened, cuts, played, *, found):
    started = (one.speech_started - opened) * 1000
    start, end = window
    last = start + int(np.flatnonzero(np.abs(played[start:end].astype(np.int32)) > AUDIBLE)[-1])
    if last + 1 >= end:
        found.not_stopped += 1
        return
    told = [cut for cut in cuts if cut >= one.speech_started]
    if told:
        found.told.append((told[0] - one.speech_started) * 1000)
    # what is handed over with a block is heard in its time, from its first sample to its last
    found.handed_over.append(last // BLOCK * BLOCK / SAMPLES_PER_MS - started)
    found.silent.append((last + 1) / SAMPLES_PER_MS - started)


def judge_truncation(one, window, found):
    sounds = window[window != 0]
    expected = np.concatenate([numbered(0, part.sent, part.number) for part in one.parts])
    sure = max(0, sounds.size - FADE)  # beyond it samples are faded: they are counted, not read
    if not np.array_equal(sounds[:sure], expected[:sure]):
        found.unlike += 1
        return
    left = sounds.size
    for part in one.parts:
        came_out = min(left, part.sent)
        left -= came_out
        if not came_out:
            continue
        told = part.sent / SAMPLES_PER_MS if part.told_ms is None else part.told_ms
        found.errors.append(told - came_out / SAMPLES_PER_MS)
        if part.told_ms is not None and part.told_ms * SAMPLES_PER_MS > part.sent_when_told:
            found.beyond_received += 1


def report(title, findings):
    """Print what was found."""
    rows = (("told", "told to stop"), ("handed_over", "last handed over"), ("silent", "silent"))
    figures = {f"{name}: {words}": getattr(found, row) for row, words in rows for name, found in findings.items()}
    spread(f"From speech_started on the socket, {title}", "ms", figures)
    for name, found in findings.items():
        if found.not_stopped:
            print(f"  {name} had not stopped when the next round began, {found.not_stopped} times")
        if found.unlike:
            print(f"  {name} played something else than was sent, {found.unlike} times")


def report_errors(findings):
    spread("Truncation error", "ms", {name: [abs(error) for error in found.errors] for name, found in findings.items()})
    for name, found in findings.items():
        over = sum(abs(error) > AIM_ERROR_MS for error in found.errors)
        late = max(found.errors, default=0.0)
        print(f"  {name}: beyond one block {over} times; most that was claimed too much {late:.1f} ms;", end=" ")
        print(f"more claimed than was received {found.beyond_received} times")
    print(flush=True)


async def main(*options):
    """Measure alone, then busy."""
    quick = "--quick" in options
    alone, busy = {}, {}
    with server() as (urls, environment):
        for name, rounds in ROUNDS.items():
            alone[name] = await run(name, 4 if quick else rounds, environment)
        for name in ROUNDS:
            script = {"kinds": ("minute",), "wait": (0.4, 0.7), "tool": True, "more": "" if quick else urls[PLAIN]}
            busy[name] = await run(name, 1 if quick else BUSY_ROUNDS, environment, **script)
    report("alone", alone)
    if alone[OURS].silent:
        print(f"  aim: silent within {AIM_MS:.0f} ms (a block and a fade) in 99 of 100:", end=" ")
        print(f"{percentile(alone[OURS].silent, 99):.1f} ms", flush=True)
    report("busy (60 s queued, 20 more sessions, a tool burning CPU in a thread)", busy)
    report_errors(alone)


if __name__ == "__main__":
    print(machine("realtime_trio", "trio", "openai-agents"))
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(main, *sys.argv[1:])
