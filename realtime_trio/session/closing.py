"""A session that is about to end by itself: its budget is spent, or its account gives no answers any more.

Theory of operation. From `begin` on nothing is asked for: what waits is turned away with the reason. Nobody listens to
the user any more: the microphone is closed, what was heard of an unfinished turn is dropped, and turn detection is
turned off, for else the server would go on answering by itself; a response that it makes all the same, because the turn
was over before, is stopped. What is being said is heard to its end, then the session ends with the reason, as it does
whenever that is not the user's doing (`lifetime.py`). When the block ends by itself before, that is how the session
ends, and nothing is raised.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.detection import Detection
from realtime_trio.errors import NotAcknowledged, RealtimeError, ServerError

from .calls import Kind
from .inside import Inside
from .lifetime import Lifetime
from .push_to_talk import PushToTalk
from .settings import session_settings
from .sound import Sound
from .subscription import again
from .tool_calls import ToolCalls
from .turns import Turns

__all__ = ["Closing"]

_ANSWER_SECONDS = 2.0  # that the server may take to drop what was heard, and again to turn turn detection off
_LAST_WORDS = 0.5  # seconds in which the program can still read what came last
_TOOL_SECONDS = 30.0  # for which the tools of a last turn are waited for
_GLANCE = 0.25  # seconds between two looks at them


@attrs.define(eq=False, repr=False)
class Closing(Inside):
    """The end of one session that comes soon, if it does.

    Attributes:
        turns: Who asks for answers.
        sound: Who listens to the user.
        push_to_talk: Likewise.
        tool_calls: What a last turn may wait for.
        lifetime: Whom to tell in the end.
        call: Sends something and waits for the answer to it.
        drained: Waits until everything was heard.
        reason: Why the session is about to end; None while it is not.
    """

    turns: Turns
    sound: Sound
    push_to_talk: PushToTalk
    tool_calls: ToolCalls
    lifetime: Lifetime
    call: Callable[[Kind, events.ClientEvent], Awaitable[object]]
    drained: Callable[[], Awaitable[object]]
    reason: RealtimeError | None = attrs.field(default=None, init=False)
    _is_off: bool = attrs.field(default=False, init=False)
    _detection: Detection = attrs.field(factory=Detection, init=False)

    def check(self) -> None:
        """Raise why nothing new can be asked for, if that is so."""
        if self.reason is not None:
            raise again(self.reason)

    def handle(self, event: events.ServerEvent) -> None:
        """Follow one server event, after the turns did: stop what the server begins although nobody listens."""
        match event:
            case events.SessionCreated(session=session) | events.SessionUpdated(session=session):
                self._detection = self._detection.after(session)
            case events.ResponseCreated(response=created) if self.reason is not None:
                response = self.turns.live.get(created.id or "")
                if response is not None and not (response.is_ours or response.out_of_band):
                    self.turns.stop(response, "closing")
            case _:
                pass

    def begin(self, reason: RealtimeError, *, finish_turn: bool) -> None:
        """Ask for nothing new, listen to nobody, and end the session when all was heard.

        Only the first reason counts; a later one may end the turn that was still let through.

        Args:
            reason: What the session ends with.
            finish_turn: Whether the turn that is being answered may go on, with its tool calls and the replies to them.
        """
        if self.lifetime.over:
            return
        if self.reason is not None:
            if not finish_turn:
                self.turns.close(self.reason, finish_turn=False)
            return
        self.reason = reason
        self.push_to_talk.abandon()  # nobody is going to release the key
        self.sound.capture.capturing = False
        self.turns.close(reason, finish_turn=finish_turn)
        self.lifetime.start_soon(self._see_through, reason, finish_turn)

    def call_off(self) -> None:
        """The block has ended by itself: it is over anyway."""
        self._is_off = True

    async def _see_through(self, reason: RealtimeError, finish_turn: bool) -> None:  # noqa: FBT001 a task's argument
        if self._detection.is_on:
            self.turns.policies.retire()  # else what they took for one utterance would come back when it was heard
            await self._try("clear", events.InputAudioBufferClear())
            await self._try("update", events.SessionUpdate(session=session_settings(turn_detection=None)))
        await self.drained()
        if finish_turn:
            with trio.move_on_after(_TOOL_SECONDS):
                while self.tool_calls.running:
                    await trio.sleep(_GLANCE)
                    await self.drained()
        await trio.sleep(_LAST_WORDS)
        if not self._is_off:
            self.lifetime.end(reason)

    async def _try(self, kind: Kind, event: events.ClientEvent) -> None:
        """Send something that may be refused, or not answered: then `handle` has to do."""
        with trio.move_on_after(_ANSWER_SECONDS), suppress(ServerError, NotAcknowledged):
            await self.call(kind, event)
