"""Functions that a model may call: declaring one with `@tool`, and running one call safely.

How a signature becomes a JSON Schema stands in `realtime_trio.tool_schema`. When a call runs, in which scope, and how
its output reaches the model is the session's business: `Toolbox` is the runner that the session is given.

What a call comes to, always exactly one of:

| the call | the model is told | `ToolOutcome.failure` |
|---|---|---|
| returns | the result: a `str` as it is, anything else as JSON | None |
| raises `ToolError` | the error's own words | None |
| names an unknown tool, or has bad arguments | what is wrong, and what there is | None |
| raises anything else, or returns what JSON cannot hold | that it failed: class and words, redacted | the exception |
| is cancelled | nothing: `trio.Cancelled` and `KeyboardInterrupt` pass | |
"""

import inspect
import logging
import sys
import types
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import attrs
import msgspec
import trio

from .errors import ConfigurationError, ToolError, redact
from .events import FunctionTool
from .session.tool_context import ToolContext
from .session.tool_policy import ToolPolicy
from .tool_schema import Signature, read_signature

__all__ = ["Tool", "ToolOutcome", "Toolbox", "tool"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Owner = TypeVar("Owner")

_log = logging.getLogger(__name__)


class Tool(Generic[P, R]):
    """A function together with what a model is told of it. Made by `tool`.

    It is called like the function itself. In a class it is a method: what is reached through an object is bound to it.
    """

    __name__: str  # like __doc__ and __wrapped__, those of the function

    def __init__(self, function: Callable[P, R], signature: Signature) -> None:
        self._function = function
        self._signature = signature
        update_wrapper(self, function)

    @property
    def name(self) -> str:
        """The name by which the model calls it."""
        return self._signature.name

    @property
    def description(self) -> str:
        """What the model is told that it does; empty when nobody said."""
        return self._signature.description

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON Schema of the object that holds its arguments."""
        return self._signature.parameters

    def definition(self) -> FunctionTool:
        """Give it as the session's configuration wants it.

        Returns:
            A value for `tools` in `session.update` or `response.create`.

        Raises:
            ConfigurationError: It is a method that is bound to no object.
        """
        self._require_bound()
        if not self.description:
            return FunctionTool(name=self.name, parameters=self.parameters)
        return FunctionTool(name=self.name, description=self.description, parameters=self.parameters)

    async def run(self, arguments: str) -> str:
        """Check the arguments, call the function, and encode what it returns.

        A function that is not async runs in a worker thread.

        Args:
            arguments: The JSON object that the model wrote. Nothing at all counts as an object without members.

        Returns:
            The text for the model: a `str` as it is, `"done"` where a function declared `-> None` returns, else JSON.

        Raises:
            ToolError: The arguments do not fit, in words for the model; or the function says so itself.
            Exception: Whatever else the function raises.
            TypeError: The function returned what JSON cannot hold.

        Cancellation:
            An async function is cancelled where it waits. A function in a thread is left alone to finish, unheard.
        """
        self._require_bound()
        call: Callable[..., Any] = partial(self._function, **self._decoded(arguments))
        if inspect.iscoroutinefunction(call):
            result = await call()
        else:
            # in a list, because Trio refuses what looks like a forgotten await: here it is an async function in
            # the disguise of a plain callable, such as an object with an async __call__
            (result,) = await trio.to_thread.run_sync(lambda: [call()], abandon_on_cancel=True)
            if isinstance(result, Awaitable):
                result = await result
        return self._encoded(result)

    def _decoded(self, arguments: str) -> dict[str, Any]:
        try:
            decoded = msgspec.json.decode(arguments.strip() or "{}", type=self._signature.arguments, strict=True)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ToolError(f"Error: the arguments of {self.name} do not fit: {error}. Correct them.") from error
        given = ((field, getattr(decoded, field)) for field in decoded.__struct_fields__)
        return {field: value for field, value in given if value is not msgspec.UNSET}

    def _encoded(self, result: Any) -> str:
        if isinstance(result, str):
            return result
        if result is None and _declares_none(self._function):
            return "done"  # it did its work; "null" would read as if nothing had been found
        return msgspec.json.encode(result).decode()

    def _require_bound(self) -> None:
        if self._signature.is_method:
            raise ConfigurationError(
                f"{self.name}() is a method: give the one of an object, as in tools=[my_object.{self.name}]. "
                "(If it is meant to be none, annotate its first parameter.)"
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself: nothing is checked, encoded or moved to a thread."""
        return self._function(*args, **kwargs)

    @overload
    def __get__(self, owner: None, kind: type) -> "Tool[P, R]": ...
    @overload
    def __get__(self: "Tool[Concatenate[Owner, Q], R]", owner: Owner, kind: type | None = None) -> "Tool[Q, R]": ...
    def __get__(self, owner: Any, kind: type | None = None) -> "Tool[Any, R]":
        if owner is None or not self._signature.is_method:
            return self
        return Tool(types.MethodType(self._function, owner), attrs.evolve(self._signature, is_method=False))

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"


@overload
def tool(function: Callable[P, R], /, *, name: str | None = None, description: str | None = None) -> Tool[P, R]: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, description: str | None = None
) -> Any:
    """Make a function a tool that a model can call, from its signature and its docstring.

    Use it bare (`@tool`), with options (`@tool(name="weather")`), or as a function (`tool(account.balance)`). The
    function may be async or not; it stays callable as before. Each parameter needs a type. Its meaning may stand in
    the docstring (in Google's, numpy's or reST's manner) or in the annotation: `Annotated[str, "Name of the city"]`,
    `Annotated[int, msgspec.Meta(ge=1, description="How many")]`. Arguments are checked against the types before the
    function runs; unknown ones are refused.

    Args:
        function: The function, when used without parentheses.
        name: What the model calls it, instead of the function's own name.
        description: What the model is told that it does, instead of the docstring's words.

    Returns:
        The tool; with options alone, a decorator that makes one.

    Raises:
        ConfigurationError: The function cannot be described to a model. The words say which parameter, and the cure.
    """
    names = _local_names(sys._getframe(1))  # noqa: SLF001  (string annotations may name what is defined beside it)

    def make(function: Callable[..., Any]) -> Tool[..., Any]:
        if isinstance(function, Tool):
            function = function._function  # noqa: SLF001
        return Tool(function, read_signature(function, name=name, description=description, names=names))

    return make if function is None else make(function)


def _local_names(frame: types.FrameType | None) -> dict[str, Any]:
    """Collect what a function or class body can see that is not global, the innermost first."""
    names: dict[str, Any] = {}
    while frame is not None and frame.f_locals is not frame.f_globals:
        names = {**frame.f_locals, **names}
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function; the body of a class has its surroundings below
            break
        frame = frame.f_back
    return names


def _declares_none(function: Callable[..., Any]) -> bool:
    try:
        return inspect.signature(function).return_annotation in {None, "None"}
    except (TypeError, ValueError, NameError):
        return False


@attrs.frozen
class ToolOutcome:
    """What one call came to."""

    output: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")
    """What the model is told."""

    failure: Exception | None = None
    """The exception, when the tool crashed. Not set when the call was the mistake, nor for a `ToolError`."""


class Toolbox(Mapping[str, Tool[..., Any]]):
    """The tools that a session offers, by name.

    Args:
        tools: Each made by `tool`; a plain function is taken as `tool(function)` would take it.

    Raises:
        ConfigurationError: Two of them have the same name, or one cannot be described or is bound to no object.
    """

    def __init__(self, tools: Iterable[Callable[..., Any]] = ()) -> None:
        self._tools: dict[str, Tool[..., Any]] = {}
        self._definitions: list[FunctionTool] = []
        for given in tools:
            if not callable(given):
                raise ConfigurationError(f"a tool is a function, not {given!r}")
            one = given if isinstance(given, Tool) else tool(given)
            if one.name in self._tools:
                raise ConfigurationError(
                    f"two tools have the name {one.name!r}: give one of them another, as in @tool(name='...')."
                )
            self._tools[one.name] = one
            self._definitions.append(one.definition())

    def __getitem__(self, name: str) -> Tool[..., Any]:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def definitions(self) -> list[FunctionTool]:
        """Give all of them as the session's configuration wants them.

        Returns:
            A new list, in the order in which they were given.
        """
        return list(self._definitions)

    def policy(self, name: str) -> ToolPolicy:  # noqa: ARG002 one for all, so far
        """Tell how calls of a tool are to be run.

        Args:
            name: The tool.

        Returns:
            The defaults, for every name.
        """
        return ToolPolicy()

    async def run(self, name: str, arguments: str, *, context: ToolContext) -> ToolOutcome:
        """Run one call to its end, whatever that is.

        A crash is logged with its traceback on the logger `realtime_trio.tools`, never with the arguments.

        Args:
            name: The tool that the model calls.
            arguments: The JSON object that it wrote.
            context: The call, for the log.

        Returns:
            What the model is told, and the exception if the tool crashed.

        Cancellation:
            The call is cancelled. A tool that crashes while it is cancelled is logged.
        """
        found = self._tools.get(name)
        if found is None:
            there_is = f"There is: {', '.join(self._tools)}." if self._tools else "There are no tools."
            return ToolOutcome(_sendable(f"Error: there is no tool named {name!r}. {there_is}"))
        try:
            return ToolOutcome(_sendable(await found.run(arguments)))
        except ToolError as error:
            return ToolOutcome(_sendable(redact(_text(error)) or "Error"))
        except Exception as error:  # noqa: BLE001  (a user's code: one of the two places for this)
            told = _told_by_tool(error)
            if told is not None:
                return ToolOutcome(_sendable(redact(told)))
            _log.exception("tool %s crashed (call %s)", name, context.call_id)
            return ToolOutcome(_sendable(redact(f"Error: {name} failed: {_words(error)}")), error)
        except BaseExceptionGroup as group:  # cancelled while something crashed: the cancellation has to pass on alone
            crashes, rest = group.split(Exception)
            if crashes is not None and rest is not None:
                _log.error("tool %s crashed while it was cancelled (call %s)", name, context.call_id, exc_info=crashes)
                raise rest from None
            raise


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


def _sendable(text: str) -> str:
    """Replace lone surrogates, which no message can carry: a call without an output would leave the model waiting."""
    return text.encode("utf-8", "replace").decode()
