"""Whose turn it is to speak: the user's, promised to a response that the server will start by itself, or nobody's.

Who speaks when it is nobody's is decided in `core.arbiter`.
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

__all__ = ["FLOOR_SECONDS", "PROMISE_SECONDS", "Floor"]

FLOOR_SECONDS = 60.0
"""The longest that the user keeps the floor when nothing tells that they stopped."""

PROMISE_SECONDS = 2.0
"""How long the slot is kept for the response that turn detection announces."""


class Floor:
    """The user's floor and the server's promise, as told by the events of the input audio buffer.

    Attributes:
        detection: What the configuration in effect says about turns.
    """

    def __init__(self) -> None:
        self.detection = Detection()
        self._taken_until = -math.inf
        self._promised_until = -math.inf
        self._by_key = False

    def is_promised(self, now: float) -> bool:
        """Whether a response that the server starts by itself is expected."""
        return now < self._promised_until

    @property
    def deadline(self) -> float:
        """From when on it is nobody's, if no event comes; -inf if nothing was said about it."""
        return max(self._taken_until, self._promised_until)

    def take(self, now: float, *, by_key: bool = False) -> None:
        """Give the floor to the user, from now for 60 s at most.

        Args:
            now: The time.
            by_key: The user holds a key down to speak. Then it is theirs until it is taken again or freed: no event
                of the server's knows better, least of all the answers to what the key itself has sent.
        """
        self._taken_until = math.inf if by_key else now + FLOOR_SECONDS
        self._by_key = by_key

    def free(self) -> None:
        """Take the floor from the user."""
        self._taken_until = -math.inf
        self._by_key = False

    def keep_promise(self) -> None:
        """Note that the promised response came, or that it cannot come any more."""
        self._promised_until = -math.inf

    def handle(self, event: ServerEvent, now: float) -> None:
        """Follow one server event.

        Args:
            event: Any event; most change nothing.
            now: When it came, in seconds.
        """
        match event:
            case InputAudioBufferSpeechStarted():
                self.take(now)
            case InputAudioBufferSpeechStopped() | InputAudioBufferTimeoutTriggered():
                self.free()
                if self.detection.creates:
                    self._promised_until = now + PROMISE_SECONDS
            case InputAudioBufferCommitted() | InputAudioBufferCleared() if not self._by_key:
                self.free()
            case SessionCreated(session=session) | SessionUpdated(session=session):
                self._configure(session)
            case _:
                pass

    def _configure(self, session: object) -> None:
        before, self.detection = self.detection, self.detection.after(session)
        if self.detection is before:
            return  # the server shows only a part of its configuration, and nothing of this
        if self.detection.is_on == self._by_key:
            # turn detection is off, so nobody will tell when the speech ends; or it is on, and no key counts any more
            self.free()
        if not self.detection.creates:
            self.keep_promise()
