"""Conversation items and their content parts, and short ways to make the common ones.

The live picture of a whole conversation is in `realtime_trio.core`.
"""

from typing import Any, TypeAlias

from msgspec import UNSET, UnsetType

from ._base import Maybe, Shape, Tagged
from .unknown import UnknownItem, UnknownPart, UnknownShape

__all__ = [
    "AudioPart",
    "ContentPart",
    "FunctionCall",
    "FunctionCallOutput",
    "InputAudio",
    "InputImage",
    "InputText",
    "Item",
    "ItemReference",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpError",
    "McpHttpError",
    "McpListTools",
    "McpProtocolError",
    "McpToolDefinition",
    "McpToolExecutionError",
    "Message",
    "OutputAudio",
    "OutputText",
    "TextPart",
    "assistant_message",
    "function_call_output",
    "system_message",
    "user_message",
]


class InputText(Tagged, tag="input_text", frozen=True, kw_only=True):
    """Text in a system or user message.

    Wire: `input_text`.
    """

    text: Maybe[str] = UNSET


class InputAudio(Tagged, tag="input_audio", frozen=True, kw_only=True):
    """Sound in a user message.

    Wire: `input_audio`.
    """

    audio: Maybe[bytes] = UNSET
    """In the session's input format. The server leaves it out except when the item is retrieved."""
    transcript: Maybe[str] = UNSET
    """For people; the model hears the audio."""


class InputImage(Tagged, tag="input_image", frozen=True, kw_only=True):
    """A picture in a user message.

    Wire: `input_image`.
    """

    image_url: Maybe[str] = UNSET
    """A data URI of a PNG or JPEG."""
    detail: Maybe[str] = UNSET
    """`"auto"` (which is high), `"low"` or `"high"`."""


class OutputText(Tagged, tag="output_text", frozen=True, kw_only=True):
    """Text in an assistant message.

    Wire: `output_text`.
    """

    text: Maybe[str] = UNSET


class OutputAudio(Tagged, tag="output_audio", frozen=True, kw_only=True):
    """Speech in an assistant message.

    Wire: `output_audio`.
    """

    audio: Maybe[bytes] = UNSET
    """In the session's output format. The server leaves it out except when the item is retrieved."""
    transcript: Maybe[str] = UNSET


class TextPart(Tagged, tag="text", frozen=True, kw_only=True):
    """A text part as the content part events name it.

    Wire: `text`, in `response.content_part.added` and `.done`.
    """

    text: Maybe[str] = UNSET
    audio: Maybe[bytes] = UNSET
    transcript: Maybe[str] = UNSET


class AudioPart(Tagged, tag="audio", frozen=True, kw_only=True):
    """An audio part as the content part events name it.

    Wire: `audio`, in `response.content_part.added` and `.done`.
    """

    text: Maybe[str] = UNSET
    audio: Maybe[bytes] = UNSET
    transcript: Maybe[str] = UNSET


ContentPart: TypeAlias = (
    InputText | InputAudio | InputImage | OutputText | OutputAudio | TextPart | AudioPart | UnknownPart
)


class Message(Tagged, tag="message", frozen=True, kw_only=True):
    """Something said or written by one of the three roles.

    Wire: `message`.
    """

    role: str
    """`"system"`, `"user"` or `"assistant"`."""
    content: list[ContentPart]
    id: Maybe[str] = UNSET
    """Of client-made items at most 32 characters."""
    object: Maybe[str] = UNSET
    """`"realtime.item"`."""
    status: Maybe[str] = UNSET
    """`"in_progress"`, `"completed"` or `"incomplete"`."""


class FunctionCall(Tagged, tag="function_call", frozen=True, kw_only=True):
    """The model's wish that a function be called.

    Wire: `function_call`.
    """

    name: str
    arguments: str
    """JSON text; only part of it when the call was cut off."""
    call_id: Maybe[str] = UNSET
    """What the output must name."""
    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    """`"realtime.item"`."""
    status: Maybe[str] = UNSET
    """`"in_progress"`, `"completed"` or `"incomplete"` (then it must not be run)."""


class FunctionCallOutput(Tagged, tag="function_call_output", frozen=True, kw_only=True):
    """What a function answered.

    Wire: `function_call_output`.
    """

    call_id: str
    output: str
    """Any text; JSON by custom."""
    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    """`"realtime.item"`."""
    status: Maybe[str] = UNSET


class McpToolDefinition(Shape, frozen=True, kw_only=True):
    """One tool in an MCP server's listing."""

    name: str
    input_schema: Any
    """A JSON Schema of the arguments."""
    description: Maybe[str] = UNSET
    annotations: Maybe[Any] = UNSET


class McpListTools(Tagged, tag="mcp_list_tools", frozen=True, kw_only=True):
    """The tools that an MCP server offers.

    Wire: `mcp_list_tools`.
    """

    server_label: str
    tools: list[McpToolDefinition]
    id: Maybe[str] = UNSET


class McpProtocolError(Tagged, tag="protocol_error", frozen=True, kw_only=True):
    """The MCP server broke the protocol.

    Wire: `protocol_error`.
    """

    code: int
    message: str


class McpToolExecutionError(Tagged, tag="tool_execution_error", frozen=True, kw_only=True):
    """The MCP server's tool failed.

    Wire: `tool_execution_error`.
    """

    message: str


class McpHttpError(Tagged, tag="http_error", frozen=True, kw_only=True):
    """The MCP server answered with an HTTP error.

    Wire: `http_error`.
    """

    code: int
    """The HTTP status."""
    message: str


McpError: TypeAlias = McpProtocolError | McpToolExecutionError | McpHttpError | UnknownShape


class McpCall(Tagged, tag="mcp_call", frozen=True, kw_only=True):
    """A call of an MCP server's tool, made by OpenAI's server.

    Wire: `mcp_call`.
    """

    id: str
    server_label: str
    name: str
    arguments: str
    """JSON text."""
    approval_request_id: Maybe[str] = UNSET
    output: Maybe[str] = UNSET
    error: Maybe[McpError] = UNSET


class McpApprovalRequest(Tagged, tag="mcp_approval_request", frozen=True, kw_only=True):
    """The server asks whether a call may be made. Without an answer it waits for ever.

    Wire: `mcp_approval_request`.
    """

    id: str
    server_label: str
    name: str
    arguments: str
    """JSON text."""


class McpApprovalResponse(Tagged, tag="mcp_approval_response", frozen=True, kw_only=True):
    """The client's answer to an approval request.

    Wire: `mcp_approval_response`.
    """

    id: str
    approval_request_id: str
    approve: bool
    reason: Maybe[str] = UNSET


class ItemReference(Tagged, tag="item_reference", frozen=True, kw_only=True):
    """An item of the conversation, by its id; only inside `ResponseCreateParams.input`.

    Wire: `item_reference`.
    """

    id: str


Item: TypeAlias = (
    Message
    | FunctionCall
    | FunctionCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
    | ItemReference
    | UnknownItem
)


def user_message(text: str, *, id: str | UnsetType = UNSET) -> Message:
    """Make a user message of one text."""
    return Message(role="user", content=[InputText(text=text)], id=id)


def system_message(text: str, *, id: str | UnsetType = UNSET) -> Message:
    """Make a system message of one text."""
    return Message(role="system", content=[InputText(text=text)], id=id)


def assistant_message(text: str, *, id: str | UnsetType = UNSET) -> Message:
    """Make an assistant message of one text. A client cannot make one with audio."""
    return Message(role="assistant", content=[OutputText(text=text)], id=id)


def function_call_output(
    call_id: str,
    output: str,
    *,
    id: str | UnsetType = UNSET,
) -> FunctionCallOutput:
    """Make the answer to a function call.

    Args:
        call_id: The call's `call_id` (not its item id).
        output: What the model is told, JSON by custom.
        id: The item's id, at most 32 characters; the server makes one when it is not given.
    """
    return FunctionCallOutput(call_id=call_id, output=output, id=id)
