"""What the session needs of a set of tools; `realtime_trio.tools.Toolbox` fulfils it, and a program's own may too."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from realtime_trio import events

from .tool_context import ToolContext
from .tool_policy import ToolPolicy

__all__ = ["ToolOutcome", "ToolRunner"]


class ToolOutcome(Protocol):
    """What running one call came to."""

    @property
    def output(self) -> str:
        """What the model is given: the result, or words about what went wrong."""
        ...

    @property
    def failure(self) -> Exception | None:
        """What the tool raised, if it crashed."""
        ...


@runtime_checkable
class ToolRunner(Protocol):
    """What the session needs of a set of tools. `realtime_trio.tools.Toolbox` is one."""

    def definitions(self) -> Sequence[events.FunctionTool | events.McpTool]:
        """What the model is told of them."""
        ...

    def policy(self, name: str) -> ToolPolicy:
        """How calls of this tool are to be run; `ToolPolicy()` for a name that it does not know."""
        ...

    async def run(self, name: str, arguments: str, *, context: ToolContext) -> ToolOutcome:
        """Run one call. Whatever happens, bar cancellation, becomes an outcome.

        Args:
            name: The tool that the model named.
            arguments: JSON text as the model wrote it.
            context: The call, for the tool's own use.

        Cancellation:
            The tool is cancelled, and there is no outcome.
        """
        ...
