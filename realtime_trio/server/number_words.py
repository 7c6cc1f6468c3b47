"""Whole numbers in English words and back. What is done with them stands in `arithmetic` and `brain`."""

from collections.abc import Sequence

__all__ = ["LARGEST", "in_words", "read_number"]

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = (("trillion", 10**12), ("billion", 10**9), ("million", 10**6), ("thousand", 10**3))

_UNITS = {word: value for value, word in enumerate(_SMALL)} | {"oh": 0, "nought": 0}
_TENS_VALUES = {word: 10 * value for value, word in enumerate(_TENS, start=2)}
_SCALE_VALUES = dict(_SCALES)

LARGEST = 10**15 - 1
"""The largest number that `in_words` knows words for."""


def in_words(number: int) -> str:
    """Write a whole number in words, for example `"two hundred and five"` or `"minus twenty-one"`.

    Raises:
        ValueError: It is further from zero than `LARGEST`.
    """
    if abs(number) > LARGEST:
        raise ValueError(f"no words for {number}")
    if number < 0:
        return f"minus {in_words(-number)}"
    words: list[str] = []
    for name, value in _SCALES:
        if number >= value:
            words.append(f"{_below_thousand(number // value)} {name}")
            number %= value
    if number or not words:
        joint = "and " if words and number < 100 else ""  # noqa: PLR2004 - two thousand AND five
        words.append(joint + _below_thousand(number))
    return " ".join(words)


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if hundreds:
        return f"{_SMALL[hundreds]} hundred" + (f" and {_below_thousand(rest)}" if rest else "")
    if rest < len(_SMALL):
        return _SMALL[rest]
    tens, units = divmod(rest, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[units]}" if units else "")


def read_number(words: Sequence[str], start: int = 0) -> tuple[int, int] | None:
    """Read the longest number (not negative) that begins at a word.

    Args:
        words: Lower case words without hyphens.
        start: The index of the first word to read.

    Returns:
        The number and the index behind its last word, or None if no number begins there.
    """
    total, index, limit = 0, start, LARGEST + 1
    while (group := _read_below_thousand(words, _skip_and(words, index, start))) is not None:
        value, after = group
        scale = _SCALE_VALUES.get(words[after], 1) if after < len(words) else 1
        if scale >= limit or (scale == 1 and limit < 1000 and index > start):  # noqa: PLR2004 - scales only descend
            break
        total += value * scale
        index = after + (scale > 1)
        limit = scale
        if scale == 1:
            break
    return None if index == start else (total, index)


def _skip_and(words: Sequence[str], index: int, start: int) -> int:
    """Step over the "and" inside a number: "a thousand AND five"."""
    return index + 1 if start < index < len(words) and words[index] == "and" else index


def _read_below_thousand(words: Sequence[str], index: int) -> tuple[int, int] | None:
    """Read `[a | units] hundred [and tens units]`, or `tens units`."""
    first = words[index] if index < len(words) else ""
    following = words[index + 1] if index + 1 < len(words) else ""
    if first == "a" and (following == "hundred" or following in _SCALE_VALUES):
        value, after = 1, index + 1
    else:
        small = _read_below_hundred(words, index)
        if small is None:
            return None
        value, after = small
    if after < len(words) and words[after] == "hundred" and 0 < value < 100:  # noqa: PLR2004 - "twelve hundred", too
        value, after = 100 * value, after + 1
        joint = after + 1 if after < len(words) and words[after] == "and" else after
        rest = _read_below_hundred(words, joint)
        if rest is not None:
            return value + rest[0], rest[1]
    return value, after


def _read_below_hundred(words: Sequence[str], index: int) -> tuple[int, int] | None:
    first = words[index] if index < len(words) else ""
    if first in _UNITS:
        return _UNITS[first], index + 1
    if first not in _TENS_VALUES:
        return None
    units = _UNITS.get(words[index + 1], 0) if index + 1 < len(words) else 0
    if 0 < units < 10:  # noqa: PLR2004
        return _TENS_VALUES[first] + units, index + 2
    return _TENS_VALUES[first], index + 1
