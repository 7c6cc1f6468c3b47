"""What happens in a session beside the wire's events; delivered by `Session.events()` in the order it happened."""

from typing import Literal, TypeAlias

import attrs

from realtime_trio.core.interruption import Interruption
from realtime_trio.errors import RemoteProtocolError

__all__ = [
    "AudioDropped",
    "DeviceChanged",
    "EchoNotCancelled",
    "Interrupted",
    "NotAnEvent",
    "Notice",
    "Paused",
    "ReplyLost",
    "Resumed",
    "ToolFailed",
    "ToolFinished",
    "ToolStarted",
]


@attrs.frozen
class Interrupted:
    """A response was interrupted, and the server has been told what was heard.

    Attributes:
        interruption: The reason, and for each audio part what was heard, what came out, and what had been received.
    """

    interruption: Interruption


@attrs.frozen
class Paused:
    """With `interruption="confirm"`: something was heard, and the sound waits until it is known whether it is meant.

    `Interrupted` or `Resumed` follows.

    Attributes:
        item_id: The item that the sound will become.
        judged_by: `"words"` when its transcript is waited for if it is short, `"duration"` without transcription.
    """

    item_id: str
    judged_by: Literal["words", "duration"]


@attrs.frozen
class Resumed:
    """It was a noise, or only showed that somebody listens: the sound goes on from the sample at which it paused.

    It waits on when there is another doubt (`Paused`) without its verdict.

    Attributes:
        item_id: Its item, which is deleted; there may be none, when the input buffer was cleared.
    """

    item_id: str


@attrs.frozen
class DeviceChanged:
    """The sound hardware went away, or is there again. The session goes on; meanwhile the microphone is silent.

    Attributes:
        available: Whether there is hardware now.
        words: What happened, and what can be done.
    """

    available: bool
    words: str


@attrs.frozen
class EchoNotCancelled:
    """The echo is not taken out as it should be.

    There is no canceller, so the microphone is closed while something is played and nobody can interrupt; or the device
    does not say what it plays, so that the `echo` that was asked for can do nothing.

    Attributes:
        words: Which it is, and what can be done.
    """

    words: str


@attrs.frozen
class ToolStarted:
    """A tool call begins to run.

    Attributes:
        call_id: The call, as the server names it.
        name: The tool.
        arguments: The arguments as the model wrote them: JSON text, not validated yet.
    """

    call_id: str
    name: str
    arguments: str


@attrs.frozen
class ToolFinished:
    """A tool call has its output, which the server has acknowledged.

    Attributes:
        call_id: The call.
        name: The tool.
        output: What the model was given.
    """

    call_id: str
    name: str
    output: str


@attrs.frozen
class ToolFailed:
    """A tool raised and the model was given an error text; or the server did not take its output. The session goes on.

    Attributes:
        call_id: The call.
        name: The tool.
        exception: What it raised, with its traceback; or why its output is lost.
    """

    call_id: str
    name: str
    exception: Exception


@attrs.frozen
class AudioDropped:
    """The uplink was too slow: microphone audio was dropped before it was sent, oldest first.

    Attributes:
        ms: How much, in milliseconds, since the last such notice.
    """

    ms: int


@attrs.frozen
class NotAnEvent:
    """A message came that is no event: not a JSON object with a string `type`. It was left out; the session goes on.

    Attributes:
        problem: What was wrong with it.
    """

    problem: RemoteProtocolError


@attrs.frozen
class ReplyLost:
    """A reply that was owed and that no call waits for cannot be had: to `send_text`, or to the outputs of tools.

    Attributes:
        problem: Why: `ResponseFailed`, `ServerError` or `NotAcknowledged`.
    """

    problem: Exception


Notice: TypeAlias = (
    Interrupted
    | Paused
    | Resumed
    | DeviceChanged
    | EchoNotCancelled
    | NotAnEvent
    | ReplyLost
    | ToolStarted
    | ToolFinished
    | ToolFailed
    | AudioDropped
)
"""Everything that `Session.events()` delivers besides the server's events."""
