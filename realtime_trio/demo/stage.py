"""What every kind of talk has: the options, the terminal, the recording, the lines, the record; and whom it is with.

Where the sound comes from and goes to makes the kinds: `headless.py` and `sound_card.py`.
"""

import math
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import urlsplit

import attrs
import trio

from realtime_trio.config import resolve, shown_url
from realtime_trio.device import AudioDevice
from realtime_trio.opening import open_session
from realtime_trio.server import Recogniser, Source, open_server
from realtime_trio.session import Session

from .arguments import Options
from .lines import Lines, Showing, folded
from .record import Record
from .recording import LateRecorder
from .voices import ASSISTANT_VOICE
from .weather import get_weather

__all__ = ["Stage", "Terminal", "live_server"]

_INSTRUCTIONS = "You are a friendly voice assistant. Answer in English, in one short sentence. It is now {now}."
_TRANSCRIPTION = "gpt-4o-mini-transcribe"
_INDENT = 13  # columns before what is said at the beginning
_STAND_IN = "offline stand-in (rules, not the real model)"


@attrs.frozen(kw_only=True)
class Terminal:
    """Where the demo is seen, and where something is typed.

    Attributes:
        write: Shows a piece of text.
        colour: Whether to use colours.
        keyboard: Whether somebody may be typing.
        full_screen: Whether the whole screen may be had.
        stdin: The file descriptor of what is typed.
        stdout: The file descriptor of the screen.
        width: Columns that there are for lines; None for no limit.
        signals: What ends the talk early.
    """

    write: Callable[[str], object]
    colour: bool = False
    keyboard: bool = False
    full_screen: bool = False
    stdin: int = 0
    stdout: int = 1
    width: int | None = None
    signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)


@attrs.define(eq=False, kw_only=True)
class Stage:
    """One talk.

    Attributes:
        options: What was asked for.
        terminal: Where it is seen.
        recorder: Where its sound is kept.
        lines: Shows what is said: one below the other, unless somebody knows better.
        live: The real service, in words; None for the stand-in.
        record: What happens.
        began_at: When it began; infinite before.
    """

    options: Options
    terminal: Terminal
    recorder: LateRecorder
    live: str | None
    record: Record = attrs.field(factory=Record)
    lines: Showing = attrs.field(init=False)
    began_at: float = attrs.field(default=math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        self.lines = Lines(self.terminal.write, now=self.now, colour=self.terminal.colour)

    @property
    def began(self) -> bool:
        """Whether there was a talk."""
        return self.began_at < math.inf

    @property
    def server(self) -> str:
        """Whom the user talks to, in a few words."""
        return _STAND_IN if self.live is None else self.live

    def now(self) -> float:
        """Tell the seconds since the talk began; 0 before."""
        return max(0.0, trio.current_time() - self.began_at)

    def begin(self) -> None:
        """The talk begins: only now is an earlier recording given up."""
        self.recorder.begin()
        self.began_at = trio.current_time()

    @asynccontextmanager
    async def session(
        self,
        audio: AudioDevice,
        *,
        about: dict[str, str],
        recogniser: Source[Recogniser] | None = None,
        drain: bool = True,
    ) -> AsyncGenerator[Session]:
        """Open the session, and the stand-in where no other server is asked for; say so first.

        Args:
            audio: The microphone and the speaker.
            about: What else there is to be said at the beginning, by name.
            recogniser: Who understands the user's speech at the stand-in; None for the best there is.
            drain: Whether a normal end waits until all was heard.

        Yields:
            The session.

        Cancellation:
            Session and server say goodbye in less than a second.
        """
        if self.live is not None:
            self._introduce({"server": self.live, **about})
            async with self._open(None, audio, drain=drain) as session:
                yield session
            return
        async with open_server(recogniser=recogniser) as server:
            words = f"{server.url}\n{_STAND_IN}; {server.description}"
            self._introduce({"server": words, **about})
            async with self._open(server.url, audio, drain=drain) as session:
                yield session

    def _introduce(self, about: dict[str, str]) -> None:
        for name, text in {**about, "recording": str(self.options.record)}.items():
            for number, line in enumerate(text.split("\n")):
                row = f"  {'' if number else name:<10} {line}"
                self.terminal.write(folded(row, self.terminal.width, _INDENT) + "\n")
        self.terminal.write("\n")

    @asynccontextmanager
    async def _open(self, url: str | None, audio: AudioDevice, *, drain: bool) -> AsyncGenerator[Session]:
        async with open_session(
            url=url,
            api_key=None if url is None else "offline",  # a real key is not for our own server
            instructions=_INSTRUCTIONS.format(now=f"{datetime.now().astimezone():%A %H:%M}"),
            voice=ASSISTANT_VOICE,
            turn_detection=None if self.options.push_to_talk else "server_vad",
            transcription=_TRANSCRIPTION,
            tools=[get_weather],
            audio=audio,
            echo=self.options.echo,
            interruption=self.options.interruption,
            greeting=self.options.greeting,
            drain=drain,
        ) as session:
            yield session


def live_server() -> str:
    """Check that there is a key, before anything is opened or overwritten, and name the server.

    Raises:
        ConfigurationError: There is none.
    """
    settings = resolve()
    host = urlsplit(settings.url).hostname or ""
    whose = "OpenAI's real model; this costs money" if host.endswith("openai.com") else "named by OPENAI_BASE_URL"
    return f"{shown_url(settings.url)} ({whose})"
