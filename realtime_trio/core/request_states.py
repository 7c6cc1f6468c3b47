"""The life of a request for a reply, as a table: every change of its state is a look-up here.

What makes these things happen, and what is done then, is in `core.arbiter` and `core.replies`; docs/states.md draws the
table.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

__all__ = ["ENDS", "FIRST", "STATES", "TRANSITIONS", "State", "Trigger"]

State: TypeAlias = Literal[
    "owed", "asked", "recalled", "stopped", "abandoned", "settled", "over", "given up", "forgotten"
]

Trigger: TypeAlias = Literal[
    "its turn came",  # slot and floor are free
    "created",  # the response that its own create asked for
    "shared",  # a response that was made for somebody else answers it as well
    "rejected",  # "already has an active response"
    "rejected for too long",
    "put off",  # by a rate limit that passes soon
    "refused",  # any other error
    "unanswered",
    "user spoke",
    "program stopped",
    "asker left",
    "link lost",
    "another's",  # the response that was taken for its own by order is another's
    "came to nothing",  # the response failed, or was cut before any of it was heard
    "came to nothing for good",  # a second time, or in a way that does not pass
    "answered",
]

FIRST: Final[State] = "owed"

STATES: Final[Mapping[State, str]] = {
    "owed": "Waits until slot and floor are free.",
    "asked": "Its `response.create` is sent, and not answered yet.",
    "recalled": "Asked, then the user spoke: its response is cancelled when it is created, and the reply owed again.",
    "stopped": "Asked, then the program said stop: its response is cancelled when it is created, and is the reply.",
    "abandoned": "Asked, then its asker left: its response is cancelled when it is created, and is nobody's.",
    "settled": "A response was created that is the reply, unless it comes to nothing.",
    "over": "The reply was heard, or ended for good.",
    "given up": "There is no reply, and its asker was told why.",
    "forgotten": "Nobody wants it.",
}
"""What each state means."""

ENDS: Final[frozenset[State]] = frozenset({"over", "given up", "forgotten"})

TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    # owed
    ("owed", "its turn came"): "asked",
    ("owed", "shared"): "settled",
    ("owed", "asker left"): "forgotten",
    # asked
    ("asked", "created"): "settled",
    ("asked", "shared"): "settled",
    ("asked", "rejected"): "owed",
    ("asked", "rejected for too long"): "given up",
    ("asked", "put off"): "owed",
    ("asked", "refused"): "given up",
    ("asked", "unanswered"): "given up",
    ("asked", "link lost"): "owed",
    ("asked", "user spoke"): "recalled",
    ("asked", "program stopped"): "stopped",
    ("asked", "asker left"): "abandoned",
    # recalled
    ("recalled", "created"): "owed",
    ("recalled", "shared"): "settled",
    ("recalled", "rejected"): "owed",
    ("recalled", "rejected for too long"): "given up",
    ("recalled", "put off"): "owed",
    ("recalled", "refused"): "given up",
    ("recalled", "unanswered"): "given up",
    ("recalled", "link lost"): "owed",
    ("recalled", "user spoke"): "recalled",
    ("recalled", "program stopped"): "stopped",
    ("recalled", "asker left"): "abandoned",
    # stopped
    ("stopped", "created"): "settled",
    ("stopped", "rejected"): "given up",
    ("stopped", "refused"): "given up",
    ("stopped", "unanswered"): "given up",
    ("stopped", "link lost"): "given up",
    ("stopped", "user spoke"): "stopped",  # the program's word stands
    ("stopped", "program stopped"): "stopped",
    ("stopped", "asker left"): "abandoned",
    # abandoned
    ("abandoned", "created"): "forgotten",
    ("abandoned", "rejected"): "forgotten",
    ("abandoned", "refused"): "forgotten",
    ("abandoned", "unanswered"): "forgotten",
    ("abandoned", "link lost"): "forgotten",
    ("abandoned", "user spoke"): "abandoned",
    ("abandoned", "program stopped"): "abandoned",
    ("abandoned", "asker left"): "abandoned",
    # settled
    ("settled", "answered"): "over",
    ("settled", "came to nothing"): "owed",
    ("settled", "came to nothing for good"): "given up",
    ("settled", "another's"): "owed",
    ("settled", "refused"): "given up",  # by its own create, so what settled it is another's
    ("settled", "link lost"): "owed",
    ("settled", "asker left"): "forgotten",
}
"""What becomes of a request in a state when something happens. What is not here cannot happen."""
