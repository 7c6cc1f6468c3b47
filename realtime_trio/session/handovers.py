"""Handing a session over from one agent to the next: one acknowledged update, and what changes with it.

Theory of operation. What is to be changed is found out when it is the update's turn to be sent, so that it is said
against what is in effect then; two handovers at once come one after the other. The agent and its tools change in the
moment in which the server's answer is read, before any later event is: a response that is created afterwards belongs
to the new agent, and one that was created before keeps the tools that it was offered.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs

from realtime_trio import events
from realtime_trio.core.conversation import Conversation
from realtime_trio.errors import ServerError

from .agent import Agent, Handover
from .inside import Inside
from .notices import HandedOver, Notice, VoiceKept
from .settings import session_settings
from .tool_calls import ToolCalls
from .tool_set import ToolSet

__all__ = ["Handovers"]

_VOICE_IS_FIXED = "cannot_update_voice"


class _Call(Protocol):
    """How an update is sent: `Engine.call`."""

    def __call__(
        self, kind: Any, event: Callable[[], events.ClientEvent], *, then: Callable[[Any], object]
    ) -> Awaitable[Any]: ...


@attrs.define(eq=False, repr=False)
class Handovers(Inside):
    """Who speaks in a session.

    Attributes:
        call: Sends an update and waits for its acknowledgement.
        config: Gives the configuration in effect.
        conversation: Knows whether something was spoken.
        tool_calls: Has the tools.
        greet: Has the model speak first, if it is still wanted when it may speak.
        publish: Takes notices.
        agent: The one that speaks; None as long as there is none.
    """

    call: _Call
    config: Callable[[], events.RealtimeSession]
    conversation: Conversation
    tool_calls: ToolCalls
    greet: Callable[[str, Callable[[], bool] | None], object]
    publish: Callable[[Notice], None]
    agent: Agent | None = None
    _taken_over: int = attrs.field(default=0, init=False)  # how often

    def begin(self, greeting: str) -> None:
        """Have the model speak first in the session. A greeting of the agent's is not said by the next one."""
        if self.agent is not None and greeting == self.agent.greeting:
            self._greet(greeting)
        else:
            self.greet(greeting, None)

    async def become(self, agent: Agent, tools: ToolSet) -> Handover:
        """Hand over; see `Session.become`.

        Args:
            agent: Who is to speak.
            tools: Made of its tools.

        Cancellation:
            What was sent stays sent, and takes effect when the server acknowledges it.
        """
        try:
            return await self._become(agent, tools, with_voice=True)
        except ServerError as error:
            if error.code != _VOICE_IS_FIXED:
                raise
        return await self._become(agent, tools, with_voice=False)  # something was spoken while it was under way

    async def _become(self, agent: Agent, tools: ToolSet, *, with_voice: bool) -> Handover:
        before: list[object] = []
        done: list[Handover] = []

        def update() -> events.ClientEvent:
            before.append(voice_of(self.config()))
            voice = agent.voice if with_voice and not self.conversation.has_spoken else None
            return events.SessionUpdate(session=_changes(self.config(), agent, tools, voice))

        def take_over(_: object) -> None:
            voice = voice_of(self.config())
            handover = Handover(agent, self.agent, voice_changed=voice != before[-1])
            is_other = agent != self.agent
            self._taken_over += is_other
            self.agent = agent
            self.tool_calls.use(tools)
            self.publish(HandedOver(handover))
            if agent.voice is not None and voice != agent.voice:
                self.publish(VoiceKept(str(voice), agent.voice))
            if is_other and agent.greeting is not None and not self.tool_calls.owes_reply:
                self._greet(agent.greeting)
            done.append(handover)

        await self.call("update", update, then=take_over)
        return done[-1]

    def _greet(self, greeting: str) -> None:
        """Have the agent greet, unless another took over before it could begin."""
        now = self._taken_over
        self.greet(greeting, lambda: self._taken_over == now)


def voice_of(config: events.RealtimeSession) -> object:
    """The voice of a configuration; UNSET if it has none."""
    output = config.audio.output if config.audio else events.UNSET
    return output.voice if output else events.UNSET


def _changes(config: events.RealtimeSession, agent: Agent, tools: ToolSet, voice: str | None) -> events.RealtimeSession:
    """Say only what is to be another: everything else, the formats of the audio included, is left alone."""
    changes: dict[str, Any] = {}
    if config.instructions != agent.instructions:
        changes["instructions"] = agent.instructions
    definitions = tools.definitions()
    if (config.tools or []) != definitions:
        changes["tools"] = definitions
        if not _is_possible(config.tool_choice, definitions):
            changes["tool_choice"] = "auto"
    if voice is not None and voice != voice_of(config):
        changes["voice"] = voice
    return session_settings(**changes)


def _is_possible(choice: events.ToolChoice | events.UnsetType | None, tools: list[events.Tool]) -> bool:
    """Tell whether a choice can still be made; if not, the server would refuse the tools."""
    match choice:
        case "required":
            return bool(tools)
        case events.ToolChoiceFunction(name=name):
            return any(isinstance(one, events.FunctionTool) and one.name == name for one in tools)
        case events.ToolChoiceMcp(server_label=label):
            return any(isinstance(one, events.McpTool) and one.server_label == label for one in tools)
        case _:
            return True
