"""Tools: functions that the model may call. Their outputs become part of its answer.

    python demos/tools.py [a question]

It talks to OpenAI when OPENAI_API_KEY is set, else to the offline stand-in.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import trio

from realtime_trio import ToolError, open_server, open_session, tool

CELSIUS = {"lima": 21.5, "oslo": -3.0, "paris": 16.0}


@tool
async def get_weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict[str, float]:
    """Tell the current temperature in a city.

    Args:
        city: Name of the city.
        unit: What to measure in.
    """
    await trio.sleep(0.1)  # an async tool may wait: the talk goes on meanwhile
    if city.lower() not in CELSIUS:
        raise ToolError(f"nothing is known of {city}, only of {', '.join(CELSIUS)}")  # the model is told
    celsius = CELSIUS[city.lower()]
    return {unit: celsius if unit == "celsius" else celsius * 9 / 5 + 32}


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
    question = " ".join(words) or "What is the weather in Lima?"
    async with find_server() as url, open_session(url=url, tools=[get_weather]) as session:
        print("you:      ", question)
        reply = await session.ask(question)  # returns when every call is answered and the model has spoken on it
        for call in reply.tool_calls:
            print(f"tool:      {call.name}({call.arguments}) -> {call.output}")
        print("assistant:", reply.text)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
