"""Looks at a session, as often as a screen is drawn: levels, echo, who speaks, what is going on.

It asks; nothing is told. What is said and done is told to `follower.py`.
"""

import math

import trio

from realtime_trio.session import Session, SoundState

from .follower import Follower
from .view_state import Board, Meter, Microphone, ViewState, phase_of

__all__ = ["Watch"]

_HINT_FOR = 8  # seconds until another hint stands first
_QUEUE_STEP = 100  # ms


class Watch:
    """Makes the picture of each moment.

    Args:
        session: What is looked at.
        follower: Knows what was said and done.
        board: Holds the lines of the talk.
        server: Whom the user talks to, in a few words.
        began_at: When the talk began; Trio time.
        hints: What the user may try to say.
        push_to_talk: Whether a key opens the microphone.
    """

    def __init__(
        self,
        session: Session,
        follower: Follower,
        board: Board,
        *,
        server: str,
        began_at: float,
        hints: tuple[str, ...] = (),
        push_to_talk: bool = False,
    ) -> None:
        self._session = session
        self._follower = follower
        self._board = board
        self._server = server
        self._began_at = began_at
        self._hints = hints
        self._push_to_talk = push_to_talk
        self._microphone = Meter()
        self._speaker = Meter()
        self._looked_at = began_at

    def look(self) -> ViewState:
        """Look at this moment."""
        now = trio.current_time()
        passed, self._looked_at = now - self._looked_at, now
        follower, sound = self._follower, self._session.sound()
        follower.mark_heard()
        user_speaks = sound.pressed or (follower.user_speaks and not sound.muted)
        assistant_speaks = follower.assistant_speaks and not sound.paused
        elapsed = int(now - self._began_at)
        silent = sound.muted or follower.lost
        return ViewState(
            server=self._server,
            elapsed_s=elapsed,
            phase=phase_of(
                lost=follower.lost,
                disconnected=follower.disconnected,
                paused=sound.paused,
                user_speaks=user_speaks,
                assistant_speaks=assistant_speaks,
                expected=follower.expected,
                muted=sound.muted,
                closed=self._push_to_talk and not sound.pressed,
                since_cut=now - follower.cut_at,
            ),
            user_speaks=user_speaks,
            assistant_speaks=assistant_speaks,
            microphone=self._microphone_state(sound),
            microphone_dbfs=self._microphone.feed(-math.inf if silent else sound.microphone_dbfs, passed),
            speaker_dbfs=self._speaker.feed(sound.speaker_dbfs, passed),
            queued_ms=round(sound.queued_ms / _QUEUE_STEP) * _QUEUE_STEP,
            echo=sound.echo,
            notice=follower.notice,
            entries=self._board.entries(),
            hints=self._hints_at(elapsed),
            push_to_talk=self._push_to_talk,
        )

    def _microphone_state(self, sound: SoundState) -> Microphone:
        if self._follower.lost:
            return "lost"
        if sound.muted:
            return "muted"
        if self._push_to_talk and not sound.pressed:
            return "closed"
        return "open" if sound.gate_open else "held back"

    def _hints_at(self, elapsed_s: int) -> tuple[str, ...]:
        """Let each hint come first for a while: a narrow screen shows but one."""
        first = elapsed_s // _HINT_FOR % max(len(self._hints), 1)
        return self._hints[first:] + self._hints[:first]
