"""A program under test, as a user would write it: the sound card, a session, and the offline server in between.

It is told what to do, and tells what happens, in lines of JSON; `program.py` is at the other end. Its only argument is
what it is to be, `{"answers": ["...", "/some.wav"], "kept": "/folder", "card": {...}, "session": {...}}`:

answers: what the server's model says, one for each response, the last for all that follow: words, or a WAV file.
kept: the folder for what the server holds of an answer that was cut short: ITEM.wav.
card: arguments of `SoundCard`.
session: arguments of `open_session`.
"""

import json
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import trio

from realtime_trio import Session, events, open_server, open_session
from realtime_trio.audio import SoundCard, WavWriter, read_wav
from realtime_trio.errors import RealtimeError
from realtime_trio.server.seams import BrainRequest, Utterance


def tell(event: str, **details: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
    sys.stdout.flush()


def make_brain(answers: list[str]):
    left = list(answers)

    async def brain(request: BrainRequest) -> AsyncIterator[Utterance]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        tell("answering", instead_of=len(request.history))
        yield read_wav(answer) if answer.endswith(".wav") else answer

    return brain


async def follow(session: Session, kept: Path) -> None:
    """Tell what happens; fetch what the server holds of an answer when it has cut it short."""
    async with session.events() as happening, trio.open_nursery() as nursery:
        tell("ready")
        async for event in happening:
            match event:
                case events.ConversationItemTruncated():
                    nursery.start_soon(fetch, session, event, kept)
                case events.ConversationItemInputAudioTranscriptionCompleted():
                    tell("understood", text=event.transcript)
                case _ if (wire_name := getattr(event, "type", None)) is not None:
                    if wire_name != "response.output_audio.delta":
                        tell(wire_name)
                case _:
                    tell(type(event).__name__, **described(event))


def described(notice: object) -> dict[str, object]:
    """Give the fields of a notice that are plain, and those of the parts of an interruption."""
    details: dict[str, object] = {}
    for name in getattr(type(notice), "__match_args__", ()):
        value = getattr(notice, name)
        if name == "interruption":
            details |= {"reason": value.reason, "parts": [described(part) for part in value.parts]}
        elif isinstance(value, str | int | float | bool | None):
            details[name] = value
    return details


async def fetch(session: Session, truncated: events.ConversationItemTruncated, kept: Path) -> None:
    item = await session.retrieve_item(truncated.item_id)
    assert isinstance(item, events.Message)
    part = item.content[truncated.content_index]
    assert isinstance(part, events.OutputAudio)
    with WavWriter(kept / f"{truncated.item_id}.wav") as file:
        file.write(part.audio or b"")
    tell("truncated", item_id=truncated.item_id, audio_end_ms=truncated.audio_end_ms, wav=str(file.path))


async def report(session: Session) -> None:
    """Tell how every response ends."""
    async with session.responses() as responses, trio.open_nursery() as nursery:
        async for response in responses:
            nursery.start_soon(report_one, response)


async def report_one(response) -> None:
    await response.heard()
    tell("heard", interrupted=response.interrupted, text=response.text, seconds=response.audio_bytes / 48_000)


async def obey(session: Session, card: SoundCard) -> None:
    """Do what is read from stdin, until its end."""
    received = b""
    source = trio.lowlevel.FdStream(0)
    while data := await source.receive_some():
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            match json.loads(line):
                case {"do": "ask", "text": text}:
                    await session.send_text(text)
                case {"do": "interrupt"}:
                    session.interrupt()
                case {"do": "state"}:
                    state, counts = session.sound(), card.statistics()
                    tell("state", **described(state), **described(state.echo), **described(counts))


async def main(answers: list[str], kept: str, card: dict, session: dict) -> None:
    device = SoundCard(**card)
    async with open_server(brain=make_brain(answers), recogniser="none") as server:
        try:
            async with (
                open_session(url=server.url, api_key="offline", audio=device, drain=False, **session) as talk,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(follow, talk, Path(kept))
                nursery.start_soon(report, talk)
                await obey(talk, device)
                nursery.cancel_scope.cancel()
        except RealtimeError as error:
            tell("error", kind=type(error).__name__, words=str(error))
            raise SystemExit(2) from None
    tell("end")


if __name__ == "__main__":
    trio.run(partial(main, **json.loads(sys.argv[1])))
