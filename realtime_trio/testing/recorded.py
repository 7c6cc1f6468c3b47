"""A user's recording as a test: their side is played again, against what their server said then, or against another.

How recordings are made and what they hold is in `realtime_trio.recording`.
"""

import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import attrs
import trio

from realtime_trio import Session, Tool, open_session
from realtime_trio.audio import ClockedDevice
from realtime_trio.errors import ConfigurationError
from realtime_trio.nursery import open_services
from realtime_trio.recording import AudioReference, Entry, RecordedSession, read_recording

from .expectations import PATIENCE, Event
from .peer import ScriptedPeer, open_scripted_peer

__all__ = ["Replayed", "session_from_recording"]

_IDS: Final = frozenset({"event_id", "id", "item_id", "previous_item_id", "call_id", "response_id"})
_OURS: Final = "realtime_trio"  # the key of metadata by which a session knows its requests
_REDACTED: Final = "[redacted]"  # stands for many things

_Step = tuple[float, Callable[[Session], Awaitable[object]]]


@attrs.define(eq=False)
class Replayed:
    """A recording that is being played again; see `session_from_recording`.

    Attributes:
        session: The session that meets it.
        recording: What is played.
        device: Says what the user said then; None for a recording without a device.
        peer: Says what the server said then; None against another server.
    """

    session: Session
    recording: RecordedSession
    device: ClockedDevice | None
    peer: ScriptedPeer | None
    _over: list[trio.Event] = attrs.field(factory=list)

    async def finished(self) -> None:
        """Wait until both sides have said all that they said then, and all of it was heard.

        Cancellation:
            Safe.
        """
        for side in self._over:
            await side.wait()
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
        ConfigurationError: There is no recording, or its turns were those of a push-to-talk key, which it does not
            hold.
        AssertionError: The session does not send what it had sent then.

    Cancellation:
        As that of `open_session`.

    Tasks:
        One for each side; they end with the block.
    """
    recording = read_recording(path)
    entries = list(recording.entries())
    steps = _user_steps(recording, entries)
    device = _device(recording, entries)
    began = next((entry.at for entry in entries if entry.kind == "received"), 0.0)
    options = {"config": _config(entries), "tools": _stand_ins(entries), **options}
    if device is not None:
        options.setdefault("audio", device)
    async with AsyncExitStack() as stack:
        over: list[trio.Event] = []
        peer = None
        if "connect" not in options and "url" not in options:
            script = _ServerSide(recording, entries, began, patience)
            over.append(script.over)
            peer = await stack.enter_async_context(open_scripted_peer(script.play, patience=patience))
            peer.ignored.add("input_audio_buffer.append")
            options |= {"connect": peer.connect, "url": peer.url}
        opened = trio.current_time()
        session = await stack.enter_async_context(open_session(**options))
        services = await stack.enter_async_context(open_services("the recorded user"))
        said = trio.Event()
        over.append(said)
        services.start_soon(_say_all, session, steps, opened - began, said)
        yield Replayed(session, recording, device, peer, over)


async def _say_all(session: Session, steps: list[_Step], base: float, said: trio.Event) -> None:
    async with trio.open_nursery() as nursery:
        for at, step in steps:
            await trio.sleep_until(base + at)
            nursery.start_soon(step, session)
            await trio.lowlevel.checkpoint()
    said.set()


class _ServerSide:
    """What the server said then, as a script."""

    def __init__(self, recording: RecordedSession, entries: list[Entry], began: float, patience: float) -> None:
        self.over = trio.Event()
        self._recording = recording
        self._entries = [
            entry
            for entry in entries
            if entry.kind == "received"
            or (entry.kind == "sent" and entry.type != "input_audio_buffer.append")
            or (entry.kind == "disconnected" and entry.data.get("reason") != "closed here")
        ]
        self._began = began
        self._patience = patience
        self._now: dict[str, str] = {}  # ids of the recording, and what stands for them now

    async def play(self, peer: ScriptedPeer) -> None:
        base = trio.current_time() - self._began
        for entry in self._entries:
            if entry.kind == "sent":
                within = max(0.0, base + entry.at - trio.current_time()) + self._patience
                self._learn(entry.event, await peer.expect(entry.type, within=within))
                continue
            await trio.sleep_until(base + entry.at)
            await self._say(peer, entry)
        self.over.set()

    async def _say(self, peer: ScriptedPeer, entry: Entry) -> None:
        if entry.kind == "disconnected":
            code = entry.data.get("code")
            if code is None or code in range(1004, 1008):  # those never travel: the link just ended
                await peer.drop()
            else:
                await peer.close(code, str(entry.data.get("reason") or ""))
        elif entry.event:
            await peer.send(self._translated(json.loads(self._recording.message(entry))))
        else:
            await peer.send_text(self._recording.message(entry))

    def _learn(self, then: Any, now: Any, key: str = "") -> None:
        """Note which ids stand for which."""
        if isinstance(then, dict) and isinstance(now, dict):
            for name in then.keys() & now.keys():
                self._learn(then[name], now[name], _OURS if key == "metadata" else name)
        elif isinstance(then, list) and isinstance(now, list):
            for one, other in zip(then, now, strict=False):
                self._learn(one, other, key)
        elif isinstance(then, str) and isinstance(now, str) and key in _IDS | {_OURS} and then != _REDACTED:
            self._now[then] = now

    def _translated(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._now.get(value, value)
        if isinstance(value, dict):
            return {name: self._translated(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._translated(item) for item in value]
        return value


def _sent(entries: Iterable[Entry]) -> Iterable[Entry]:
    return (entry for entry in entries if entry.kind == "sent")


def _config(entries: list[Entry]) -> Event:
    """The configuration that the session began with, without the tools that a program runs."""
    for entry in _sent(entries):
        match entry.event:
            case {"type": "session.update", "session": dict(session)}:
                tools = [tool for tool in session.get("tools") or [] if tool.get("type") != "function"]
                return {**session, "tools": tools} if tools else {k: v for k, v in session.items() if k != "tools"}
            case _:
                pass
    return {}


def _device(recording: RecordedSession, entries: list[Entry]) -> ClockedDevice | None:
    """A device before whose microphone the user says what they said then."""
    sound = recording.device_sound()
    if not (sound or any(entry.kind == "device" for entry in entries)):
        return None
    device = ClockedDevice(output_latency_ms=_latency_ms(entries))
    if sound:
        pairs = memoryview(sound).cast("h")
        device.speak(pairs[::2].tobytes())
    return device


def _latency_ms(entries: list[Entry]) -> float:
    """A few blocks: what a device took then is part of the times that were recorded."""
    return 20.0 if any(entry.kind == "played" for entry in entries) else 0.0


def _user_steps(recording: RecordedSession, entries: list[Entry]) -> list[_Step]:
    """What the user's program did, as far as the wire shows it."""
    has_device = any(entry.kind == "device" for entry in entries)
    steps: list[_Step] = []
    cause: tuple[float, str] | None = None  # the typed turn that the next response.create answers
    follows_tool = False
    for entry in _sent(entries):
        match entry.event:
            case {"type": "input_audio_buffer.append" | "input_audio_buffer.commit"}:
                steps += _sound_steps(recording, entry, has_device=has_device)
            case {"type": "conversation.item.create", "item": {"type": "message", "role": "user"} as item}:
                if cause is not None:
                    steps.append((cause[0], _send_text(cause[1], answered=False)))
                texts = (piece.get("text") for piece in item.get("content") or [])
                cause = entry.at, " ".join(filter(None, texts))
            case {"type": "conversation.item.create", "item": {"type": "function_call_output"}}:
                follows_tool = True
            case {"type": "response.create"} as event:
                if cause is not None:
                    steps.append((cause[0], _send_text(cause[1], answered=True)))
                elif not follows_tool:
                    steps.append((entry.at, _respond(event.get("response") or {})))
                cause, follows_tool = None, False
            case _:
                pass
    if cause is not None:
        steps.append((cause[0], _send_text(cause[1], answered=False)))
    return sorted(steps, key=lambda step: step[0])


def _sound_steps(recording: RecordedSession, entry: Entry, *, has_device: bool) -> list[_Step]:
    """What a program without a device sent of its own; with one, the device does it."""
    if entry.type == "input_audio_buffer.commit":
        if has_device:
            raise ConfigurationError(
                f"{recording.path} is a push-to-talk session, which cannot be played again: the key is not recorded"
            )
        return [(entry.at, _commit)]
    reference = AudioReference.of(entry.event.get("audio"))
    return [] if has_device or reference is None else [(entry.at, _append(recording.audio(reference)))]


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
