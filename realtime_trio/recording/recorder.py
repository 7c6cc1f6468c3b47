"""Recording a session: what stands between it and its link, its device, and those who are told what happens.

Everything is seen where it passes: `Recorder.connect` wraps what opens links, `Recorder.device` the device, and
`Recorder.watch` is told what subscribers are told. How it is written is in `writer.py`.
"""

import logging
import os
import platform
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import trio

from realtime_trio import events
from realtime_trio._version import __version__
from realtime_trio.config import shown_url
from realtime_trio.core.playout import PlayoutLedger
from realtime_trio.device import AudioDevice, AudioStream
from realtime_trio.errors import AudioError, ConfigurationError, ConnectError, ConnectionClosed, RealtimeError
from realtime_trio.session import RecordingStopped, Response
from realtime_trio.transport import Connect, MessageStream, Target

from .device import RecordedStream
from .layout import DEVICE_WAV, FORMAT, Recording, recording_of
from .ledger import LedgerLog
from .redaction import Redaction
from .writer import Message, Note, Sounds, Writer

__all__ = ["Recorder", "open_recording"]

_log = logging.getLogger("realtime_trio.recording")

_LAST_WORDS: Final = 2.0  # real seconds that the disk gets at the end
_MOST_UNHEARD: Final = 64  # responses whose latency is waited for


class Recorder:
    """One recording under way. Make one with `open_recording`.

    Args:
        writer: Writes it.
        redaction: What is taken out of it.
    """

    def __init__(self, writer: Writer, redaction: Redaction) -> None:
        self._writer = writer
        self._redaction = redaction
        self._began = trio.current_time()
        self._links = 0
        self._publish: Callable[[RecordingStopped], object] | None = None
        self._listens: Callable[[], bool] = lambda: True
        self._ledger_log: LedgerLog | None = None
        self._unheard: dict[str, Response] = {}

    def note(self, kind: str, **fields: object) -> None:
        """Add a line of this moment."""
        self._writer.leave(Note(self.now(), kind, fields))

    def now(self) -> float:
        """Seconds since the recording began."""
        return trio.current_time() - self._began

    def since_beginning(self, time: float) -> float:
        """Tell a Trio time in seconds since the recording began."""
        return time - self._began

    # The link

    def connect(self, connect: Connect) -> Connect:
        """Give what opens links as `connect` does, recorded."""

        @asynccontextmanager
        async def connect_recorded(target: Target) -> AsyncGenerator[MessageStream]:
            self._redaction.learn(target.redact)
            self._links += 1
            link = self._links
            self.note("connecting", link=link, url=shown_url(target.url))
            opened = False
            try:
                async with connect(target) as stream:
                    opened = True
                    self.note("connected", link=link)
                    recorded = _RecordedLink(stream, self, link)
                    try:
                        yield recorded
                    finally:
                        recorded.say_closed(None, "closed here")
            except ConnectError as error:
                if not opened:
                    self.note("disconnected", link=link, code=None, reason=_words(error))
                raise

        # what it stands for decides which settings are needed: see `open_connection`
        connect_recorded.__wrapped__ = connect  # type: ignore[attr-defined]
        return connect_recorded

    def message(self, direction: str, link: int, text: str) -> None:
        """Record a message."""
        self._writer.leave(Message(self.now(), "sent" if direction == "sent" else "received", link, text))

    # The device

    def device(self, device: AudioDevice) -> AudioDevice:
        """Give a device that is also recorded."""
        from realtime_trio.audio import StereoRecorder  # here, and not when the first block waits for it

        wav = self._writer.folder / DEVICE_WAV
        self._writer.make_wav = lambda: StereoRecorder(wav)
        return _RecordedDevice(device, self)

    def sounds(self, captured: bytes, heard: bytes) -> None:
        """Record a stretch of the device's time."""
        self._writer.leave(Sounds(captured, heard))

    @property
    def listens(self) -> bool:
        """Whether the microphone is meant to be heard at this moment."""
        return self._listens()

    def look(self, until: float | None) -> None:
        """Look how far the playout came, and whether it is known by now how long an answer took.

        Args:
            until: When the last sample leaves the speaker that was handed over, if one was.
        """
        if self._ledger_log is not None:
            self._ledger_log.look(until)
        for response_id, response in list(self._unheard.items()):
            if (latency := response.latency) is not None:
                self.note("latency", response=response_id, **attrs.asdict(latency))
                del self._unheard[response_id]
            elif response.is_heard:
                del self._unheard[response_id]

    def device_closed(self) -> None:
        """Record what is known of the playout at its end."""
        if self._ledger_log is not None:
            self._ledger_log.finish()

    # What the session says

    def watch(self, ledger: PlayoutLedger, listens: Callable[[], bool], publish: Callable[[Any], object]) -> None:
        """Follow a session.

        Args:
            ledger: How far its sound came.
            listens: Tells whether its microphone is meant to be heard.
            publish: Tells its subscribers something.
        """
        self._ledger_log = LedgerLog(ledger, self.note, self.since_beginning)
        self._listens = listens
        self._publish = publish

    def witness(self, value: object) -> None:
        """Be told what a session's subscribers are told, when it happens."""
        if isinstance(value, events.ResponseOutputAudioDelta):
            if self._ledger_log is not None:
                self._ledger_log.follow(value.response_id, value.item_id, value.content_index)
        elif isinstance(value, Response):
            self._unheard[value.id] = value
            while len(self._unheard) > _MOST_UNHEARD:
                del self._unheard[next(iter(self._unheard))]
        elif attrs.has(type(value)) and not isinstance(value, RecordingStopped):
            self.note("notice", name=type(value).__name__, notice=value)

    def key(self, pressed: bool) -> None:  # noqa: FBT001  it is the key's state
        """Record that the key of push-to-talk goes down or up."""
        self.note("key", pressed=pressed)

    # Its end

    def stopped(self, problem: Exception) -> None:
        """Say that nothing is recorded any more, and why."""
        words = f"{self._writer.folder} is not written any further: {_words(problem)}. The session goes on"
        _log.warning(words)
        if self._publish is not None:
            self._publish(RecordingStopped(words))


class _RecordedDevice:
    """A device that is recorded; see `AudioDevice`."""

    def __init__(self, device: AudioDevice, recorder: Recorder) -> None:
        self._device = self.__wrapped__ = device  # the log names that one
        self._recorder = recorder

    def open(self) -> AbstractAsyncContextManager[AudioStream]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[AudioStream]:
        recorder = self._recorder
        async with self._device.open() as stream:
            recorder.note("device", name=type(self._device).__name__, wav=DEVICE_WAV)
            recorded = RecordedStream(
                stream,
                record=recorder.sounds,
                note=recorder.note,
                since_beginning=recorder.since_beginning,
                listens=lambda: recorder.listens,
                look=recorder.look,
            )
            try:
                yield recorded
            finally:
                recorded.finish()
                recorder.device_closed()


class _RecordedLink:
    """A link that is recorded; see `MessageStream`."""

    def __init__(self, stream: MessageStream, recorder: Recorder, number: int) -> None:
        self._stream = stream
        self._recorder = recorder
        self._number = number
        self._closed = False

    @property
    def round_trip(self) -> float | None:
        return getattr(self._stream, "round_trip", None)

    @property
    def server_time(self) -> float | None:
        return getattr(self._stream, "server_time", None)

    def ping_soon(self) -> None:
        ping_soon: Callable[[], None] | None = getattr(self._stream, "ping_soon", None)
        if ping_soon is not None:
            ping_soon()

    @property
    def answered_at(self) -> float | None:
        return getattr(self._stream, "answered_at", None)

    @property
    def opened_at(self) -> float | None:
        return getattr(self._stream, "opened_at", None)

    async def send_message(self, message: str, /) -> None:
        # before it is sent: the answer may be here before the writer's task runs again
        self._recorder.message("sent", self._number, message)
        try:
            await self._stream.send_message(message)
        except ConnectionClosed as end:
            self.say_closed(end.code, end.reason)
            raise

    async def receive_message(self) -> str:
        try:
            message = await self._stream.receive_message()
        except ConnectionClosed as end:
            self.say_closed(end.code, end.reason)
            raise
        self._recorder.message("received", self._number, message)
        return message

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self.say_closed(code, reason or "closed here")
        await self._stream.aclose(code, reason)

    def say_closed(self, code: int | None, reason: str) -> None:
        """Record how the link ended: the first word counts."""
        if not self._closed:
            self._closed = True
            self._recorder.note("disconnected", link=self._number, code=code, reason=reason)


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_recording(
    record: str | os.PathLike[str] | Recording, options: Mapping[str, object] | None = None
) -> AsyncGenerator[Recorder]:
    """Make the folder and record into it until the block is left.

    Args:
        record: Where, and what is left out.
        options: What the session was opened with and neither the wire nor the device shows.

    Yields:
        What wraps the link and the device of one session.

    Raises:
        ConfigurationError: The folder cannot be made or written, or holds something.

    Cancellation:
        What was left is written, for at most two seconds.

    Tasks:
        None; a thread of its own, which is gone when the block has ended, or the disk hangs.
    """
    recording = recording_of(record)
    custom = recording.redact if callable(recording.redact) else None
    redaction = Redaction(custom, off=recording.redact is False)
    token = trio.lowlevel.current_trio_token()
    recorder: Recorder | None = None

    def tell(problem: Exception) -> None:
        if recorder is not None:
            recorder.stopped(problem)

    def stopped(problem: Exception) -> None:
        try:
            token.run_sync_soon(tell, problem)
        except trio.RunFinishedError:
            _log.warning("%s is not written any further: %s", recording.path, _words(problem))

    writer = _begin(recording, redaction, stopped, options or {})
    recorder = Recorder(writer, redaction)
    _log.info("recording into %s", recording.path)
    try:
        yield recorder
    except trio.Cancelled:
        recorder.note("ended", reason="cancelled")
        raise
    except BaseException as error:
        recorder.note("ended", reason=error, where=_where(error))
        raise
    else:
        recorder.note("ended", reason=None)
    finally:
        writer.finish()
        done = False
        with trio.CancelScope(shield=True):
            # a limit of its own: Trio's threads may all hang in tools
            done = await trio.to_thread.run_sync(writer.join, _LAST_WORDS, limiter=trio.CapacityLimiter(1))
        if done:
            _log.info("recorded into %s", recording.path)
        else:
            _log.warning("%s: the disk takes too long, the end of the recording may be missing", recording.path)


def _begin(
    recording: Recording,
    redaction: Redaction,
    stopped: Callable[[Exception], object],
    options: Mapping[str, object],
) -> Writer:
    """Make the folder and begin to write.

    Raises:
        ConfigurationError: That cannot be.
    """
    path = recording.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)  # what people said is not for everybody on this machine
        if any(path.iterdir()):
            raise ConfigurationError(
                f"record={os.fspath(path)!r} holds something already, and no recording is ever replaced: name a new "
                "folder, for example with the date and the time in it"
            )
        writer = Writer(path, redaction, stopped)
        try:
            writer.start(_header(recording, options))
        except BaseException:
            writer.abandon()
            raise
    except OSError as error:
        raise ConfigurationError(f"record={os.fspath(path)!r} cannot be written: {error.strerror or error}") from error
    return writer


def _header(recording: Recording, options: Mapping[str, object]) -> Note:
    fields = {
        "format": FORMAT,
        "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "library": f"realtime_trio {__version__}",
        "python": platform.python_version(),
        "platform": platform.system(),
        "redacted": recording.redact is not False,
        "options": dict(options),
    }
    return Note(0.0, "recording", fields)


def _words(problem: BaseException) -> str:
    if isinstance(problem, AudioError) and problem.__cause__ is not None:
        problem = problem.__cause__  # it names a file within the folder that is named already
    return (isinstance(problem, OSError) and problem.strerror) or str(problem) or type(problem).__name__


def _where(error: BaseException) -> list[str]:
    """The places that an exception came from, without a word of what was there; none for what is no mistake."""
    if isinstance(error, RealtimeError | KeyboardInterrupt | SystemExit):
        return []
    frames = traceback.extract_tb(error.__traceback__)[-20:]
    return [f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]  # noqa: PTH119
