"""What the server's tests share: the oracle that judges every event, and a bench for the protocol without I/O."""

import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from realtime_trio import events
from realtime_trio.server import RealtimeProtocol, SpeechStarted, SpeechStopped
from realtime_trio.server.outbox import Effect
from realtime_trio.transport import Target

URL = "ws://localhost/v1/realtime?model=m"

_ORACLE: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def judge(text: str) -> dict[str, Any]:
    """Have openai's models judge a message of the server's, and check that nothing of it is unknown to them by type."""
    _ORACLE.validate_json(text)
    event = json.loads(text)
    assert type(events.decode(text)).__name__ not in ("UnknownEvent", "MalformedEvent")
    return event


class ScriptedDetector:
    """A turn detector that finds what the test says, with the next audio that it is fed."""

    def __init__(self) -> None:
        self.position = 0
        self.speaking = False
        self.settings: dict[str, Any] = {}
        self.next: list[SpeechStarted | SpeechStopped] = []
        self.resets = 0

    def configure(self, **settings: Any) -> None:
        self.settings = settings

    def feed(self, pcm: bytes) -> Sequence[SpeechStarted | SpeechStopped]:
        self.position += len(pcm) // 2
        found, self.next = self.next, []
        for event in found:
            self.speaking = isinstance(event, SpeechStarted)
        return found

    def reset(self) -> None:
        self.speaking = False
        self.resets += 1


class Bench:
    """A session's protocol on a bench: client events in, judged server events and effects out."""

    def __init__(self, kind: str = "realtime", detector: Any = None, **options: Any) -> None:
        self.now = 100.0
        self.detector = detector or ScriptedDetector()
        counter = itertools.count(1)
        self.protocol = RealtimeProtocol(
            turn_detector=self.detector,
            now=self.now,
            kind=kind,  # type: ignore[arg-type]
            unix_time=1_700_000_000,
            new_id=lambda name: f"{name}_{next(counter)}",
            **options,
        )
        self.log: list[dict[str, Any]] = []
        self.effects: list[Effect] = []
        self.protocol.open()
        self.session = self.take()[0]["session"]

    def take(self) -> list[dict[str, Any]]:
        """Take what the server sends, judged."""
        taken = [judge(events.encode(event)) for event in self.protocol.take_events()]
        self.effects += self.protocol.take_effects()
        self.log += taken
        return taken

    def send(self, type: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a client event; return the answers."""
        self.protocol.receive(json.dumps({"type": type, **fields}), self.now)
        return self.take()

    def one(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a client event that has exactly one answer."""
        (answer,) = self.send(type, **fields)
        return answer

    def error(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a client event that is refused."""
        answer = self.one(type, **fields)
        assert "error" == answer["type"]
        return answer["error"]

    def update(self, **session: Any) -> dict[str, Any]:
        """Update the session; return the effective one."""
        answer = self.one("session.update", session={"type": self.session["type"], **session})
        assert "session.updated" == answer["type"], answer
        return answer["session"]

    def append(self, ms: int, *found: SpeechStarted | SpeechStopped) -> list[dict[str, Any]]:
        """Append that much audio, in which the detector finds this."""
        self.detector.next = list(found)
        audio = base64.b64encode(b"\1\0" * (24 * ms)).decode()
        return self.send("input_audio_buffer.append", audio=audio)

    def say(self, text: str, **fields: Any) -> dict[str, Any]:
        """Create a user's text item; return it as it was added."""
        content = [{"type": "input_text", "text": text}]
        added, done = self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}, **fields
        )
        assert ["conversation.item.added", "conversation.item.done"] == [added["type"], done["type"]]
        return added

    def respond(self, **params: Any) -> str:
        """Ask for a response; return its id."""
        answer = self.one("response.create", response=params)
        assert "response.created" == answer["type"], answer
        return answer["response"]["id"]

    def of_kind(self, kind: type[Any]) -> list[Any]:
        """Give the effects of a class so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]


def types(sent: list[dict[str, Any]]) -> list[str]:
    """Give the types of events."""
    return [event["type"] for event in sent]


class Client:
    """A bare client: JSON up, judged JSON down."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self.times: list[tuple[float, dict[str, Any]]] = []

    async def send(self, type: str, **fields: Any) -> None:
        await self.link.send_message(json.dumps({"type": type, **fields}))

    async def receive(self) -> dict[str, Any]:
        # A test that fails must not hang. Virtual seconds cost nothing, and a session lasts for 3600 of them.
        virtual = isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
        with trio.fail_after(5000 if virtual else 20):
            message = await self.link.receive_message()
        event = judge(message)
        self.times.append((trio.current_time(), event))
        return event

    async def until(self, type: str) -> list[dict[str, Any]]:
        """Receive up to the first event of that type."""
        received = [await self.receive()]
        while type != received[-1]["type"]:
            received.append(await self.receive())
        return received

    async def ask(self, text: str, **response: Any) -> dict[str, Any]:
        """Say something and receive the whole response."""
        content = [{"type": "input_text", "text": text}]
        await self.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await self.send("response.create", response=response)
        return (await self.until("response.done"))[-1]["response"]


@pytest.fixture
def bench() -> Bench:
    """A fresh realtime session."""
    return Bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Make benches."""
    return Bench


@pytest.fixture
def judged() -> Callable[[str], dict[str, Any]]:
    """The oracle."""
    return judge


@pytest.fixture
def types_of() -> Callable[[list[dict[str, Any]]], list[str]]:
    """Names of events."""
    return types


@pytest.fixture
def user_speech() -> bytes:
    """A user's sentence as sound that turn detection hears: babble between two silences, 24 kHz PCM16."""
    from realtime_trio.server.babble import BabbleVoice

    async def speak() -> bytes:
        speech = await BabbleVoice().speak("What time is it now please?", voice="alloy")
        return speech.pcm

    return bytes(24_000) + trio.run(speak) + bytes(24_000 * 2 * 2)


@pytest.fixture
def make_client() -> Callable[[Any], Client]:
    """Make bare clients of links."""
    return Client


@pytest.fixture
def client_of() -> Callable[..., Any]:
    """Connect in memory."""

    @asynccontextmanager
    async def connect(server: Any, url: str = URL, headers: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[Client]:
        async with server.connect(Target(url=url, headers=headers)) as link:
            yield Client(link)

    return connect
