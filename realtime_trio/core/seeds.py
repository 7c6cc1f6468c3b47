"""What a new conversation begins with, made of the items of an old one.

Theory of operation. A client can create items of most kinds, but no spoken ones, and no server takes back what it made
once. So a conversation is carried over as the words that are true of it: the user's speech as its transcript, the
assistant's as those words that people heard, a function call with its output. What has no words is left out and named.

The old one's items are in `core.snapshot_items`; sending the new ones is the session's business.
"""

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import attrs

from realtime_trio.events import (
    UNSET,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    Message,
    OutputText,
)

from .names import function_name
from .snapshot_items import SnapshotItem, SnapshotPart

__all__ = ["AudioOf", "LeftOut", "LeftOutReason", "Seed", "Seeds", "make_seeds", "output_name"]

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
    "unknown_place",
    "refused",
]

Seed: TypeAlias = tuple[str, Item]
"""What it is made of, by the name that it had, and what is to be created; no two have the same name."""

AudioOf: TypeAlias = Callable[[str], bytes | None]
"""Gives the sound of an item by its id, None where there is none."""


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
            `"unknown_kind"`: of a kind that this version does not know. `"unknown_place"`: the server never said where
            in the conversation it stands. `"refused"`: the server did not take it back.
        part: The content part that it is about; None for the whole item.
    """

    item_id: str
    reason: LeftOutReason
    part: int | None = None


def output_name(call: str) -> str:
    """Name the output that goes with a call and that no item of the old conversation stands for."""
    return f"{call} output"  # ids have no spaces


def make_seeds(items: tuple[SnapshotItem, ...]) -> Iterator[Seed | LeftOut]:
    """Give what becomes of the items: what is to be created, and what is left out."""
    seeds = Seeds(items)
    for place in range(len(items)):
        yield from seeds.of(place)


class Seeds:
    """What becomes of each item.

    Args:
        items: All of them, in the order of the conversation.
        leave_open: Whether a whole call without an output stays without one, because somebody still owes it; otherwise
            it gets one that says so.
        audio_of: Gives the sound of an item of the user's, for speech whose transcript is not known in full.
    """

    def __init__(
        self, items: tuple[SnapshotItem, ...], *, leave_open: bool = False, audio_of: AudioOf | None = None
    ) -> None:
        self._items = items
        self._calls = _Calls(items, leave_open=leave_open)
        self._audio_of = audio_of

    def of(self, place: int) -> Iterator[Seed | LeftOut]:
        """Give what becomes of the item at a place: what is to be created there, and what is left out."""
        item = self._items[place]
        match item.kind:
            case "message" if item.role in _ROLES:
                yield from _message(item, self._audio_of)
            case "function_call":
                yield from self._calls.call(item, place)
            case "function_call_output":
                yield from self._calls.output(item, place)
            case "mcp_call":
                yield from _mcp_call(item)
            case "mcp_list_tools" | "mcp_approval_request" | "mcp_approval_response":
                yield LeftOut(item.id, "mcp")
            case _:
                yield LeftOut(item.id, "unknown_kind")


def _message(item: SnapshotItem, audio_of: AudioOf | None) -> Iterator[Seed | LeftOut]:
    content: list[ContentPart] = []
    left_out: list[LeftOut] = []
    sound = _sound(item, audio_of)
    for index, part in enumerate(item.parts):
        made, reason = _part(item, part)
        if sound and part.kind == "audio":
            made, reason = InputAudio(audio=sound), None
        if made is not None:
            content.append(made)
        if reason is not None and reason != "empty":
            left_out.append(LeftOut(item.id, reason, index))
    if content:
        yield item.id, Message(role=str(item.role), content=content)
        yield from left_out
    elif left_out and len({one.reason for one in left_out}) == 1:
        yield attrs.evolve(left_out[0], part=None)
    else:
        yield from left_out or [LeftOut(item.id, "empty")]


def _sound(item: SnapshotItem, audio_of: AudioOf | None) -> bytes | None:
    """Give the sound that stands for speech without all its words."""
    spoken = sum(part.kind == "audio" for part in item.parts)
    if audio_of is None or item.role != "user" or spoken != 1 or item.transcription == "completed":
        return None
    return audio_of(item.id)


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


def _mcp_call(item: SnapshotItem) -> Iterator[Seed | LeftOut]:
    output = item.output if item.error is None else f"Error: {item.error}"
    if not item.name or output is None:
        yield LeftOut(item.id, "cut_off")
    else:
        yield item.id, FunctionCall(name=function_name(item.name), arguments=item.arguments, call_id=item.id)
        yield output_name(item.id), FunctionCallOutput(call_id=item.id, output=output)


class _Calls:
    """Sees to it that no call has more than one output, and that it stands behind the call."""

    def __init__(self, items: tuple[SnapshotItem, ...], *, leave_open: bool) -> None:
        self._leave_open = leave_open
        self._calls: dict[str, int] = {}  # where the first call of each id stands,
        self._outputs: dict[str, int] = {}  # and the first output
        self._items = items
        for place, item in enumerate(items):
            if item.call_id is not None and item.kind == "function_call" and item.name is not None:
                self._calls.setdefault(item.call_id, place)
            elif item.call_id is not None and item.kind == "function_call_output":
                self._outputs.setdefault(item.call_id, place)

    def call(self, item: SnapshotItem, place: int) -> Iterator[Seed | LeftOut]:
        """Give what becomes of a call."""
        if item.call_id is None or item.name is None or self._calls[item.call_id] != place:
            yield LeftOut(item.id, "no_call")
            return
        answered_at = self._outputs.get(item.call_id)
        if answered_at is None and item.status in ("in_progress", "incomplete"):
            yield LeftOut(item.id, "cut_off")  # neither run nor answered
            return
        yield item.id, FunctionCall(name=item.name, arguments=item.arguments, call_id=item.call_id)
        if answered_at is None:
            if not self._leave_open:
                yield output_name(item.id), FunctionCallOutput(call_id=item.call_id, output=_NO_RESULT)
        elif answered_at < place:  # no server takes it there
            answer = self._items[answered_at]
            yield answer.id, FunctionCallOutput(call_id=item.call_id, output=answer.output or "")

    def output(self, item: SnapshotItem, place: int) -> Iterator[Seed | LeftOut]:
        """Give what becomes of an output."""
        called_at = None if item.call_id is None else self._calls.get(item.call_id)
        if item.call_id is None or called_at is None or self._outputs[item.call_id] != place:
            yield LeftOut(item.id, "no_call")
        elif called_at < place:
            yield item.id, FunctionCallOutput(call_id=item.call_id, output=item.output or "")
