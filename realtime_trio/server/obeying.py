"""What rules can obey in the instructions of one response: to say a line, and to greet."""

import re
from collections.abc import Iterator

__all__ = ["asked_line", "news", "obey", "paraphrase", "sentence"]

_FENCED = re.compile(
    r"^\s*(?:please\s+)?(?:say|speak|read|repeat)\b.*?\b(?:word for word|verbatim|exactly)\b.*?"
    r"(?P<fence>\"\"\"|'''|```)\n?(?P<words>.*)\n?(?P=fence)\s*$",
    re.IGNORECASE | re.DOTALL,
)
_SAY = re.compile(
    r"^\s*(?:please\s+)?(?P<verb>say|greet|welcome|introduce yourself)\b"
    r"(?P<exactly>\s+exactly)?\s*:?\s*(?P<words>.*?)\s*$",
    re.IGNORECASE | re.DOTALL,
)
_NEWS = re.compile(r"\btell the user\b[^\n]*\n(?P<words>.+)$", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"[\"“](?P<words>.+)[\"”]\W*", re.DOTALL)


def asked_line(instructions: str) -> str | None:
    """Find the text that a response is to say word for word: in fences, quoted, or behind `Say exactly:`.

    Returns:
        The text; None when the instructions ask for no text, or for one in the model's own words.
    """
    fenced = _FENCED.match(instructions)
    if fenced is not None:
        return fenced["words"].removesuffix("\n")
    match = _SAY.match(instructions)
    if match is None or match["verb"].lower() != "say":
        return None
    quoted = _QUOTED.fullmatch(match["words"])
    if quoted is not None:
        return quoted["words"]
    return match["words"] if match["exactly"] else None


def obey(instructions: str) -> Iterator[str]:
    """Follow the instructions of a response as far as rules can: "Say ...", "Greet ...".

    The last paragraph counts too, when all of it together is nothing to obey: in front of a greeting stand the
    session's own instructions.

    Yields:
        What to say; nothing when there is nothing to obey.
    """
    for told in (instructions, instructions.rstrip().rpartition("\n\n")[2]):
        said = list(_obey(told))
        if said:
            yield from said
            return


def news(text: str) -> str | None:
    """Find what a system message wants the user to be told: what stands in the lines behind "Tell the user ...".

    Returns:
        The text; None when it is no such message.
    """
    match = _NEWS.search(text)
    return match["words"].strip() if match else None


def _obey(told: str) -> Iterator[str]:
    line = asked_line(told)
    if line is not None:
        yield line
        return
    match = _SAY.match(told)
    if match is None:
        return
    words = match["words"]
    if match["verb"].lower() != "say" or re.match(r"(?:hello|hi)\b.*\s\w+\s\w", words, re.IGNORECASE | re.DOTALL):
        yield "Hello! "
        yield "What can I do for you?"
    elif words:
        yield sentence(words)


def sentence(text: str) -> str:
    """Give spoken words a capital and a full stop where they have none."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def paraphrase(line: str) -> str:
    """Say a line in other words, as models now and then do who were asked to say it word for word."""
    keeps_capital = re.match(r"I\b|[A-Z]{2}", line)
    return f"Well, {line if keeps_capital else line[:1].lower() + line[1:]}"
