"""Puts the demo together: server, device, session, user; and decides when it is over.

The parts are the other modules of this package. Nothing here is more than any program can do with the library.
"""

import math
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from datetime import datetime
from urllib.parse import urlsplit

import attrs
import trio

from realtime_trio.audio import ClockedDevice, Utterance, read_wav
from realtime_trio.audio.pcm import ms_from_samples, samples_in
from realtime_trio.config import resolve, shown_url
from realtime_trio.errors import (
    AudioError,
    ConfigurationError,
    ConnectionClosed,
    InternalError,
    NotAcknowledged,
    RealtimeError,
    ServerError,
)
from realtime_trio.nursery import open_services
from realtime_trio.opening import open_session
from realtime_trio.server import Recogniser, Source, open_server
from realtime_trio.session import Session

from .arguments import Options
from .follower import Follower, Record
from .lines import Lines
from .recording import LateRecorder
from .summary import summary
from .talk import Talk
from .typed import read_lines
from .voices import ASSISTANT_VOICE, ToldRecogniser, UserVoice, open_user_voice
from .weather import get_weather

__all__ = ["Screen", "run"]

_TALK_LIMIT = 60.0  # seconds that the talk may take; a recording, that long beyond its end
_LINGER = 15.0  # seconds to wait for a typed line after the talk
_QUIET_AFTER_RECORDING = 2.0  # seconds of quiet after which no answer is expected any more
_QUIET_AT_THE_END = 0.3
_OUTPUT_LATENCY_MS = 40  # of the simulated speaker: about what real ones have
_INSTRUCTIONS = "You are a friendly voice assistant. Answer in English, in one short sentence. It is now {now}."
_TRANSCRIPTION = "gpt-4o-mini-transcribe"


@attrs.frozen(kw_only=True)
class Screen:
    """Where the demo is seen, and where lines are typed.

    Attributes:
        write: Shows a piece of text.
        colour: Whether to use colours.
        terminal: Whether somebody may be typing.
        stdin: The file descriptor of what is typed.
        signals: What ends the talk early.
    """

    write: Callable[[str], object]
    colour: bool = False
    terminal: bool = False
    stdin: int = 0
    signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)


async def run(options: Options, screen: Screen) -> int:
    """Run the demo.

    Args:
        options: What was asked for.
        screen: Where it is seen.

    Returns:
        The exit code: 0, 1 when something went wrong on the way, 128 and the signal when one ended it.

    Raises:
        RealtimeError: It could not begin.

    Cancellation:
        The recording is closed; there is no summary.
    """
    recording = _read_input(options)
    server = _live_server() if options.live else None
    with LateRecorder(options.record) as recorder:
        demo = _Demo(options, screen, recording, recorder)
        screen.write("realtime_trio demo (Ctrl-C ends it)\n")
        code = await demo.run_until_signal(server)
        try:
            recorder.close()
        except AudioError as error:
            demo.record.problems.append(f"the recording is not whole: {error}")
    demo.lines.flush()
    if not demo.began:
        return code
    screen.write("\n")
    for line in summary(demo.record, recording=options.record, seconds=recorder.seconds):
        screen.write(line + "\n")
    return code or (1 if demo.record.problems else 0)


def _read_input(options: Options) -> bytes:
    if options.input is None:
        return b""
    if options.record.exists() and options.input.exists() and options.input.samefile(options.record):
        raise ConfigurationError(f"{options.record} would be overwritten by the recording: give another --record")
    return read_wav(options.input)


def _live_server() -> str:
    """Check that there is a key, before anything is opened or overwritten, and name the server."""
    settings = resolve()
    host = urlsplit(settings.url).hostname or ""
    whose = "OpenAI's real model; this costs money" if host.endswith("openai.com") else "named by OPENAI_BASE_URL"
    return f"{shown_url(settings.url)} ({whose})"


@attrs.define(eq=False)
class _Demo:
    """One run."""

    options: Options
    screen: Screen
    recording: bytes = attrs.field(repr=False)
    recorder: LateRecorder
    record: Record = attrs.field(factory=Record, init=False)
    device: ClockedDevice = attrs.field(init=False)
    lines: Lines = attrs.field(init=False)
    _began_at: float = attrs.field(default=math.inf, init=False)
    _typed: trio.Event = attrs.field(factory=trio.Event, init=False)  # somebody has typed a line
    _no_more_lines: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.device = ClockedDevice(recorder=self.recorder, output_latency_ms=_OUTPUT_LATENCY_MS)
        self.lines = Lines(self.screen.write, now=self._now, colour=self.screen.colour)

    @property
    def began(self) -> bool:
        """Whether there was a talk."""
        return self._began_at < math.inf

    def _now(self) -> float:
        return max(0.0, trio.current_time() - self._began_at)

    async def run_until_signal(self, live: str | None) -> int:
        """Run until it is over, or the user wants it to be. What went wrong after the beginning is shown."""
        received: list[int] = []
        with ExitStack() as handlers, trio.CancelScope() as everything:
            async with open_services("the demo") as services:
                if self.screen.signals:
                    arriving = handlers.enter_context(trio.open_signal_receiver(*self.screen.signals))
                    services.start_soon(_wait_for_signal, arriving, handlers, everything, received)
                try:
                    await self._run(live)
                except InternalError:
                    raise  # to be reported, with all that is known of it
                except RealtimeError as error:
                    if not self.began:
                        raise
                    self.record.problems.append(f"the talk ended early: {error}")
                    self.lines.say("error", str(error))
        if received:
            self.lines.say("stopped", signal.Signals(received[0]).name)
            return 128 + received[0]
        return 0

    async def _run(self, live: str | None) -> None:
        # before the device is opened: so that the recording begins with the device's first sample
        recording = self.device.speak(self.recording) if self.options.input is not None else None
        async with self._user_voice() as voice, self._session(live, voice) as session:
            self.recorder.begin()  # only now is an earlier recording given up
            self._began_at = trio.current_time()
            follower = Follower(session, self.lines, self.record)
            async with open_services("the demo's tasks") as services:
                services.start_soon(follower.run)
                if self.options.typed or self.screen.terminal:
                    services.start_soon(self._read_lines, session, follower)
                else:
                    self._no_more_lines.set()
                await self._talk(session, follower, voice, recording)

    # Who talks to whom

    @asynccontextmanager
    async def _user_voice(self) -> AsyncGenerator[UserVoice | None]:
        if self.options.input is not None or self.options.typed:
            yield None
            return
        async with open_user_voice() as voice:
            if self.options.live and voice.told is not None:
                raise ConfigurationError(
                    "the simulated user cannot be understood by the real model without the extra: "
                    "pip install 'realtime_trio[offline]', or use --input FILE.wav or --typed"
                )
            yield voice

    @asynccontextmanager
    async def _session(self, live: str | None, voice: UserVoice | None) -> AsyncGenerator[Session]:
        if live is not None:
            self._introduce(live, voice)
            async with self._open(None) as session:
                yield session
            return
        told = voice.told if voice is not None else None
        async with open_server(recogniser=_told_source(told) if told is not None else None) as server:
            self._introduce(
                f"{server.url}\n{'':<13}offline stand-in (rules, not the real model); {server.description}", voice
            )
            async with self._open(server.url) as session:
                yield session

    def _open(self, url: str | None) -> AbstractAsyncContextManager[Session]:
        return open_session(
            url=url,
            api_key=None if url is None else "offline",  # a real key is not for our own server
            instructions=_INSTRUCTIONS.format(now=f"{datetime.now().astimezone():%A %H:%M}"),
            voice=ASSISTANT_VOICE,
            turn_detection="server_vad",
            transcription=_TRANSCRIPTION,
            tools=[get_weather],
            audio=self.device,
        )

    def _introduce(self, server: str, voice: UserVoice | None) -> None:
        if voice is not None:
            user = f"simulated: {voice.description}"
        elif self.options.input is not None:
            length = ms_from_samples(samples_in(self.recording)) / 1000
            user = f"{self.options.input}, {length:.1f} s, then silence"
        else:
            user = "what you type"
        for name, text in (("server", server), ("user", user), ("recording", str(self.options.record))):
            self.screen.write(f"  {name:<10} {text}\n")
        self.screen.write("\n")

    # When it is over

    async def _talk(
        self, session: Session, follower: Follower, voice: UserVoice | None, recording: Utterance | None
    ) -> None:
        if voice is not None:
            await self._scripted(session, follower, voice)
        elif recording is not None:
            await self._recorded(session, follower, recording)
        if self.options.typed or self._typed.is_set():
            if self.screen.terminal:
                self.screen.write("Type a line to talk; Ctrl-D ends it.\n")
            await self._no_more_lines.wait()
        await follower.quiet(_QUIET_AT_THE_END)

    async def _scripted(self, session: Session, follower: Follower, voice: UserVoice) -> None:
        talk = Talk(
            session=session,
            device=self.device,
            follower=follower,
            voice=voice,
            told=voice.told,
            on_unanswered=lambda text: follower.problem(f"no answer to: {text}"),
        )
        with trio.move_on_after(_TALK_LIMIT) as limit:
            await talk.run()
        if limit.cancelled_caught:
            self._stop(session, follower)
        if self.screen.terminal and not (self._typed.is_set() or self._no_more_lines.is_set()):
            self.screen.write(f"Type a line to go on talking; Ctrl-D ends it, or {_LINGER:g} s without a line.\n")
            with trio.move_on_after(_LINGER):
                await _either(self._typed, self._no_more_lines)

    async def _recorded(self, session: Session, follower: Follower, recording: Utterance) -> None:
        await recording.captured()
        with trio.move_on_after(_TALK_LIMIT) as limit:
            await follower.quiet(_QUIET_AFTER_RECORDING)
        if limit.cancelled_caught:
            self._stop(session, follower)
        elif not self.record.turns:
            follower.problem("no speech was found in the recording")

    def _stop(self, session: Session, follower: Follower) -> None:
        follower.problem(f"stopped after {_TALK_LIMIT:g} s")
        session.interrupt()

    # What is typed

    async def _read_lines(self, session: Session, follower: Follower) -> None:
        send, receive = trio.open_memory_channel[str](0)
        async with open_services("typed lines") as services:
            services.start_soon(read_lines, send, self.screen.stdin)
            async for line in receive:
                if text := line.strip():
                    self._typed.set()
                    with suppress(ConnectionClosed):  # the session says it, where its block ends
                        await self._take_line(text, session, follower)
        self._no_more_lines.set()

    async def _take_line(self, text: str, session: Session, follower: Follower) -> None:
        follower.typed(text)
        if self.screen.terminal:
            await session.interrupt()  # as speaking would; then it is known what was heard
        try:
            await session.send_text(text)
        except (ServerError, NotAcknowledged) as error:
            follower.problem(str(error))
        if not self.screen.terminal:
            await follower.quiet(_QUIET_AT_THE_END)


async def _wait_for_signal(
    arriving: AsyncIterator[int], handlers: ExitStack, scope: trio.CancelScope, received: list[int]
) -> None:
    async for number in arriving:
        received.append(number)
        handlers.close()  # a second Ctrl-C has its usual effect, should the goodbye hang
        scope.cancel(reason="the user has had enough")
        return


def _told_source(told: ToldRecogniser) -> Source[Recogniser]:
    @asynccontextmanager
    async def lend() -> AsyncGenerator[Recogniser]:
        yield told

    return Source("scripted recogniser: it is told the user's words, because it cannot make them out", lend)


async def _either(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
