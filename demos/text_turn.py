"""A text turn: one call asks, and gives back the whole exchange.

    python demos/text_turn.py [a question]

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, open_server, open_session
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


async def main(*words: str) -> None:
    question = " ".join(words) or "What is twelve times three?"
    async with find_server() as url, open_session(url=url, instructions="Be brief.") as session:
        print("you:      ", question)
        reply = await session.ask(question)
        print("assistant:", reply.text)
        print(f"({reply.usage.total_tokens} tokens, {reply.status})")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
