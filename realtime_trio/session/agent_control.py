"""The calls of a session that are about agents: who speaks, and who is to."""

from realtime_trio.errors import ConfigurationError

from .agent import Agent, Handover
from .tool_control import ToolControl
from .tool_set import ToolSet

__all__ = ["AgentControl"]


class AgentControl(ToolControl):
    """The part of `Session` by which a program decides who speaks."""

    @property
    def agent(self) -> Agent | None:
        """The agent that speaks: of `open_session(agent=...)`, or of the last `become`. None if there was none."""
        return self._engine.handovers.agent

    async def become(self, agent: Agent) -> Handover:
        """Hand over to another agent: its instructions and tools take the place of those that there are.

        The conversation is kept, and so is every other setting, but a `tool_choice` of a tool that the agent does not
        have: it becomes `"auto"`. The voice changes too, as long as nothing was spoken;
        afterwards the API does not allow it: the agent speaks with the voice that there is, and `VoiceKept` says so.
        What is being said goes on, and tools that run finish; calls of responses that began before still run.

        A tool may call it (`context.session.become(other)`): the reply to the tool's output is then the new agent's,
        which is not asked for its greeting as well; a call in the background is no reason to leave it out. Handovers at
        the same time come one after the other.

        Args:
            agent: Who is to speak from the next response on.

        Returns:
            What became of it, when the server has acknowledged it.

        Raises:
            ConfigurationError: It is no agent, or one of its tools is none; nothing was sent.
            ServerError: The server refused it; nothing was changed.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent, and takes effect when the server acknowledges it.
        """
        if not isinstance(agent, Agent):
            raise ConfigurationError(f"an agent is an Agent(...), not {type(agent).__name__}")
        return await self._engine.handovers.become(agent, ToolSet.of(agent.tools, self._make_tools))
