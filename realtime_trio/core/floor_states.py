"""Whose turn it is to speak, as a table. What tells that these things happened is in `core.floor`.

docs/states.md draws the table.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

__all__ = ["FIRST", "STATES", "TRANSITIONS", "State", "Trigger"]

State: TypeAlias = Literal["nobody's", "the user's", "the key's", "promised"]

Trigger: TypeAlias = Literal[
    "speech started",
    "speech stopped",  # or a timeout for silence
    "speech stopped, to be answered",  # by a response that turn detection creates
    "committed or cleared",
    "response created",  # by turn detection
    "key pressed",
    "held",  # the key went up, or doubtful speech ended: the turn's commit is to come
    "let go",  # a tap, or the microphone is gone
    "detection on",
    "detection off",
    "no more answers",  # `create_response` went off
    "link lost",
    "speech sent again",  # on a new link, for its turn detection to find
    "time is up",
]

FIRST: Final[State] = "nobody's"

STATES: Final[Mapping[State, str]] = {
    "nobody's": "What is owed may be asked for.",
    "the user's": "They speak, or are about to have spoken; for 60 s at most.",
    "the key's": "They hold a key down to speak, for as long as they like.",
    "promised": "The server is about to answer by itself; for 2 s at most.",
}
"""What each state means."""

TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    # nobody's
    ("nobody's", "speech started"): "the user's",
    ("nobody's", "speech stopped, to be answered"): "promised",
    ("nobody's", "key pressed"): "the key's",
    ("nobody's", "held"): "the user's",
    ("nobody's", "speech sent again"): "promised",
    # the user's
    ("the user's", "speech started"): "the user's",
    ("the user's", "speech stopped"): "nobody's",
    ("the user's", "speech stopped, to be answered"): "promised",
    ("the user's", "committed or cleared"): "nobody's",
    ("the user's", "key pressed"): "the key's",
    ("the user's", "held"): "the user's",
    ("the user's", "let go"): "nobody's",
    ("the user's", "detection off"): "nobody's",  # nobody will tell when the speech ends
    ("the user's", "link lost"): "nobody's",
    ("the user's", "time is up"): "nobody's",
    # the key's: what it itself sent is answered by `cleared` and `committed`: no event of the server's knows better,
    # and it is held down whether or not there is a link
    ("the key's", "held"): "the user's",
    ("the key's", "let go"): "nobody's",
    ("the key's", "detection on"): "nobody's",
    # promised
    ("promised", "speech started"): "the user's",
    ("promised", "speech stopped, to be answered"): "promised",
    ("promised", "response created"): "nobody's",
    ("promised", "key pressed"): "the key's",
    ("promised", "held"): "the user's",
    ("promised", "detection off"): "nobody's",
    ("promised", "no more answers"): "nobody's",
    ("promised", "link lost"): "nobody's",
    ("promised", "time is up"): "nobody's",
}
"""Whose it is when something happens. What is not here changes nothing."""
