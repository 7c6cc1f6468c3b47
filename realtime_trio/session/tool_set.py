"""The tools that a session has at one time, and how one set of them becomes another.

What a tool is, only the edge knows (`realtime_trio.tools`): here they are values that a runner is made of.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from realtime_trio import events
from realtime_trio.core.border import as_tuple
from realtime_trio.errors import ConfigurationError

from .tool_runner import ToolRunner

__all__ = ["MakeTools", "ToolSet", "as_tools"]

MakeTools = Callable[[Iterable[Any] | ToolRunner], ToolRunner]
"""Makes a runner of tools, and sees that they can be given what they want; a runner stays as it is."""


@attrs.frozen
class ToolSet:
    """A set of tools.

    Attributes:
        runner: Runs their calls.
        given: What the runner was made of: one value for each of its definitions, in the same order. Nothing for a
            runner of the program's own, which nobody here can take apart.
        declared: Definitions that came with the configuration alone: nothing here runs their calls.
    """

    runner: ToolRunner
    given: tuple[Any, ...] = ()
    declared: tuple[events.Tool, ...] = ()

    @classmethod
    def of(cls, tools: object, make: MakeTools, *, declared: Iterable[events.Tool] = ()) -> "ToolSet":
        """Make a set of what a program gave.

        Args:
            tools: Tools, or what runs them.
            make: Makes what runs them.
            declared: Definitions from elsewhere, which count where there are no tools.

        Raises:
            ConfigurationError: One is none, or two have the same name, or one cannot be given what it wants.
        """
        tools = as_tools(tools)
        given = tuple(getattr(tools, "tools", ())) if isinstance(tools, ToolRunner) else tools
        runner = make(tools)
        return cls(runner, given, () if runner.definitions() else tuple(declared))

    def definitions(self) -> list[events.Tool]:
        """What the model is told of them."""
        return [*self.declared, *self.runner.definitions()]

    def adding(self, tools: Iterable[Any], make: MakeTools) -> "ToolSet":
        """Make a set that has these too.

        Raises:
            ConfigurationError: One is none, or has a name that there is, or the runner is the program's own.
        """
        self._check_parts()
        given = (*self.given, *tools)
        runner = make(given)
        declared = {_name(one) for one in self.declared}
        if doubled := sorted(declared.intersection(map(_name, runner.definitions()))):
            raise ConfigurationError(f"there is a tool {doubled[0]!r} already, from config=: remove it first")
        return ToolSet(runner, given, self.declared)

    def removing(self, names: Sequence[str], make: MakeTools) -> "ToolSet":
        """Make a set without these.

        Raises:
            ConfigurationError: There is none of such a name, or the runner is the program's own.
        """
        there = [_name(one) for one in self.definitions()]
        if missing := [name for name in names if name not in there]:
            there_is = f"There is: {', '.join(there)}." if there else "There are no tools."
            raise ConfigurationError(f"there is no tool named {', '.join(map(repr, missing))} to remove. {there_is}")
        self._check_parts()
        by_name = zip(map(_name, self.runner.definitions()), self.given, strict=True)
        given = tuple(one for name, one in by_name if name not in names)
        declared = tuple(one for one in self.declared if _name(one) not in names)
        return ToolSet(make(given), given, declared)

    def _check_parts(self) -> None:
        if len(self.given) != len(self.runner.definitions()):
            raise ConfigurationError(
                "the tools come from a runner of your own: change them there, and give it again, update(tools=runner)"
            )


def as_tools(tools: object) -> tuple[Any, ...] | ToolRunner:
    """Take several tools, or what runs them.

    Raises:
        ConfigurationError: It is neither, for example one tool alone.
    """
    if isinstance(tools, ToolRunner):
        return tools
    return as_tuple("tools is a list of tools", tools, cure="tools=[...]")


def _name(definition: events.Tool) -> str:
    """What a tool is called: a function by its name, an MCP server by its label."""
    return str(getattr(definition, "name", None) or getattr(definition, "server_label", ""))
