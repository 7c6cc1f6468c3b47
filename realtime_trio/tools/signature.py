"""What a function asks for, told to a model: its parameters as JSON Schema, its words from the docstring.

Calling the function and what comes of it stand in `realtime_trio.tools`; nothing here runs a user's function.

The types are msgspec's: what it can decode is what a parameter can be, so the schema that the model sees and the check
that its arguments go through cannot differ. With a schema written by hand (`by_hand.py`) the types do not matter, and
only who gives each parameter is read here.
"""

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import msgspec

from realtime_trio.core.border import check_text
from realtime_trio.errors import ConfigurationError

from .arguments import Arguments, TypedArguments
from .by_hand import CheckedArguments, check_schema, read_shape
from .injection import Injection, find_injection
from .schema import REF, arguments_schema

__all__ = ["Signature", "check_name", "read_signature"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the API takes as a function's name
_UNKNOWN = object()  # an annotation that could not be evaluated, and need not be


@attrs.frozen
class Signature:
    """Everything that a model and a caller need to know of a function."""

    name: str
    """Its name, as the model calls it."""

    description: str
    """What it does; empty when nobody said."""

    parameters: dict[str, Any]
    """JSON Schema of the object that holds its arguments."""

    arguments: Arguments
    """How they are read and checked."""

    injections: tuple[Injection, ...]
    """The parameters that the session gives; they are not among the others."""

    is_method: bool
    """The first parameter is the object it has to be bound to; it is not among the parameters."""


def read_signature(
    function: Callable[..., object],
    *,
    name: str | None = None,
    description: str | None = None,
    names: Mapping[str, Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    whole: bool = False,
) -> Signature:
    """Turn a function's signature and docstring into what a model is told.

    Args:
        function: Any callable that can be called with keyword arguments only.
        name: A name that replaces the function's own.
        description: Words that replace those of the docstring. What that says of the parameters still counts.
        names: Where else to look up names in annotations that are strings: the locals of the place of definition.
        schema: A JSON Schema that was written by hand. Then the types are not read.
        whole: Whether the function takes all arguments as one dict, which only a schema by hand can describe.

    Returns:
        The name, the words, the schema and how arguments are checked.

    Raises:
        ConfigurationError: It cannot be described. The words name the function, the parameter and the cure.
    """
    plain = _plain_function(function)
    told = _own_name(function, name)
    if description is not None:
        check_text(f"{told}(): the description", description)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise ConfigurationError(f"{told}() is a generator: a tool gives one result, so return it instead of yielding.")
    parameters = _parameters(function, told)
    is_method = _is_unbound_method(function, parameters)
    if is_method:
        parameters = parameters[1:]
    if schema is None:
        for parameter in parameters:
            _refuse_kind(told, parameter)
    hints = _resolve(plain, told, parameters, names or {}, must=schema is None)
    injections = _injections(function, told, parameters, hints)
    taken = {one.parameter for one in injections}
    parameters = [one for one in parameters if one.name not in taken]
    words, parameter_words = _docstring(plain)
    arguments: Arguments
    if schema is None:
        kind = _arguments_type(told, parameters, hints)
        described = arguments_schema(kind, parameters, hints, parameter_words)
        arguments = TypedArguments(kind, described)
    else:
        described, validator = check_schema(schema, told)
        shape = read_shape(parameters, taken, described, told, whole=whole)
        arguments = CheckedArguments(described, validator, shape)
    return Signature(
        name=told,
        description=words if description is None else description,
        parameters=described,
        arguments=arguments,
        injections=injections,
        is_method=is_method,
    )


def _plain_function(function: Callable[..., object]) -> Any:
    """Give the function under wrappers, partials and bound methods: it has the globals, the code and the docstring."""
    found: Any = function
    while True:
        if hasattr(found, "__wrapped__"):
            found = found.__wrapped__
        elif hasattr(found, "func") and hasattr(found, "keywords"):  # functools.partial
            found = found.func
        elif inspect.ismethod(found):
            found = found.__func__
        elif not inspect.isroutine(found) and not inspect.isclass(found) and inspect.ismethod(found.__call__):
            found = found.__call__  # an object that is called like a function
        else:
            return found


def _own_name(function: Callable[..., object], name: str | None) -> str:
    told = name if name is not None else getattr(function, "__name__", "")
    return check_name(told, what=None if told else f"{function!r} has no name")


def check_name(told: object, *, what: str | None = None) -> str:
    """See that the API takes a name for a function.

    Args:
        told: The name.
        what: What is wrong otherwise, in words.

    Returns:
        The name.

    Raises:
        ConfigurationError: It does not; the words say what it would take.
    """
    if not isinstance(told, str) or not _NAME.fullmatch(told):
        raise ConfigurationError(
            f"{what or f'{told!r} is no name for a tool'}: "
            "give one of 1 to 64 letters, digits, _ and -, as in @tool(name='get_weather')."
        )
    return told


def _parameters(function: Callable[..., object], told: str) -> list[inspect.Parameter]:
    try:
        if sys.version_info >= (3, 14):  # annotations are evaluated late there; an unknown name must not hide which
            from annotationlib import Format

            signature = inspect.signature(function, annotation_format=Format.FORWARDREF)
        else:
            signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{told}() has no signature that can be read; wrap it in a function of yours."
        ) from error
    return list(signature.parameters.values())


def _is_unbound_method(function: Callable[..., object], parameters: list[inspect.Parameter]) -> bool:
    if not inspect.isfunction(function) or not parameters:
        return False
    scope = function.__qualname__.rpartition(".")[0]
    in_class = bool(scope) and not scope.endswith("<locals>")
    return in_class and parameters[0].annotation is inspect.Parameter.empty


def _refuse_kind(told: str, parameter: inspect.Parameter) -> None:
    name = parameter.name
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL:
            problem = f"*{name} cannot be described: take one list instead, {name}: list[...]."
        case inspect.Parameter.VAR_KEYWORD:
            problem = f"**{name} cannot be described: name the parameters, or take one {name}: dict[str, ...]."
        case inspect.Parameter.POSITIONAL_ONLY:
            problem = f"{name!r} is positional-only, but arguments come by name: remove the / from the signature."
        case _ if parameter.annotation is inspect.Parameter.empty:
            problem = f"parameter {name!r} has no type: annotate it, as in {name}: str."
        case _:
            return
    raise ConfigurationError(f"{told}(): {problem}")


def _resolve(
    plain: Any, told: str, parameters: list[inspect.Parameter], names: Mapping[str, Any], *, must: bool
) -> dict[str, Any]:
    """Evaluate annotations that are strings, one by one: a name that only the return value uses does not matter."""
    hints = {}
    known = {**names, **_closure(plain)}
    for parameter in parameters:

        def bearer() -> None: ...

        bearer.__annotations__ = {parameter.name: parameter.annotation}
        try:
            resolved = typing.get_type_hints(bearer, getattr(plain, "__globals__", {}), known, include_extras=True)
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            if not must:
                hints[parameter.name] = _UNKNOWN
                continue
            raise ConfigurationError(
                f"{told}(): the type of parameter {parameter.name!r} cannot be resolved ({error}). It must be known "
                "when the function is decorated: define or import it before, and not under TYPE_CHECKING only."
            ) from error
        hints[parameter.name] = resolved[parameter.name]
    return hints


def _injections(
    function: Callable[..., object], told: str, parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> tuple[Injection, ...]:
    """Find the parameters that the session gives. What a partial has already given stays as it is."""
    given = function.keywords if isinstance(function, partial) else {}
    found = []
    for parameter in parameters:
        has_default = parameter.default is not inspect.Parameter.empty
        hint = hints[parameter.name]
        one = find_injection(hint, parameter.name, has_default=has_default, told=told)
        if one is None:
            continue
        if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            raise ConfigurationError(f"{told}(): {parameter.name!r} is given by name: remove the / or * before it.")
        found.append(one if parameter.name not in given else attrs.evolve(one, kind="partial"))
    return tuple(found)


def _closure(plain: Any) -> dict[str, Any]:
    code, cells = getattr(plain, "__code__", None), getattr(plain, "__closure__", None)
    found = {}
    for name, cell in zip(code.co_freevars, cells, strict=True) if code and cells else ():
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _docstring(plain: Any) -> tuple[str, dict[str, str]]:
    """Read a docstring in Google's, numpy's or reST's manner: what the function does, what each parameter means."""
    text = inspect.getdoc(plain) if inspect.isroutine(plain) or inspect.isclass(plain) else None
    if not text:
        return "", {}
    import docstring_parser  # here, not above: 20 ms that a program without tools need not pay

    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text, {}
    words = "\n\n".join(part for part in (parsed.short_description, parsed.long_description) if part)
    return words, {
        one.arg_name.lstrip("*"): one.description
        for one in parsed.params
        if one.description  # numpy writes **kwargs
    }


def _arguments_type(told: str, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for parameter in parameters:
        hint = hints[parameter.name]
        try:
            msgspec.json.schema_components([hint], ref_template=REF + "{name}")
        except Exception as error:  # the user's classes are looked into: their annotations may raise anything
            problem = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise ConfigurationError(
                f"{told}(): parameter {parameter.name!r} of type {_type_name(hint)} cannot be described to a model "
                f"({problem}). Use str, int, float, bool, list, dict, Literal, an Enum, or a class made by attrs, "
                "dataclasses, msgspec or TypedDict."
            ) from error
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, hint))
        else:  # the default stays the function's own: what the model leaves out is not passed
            fields.append((parameter.name, hint | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)


def _type_name(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str(hint)
