"""What a snapshot holds of each item, and how it is copied from a live one.

The snapshot itself is in `core.snapshot`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from realtime_trio.events import (
    FunctionCallOutput,
    InputImage,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
)

from .item import ConversationItem, ItemPart, Transcription

__all__ = ["SnapshotItem", "SnapshotPart", "copy_item"]


class SnapshotPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One content part of a message.

    Attributes:
        kind: `"text"`, `"audio"`, `"image"`, or the wire's word for a kind that is not known here.
        text: What was typed, written or said, as far as it is known; all that was generated.
        heard: The words of it that people heard, about; None where nobody said, and for what is not the assistant's.
        image_url: The picture as a data URI; None in a snapshot without images.
        detail: How closely the model looks at the picture.
    """

    kind: str
    text: str = ""
    heard: str | None = None
    image_url: str | None = None
    detail: str | None = None


class SnapshotItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One item of a conversation.

    Attributes:
        id: Its id in the session that it comes from.
        kind: `"message"`, `"function_call"`, `"function_call_output"`, or the wire's word for another kind.
        role: `"user"`, `"assistant"` or `"system"`; None for anything but a message.
        status: `"in_progress"`, `"completed"` or `"incomplete"`; None when the server never said.
        parts: The content of a message.
        transcription: How far the transcription of the user's speech is.
        name: The function or MCP tool that is called.
        call_id: What ties a call and its output together.
        arguments: The arguments of a call as JSON text.
        output: What a call came to: of a function call's output, and of an MCP call.
        server_label: The MCP server.
        error: Why an MCP call failed.
        approve: What an MCP approval said.
    """

    id: str
    kind: str = "message"
    role: str | None = None
    status: str | None = None
    parts: tuple[SnapshotPart, ...] = ()
    transcription: Transcription = "none"
    name: str | None = None
    call_id: str | None = None
    arguments: str = ""
    output: str | None = None
    server_label: str | None = None
    error: str | None = None
    approve: bool | None = None


def copy_item(item: ConversationItem, *, images: bool, heard_is_known: bool, playing: bool = False) -> SnapshotItem:
    """Copy a live item.

    Args:
        item: The item.
        images: Whether to keep pictures.
        heard_is_known: Whether what was heard is reported, so that silence about a part means that nobody heard it.
        playing: Whether it is being played, so that all sound that came of it counts as heard, unless it was cut.
    """
    value = item.value
    fields: dict[str, Any] = {}
    match value:
        case McpCall():
            fields["server_label"] = value.server_label
            fields["output"] = value.output if isinstance(value.output, str) else None
            if value.error:
                fields["error"] = getattr(value.error, "message", None) or "it failed"
        case McpListTools():
            fields["server_label"] = value.server_label
        case McpApprovalRequest():
            fields.update(server_label=value.server_label, name=value.name, arguments=value.arguments)
        case McpApprovalResponse():
            fields["approve"] = value.approve
        case FunctionCallOutput():
            fields["output"] = value.output
    return SnapshotItem(
        **{
            "id": item.id,
            "kind": item.type,
            "role": item.role,
            "status": item.status,
            "parts": tuple(_parts(item, images=images, heard_is_known=heard_is_known, playing=playing)),
            "transcription": item.transcription,
            "name": item.name,
            "call_id": item.call_id,
            "arguments": item.arguments,
            **fields,
        }
    )


def _parts(item: ConversationItem, *, images: bool, heard_is_known: bool, playing: bool) -> Iterator[SnapshotPart]:
    content = item.value.content if isinstance(item.value, Message) else []
    playing = playing and item.truncated_ms is None
    goes_on = True  # what follows something that was not heard to its end was not heard either
    for index, part in enumerate(item.parts):
        heard = None
        if item.role == "assistant" and (heard_is_known or part.heard_ms is not None or part.truncated_ms is not None):
            words = _in_its_sound(part) if playing else item.heard_text_of(index)
            heard = words if goes_on else ""
            goes_on = heard == part.generated_text
        picture = content[index] if index < len(content) else None
        if images and isinstance(picture, InputImage):
            yield SnapshotPart(kind=part.kind, image_url=picture.image_url or None, detail=picture.detail or None)
        else:
            yield SnapshotPart(kind=part.kind, text=part.generated_text, heard=heard)


def _in_its_sound(part: ItemPart) -> str:
    return part.generated_text if part.text or part.whole else part.captions.spoken(part.transcript)
