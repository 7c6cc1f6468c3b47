"""openai-agents, which validates every event itself, against our server on a real socket."""

import asyncio
from typing import Any

import pytest
import trio

from realtime_trio.server import ToolAnswered, ToolCall, open_server


@pytest.fixture(autouse=True)
def _no_tracing(monkeypatch):
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")


async def brain(request):
    last = request.history[-1]
    if isinstance(last, ToolAnswered):
        yield f"It is {last.output} there."
    elif last.text == "hello":
        yield "Hello. "
        yield "How are you?"
    else:
        yield ToolCall("get_weather", {"city": "Lima"})


async def test_an_agent_talks_and_calls_a_tool():
    from agents import function_tool
    from agents.realtime import RealtimeAgent, RealtimeRunner

    cities: list[str] = []

    @function_tool
    def get_weather(city: str) -> str:
        """Tell the weather."""
        cities.append(city)
        return "warm"

    def texts(history: list[Any]) -> list[str]:
        return [
            getattr(part, "transcript", None) or getattr(part, "text", None) or ""
            for item in history
            if getattr(item, "role", "") == "assistant"
            for part in item.content
        ]

    async def main(url: str) -> list[Any]:
        agent = RealtimeAgent(name="Tester", instructions="Be brief.", tools=[get_weather])
        runner = RealtimeRunner(agent)
        seen: list[Any] = []
        async with asyncio.timeout(20):
            # It repeats the model in its session.update, and a session's model cannot be changed.
            settings = {"model_name": "gpt-realtime"}
            config = {"url": url, "api_key": "sk-test", "initial_model_settings": settings}
            async with await runner.run(model_config=config) as session:
                await session.send_message("hello")
                turns = 0
                async for event in session:
                    seen.append(event)
                    assert "error" != event.type, event
                    if event.type == "agent_end":
                        turns += 1
                        if turns == 1:
                            await session.send_message("weather?")
                    if event.type == "history_updated" and "It is warm there." in texts(event.history):
                        return seen
        return seen

    async with open_server(brain=brain, recogniser="none") as server:
        seen = await trio.to_thread.run_sync(asyncio.run, main(server.url + "?model=gpt-realtime"))
    assert ["Lima"] == cities
    sound = sum(len(event.audio.data) for event in seen if event.type == "audio")
    assert sound > 24_000
    assert "tool_end" in [event.type for event in seen]
    raw = [event.data for event in seen if event.type == "raw_model_event"]
    assert not [event for event in raw if event.type in ("exception", "error")]
