"""What an interruption is, as values: what it ends, what the server is told, what the program gets to know.

They are made in `core.interrupter`.
"""

from typing import TypeAlias

import attrs

from realtime_trio.events import ErrorDetails

from .playout import PartKey

__all__ = [
    "Delete",
    "Interrupted",
    "Interruption",
    "InterruptionPlan",
    "Repair",
    "Truncate",
    "is_benign",
]

_BENIGN_CODES = frozenset(
    {
        "response_cancel_not_active",
        "item_already_truncated",
        "item_truncate_invalid_item_id",
        "item_delete_invalid_item_id",
    }
)
_BENIGN_WORDS = ("already shorter than", "already truncated", "no active response", "does not exist")


@attrs.frozen
class Delete:
    """Send `conversation.item.delete`: nothing of this item was heard."""

    item_id: str


@attrs.frozen
class Truncate:
    """Send `conversation.item.truncate`: the sound of this part ended here.

    Attributes:
        audio_end_ms: Milliseconds from the part's beginning, never more than what was received.
    """

    item_id: str
    content_index: int
    audio_end_ms: int


Repair: TypeAlias = Delete | Truncate


@attrs.frozen
class InterruptionPlan:
    """The first step of an interruption.

    Attributes:
        reason: What interrupted, in the session's words.
        response_ids: The responses that end here, in the order in which they were made. Give them to
            `PlayoutLedger.cut`, also when there was no sound yet.
        cancel: Those to send `response.cancel` for, by id, before anything else.
        heard: How many milliseconds of their parts had left the speaker.
        why: More about the reason, in the words of whoever interrupted.
    """

    reason: str
    response_ids: tuple[str, ...]
    cancel: tuple[str, ...]
    heard: dict[PartKey, int] = attrs.field(factory=dict, repr=False)
    why: str = ""

    def __bool__(self) -> bool:
        """Whether there was anything to interrupt."""
        return bool(self.response_ids)


@attrs.frozen
class Interrupted:
    """One audio part that an interruption met.

    Attributes:
        response_id: The response that made it.
        item_id: Its item.
        content_index: Its place in the item.
        heard_ms: What had left the speaker when the interruption came.
        cut_ms: What came out in the end, the fade included: where the server was told that it ended.
        received_ms: What the server had sent.
        generated_text: Its transcript as far as it had been generated, also the part that nobody heard.
        heard_text: The words of it that came out, about: whole words from its beginning.
    """

    response_id: str
    item_id: str
    content_index: int
    heard_ms: int
    cut_ms: int
    received_ms: int
    generated_text: str = ""
    heard_text: str = ""


@attrs.frozen
class Interruption:
    """What was interrupted, and where.

    Attributes:
        reason: What interrupted.
        response_ids: The responses that ended.
        parts: Their audio parts, in the order of their first audio; empty for text, and before the first sound arrived.
        why: What the guard said, where the reason is `"guard"`.
    """

    reason: str
    response_ids: tuple[str, ...]
    parts: tuple[Interrupted, ...]
    why: str = ""

    @property
    def heard_ms(self) -> int:
        """Milliseconds of all parts that had left the speaker when the interruption came."""
        return sum(part.heard_ms for part in self.parts)

    @property
    def cut_ms(self) -> int:
        """Milliseconds of all parts that came out in the end."""
        return sum(part.cut_ms for part in self.parts)

    @property
    def received_ms(self) -> int:
        """Milliseconds of all parts that the server had sent."""
        return sum(part.received_ms for part in self.parts)

    @property
    def heard_text(self) -> str:
        """The words of all parts that came out, about; see `ConversationItem.heard_text`."""
        return "".join(part.heard_text for part in self.parts)

    @property
    def generated_text(self) -> str:
        """The words of all parts as far as they had been generated."""
        return "".join(part.generated_text for part in self.parts)


def is_benign(error: ErrorDetails) -> bool:
    """Tell whether an error only says that a cancel, a truncation or a deletion came too late to matter.

    Args:
        error: What an `error` event carries.

    Returns:
        True for: not active, already shorter, already truncated, no such item.
    """
    message = error.message.lower()
    return error.code in _BENIGN_CODES or any(words in message for words in _BENIGN_WORDS)
