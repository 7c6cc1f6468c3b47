"""A guard: words are judged before they are heard, since they come faster than they can be spoken.

    python demos/guard.py [a question]

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, GuardedText, Stop, open_server, open_session
from realtime_trio.audio import ClockedDevice
from realtime_trio.config import resolve, shown_url


async def guard(text: GuardedText) -> Stop | None:
    """Let nothing unlucky be said. It may take its time, and ask somebody else: the sound waits meanwhile."""
    if "thirteen" in text.text.lower():
        return Stop("an unlucky number", instead="I would rather stop here.")
    return None


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
    question = " ".join(words) or "Count to fifteen."
    async with find_server() as url, open_session(url=url, audio=ClockedDevice(), guard=guard) as session:
        print("you:      ", question)
        reply = await session.ask(question)
        print("assistant:", reply.text)
        if reply.interruption and (stop := reply.responses[-1].stopped_by):
            print(
                f"stopped:   {stop.reason}; {reply.interruption.cut_ms} ms were heard: {reply.interruption.heard_text}"
            )
            await session.drained()  # until what is said instead was heard
            print("assistant:", session.conversation.items[-1].generated_text)
        if latency := reply.responses[-1].latency:
            print(f"The first sound came after {latency.total_ms} ms, {latency.guard_ms} of them for the guard")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
