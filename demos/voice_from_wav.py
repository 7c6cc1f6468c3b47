"""Voice in the fewest lines: a recording is the microphone, and what the speaker plays becomes another file.

    python demos/voice_from_wav.py question.wav

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, open_server, open_session
from realtime_trio.audio import WavDevice
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


async def main(question: str) -> None:
    device = WavDevice(question, "answer.wav")
    async with find_server() as url, open_session(url=url, audio=device, turn_detection="server_vad") as session:
        async with session.responses() as responses:  # turn detection starts one when the speaker falls silent
            response = await responses.receive()
        async for piece in response.transcript_deltas:
            print(piece, end="", flush=True)
        await response.heard()
    print(f"\nanswer.wav has the sound; it began {response.latency_ms} ms after the question ended")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit(__doc__)
    trio.run(main, sys.argv[1])
