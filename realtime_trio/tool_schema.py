"""What a function asks for, told to a model: its parameters as JSON Schema, its words from the docstring.

Calling the function and what comes of it stand in `realtime_trio.tools`; nothing here runs a user's function.

The types are msgspec's: what it can decode is what a parameter can be, so the schema that the model sees and the check
that its arguments go through cannot differ.
"""

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import attrs
import msgspec

from .errors import ConfigurationError

__all__ = ["Signature", "read_signature"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the API takes as a function's name
_REF = "#/$defs/"


@attrs.frozen
class Signature:
    """Everything that a model and a caller need to know of a function."""

    name: str
    """Its name, as the model calls it."""

    description: str
    """What it does; empty when nobody said."""

    parameters: dict[str, Any]
    """JSON Schema of the object that holds its arguments."""

    arguments: type[msgspec.Struct]
    """The same as a type, for msgspec to decode and check; a parameter with a default may be `msgspec.UNSET`."""

    is_method: bool
    """The first parameter is the object it has to be bound to; it is not among the parameters."""


def read_signature(
    function: Callable[..., object],
    *,
    name: str | None = None,
    description: str | None = None,
    names: Mapping[str, Any] | None = None,
) -> Signature:
    """Turn a function's signature and docstring into what a model is told.

    Args:
        function: Any callable that can be called with keyword arguments only.
        name: A name that replaces the function's own.
        description: Words that replace those of the docstring. What that says of the parameters still counts.
        names: Where else to look up names in annotations that are strings: the locals of the place of definition.

    Returns:
        The name, the words, the schema and the type of the arguments.

    Raises:
        ConfigurationError: It cannot be described. The words name the function, the parameter and the cure.
    """
    plain = _plain_function(function)
    told = _own_name(function, name)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise ConfigurationError(f"{told}() is a generator: a tool gives one result, so return it instead of yielding.")
    parameters = _parameters(function, told)
    is_method = _is_unbound_method(function, parameters)
    if is_method:
        parameters = parameters[1:]
    for parameter in parameters:
        _refuse_kind(told, parameter)
    hints = _resolve(plain, told, parameters, names or {})
    words, parameter_words = _docstring(plain)
    arguments = _arguments_type(told, parameters, hints)
    return Signature(
        name=told,
        description=words if description is None else description,
        parameters=_schema(arguments, parameters, hints, parameter_words),
        arguments=arguments,
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
    if not _NAME.fullmatch(told):
        what = f"{told!r} is no name for a tool" if told else f"{function!r} has no name"
        raise ConfigurationError(
            f"{what}: give one of 1 to 64 letters, digits, _ and -, as in @tool(name='get_weather')."
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


def _resolve(plain: Any, told: str, parameters: list[inspect.Parameter], names: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate annotations that are strings, one by one: a name that only the return value uses does not matter."""
    hints = {}
    known = {**names, **_closure(plain)}
    for parameter in parameters:

        def bearer() -> None: ...

        bearer.__annotations__ = {parameter.name: parameter.annotation}
        try:
            resolved = typing.get_type_hints(bearer, getattr(plain, "__globals__", {}), known, include_extras=True)
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            raise ConfigurationError(
                f"{told}(): the type of parameter {parameter.name!r} cannot be resolved ({error}). It must be known "
                "when the function is decorated: define or import it before, and not under TYPE_CHECKING only."
            ) from error
        hints[parameter.name] = resolved[parameter.name]
    return hints


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
            msgspec.json.schema_components([hint], ref_template=_REF + "{name}")
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


def _schema(
    arguments: type[msgspec.Struct],
    parameters: list[inspect.Parameter],
    hints: dict[str, Any],
    parameter_words: dict[str, str],
) -> dict[str, Any]:
    (root,), definitions = msgspec.json.schema_components([arguments], ref_template=_REF + "{name}")
    own = definitions.pop(root["$ref"].removeprefix(_REF))
    schema = _inlined(own, definitions)
    del schema["title"]
    schema.setdefault("required", [])
    for parameter in parameters:
        told = schema["properties"][parameter.name]
        words = _annotated_words(hints[parameter.name]) or parameter_words.get(parameter.name)
        if words:
            told["description"] = words
        if parameter.default is not inspect.Parameter.empty:
            _tell_default(told, parameter.default, hints[parameter.name])
    return schema


def _annotated_words(hint: Any) -> str | None:
    """Find `Annotated[T, "words"]` or `Annotated[T, Meta(description="words")]`."""
    if typing.get_origin(hint) is not Annotated:
        return None
    for note in hint.__metadata__:
        words = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(words, str):
            return words
    return None


def _tell_default(told: dict[str, Any], default: Any, hint: Any) -> None:
    """Put the default into the schema, when it is a JSON value that the model itself could have given."""
    try:
        value = msgspec.json.decode(msgspec.json.encode(default))
        msgspec.convert(value, hint)
    except Exception:  # noqa: BLE001  (a default may be any object: then the model is not told)
        return
    told["default"] = value


def _inlined(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Replace every reference by what it refers to. Types that contain themselves stay under `$defs`.

    The schema then stands on its own for readers who do not follow references, which models are.
    """
    recursive = {name for name in definitions if name in _reachable(name, definitions)}
    schema: dict[str, Any] = _copied(node, definitions, recursive)
    used = _references(schema)
    for name in list(used):
        used |= _reachable(name, definitions)
    if used:
        schema["$defs"] = {
            name: _copied(definitions[name], definitions, recursive) for name in definitions if name in used & recursive
        }
    return schema


def _copied(value: Any, definitions: dict[str, Any], recursive: set[str]) -> Any:
    if isinstance(value, list):
        return [_copied(one, definitions, recursive) for one in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, inner in value.items():
        if key == "$ref" and (name := inner.removeprefix(_REF)) not in recursive:
            result.update(_copied(definitions[name], definitions, recursive))
        elif key == "properties":  # its keys are names of fields, whatever they look like
            result[key] = {field: _copied(schema, definitions, recursive) for field, schema in inner.items()}
        elif key in {"default", "enum"}:
            result[key] = inner
        elif key != "discriminator":  # OpenAPI's, not JSON Schema's; the types' own tags say the same
            result[key] = _copied(inner, definitions, recursive)
    return result


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_references(one) for one in value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"].removeprefix(_REF)} if isinstance(value.get("$ref"), str) else set()
    return own.union(*(_references(one) for one in value.values()))


def _reachable(name: str, definitions: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    open_names = _references(definitions[name])
    while open_names:
        found |= open_names
        open_names = set().union(*(_references(definitions[one]) for one in open_names)) - found
    return found
