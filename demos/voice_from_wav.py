"""Voice in the fewest lines: a recording is the microphone, and what the speaker plays becomes another file.

    python demos/voice_from_wav.py question.wav

It talks to OpenAI when OPENAI_API_KEY is set, else to the offline stand-in.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import open_server, open_session
from realtime_trio.audio import WavDevice


@asynccontextmanager
async def find_server() -> AsyncIterator[str | None]:
    """Give a URL; None stands for OpenAI's."""
    if os.environ.get("OPENAI_API_KEY"):
        print("Talking to OpenAI.")
        yield None
    else:
        async with open_server() as server:
            print("No OPENAI_API_KEY: talking to the offline stand-in (rules, not the real model).")
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
