"""A text turn: one call asks, and gives back the whole exchange.

    python demos/text_turn.py [a question]

It talks to OpenAI when OPENAI_API_KEY is set, else to the offline stand-in.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import open_server, open_session


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


async def main(*words: str) -> None:
    question = " ".join(words) or "What is twelve times three?"
    async with find_server() as url, open_session(url=url, instructions="Be brief.") as session:
        print("you:      ", question)
        reply = await session.ask(question)
        print("assistant:", reply.text)
        print(f"({reply.usage.total_tokens} tokens, {reply.status})")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
