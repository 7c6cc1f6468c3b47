"""A talk without sound hardware: a simulated user, a recording, or typed lines; and when it is over.

What the simulated user says is in `talk.py`. A talk with microphone and speaker is in `sound_card.py`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from realtime_trio.audio import ClockedDevice, Utterance
from realtime_trio.audio.pcm import ms_from_samples, samples_in
from realtime_trio.errors import ConfigurationError, ConnectionClosed, NotAcknowledged, ServerError
from realtime_trio.nursery import open_services
from realtime_trio.server import Recogniser, Source
from realtime_trio.session import Session

from .follower import Follower
from .stage import Stage
from .talk import Talk
from .typed import read_lines
from .voices import ToldRecogniser, UserVoice, open_user_voice

__all__ = ["HeadlessTalk"]

_TALK_LIMIT = 60.0  # seconds that the talk may take; a recording, that long beyond its end
_LINGER = 15.0  # seconds to wait for a typed line after the talk
_QUIET_AFTER_RECORDING = 2.0  # seconds of quiet after which no answer is expected any more
_QUIET_AT_THE_END = 0.3
_OUTPUT_LATENCY_MS = 40  # of the simulated speaker: about what real ones have


@attrs.define(eq=False)
class HeadlessTalk:
    """A talk in Trio's time only.

    Attributes:
        stage: What every talk has.
        recording: What the user says, where it is a recording.
        why: Why there is no sound hardware in it, where somebody may have expected some.
    """

    stage: Stage
    recording: bytes = attrs.field(default=b"", repr=False)
    why: str = ""
    _device: ClockedDevice = attrs.field(init=False)
    _typed: trio.Event = attrs.field(factory=trio.Event, init=False)  # somebody has typed a line
    _no_more_lines: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._device = ClockedDevice(recorder=self.stage.recorder, output_latency_ms=_OUTPUT_LATENCY_MS)

    async def run(self) -> None:
        """Have the talk, to its end.

        Raises:
            RealtimeError: It could not begin, or the session ended early.

        Cancellation:
            Ends it.
        """
        # before the device is opened: so that the recording begins with the device's first sample
        recording = self._device.speak(self.recording) if self.recording else None
        async with self._user_voice() as voice, self._session(voice) as session:
            self.stage.begin()
            follower = Follower(session, self.stage.lines, self.stage.record)
            async with open_services("the demo's tasks") as services:
                services.start_soon(follower.run)
                if self.stage.options.typed or self.stage.terminal.keyboard:
                    services.start_soon(self._read_lines, session, follower)
                else:
                    self._no_more_lines.set()
                await self._talk(session, follower, voice, recording)

    # Who talks to whom

    @asynccontextmanager
    async def _user_voice(self) -> AsyncGenerator[UserVoice | None]:
        if self.recording or self.stage.options.typed:
            yield None
            return
        async with open_user_voice() as voice:
            if self.stage.live is not None and voice.told is not None:
                raise ConfigurationError(
                    "the simulated user cannot be understood by the real model without the extra: "
                    "pip install 'realtime_trio[offline]', or use --input FILE.wav or --typed"
                )
            yield voice

    @asynccontextmanager
    async def _session(self, voice: UserVoice | None) -> AsyncGenerator[Session]:
        told = voice.told if voice is not None else None
        async with self.stage.session(
            self._device,
            about={**({"no sound": self.why} if self.why else {}), "user": self._user(voice)},
            recogniser=_told_source(told) if told is not None else None,
        ) as session:
            yield session

    def _user(self, voice: UserVoice | None) -> str:
        if voice is not None:
            return f"simulated: {voice.description}"
        if self.recording:
            length = ms_from_samples(samples_in(self.recording)) / 1000
            return f"{self.stage.options.input}, {length:.1f} s, then silence"
        return "what you type"

    # When it is over

    async def _talk(
        self, session: Session, follower: Follower, voice: UserVoice | None, recording: Utterance | None
    ) -> None:
        if voice is not None:
            await self._scripted(session, follower, voice)
        elif recording is not None:
            await self._recorded(session, follower, recording)
        if self.stage.options.typed or self._typed.is_set():
            if self.stage.terminal.keyboard:
                self.stage.terminal.write("Type a line to talk; Ctrl-D ends it.\n")
            await self._no_more_lines.wait()
        await follower.quiet(_QUIET_AT_THE_END)

    async def _scripted(self, session: Session, follower: Follower, voice: UserVoice) -> None:
        talk = Talk(
            session=session,
            device=self._device,
            follower=follower,
            voice=voice,
            told=voice.told,
            on_unanswered=lambda text: follower.problem(f"no answer to: {text}"),
        )
        with trio.move_on_after(_TALK_LIMIT) as limit:
            await talk.run()
        if limit.cancelled_caught:
            _stop(session, follower)
        if self.stage.terminal.keyboard and not (self._typed.is_set() or self._no_more_lines.is_set()):
            self.stage.terminal.write(
                f"Type a line to go on talking; Ctrl-D ends it, or {_LINGER:g} s without a line.\n"
            )
            with trio.move_on_after(_LINGER):
                await _either(self._typed, self._no_more_lines)

    async def _recorded(self, session: Session, follower: Follower, recording: Utterance) -> None:
        await recording.captured()
        with trio.move_on_after(_TALK_LIMIT) as limit:
            await follower.quiet(_QUIET_AFTER_RECORDING)
        if limit.cancelled_caught:
            _stop(session, follower)
        elif not self.stage.record.turns:
            follower.problem("no speech was found in the recording")

    # What is typed

    async def _read_lines(self, session: Session, follower: Follower) -> None:
        send, receive = trio.open_memory_channel[str](0)
        async with open_services("typed lines") as services:
            services.start_soon(read_lines, send, self.stage.terminal.stdin)
            async for line in receive:
                if text := line.strip():
                    self._typed.set()
                    with suppress(ConnectionClosed):  # the session says it, where its block ends
                        await self._take_line(text, session, follower)
        self._no_more_lines.set()

    async def _take_line(self, text: str, session: Session, follower: Follower) -> None:
        follower.typed(text)
        if self.stage.terminal.keyboard:
            await session.interrupt()  # as speaking would; then it is known what was heard
        try:
            await session.send_text(text)
        except (ServerError, NotAcknowledged) as error:
            follower.problem(str(error))
        if not self.stage.terminal.keyboard:
            await follower.quiet(_QUIET_AT_THE_END)


def _stop(session: Session, follower: Follower) -> None:
    follower.problem(f"stopped after {_TALK_LIMIT:g} s")
    session.interrupt()


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
