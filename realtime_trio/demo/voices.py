"""The simulated user's voice, and who understands it.

What the user says, and when, is in `talk.py`; voices and recognisers themselves are the offline server's.

A voice that can be understood and a recogniser are extras (`pip install 'realtime_trio[offline]'`). Where one of them
is missing, the demo's own server is told what its user says (`ToldRecogniser`), and the screen says so.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio

from realtime_trio.server import Source, Transcript, Voice
from realtime_trio.server.babble import babble_source
from realtime_trio.server.espeak import espeak_source, why_no_espeak
from realtime_trio.server.recogniser import why_no_sphinx

__all__ = ["ASSISTANT_VOICE", "ToldRecogniser", "UserVoice", "open_user_voice"]

ASSISTANT_VOICE = "marin"
_USER_VOICE = "ash"  # a man's, where the assistant's is a woman's


class ToldRecogniser:
    """A recogniser that does not listen: it is told beforehand what will be said. It is a `Recogniser`."""

    def __init__(self) -> None:
        self._expected: deque[str] = deque()

    def expect(self, text: str) -> None:
        """Say what the user's next turn will be."""
        self._expected.append(text)

    async def recognise(self, pcm: bytes) -> Transcript:  # noqa: ARG002 - it has no ears
        """Give the words that were announced for this turn.

        Args:
            pcm: The turn's sound, which is not heard.

        Cancellation:
            Safe.
        """
        await trio.lowlevel.checkpoint()
        return Transcript(self._expected.popleft()) if self._expected else Transcript("", certain=False)


@attrs.frozen
class UserVoice:
    """How the simulated user speaks.

    Attributes:
        description: For people.
        told: The recogniser that has to be told what is said; None when the user is really understood.
    """

    description: str
    told: ToldRecogniser | None
    _voice: Voice = attrs.field(repr=False)

    async def speak(self, text: str) -> bytes:
        """Render what the user says.

        Args:
            text: The words.

        Returns:
            PCM16 mono, 24 kHz.

        Cancellation:
            Safe.
        """
        return (await self._voice.speak(text, voice=_USER_VOICE)).pcm


@asynccontextmanager
async def open_user_voice() -> AsyncGenerator[UserVoice]:
    """Open the best voice that is installed.

    Yields:
        The voice.

    Cancellation:
        Safe: no process is left behind.
    """
    intelligible = await trio.to_thread.run_sync(why_no_espeak, abandon_on_cancel=True) is None
    understood = intelligible and await trio.to_thread.run_sync(why_no_sphinx, abandon_on_cancel=True) is None
    source: Source[Voice] = espeak_source() if intelligible else babble_source()
    async with source.open() as voice:
        yield UserVoice(source.description, None if understood else ToldRecogniser(), voice)
