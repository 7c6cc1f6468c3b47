"""A talk with microphone and speaker: on a screen that is drawn anew, or line by line; and what the keys do.

A talk without sound hardware is in `headless.py`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol

import attrs
import trio

from realtime_trio.audio import DeviceStatistics
from realtime_trio.device import AudioDevice, EchoState
from realtime_trio.errors import ConfigurationError, ConnectionClosed, NotAcknowledged, ServerError
from realtime_trio.nursery import Services, open_services
from realtime_trio.server.brain import SUGGESTIONS
from realtime_trio.session import Session

from .follower import Follower
from .keys import Key, Keys, open_keys
from .recording import RecordedDevice
from .stage import Stage
from .stderr_log import StderrLog
from .view_state import Board
from .watch import Watch

__all__ = ["Card", "SoundCardTalk"]

_HINTS = (*SUGGESTIONS, "anything while it counts")
_GOODBYE = 0.5  # seconds for the last interruption to be settled
_KEYS = "Keys: m mutes, i interrupts, q quits{talk}.\n"
_TALK_KEY = "; space begins and ends what you say (a terminal knows no key-up)"


class Card(AudioDevice, Protocol):
    """A device that counts what goes wrong: `SoundCard`, or what stands for it in a test."""

    def statistics(self) -> DeviceStatistics:
        """Tell what happened since it was opened."""
        ...


@attrs.define(eq=False)
class SoundCardTalk:
    """A talk with a person.

    Attributes:
        stage: What every talk has.
        device: The microphone and the speaker.
        name: What they are called.
        noise: What the sound system printed meanwhile, once it is over.
        echo: How the echo was taken out, at the end.
    """

    stage: Stage
    device: Card
    name: str
    noise: str = attrs.field(default="", init=False)
    echo: EchoState | None = attrs.field(default=None, init=False)
    _session: Session | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        terminal = self.stage.terminal
        if self.stage.options.push_to_talk and not terminal.keyboard:
            raise ConfigurationError("--push-to-talk needs the keys of a terminal, and the input is none")
        if terminal.full_screen:
            self.stage.lines = Board(self.stage.now)

    async def run(self) -> None:
        """Have the talk, until the user has had enough.

        Raises:
            RealtimeError: It could not begin, or the session ended early.

        Cancellation:
            Ends it; the terminal is put right.
        """
        log = StderrLog()
        try:
            with log.aside() if self.stage.terminal.full_screen else nullcontext():
                await self._run()
        finally:
            self.noise = log.text

    async def _run(self) -> None:
        recorded = RecordedDevice(
            self.device,
            self.stage.recorder,
            listens=self._listens,
            on_problem=lambda error: self.stage.record.problems.append(f"the recording is not whole: {error}"),
        )
        # who quits does not want to hear the rest
        async with self.stage.session(recorded, about={"sound": self.name}, drain=False) as self._session:
            self.stage.begin()
            follower = Follower(
                self._session,
                self.stage.lines,
                self.stage.record,
                requested="a key was pressed",
                shows_cuts=isinstance(self.stage.lines, Board),
            )
            try:
                async with open_services("the demo's tasks") as services, self._screen(self._session, follower):
                    services.start_soon(follower.run)
                    await self._until_quit(self._session, follower, services)
            finally:
                self.echo = self._session.sound().echo

    def _listens(self) -> bool:
        """Tell whether the microphone counts: what nobody was meant to hear is not recorded either."""
        session = self._session
        return session is not None and not session.muted and self._floor_is_open(session)

    def _floor_is_open(self, session: Session) -> bool:
        return not self.stage.options.push_to_talk or session.sound().pressed

    # What is seen

    @asynccontextmanager
    async def _screen(self, session: Session, follower: Follower) -> AsyncGenerator[None]:
        if not isinstance(self.stage.lines, Board):
            if self.stage.terminal.keyboard:
                talk = _TALK_KEY if self.stage.options.push_to_talk else ""
                self.stage.terminal.write(_KEYS.format(talk=talk))
            yield
            return
        from .display import open_display  # rich takes a while to load, and only a screen needs it

        watch = Watch(
            session,
            follower,
            self.stage.lines,
            server=self.stage.server,
            began_at=self.stage.began_at,
            hints=_HINTS if self.stage.live is None else (),
            push_to_talk=self.stage.options.push_to_talk,
        )
        async with open_display(watch.look, stdout=self.stage.terminal.stdout):
            yield

    # What the keys do

    async def _until_quit(self, session: Session, follower: Follower, services: Services) -> None:
        if not self.stage.terminal.keyboard:
            await trio.sleep_forever()  # until a signal, or the end of the session
        with open_keys(self.stage.terminal.stdin) as keys:
            await self._obey(keys, session, follower, services)

    async def _obey(self, keys: Keys, session: Session, follower: Follower, services: Services) -> None:
        async for key in keys:
            if key == "quit":
                break
            self._do(key, session, follower, services)
        with trio.move_on_after(_GOODBYE):  # then it is known, and shown, what was heard
            await session.interrupt()

    def _do(self, key: Key, session: Session, follower: Follower, services: Services) -> None:
        match key:
            case "mute":
                (session.unmute if session.muted else session.mute)()
                self._tell("microphone muted" if session.muted else "microphone open")
            case "interrupt":
                session.interrupt()
            case "talk" if self.stage.options.push_to_talk:
                if session.sound().pressed:
                    services.start_soon(_release, session, follower)
                else:
                    session.press()
                    self._tell("talk; press space again when you are done")
            case _:
                pass

    def _tell(self, words: str) -> None:
        """Say what a key did, where no screen shows it."""
        if not isinstance(self.stage.lines, Board):
            self.stage.lines.say("key", words)


async def _release(session: Session, follower: Follower) -> None:
    try:
        if await session.release() is None:
            follower.remark("key", "too short: press space, say something, and press it again")
    except ConnectionClosed:
        pass  # the session says it, where its block ends
    except (ServerError, NotAcknowledged) as error:
        follower.problem(str(error))
