"""Puts the demo together: which kind of talk it is, what ends it, what is said after it, and the exit code.

The kinds of talk are in `headless.py` and `sound_card.py`. Nothing in this package is more than any program can do with
the library.
"""

import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import attrs
import trio

from realtime_trio.audio import SoundCard, read_wav
from realtime_trio.errors import AudioError, ConfigurationError, DeviceUnavailable, InternalError, RealtimeError
from realtime_trio.nursery import open_services

from .arguments import Options
from .devices import device_table, find_devices, wanted_devices
from .headless import HeadlessTalk
from .recording import LateRecorder
from .sound_card import Card, SoundCardTalk
from .stage import Stage, Terminal, live_server
from .summary import sound_rows, summary, transcript
from .view_state import Board

__all__ = ["run", "sound_card"]

_SAYS_MORE = "python -m realtime_trio.demo --list-devices says what there is"

Talk: TypeAlias = HeadlessTalk | SoundCardTalk


async def run(options: Options, terminal: Terminal) -> int:
    """Run the demo.

    Args:
        options: What was asked for.
        terminal: Where it is seen.

    Returns:
        The exit code: 0, 1 when something went wrong on the way, 128 and the signal when one ended it.

    Raises:
        RealtimeError: It could not begin.

    Cancellation:
        The recording is closed; there is no summary.
    """
    if options.list_devices:
        return await _list_devices(terminal)
    recording = _read_input(options)
    live = live_server() if options.live else None
    with LateRecorder(options.record) as recorder:
        stage = Stage(options=options, terminal=terminal, recorder=recorder, live=live)
        terminal.write("realtime_trio demo (Ctrl-C ends it)\n")
        return await _Run(stage, recording).to_the_end()


async def _list_devices(terminal: Terminal) -> int:
    devices = await find_devices()
    for line in device_table(devices) if devices else ("There are no sound devices.",):
        terminal.write(line + "\n")
    return 0 if devices else 1


def _read_input(options: Options) -> bytes:
    if options.input is None:
        return b""
    if options.record.exists() and options.input.exists() and options.input.samefile(options.record):
        raise ConfigurationError(f"{options.record} would be overwritten by the recording: give another --record")
    return read_wav(options.input)


@attrs.define(eq=False)
class _Run:
    """One run, of whichever kind of talk."""

    stage: Stage
    recording: bytes = attrs.field(repr=False)
    _talk: Talk | None = attrs.field(default=None, init=False)

    async def to_the_end(self) -> int:
        """Have the talk, and say how it was."""
        try:
            code = await self._until_signal()
        except Exception:
            self._show_noise()
            raise
        stage = self.stage
        try:
            stage.recorder.close()
        except AudioError as error:
            stage.record.problems.append(f"the recording is not whole: {error}")
        stage.lines.flush()
        if not stage.began:
            return code
        for line in self._last_words():
            stage.terminal.write(line + "\n")
        if stage.record.problems:
            self._show_noise()
        return code or (1 if stage.record.problems else 0)

    def _last_words(self) -> Iterator[str]:
        stage = self.stage
        if isinstance(stage.lines, Board):  # the screen is gone, and what was said with it
            yield from transcript(stage.lines.entries(sys.maxsize), width=stage.terminal.width)
        yield ""
        sound: Iterable[tuple[str, str]] = ()
        if isinstance(self._talk, SoundCardTalk):
            sound = sound_rows(self._talk.device.statistics(), self._talk.echo)
        yield from summary(
            stage.record,
            recording=stage.options.record,
            seconds=stage.recorder.seconds,
            sound=sound,
            width=stage.terminal.width,
        )

    def _show_noise(self) -> None:
        if isinstance(self._talk, SoundCardTalk) and self._talk.noise:
            print(f"Meanwhile the sound system wrote:\n{self._talk.noise}", file=sys.stderr)

    async def _until_signal(self) -> int:
        """Run until it is over, or the user wants it to be. What went wrong after the beginning is shown."""
        stage, received = self.stage, list[int]()
        with ExitStack() as handlers, trio.CancelScope() as everything:
            async with open_services("the demo") as services:
                if stage.terminal.signals:
                    arriving = handlers.enter_context(trio.open_signal_receiver(*stage.terminal.signals))
                    services.start_soon(_wait_for_signal, arriving, handlers, everything, received)
                try:
                    await self._have_talk()
                except InternalError:
                    raise  # to be reported, with all that is known of it
                except RealtimeError as error:
                    if not stage.began:
                        raise
                    stage.record.problems.append(f"the talk ended early: {error}")
                    stage.lines.say("error", str(error))
        if received:
            if not isinstance(stage.lines, Board):
                stage.lines.say("stopped", signal.Signals(received[0]).name)
            return 128 + received[0]
        return 0

    async def _have_talk(self) -> None:
        if self.stage.options.without_hardware:
            await self._headless()
            return
        try:
            await self._with_sound_card()
        except DeviceUnavailable as error:
            if self.stage.began or self.stage.options.names_hardware:
                raise
            if self.stage.live is not None:  # a simulated user costs money too, and nobody has asked for one
                raise ConfigurationError(
                    f"{error} (see --list-devices). Without a sound card talk to OpenAI with --live and --typed, "
                    "--input FILE.wav, or --headless (a simulated user)"
                ) from error
            await self._headless(why=f"{error}\n({_SAYS_MORE}), so a simulated user talks")

    async def _with_sound_card(self) -> None:
        microphone, speaker = await wanted_devices(self.stage.options)
        name = f"{microphone.name} ({microphone.host})"
        if speaker != microphone:
            name = f"microphone {name}, speaker {speaker.name} ({speaker.host})"
        self._talk = SoundCardTalk(self.stage, sound_card(self.stage.options), name)
        await self._talk.run()

    async def _headless(self, why: str = "") -> None:
        self._talk = HeadlessTalk(self.stage, self.recording, why)
        await self._talk.run()


def sound_card(options: Options) -> Card:
    """Make the device that is asked for; nothing is opened yet.

    One that nobody named stays unnamed: when it goes away, the default device of that moment will do.
    """
    return SoundCard(input=options.input_device, output=options.output_device)


async def _wait_for_signal(
    arriving: AsyncIterator[int], handlers: ExitStack, scope: trio.CancelScope, received: list[int]
) -> None:
    async for number in arriving:
        received.append(number)
        handlers.close()  # a second Ctrl-C has its usual effect, should the goodbye hang
        scope.cancel(reason="the user has had enough")
        return
