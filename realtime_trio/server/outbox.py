"""What the protocol wants done: events to send and effects for its driver, in order; and the ids of what it makes.

A driver (in `driver`) empties it after every input. Nothing here knows Trio.
"""

import itertools
import secrets
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

from realtime_trio import events
from realtime_trio.server.problems import Problem

__all__ = [
    "CallTool",
    "Close",
    "Effect",
    "ListTools",
    "NewId",
    "Outbox",
    "Overhear",
    "Recognise",
    "StartResponse",
    "StopCall",
    "StopResponse",
    "TellLater",
    "random_ids",
]

_LONGEST_EVENT_ID = 512

NewId: TypeAlias = Callable[[str], str]
"""Makes a new id of that kind, for example `item_...` for `"item"`."""


def random_ids() -> NewId:
    """Make ids that are unique in the world and, for the readers of logs, count up within a session."""
    stem = secrets.token_hex(6)
    counter = itertools.count(1)
    return lambda kind: f"{kind}_{stem}{next(counter):06d}"


@attrs.frozen
class StartResponse:
    """Have the brain answer; ask the protocol for its `brain_request` once these items were heard.

    Attributes:
        response_id: The response.
        modality: Whether it is spoken.
        voice: The voice in force.
        speed: How fast it speaks.
        hear_first: Items whose recognition is still under way and that belong to the context.
        number: Which of the session's responses it is, from 1.
        list_first: Items of listings of MCP servers that it waits for.
    """

    response_id: str
    modality: Literal["audio", "text"]
    voice: str
    speed: float
    hear_first: tuple[str, ...]
    number: int = 1
    list_first: tuple[str, ...] = ()


@attrs.frozen
class StopResponse:
    """A response has ended; nothing more is wanted of its brain and voice."""

    response_id: str


@attrs.frozen
class Recognise:
    """Have the recogniser hear a user's turn; hand the result to the protocol's `heard`."""

    item_id: str
    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")


@attrs.frozen
class TellLater:
    """Call the protocol's `tell_transcript` after that many seconds: the session is one whose transcripts are late."""

    item_id: str
    seconds: float


@attrs.frozen
class Overhear:
    """Have the recogniser hear what a user has said so far; hand the result to the protocol's `overheard`."""

    pause: int
    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")


@attrs.frozen
class ListTools:
    """Ask an MCP server for its tools; hand them to the protocol's `tools_listed`."""

    item_id: str
    server_label: str


@attrs.frozen
class CallTool:
    """Call an MCP server's tool; hand the outcome to the protocol's `tool_called`."""

    item_id: str
    server_label: str
    name: str
    arguments: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")


@attrs.frozen
class StopCall:
    """Nothing more is wanted of a call."""

    item_id: str


@attrs.frozen
class Close:
    """Close the connection after everything before it was sent."""

    code: int
    reason: str


Effect: TypeAlias = (
    StartResponse | StopResponse | Recognise | Overhear | TellLater | ListTools | CallTool | StopCall | Close
)


class Outbox:
    """Collects events and effects until the driver takes them.

    Attributes:
        new_id: Makes ids.
    """

    def __init__(self, new_id: NewId) -> None:
        self.new_id = new_id
        self._events: list[events.ServerEvent] = []
        self._effects: list[Effect] = []

    def event_id(self) -> str:
        """Make the id of an event."""
        return self.new_id("event")

    def send(self, event: events.ServerEvent) -> None:
        """Have an event sent."""
        self._events.append(event)

    def report(self, problem: Problem, client_event_id: object) -> None:
        """Have an error sent.

        Args:
            problem: What went wrong.
            client_event_id: The `event_id` of the client event at fault, whatever the client put there.
        """
        echo = problem.echo and isinstance(client_event_id, str) and len(client_event_id) <= _LONGEST_EVENT_ID
        self.send(
            events.Error(
                event_id=self.event_id(),
                error=events.ErrorDetails(
                    type=problem.type,
                    code=problem.code,
                    message=problem.message,
                    param=problem.param,
                    event_id=str(client_event_id) if echo else None,
                ),
            )
        )

    def do(self, effect: Effect) -> None:
        """Have something done."""
        self._effects.append(effect)

    def take_events(self) -> list[events.ServerEvent]:
        """Take the events, oldest first."""
        taken, self._events = self._events, []
        return taken

    def take_effects(self) -> list[Effect]:
        """Take the effects, oldest first."""
        taken, self._effects = self._effects, []
        return taken
