"""Telemetry: what a session did, as OpenTelemetry's spans, with how long each took and what was inside what.

    python -m pip install opentelemetry-sdk
    python demos/telemetry.py [a question]

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime_trio import ConfigurationError, Telemetry, open_server, open_session, tool
from realtime_trio.config import resolve, shown_url


@tool
async def get_weather(city: str) -> dict[str, float]:
    """Tell the current temperature in a city."""
    await trio.sleep(0.2)
    return {"celsius": float(len(city))}


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
    kept, provider = InMemorySpanExporter(), TracerProvider()  # a program of yours takes an exporter to its collector
    provider.add_span_processor(SimpleSpanProcessor(kept))
    telemetry = Telemetry(tracer_provider=provider)
    async with find_server() as url, open_session(url=url, tools=[get_weather], telemetry=telemetry) as session:
        print("assistant:", (await session.ask(" ".join(words) or "What is the weather in Lima?")).text)
    levels = {0: -1}
    for span in sorted(kept.get_finished_spans(), key=lambda one: one.start_time or 0):
        level = levels[span.parent.span_id if span.parent else 0] + 1
        levels[span.context.span_id if span.context else 0] = level
        print(f"{((span.end_time or 0) - (span.start_time or 0)) / 1e9:6.2f} s  {'  ' * level}{span.name}")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
