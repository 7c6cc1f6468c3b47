"""Parameters that a tool is given by the session and the program, and that no model ever sees.

They are known by their annotation: `ToolContext`, `Session`, `CallId`, and `Injected[Database]` for what the program
gave as `open_session(dependencies=...)`.
"""

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import attrs

from realtime_trio.errors import ConfigurationError
from realtime_trio.session import Session, ToolContext

__all__ = ["MISSING", "CallId", "Injected", "Injection", "find_injection", "nearest"]

T = TypeVar("T")


@attrs.frozen
class _Mark:
    """Stands in an annotation and says what the parameter is given."""

    kind: Literal["call_id", "dependency"]


Injected: TypeAlias = Annotated[T, _Mark("dependency")]
"""`db: Injected[Database]` is given the object among `open_session(dependencies=...)` that is a `Database`."""

CallId: TypeAlias = Annotated[str, _Mark("call_id")]
"""`call: CallId` is given the id of the call, as the server names it."""

MISSING: Any = object()
"""What `Injection.find` gives when there is nothing, and the function's own default counts."""


@attrs.frozen
class Injection:
    """One parameter that is given and not asked for."""

    parameter: str
    """Its name."""

    kind: Literal["context", "session", "call_id", "dependency", "partial"]
    """What it is given; `"partial"`: a `functools.partial` has given it already."""

    has_default: bool
    """Whether the function itself knows what to do without."""

    optional: bool
    """Whether None is a value for it."""

    wanted: tuple[type, ...] = ()
    """Of a dependency: what it has to be an instance of."""

    def find(self, context: ToolContext | None, told: str) -> Any:
        """Give the parameter's value.

        Args:
            context: The call; None outside of a session.
            told: The tool's name, for the error.

        Returns:
            The value, or `MISSING` where the function's default counts.

        Raises:
            ConfigurationError: There is none, or two that fit equally.
        """
        if context is None:
            if self.has_default or self.optional:
                return self._without()
            raise ConfigurationError(
                f"{told}(): {self.parameter!r} comes from the session: outside of one give it yourself, "
                f"as in run(..., context=ToolContext(...)), or call {told} as the function that it is."
            )
        match self.kind:
            case "context":
                return context
            case "session":
                return context.session
            case "call_id":
                return context.call_id
            case "dependency":
                return self.choose(context.dependencies, told)
            case "partial":
                return MISSING

    def choose(self, dependencies: Sequence[object], told: str) -> Any:
        """Choose a dependency: the object whose class is nearest to what is wanted.

        Args:
            dependencies: What there is.
            told: The tool's name, for the error.

        Returns:
            The object, or `MISSING` where the function's default counts.

        Raises:
            ConfigurationError: There is none, or two that fit equally.
        """
        found = nearest(dependencies, self.wanted)
        if len(found) == 1:
            return found[0]
        names = " or ".join(one.__name__ for one in self.wanted)
        what = f"{told}(): parameter {self.parameter!r} wants a {names}"
        if found:
            kinds = " and ".join(f"a {type(one).__name__}" for one in found)
            raise ConfigurationError(
                f"{what}, and two dependencies fit equally ({kinds}): give only one of them, "
                "or annotate the parameter with a nearer class."
            )
        if self.has_default or self.optional:
            return self._without()
        if any(one in self.wanted for one in dependencies):
            raise ConfigurationError(f"{what}, and the dependencies have only the class: give an object, {names}(...).")
        raise ConfigurationError(
            f"{what}, and no dependency is one: give it, as in open_session(dependencies=[{names.lower()}]), "
            "or give the parameter a default."
        )

    def _without(self) -> Any:
        return MISSING if self.has_default else None


def nearest(dependencies: Iterable[object], wanted: tuple[type, ...]) -> list[object]:
    """Find the objects whose class is nearest to one of the wanted: itself, then a child, then a grandchild.

    Args:
        dependencies: What there is; the same object twice counts once.
        wanted: The classes.

    Returns:
        All that are equally near; none when nothing is an instance.
    """
    found: dict[int, tuple[int, object]] = {}
    for one in dependencies:
        if isinstance(one, wanted):
            family = type(one).__mro__  # what only a protocol or an ABC's register knows is farther than any relative
            steps = min((family.index(each) for each in wanted if each in family), default=len(family))
            found[id(one)] = (steps, one)
    least = min((steps for steps, _ in found.values()), default=0)
    return [one for steps, one in found.values() if steps == least]


def find_injection(hint: Any, parameter: str, *, has_default: bool, told: str) -> Injection | None:
    """Tell what a parameter is given, by its annotation.

    Args:
        hint: The annotation, evaluated, `Annotated` included.
        parameter: Its name.
        has_default: Whether it has a default.
        told: The tool's name, for the error.

    Returns:
        What it is given; None when the model gives it.

    Raises:
        ConfigurationError: It is to be given what nothing can be an instance of, or two things.
    """
    choices, optional = _without_none(hint)
    found = [injection for one in choices if (injection := _kind(one)) is not None]
    if not found:
        return None
    if len(choices) > 1:
        raise ConfigurationError(
            f"{told}(): parameter {parameter!r} is either given or asked for: "
            "annotate it with one of them (several classes: Injected[A | B])."
        )
    kind, inner = found[0]
    wanted: tuple[type, ...] = ()
    if kind == "dependency":
        inside, inside_optional = _without_none(inner)
        optional = optional or inside_optional
        wanted = tuple(_class(one, parameter, told) for one in inside)
    return Injection(parameter, kind, has_default=has_default, optional=optional, wanted=wanted)


def _without_none(hint: Any) -> tuple[tuple[Any, ...], bool]:
    """Take a union apart: its members without None, and whether None was one."""
    if typing.get_origin(hint) is Annotated and not any(isinstance(mark, _Mark) for mark in hint.__metadata__):
        hint = typing.get_args(hint)[0]  # words for the reader, say
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return (hint,), False
    members = typing.get_args(hint)
    return tuple(one for one in members if one is not types.NoneType), types.NoneType in members


def _kind(hint: Any) -> tuple[Literal["context", "session", "call_id", "dependency"], Any] | None:
    """Tell what one member of an annotation stands for, and what it is without its marks."""
    inner = hint
    if typing.get_origin(hint) is Annotated:
        inner = typing.get_args(hint)[0]
        for mark in hint.__metadata__:
            if isinstance(mark, _Mark):
                return ("call_id", inner) if mark.kind == "call_id" else (_known(inner) or "dependency", inner)
    known = _known(inner)
    return (known, inner) if known else None


def _known(hint: Any) -> Literal["context", "session"] | None:
    if hint is ToolContext:
        return "context"
    return "session" if hint is Session else None


def _class(hint: Any, parameter: str, told: str) -> type:
    """Give the class that a dependency has to be an instance of; of `Cache[str]` it is `Cache`."""
    found = typing.get_origin(hint) or hint
    try:
        isinstance(None, found)
    except TypeError:
        found = None
    if not isinstance(found, type):
        words = "say of what, as in Injected[Database]" if isinstance(hint, TypeVar) else f"{hint} is no class for that"
        raise ConfigurationError(
            f"{told}(): parameter {parameter!r} is Injected, but nothing can be found by it ({words}). "
            "Use a class; a Protocol has to be @runtime_checkable."
        )
    return found
