"""Typed events: the connection alone. Every event is a value with a type; nothing is decided for you.

    python demos/typed_events.py [a question]

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, events, open_connection, open_server
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
    async with find_server() as url, open_connection(url=url) as connection:
        settings = events.RealtimeSession(instructions="Be brief.", output_modalities=["text"])
        await connection.send(events.SessionUpdate(session=settings))
        await connection.send(events.ConversationItemCreate(item=events.user_message(question)))
        await connection.send(events.ResponseCreate())
        async for event in connection:
            match event:
                case events.ResponseOutputTextDelta(delta=delta):
                    print(f"<- {event.type:35} {delta!r}")
                case events.Error(error=error):
                    print(f"<- {event.type:35} {error.message}")
                case events.ResponseDone(response=response):
                    print(f"<- {event.type:35} {response.status}")
                    return
                case _:  # also those that did not exist when this library was written: events.UnknownEvent
                    print(f"<- {event.type}")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
