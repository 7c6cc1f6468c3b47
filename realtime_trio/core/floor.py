"""Whose turn it is to speak: the user's, promised to a response that the server will start by itself, or nobody's.

The table of it is in `core.floor_states`. Who speaks when it is nobody's is decided in `core.arbiter`.
"""

import math

from realtime_trio.events import (
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

from .detection import Detection
from .floor_states import FIRST, TRANSITIONS, State, Trigger

__all__ = ["FLOOR_SECONDS", "PROMISE_SECONDS", "Floor"]

FLOOR_SECONDS = 60.0
"""The longest that the user keeps the floor when nothing tells that they stopped."""

PROMISE_SECONDS = 2.0
"""How long the slot is kept for the response that turn detection announces."""

_LASTS: dict[State, float] = {
    "nobody's": -math.inf,
    "the user's": FLOOR_SECONDS,
    "the key's": math.inf,
    "promised": PROMISE_SECONDS,
}


class Floor:
    """The user's floor and the server's promise, as told by the events of the input audio buffer.

    Attributes:
        detection: What the configuration in effect says about turns.
        state: Whose it is.
        deadline: From when on it is nobody's, if no event comes; -inf if it is nobody's now.
    """

    def __init__(self) -> None:
        self.detection = Detection()
        self.state: State = FIRST
        self.deadline = -math.inf
        self._is_cut_off = False  # the user was speaking when the link was lost

    def is_promised(self, now: float) -> bool:
        """Whether a response that the server starts by itself is expected."""
        return self.state == "promised" and now < self.deadline

    def take(self, now: float, *, by_key: bool = False) -> None:
        """Give the floor to the user, from now for 60 s at most.

        Args:
            now: The time.
            by_key: The user holds a key down to speak. Then it is theirs until it is taken again or freed: no event
                of the server's knows better, least of all the answers to what the key itself has sent.
        """
        self._move("key pressed" if by_key else "held", now)

    def free(self) -> None:
        """Take the floor from the user."""
        self._move("let go")

    def keep_promise(self) -> None:
        """Note that the promised response came, or that it cannot come any more."""
        self._move("response created")

    def lose_link(self) -> None:
        """Note that the link is lost: only a key, which is held down here, keeps the floor."""
        self._is_cut_off = self.state == "the user's"
        self._move("link lost")

    def regain_link(self, now: float) -> None:
        """Note that there is a new link. Its turn detection is sent again what was being said, and needs a moment."""
        if self._is_cut_off and self.detection.is_on:
            self._move("speech sent again", now)
        elif self.state == "the user's":
            self.take(now)  # spoken by key meanwhile: the commit is sent only now

    def pass_time(self, now: float) -> None:
        """Let time decide what it decides."""
        if now >= self.deadline > -math.inf:
            self._move("time is up")

    def handle(self, event: ServerEvent, now: float) -> None:
        """Follow one server event.

        Args:
            event: Any event; most change nothing.
            now: When it came, in seconds.
        """
        self.pass_time(now)
        match event:
            case InputAudioBufferSpeechStarted():
                self._move("speech started", now)
            case InputAudioBufferSpeechStopped() | InputAudioBufferTimeoutTriggered():
                self._move("speech stopped, to be answered" if self.detection.creates else "speech stopped", now)
            case InputAudioBufferCommitted() | InputAudioBufferCleared():
                self._move("committed or cleared", now)
            case SessionCreated(session=session) | SessionUpdated(session=session):
                self._configure(session, now)
            case _:
                pass

    def _move(self, trigger: Trigger, now: float = -math.inf) -> None:
        after = TRANSITIONS.get((self.state, trigger))
        if after is not None:
            self.state = after
            self.deadline = now + _LASTS[after]

    def _configure(self, session: object, now: float) -> None:
        before, self.detection = self.detection, self.detection.after(session)
        if self.detection is before:
            return  # the server shows only a part of its configuration, and nothing of this
        self._move("detection on" if self.detection.is_on else "detection off", now)
        if not self.detection.creates:
            self._move("no more answers", now)
