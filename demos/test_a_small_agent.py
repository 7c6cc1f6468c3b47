"""Tests of an agent: a simulated person asks, hesitates, mumbles and barges in, and no real time passes.

    python -m pytest demos/test_a_small_agent.py
    python demos/test_a_small_agent.py              (has one of the talks and shows it)

The model is the offline stand-in: what is tested is what you wrote, tools and settings, and how it works together.
"""

from contextlib import AbstractAsyncContextManager

import trio
import trio.testing

from realtime_trio import Session, open_server, open_session, tool
from realtime_trio.device import AudioDevice
from realtime_trio.server import Server
from realtime_trio.testing import Line, Talker, open_talker

pytest_plugins = ["realtime_trio.testing.fixtures"]


@tool
async def get_weather(city: str) -> str:
    """Tell the current temperature in a city."""
    return f"21.5 degrees in {city}"


def open_agent(server: Server, device: AudioDevice) -> AbstractAsyncContextManager[Session]:
    """The agent: whom it asks, and what it speaks through, are the tests' to say."""
    return open_session(
        connect=server.connect, url=server.url, audio=device, tools=[get_weather], turn_detection="semantic_vad",
        instructions="Tell the weather, briefly.", transcription="whisper-1", interruption="confirm",
    )  # fmt: skip


async def test_it_hears_a_question_out(autojump_clock: object, offline_server: Server, talker: Talker) -> None:
    async with open_agent(offline_server, talker.device) as session:
        talk = await talker.talk(session, ["what is the weather ... in Lima"])  # a server_vad would not wait for Lima
    assert "21.5 degrees in Lima" in talk.heard[0]
    assert talk.turns[1].began - talk.turns[0].ended < 2


async def test_only_what_is_meant_stops_it(autojump_clock: object, offline_server: Server, talker: Talker) -> None:
    async with open_agent(offline_server, talker.device) as session:
        by_the_way, meant = Line("uh-huh", over=1.2, mumbled=True), Line("stop that", at_word="eight")
        talk = await talker.talk(session, ["count to twenty", by_the_way, meant])
    print("With the offline stand-in (rules, not the real model):", talk, sep="\n")
    assert "eight" in talk.heard[0]
    assert "twelve" not in talk.heard[0]


async def main() -> None:
    async with open_talker() as talker, open_server(listen=False, recogniser=talker.recogniser) as server:
        await test_only_what_is_meant_stops_it(None, server, talker)


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
