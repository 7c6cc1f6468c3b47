"""Repairs of a JSON text as text: lone surrogates, and the outline of what is nested too deeply to be read.

Both are for texts that the decoder refused; what is made of them is decided in `salvage`.
"""

import re

import msgspec

__all__ = ["outline", "repair_surrogates"]

# An escape of any kind is one match, so that the second backslash of `\\ud800` does not begin one of its own.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_LONE_ESCAPE_LENGTH = len(r"\ud800")

_LEXEME = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}:,]|[^][{}:,"\s]+|\s+|"', re.DOTALL)
_OPENING = {"}": "{", "]": "["}
_MOST_OUTLINED = 2**18  # characters; they are gone through one by one, and nothing that is meant well is so long


def repair_surrogates(text: str) -> str:
    """Replace what is half of a surrogate pair by U+FFFD, whether it is escaped or not."""
    if not text.isascii():
        # Through UTF-16 the halves of a pair find each other, and only those left alone are replaced.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _ESCAPE.sub(_replace_lone, text)


def _replace_lone(match: re.Match[str]) -> str:
    escape = match[0]
    lone = len(escape) == _LONE_ESCAPE_LENGTH and escape[2] in "dD"
    return r"\ufffd" if lone else escape


def outline(text: str) -> dict[str, str] | None:
    """Find the outermost string members of an object without reading what is nested in it, at any depth.

    Returns:
        The members that are strings, the last of each name; None if the brackets do not match or it is not an object.
        Of a text that is longer than 256 Ki characters, those that stand in so much of it.
    """
    members: dict[str, str] = {}
    open_brackets: list[str] = []
    before: list[str] = ["", ""]  # the two lexemes before this one
    ended, is_cut = False, len(text) > _MOST_OUTLINED
    for match in _LEXEME.finditer(text, 0, _MOST_OUTLINED):
        lexeme = match[0]
        if lexeme.isspace():
            continue
        if is_cut and lexeme == '"':  # of a string that goes on beyond
            break
        if ended or lexeme == '"' or (not open_brackets and lexeme != "{"):
            return None
        if lexeme in "{[":
            open_brackets.append(lexeme)
        elif lexeme in "}]":
            if open_brackets.pop() != _OPENING[lexeme]:
                return None
            ended = not open_brackets
        elif len(open_brackets) == 1 and before[1] == ":" and lexeme[0] == before[0][:1] == '"':
            members[_unquote(before[0])] = _unquote(lexeme)
        before = [before[1], lexeme]
    return members if ended or is_cut else None


def _unquote(lexeme: str) -> str:
    try:
        return msgspec.json.decode(repair_surrogates(lexeme), type=str)
    except msgspec.DecodeError:
        return ""
