"""Tools whose JSON Schema was written by hand, or came from elsewhere: how it is checked, and arguments against it.

`jsonschema` does the checking. It loads with the first such tool, because a program without one need not wait for it.

A schema is taken at its word: what it does not describe, the function may be given. Stricter than the standard are two
things: `1.0` is no integer (as for tools with a signature), and the formats `date-time`, `date`, `time`, `duration` and
`uuid` are checked. Other formats only tell the model. References go to the schema itself; nothing is ever fetched.
"""

import datetime as dt
import inspect
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from realtime_trio.errors import ConfigurationError

from .arguments import Bound, Misfit, clipped, decode_strictly

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

__all__ = ["CheckedArguments", "Shape", "check_schema", "read_shape"]

_LONGEST = 300  # characters of a schema that are told to the model
_FORMATS = {"date-time": dt.datetime, "date": dt.date, "time": dt.time, "duration": dt.timedelta, "uuid": uuid.UUID}


@attrs.frozen
class Shape:
    """How a function takes the arguments."""

    whole: inspect.Parameter | None = None
    """The one parameter that takes all of them as a dict; None when each goes to the parameter of its name."""

    names: frozenset[str] | None = None
    """Those that have a parameter; None when the function takes any (`**arguments`)."""

    taken: frozenset[str] = frozenset()
    """Names of parameters that are given by the session, so that the model must not."""

    def bind(self, decoded: dict[str, Any]) -> Bound:
        """Give what the function is called with.

        Raises:
            Misfit: There is an argument that the schema allows and the function does not know.
        """
        if self.whole is not None:
            by_place = self.whole.kind is inspect.Parameter.POSITIONAL_ONLY
            return ((decoded,), {}) if by_place else ((), {self.whole.name: decoded})
        known = decoded.keys() if self.names is None else self.names
        for name in decoded:
            if name not in known or name in self.taken:
                raise Misfit(f"unknown argument `{clipped(name)}`{_there_is(self.names or ())}")
        return (), decoded


@attrs.frozen
class CheckedArguments:
    """Arguments that are described by a schema written by hand."""

    schema: dict[str, Any]
    validator: "Validator"
    shape: Shape

    def bind(self, text: str) -> Bound:
        """Read what the model wrote, check all of it, and give what the function is called with.

        Raises:
            Misfit: It does not fit.
        """
        from jsonschema.exceptions import best_match

        decoded = decode_strictly(text, dict[str, Any], self.schema)
        try:
            error = best_match(self.validator.iter_errors(decoded))
        except (RecursionError, OverflowError) as problem:
            raise Misfit("it is nested too deeply, or a number in it is too large") from problem
        if error is not None:
            raise Misfit(_words(error))
        return self.shape.bind(decoded)


def check_schema(schema: Mapping[str, Any], told: str) -> "tuple[dict[str, Any], Validator]":
    """Copy a schema and make what checks values against it.

    Args:
        schema: JSON Schema of an object: of the draft that its `$schema` names, else 2020-12.
        told: The tool's name, for the error.

    Returns:
        The copy, which says `"type": "object"` also where the original said nothing, and the validator.

    Raises:
        ConfigurationError: It is no JSON, no valid schema, not of an object, or refers to what it does not contain.
    """
    from jsonschema import SchemaError
    from referencing import Registry

    if not isinstance(schema, Mapping):
        raise ConfigurationError(
            f"{told}(): parameters is a JSON Schema, as in {{'type': 'object', 'properties': {{...}}}}, "
            f"not {type(schema).__name__}"
        )
    try:
        copied: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, Any])
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{told}(): parameters is no JSON ({error}): use dict, list, str and numbers."
        ) from error
    if copied.setdefault("type", "object") != "object":
        raise ConfigurationError(
            f"{told}(): parameters describes {copied['type']!r}: arguments are always an object, "
            "{'type': 'object', 'properties': {...}}."
        )
    draft = copied.get("$schema")
    kind = _validator_class(draft if isinstance(draft, str) else "")
    try:
        kind.check_schema(copied)
        _check_references(copied, kind, told)
    except ConfigurationError:
        raise
    except RecursionError as error:
        raise ConfigurationError(f"{told}(): parameters is nested too deeply: make it flatter.") from error
    except SchemaError as error:
        raise ConfigurationError(
            f"{told}(): parameters is no valid JSON Schema, at {error.json_path}: {error.message}"
        ) from error
    except Exception as error:  # what drafts are mixed in it, and where, the libraries do not expect
        raise ConfigurationError(
            f"{told}(): parameters cannot be used ({type(error).__name__}: {error}): "
            "name one draft, in the '$schema' on top."
        ) from error
    return copied, kind(copied, registry=Registry(), format_checker=_formats())


@cache
def _validator_class(draft: str) -> Any:
    """Give what checks by a draft, with our own idea of an integer."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend, validator_for

    kind = validator_for({"$schema": draft}, default=Draft202012Validator)
    strict = kind.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    return extend(kind, type_checker=strict)  # type: ignore[no-untyped-call]


@cache
def _formats() -> Any:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name, kind in _FORMATS.items():

        def fits(value: object, kind: type = kind) -> bool:
            return not isinstance(value, str) or msgspec.convert(value, kind) is not None

        checker.checks(name, raises=msgspec.ValidationError)(fits)
    return checker


def _check_references(schema: dict[str, Any], kind: Any, told: str) -> None:
    """See that every reference leads somewhere: else only the first call that comes across it would tell."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    resource = specification_with(kind.META_SCHEMA["$schema"]).create_resource(schema)
    home = resource.id() or ""
    resolver = Registry().with_resource(home, resource).crawl().resolver(home)
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise ConfigurationError(
                f"{told}(): parameters refers to {reference!r}, which it does not contain: "
                "put it under '$defs' and refer to '#/$defs/...'."
            ) from error


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(inner, str):
                yield inner
            elif key not in ("const", "enum", "default", "examples"):
                yield from _references(inner)


def read_shape(
    parameters: Iterable[inspect.Parameter],
    taken: Iterable[str],
    schema: Mapping[str, Any],
    told: str,
    *,
    whole: bool,
) -> Shape:
    """Tell how a function takes arguments that it does not describe itself.

    Args:
        parameters: Those of the function, without `self`.
        taken: Names of those that are given by the session.
        schema: What describes the arguments.
        told: The tool's name, for the error.
        whole: Whether one parameter has to take all of them. Else it does if it is the only one and no property has its
            name.

    Raises:
        ConfigurationError: The function and the schema do not fit each other.
    """
    taken = frozenset(taken)
    rest = [one for one in parameters if one.name not in taken and one.kind is not inspect.Parameter.VAR_POSITIONAL]
    properties = schema.get("properties", {})
    if both := sorted(taken & set(properties)):
        raise ConfigurationError(
            f"{told}(): {both[0]!r} is given by the session and stands in the schema too: rename the parameter."
        )
    plain = [one for one in rest if one.kind is not inspect.Parameter.VAR_KEYWORD]
    if whole:
        if not plain:
            raise ConfigurationError(f"{told}(): run takes the arguments as one dict: give it a parameter for that.")
        _refuse_more(plain[1:], told)
        return Shape(whole=plain[0], taken=taken)
    takes_any = len(plain) < len(rest)
    if not takes_any and len(plain) == 1 and plain[0].name not in properties:
        return Shape(whole=plain[0], taken=taken)
    _check_names(plain, schema, told)
    names = frozenset(one.name for one in plain)
    if not takes_any and (unknown := [name for name in properties if name not in names]):
        raise ConfigurationError(
            f"{told}(): the schema has {unknown[0]!r} and the function no such parameter: "
            f"add it, or take all with **arguments or with one parameter, {told}(arguments)."
        )
    return Shape(names=None if takes_any else names, taken=taken)


def _refuse_more(parameters: list[inspect.Parameter], told: str) -> None:
    for one in parameters:
        if one.default is inspect.Parameter.empty:
            raise ConfigurationError(
                f"{told}(): run takes the arguments as one dict, and {one.name!r} beside it: what the session gives is "
                "known by its annotation (ToolContext, Session, CallId, Injected[...]); give anything else a default."
            )


def _check_names(parameters: list[inspect.Parameter], schema: Mapping[str, Any], told: str) -> None:
    properties, required = schema.get("properties", {}), schema.get("required")
    required = required if isinstance(required, list) else []  # draft 3 has a boolean there
    for one in parameters:
        if one.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"{told}(): {one.name!r} is positional-only: remove the / from the signature.")
        if one.default is not inspect.Parameter.empty:
            continue
        if one.name not in properties:
            raise ConfigurationError(
                f"{told}(): parameter {one.name!r} does not stand in the schema: add it there, or give it a default. "
                "(What the session gives is known by its annotation.)"
            )
        if one.name not in required:
            raise ConfigurationError(
                f"{told}(): the model may leave out {one.name!r}: give the parameter a default, or add the name to the "
                "schema's 'required'."
            )


# Words for the model: which argument, what is wrong, what would fit. Values are never repeated, names shortened.


def _words(error: "ValidationError") -> str:
    place = "" if error.json_path == "$" else f" - at `{clipped(error.json_path, 200)}`"
    return f"{_problem(error)}{place}"


def _problem(error: "ValidationError") -> str:
    keyword = str(error.validator)
    wanted: Any = error.validator_value
    value: Any = error.instance
    if keyword == "required":
        missing = next(name for name in wanted if name not in value)
        return f"Object missing required field `{clipped(missing)}`"
    if keyword == "additionalProperties" and wanted is False:
        return _unknown_member(error)
    if keyword == "unevaluatedProperties":
        return "Object contains a field that nothing in the schema describes"
    if keyword == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"Expected {' or '.join(f'`{one}`' for one in kinds)}, got `{_type_name(value)}`"
    if keyword == "enum":
        return f"Invalid value, it is one of {_told(wanted)[1:-1]}"
    return _WORDS[keyword] + _told(wanted) if keyword in _WORDS else f"It does not satisfy {_told({keyword: wanted})}"


_WORDS = {
    "const": "Invalid value, it is ",
    "minimum": "Expected a number >= ",
    "maximum": "Expected a number <= ",
    "exclusiveMinimum": "Expected a number > ",
    "exclusiveMaximum": "Expected a number < ",
    "pattern": "Expected a string that matches ",
    "format": "Expected a string of the format ",
}


def _unknown_member(error: "ValidationError") -> str:
    schema: Any = error.schema
    value: Any = error.instance
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    described = (name in known or any(re.search(one, name) for one in patterns) for name in value)
    name = next((name for name, is_known in zip(value, described, strict=True) if not is_known), "")
    return f"Object contains unknown field `{clipped(name)}`{_there_is(known)}"


def _there_is(names: Iterable[str]) -> str:
    return f" (there is: {', '.join(sorted(names)) or 'none'})"


def _told(value: Any) -> str:
    text: str = msgspec.json.encode(value).decode()
    return clipped(text, _LONGEST)


_TYPE_NAMES: list[tuple[type | tuple[type, ...], str]] = [
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
]


def _type_name(value: object) -> str:
    return next((name for kind, name in _TYPE_NAMES if isinstance(value, kind)), "null")
