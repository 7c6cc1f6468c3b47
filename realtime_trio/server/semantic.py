"""Semantic turn detection: a pause ends a turn sooner or later, by how finished the words before it are.

```
           pause of 200 ms             score                    waited that long
 speaking ────────────────> listening ───────> waiting ─────────────────────────> the turn is over
     ^                          │ speech            │ speech
     └──────────────────────────┴───────────────────┘
```
The turn detector finds the pauses. At each, the recogniser is asked what was said so far (`finishing` scores its
answer); the turn is held open meanwhile. The waiting time counts from the last loud sound, on the timeline of the
sound, and never exceeds what the API documents for the eagerness. Pure: no clock, no I/O.
"""

from collections.abc import Sequence

import attrs

from realtime_trio.server import guesses
from realtime_trio.server.seams import SAMPLE_RATE, SpeechStarted, SpeechStopped

__all__ = ["Pause", "SemanticEnds", "wait_ms"]


def wait_ms(score: float, eagerness: str) -> float:
    """Tell how much silence ends a turn whose words have that score, from 0 (more to come) to 1 (finished)."""
    shortest, longest = guesses.SEMANTIC_SHORTEST_MS[eagerness], guesses.SEMANTIC_LONGEST_MS[eagerness]
    return float(shortest * (longest / shortest) ** (1 - min(max(score, 0.0), 1.0)))


@attrs.frozen
class Pause:
    """A pause in a turn, about which the recogniser is asked.

    Attributes:
        number: Which one.
        start: Where the turn began, on the timeline of the sound.
        quiet: Where the last loud sound ended.
        end: Where the pause was noticed.
    """

    number: int
    start: int
    quiet: int
    end: int


class SemanticEnds:
    """Makes ends of turns of the pauses that a turn detector finds.

    Attributes:
        eagerness: `low`, `medium`, `high` or `auto`.
    """

    def __init__(self, eagerness: str) -> None:
        self.eagerness = eagerness
        self._start = 0
        self._pause: Pause | None = None
        self._guess = 0.0  # what the pause is scored without words
        self._score: float | None = None  # by the recogniser's answer
        self._number = 0

    @property
    def holding(self) -> bool:
        """Whether a turn is held open in a pause."""
        return self._pause is not None

    def reset(self) -> None:
        """Forget the turn; answers about its pause are ignored."""
        self._pause = None

    def started(self, event: SpeechStarted, onset: int) -> Sequence[SpeechStarted | SpeechStopped]:
        """Take a start that the detector found: of a turn, or of more of the one that is held open.

        Args:
            event: The detector's.
            onset: Where the speech itself begins, without padding.
        """
        ended: list[SpeechStarted | SpeechStopped] = []
        if self._pause is not None:
            # Nobody may have answered yet; sound that came faster than real time is not held together by that.
            limit = self._limit(self._guess if self._score is None else self._score)
            self._pause = None
            if onset <= limit:
                return ()
            ended.append(SpeechStopped(limit))
            event = SpeechStarted(max(event.start, limit))
        self._start = event.start
        return [*ended, event]

    def paused(self, event: SpeechStopped, pause: int) -> Pause:
        """Take a pause that the detector found.

        Args:
            event: The detector's.
            pause: Samples of silence that it waited for.
        """
        self._number += 1
        self._score = None
        self._pause = Pause(self._number, self._start, event.end - pause, event.end)
        return self._pause

    def guess(self, score: float) -> None:
        """Score the pause as it is without words."""
        self._guess = score

    def understood(self, number: int, score: float) -> None:
        """Take the score of what was said before a pause; one that is over is ignored."""
        if self._pause is not None and self._pause.number == number:
            self._score = score

    def ended(self, written: int) -> SpeechStopped | None:
        """Say whether the pause has ended the turn by now.

        Args:
            written: How far the timeline has come.
        """
        if self._pause is None:
            return None
        limit = self._limit(0.0 if self._score is None else self._score)  # the longest, until somebody answers
        if written < limit:
            return None
        self._pause = None
        return SpeechStopped(limit)

    def _limit(self, score: float) -> int:
        assert self._pause is not None  # noqa: S101 - asked by its callers
        waited = round(wait_ms(score, self.eagerness) * SAMPLE_RATE / 1000)
        return max(self._pause.end, self._pause.quiet + waited)
