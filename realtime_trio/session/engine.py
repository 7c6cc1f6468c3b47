"""The inside of a session: its parts, wired together.

Theory of operation. One reader task (`reader.py`) receives; for each event it calls, as functions, the mirror, the
calls that wait for an answer, the turns (who owns a response, who may speak, what is interrupted) and the subscribers.
It never waits for any of them. Everything that is sent goes through the writer task of the connection that carries the
session (`line.py`). When and how it all ends is in `lifetime.py`; what a program can call is in `session.py`.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from realtime_trio import events
from realtime_trio.connection import Connection
from realtime_trio.core.barge_in import InterruptionPolicy
from realtime_trio.core.budget import Budget
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.kept_audio import KeptAudio
from realtime_trio.core.prices import Prices
from realtime_trio.core.reconnect import ReconnectPolicy
from realtime_trio.device import AudioDevice, DeviceChange
from realtime_trio.errors import ConnectionClosed

from .accounts import Accounts
from .approvals import ApprovalHook, Approvals
from .beside import Beside
from .calls import Calls, Kind
from .capture import Capture
from .closing import Closing
from .exchanges import Exchange, Request
from .fittings import Fittings
from .guarding import Guarding, GuardSettings
from .handovers import Handovers
from .lifetime import Lifetime
from .limits import excess
from .line import Line
from .log import SessionLog
from .mcp import HostedMcp
from .notices import DeviceChanged, Notice, ReplyLost
from .push_to_talk import PushToTalk
from .reader import Reader
from .recovery import Recovery
from .responses import Response
from .seeding import seed
from .sound import Sound
from .speaking import Speaking
from .statistics import Tally
from .subscribers import Subscribers
from .subscription import again
from .succession import Succession
from .successor import OpenLink
from .tool_calls import ToolCalls, ToolErrors
from .tool_outputs import ToolOutputs, follow_up
from .tool_set import ToolSet
from .turns import Turns
from .uplink_lane import UplinkLane

__all__ = ["Engine"]

_log = logging.getLogger("realtime_trio.session")


class Engine:
    """The parts of one session, wired together.

    Args:
        connection: Events out and in.
        open_link: Opens another one like it.
        reconnect: When that is done; None for never.
        tools: What the model may call.
        device: Microphone and speaker, if the session has one.
        fittings: What the device needs beside itself.
        interruption: What speech does that begins while something is being said.
        ack_timeout: How long each call waits for the server's answer, in seconds.
        tool_errors: What a tool's crash does beside telling the model.
        audio_limit: Seconds of audio that one response may have.
        approve: Decides on calls that need approval; None to publish them.
        guard: Who judges what is said before it is heard, and how.
        prices: What usage costs.
        budget: What may be used.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        open_link: OpenLink,
        reconnect: ReconnectPolicy | None,
        tools: ToolSet,
        device: AudioDevice | None,
        fittings: Fittings,
        interruption: InterruptionPolicy,
        ack_timeout: float,
        tool_errors: ToolErrors,
        audio_limit: float,
        approve: ApprovalHook | None = None,
        guard: GuardSettings,
        prices: Prices | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.line, self._first = Line(connection), connection
        self.kept = KeptAudio(0.0 if reconnect is None else reconnect.keep_audio)
        self.line.taken = self.kept.sent
        self.conversation = Conversation(heard_is_known=device is not None)
        self.config = events.RealtimeSession()
        self.lifetime = Lifetime()
        self.subscribers = Subscribers()
        self.log, self.tally = SessionLog(), Tally()
        for witness in (self.log.witness, self.tally.witness):
            self.subscribers.witness(witness)
        self.calls = Calls(ack_timeout)
        self._ended = False
        self._crash = self.lifetime.end if tool_errors == "raise" else None
        self.uplink = UplinkLane(
            self.line, self.kept, self._send, lambda: self.sound.capture.ledger, self.subscribers.publish
        )
        self.sound = self._make_sound(device, fittings, learns=interruption == "confirm")
        self.approvals = Approvals(self.subscribers.publish, approve)
        self.tool_calls = self._make_tool_calls(tools)
        self.turns = Turns(
            send=self._send,
            sound=self.sound,
            tool_calls=self.tool_calls,
            conversation=self.conversation,
            publish=self._publish,
            publish_response=self.subscribers.publish_response,
            audio_limit=audio_limit,
            beside=Beside(self._send, ack_timeout),
            calls=self.calls,
            guarding=self._make_guarding(guard),
            interruption=interruption,
            round_trip=lambda: self.line.round_trip,
        )
        self.speaking = Speaking(
            self.turns, instructions=lambda: self.config.instructions or "", heard=self._heard_words
        )
        self.handovers = Handovers(
            self.call,
            config=lambda: self.config,
            conversation=self.conversation,
            tool_calls=self.tool_calls,
            greet=self.speaking.greet,
            publish=self.subscribers.publish,
        )
        self.mcp = self._make_mcp()
        self.push_to_talk = PushToTalk(self.sound.capture, self.turns, self.calls, self._send, self.lifetime.start_soon)
        self.closing = Closing(
            self.turns, self.sound, self.push_to_talk, self.tool_calls, self.lifetime, self.call, self.drained
        )
        self.recovery = self._make_recovery(reconnect, open_link)
        self.accounts = Accounts(self.turns, self.sound, self.subscribers.publish, self.closing, prices, budget)
        self.reader = Reader(
            self.line,
            self.recovery,
            self.lifetime,
            self.conversation,
            self.calls,
            self.kept,
            self.turns,
            self.subscribers,
            self.closing,
            self.accounts,
            self.mcp,
            configured=self._configured,
            excess=lambda: excess(self.turns, self.tool_calls, self.conversation),
        )
        self.lifetime.on_end(self._end)

    # The parts that need many others. What is made later is looked up when it is needed.

    def _make_sound(self, device: AudioDevice | None, fittings: Fittings, *, learns: bool) -> Sound:
        capture = Capture(
            self.uplink.append,
            self.subscribers.publish,
            make_echo=fittings.make_echo,
            echo_is_chosen=fittings.echo_is_chosen,
            learns=learns,
        )
        return Sound(
            device, capture, on_block=self._on_block, on_change=self._on_change, make_codec=fittings.make_codec
        )

    def _make_tool_calls(self, tools: ToolSet) -> ToolCalls:
        start_soon, publish = self.lifetime.start_soon, self.subscribers.publish
        outputs = ToolOutputs(
            start_soon,
            deliver=self._deliver,
            owe=lambda items, exchanges: self.turns.owe(follow_up(self.config, exchanges), items),
            quiet=lambda: self.turns.timer.quiet(),  # noqa: PLW0108 the turns are made after this
            publish=publish,
        )
        return ToolCalls(tools, outputs, self.approvals, start_soon, self._say_later, publish, self._crash)

    def _make_guarding(self, guard: GuardSettings) -> Guarding:
        return Guarding(
            guard,
            self.sound,
            start_soon=self.lifetime.start_soon,
            publish=self.subscribers.publish,
            replace=self._say_later,
            crash=self._crash,
        )

    def _make_mcp(self) -> HostedMcp:
        return HostedMcp(
            self.approvals,
            self.turns,
            self.lifetime.start_soon,
            deliver=self._deliver,
            owe=self._owe_follow_up,
            publish=self.subscribers.publish,
            crash=self._crash,
        )

    def _make_recovery(self, policy: ReconnectPolicy | None, open_link: OpenLink) -> Recovery:
        links = Succession(
            open_link,
            self.line,
            self.calls,
            self.turns,
            self.mcp,
            self.conversation,
            self.sound,
            self.kept,
            self.lifetime.start_soon,
            publish=self.subscribers.publish,
            adopt=self._configured,
        )
        return Recovery(policy, links)

    def _say_later(self, text: str, wanted: Callable[[], bool]) -> Request:
        return self.speaking.say_later(text, wanted=wanted)

    def check_open(self) -> None:
        """Raise why no call makes sense any more, if that is so."""
        if isinstance(self.lifetime.reason, Exception):
            raise again(self.lifetime.reason)
        if self.lifetime.over:
            raise trio.ClosedResourceError("the session is closed")

    def check_asking(self) -> None:
        """Raise why nothing new can be asked for or said to the model, if that is so."""
        self.check_open()
        self.closing.check()

    async def call(
        self,
        kind: Kind,
        event: events.ClientEvent | Callable[[], events.ClientEvent],
        item_id: str = "",
        then: Callable[[Any], object] | None = None,
    ) -> Any:
        """Send an event and wait for the answer to it; see `Calls.make`.

        Args:
            kind: What is asked.
            event: What is sent; or what makes it, when it is its turn to be sent.
            item_id: The item it is about.
            then: Done with the answer before any later event is looked at.

        Raises:
            LocalProtocolError: It is not of the wire's shape.
        """
        self.check_open()
        return await self.calls.make(kind, event, self.line.send, item_id=item_id, then=then)

    @asynccontextmanager
    async def running(
        self, settings: events.RealtimeSession, *, drain: bool, history: Sequence[events.Item] = ()
    ) -> AsyncGenerator[None]:
        """Run the services around a block, which is entered when the configuration and the history are acknowledged.

        Args:
            settings: The configuration.
            drain: Whether a normal end waits until what was generated was heard.
            history: What the conversation begins with.

        Cancellation:
            The block first; then the sound fades out, and the services leave.
        """
        finish = self._finish if drain and self.sound.device is not None else trio.lowlevel.checkpoint
        async with self.lifetime.running(drain=finish, goodbye=self._goodbye):
            self.lifetime.start_soon(self.reader.run, name="reader")
            await self._configure(settings)
            await seed(history, self.line.send, self.calls)
            self.recovery.begin(self.config, self.reader.created_at)
            self.accounts.begin()
            self.lifetime.start_soon(self.accounts.run)
            self.lifetime.start_soon(self.turns.timer.run)
            if self.sound.device is not None:
                ready = trio.Event()
                # what a device raises is the device's own word: it stays as it is
                self.lifetime.start_soon(self.sound.run, ready, foreign=True)
                await ready.wait()
            self.log.opened(self.config, device=self.sound.device)
            yield
            self.closing.call_off()

    async def _finish(self) -> None:
        self.push_to_talk.abandon()  # nobody is going to release the key
        await self.drained()

    async def drained(self) -> None:
        """Wait until nothing is owed or being generated and all sound was heard; raise why if it is over before."""
        while not self._ended:
            await self.turns.timer.idle()
            await self.sound.drained()
            if self.turns.is_idle:  # what was being said may have been interrupted meanwhile, and answered
                break
        if self._ended:
            self.check_open()

    async def _configure(self, settings: events.RealtimeSession) -> None:
        await self.reader.created(self.calls.timeout)
        await self.call("update", events.SessionUpdate(session=settings))

    def _configured(self, session: events.RealtimeSession) -> None:
        self.config = session
        self.sound.configure(session)
        if self.sound.capture.uplink.continuous:
            self.push_to_talk.abandon()  # no key counts any more

    def _on_change(self, change: DeviceChange) -> None:
        if not change.available:
            self.turns.release_floor()  # the user cannot be heard any more
        self.subscribers.publish(DeviceChanged(change.available, change.words))

    def _publish(self, notice: Notice) -> None:
        self.subscribers.publish(notice)
        if isinstance(notice, ReplyLost):
            self.accounts.lost(notice.problem)

    def _send(self, event: events.ClientEvent) -> str:
        """Leave an event for the writer. When the link is over nothing is sent: the reader is about to say so."""
        try:
            return self.line.send_nowait(event)
        except (ConnectionClosed, trio.ClosedResourceError):
            return ""
        except trio.WouldBlock:
            self.lifetime.end(ConnectionClosed(None, "stalled: too many events wait to be sent"))
            return ""

    def _owe_follow_up(self, exchanges: Sequence[Exchange], expected_until: float) -> None:
        request = follow_up(self.config, exchanges)
        request.expected_until = expected_until
        self.turns.owe(request, ())

    async def _deliver(self, item: events.Item) -> Any:
        return await self.call("create", events.ConversationItemCreate(item=item), str(getattr(item, "id", "")))

    def _heard_words(self, response: Response) -> str:
        """The words of a response that were heard; where nothing is played, those that were received."""
        if self.sound.device is None:
            return response.text
        return "".join(item.heard_text for item in self.conversation if item.response_id == response.id)

    def _on_block(self, now: float) -> None:
        self.turns.check_heard(now)
        self.push_to_talk.on_block()
        self.uplink.report()

    def _end(self, reason: Exception | None) -> None:
        self._ended = True
        self.log.closed(reason)
        self.line.end(reason or trio.ClosedResourceError("the session is closed"))
        self.accounts.end()
        self.sound.release()
        self.calls.end(reason or trio.ClosedResourceError("the session is closed"))
        self.turns.end(reason)
        self.tool_calls.end()
        self.mcp.end(reason or trio.ClosedResourceError("the session is closed"))
        self.push_to_talk.end(reason or trio.ClosedResourceError("the session is closed"))
        self.subscribers.end(reason)

    async def _goodbye(self) -> None:
        if self.sound.device is not None:
            await self.sound.hush()
        if self.lifetime.reason is None:
            self._end(None)
        if self.lifetime.ended_well:
            await self.recovery.say_goodbye()
        else:  # nothing is sent any more: it leaves beside other connections and the device, not after them
            self.lifetime.start_soon(self._first.aclose)
