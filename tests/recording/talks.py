"""A talk with the offline server that is recorded: questions, a tool call, and an answer that is spoken over."""

import itertools
import math

import trio

from realtime_trio import Reconnected, ReconnectPolicy, open_server, open_session, tool
from realtime_trio.audio import ClockedDevice
from realtime_trio.server import Transcript


class Hearing:
    """A recogniser that is told what it hears, in order."""

    def __init__(self, *words: str) -> None:
        self._words = itertools.chain(words, itertools.repeat(""))

    async def recognise(self, _pcm: bytes) -> Transcript:
        return Transcript(next(self._words))


def voice(ms: int) -> bytes:
    """A voiced sound, loud enough for any turn detection."""
    samples = (round(8000 * math.sin(2 * math.pi * 180 * n / 24_000)) for n in range(24 * ms))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


@tool
async def get_weather(city: str) -> dict[str, float]:
    """Tell the weather.

    Args:
        city: Where.
    """
    await trio.sleep(0.2)
    return {"celsius": len(city)}


async def talk(folder) -> None:
    """Have a talk with the offline server: a tool call, and an answer that is spoken over."""
    device = ClockedDevice(output_latency_ms=30)
    words = ("what is the weather in paris", "count to twenty", "what is twelve times three")
    async with (
        open_server(listen=False, recogniser=Hearing(*words)) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            audio=device,
            record=folder,
            turn_detection="server_vad",
            transcription="gpt-4o-mini-transcribe",
            tools=[get_weather],
        ) as session,
        session.responses() as responses,
    ):
        device.speak(voice(1000))
        await (await responses.receive()).done()
        await (await responses.receive()).heard()
        device.speak(voice(1000))
        counting = await responses.receive()
        while counting.first_sound_at is None:  # noqa: ASYNC110 the clock jumps
            await trio.sleep(0.02)
        await trio.sleep(2)
        device.speak(voice(1000))
        await (await responses.receive()).heard()


async def talk_over_links(folder) -> None:
    """Have a talk of three links: one is lost while somebody speaks, one replaced because of its age."""
    device = ClockedDevice(output_latency_ms=30)
    async with (
        open_server(listen=False, recogniser=Hearing("count to twenty", "what is twelve times three")) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            audio=device,
            record=folder,
            turn_detection="server_vad",
            transcription="gpt-4o-mini-transcribe",
            tools=[get_weather],
            reconnect=ReconnectPolicy(max_age=100),
        ) as session,
        session.responses() as responses,
        session.events(Reconnected) as reconnected,
    ):
        await session.ask("What is the weather in Paris?")
        await responses.receive()
        device.speak(voice(1000))
        await responses.receive()
        await trio.sleep(0.5)
        server.drop_sessions()
        assert (await reconnected.receive()).reason == "lost"
        await session.drained()
        assert (await reconnected.receive()).reason == "age"
        device.speak(voice(1000))
        await trio.sleep(3)
        await session.drained()
        await session.ask("What is the weather in Lima?")


async def talk_typed(folder) -> str:
    """Have a talk by keyboard, with a tool call; give the last answer."""

    @tool
    async def get_weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        return f"rain in {city}"

    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url, record=folder, tools=[get_weather]) as session,
    ):
        await session.ask("What is the weather in Paris?")
        await trio.sleep(2)
        return (await session.ask("What is twelve times three?")).text


async def talk_by_key(folder) -> None:
    """Have a talk by push-to-talk: a question, and a tap."""
    device = ClockedDevice()
    async with (
        open_server(listen=False, recogniser=Hearing("what is twelve times three")) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            record=folder,
            audio=device,
            turn_detection=None,
            transcription="gpt-4o-mini-transcribe",
            interruption="never",
        ) as session,
        session.responses() as responses,
    ):
        await trio.sleep(2)
        device.speak(voice(1000))
        session.press()
        await trio.sleep(0.8)
        await session.release()
        await (await responses.receive()).heard()
        session.press()
        await trio.sleep(0.05)  # a tap
        await session.release()
