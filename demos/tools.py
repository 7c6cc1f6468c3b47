"""Tools: functions that the model may call. Their outputs become part of its answer.

    python demos/tools.py [a question]

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import trio

from realtime_trio import ConfigurationError, ToolError, open_server, open_session, tool
from realtime_trio.config import resolve, shown_url

CELSIUS = {"lima": 21.5, "oslo": -3.0, "paris": 16.0}


@tool
async def get_weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict[str, float]:
    """Tell the current temperature in a city.

    Args:
        city: Name of the city.
        unit: What to measure in.
    """
    await trio.sleep(0.1)  # an async tool may wait: the talk goes on meanwhile
    if (celsius := CELSIUS.get(city.lower())) is None:
        raise ToolError(f"nothing is known of {city}, only of {', '.join(CELSIUS)}")  # the model is told
    return {unit: celsius if unit == "celsius" else celsius * 9 / 5 + 32}


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
    question = " ".join(words) or "What is the weather in Lima?"
    async with find_server() as url, open_session(url=url, tools=[get_weather]) as session:
        print("you:      ", question)
        reply = await session.ask(question)  # returns when every call is answered and the model has spoken on it
        for call in reply.tool_calls:
            print(f"tool:      {call.name}({call.arguments}) -> {call.output}")
        print("assistant:", reply.text)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
