"""Plays a file and records the microphone through a sound card; `test_soundcard.py` runs it.

It takes JSON on its input, one object a line, and tells what happens in the same way. `{"do": "cut"}` cuts what is
played; at the end of the input it leaves.
"""

import json
import sys
import time
import wave
from pathlib import Path

import attrs
import trio

from realtime_trio.audio import SoundCard
from realtime_trio.device import AudioStream


def tell(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}), flush=True)  # noqa: T201


async def obey(stream: AudioStream, sound: list[bytes]) -> None:
    """Cut, and let the rest be, when it is told to; return when there is nothing more to be told."""
    received = b""
    source = trio.lowlevel.FdStream(0)
    while data := await source.receive_some():
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            assert json.loads(line) == {"do": "cut"}
            stream.cut(1)
            sound.clear()


async def use(stream: AudioStream, sound: list[bytes], recording: Path) -> None:
    """Play, record, and tell of cuts, changes and the end of the sound."""
    written = 0
    length = len(sound[0])
    last = None
    with recording.open("wb") as file:
        while True:
            if sound and (room := stream.room):
                piece = sound[0][written : written + 2 * room]
                stream.write(piece)
                written += len(piece)
            block = await stream.receive_block()
            file.write(block.captured)
            if block.cut is not None:
                tell("cut", samples=block.cut.samples, ahead=block.cut.until - trio.current_time())
            if block.change is not None:
                tell("change", available=block.change.available, words=block.change.words)
            if last is not None and abs(block.captured_at - last.captured_at - 0.02) > 0.005:
                tell("jump", seconds=block.captured_at - last.captured_at)
            if length and block.position.samples == length // 2 and block.position != (last and last.position):
                tell("played", samples=block.position.samples)
            last = block


async def main() -> None:
    options = json.loads(sys.argv[1])
    with wave.open(options["play"]) as file:
        sound = [file.readframes(file.getnframes())]
    card = SoundCard(**options["card"])
    async with card.open() as stream:
        tell("ready")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use, stream, sound, Path(options["record"]))
            await obey(stream, sound)
            nursery.cancel_scope.cancel()
        begun = time.perf_counter()
    tell("closed", seconds=time.perf_counter() - begun, **attrs.asdict(card.statistics()))


trio.run(main)
