"""Runs one session: the protocol between a link on one side and brain, voice and recogniser on the other.

```
 one session's nursery
 ├─ reader       the link's messages into the protocol
 ├─ writer       the only task that sends
 ├─ alarm        ticks the protocol at its deadline
 ├─ responses    one task each, in a cancel scope of its own
 ├─ ears         one task for each turn, and under semantic VAD each pause, that the recogniser hears
 └─ MCP servers  one task for each call of their tools, in a cancel scope of its own
```
The protocol is never entered by two tasks at once: none of its methods waits. What it decides is not decided here.
Every task is protected from Ctrl-C, which lands in the block of `open_server` instead.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import trio

from realtime_trio import events
from realtime_trio.errors import AudioError, ConnectionClosed, InternalError, RemoteProtocolError
from realtime_trio.server.delivery import Delivery
from realtime_trio.server.hosted_tools import HostedTools
from realtime_trio.server.misbehaviour import GOOD_BEHAVIOUR, GOODBYE, Cut, Misbehaviour, close
from realtime_trio.server.outbox import (
    CallTool,
    Close,
    Effect,
    ListTools,
    Overhear,
    Recognise,
    StartResponse,
    StopCall,
    StopResponse,
    TellLater,
)
from realtime_trio.server.protocol import RealtimeProtocol
from realtime_trio.server.seams import Brain, BrainRequest, Eavesdropper, Recogniser, Voice
from realtime_trio.transport import MessageStream

__all__ = ["SessionDriver"]

Args = TypeVarTuple("Args")

_logger = logging.getLogger("realtime_trio.server")

_MOST_QUEUED = 4 * 2**20
"""Characters on their way to a client that does not take them; then nothing more is read or said."""

MOST_BYTES = 256 * 2**20
"""What the items of one session may take, about; then it is closed."""

_MESSAGES_BETWEEN = 64
"""After so many messages, or so many characters in kilobytes, it is seen how much they take."""

_MOST_ROUNDS = 16
"""How often a brain is asked in one response, which goes on behind each call of an MCP server's tool."""


class SessionDriver:
    """One client's session, from the accepted handshake to the end of the link."""

    def __init__(
        self,
        link: MessageStream,
        protocol: RealtimeProtocol,
        *,
        brain: Brain,
        voice: Voice,
        recogniser: Recogniser | None,
        speed: float,
        hosted: HostedTools | None = None,
        misbehaviour: Misbehaviour = GOOD_BEHAVIOUR,
    ) -> None:
        """Prepare; `run` does it.

        Args:
            link: The client.
            protocol: A fresh session.
            brain: Answers.
            voice: Speaks.
            recogniser: Hears; None when nobody does.
            speed: How many times faster than real time audio is sent.
            hosted: The MCP servers that there are; None for none.
            misbehaviour: What goes wrong on purpose.
        """
        self._link = link
        self._protocol = protocol
        self._brain = brain
        self._voice = voice
        self._recogniser = recogniser
        self._speed = speed
        self._hosted = hosted or HostedTools({})
        self._misbehaviour = misbehaviour
        self._outgoing: deque[str | Close] = deque()
        self._queued = 0
        self._unweighed = 0
        self._more = trio.Event()  # something to send
        self._room_made = trio.Event()
        self._happened = trio.Event()
        self._alarm = trio.CancelScope()
        self._responses: dict[str, trio.CancelScope] = {}
        self._calls: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve the session until the link or the session ends.

        Cancellation:
            Ends the session; the link is its owner's to close.

        Tasks:
            All of the session's. A crash of a brain, a voice or a recogniser ends what it was at, not the session.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._write)
            nursery.start_soon(self._tick)
            self._protocol.open()
            self._flush()
            await self._read()
            nursery.cancel_scope.cancel(reason="the client is gone")

    def close(self, code: int, reason: str) -> None:
        """Close the link, behind what is on its way to the client."""
        self._put(Close(code, reason))

    # ---- the link ----

    async def _read(self) -> None:
        while True:
            await self._room()
            message: str | bytes
            try:
                message = await self._link.receive_message()
            except RemoteProtocolError:
                message = b""  # a binary message: the protocol has words for it
            except (ConnectionClosed, trio.ClosedResourceError):
                return
            self._protocol.receive(message, trio.current_time())
            self._flush()
            self._weigh(len(message))

    def _weigh(self, size: int) -> None:
        """Close the session when it takes too much memory. Seen now and then, since every item is looked at."""
        self._unweighed += 1 + size // 1024
        if self._unweighed >= _MESSAGES_BETWEEN:
            self._unweighed = 0
            if self._protocol.weight > MOST_BYTES:
                self._put(Close(1008, "session_too_large"))

    @trio.lowlevel.enable_ki_protection
    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._outgoing:
                message = self._outgoing.popleft()
                if isinstance(message, Close):
                    await self._link.aclose(message.code, message.reason)
                    return
                try:
                    await self._link.send_message(message)
                except (ConnectionClosed, trio.ClosedResourceError):
                    await self._link.aclose()  # wakes the reader, which ends the session
                    return
                self._queued -= len(message)
                if self._queued < _MOST_QUEUED:
                    self._room_made.set()

    async def _room(self) -> None:
        while self._queued >= _MOST_QUEUED:
            self._room_made = trio.Event()
            await self._room_made.wait()

    @trio.lowlevel.enable_ki_protection
    async def _tick(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._protocol.deadline) as self._alarm:
                await trio.sleep_forever()
            self._protocol.tick(trio.current_time())
            self._flush()

    def _flush(self) -> None:
        """Put what the protocol has to say on its way, and do what it wants done."""
        while True:
            for event in self._protocol.take_events():
                self._put(events.encode(event))
            effects = self._protocol.take_effects()
            if not effects:
                break
            for effect in effects:
                self._do(effect)
        self._alarm.deadline = self._protocol.deadline
        self._happened.set()
        self._happened = trio.Event()

    def _do(self, effect: Effect) -> None:
        match effect:
            case StartResponse():
                scope = self._responses[effect.response_id] = trio.CancelScope()
                self._begin(self._respond, effect, scope)
            case StopResponse():
                self._responses.pop(effect.response_id).cancel(reason="the response is over")
            case Recognise():
                self._begin(self._hear, effect)
            case Overhear():
                self._begin(self._overhear, effect)
            case TellLater():
                self._begin(self._tell_later, effect)
            case ListTools() | CallTool() | StopCall():
                self._do_over_mcp(effect)
            case Close():
                self._put(effect)

    def _do_over_mcp(self, effect: ListTools | CallTool | StopCall) -> None:
        match effect:
            case ListTools() if self._misbehaviour.listing_delay_s:
                self._begin(self._list_tools, effect)
            case ListTools():
                self._protocol.tools_listed(effect.item_id, self._hosted.definitions(effect.server_label))
            case CallTool():
                scope = self._calls[effect.item_id] = trio.CancelScope()
                self._begin(self._call_tool, effect, scope)
            case StopCall():
                self._calls[effect.item_id].cancel(reason="the response is over")

    async def _news(self) -> None:
        """Wait until something has happened in the session."""
        await self._happened.wait()

    def _begin(self, function: Callable[[*Args], Awaitable[None]], *args: *Args) -> None:
        if self._nursery is None:
            raise InternalError("a session does something before it runs")
        self._nursery.start_soon(function, *args)

    def _put(self, message: str | Close) -> None:
        self._outgoing.append(message)
        self._queued += 0 if isinstance(message, Close) else len(message)
        self._more.set()

    # ---- brain, voice, recogniser ----

    @trio.lowlevel.enable_ki_protection
    async def _respond(self, start: StartResponse, scope: trio.CancelScope) -> None:
        with scope:
            while not self._protocol.hearing.isdisjoint(start.hear_first):
                await self._news()
            while not self._protocol.listing.isdisjoint(start.list_first):
                await self._news()
            request = self._protocol.brain_request(start.response_id)
            if request is None:
                return
            try:
                await self._answer(start, request)
            except Exception as error:  # noqa: BLE001 - a user's brain or voice may raise anything
                _log("The brain or the voice failed; the response ends with status 'failed'.", error)
                self._protocol.response_failed(start.response_id, _words(error), trio.current_time())
            else:
                self._protocol.response_said(start.response_id)
                if self._misbehaviour.done_delay_s:
                    self._flush()
                    await trio.sleep(self._misbehaviour.done_delay_s)
                self._protocol.response_finished(start.response_id, trio.current_time())
            self._flush()

    async def _answer(self, start: StartResponse, request: BrainRequest) -> None:
        delivery = Delivery(
            self._protocol,
            start,
            voice=self._voice,
            speed=self._speed,
            flush=self._flush,
            room=self._room,
            news=self._news,
            words_late=self._misbehaviour.other_order,
        )
        asked: BrainRequest | None = request
        cut = self._misbehaviour.cut(start.number, request)
        for _ in range(_MOST_ROUNDS):
            if asked is None or (cut.ending is not None and not cut.left):
                break
            await self._ask(delivery, cut, asked)
            asked = self._protocol.next_request(start.response_id)
        if cut.ending is not None:
            await delivery.deliver(cut.ending)

    async def _ask(self, delivery: Delivery, cut: Cut, request: BrainRequest) -> None:
        """Have the brain answer once, and deliver what it says."""
        pieces = self._misbehaviour.answer(self._brain, request)
        try:
            async for piece in pieces:
                for part in cut.of(piece):
                    if not await delivery.deliver(part):
                        return
        finally:
            with trio.move_on_after(GOODBYE, shield=True):
                await close(pieces)

    @trio.lowlevel.enable_ki_protection
    async def _list_tools(self, wanted: ListTools) -> None:
        await trio.sleep(self._misbehaviour.listing_delay_s)
        self._protocol.tools_listed(wanted.item_id, self._hosted.definitions(wanted.server_label))
        self._flush()

    @trio.lowlevel.enable_ki_protection
    async def _call_tool(self, wanted: CallTool, scope: trio.CancelScope) -> None:
        with scope:
            outcome = await self._hosted.call(wanted.server_label, wanted.name, wanted.arguments)
            self._protocol.tool_called(wanted.item_id, outcome)
            self._flush()
        del self._calls[wanted.item_id]

    @trio.lowlevel.enable_ki_protection
    async def _hear(self, wanted: Recognise) -> None:
        transcript, problem = None, "This server has no recogniser."
        if self._recogniser is not None:
            try:
                understood = await self._recogniser.recognise(wanted.pcm)
                understood.text.encode()  # refuses a lone surrogate, which no message can carry
                transcript = understood
            except Exception as error:  # noqa: BLE001 - a user's recogniser may raise anything
                _log("The recogniser failed.", error)
                problem = _words(error)
        self._protocol.heard(wanted.item_id, transcript, problem)
        self._flush()

    @trio.lowlevel.enable_ki_protection
    async def _tell_later(self, wanted: TellLater) -> None:
        await trio.sleep(wanted.seconds)
        self._protocol.tell_transcript(wanted.item_id)
        self._flush()

    @trio.lowlevel.enable_ki_protection
    async def _overhear(self, wanted: Overhear) -> None:
        transcript = None
        if self._recogniser is not None:
            recogniser = self._recogniser
            hear = recogniser.overhear if isinstance(recogniser, Eavesdropper) else recogniser.recognise
            try:
                understood = await hear(wanted.pcm)
                understood.text.encode()  # as in `_hear`: it may become the turn's transcript
                transcript = understood
            except Exception as error:  # noqa: BLE001 - a user's recogniser may raise anything
                _log("The recogniser failed in the middle of a turn.", error)
        self._protocol.overheard(wanted.pause, transcript, trio.current_time())
        self._flush()


def _log(what: str, error: Exception) -> None:
    if isinstance(error, AudioError):  # no mistake of a program: its words say all, and a traceback only alarms
        _logger.warning("%s %s", what, error)
    else:
        _logger.error(what, exc_info=error)


def _words(error: Exception) -> str:
    """Put a failure into words that a message can carry."""
    words = str(error) if isinstance(error, AudioError) else f"{type(error).__name__}: {error}"
    return words.encode("utf-8", "replace").decode()
