"""The notice of a recording that came to an early end. What is recorded, and how, is no business of the session."""

import attrs

__all__ = ["RecordingStopped"]


@attrs.frozen
class RecordingStopped:
    """Nothing is recorded any more: the disk is full, too slow, or refuses. The session goes on.

    Attributes:
        words: What happened. What was written until then can be read.
    """

    words: str
