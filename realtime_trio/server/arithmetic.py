"""Reads and works out arithmetic, typed or spoken: `12*3+4`, "what is twelve times three".

A small recursive-descent parser over exact fractions; Python's own rules of precedence. No `eval`: the text comes from
outside. Whether a text is a question of arithmetic at all is decided here, too: everything in it must be understood.
"""

import re
from fractions import Fraction

import attrs

from realtime_trio.server.number_words import read_number

__all__ = ["Calculation", "calculate", "figures"]

_LEAD_IN = re.compile(
    r"^(?:(?:please|so|hey|okay|ok|and|now|tell me|can you|could you|calculate|compute|work out"
    r"|(?:what|how much)(?:'s|s| is| are| does)|the result of|result of)[\s,:]+)*"
)
_TAIL = re.compile(r"(?:\s*(?:please|equals?|make|=|\?|!|\.))*$")
_FIGURES = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+")
_TOKEN = re.compile(_FIGURES.pattern + r"|\*\*|[a-z]+|[-+*/^()×÷−·:%]|\S")  # noqa: RUF001 - typographic signs
_PHRASES = (
    ("to the power of", "**"),
    ("raised to", "**"),
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("percent of", "%"),
    ("per cent of", "%"),
    ("% of", "%"),
)
_SIGNS = {
    "+": "+", "plus": "+", "add": "+",
    "-": "-", "−": "-", "minus": "-", "negative": "-", "less": "-",  # noqa: RUF001
    "*": "*", "×": "*", "·": "*", "x": "*", "times": "*",  # noqa: RUF001
    "/": "/", "÷": "/", ":": "/", "over": "/",
    "**": "**", "^": "**", "%": "%", "(": "(", ")": ")", "squared": "squared", "cubed": "cubed",
}  # fmt: skip
_OPERATIONS = set(_SIGNS.values()) - {"(", ")"}
_SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "**": "to the power of", "%": "percent of"}
_MAX_TOKENS, _MAX_DEPTH, _MAX_EXPONENT, _MAX_BITS = 200, 40, 64, 4096


class _NotArithmetic(Exception):
    """The text is about something else."""


@attrs.frozen
class Calculation:
    """A question of arithmetic and its answer.

    Attributes:
        spoken: The question as it may be said again, numbers in figures: `"12 times 3"`.
        value: The exact result; None when it divides by zero.
    """

    spoken: str
    value: Fraction | None


def figures(value: Fraction) -> str:
    """Write a number in figures: whole numbers in full, others rounded to six significant figures."""
    if value.denominator == 1:
        return str(value.numerator)
    try:
        return f"{float(value):.6g}"
    except OverflowError:
        return str(round(value))


def calculate(text: str) -> Calculation | None:
    """Work out a text, if all of it is arithmetic with at least one operation.

    Args:
        text: For example `"What's (2 + 3) * 4?"` or `"twenty one divided by seven"`.

    Returns:
        The calculation, or None if the text is about something else (or absurdly large).
    """
    text = _LEAD_IN.sub("", text.lower().replace("’", "'").strip())  # noqa: RUF001 - a typographic apostrophe
    text = _TAIL.sub("", text)
    for phrase, sign in _PHRASES:
        text = text.replace(phrase, f" {sign} ")
    try:
        tokens = _tokens(text)
        if len(tokens) > _MAX_TOKENS or not any(token in _OPERATIONS for token in tokens):
            return None
        return Calculation(_say(tokens), _Parser(tokens).result())
    except _NotArithmetic:
        return None


def _say(tokens: list[Fraction | str]) -> str:
    words = " ".join(figures(token) if isinstance(token, Fraction) else _SPOKEN.get(token, token) for token in tokens)
    return words.replace("( ", "(").replace(" )", ")")


def _tokens(text: str) -> list[Fraction | str]:
    """Cut a text into numbers and signs.

    Raises:
        _NotArithmetic: Something in it is neither.
    """
    words: list[str] = _TOKEN.findall(_unhyphenate(text))
    tokens: list[Fraction | str] = []
    index = 0
    while index < len(words):
        word = words[index]
        number = read_number(words, index)
        if _FIGURES.fullmatch(word):
            tokens.append(Fraction(word.replace(",", "")))
            index += 1
        elif number is not None:
            value, index = number
            decimals, index = _spoken_decimals(words, index)
            tokens.append(value + decimals)
        elif word in _SIGNS:
            tokens.append(_SIGNS[word])
            index += 1
        else:
            raise _NotArithmetic
    return tokens


def _unhyphenate(text: str) -> str:
    """Make "twenty-one" two words; a hyphen between figures or signs is a minus."""
    return re.sub(r"(?<=ty)-(?=[a-z])", " ", text)


def _spoken_decimals(words: list[str], index: int) -> tuple[Fraction, int]:
    """Read "point one four" behind a number."""
    if index + 1 >= len(words) or words[index] != "point":
        return Fraction(0), index
    value, weight, index = Fraction(0), Fraction(1, 10), index + 1
    while (digit := read_number(words[index : index + 1])) is not None and digit[0] < 10:  # noqa: PLR2004
        value += digit[0] * weight
        weight /= 10
        index += 1
    return value, index


class _Parser:
    """One method per rule of the grammar.

    ```
    sum = product {("+" | "-") product}             factor = ["-" | "+"] factor | atom ["**" factor]
    product = factor {("*" | "/" | "%") factor}     atom = number | "(" sum ")", then {"squared" | "cubed"}
    ```
    """

    def __init__(self, tokens: list[Fraction | str]) -> None:
        self._tokens = tokens
        self._next = 0

    def _peek(self) -> Fraction | str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> Fraction | str:
        token = self._peek()
        if token is None:
            raise _NotArithmetic
        self._next += 1
        return token

    def result(self) -> Fraction | None:
        """Work out all tokens: the value, or None when it divides by zero.

        Raises:
            _NotArithmetic: They are not a sum.
        """
        try:
            value = self._sum(0)
        except ZeroDivisionError:
            return None  # whatever follows
        if self._peek() is not None:
            raise _NotArithmetic
        return value

    def _sum(self, depth: int) -> Fraction:
        if depth > _MAX_DEPTH:
            raise _NotArithmetic
        value = self._product(depth)
        while self._peek() in ("+", "-"):
            value = value + self._product(depth) if self._take() == "+" else value - self._product(depth)
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._factor(depth)
        while (sign := self._peek()) in ("*", "/", "%"):
            self._take()
            other = self._factor(depth)
            if sign == "/":
                value /= other
            else:
                value = value * other if sign == "*" else value / 100 * other
            _check_size(value)
        return value

    def _factor(self, depth: int) -> Fraction:
        if depth > _MAX_DEPTH:
            raise _NotArithmetic
        if self._peek() in ("-", "+"):
            return -self._factor(depth + 1) if self._take() == "-" else self._factor(depth + 1)
        value = self._atom(depth)
        if self._peek() == "**":
            self._take()
            return _power(value, self._factor(depth + 1))
        return value

    def _atom(self, depth: int) -> Fraction:
        first = self._take()
        if isinstance(first, Fraction):
            value = first
        elif first == "(":
            value = self._sum(depth + 1)
            if self._take() != ")":
                raise _NotArithmetic
        else:
            raise _NotArithmetic
        while self._peek() in ("squared", "cubed"):
            value = _power(value, Fraction(2 if self._take() == "squared" else 3))
        return value


def _check_size(value: Fraction) -> None:
    if value.numerator.bit_length() + value.denominator.bit_length() > _MAX_BITS:
        raise _NotArithmetic


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _MAX_EXPONENT:
        raise _NotArithmetic
    size = base.numerator.bit_length() + base.denominator.bit_length()
    if size * abs(exponent) > _MAX_BITS:
        raise _NotArithmetic
    return base**exponent.numerator
