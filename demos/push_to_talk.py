"""Push-to-talk: Enter begins what you say, also over an answer, and Enter ends it: python demos/push_to_talk.py."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, DeviceUnavailable, Session, events, open_server, open_session
from realtime_trio.audio import SoundCard
from realtime_trio.config import resolve, shown_url


@asynccontextmanager
async def find_server() -> AsyncIterator[str | None]:
    """Give a URL; None stands for that of the environment or `.env`, by default OpenAI's."""
    try:
        print("Talking to", shown_url(resolve().url))
    except ConfigurationError as error:
        print(f"Talking to the offline stand-in (rules, not the real model): {str(error).partition('. ')[0]}.")
    else:
        yield None
        return
    async with open_server() as server:
        yield server.url


async def show(session: Session) -> None:
    async for event in session.events():
        if isinstance(event, events.ResponseOutputAudioTranscriptDone):
            print("assistant:", event.transcript)


async def main() -> None:
    async with (
        find_server() as url,
        open_session(url=url, audio=SoundCard(), turn_detection=None) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(show, session)
        print("Press Enter, speak, and press Enter again. Ctrl-D or Ctrl-C ends it.")
        while await trio.to_thread.run_sync(os.read, 0, 1024, abandon_on_cancel=True):
            session.press()  # whatever is being said stops
            await trio.to_thread.run_sync(os.read, 0, 1024, abandon_on_cancel=True)
            if await session.release() is None:
                print("(that was too short)")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    try:
        try:
            trio.run(main)
        except* KeyboardInterrupt:  # it comes out of a nursery, in a group
            pass
    except DeviceUnavailable as error:
        sys.exit(f"{error}. What there is: python -m realtime_trio.demo --list-devices")
