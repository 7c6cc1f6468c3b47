"""Which tool the model has to call: short ways to say it, and whether a choice forces a call.

Pure. What the wire itself takes goes through as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from realtime_trio import events
from realtime_trio.errors import ConfigurationError

__all__ = ["ToolChoiceSetting", "choose_tool", "name_of"]

ToolChoiceSetting: TypeAlias = events.ToolChoice | Callable[..., Any]
"""`"auto"`, `"none"`, `"required"`, the name of a tool or the tool itself, or the wire's struct."""

_WORDS = ("auto", "none", "required")


def choose_tool(choice: Any, tools: Iterable[Any] | events.UnsetType | None) -> Any:
    """Turn what a program says into what the wire takes.

    Args:
        choice: `"auto"`, `"none"`, `"required"`; the name of a function, the function, or the label of an MCP server;
            or what the wire has for it, which is not looked at.
        tools: The definitions among which the name has to be.

    Returns:
        The wire's shape.

    Raises:
        ConfigurationError: The name is none of the tools, or it is None. The words say which there are.
    """
    if choice is None:
        raise ConfigurationError(
            "tool_choice is not None: leave it out, or 'none' for no calls, 'auto' for free choice"
        )
    choice = name_of(choice)
    if not isinstance(choice, str) or choice in _WORDS:
        return choice
    definitions = list(tools or ()) if tools is not events.UNSET else []
    names = [_field(one, "name") for one in definitions]
    labels = [_field(one, "server_label") for one in definitions]
    if choice in names:
        return events.ToolChoiceFunction(name=choice)
    if choice in labels:
        return events.ToolChoiceMcp(server_label=choice)
    there_is = ", ".join(repr(one) for one in (*_WORDS, *names, *labels) if one)
    raise ConfigurationError(
        f"tool_choice is {choice!r}, which is none of the tools. There is: {there_is}. (What only the server knows can "
        "be given as events.ToolChoiceFunction(name=...).)"
    )


def name_of(choice: Any) -> Any:
    """Give the name of a tool that is given itself; everything else stays what it is."""
    return (getattr(choice, "name", None) or getattr(choice, "__name__", "")) if callable(choice) else choice


def _field(definition: Any, name: str) -> str:
    value = definition.get(name) if isinstance(definition, Mapping) else getattr(definition, name, None)
    return value if isinstance(value, str) else ""
