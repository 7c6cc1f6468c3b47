"""The difference between what the model was asked to say and what it said.

The API cannot be given words to speak: it can only be asked for them, and a model says them as it likes.
"""

import difflib
import re
import unicodedata

import attrs

__all__ = ["Difference", "differences"]

_WORD = re.compile(r"[^\W_]+(?:['\u2019.,:]?[^\W_]+)*")  # "don't", "3.5" and "10:30" are one word each


@attrs.frozen
class Difference:
    """One place where other words were said than were asked for.

    Attributes:
        asked: The words that were to be said there; empty where something was added.
        said: The words that were said instead; empty where something was left out.
    """

    asked: str
    said: str


def differences(asked: str, said: str) -> tuple[Difference, ...]:
    """Compare word by word; case, punctuation and the way in which a letter is encoded do not count.

    Args:
        asked: What was to be said.
        said: What was said.

    Returns:
        The places where the words differ, in order; empty when they do not.
    """
    wanted, got = (_WORD.findall(unicodedata.normalize("NFKC", text)) for text in (asked, said))
    plain = [_plain(word) for word in wanted], [_plain(word) for word in got]
    matcher = difflib.SequenceMatcher(None, *plain, autojunk=False)
    return tuple(
        Difference(" ".join(wanted[a:b]), " ".join(got[c:d]))
        for tag, a, b, c, d in matcher.get_opcodes()
        if tag != "equal"
    )


def _plain(word: str) -> str:
    return word.replace("\u2019", "'").casefold()
