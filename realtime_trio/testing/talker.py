"""A person who talks with an assistant: speaks the lines of a script into a fake device, and hears its speaker.

What a script is made of stands in `script.py`; when a line's moment has come, and what is heard, in `talk.py`; who
understands the talker, in `known_voice.py`; voices are the offline server's.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio

from realtime_trio import ConfigurationError, Session
from realtime_trio.audio import Utterance
from realtime_trio.device import SAMPLE_RATE
from realtime_trio.nursery import open_services
from realtime_trio.server import Source, Speech, Voice
from realtime_trio.server.babble import babble_source
from realtime_trio.server.speech import default_voice

from .devices import FakeDevice
from .known_voice import KnownVoice
from .script import Line, Script, Silence, Talk
from .talk import Dialogue, Ears, is_virtual

__all__ = ["Talker", "open_talker"]

_SAMPLE_BYTES = 2
_MUMBLED = 1.5  # times the normal speed


class Talker:
    """A simulated person. Made by `open_talker`.

    Attributes:
        device: What is spoken into, and heard from: for `open_session(audio=talker.device)`.
        recogniser: Understands this talker, and nobody else, without guessing: for `open_server(recogniser=...)`.
        description: How it sounds, for people.
    """

    def __init__(self, device: FakeDevice, voice: Voice, description: str, timbre: str) -> None:
        self.device = device
        self.recogniser = KnownVoice()
        self.description = description
        self._voice = voice
        self._timbre = timbre
        self._ears = Ears()
        device.recorder = self._ears

    async def say(self, line: str | Line) -> Utterance:
        """Begin to say something now, or after what is being said.

        Args:
            line: The words; when they are to be said, a `Line` tells only `talk`.

        Returns:
            What is being said; `await utterance.captured()` waits for its end.

        Cancellation:
            What was begun is said.
        """
        sound = await self._render(_as_line(line))
        self._learn(sound)
        return self.device.speak(sound.pcm)

    async def talk(
        self, session: Session, script: Script, *, patience: float = 30.0, push_to_talk: bool = False
    ) -> Talk:
        """Have a talk, until the last answer was heard.

        ```python
        talk = await talker.talk(session, ["count to twenty", Line("what is two plus two", at_word="five")])
        assert "4" in talk.heard[-1]
        ```

        Args:
            session: Whom the talker talks with; its device is the talker's.
            script: What is said, and when.
            patience: Seconds that are waited for an answer.
            push_to_talk: Whether a key is pressed for each line, in a session with `turn_detection=None`.

        Returns:
            What both sides said.

        Raises:
            AssertionError: A line was not answered, or what was waited for did not come.
            ConfigurationError: The talker's device is not that of a session.
            ConnectionClosed: The link was lost.

        Cancellation:
            The talker falls silent after what was begun.

        Tasks:
            One that follows the responses, and one for each of them; all end with the call.
        """
        if not self.device.is_open:
            raise ConfigurationError("nobody listens to the talker: open_session(audio=talker.device)")
        steps = [_as_line(step) if isinstance(step, str) else step for step in _as_script(script)]
        sounds = {step: await self._render(step) for step in steps if isinstance(step, Line)}
        async with open_services("the talk") as services:
            talk = Dialogue(self.device, self._ears, session, services, patience=patience, push_to_talk=push_to_talk)
            for step in steps:
                if isinstance(step, Silence):
                    await trio.sleep(step.seconds)
                else:
                    await talk.wait_for(step)
                    self._learn(sounds[step])
                    await talk.speak(step, sounds[step].pcm)
            return await talk.finish()

    async def _render(self, line: Line) -> "_Sound":
        """Make a line's sound."""
        pieces = line.pieces
        speed = _MUMBLED if line.mumbled else 1.0
        spoken = [await self._voice.speak(piece, voice=self._timbre, speed=speed) for piece in pieces if piece]
        sounds = iter(spoken)
        pause = bytes(round(line.pause * SAMPLE_RATE) * _SAMPLE_BYTES)
        pcm = pause.join(next(sounds).pcm if piece else b"" for piece in pieces)
        return _Sound(pcm, tuple(spoken), is_whole=bool(pieces[-1]))

    def _learn(self, sound: "_Sound") -> None:
        """Let the recogniser know what will be said."""
        for index, speech in enumerate(sound.pieces, 1):
            self.recogniser.learn(speech, last=sound.is_whole and index == len(sound.pieces))


@attrs.frozen
class _Sound:
    """A line as it sounds."""

    pcm: bytes
    pieces: tuple[Speech, ...]
    is_whole: bool  # it does not end with a pause


def _as_line(line: str | Line) -> Line:
    return Line(line) if isinstance(line, str) else line


def _as_script(script: Script) -> Script:
    return [script] if isinstance(script, str) else script


@asynccontextmanager
async def open_talker(
    *, device: FakeDevice | None = None, voice: Voice | Source[Voice] | None = None, timbre: str = "ash"
) -> AsyncGenerator[Talker]:
    """Have a simulated person at a device's microphone and speaker, for as long as the block lasts.

    ```python
    async def test_the_weather(autojump_clock):
        async with (
            open_talker() as talker,
            open_server(listen=False, recogniser=talker.recogniser) as server,
            open_session(connect=server.connect, url=server.url, audio=talker.device, tools=[get_weather],
                         turn_detection="server_vad") as session,
        ):
            talk = await talker.talk(session, ["what is the weather in Lima"])
        assert "21.5" in talk.heard[0]
    ```

    Args:
        device: The device; it moves by itself here. By default one without latency.
        voice: How the talker sounds. By default a voice that can be understood (espeak-ng, in a process of its own)
            where it is installed; under a mock clock one that babbles, in process.
        timbre: The name of one of the API's voices, or any other.

    Yields:
        The talker.

    Cancellation:
        Safe: no process is left behind.

    Tasks:
        One that moves the device.
    """
    source = await _voice_source(voice)
    device = FakeDevice() if device is None else device
    async with source.open() as opened, open_services("the talker") as services:
        services.start_soon(device.run)
        yield Talker(device, opened, source.description, timbre)


async def _voice_source(voice: Voice | Source[Voice] | None) -> Source[Voice]:
    if isinstance(voice, Source):
        return voice
    if voice is not None:
        return Source(f"voice: {type(voice).__name__}", lambda: _lend(voice))
    if is_virtual():
        return babble_source()  # its time jumps: no process can keep pace
    return await trio.to_thread.run_sync(default_voice, abandon_on_cancel=True)


@asynccontextmanager
async def _lend(voice: Voice) -> AsyncGenerator[Voice]:
    """Open what its maker owns."""
    yield voice
