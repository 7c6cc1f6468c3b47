"""A link that pours events into a session, without a socket below it: thousands in a second."""

import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import trio

from realtime_trio.core.conversation import Conversation

_AT_ONCE = 50


class Flood:
    """A server's end that says what it is given, after a proper greeting, and answers nothing but session.update."""

    def __init__(self, said: Iterable[dict | str], *, at_once: int = _AT_ONCE) -> None:
        self._first = deque([_session("session.created")])
        self._said = iter(said)
        self._wake = trio.Event()
        self._begun = False  # to pour
        self._count = 0
        self._at_once = at_once
        self.over = trio.Event()
        self.sent: list[str] = []  # types only

    @asynccontextmanager
    async def connect(self, target: object) -> AsyncIterator["Flood"]:
        yield self

    async def send_message(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        event = json.loads(message)
        self.sent.append(event["type"])
        if event["type"] == "session.update":
            self._first.append(_session("session.updated"))
            self._wake.set()

    def begin(self) -> None:
        self._begun = True
        self._wake.set()

    async def receive_message(self) -> str:
        self._count += 1
        if self._count % self._at_once == 0:
            await trio.sleep(0.001)
        while not self._first:
            if self._begun:
                said = next(self._said, None)
                if said is not None:
                    return said if isinstance(said, str) else json.dumps({"event_id": "event_x", **said})
                self.over.set()
            self._wake = trio.Event()
            await self._wake.wait()
        return self._first.popleft()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        pass


def _session(type: str) -> str:
    session = {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["audio"]}
    return json.dumps({"type": type, "event_id": "event_s", "session": session})


def largest(root: object) -> tuple[int, str]:
    """Find the largest collection that a session keeps, the mirror of the conversation left out; and the way to it."""
    seen: set[int] = set()
    stack: list[tuple[Any, str]] = [(root, "session")]
    most = (0, "")
    while stack:
        value, path = stack.pop()
        if id(value) in seen or isinstance(value, str | bytes | bytearray | int | float | type | ModuleType):
            continue
        seen.add(id(value))
        if isinstance(value, dict | list | set | tuple | deque):
            most = max(most, (len(value), path))
            stack += [(one, f"{path}[]") for one in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, FunctionType):
            stack += [(cell.cell_contents, path) for cell in value.__closure__ or ()]
        elif isinstance(value, MethodType):
            stack.append((value.__self__, path))
        elif type(value).__module__.startswith("realtime_trio.") and not isinstance(value, Conversation):
            names = [*getattr(value, "__dict__", {}), *(n for cls in type(value).__mro__ for n in _slots(cls))]
            stack += [(getattr(value, name), f"{path}.{name}") for name in names if hasattr(value, name)]
    return most


def _slots(cls: type) -> Iterable[str]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots
