"""A server that begins to speak, and whom the user interrupts, again and again: the other side of `interruptions.py`.

It sends the same script to whoever connects, notes by the clock of the machine when `speech_started` left, and what it
is told about where the sound ended. On the loopback device a message has arrived when sending it returns; the clock is
read before that, so nothing of a client's delay is left out.
"""

import base64
import json
import random
import time

import attrs
import trio
from numbered import SAMPLES_PER_MS, numbered
from paced_server import CLOSE, PING, PONG, SESSION, TEXT, answer_handshake, event, frame, take_frame

__all__ = ["InterruptingServer", "Part", "Round"]

CONVERSATION = "conv_1"
PATIENCE = 0.4  # seconds for a truncation; who says nothing by then thinks that all was heard
QUIET = 0.04  # seconds of silence between two rounds, so that their sounds cannot be mixed up


@attrs.define
class Part:
    """One spoken part: what was sent of it, and what the server was told of it."""

    item_id: str
    number: int
    sent: int = 0  # samples
    sent_when_told: int | None = None
    told_ms: int | None = None  # 0 when it was deleted


@attrs.define
class Round:
    """One interruption."""

    kind: str
    begun: float
    parts: list[Part] = attrs.Factory(list)
    speech_started: float = 0.0
    ended: float = 0.0
    generated: bool = False


class InterruptingServer:
    """Plays the script to one client.

    Args:
        rounds: How many interruptions.
        kinds: What is spoken, in turn; the methods of that name.
        wait: Between which seconds the user interrupts, after the first sound was sent.
        tool: Whether the client's tool `burn` is called first.
    """

    def __init__(self, rounds, *, kinds=("whole", "streaming", "starved", "two"), wait=(0.03, 0.3), tool=False):
        self.rounds = []
        self._count, self._kinds, self._wait, self._tool = rounds, kinds, wait, tool
        self._random = random.Random(7)
        self._parts = {}
        self._told, self._generated, self._pong, self._hears = (trio.Event() for _ in range(4))
        self.over = trio.Event()

    async def serve(self, stream):
        """Serve the client from its handshake to its end."""
        self._stream, buffer, self._sending = stream, bytearray(), trio.Lock()
        try:
            await answer_handshake(stream, buffer)
            await self._send("session.created", session=SESSION)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._play)
                while (frame_in := await take_frame(stream, buffer))[0] != CLOSE:
                    await self._take(*frame_in)
                nursery.cancel_scope.cancel()
            await stream.send_all(frame(CLOSE, b"\x03\xe8"))
        except* (EOFError, trio.BrokenResourceError):
            pass
        finally:
            self.over.set()

    # What the client says

    async def _take(self, opcode, payload):
        if opcode == PING:
            await self._write(frame(PONG, payload))
        elif opcode == PONG:
            self._pong.set()
        elif opcode == TEXT and payload.startswith(b'{"type":"input_audio_buffer.append"'):
            self._hears.set()
        elif opcode == TEXT:
            await self._understand(json.loads(payload))

    async def _understand(self, said):
        match said["type"]:
            case "session.update":
                await self._send("session.updated", session=SESSION)
            case "input_audio_buffer.append":
                self._hears.set()
            case "conversation.item.create":
                await self._send("conversation.item.added", previous_item_id=None, item=said["item"])
                await self._send("conversation.item.done", previous_item_id=None, item=said["item"])
            case "conversation.item.truncate":
                self._note(said["item_id"], said["audio_end_ms"])
                place = {name: said[name] for name in ("item_id", "content_index", "audio_end_ms")}
                await self._send("conversation.item.truncated", **place)
            case "conversation.item.delete":
                self._note(said["item_id"], 0)
                await self._send("conversation.item.deleted", item_id=said["item_id"])

    def _note(self, item_id, milliseconds):
        part = self._parts[item_id]
        part.told_ms, part.sent_when_told = milliseconds, part.sent
        self._told.set()

    # The script

    async def _play(self):
        with trio.fail_after(15):
            await self._hears.wait()
        if self._tool:
            await self._call_tool()
        await trio.sleep(0.3)
        for number in range(self._count):
            await self._interrupt(self._kinds[number % len(self._kinds)], f"resp_{number}")
        await trio.sleep(0.1)
        await self._write(frame(CLOSE, b"\x03\xe8"))

    async def _interrupt(self, kind, response_id):
        now = Round(kind, time.perf_counter())
        self.rounds.append(now)
        self._told = trio.Event()
        answer = {"object": "realtime.response", "id": response_id, "conversation_id": CONVERSATION, "output": []}
        await self._send("response.created", response=answer | {"status": "in_progress"})
        self._generated = trio.Event()
        speaking = {
            "whole": self._whole,
            "streaming": self._streaming,
            "starved": self._starved,
            "two": self._two,
            "minute": self._minute,
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speaking[kind], now, response_id)
            if kind == "minute":
                await self._generated.wait()
                await self._taken()  # else it would be measured how long a minute of sound takes to decode
            await trio.sleep(self._random.uniform(*self._wait))
            nursery.cancel_scope.cancel()
        user = f"item_user_{response_id}"
        now.speech_started = time.perf_counter()
        await self._send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=user)
        if not now.generated:
            cancelled = {"type": "cancelled", "reason": "turn_detected"}
            await self._send("response.done", response=answer | {"status": "cancelled", "status_details": cancelled})
        with trio.move_on_after(PATIENCE):
            await self._told.wait()
        await self._send("input_audio_buffer.speech_stopped", audio_end_ms=600, item_id=user)
        await self._send("input_audio_buffer.committed", previous_item_id=None, item_id=user)
        await trio.sleep(QUIET)  # what is told of a second part, and the sound that is left, come within it
        now.ended = time.perf_counter()

    async def _taken(self):
        """Wait until the client has taken what was sent so far: it answers a ping in its turn."""
        self._pong = trio.Event()
        await self._write(frame(PING, b"taken?"))
        await self._pong.wait()

    async def _whole(self, now, response_id):
        await self._speak(now, response_id, 0, [3_000])
        await self._finish(now, response_id)

    async def _minute(self, now, response_id):
        await self._speak(now, response_id, 0, [1_000] * 60)
        await self._finish(now, response_id)

    async def _streaming(self, now, response_id):
        await self._speak(now, response_id, 0, [100] * 60, every=0.05)

    async def _starved(self, now, response_id):
        await self._speak(now, response_id, 0, [40] * 60, every=0.06)

    async def _two(self, now, response_id):
        await self._speak(now, response_id, 0, [self._random.randrange(60, 200)])
        await self._speak(now, response_id, 1, [3_000])
        await self._finish(now, response_id)

    async def _speak(self, now, response_id, output_index, pieces, every=0.0):
        """Send one item that is spoken, in pieces of so many milliseconds."""
        part = Part(f"item_{output_index}_{response_id}", len(self._parts))
        now.parts.append(part)
        self._parts[part.item_id] = part
        item = {"id": part.item_id, "object": "realtime.item", "type": "message", "role": "assistant", "content": []}
        place = {"response_id": response_id, "item_id": part.item_id, "output_index": output_index, "content_index": 0}
        await self._send("response.output_item.added", response_id=response_id, output_index=output_index, item=item)
        await self._send("conversation.item.added", previous_item_id=None, item=item)
        await self._send("response.content_part.added", **place, part={"type": "audio", "transcript": ""})
        due = trio.current_time()
        for piece in pieces:
            samples = piece * SAMPLES_PER_MS
            sound = base64.b64encode(numbered(part.sent, samples, part.number).tobytes()).decode()
            # one that is cancelled in the middle of it is sent all the same: half a frame would end the connection
            with trio.CancelScope(shield=True):
                part.sent += samples
                await self._send("response.output_audio.delta", **place, delta=sound)
            due += every
            await trio.sleep_until(due)
        await self._send("response.output_audio.done", **place)
        await self._send("response.output_item.done", response_id=response_id, output_index=output_index, item=item)

    async def _finish(self, now, response_id):
        done = {"object": "realtime.response", "id": response_id, "conversation_id": CONVERSATION, "output": []}
        now.generated = True
        self._generated.set()
        await self._send("response.done", response=done | {"status": "completed"})
        await trio.sleep_forever()

    async def _call_tool(self):
        call = {"id": "item_call", "object": "realtime.item", "type": "function_call", "call_id": "call_1"}
        call |= {"name": "burn", "arguments": "{}", "status": "completed"}
        answer = {"object": "realtime.response", "id": "resp_call", "conversation_id": CONVERSATION}
        place = {"response_id": "resp_call", "output_index": 0}
        await self._send("response.created", response=answer | {"status": "in_progress", "output": []})
        begun = call | {"arguments": "", "status": "in_progress"}
        await self._send("response.output_item.added", **place, item=begun)
        await self._send("conversation.item.added", previous_item_id=None, item=begun)
        done = {name: call[name] for name in ("call_id", "name", "arguments")} | {"item_id": call["id"]}
        await self._send("response.function_call_arguments.done", **place, **done)
        await self._send("response.output_item.done", **place, item=call)
        await self._send("response.done", response=answer | {"status": "completed", "output": [call]})

    async def _send(self, kind, **fields):
        await self._write(event(kind, **fields))

    async def _write(self, data):
        with trio.CancelScope(shield=True):
            async with self._sending:
                await self._stream.send_all(data)
