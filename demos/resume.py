"""A conversation that goes on where it was: each run begins with what the one before it has kept in a file.

    python demos/resume.py What is twelve times three?

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, Snapshot, open_server, open_session
from realtime_trio.config import resolve, shown_url

KEPT = trio.Path("conversation.json")


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
    history = Snapshot.from_json(await KEPT.read_text(encoding="utf-8")) if await KEPT.exists() else Snapshot()
    for lost in history.left_out():
        print(f"(cannot be carried over: {lost.item_id}, {lost.reason})")
    async with find_server() as url, open_session(url=url, history=history) as session:
        for item in session.conversation:  # the new session's own: the server has acknowledged each
            print(f"earlier, {item.role}: {item.text}")
        question = " ".join(words) or "What is twelve times three?"
        print("you:      ", question)
        print("assistant:", (await session.ask(question)).text)
        await KEPT.write_text(session.conversation.snapshot().to_json(), encoding="utf-8")
    print(f"(delete {KEPT} to begin anew)")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
