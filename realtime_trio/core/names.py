"""The names that functions may have: what the API takes, made of what others allow."""

import re

__all__ = ["function_name"]

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 64


def function_name(name: str) -> str:
    """Make a name of 1 to 64 letters, digits, `_` and `-` of any other: MCP allows characters that the API refuses.

    Args:
        name: The name, not empty.

    Returns:
        The same, where it is one; else with `_` for what is not allowed, and cut.
    """
    return _ILLEGAL.sub("_", name)[:_LONGEST]
