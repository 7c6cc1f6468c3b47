"""A user's recording as a test: their side is played again, against what their server said then, or against another.

How recordings are made and what they hold is in `realtime_trio.recording`.
"""

import math
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import attrs
import trio

from realtime_trio import GuardedText, Reconnected, ReconnectPolicy, Session, Tool, open_session
from realtime_trio.audio import ClockedDevice, Utterance
from realtime_trio.errors import ConfigurationError, RealtimeError
from realtime_trio.events import (
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
)
from realtime_trio.nursery import open_services
from realtime_trio.recording import AudioReference, Entry, LinkFollower, RecordedSession, read_recording

from .expectations import PATIENCE, Event
from .peer import ScriptedPeer
from .recorded_server import open_recorded_server

__all__ = ["Replayed", "session_from_recording"]

_REDACTED: Final = "[redacted]"  # stands for many things
_ON_ITS_WAY: Final = 1.0  # seconds until another server has surely heard what was said
_LONGEST_SILENCE: Final = 10.0  # seconds of it before a turn ends; the most patient turn detection takes eight

_Step = tuple[float, Callable[[Session], Awaitable[object]]]


@attrs.define(eq=False)
class Replayed:
    """A recording that is being played again; see `session_from_recording`.

    Attributes:
        session: The session that meets it.
        recording: What is played.
        device: Says what the user said then; None for a recording without a device.
        peers: Say what the server said then, one for each link that was opened; none against another server.
    """

    session: Session
    recording: RecordedSession
    device: ClockedDevice | None
    peers: Sequence[ScriptedPeer]
    _over: list[Callable[[], Awaitable[object]]] = attrs.field(factory=list)

    @property
    def peer(self) -> ScriptedPeer | None:
        """The first of the peers; None against another server."""
        return self.peers[0] if self.peers else None

    async def finished(self) -> None:
        """Wait until both sides have said all that they said then, and all of it was heard.

        What is before the device's microphone has been said when the recording's sound has come to its end. Another
        server is waited for until it has ended the user's last turn and answered it.

        Raises:
            AssertionError: Another server goes on hearing a turn, ten seconds after the user's last sound.

        Cancellation:
            Safe.
        """
        for over in self._over:
            await over()
        await self.session.drained()


@asynccontextmanager
async def session_from_recording(
    path: str | os.PathLike[str], *, patience: float = PATIENCE, **options: Any
) -> AsyncGenerator[Replayed]:
    """Open a session and let it live through a recorded one: what the user said, and what the server answered.

    ```python
    async def test_report_17(autojump_clock):
        async with session_from_recording("reports/17") as replayed:
            await replayed.finished()
            assert "Lima" in replayed.session.conversation[-1].heard_text
    ```
    The user's sound comes from the device's, at the times at which it came; typed turns, and what a program without a
    device appended, likewise. The server's events come at their times, but none before the session has sent what it
    had sent by then: ids that this session makes take the place of those in the recording. Tools that are not given
    are stood in for: they return what they returned then, after as long.

    Args:
        path: The recording's folder.
        patience: Seconds that are waited for what the session had sent then.
        options: For `open_session`; `tools` in place of the stand-ins, for example. With `connect` and `url` of another
            server (`open_server`) the user's side is played against that one.

    Yields:
        The session, and what plays with it.

    Raises:
        ConfigurationError: There is no recording, or its turns were those of a push-to-talk key, which an older
            version did not record.
        AssertionError: The session does not send what it had sent then.

    Cancellation:
        As that of `open_session`.

    Tasks:
        One for each side; they end with the block.
    """
    recording = read_recording(path)
    entries = list(recording.entries())
    steps = _user_steps(recording, entries)
    device, sound = _device(recording, entries)
    began = next((entry.at for entry in entries if entry.kind == "received"), 0.0)
    options = {"config": _config(entries), "tools": _stand_ins(entries), **_unseen(recording), **options}
    if device is not None:
        options.setdefault("audio", device)
    async with AsyncExitStack() as stack:
        over: list[Callable[[], Awaitable[object]]] = []
        peers: Sequence[ScriptedPeer] = ()
        if "connect" not in options and "url" not in options:
            side = open_recorded_server(recording, entries, began=began, patience=patience)
            server = await stack.enter_async_context(side)
            over.append(server.finished)
            peers = server.peers
            options |= {"connect": server.connect, "url": server.url}
        opened = trio.current_time()
        session = await stack.enter_async_context(open_session(**options))
        services = await stack.enter_async_context(open_services("the recorded user"))
        said = trio.Event()
        over.append(said.wait)
        services.start_soon(_say_all, session, steps, opened - began, said)
        if sound is not None and options["audio"] is device:
            turn = None if peers else _OpenTurn(max(patience, _LONGEST_SILENCE))
            if turn is not None:
                services.start_soon(turn.follow, turn.subscribe(session))
            over.append(lambda: _heard_out(sound, turn))
        yield Replayed(session, recording, device, peers, over)


async def _say_all(session: Session, steps: list[_Step], base: float, said: trio.Event) -> None:
    async with trio.open_nursery() as nursery:
        for at, step in steps:
            await trio.sleep_until(base + at)
            nursery.start_soon(step, session)
            await trio.lowlevel.checkpoint()
    said.set()


async def _heard_out(sound: Utterance, turn: "_OpenTurn | None") -> None:
    """Wait until the user's sound was captured, and another server has heard the end of what was said."""
    with suppress(trio.ClosedResourceError):  # the session is over, which it says itself
        await sound.captured()
        if turn is not None:
            await trio.sleep(_ON_ITS_WAY)
            await turn.ended()


_TURN_EVENTS = (
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    Reconnected,  # a new link hears what of a turn it is sent again, and says so
)


class _OpenTurn:
    """Whether a server hears a turn that it has not ended."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._over = trio.Event()
        self._over.set()

    def subscribe(self, session: Session) -> AsyncIterator[object]:
        return session.events(*_TURN_EVENTS)

    async def follow(self, events: AsyncIterator[object]) -> None:
        with suppress(RealtimeError):  # why the session is over is told where its block ends
            async for event in events:
                if not isinstance(event, InputAudioBufferSpeechStarted):
                    self._over.set()
                elif self._over.is_set():
                    self._over = trio.Event()

    async def ended(self) -> None:
        with trio.move_on_after(self._limit):
            await self._over.wait()
            return
        raise AssertionError(f"the server has not ended the user's last turn {self._limit:g} s after their last sound")


def _config(entries: list[Entry]) -> Event:
    """The configuration that the session began with, without the tools that a program runs."""
    for entry in _of("sent", entries):
        match entry.event:
            case {"type": "session.update", "session": dict(session)}:
                tools = [tool for tool in session.get("tools") or [] if tool.get("type") != "function"]
                return {**session, "tools": tools} if tools else {k: v for k, v in session.items() if k != "tools"}
            case _:
                pass
    return {}


def _unseen(recording: RecordedSession) -> dict[str, Any]:
    """What the session was opened with and the wire does not show, as far as it was noted."""
    noted = recording.header.get("options")
    noted = noted if isinstance(noted, dict) else {}
    found: dict[str, Any] = {"reconnect": None}  # an older version did not
    if isinstance(policy := noted.get("reconnect"), dict):
        values: dict[str, Any] = {name: math.inf if value is None else value for name, value in policy.items()}
        found["reconnect"] = ReconnectPolicy(**values)
    if noted.get("interruption") in {"immediate", "confirm", "never"}:
        found["interruption"] = noted["interruption"]
    if noted.get("echo") in {"auto", "half_duplex", "off"}:
        found["echo"] = noted["echo"]
    if noted.get("guard"):
        found["guard"] = _let_pass
    return found


async def _let_pass(_text: GuardedText) -> None:
    """Stand in for a guard: what is said is held until this was asked, as then."""
    await trio.lowlevel.checkpoint()


def _device(recording: RecordedSession, entries: list[Entry]) -> tuple[ClockedDevice | None, Utterance | None]:
    """A device before whose microphone the user says what they said then, and that."""
    sound = recording.device_sound()
    if not (sound or any(entry.kind == "device" for entry in entries)):
        return None, None
    device = ClockedDevice(output_latency_ms=_latency_ms(entries))
    if not sound:
        return device, None
    pairs = memoryview(sound).cast("h")
    return device, device.speak(pairs[::2].tobytes())


def _latency_ms(entries: list[Entry]) -> float:
    """A few blocks: what a device took then is part of the times that were recorded."""
    return 20.0 if any(entry.kind == "played" for entry in entries) else 0.0


def _user_steps(recording: RecordedSession, entries: list[Entry]) -> list[_Step]:
    """What the user's program did, as far as the wire and the notes on the key show it."""
    user = _User(recording, entries)
    for entry in _once(entries):
        user.take(entry)
    return user.finish()


class _User:
    """Makes steps of what was sent."""

    def __init__(self, recording: RecordedSession, entries: list[Entry]) -> None:
        keys = list(_of("key", entries))
        self._recording = recording
        self._by_key = bool(keys)
        self._has_device = any(entry.kind == "device" for entry in entries)
        self._steps: list[_Step] = [(key.at, _press if key.data.get("pressed") else _release) for key in keys]
        self._typed: tuple[float, str] | None = None  # the turn that the next response.create answers
        self._is_caused = False  # that one follows from something else that is played again

    def take(self, entry: Entry) -> None:
        match entry.event:
            case {"type": "input_audio_buffer.append" | "input_audio_buffer.commit"}:
                self._sound(entry)
            case {"type": "conversation.item.create", "item": {"type": "message", "role": "user"} as item}:
                self._put_typed(answered=False)
                texts = (piece.get("text") for piece in item.get("content") or [])
                self._typed = entry.at, " ".join(filter(None, texts))
            case {"type": "conversation.item.create", "item": {"type": "function_call_output"}}:
                self._is_caused = True
            case {"type": "response.create"} as event:
                if self._typed is None and not self._is_caused:
                    self._steps.append((entry.at, _respond(event.get("response") or {})))
                self._put_typed(answered=True)
                self._is_caused = False
            case _:
                pass

    def finish(self) -> list[_Step]:
        self._put_typed(answered=False)
        return sorted(self._steps, key=lambda step: step[0])

    def _put_typed(self, *, answered: bool) -> None:
        if self._typed is not None:
            self._steps.append((self._typed[0], _send_text(self._typed[1], answered=answered)))
        self._typed = None

    def _sound(self, entry: Entry) -> None:
        """What a program without a device sent of its own; with one, the device does it, and the key commits."""
        reference = AudioReference.of(entry.event.get("audio"))
        if self._has_device:
            if entry.type.endswith("commit") and not self._by_key:
                raise ConfigurationError(
                    f"{self._recording.path} is a push-to-talk session of an older version, which did not record the "
                    "key: it cannot be played again"
                )
            self._is_caused = self._is_caused or entry.type.endswith("commit")  # the release asks for the answer
        elif reference is not None:
            self._steps.append((entry.at, _append(self._recording.audio(reference))))
        elif entry.type.endswith("commit"):
            self._steps.append((entry.at, _commit))


def _once(entries: Iterable[Entry]) -> Iterator[Entry]:
    """What was sent in the session's life, and not what a new link was told: items and requests once each."""
    links = LinkFollower()
    known: set[str] = set()
    for entry in entries:
        if links.follow(entry) and entry.kind == "sent":
            match entry.event:
                case {"item": {"id": str(name)}} | {"response": {"metadata": {"realtime_trio": str(name)}}}:
                    if name != _REDACTED and name in known:
                        continue
                    known.add(name)
                case _:
                    pass
            yield entry


def _of(kind: str, entries: Iterable[Entry]) -> Iterable[Entry]:
    return (entry for entry in entries if entry.kind == kind)


async def _press(session: Session) -> None:
    session.press()
    await trio.lowlevel.checkpoint()


async def _release(session: Session) -> None:
    await session.release()


def _append(pcm: bytes) -> Callable[[Session], Awaitable[object]]:
    async def append(session: Session) -> None:
        await session.append_audio(pcm)

    return append


async def _commit(session: Session) -> None:
    await session.commit_audio()


def _respond(params: dict[str, Any]) -> Callable[[Session], Awaitable[object]]:
    overrides = {key: value for key, value in params.items() if key in {"instructions", "voice", "max_output_tokens"}}

    async def respond(session: Session) -> None:
        await session.respond(**overrides)

    return respond


def _send_text(text: str, *, answered: bool) -> Callable[[Session], Awaitable[object]]:
    async def send_text(session: Session) -> None:
        await session.send_text(text, when="queue" if answered else "now_silently")

    return send_text


def _stand_ins(entries: list[Entry]) -> list[Tool[..., Any]]:
    """Tools that return what those of the recording returned, in the same order, after as long."""
    asked: dict[str, tuple[float, str]] = {}
    answers: dict[str, list[tuple[float, str]]] = {}
    declared: dict[str, Event] = {}
    for entry in entries:
        match entry.event:
            case {"type": "session.update", "session": {"tools": list(tools)}}:
                declared |= {tool["name"]: tool for tool in tools if tool.get("type") == "function"}
            case {"type": "response.done", "response": {"output": list(output)}}:
                for item in output:
                    if item.get("type") == "function_call":
                        asked[str(item.get("call_id"))] = entry.at, str(item.get("name"))
            case {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": call_id} as item,
            }:
                at, name = asked.get(call_id, (entry.at, ""))
                answers.setdefault(name, []).append((entry.at - at, str(item.get("output"))))
            case _:
                pass
    return [_stand_in(tool, answers.get(name, [])) for name, tool in declared.items()]


def _stand_in(tool: Event, answers: list[tuple[float, str]]) -> Tool[..., Any]:
    waiting = list(answers)

    async def answer_as_then(_arguments: dict[str, Any]) -> str:
        if not waiting:
            raise LookupError(f"{tool['name']} was not called so often when it was recorded")
        seconds, output = waiting.pop(0)
        await trio.sleep(max(0.0, seconds))
        return output

    parameters = tool.get("parameters") or {"type": "object", "properties": {}}
    return Tool.from_schema(tool["name"], str(tool.get("description") or ""), parameters, answer_as_then)
