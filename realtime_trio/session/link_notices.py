"""What `Session.events()` tells of the connection below a session; `notices.py` has the rest."""

from typing import Literal

import attrs

from realtime_trio.core.seeds import LeftOut
from realtime_trio.errors import ConnectionClosed

__all__ = ["LinkLost", "Reconnected"]


@attrs.frozen
class LinkLost:
    """The connection is gone, and the session tries to get another. `Reconnected` follows, or the session ends.

    Attributes:
        problem: How it ended.
    """

    problem: ConnectionClosed


@attrs.frozen(kw_only=True)
class Reconnected:
    """Another connection carries the session. It has the configuration, the tools and the conversation.

    Attributes:
        reason: `"lost"`: the one before was lost. `"age"`: it was about to become too old, and was there until the end.
        attempts: How many it took.
        gap_ms: Milliseconds without a connection; 0 when it was replaced because of its age.
        restored: How many items of the conversation it was told.
        left_out: What of the conversation it could not be told; it stays in `Session.conversation`.
        asked_again: The responses that were being generated, and of which nobody heard anything: they are asked for
            once more.
        cut_off: The responses that were being generated and of which something was heard: they end where the old
            connection did.
        dropped_audio_ms: Milliseconds of the user's sound that are lost, because more came than is kept.
    """

    reason: Literal["lost", "age"]
    attempts: int
    gap_ms: int
    restored: int
    left_out: tuple[LeftOut, ...] = ()
    asked_again: tuple[str, ...] = ()
    cut_off: tuple[str, ...] = ()
    dropped_audio_ms: int = 0
