"""What a new conversation begins with, made of the items of an old one.

Theory of operation. A client can create items of most kinds, but no spoken ones, and no server takes back what it made
once. So a conversation is carried over as the words that are true of it: the user's speech as its transcript, the
assistant's as those words that people heard, a function call with its output. What has no words is left out and named.

The old one's items are in `core.snapshot_items`; sending the new ones is the session's business.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs

from realtime_trio.events import (
    UNSET,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    Item,
    Message,
    OutputText,
)

from .names import function_name
from .snapshot_items import SnapshotItem, SnapshotPart

__all__ = ["LeftOut", "LeftOutReason", "make_seeds"]

_NO_RESULT = "Error: the conversation was interrupted before this call had a result. It is not known what it did."
_ROLES = ("user", "assistant", "system")

LeftOutReason: TypeAlias = Literal[
    "not_transcribed",
    "transcript_pending",
    "transcription_failed",
    "not_heard",
    "empty",
    "image",
    "cut_off",
    "no_call",
    "mcp",
    "unknown_kind",
]


@attrs.frozen
class LeftOut:
    """Something of a snapshot that a new session cannot begin with.

    Attributes:
        item_id: The item in the old conversation.
        reason: `"not_transcribed"`, `"transcript_pending"`, `"transcription_failed"`: the user spoke, and there are no
            words of it, or not all; what words there are come along. `"not_heard"`: nobody heard any of it. `"empty"`:
            it has no words. `"image"`: the snapshot was taken without images. `"cut_off"`: a function call that was
            never made to its end. `"no_call"`: an output without its call before it, a second one, or a call without a
            `call_id`. `"mcp"`: a list of tools or an approval, which belong to the session that they were made in.
            `"unknown_kind"`: of a kind that this version does not know.
        part: The content part that it is about; None for the whole item.
    """

    item_id: str
    reason: LeftOutReason
    part: int | None = None


def make_seeds(items: tuple[SnapshotItem, ...]) -> Iterator[Item | LeftOut]:
    """Give what becomes of the items: what is to be created, and what is left out."""
    calls = _Calls(items)
    for place, item in enumerate(items):
        match item.kind:
            case "message" if item.role in _ROLES:
                yield from _message(item)
            case "function_call":
                yield from calls.call(item, place)
            case "function_call_output":
                yield from calls.output(item, place)
            case "mcp_call":
                yield from _mcp_call(item)
            case "mcp_list_tools" | "mcp_approval_request" | "mcp_approval_response":
                yield LeftOut(item.id, "mcp")
            case _:
                yield LeftOut(item.id, "unknown_kind")


def _message(item: SnapshotItem) -> Iterator[Item | LeftOut]:
    content: list[ContentPart] = []
    left_out: list[LeftOut] = []
    for index, part in enumerate(item.parts):
        made, reason = _part(item, part)
        if made is not None:
            content.append(made)
        if reason is not None and reason != "empty":
            left_out.append(LeftOut(item.id, reason, index))
    if content:
        yield Message(role=str(item.role), content=content)
        yield from left_out
    elif left_out and len({one.reason for one in left_out}) == 1:
        yield attrs.evolve(left_out[0], part=None)
    else:
        yield from left_out or [LeftOut(item.id, "empty")]


def _part(item: SnapshotItem, part: SnapshotPart) -> tuple[ContentPart | None, LeftOutReason | None]:
    """Give what becomes of a part, and what of it is missing."""
    if part.kind not in ("text", "audio", "image", ""):
        return None, "unknown_kind"
    if part.kind == "image":
        if item.role != "user" or not part.image_url:
            return None, "image"
        return InputImage(image_url=part.image_url, detail=UNSET if part.detail is None else part.detail), None
    if item.role == "assistant":
        words = part.text if part.heard is None else part.heard
        return (OutputText(text=words), None) if words else (None, "not_heard" if part.text else "empty")
    made = InputText(text=part.text) if part.text else None
    missing: LeftOutReason | None = None if made else "empty"
    if part.kind == "audio" and item.transcription != "completed":
        match item.transcription:
            case "pending":
                missing = "transcript_pending"
            case "failed":
                missing = "transcription_failed"
            case _:
                missing = None if made else "not_transcribed"
    return made, missing


def _mcp_call(item: SnapshotItem) -> Iterator[Item | LeftOut]:
    output = item.output if item.error is None else f"Error: {item.error}"
    if not item.name or output is None:
        yield LeftOut(item.id, "cut_off")
    else:
        yield FunctionCall(name=function_name(item.name), arguments=item.arguments, call_id=item.id)
        yield FunctionCallOutput(call_id=item.id, output=output)


class _Calls:
    """Sees to it that every call has exactly one output, and that it stands behind the call."""

    def __init__(self, items: tuple[SnapshotItem, ...]) -> None:
        self._calls: dict[str, int] = {}  # where the first call of each id stands,
        self._outputs: dict[str, int] = {}  # and the first output
        self._items = items
        for place, item in enumerate(items):
            if item.call_id is not None and item.kind == "function_call" and item.name is not None:
                self._calls.setdefault(item.call_id, place)
            elif item.call_id is not None and item.kind == "function_call_output":
                self._outputs.setdefault(item.call_id, place)

    def call(self, item: SnapshotItem, place: int) -> Iterator[Item | LeftOut]:
        """Give what becomes of a call."""
        if item.call_id is None or item.name is None or self._calls[item.call_id] != place:
            yield LeftOut(item.id, "no_call")
            return
        answered_at = self._outputs.get(item.call_id)
        if answered_at is None and item.status in ("in_progress", "incomplete"):
            yield LeftOut(item.id, "cut_off")  # neither run nor answered
            return
        yield FunctionCall(name=item.name, arguments=item.arguments, call_id=item.call_id)
        if answered_at is None:
            yield FunctionCallOutput(call_id=item.call_id, output=_NO_RESULT)
        elif answered_at < place:  # no server takes it there
            yield FunctionCallOutput(call_id=item.call_id, output=self._items[answered_at].output or "")

    def output(self, item: SnapshotItem, place: int) -> Iterator[Item | LeftOut]:
        """Give what becomes of an output."""
        called_at = None if item.call_id is None else self._calls.get(item.call_id)
        if item.call_id is None or called_at is None or self._outputs[item.call_id] != place:
            yield LeftOut(item.id, "no_call")
        elif called_at < place:
            yield FunctionCallOutput(call_id=item.call_id, output=item.output or "")
