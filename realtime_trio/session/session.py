"""The session: what a program can ask of a conversation with the model.

Theory of operation. One reader task receives; for each event it calls, as functions and in this order, the mirror, the
calls that wait for an answer, the turns (who owns a response, who may speak, what is interrupted) and the subscribers.
It never waits for any of them. Everything that is sent goes through the connection's writer task. When and how it all
ends is in `lifetime.py`; how it is put together is in `realtime_trio.opening`.
"""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

import attrs
import msgspec
import trio

from realtime_trio import events as wire  # the name `events` is a method here
from realtime_trio.connection import Connection
from realtime_trio.core.arbiter import ALREADY_ACTIVE
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.interruption import is_benign
from realtime_trio.device import AudioDevice
from realtime_trio.errors import LocalProtocolError, NotAcknowledged, RemoteProtocolError, ServerError

from .calls import Calls, server_error
from .exchanges import Exchange, Request, new_id
from .interruptions import PendingInterruption
from .lifetime import Lifetime
from .notices import AudioDropped, NotAnEvent, Notice
from .responses import Reply, Response
from .settings import check_device_formats, response_overrides, session_settings
from .sound import Sound
from .subscription import Subscription
from .tool_calls import ToolCalls, ToolErrors, ToolRunner
from .turns import Turns

__all__ = ["Session", "SessionStatistics"]

_log = logging.getLogger("realtime_trio.session")
_LARGEST_APPEND = 1 << 20  # bytes of audio in one event; the server takes 15 MiB, but a writer is freed sooner

E = TypeVar("E")


@attrs.frozen
class SessionStatistics:
    """A session at one moment; counts are since it was opened.

    Attributes:
        sent: Events that the writer took.
        received: Events that came.
        unknown_events: Those of a type that this version does not know; they were delivered as `events.UnknownEvent`.
        malformed_events: Those that do not fit their type; they were delivered as `events.MalformedEvent`.
        not_events: Messages that are no events; they were reported as `NotAnEvent`.
        dropped_audio_ms: Milliseconds of microphone audio that a slow uplink cost.
        running_tools: Tool calls without an output.
    """

    sent: int
    received: int
    unknown_events: int
    malformed_events: int
    not_events: int
    dropped_audio_ms: int
    running_tools: int


class Session:
    """A conversation with the model. Made by `realtime_trio.open_session`.

    Attributes:
        conversation: The live mirror of the conversation, in the server's order.
        config: The configuration in effect, as the server last said it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        tools: ToolRunner,
        make_tools: Callable[[Iterable[Any]], ToolRunner],
        device: AudioDevice | None = None,
        ack_timeout: float = 10.0,
        tool_errors: ToolErrors = "report",
        audio_limit: float = 600.0,
    ) -> None:
        self.conversation = Conversation()
        self.config = wire.RealtimeSession()
        self._connection = connection
        self._lifetime = Lifetime()
        self._calls = Calls(ack_timeout)
        self._make_tools = make_tools
        self._subscriptions: list[tuple[tuple[type, ...], Subscription[Any]]] = []
        self._response_subscriptions: list[Subscription[Response]] = []
        self._created = trio.Event()
        self._dropped_ms = 0
        self._not_understood = Counter[str]()
        self._sound = Sound(device, append=self._append_nowait, on_block=self._on_block)
        self._tool_calls = ToolCalls(
            tools,
            start_soon=self._lifetime.start_soon,
            deliver=self.create_item,
            owe=lambda items, exchange: self._turns.owe(Request(exchange=exchange), items),
            publish=self._publish,
            crash=self._lifetime.end if tool_errors == "raise" else None,
        )
        self._turns = Turns(
            send=connection.send_nowait,
            sound=self._sound,
            tool_calls=self._tool_calls,
            conversation=self.conversation,
            publish=self._publish,
            publish_response=self._publish_response,
            audio_limit=audio_limit,
            ack_timeout=ack_timeout,
        )
        self._lifetime.on_end(self._end)

    def __repr__(self) -> str:
        return f"<Session {self.config.id or 'not created yet'}{' over' if self._lifetime.over else ''}>"

    # Turns

    async def ask(self, text: str, **overrides: Any) -> Reply:
        """Say something to the model and wait for its whole answer, tool calls included.

        Args:
            text: What the user says.
            overrides: For this reply only, beside the session's settings: `instructions`, `modality`, `voice`, `tools`,
                `tool_choice`, `max_output_tokens`, `metadata` and the other fields of the wire's `response.create`.

        Returns:
            The exchange, when no reply and no tool output is owed any more; with a device, when it was heard. A reply
            that was cut short has the status `"incomplete"` or `"cancelled"`.

        Raises:
            ResponseFailed: A response failed, and again when it was asked for once more.
            ServerError: The server refused the text or the overrides.
            ConfigurationError: There is no such override.
            ConnectionClosed: The link was lost.

        Cancellation:
            What was not asked for yet is forgotten; a response that was asked for is cancelled at the server. The text
            stays in the conversation.
        """
        params = response_overrides(overrides)
        exchange = Exchange()
        try:
            item = await self.create_item(wire.user_message(text))
            self._turns.owe(Request(params, exchange), [str(item.id)])
            await exchange.over.wait()
            if self._sound.device is not None and exchange.responses:
                await exchange.responses[-1].heard()
        except trio.Cancelled:
            self._turns.abandon(exchange)
            raise
        return exchange.reply()

    async def send_text(self, text: str, *, respond: bool = True) -> wire.Item:
        """Put a user's message into the conversation.

        Args:
            text: What the user says.
            respond: Whether the model is to answer; the answer comes through `responses()`.

        Returns:
            The item, when the server has acknowledged it.

        Raises:
            ServerError: The server refused it.

        Cancellation:
            What was sent stays sent, and is not answered.
        """
        item = await self.create_item(wire.user_message(text))
        if respond:
            self._turns.owe(Request(), [str(item.id)])
        return item

    async def respond(self, **overrides: Any) -> Response:
        """Ask for a response, as soon as nobody else is speaking.

        Args:
            overrides: As for `ask`. With `conversation="none"` the response is beside the conversation and starts at
                once.

        Returns:
            The response, when it was created; it goes on while you use it.

        Raises:
            ServerError: The server refused it.
            NotAcknowledged: The server did not answer.
            ConfigurationError: There is no such override.

        Cancellation:
            What was not asked for yet is forgotten; what was asked for is cancelled at the server.
        """
        request = Request(response_overrides(overrides))
        self._turns.owe(request, ())
        try:
            return await request.created.wait()
        except trio.Cancelled:
            self._turns.forget(request)
            raise

    def interrupt(self) -> PendingInterruption:
        """Stop whatever the model is saying, now: the sound, its generation, and what the server believes was heard.

        Works also when generation is over and sound is still queued. Nothing happens when nothing is being said.

        Returns:
            What can be awaited for the record of what was heard; awaiting it is not needed for the effect.
        """
        return self._turns.interrupt("requested")

    async def cancel_response(self, response_id: str | None = None) -> bool:
        """Stop the generation of a response; what was received of it may still be heard (`interrupt` stops that too).

        Args:
            response_id: Which; None for the active one of the conversation.

        Returns:
            Whether it was cancelled; False if nothing was active.

        Raises:
            NotAcknowledged: The server did not answer.

        Cancellation:
            The response is cancelled all the same.
        """
        response = self._turns.active(response_id)
        if response is None:
            await trio.lowlevel.checkpoint()
            return False
        self._turns.cancel(response)
        with trio.move_on_after(self._calls.timeout):
            try:
                return (await response.done()).status == "cancelled"
            except ServerError:
                return False
        raise NotAcknowledged(f"the server did not cancel {response.id} within {self._calls.timeout:g} s")

    def responses(self, *, size: int = 1024) -> Subscription[Response]:
        """Subscribe to every response of the conversation from now on, also those that turn detection starts.

        Args:
            size: Responses held for a slow reader.
        """
        subscription = Subscription[Response](size, self._response_subscriptions.remove)
        self._response_subscriptions.append(subscription)
        return subscription

    # Audio

    async def append_audio(self, pcm: bytes) -> None:
        """Append audio to the input buffer, in the session's input format (24 kHz mono PCM16LE unless configured).

        There is no acknowledgement: it returns when the writer took it, which is later on a slow link.

        Args:
            pcm: Any length; whole samples.

        Raises:
            LocalProtocolError: Half a sample.

        Cancellation:
            Audio that the writer has not taken yet is not sent.
        """
        if len(pcm) % 2 and self._input_format() in ("", "audio/pcm"):
            raise LocalProtocolError(f"{len(pcm)} bytes are not whole samples of PCM16: send an even number of bytes")
        for start in range(0, len(pcm), _LARGEST_APPEND):
            chunk = pcm[start : start + _LARGEST_APPEND]
            self._sound.capture.append(len(chunk) // 2, trio.current_time())
            await self._connection.send(wire.InputAudioBufferAppend(audio=chunk))

    async def commit_audio(self) -> str:
        """Make the input buffer a user item, for manual turns. It starts no response: see `respond`.

        Returns:
            The item's id.

        Raises:
            ServerError: The buffer held less than 100 ms.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        return str(await self._call("commit", wire.InputAudioBufferCommit()))

    async def clear_audio(self) -> None:
        """Drop what is in the input buffer.

        Raises:
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        await self._call("clear", wire.InputAudioBufferClear())

    async def drained(self) -> None:
        """Wait until nothing is being generated for the conversation and all sound that was received was heard.

        Cancellation:
            Safe: everything goes on.
        """
        await self._turns.idle()
        await self._sound.drained()

    # Conversation and configuration

    async def create_item(self, item: wire.Item, *, previous_item_id: str | None = None) -> wire.Item:
        """Put an item into the conversation.

        Args:
            item: One without an id gets one of ours.
            previous_item_id: After which item; `"root"` for the front, None for the end.

        Returns:
            The item as the server has it.

        Raises:
            ServerError: The server refused it.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        if not getattr(item, "id", None):
            item = msgspec.structs.replace(item, id=new_id("item"))
        after = wire.UNSET if previous_item_id is None else previous_item_id
        event = wire.ConversationItemCreate(item=item, previous_item_id=after)
        created: wire.Item = await self._call("create", event, str(item.id))
        return created

    async def delete_item(self, item_id: str) -> None:
        """Remove an item from the conversation.

        Raises:
            ServerError: There is no such item.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        await self._call("delete", wire.ConversationItemDelete(item_id=item_id), item_id)

    async def retrieve_item(self, item_id: str) -> wire.Item:
        """Get an item as the server has it, audio included; a minute of audio is about 4 MB on the wire.

        Raises:
            ServerError: There is no such item.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        item: wire.Item = await self._call("retrieve", wire.ConversationItemRetrieve(item_id=item_id), item_id)
        return item

    async def truncate_item(self, item_id: str, audio_end_ms: int, *, content_index: int = 0) -> None:
        """Tell the server that no more than this was heard of an assistant's audio item.

        With a device the session does this by itself at every interruption.

        Args:
            item_id: Which item.
            audio_end_ms: Milliseconds of it that were heard.
            content_index: The content part.

        Raises:
            ServerError: No such item, or it is shorter than that.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        event = wire.ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms)
        await self._call("truncate", event, item_id)

    async def update(self, **settings: Any) -> wire.RealtimeSession:
        """Change the session's configuration; what is not named stays as it is.

        Args:
            settings: `instructions`, `voice`, `modality`, `turn_detection`, `transcription`, `tools` and `config` as
                for `open_session`, and every other field of the wire's session by its name, for example `tool_choice`.

        Returns:
            The whole configuration in effect.

        Raises:
            ServerError: The server refused it; nothing was changed.
            NotAcknowledged: The server did not answer.
            ConfigurationError: There is no such setting, or a value does not fit; nothing was sent.

        Cancellation:
            What was sent stays sent.
        """
        runner = None
        if "tools" in settings:
            runner = self._make_tools(settings["tools"])
            settings = {**settings, "tools": runner.definitions()}
        wanted = session_settings(**settings)
        if self._sound.device is not None:
            check_device_formats(wanted)
        await self._call("update", wire.SessionUpdate(session=wanted))
        if runner is not None:
            self._tool_calls.runner = runner
        return self.config

    def statistics(self) -> "SessionStatistics":
        """Return counts of this moment."""
        link = self._connection.statistics()
        return SessionStatistics(
            sent=link.sent,
            received=link.received,
            unknown_events=self._not_understood["unknown"],
            malformed_events=self._not_understood["malformed"],
            not_events=self._not_understood["not an event"],
            dropped_audio_ms=round(link.dropped_audio * 1000),
            running_tools=self._tool_calls.running,
        )

    @overload
    def events(self, *, size: int = 1024) -> "Subscription[wire.ServerEvent | Notice]": ...
    @overload
    def events(self, kind: type[E], /, *kinds: type[E], size: int = 1024) -> Subscription[E]: ...
    def events(self, *kinds: type[Any], size: int = 1024) -> Subscription[Any]:
        """Subscribe to the server's events and the session's notices, from now on and in order.

        Args:
            kinds: Classes of `realtime_trio.events` or of notices; none for all.
            size: Values held for a slow reader; beyond that the oldest go, and the next one received is `Lagged(n)`.
        """
        subscription = Subscription[Any](size, self._forget)
        self._subscriptions.append((kinds, subscription))
        return subscription

    # What goes on inside

    def _forget(self, subscription: Subscription[Any]) -> None:
        self._subscriptions = [entry for entry in self._subscriptions if entry[1] is not subscription]

    async def _call(self, kind: Any, event: wire.ClientEvent, item_id: str = "") -> Any:
        self._check_open()
        return await self._calls.make(kind, lambda: self._connection.send(event), item_id=item_id)

    def _check_open(self) -> None:
        if self._lifetime.reason is not None:
            raise self._lifetime.reason
        if self._lifetime.over:
            raise trio.ClosedResourceError("the session is closed")

    def _input_format(self) -> str:
        audio = self.config.audio.input if self.config.audio else None
        return str((audio.format.type if audio and audio.format else "") or "")

    def _append_nowait(self, pcm: bytes) -> None:
        self._connection.send_nowait(wire.InputAudioBufferAppend(audio=pcm))

    def _on_block(self, now: float) -> None:
        self._turns.check_heard(now)
        dropped_ms = round(self._connection.statistics().dropped_audio * 1000)
        if dropped_ms > self._dropped_ms:
            self._publish(AudioDropped(dropped_ms - self._dropped_ms))
            self._dropped_ms = dropped_ms

    async def _read(self) -> None:
        while True:
            try:
                event = await self._connection.receive()
            except RemoteProtocolError as problem:
                self._not_understood["not an event"] += 1
                self._publish(NotAnEvent(problem))
            else:
                self._take(event)

    def _take(self, event: wire.ServerEvent) -> None:
        now = trio.current_time()
        self.conversation.apply(event)
        match event:
            case wire.SessionCreated(session=session) | wire.SessionUpdated(session=session):
                if isinstance(session, wire.RealtimeSession):
                    self.config = session
                self._created.set()
            case wire.UnknownEvent():
                self._not_understood["unknown"] += 1
            case wire.MalformedEvent():
                self._not_understood["malformed"] += 1
            case wire.Error() if not self._created.is_set():
                # before the session exists every error is final; what the server says beats the close that follows
                self._lifetime.end(server_error(event.error))
        answered = self._calls.handle(event)
        if isinstance(event, wire.Error) and not answered and not _is_expected(event.error):
            _log.warning("the server reports: %s", server_error(event.error))
        self._turns.handle(event, now)
        self._publish(event)
        self._turns.act(now)

    def _publish(self, value: "wire.ServerEvent | Notice") -> None:
        for kinds, subscription in self._subscriptions:
            if not kinds or isinstance(value, kinds):
                subscription.offer(value)

    def _publish_response(self, response: Response) -> None:
        for subscription in self._response_subscriptions:
            subscription.offer(response)

    def _end(self, reason: Exception | None) -> None:
        closed = reason or trio.ClosedResourceError("the session is closed")
        self._calls.end(closed)
        self._turns.end(reason)
        for _, subscription in self._subscriptions:
            subscription.end(reason)
        for responses in self._response_subscriptions:
            responses.end(reason)

    @asynccontextmanager
    async def running(self, settings: wire.RealtimeSession, *, drain: bool) -> AsyncGenerator["Session"]:
        """Run the session around a block. For `open_session`.

        Args:
            settings: The configuration to be acknowledged before the block is entered.
            drain: Whether a normal end waits until what was generated was heard.
        """
        finish: Callable[[], Awaitable[object]] = (
            self.drained if drain and self._sound.device else trio.lowlevel.checkpoint
        )
        async with self._lifetime.running(drain=finish, goodbye=self._goodbye):
            self._lifetime.start_soon(self._read)
            await self._configure(settings)
            self._lifetime.start_soon(self._turns.run)
            if self._sound.device is not None:
                ready = trio.Event()
                self._lifetime.start_soon(self._sound.run, ready)
                await ready.wait()
            yield self

    async def _configure(self, settings: wire.RealtimeSession) -> None:
        with trio.move_on_after(self._calls.timeout):
            await self._created.wait()
        if not self._created.is_set():
            raise NotAcknowledged(f"the server sent no session.created within {self._calls.timeout:g} s")
        await self._call("update", wire.SessionUpdate(session=settings))

    async def _goodbye(self) -> None:
        if self._sound.device is not None:
            await self._sound.hush()
        if self._lifetime.reason is None:
            self._end(None)


def _is_expected(problem: wire.ErrorDetails) -> bool:
    """Tell whether an error is part of ordinary races: too late to matter, or asked again by the arbiter."""
    return problem.code == ALREADY_ACTIVE or is_benign(problem)
