"""Tool calls out of words, and words out of tool outputs: the part of the rules brain that reads JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_trio.server.seams import ToolCall, ToolSpec

__all__ = ["asked_calls", "fill_arguments", "say_output", "takes_a_place", "weather_tool"]

_CALL = re.compile(r"\bcall\s+(?P<name>[A-Za-z_][\w.-]*)\s*(?P<arguments>\{.*)", re.DOTALL | re.IGNORECASE)
_CALL_START = re.compile(r"\bcall\s+[A-Za-z_][\w.-]*\s*\{", re.IGNORECASE)
_PLACES = ("city", "location", "place", "town", "where", "address")
_LONGEST_SAID = 600


def asked_calls(text: str) -> list[ToolCall]:
    """Find every `call NAME {json}` in a text.

    Returns:
        The calls in order, whether or not such tools exist: what an unknown name leads to is the client's to show.
        Arguments that are not JSON are passed on as they stand, for the same reason.
    """
    calls: list[ToolCall] = []
    position = 0
    while (match := _CALL.search(text, position)) is not None:
        start = match.start("arguments")
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            following = _CALL_START.search(text, start)
            end = following.start() if following else len(text)
        calls.append(ToolCall(match["name"], text[start:end].strip()))
        position = end
    return calls


def weather_tool(tools: Sequence[ToolSpec]) -> ToolSpec | None:
    """Find the client's tool for the weather, by its name, else by its description."""
    named = (tool for tool in tools if "weather" in tool.name.lower())
    described = (tool for tool in tools if "weather" in tool.description.lower())
    return next(named, None) or next(described, None)


def _properties(tool: ToolSpec) -> Mapping[str, Any]:
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _required(tool: ToolSpec) -> list[str]:
    required = tool.parameters.get("required")
    return [name for name in required if name in _properties(tool)] if isinstance(required, (list, tuple)) else []


def _kind(schema: Any) -> Any:
    """Give the first type that a schema allows, if it says so plainly."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return next(iter(kind), None) if isinstance(kind, (list, tuple)) else kind


def _place_property(tool: ToolSpec) -> str | None:
    """Find the argument that takes a place: by name, else the first required text, else the first text."""
    properties = _properties(tool)
    texts = [
        name for name, schema in properties.items() if isinstance(schema, Mapping) and schema.get("type") == "string"
    ]
    by_name = [name for word in _PLACES for name in properties if word in name.lower()]
    by_need = [name for name in _required(tool) if name in texts]
    free = [name for name in by_need + texts if "enum" not in properties[name]]
    return next(iter(by_name + free), None)


def takes_a_place(tool: ToolSpec) -> bool:
    """Tell whether a tool cannot be called without naming a place."""
    name = _place_property(tool)
    return name is not None and name in _required(tool)


def _some_value(schema: Any, text: str) -> Any:
    """Make the plainest value that a schema allows."""
    if not isinstance(schema, Mapping):
        return text
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), (list, tuple)) and schema["enum"]:
        return schema["enum"][0]
    plainest: dict[Any, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}, "null": None}
    return plainest.get(_kind(schema), text)


def fill_arguments(tool: ToolSpec, place: str | None) -> dict[str, Any]:
    """Make arguments for a tool: the place where one belongs, the plainest value for whatever else is required."""
    arguments: dict[str, Any] = {}
    name = _place_property(tool)
    if name is not None and place is not None:
        arguments[name] = place
    for needed in _required(tool):
        arguments.setdefault(needed, _some_value(_properties(tool)[needed], place or "something"))
    return arguments


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _in_words(value: Any) -> str:
    """Say a JSON value."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_in_words(item)}" for key, item in value.items()) or "nothing"
    if isinstance(value, list):
        return ", ".join(_in_words(item) for item in value) or "nothing"
    return (
        {None: "nothing", True: "yes", False: "no"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def _degrees(output: Mapping[str, Any]) -> tuple[str, str] | None:
    """Find the temperature in an output: its key, and how it is said."""
    for key, value in output.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            for word, unit in (
                ("celsius", "degrees Celsius"),
                ("fahrenheit", "degrees Fahrenheit"),
                ("temp", "degrees"),
            ):
                if word in key.lower():
                    return key, f"{value} {unit}"
    return None


def say_output(name: str, arguments: str, output: str) -> str:
    """Put a tool's output into a sentence that contains what it says, with a space behind it.

    Args:
        name: The tool; may be empty.
        arguments: The call's arguments as JSON.
        output: What the client answered: JSON, or any text.
    """
    value, asked = _parsed(output), _parsed(arguments)
    places = [key for key in asked if any(word in key.lower() for word in _PLACES)] if isinstance(asked, dict) else []
    where = f" in {asked[places[0]]}" if places else ""
    if isinstance(value, dict) and (found := _degrees(value)) is not None:
        key, degrees = found
        rest = {other: item for other, item in value.items() if other != key}
        said = f"It is {degrees}{where}{', ' + _in_words(rest) if rest else ''}"
    elif isinstance(value, dict) and set(value) == {"error"}:
        said = f"The tool {name or 'that was called'} failed: {_in_words(value['error'])}"
    else:
        said = f"The tool {name or 'that was called'} says: {_in_words(value)}"
    if len(said) > _LONGEST_SAID:
        said = said[:_LONGEST_SAID] + " and so on"
    return said + ("" if said.endswith((".", "!", "?")) else ".") + " "
