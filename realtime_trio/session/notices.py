"""What happens in a session beside the wire's events; delivered by `Session.events()` in the order it happened."""

from typing import Literal, TypeAlias

import attrs

from realtime_trio.core.interruption import Interruption
from realtime_trio.core.mcp import McpCallFailed, McpCallFinished, McpCallStarted, McpListed, McpListingFailed
from realtime_trio.errors import RemoteProtocolError

from .account_notices import BudgetSpent, BudgetWarning, ResponseNotCompleted
from .agent import Handover
from .link_notices import LinkLost, Reconnected
from .recording_notice import RecordingStopped

__all__ = [
    "ApprovalNeeded",
    "ApprovalRequest",
    "AudioDropped",
    "BudgetSpent",
    "BudgetWarning",
    "DeviceChanged",
    "EchoNotCancelled",
    "GuardFailed",
    "Guarded",
    "HandedOver",
    "Interrupted",
    "LinkLost",
    "McpCallFailed",
    "McpCallFinished",
    "McpCallStarted",
    "McpListed",
    "McpListingFailed",
    "NotAnEvent",
    "Notice",
    "Paused",
    "Reconnected",
    "RecordingStopped",
    "ReplyLost",
    "ResponseNotCompleted",
    "Resumed",
    "ToolCancelled",
    "ToolDetached",
    "ToolFailed",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "VoiceKept",
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
class ApprovalRequest:
    """A call that may not run before somebody agrees.

    Attributes:
        id: What `Session.approve` and `Session.refuse` are given: a function's call id, or the id of the server's item.
        kind: `"function"` for a tool that this program runs, `"mcp"` for one of a hosted MCP server.
        name: The tool.
        arguments: The arguments as the model wrote them: JSON text, not validated.
        server_label: The MCP server; None for a function.
    """

    id: str
    kind: Literal["function", "mcp"]
    name: str
    arguments: str = attrs.field(repr=False)
    server_label: str | None = None


@attrs.frozen
class ApprovalNeeded:
    """A call waits for `Session.approve` or `Session.refuse`, because there is no hook that decides.

    Attributes:
        request: What is to be decided.
    """

    request: ApprovalRequest


@attrs.frozen
class ToolStarted:
    """A tool call begins to run: it is approved, if that was needed, and its turn has come.

    Attributes:
        call_id: The call, as the server names it.
        name: The tool.
        arguments: The arguments as the model wrote them: JSON text, not validated yet.
    """

    call_id: str
    name: str
    arguments: str = attrs.field(repr=False)


@attrs.frozen
class ToolProgress:
    """A tool tells how far it is.

    Attributes:
        call_id: The call.
        name: The tool.
        text: Its words.
    """

    call_id: str
    name: str
    text: str


@attrs.frozen
class ToolCancelled:
    """A tool call was cancelled before it had a result; it may not even have begun.

    Attributes:
        call_id: The call.
        name: The tool.
        reason: `"speech_started"`, `"pressed"` or `"requested"`: what interrupted it, and `ToolFinished` follows when
            the model was told. `"session_ended"`: nothing can be told to the model any more.
    """

    call_id: str
    name: str
    reason: str


@attrs.frozen
class ToolDetached:
    """A tool call goes on in the background, because it was interrupted. `ToolFinished` or `ToolFailed` follows.

    Attributes:
        call_id: The call.
        name: The tool.
    """

    call_id: str
    name: str


@attrs.frozen
class ToolFinished:
    """The model was told what a tool call came to: the server has acknowledged it.

    Attributes:
        call_id: The call.
        name: The tool.
        output: What the model was given; for a call in the background, what it was told in the end.
    """

    call_id: str
    name: str
    output: str = attrs.field(repr=False)


@attrs.frozen
class ToolFailed:
    """Something went wrong with a tool call, and the session goes on.

    The tool raised, or took too long, or the approval hook raised: the model is given an error text. Or the server did
    not take the output.

    Attributes:
        call_id: The call.
        name: The tool.
        exception: What was raised, with its traceback; `ToolTimeout`; or why the output is lost.
    """

    call_id: str
    name: str
    exception: Exception


@attrs.frozen
class Guarded:
    """The guard stopped a response before it was heard any further; `Interrupted` follows, and tells what was heard.

    Attributes:
        response_id: The response.
        item_id: Its item.
        reason: What the guard said.
        text: The words that were judged, all of the part so far.
        passed: Those of them that had passed before.
    """

    response_id: str
    item_id: str
    reason: str
    text: str
    passed: str


@attrs.frozen
class GuardFailed:
    """The guard raised, or did not answer in time: its response is stopped, since nothing unjudged is heard.

    Attributes:
        response_id: The response.
        item_id: Its item.
        exception: What it raised, with its traceback; `trio.TooSlowError` when it took too long.
    """

    response_id: str
    item_id: str
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


@attrs.frozen
class HandedOver:
    """Another agent speaks from the next response on.

    Attributes:
        handover: Which, and which one did before.
    """

    handover: Handover


@attrs.frozen
class VoiceKept:
    """An agent took over that has a voice of its own, and the one that was heard before stays: the API demands it.

    Attributes:
        voice: The voice that there is.
        wanted: The agent's.
    """

    voice: str
    wanted: str


Notice: TypeAlias = (
    Interrupted
    | Paused
    | Resumed
    | DeviceChanged
    | EchoNotCancelled
    | Guarded
    | GuardFailed
    | NotAnEvent
    | ReplyLost
    | ApprovalNeeded
    | ResponseNotCompleted
    | BudgetWarning
    | BudgetSpent
    | ToolStarted
    | ToolProgress
    | ToolCancelled
    | ToolDetached
    | ToolFinished
    | ToolFailed
    | McpListed
    | McpListingFailed
    | McpCallStarted
    | McpCallFinished
    | McpCallFailed
    | AudioDropped
    | HandedOver
    | VoiceKept
    | LinkLost
    | Reconnected
    | RecordingStopped
)
"""Everything that `Session.events()` delivers besides the server's events."""
