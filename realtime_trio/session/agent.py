"""Who is speaking: instructions, tools and a voice as one value.

How a session changes from one to the other is in `handovers.py`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from realtime_trio import events
from realtime_trio.core.border import as_tuple, check_text
from realtime_trio.errors import ConfigurationError

__all__ = ["Agent", "Handover"]


def _as_tools(given: Iterable[Any]) -> tuple[Any, ...]:
    return as_tuple("an agent's tools are a list of functions", given, cure="tools=[...]")


@attrs.frozen
class Agent:
    """A role that the model plays, for `open_session(agent=...)` and `Session.become`. It is just a value.

    Attributes:
        name: What it is called, for your program: the model is not told.
        instructions: What the model is told to be. They are all that it is told: `""` leaves it without.
        tools: What it may call: functions, `Tool`s, `events.McpTool`s.
        voice: The voice it speaks with; None for the one that there is. Once something was spoken in a session, its
            voice can not be changed any more.
        greeting: What the model is told so that it speaks first when it takes over, for example `"Say your name."`;
            None to let the user begin. It is dropped when another takes over before it was begun.

    Raises:
        ConfigurationError: A value is of the wrong kind.
    """

    name: str
    instructions: str = attrs.field(default="", repr=False)
    tools: tuple[Callable[..., Any] | events.McpTool, ...] = attrs.field(default=(), converter=_as_tools, repr=False)
    voice: str | None = None
    greeting: str | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        check_text("an agent's name", self.name, empty=False)
        check_text(f"the instructions of {self.name!r}", self.instructions)
        for one in self.tools:
            if not (callable(one) or isinstance(one, events.McpTool)):
                raise ConfigurationError(
                    f"a tool of {self.name!r} is a function, a Tool or an events.McpTool, not {type(one).__name__}"
                )
        for what, value in (("voice", self.voice), ("greeting", self.greeting)):
            if value is not None:
                check_text(f"the {what} of {self.name!r}", value, empty=False)


@attrs.frozen
class Handover:
    """One agent took over from another.

    Attributes:
        agent: The one that speaks from now on.
        previous: The one that spoke before; None if there was none.
        voice_changed: Whether the voice is another one now. It is not where both have the same, and not after something
            was spoken: then `VoiceKept` says so.
    """

    agent: Agent
    previous: Agent | None
    voice_changed: bool
