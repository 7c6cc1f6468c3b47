"""A model of the server: the conversation's slot, the input buffer and the items as API.md has them, and a slow link.

It is a peer for `open_session(connect=server.connect)` under a mock clock: no WebSocket, no sound, but every answer
takes a random time, and whoever follows it sees what the client knew when it sent something. What is random follows
from the seed. It keeps a record for the test: every response with the items that were there when it was made, every
call with its outputs, and what the client did that it must not do (`faults`).
"""

import base64
import json
import math
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from realtime_trio.errors import ConnectionClosed
from realtime_trio.testing.json_match import merge

ACTIVE = "conversation_already_has_active_response"
SOUND_100_MS = base64.b64encode(b"\1\1" * 2400).decode()
FLOOR_SECONDS, PROMISE_SECONDS, ANSWER_SECONDS, QUIET_SECONDS = 60.0, 2.0, 10.0, 30.0


@attrs.frozen
class Nature:
    """What kind of server this is.

    Attributes:
        echoes: It echoes the metadata of a create in the response.
        names: Its errors name the client's event.
        latency: The longest that a message takes to it, or from it, in seconds.
        fails: How probable it is that a response fails; as probable is an incomplete one.
        loses: How probable it is that a create is never answered.
        calls: How probable it is that a response calls functions.
        pace: How many seconds a response takes, about.
        rejects_turns: It says so in an error that names no event when a turn could not be answered by itself.
    """

    echoes: bool = True
    names: bool = True
    latency: float = 0.1
    fails: float = 0.0
    loses: float = 0.0
    calls: float = 0.3
    pace: float = 1.0
    rejects_turns: bool = False


@attrs.define(eq=False)
class ModelResponse:
    """One response, as the server made it.

    Attributes:
        tag: What the client named its request; None for a response to a turn.
        general: It was asked for without instructions of its own, so it is an answer to all that it saw.
        saw: The ids of the items that were there when it was made.
        asked_at: When the client asked for it, or the server made it.
        status: What became of it.
        reason: Why it was cancelled.
        told: How many deltas the client got before it knew that it was done.
        done_at: When the client knew.
    """

    id: str
    tag: str | None
    general: bool
    saw: frozenset[str]
    asked_at: float
    metadata: dict[str, str] | None = None
    out_of_band: bool = False
    may_call: bool = True
    status: str = "in_progress"
    reason: str = ""
    output: list[dict[str, Any]] = attrs.Factory(list)
    told: int = 0
    done_at: float = math.inf
    item: dict[str, Any] | None = None
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)

    def value(self, *, echoes: bool) -> dict[str, Any]:
        """As the wire has it."""
        details = {"type": self.status}
        if self.reason:
            details["reason"] = self.reason
        if self.status == "failed":
            details["error"] = {"type": "server_error", "code": "server_error"}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": None if self.status in ("in_progress", "completed") else details,
            "output": self.output,
            "conversation_id": None if self.out_of_band else "conv_1",
            "metadata": self.metadata if echoes else None,
            "usage": {"total_tokens": 3, "input_tokens": 1, "output_tokens": 2},
        }


@attrs.define(eq=False)
class ClientsView:
    """What the client knows, by what was delivered to it and what it sent: the rules are about that.

    Attributes:
        asked: The event id of the create that has no answer yet.
        spoken_to: Since when the user speaks.
        promised: Since when a response to a turn is announced.
        pressed: Since when a key is down.
        active: The response in the slot.
        alive: When something came of it.
    """

    asked: str | None = None
    asked_at: float = -math.inf
    spoken_to: float = math.inf
    promised: float = -math.inf
    pressed: float = math.inf
    active: str | None = None
    alive: float = -math.inf

    def may_ask(self, now: float) -> Iterator[str]:
        """Give the reasons why nothing may be asked for. What came at this very moment cannot be known yet."""
        if self.asked is not None and now < self.asked_at + ANSWER_SECONDS:
            yield "another create is not answered yet"
        if self.spoken_to < now < self.spoken_to + FLOOR_SECONDS:
            yield "the user is speaking"
        if self.pressed < now:
            yield "the user holds the key down"
        if self.promised < now < self.promised + PROMISE_SECONDS:
            yield "the server is about to answer by itself"
        if self.active is not None and self.alive < now < self.alive + QUIET_SECONDS:
            yield "a response is active"


class ModelServer:
    """The server. See the module's docstring.

    Attributes:
        nature: What kind of server it is.
        responses: All that it made, by id.
        items: The ids of the items of the conversation, by their text where they have one.
        outputs: How many outputs each call got.
        calls: The ids of all calls that were complete.
        asked: When the client asked for a response of the conversation, and under which name.
        faults: What the client did that it must not do.
        view: What the client knows.
    """

    def __init__(self, seed: object, nature: Nature) -> None:
        self.nature = nature
        self.responses: dict[str, ModelResponse] = {}
        self.items: dict[str, str] = {}
        self.outputs: dict[str, list[str]] = defaultdict(list)
        self.calls: list[str] = []
        self.asked: list[tuple[float, str]] = []
        self.faults: list[str] = []
        self.log: list[str] = []
        self.view = ClientsView()
        self.session: dict[str, Any] = {"type": "realtime", "id": "sess_1", "object": "realtime.session"}
        self._seed = seed
        self._rng = random.Random(f"{seed} link")
        self._active: ModelResponse | None = None
        self._appended = 0
        self._count = 0
        self._creates_taken = 0
        self._spoken: str | None = None
        self._to_client: trio.MemorySendChannel[tuple[float, dict[str, Any]]]
        self._nursery: trio.Nursery
        self._due = {"up": 0.0, "down": 0.0}

    # The link

    @asynccontextmanager
    async def connect(self, _target: object) -> AsyncGenerator["_Link"]:
        """Be the other end of `open_session(connect=...)`."""
        to_server, from_client = trio.open_memory_channel[tuple[float, dict[str, Any]]](math.inf)
        self._to_client, from_server = trio.open_memory_channel[tuple[float, dict[str, Any]]](math.inf)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._serve, from_client)
            self._emit("session.created", session=self.session)
            yield _Link(self, to_server, from_server)
            self._nursery.cancel_scope.cancel()

    def due(self, way: str) -> float:
        """When a message arrives that leaves now: in order, and some time later."""
        latency = self.nature.latency * self._rng.random() ** 2
        self._due[way] = max(self._due[way], trio.current_time() + latency)
        return self._due[way]

    def sent(self, event: dict[str, Any]) -> None:
        """Note what the client sends at this moment."""
        now = trio.current_time()
        if event["type"] != "input_audio_buffer.append":
            self.log.append(f"{now:8.3f} client {_short(event)}")
        if event["type"] == "response.create" and event["response"].get("conversation") != "none":
            self.faults.extend(f"{now:.3f}: response.create while {why}" for why in self.view.may_ask(now))
            self.view.asked, self.view.asked_at = event["event_id"], now
            self.asked.append((now, event["response"]["metadata"]["realtime_trio"]))

    def delivered(self, event: dict[str, Any]) -> None:  # noqa: C901 a table
        """Note what the client gets to know at this moment."""
        now, view = trio.current_time(), self.view
        self.log.append(f"{now:8.3f} server {_short(event)}")
        answered, announces = event.pop("answers", None), event.pop("announces", None)
        if answered is not None and answered == view.asked:
            view.asked = None
        match event["type"]:
            case "input_audio_buffer.speech_started":
                view.spoken_to, view.promised = now, -math.inf
            case "input_audio_buffer.speech_stopped" | "input_audio_buffer.timeout_triggered":
                view.spoken_to = math.inf
                view.promised = now if announces else -math.inf
            case "response.created" if event["response"]["conversation_id"] is not None:
                view.active, view.alive = event["response"]["id"], now
                if self.responses[view.active].tag is None:
                    view.promised = -math.inf
            case "response.done":
                response = self.responses[event["response"]["id"]]
                response.done_at = now
                if view.active == response.id:
                    view.active = None
            case "session.updated":
                detection = event["session"].get("audio", {}).get("input", {}).get("turn_detection")
                view.promised = view.promised if _creates(detection) else -math.inf
                view.spoken_to = math.inf if detection is None else view.spoken_to
            case _ if "response_id" in event:
                if event["response_id"] == view.active:
                    view.alive = now
                if event["type"].endswith("delta"):
                    self.responses[event["response_id"]].told += 1

    def _emit(self, type: str, **fields: object) -> None:
        self._count += 1
        event = {"type": type, "event_id": f"event_{self._count}", **fields}
        self._to_client.send_nowait((self.due("down"), event))

    def _error(self, code: str, event: dict[str, Any], *, answers: bool = False) -> None:
        named = event.get("event_id") if self.nature.names else None
        problem = {"type": "invalid_request_error", "code": code, "message": code, "event_id": named, "param": None}
        self._emit("error", error=problem, **({"answers": event["event_id"]} if answers else {}))

    # What the client wants

    async def _serve(self, from_client: trio.MemoryReceiveChannel[tuple[float, dict[str, Any]]]) -> None:
        async for due, event in from_client:
            await trio.sleep_until(due)
            self._take(event)

    def _take(self, event: dict[str, Any]) -> None:  # noqa: C901, PLR0912 a table
        match event["type"]:
            case "session.update":
                self.session = merge(self.session, event["session"])
                self._emit("session.updated", session=self.session)
            case "conversation.item.create":
                self._add(event["item"])
            case "conversation.item.delete":
                self._emit("conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.truncate":
                fields = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
                self._emit("conversation.item.truncated", **fields)
            case "input_audio_buffer.append":
                self._appended += len(event["audio"]) * 3 // 4
            case "input_audio_buffer.clear":
                self._appended = 0
                self._emit("input_audio_buffer.cleared")
            case "input_audio_buffer.commit" if self._appended < 4800:
                self._error("input_audio_buffer_commit_empty", event)
            case "input_audio_buffer.commit":
                self._commit(self._new_id("item"))
            case "response.create":
                self._create(event)
            case "response.cancel":
                response = self.responses.get(event.get("response_id") or "") or self._active
                if response is None or response.status != "in_progress":
                    self._error("response_cancel_not_active", event)
                else:
                    self._stop(response, "client_cancelled")
            case unknown:
                self.faults.append(f"the client sent {unknown}")

    def _add(self, item: dict[str, Any]) -> None:
        text = "".join(part.get("text") or "" for part in item.get("content") or ())
        self.items[text or item["id"]] = item["id"]
        if item["type"] == "function_call_output":
            self.outputs[item["call_id"]].append(item["id"])
        for kind in ("added", "done"):
            self._emit(f"conversation.item.{kind}", item=item, previous_item_id=None)

    def _create(self, event: dict[str, Any]) -> None:
        wanted = event["response"]
        self._creates_taken += 1
        chance = self._chance(f"create {self._creates_taken}")
        if wanted.get("conversation") == "none":
            self._begin(wanted, event["event_id"], out_of_band=True)
        elif chance.random() < self.nature.loses:
            self.log.append(f"{trio.current_time():8.3f} server loses {_short(event)}")
        elif self._active is not None:
            self._error(ACTIVE, event, answers=True)
        else:
            self._begin(wanted, event["event_id"])

    # Responses

    def _begin(self, wanted: dict[str, Any] | None, event_id: str = "", *, out_of_band: bool = False) -> None:
        response_id = self._new_id("resp")
        wanted = wanted or {}
        metadata = wanted.get("metadata")
        response = self.responses[response_id] = ModelResponse(
            response_id,
            tag=(metadata or {}).get("realtime_trio"),
            general=not set(wanted) - {"metadata"} and not out_of_band,
            saw=frozenset(self.items.values()),
            asked_at=self.view.asked_at if event_id else trio.current_time(),
            metadata=metadata,
            out_of_band=out_of_band,
            may_call=not out_of_band and wanted.get("tool_choice") != "none",
        )
        if not out_of_band:
            self._active = response
        self._emit("response.created", response=response.value(echoes=self.nature.echoes), answers=event_id)
        self._nursery.start_soon(self._generate, response)

    async def _generate(self, response: ModelResponse) -> None:
        chance = self._chance(response.id)
        spoken = "audio" in self.session.get("output_modalities", ["audio"]) and not response.out_of_band
        with response.scope:
            await trio.sleep(self.nature.pace * chance.random())
            if chance.random() < self.nature.fails:
                self._finish(response, "failed")
                return
            calls = response.may_call and chance.random() < self.nature.calls
            if not calls or chance.random() < 0.3:
                await self._say(response, chance, spoken=spoken)
            for _ in range(chance.randint(1, 3) if calls else 0):
                await trio.sleep(self.nature.pace * chance.random() / 3)
                seconds = chance.choice([0, 0.1, 0.5, 1.0, 3.0])
                name = chance.choice(["work", "work", "give_up", "go_on", "work_aside"])
                self._call(response, name, json.dumps({"seconds": seconds, "works": chance.random() < 0.9}))
            await trio.sleep(chance.choice([0, 0, 0, 1.5]) * self.nature.pace)  # its done is late
            self._finish(response, "incomplete" if chance.random() < self.nature.fails else "completed")

    async def _say(self, response: ModelResponse, chance: random.Random, *, spoken: bool) -> None:
        item_id = self._new_id("item")
        response.item = {"type": "message", "role": "assistant", "id": item_id, "status": "in_progress", "content": []}
        where = {"response_id": response.id, "output_index": 0, "item_id": item_id, "content_index": 0}
        self._emit("response.output_item.added", response_id=response.id, output_index=0, item=response.item)
        kind = "audio" if spoken else "text"
        self._emit("response.content_part.added", **where, part={"type": kind})
        for _ in range(chance.randint(1, 4)):
            if spoken:
                self._emit("response.output_audio_transcript.delta", **where, delta="word ")
                for _ in range(chance.randint(1, 4)):
                    self._emit("response.output_audio.delta", **where, delta=SOUND_100_MS)
            else:
                self._emit("response.output_text.delta", **where, delta="word ")
            await trio.sleep(self.nature.pace * chance.random() / 3)
        self._flush(response, "completed")

    def _flush(self, response: ModelResponse, status: str) -> None:
        """End the item that is being spoken or written."""
        if response.item is None:
            return
        item, response.item = {**response.item, "status": status}, None
        spoken = "audio" in self.session.get("output_modalities", ["audio"]) and not response.out_of_band
        where = {"response_id": response.id, "output_index": 0, "item_id": item["id"], "content_index": 0}
        if spoken:
            self._emit("response.output_audio.done", **where)
            self._emit("response.output_audio_transcript.done", **where, transcript="word")
        else:
            self._emit("response.output_text.done", **where, text="word")
        self._emit("response.output_item.done", response_id=response.id, output_index=0, item=item)
        response.output.append(item)

    def _call(self, response: ModelResponse, name: str, arguments: str) -> None:
        call = {
            "type": "function_call",
            "id": self._new_id("item"),
            "call_id": self._new_id("call"),
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        index = len(response.output)
        self._emit("response.output_item.added", response_id=response.id, output_index=index, item=call)
        self._emit("response.output_item.done", response_id=response.id, output_index=index, item=call)
        response.output.append(call)

    def _stop(self, response: ModelResponse, reason: str) -> None:
        response.scope.cancel()
        response.reason = reason
        self._flush(response, "incomplete")
        self._finish(response, "cancelled")

    def _finish(self, response: ModelResponse, status: str) -> None:
        response.status = status
        if self._active is response:
            self._active = None
        self.calls.extend(item["call_id"] for item in response.output if item["type"] == "function_call")
        self._emit("response.done", response=response.value(echoes=self.nature.echoes))

    # The user's turns

    @property
    def _detection(self) -> dict[str, Any] | None:
        default = {"type": "server_vad"}
        found: dict[str, Any] | None = self.session.get("audio", {}).get("input", {}).get("turn_detection", default)
        return found

    @property
    def _creates(self) -> bool:
        return _creates(self._detection)

    async def speak(self, seconds: float) -> str | None:
        """Let the user speak.

        Returns:
            The item that it becomes, if somebody else than the server is to answer it; None otherwise, and if they
            speak already or nobody listens.
        """
        if self._detection is None or self._spoken is not None:
            await trio.lowlevel.checkpoint()
            return None
        item_id = self._spoken = self._new_id("item")
        self._emit("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=_ms())
        if self._active is not None and self._detection.get("interrupt_response") is not False:
            self._stop(self._active, "turn_detected")
        await trio.sleep(seconds)
        self._spoken = None
        self._emit("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=_ms(), announces=self._creates)
        return self._end_turn(item_id)

    async def be_silent(self) -> str | None:
        """Let the user be silent for so long that this counts as a turn; gives its item as `speak` does."""
        await trio.lowlevel.checkpoint()
        if self._detection is None or self._spoken is not None or self._active is not None:
            return None
        item_id = self._new_id("item")
        fields = {"item_id": item_id, "audio_start_ms": _ms(), "audio_end_ms": _ms()}
        self._emit("input_audio_buffer.timeout_triggered", **fields, announces=self._creates)
        return self._end_turn(item_id)

    def _end_turn(self, item_id: str) -> str | None:
        self._commit(item_id)
        if not self._creates:
            return item_id
        if self._active is None:
            self._begin(None)
        elif self.nature.rejects_turns:
            self._error(ACTIVE, {})
        return None

    def _commit(self, item_id: str) -> None:
        self._appended = 0
        self._emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        content = [{"type": "input_audio", "transcript": None}]
        self._add({"type": "message", "role": "user", "id": item_id, "status": "completed", "content": content})

    # Inside

    def _new_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def _chance(self, name: str) -> random.Random:
        """Give the same chances to the same thing, whatever else happens, so that a schedule can be made shorter."""
        return random.Random(f"{self._seed} {name}")


@attrs.define(eq=False)
class _Link:
    """The client's end."""

    _server: ModelServer
    _outbox: trio.MemorySendChannel[tuple[float, dict[str, Any]]]
    _inbox: trio.MemoryReceiveChannel[tuple[float, dict[str, Any]]]
    _next: tuple[float, dict[str, Any]] | None = None
    _closed: bool = False

    async def send_message(self, message: str) -> None:
        event = json.loads(message)
        self._server.sent(event)
        self._outbox.send_nowait((self._server.due("up"), event))
        await trio.lowlevel.checkpoint()

    async def receive_message(self) -> str:
        if self._closed:
            raise ConnectionClosed(1000, "closed")
        if self._next is None:
            self._next = await self._inbox.receive()
        due, event = self._next
        await trio.sleep_until(due)
        self._next = None
        self._server.delivered(event)
        return json.dumps(event)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self._closed = True
        await trio.lowlevel.checkpoint()


def _creates(detection: dict[str, Any] | None) -> bool:
    return detection is not None and detection.get("create_response") is not False


def _ms() -> int:
    return round(trio.current_time() * 1000)


def _short(event: dict[str, Any]) -> str:
    """One line about an event."""
    about = event.get("response") or event.get("item") or event.get("error") or event
    told = ("id", "status", "response_id", "item_id", "call_id", "code", "event_id", "conversation_id")
    return f"{event['type']} " + " ".join(f"{name}={about[name]}" for name in told if about.get(name) is not None)
