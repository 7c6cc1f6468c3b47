"""Hands-free voice: microphone and speaker, the echo cancelled, and you may talk over the answer. Ctrl-C ends it.

    python demos/hands_free.py

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from realtime_trio import ConfigurationError, DeviceUnavailable, events, open_server, open_session
from realtime_trio.audio import SoundCard
from realtime_trio.config import resolve, shown_url
from realtime_trio.session import EchoNotCancelled, Interrupted


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


async def main() -> None:
    async with (
        find_server() as url,
        open_session(url=url, audio=SoundCard(), turn_detection="server_vad", transcription="whisper-1") as session,
    ):
        print('Say "count to twenty", and talk over the answer. Ctrl-C ends it.')
        async for event in session.events():
            match event:
                case events.ConversationItemInputAudioTranscriptionCompleted(transcript=words):
                    print("you:      ", words)
                case events.ResponseOutputAudioTranscriptDone(transcript=words):
                    print("assistant:", words)  # all of it; it is still being spoken
                case Interrupted(interruption=cut):
                    print("           (you heard:", cut.heard_text, "//)")
                case EchoNotCancelled(words=words):
                    print(words)
                case _:
                    pass


if __name__ == "__main__":
    try:
        with suppress(KeyboardInterrupt):
            trio.run(main)
    except DeviceUnavailable as error:
        sys.exit(f"{error}. What there is: python -m realtime_trio.demo --list-devices")
