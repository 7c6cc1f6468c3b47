"""The JSON Schema of a function's parameters, from the types that check its arguments: the two cannot differ."""

import inspect
import typing
from typing import Annotated, Any

import msgspec

__all__ = ["REF", "arguments_schema"]

REF = "#/$defs/"


def arguments_schema(
    arguments: type[msgspec.Struct],
    parameters: list[inspect.Parameter],
    hints: dict[str, Any],
    parameter_words: dict[str, str],
) -> dict[str, Any]:
    """Describe the arguments of a function.

    Args:
        arguments: A field for each parameter.
        parameters: The same as the function has them, for their defaults.
        hints: Their types, evaluated, with what stands beside them.
        parameter_words: Their meaning, by the docstring.

    Returns:
        The schema of an object.
    """
    (root,), definitions = msgspec.json.schema_components([arguments], ref_template=REF + "{name}")
    own = definitions.pop(root["$ref"].removeprefix(REF))
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
        if key == "$ref" and (name := inner.removeprefix(REF)) not in recursive:
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
    own = {value["$ref"].removeprefix(REF)} if isinstance(value.get("$ref"), str) else set()
    return own.union(*(_references(one) for one in value.values()))


def _reachable(name: str, definitions: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    open_names = _references(definitions[name])
    while open_names:
        found |= open_names
        open_names = set().union(*(_references(definitions[one]) for one in open_names)) - found
    return found
