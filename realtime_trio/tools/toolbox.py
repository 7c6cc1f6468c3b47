"""A set of tools, and running one call of them to exactly one outcome. What that is stands in `realtime_trio.tools`."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import trio

from realtime_trio.core.border import as_tuple
from realtime_trio.errors import ConfigurationError, ToolError, redact
from realtime_trio.events import FunctionTool, McpTool
from realtime_trio.log_words import name_of
from realtime_trio.session import ToolContext, ToolPolicy
from realtime_trio.session.tool_words import sendable

from .declaring import Tool, tool

__all__ = ["DEFAULT_THREADS", "ToolOutcome", "Toolbox"]

DEFAULT_THREADS = 8
"""How many sync tools run at once: more than a model calls together, few enough that tools that hang cost little."""

_log = logging.getLogger("realtime_trio.tools")


@attrs.frozen
class ToolOutcome:
    """What one call came to."""

    output: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")
    """What the model is told."""

    failure: Exception | None = None
    """The exception, when the tool crashed. Not set when the call was the mistake, nor for a `ToolError`."""


class Toolbox(Mapping[str, Tool[..., Any]]):
    """The tools that a session offers: functions by name, and definitions of MCP servers that OpenAI's server calls.

    Args:
        tools: Each made by `tool`, or a plain function, which is taken as `tool(function)` would take it; or an
            `events.McpTool`.
        threads: How many of those that are not async may run at once; the others wait for a free thread, and their
            timeouts count on: the user waits too. A tool that was cancelled keeps its thread until it returns. Or a
            limiter, to share one with other things; a toolbox that two sessions are given has one limit. Trio's own
            (40, for the whole program) is not touched, so that tools which hang cannot stop the rest of it.

    Raises:
        ConfigurationError: Two of them have the same name, or one cannot be described or is bound to no object.
    """

    def __init__(
        self,
        tools: Iterable[Callable[..., Any] | McpTool] = (),
        *,
        threads: int | trio.CapacityLimiter = DEFAULT_THREADS,
    ) -> None:
        self._tools: dict[str, Tool[..., Any]] = {}
        self._definitions: list[FunctionTool | McpTool] = []
        self._threads = _limiter(threads)
        labels: set[str] = set()
        for given in as_tuple("tools is a list of tools", tools, cure="Toolbox([...])"):
            if isinstance(given, McpTool):
                if given.server_label in labels:
                    raise ConfigurationError(
                        f"two MCP servers have the label {given.server_label!r}: give one of them another server_label."
                    )
                labels.add(given.server_label)
                self._definitions.append(given)
            else:
                one = _as_tool(given)
                if one.name in self._tools:
                    raise ConfigurationError(
                        f"two tools have the name {one.name!r}: give one of them another, as in @tool(name='...'), or "
                        "those of an MCP server a prefix, open_mcp(..., prefix='...')."
                    )
                self._definitions.append(one.definition())
                self._tools[one.name] = one

    def __getitem__(self, name: str) -> Tool[..., Any]:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"<Toolbox {', '.join(self._tools) or 'without functions'}>"

    @property
    def tools(self) -> tuple[Tool[..., Any] | McpTool, ...]:
        """All of them, hosted ones too, in the order in which they were given: what another toolbox can be made of."""
        return tuple(self._tools[str(one.name)] if isinstance(one, FunctionTool) else one for one in self._definitions)

    @property
    def threads(self) -> trio.CapacityLimiter:
        """Limits how many tools run in threads at once."""
        return self._threads

    def definitions(self) -> list[FunctionTool | McpTool]:
        """Give all of them as the session's configuration wants them.

        Returns:
            A new list, in the order in which they were given.
        """
        return list(self._definitions)

    def policy(self, name: str) -> ToolPolicy:
        """Tell how a session runs the calls of a tool.

        Args:
            name: The tool.

        Returns:
            Its policy; the defaults for a name that is not there.
        """
        return self._tools[name].policy if name in self._tools else ToolPolicy()

    def check(self, dependencies: Sequence[object]) -> None:
        """See that every tool can be given what it wants, before a model can call it.

        Args:
            dependencies: What there is, as `open_session(dependencies=...)` takes it.

        Raises:
            ConfigurationError: One is missing, or two fit equally. The words say for which parameter, and the cure.
        """
        for one in self._tools.values():
            for injection in one.injections:
                if injection.kind == "dependency":
                    injection.choose(dependencies, one.name)

    async def run(self, name: str, arguments: str, *, context: ToolContext | None = None) -> ToolOutcome:
        """Run one call to its end, whatever that is.

        A crash is logged with its traceback on the logger `realtime_trio.tools`, never with the arguments. What the
        tool's policy says is not applied here: timeouts and the like are the session's.

        Args:
            name: The tool that the model calls.
            arguments: The JSON object that it wrote.
            context: The call. A test of a tool that asks for nothing of a session needs none.

        Returns:
            What the model is told, and the exception if the tool crashed.

        Cancellation:
            The call is cancelled. A tool that crashes while it is cancelled is logged.
        """
        call_id = "outside of a session" if context is None else name_of(context.call_id)
        found = self._tools.get(name)
        if found is None:
            there_is = f"There is: {', '.join(self._tools)}." if self._tools else "There are no tools."
            return ToolOutcome(sendable(f"Error: there is no tool named {name!r}. {there_is}"))
        begun = trio.current_time()
        _log.debug("tool %s begins (call %s)", name, call_id)
        try:
            output = sendable(await found.run(arguments, context=context, threads=self._threads))
        except ToolError as error:
            return ToolOutcome(sendable(redact(_text(error)) or "Error"))
        except Exception as error:  # noqa: BLE001  (a user's code: one of the two places for this)
            told = _told_by_tool(error)
            if told is not None:
                return ToolOutcome(sendable(redact(told)))
            _log.exception("tool %s crashed (call %s)", name, call_id)
            return ToolOutcome(sendable(redact(f"Error: {name} failed: {_words(error)}")), error)
        except BaseExceptionGroup as group:  # cancelled while something crashed: the cancellation has to pass on alone
            crashes, rest = group.split(Exception)
            if crashes is not None and rest is not None:
                _log.error("tool %s crashed while it was cancelled (call %s)", name, call_id, exc_info=crashes)
                raise rest from None
            raise
        seconds = trio.current_time() - begun
        _log.debug("tool %s gave %d characters after %.3f s (call %s)", name, len(output), seconds, call_id)
        return ToolOutcome(output)


def _as_tool(given: Any) -> Tool[..., Any]:
    if isinstance(given, Tool):
        return given
    if isinstance(given, FunctionTool):
        raise ConfigurationError(
            f"{given.name} is a definition without a function: Tool.from_schema(name, description, parameters, run)."
        )
    if not callable(given):
        raise ConfigurationError(f"a tool is a function, not {given!r}")
    return tool(given)


def _limiter(threads: object) -> trio.CapacityLimiter:
    if isinstance(threads, trio.CapacityLimiter):
        return threads
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ConfigurationError(f"threads is how many tools may run in threads at once, 1 or more, not {threads!r}")
    return trio.CapacityLimiter(threads)


def _told_by_tool(error: Exception) -> str | None:
    """Give the words of the `ToolError`s, when nothing else came out of a tool's own nursery."""
    if not isinstance(error, ExceptionGroup):
        return None
    others = error.split(ToolError)[1]
    return "; ".join(_text(one) for one in _leaves(error)) if others is None else None


def _words(error: Exception) -> str:
    """Name an exception in one line; a group by what is in it."""
    return "; ".join(": ".join(filter(None, (type(one).__name__, _text(one)))) for one in _leaves(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (a user's exception class may be broken too; the call gets its output all the same)
        return ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
