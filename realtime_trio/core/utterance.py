"""The difference between what the model was asked to say and what it said.

The API cannot be given words to speak: it can only be asked for them, and a model says them as it likes.
"""

import re
import unicodedata

import attrs

__all__ = ["Difference", "differences"]

_WORD = re.compile(r"[^\W_]+(?:['\u2019.,:]?[^\W_]+)*")  # "don't", "3.5" and "10:30" are one word each

_MOST_EDITS = 300  # a tenth of a second; nothing else happens meanwhile


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
        The places where the words differ, in order: as few words as possible; empty when none do. Texts that have
        hundreds of words not in common are told as one difference, from the first to the last of them.
    """
    wanted, got = (_WORD.findall(unicodedata.normalize("NFKC", text)) for text in (asked, said))
    kept = _kept([_plain(word) for word in wanted], [_plain(word) for word in got])
    found = []
    at, said_at = 0, 0
    for i, j, length in kept:
        if i > at or j > said_at:
            found.append(Difference(" ".join(wanted[at:i]), " ".join(got[said_at:j])))
        at, said_at = i + length, j + length
    return tuple(found)


def _kept(a: list[str], b: list[str]) -> list[tuple[int, int, int]]:
    """Find the runs of words that both have: where in the one, where in the other, how many; at last an empty one.

    E. W. Myers, An O(ND) Difference Algorithm and Its Variations, 1986. Not `difflib`: its cost grows with the third
    power of a word's repetitions, and a model that loops says the same few words without an end.
    """
    reached = {1: 0}  # by diagonal (words dropped less words added), how far in `a` one gets
    steps: list[dict[int, int]] = []
    for edits in range(min(_MOST_EDITS, len(a) + len(b)) + 1):
        steps.append(dict(reached))
        for diagonal in range(-edits, edits + 1, 2):
            x = _onward(reached, diagonal, edits)
            while x < len(a) and x - diagonal < len(b) and a[x] == b[x - diagonal]:
                x += 1
            reached[diagonal] = x
            if x >= len(a) and x - diagonal >= len(b):
                return _traced(steps, len(a), len(b))
    first = _alike(a, b)
    last = min(_alike(a[::-1], b[::-1]), len(a) - first, len(b) - first)
    return [(0, 0, first), (len(a) - last, len(b) - last, last)]


def _adds(reached: dict[int, int], diagonal: int, edits: int) -> bool:
    """Tell whether one gets further on this diagonal by adding a word than by dropping one."""
    return diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1])


def _onward(reached: dict[int, int], diagonal: int, edits: int) -> int:
    """Take one more edit to this diagonal."""
    if not edits:
        return 0
    return reached[diagonal + 1] if _adds(reached, diagonal, edits) else reached[diagonal - 1] + 1


def _traced(steps: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int, int]]:
    """Go back from the ends, over the edits that led there."""
    runs = [(x, y, 0)]
    for edits in range(len(steps) - 1, -1, -1):
        reached, diagonal = steps[edits], x - y
        start = _onward(reached, diagonal, edits)
        runs.append((start, start - diagonal, x - start))
        x, y = start, start - diagonal
        if edits:
            x, y = (x, y - 1) if _adds(reached, diagonal, edits) else (x - 1, y)
    return [run for run in runs[::-1] if run[2]] + runs[:1]


def _alike(a: list[str], b: list[str]) -> int:
    """Count the words with which both begin."""
    return next((n for n, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def _plain(word: str) -> str:
    return word.replace("\u2019", "'").casefold()
