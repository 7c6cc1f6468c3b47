"""What tests of one's own look like to a type checker. Checked by mypy and pyright (`nox -s types`), never run."""

from typing import assert_type

from realtime_trio import open_server, open_session
from realtime_trio.audio import Utterance
from realtime_trio.server.babble import BabbleVoice
from realtime_trio.testing import FakeDevice, Line, Script, Silence, Talk, Talker, Turn, open_talker


async def talk() -> None:
    device = FakeDevice(output_latency_ms=30)
    async with (
        open_talker(device=device, voice=BabbleVoice()) as talker,
        open_server(listen=False, recogniser=talker.recogniser) as server,
        open_session(connect=server.connect, url=server.url, audio=talker.device) as session,
    ):
        assert_type(talker, Talker)
        assert_type(talker.device, FakeDevice)
        lines = ["hello", "goodbye"]
        script: Script = [*lines, Line("stop", at_word="five"), Silence(2)]
        assert_type(await talker.talk(session, lines), Talk)
        talked = await talker.talk(session, script, patience=5)
        assert_type(talked.heard, tuple[str, ...])
        assert_type(talked.turns[0], Turn)
        assert_type(await talker.say("hello"), Utterance)


def refused() -> None:
    Line("stop", 0.8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Line(text="stop", over="a second")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
