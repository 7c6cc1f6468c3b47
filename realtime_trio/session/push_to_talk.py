"""Turns by key: pressed, spoken, released, committed, answered.

Theory of operation. Pressing takes the floor, interrupts, clears the server's buffer and sends what was held back.
Releasing does not end the turn yet: a microphone gives its sound late, so the turn is over when the block is there that
was captured when the key went up (half a second at most). Then the commit leaves, at once and in order with whatever
the next press sends, and a reply is owed for it before the floor is free, so that everything that is owed shares the
answer. Each turn has a task of its own that sees it through, whether or not anybody waits for it.
"""

import math
from collections.abc import Callable

import attrs
import trio

from realtime_trio import events
from realtime_trio.errors import RealtimeError

from .calls import Call, Calls
from .capture import Capture
from .exchanges import Request
from .inside import Inside
from .promise import Promise
from .turns import Turns

__all__ = ["KeyedTurn", "PushToTalk"]

_LEAST_MS = 100.0  # the server takes no less
_TAIL_SECONDS = 0.5  # to wait for what was captured before the key went up


@attrs.define(eq=False)
class KeyedTurn:
    """One turn by key.

    Attributes:
        pressed_at: When the key went down, in Trio's time.
        released_at: When it went up; inf while it is down.
        captured: Set when no more sound of it is waited for.
        commit: The call that makes it an item; None for a turn without sound.
        request: The reply that is owed for it.
        is_wanted: Whether it is to be answered.
        item_id: The item that it became, when the server has it; None without one.
    """

    pressed_at: float
    released_at: float = math.inf
    captured: trio.Event = attrs.field(factory=trio.Event)
    commit: Call | None = None
    request: Request = attrs.field(factory=Request)
    is_wanted: bool = True
    item_id: Promise[str | None] = attrs.field(factory=Promise)


@attrs.define(eq=False, repr=False)
class PushToTalk(Inside):
    """The key of one session.

    Attributes:
        capture: The microphone's side.
        turns: Who owns floor and replies.
        calls: Who matches a commit and its answer.
        send: Hands a client event to the writer and returns its event id.
        start_soon: Starts a task of the session.
        on_key: Told when the key goes down (True) and up; it must not raise.
    """

    capture: Capture
    turns: Turns
    calls: Calls
    send: Callable[[events.ClientEvent], str]
    start_soon: Callable[..., None]
    on_key: Callable[[bool], object] = attrs.field(default=lambda _: None, kw_only=True)
    _turn: KeyedTurn | None = attrs.field(default=None, init=False)  # whose sound is being captured
    _open: list[KeyedTurn] = attrs.field(factory=list, init=False)  # released, and no item yet

    def press(self) -> None:
        """The key goes down. Nothing happens when it is down."""
        turn, now = self._turn, trio.current_time()
        if turn is not None:
            if turn.released_at == math.inf:
                return
            self._commit(turn)  # its tail is not waited for any longer
        self.on_key(True)  # noqa: FBT003  it is the key's state
        self._turn = KeyedTurn(now)
        self.turns.take_floor(now)
        self.turns.interrupt("pressed")
        self.send(events.InputAudioBufferClear())
        self.capture.press()

    def release(self) -> KeyedTurn | None:
        """The key goes up. Gives the turn that ends; None if the key was not down, or only tapped."""
        turn, now = self._turn, trio.current_time()
        if turn is None or turn.released_at < math.inf:
            return None
        self.on_key(False)  # noqa: FBT003  it is the key's state
        turn.released_at = now
        if (now - turn.pressed_at) * 1000 < _LEAST_MS:
            self.abandon()
            return None
        self.capture.uplink.close_at = now
        self._open.append(turn)
        self.start_soon(self._see_through, turn)
        self.on_block()
        return turn

    def forget(self, turn: KeyedTurn) -> None:
        """Nobody wants an answer to this turn any more."""
        turn.is_wanted = False
        self.turns.forget(turn.request)

    def on_block(self) -> None:
        """Look whether the released turn is complete: the microphone has given another block."""
        turn = self._turn
        if turn is not None and self.capture.captured_until >= turn.released_at:
            self._commit(turn)

    def abandon(self) -> None:
        """Drop the turn whose sound is being captured: it was a tap, or nobody is going to release the key."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self.capture.release()
        if not self.capture.uplink.continuous:
            self.send(events.InputAudioBufferClear())
        self.turns.release_floor()
        turn.captured.set()

    def end(self, reason: Exception) -> None:
        """The session is over."""
        for turn in self._open:
            turn.item_id.break_(reason)

    def _commit(self, turn: KeyedTurn) -> None:
        """Make what was captured an item, unless there is too little of it: the microphone was muted."""
        if self.capture.spoken_ms < _LEAST_MS:
            self.abandon()
            return
        self._turn = None
        self.capture.release()
        now = trio.current_time()
        self.turns.release_key(min(turn.released_at, now), now)
        if turn.is_wanted:
            self.turns.owe(turn.request, ())  # before the floor is free: whatever else is owed shares the answer
        commit = events.InputAudioBufferCommit()
        turn.commit = self.calls.follow("commit", commit, self.send(commit))
        turn.captured.set()

    async def _see_through(self, turn: KeyedTurn) -> None:
        with trio.move_on_after(_TAIL_SECONDS):
            await turn.captured.wait()
        if self._turn is turn:
            self._commit(turn)
        try:
            turn.item_id.keep(None if turn.commit is None else await self.calls.outcome(turn.commit))
        except (RealtimeError, trio.ClosedResourceError) as error:
            self.forget(turn)
            if self._turn is None:
                self.turns.release_floor()
            turn.item_id.break_(error)
        finally:
            self._open.remove(turn)
