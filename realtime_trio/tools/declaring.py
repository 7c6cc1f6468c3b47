"""Making a function a tool: `@tool`, `Tool.from_schema`, and one call of it."""

import inspect
import logging
import sys
import types
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

import attrs
import msgspec
import trio

from realtime_trio.core.border import check_text
from realtime_trio.errors import ConfigurationError, ToolError
from realtime_trio.events import FunctionTool
from realtime_trio.session import OnInterrupt, ToolContext, ToolPolicy

from .arguments import Misfit
from .injection import MISSING, Injection
from .signature import Signature, check_name, read_signature

__all__ = ["PolicyOptions", "Tool", "make_policy", "tool"]

_log = logging.getLogger("realtime_trio.tools")

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
Owner = TypeVar("Owner")


class PolicyOptions(TypedDict, total=False):
    """How the calls of a tool are run: the fields of `ToolPolicy`, where they are explained."""

    timeout: float | None
    on_interrupt: OnInterrupt
    concurrency: int | None
    background: bool
    filler: str | None
    filler_after: float
    approve: bool


class Tool(Generic[P, R]):
    """A function together with what a model is told of it. Made by `tool`, or by `Tool.from_schema`.

    It is called like the function itself. In a class it is a method: what is reached through an object is bound to it.
    """

    __name__: str  # like __doc__ and __wrapped__, those of the function

    def __init__(self, function: Callable[P, R], signature: Signature, policy: ToolPolicy) -> None:
        self._function = function
        self._signature = signature
        self._policy = policy
        update_wrapper(self, function)

    @staticmethod
    def from_schema(
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        run: Callable[Q, S],
        **policy: Unpack[PolicyOptions],
    ) -> "Tool[Q, S]":
        """Make a tool whose arguments a schema describes instead of a Python signature.

        Args:
            name: What the model calls it: 1 to 64 letters, digits, `_` and `-`.
            description: What the model is told that it does.
            parameters: JSON Schema of an object. Arguments are checked against it before `run` is called.
            run: Takes the arguments as one dict, decoded; async, or not (then it runs in a worker thread). Parameters
                annotated `ToolContext`, `Session`, `CallId` or `Injected[...]` are given beside it.
            policy: How calls are run; see `ToolPolicy`.

        Returns:
            The tool. Called as a function it is `run`.

        Raises:
            ConfigurationError: The name is none, the schema is not valid, or `run` takes something else. The words say
                which, and the cure.
        """
        if not callable(run):
            raise ConfigurationError(f"{name}(): run is a function that takes the arguments as one dict, not {run!r}")
        signature = read_signature(run, name=name, description=description, schema=parameters, whole=True)
        return Tool(run, signature, make_policy(ToolPolicy(), policy, name))

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

    @property
    def policy(self) -> ToolPolicy:
        """How a session runs its calls."""
        return self._policy

    @property
    def injections(self) -> tuple[Injection, ...]:
        """The parameters that the session gives and the model does not see."""
        return self._signature.injections

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

    async def run(
        self, arguments: str, *, context: ToolContext | None = None, threads: trio.CapacityLimiter | None = None
    ) -> str:
        """Check the arguments, call the function, and encode what it returns.

        A function that is not async runs in a worker thread. The policy is not applied here: it is the session's.

        Args:
            arguments: The JSON object that the model wrote. Nothing at all counts as an object without members.
            context: The call, for the parameters that the session gives. Needed only if there are such.
            threads: How many threads there may be; by default Trio's own limit.

        Returns:
            The text for the model: a `str` as it is, `"done"` where a function declared `-> None` returns, else JSON.

        Raises:
            ToolError: The arguments do not fit, in words for the model; or the function says so itself.
            ConfigurationError: What the session should give is not there.
            Exception: Whatever else the function raises.
            TypeError: The function returned what JSON cannot hold.

        Cancellation:
            An async function is cancelled where it waits. A function in a thread is left alone to finish, unheard; its
            thread counts until then.
        """
        self._require_bound()
        call = self._bind(arguments, context)
        if inspect.iscoroutinefunction(call):
            result = await call()
        else:
            result = await self._in_thread(call, threads)
            if isinstance(result, Awaitable):
                result = await result
        return self._encoded(result)

    async def _in_thread(self, call: Callable[[], Any], threads: trio.CapacityLimiter | None) -> Any:
        """Run it in a thread. If cancelled, it cannot be stopped: that it goes on, and what it raises, is logged."""
        began = abandoned = False

        def work() -> list[Any]:
            nonlocal began
            began = True
            try:
                # in a list, because Trio refuses what looks like a forgotten await: here it is an async function in
                # the disguise of a plain callable, such as an object with an async __call__
                return [call()]
            except BaseException:
                if abandoned:
                    _log.exception("tool %s crashed in a thread that had been left alone", self.name)
                raise

        try:
            (result,) = await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=threads)
        except trio.Cancelled:
            if began:
                abandoned = True
                _log.warning("tool %s was cancelled; its thread goes on, and nobody hears what comes of it", self.name)
            raise
        return result

    def _bind(self, arguments: str, context: ToolContext | None) -> Callable[..., Any]:
        try:
            positional, named = self._signature.arguments.bind(arguments)
        except Misfit as misfit:
            raise ToolError(f"Error: the arguments of {self.name} do not fit: {misfit}. Correct them.") from misfit
        for injection in self.injections:
            value = injection.find(context, self.name)
            if value is not MISSING:
                named[injection.parameter] = value
        return partial(self._function, *positional, **named)

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
        """Call the function itself: nothing is checked, given, encoded or moved to a thread."""
        return self._function(*args, **kwargs)

    @overload
    def __get__(self, owner: None, kind: type) -> "Tool[P, R]": ...
    @overload
    def __get__(self: "Tool[Concatenate[Owner, Q], R]", owner: Owner, kind: type | None = None) -> "Tool[Q, R]": ...
    def __get__(self, owner: Any, kind: type | None = None) -> "Tool[Any, R]":
        if owner is None or not self._signature.is_method:
            return self
        return Tool(
            types.MethodType(self._function, owner), attrs.evolve(self._signature, is_method=False), self._policy
        )

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **policy: Unpack[PolicyOptions],
) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **policy: Unpack[PolicyOptions],
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **policy: Unpack[PolicyOptions],
) -> Any:
    """Make a function a tool that a model can call, from its signature and its docstring.

    Use it bare (`@tool`), with options (`@tool(name="weather", timeout=5)`), or as in `tool(account.balance)`.
    The function may be async or not; it stays callable as before. Each parameter needs a type. Its meaning may stand in
    the docstring (in Google's, numpy's or reST's manner) or in the annotation: `Annotated[str, "Name of the city"]`,
    `Annotated[int, msgspec.Meta(ge=1, description="How many")]`. Arguments are checked against the types before the
    function runs; unknown ones are refused.

    Parameters annotated `ToolContext`, `Session`, `CallId` or `Injected[Database]` are given by the session; the model
    does not see them.

    Args:
        function: The function, when used without parentheses. Of a tool a second one is made, with what is named here
            put over the first one's.
        name: What the model calls it, instead of the function's own name.
        description: What the model is told that it does, instead of the docstring's words.
        parameters: A JSON Schema of your own instead of one made from the types. Arguments are checked against it and
            given as JSON has them, each to the parameter of its name; what has none goes to `**arguments`. A function
            with one parameter that is no property of the schema is given all of them in it, as a dict.
        policy: How the calls are run; see `ToolPolicy`. `timeout`: seconds that one may run. `on_interrupt`: what
            becomes of it when the user speaks, `"finish"`, `"cancel"` or `"detach"`. `concurrency`: how many may run at
            once. `background`: whether the model is told at once that it goes on. `filler` and `filler_after`: a line
            to say when it takes longer than so many seconds. `approve`: whether somebody has to agree before it runs.

    Returns:
        The tool; with options alone, a decorator that makes one.

    Raises:
        ConfigurationError: The function cannot be described to a model, or an option does not fit. The words say which
            parameter or option, and the cure.
    """
    names = _local_names(sys._getframe(1))  # noqa: SLF001  (string annotations may name what is defined beside it)

    def make(function: Callable[..., Any]) -> Tool[..., Any]:
        if isinstance(function, Tool):
            return _made_over(
                function, name=name, description=description, parameters=parameters, names=names, policy=policy
            )
        if not callable(function):
            raise ConfigurationError(
                f"a tool is made of a function, not of {function!r}; options have names, tool(name=...)"
            )
        signature = read_signature(function, name=name, description=description, names=names, schema=parameters)
        return Tool(function, signature, make_policy(ToolPolicy(), policy, signature.name))

    return make if function is None else make(function)


def _made_over(
    first: Tool[..., Any],
    *,
    name: str | None,
    description: str | None,
    parameters: Mapping[str, Any] | None,
    names: Mapping[str, Any],
    policy: PolicyOptions,
) -> Tool[..., Any]:
    """Make a tool of a tool: what is not named stays."""
    function, signature = first._function, first._signature  # noqa: SLF001
    name = signature.name if name is None else check_name(name)
    if description is not None:
        check_text(f"{name}(): the description", description)
    description = signature.description if description is None else description
    if parameters is None:
        signature = attrs.evolve(signature, name=name, description=description)
    else:
        signature = read_signature(function, name=name, description=description, names=names, schema=parameters)
    return Tool(function, signature, make_policy(first.policy, policy, name))


def make_policy(base: ToolPolicy, options: PolicyOptions, told: str) -> ToolPolicy:
    """Put options over a policy.

    Args:
        base: The policy.
        options: What is to be another.
        told: Who was given them, for the error: a name without parentheses.

    Raises:
        ConfigurationError: There is no such option, or it does not fit.
    """
    known = attrs.fields_dict(ToolPolicy)
    if unknown := [name for name in options if name not in known]:
        raise ConfigurationError(f"{told}(): there is no option {unknown[0]!r}; there are {', '.join(known)}")
    try:
        return attrs.evolve(base, **options)
    except ConfigurationError as error:
        raise ConfigurationError(f"{told}(): {error}") from None


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
