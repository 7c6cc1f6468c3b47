"""What the server sends while it answers: responses, their items, parts and deltas, and calls of MCP servers.

The values that they carry are in `responses` and `items`.
"""

from msgspec import UNSET

from ._base import Maybe, ServerEventBase
from .items import ContentPart, Item
from .responses import Response

__all__ = [
    "McpListToolsCompleted",
    "McpListToolsFailed",
    "McpListToolsInProgress",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseMcpCallArgumentsDelta",
    "ResponseMcpCallArgumentsDone",
    "ResponseMcpCallCompleted",
    "ResponseMcpCallFailed",
    "ResponseMcpCallInProgress",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
]


class _Child(ServerEventBase, tag="", frozen=True, kw_only=True):
    """An event about one output item of a response."""

    response_id: str
    item_id: str
    output_index: int
    """Index of the item in the response's output."""


class _PartChild(_Child, tag="", frozen=True, kw_only=True):
    """An event about one content part of a response."""

    content_index: int
    """Index of the part in the item's content."""


class _McpCallEvent(ServerEventBase, tag="", frozen=True, kw_only=True):
    """An event about a call of an MCP server. It does not say of which response."""

    item_id: str
    output_index: int


class _McpListToolsEvent(ServerEventBase, tag="", frozen=True, kw_only=True):
    """An event about the listing of an MCP server's tools."""

    item_id: str


class ResponseCreated(ServerEventBase, tag="response.created", frozen=True, kw_only=True):
    """A response began; its output is still empty.

    Wire: `response.created`, first of every response.
    """

    response: Response


class ResponseDone(ServerEventBase, tag="response.done", frozen=True, kw_only=True):
    """A response is over, whatever its status.

    Wire: `response.done`, last of every response.
    """

    response: Response


class ResponseOutputItemAdded(ServerEventBase, tag="response.output_item.added", frozen=True, kw_only=True):
    """The model began an item.

    Wire: `response.output_item.added`, for each item of a response.
    """

    response_id: str
    output_index: int
    item: Item


class ResponseOutputItemDone(ServerEventBase, tag="response.output_item.done", frozen=True, kw_only=True):
    """An item is finished, or was cut off (then its status is `incomplete`).

    Wire: `response.output_item.done`, for each item of a response.
    """

    response_id: str
    output_index: int
    item: Item


class ResponseContentPartAdded(_PartChild, tag="response.content_part.added", frozen=True, kw_only=True):
    """A part of an assistant message began.

    Wire: `response.content_part.added`, before the deltas of the part.
    """

    part: ContentPart
    """`TextPart` or `AudioPart`."""


class ResponseContentPartDone(_PartChild, tag="response.content_part.done", frozen=True, kw_only=True):
    """A part of an assistant message is finished, or was cut off.

    Wire: `response.content_part.done`, after the deltas of the part.
    """

    part: ContentPart
    """`TextPart` or `AudioPart`."""


class ResponseOutputTextDelta(_PartChild, tag="response.output_text.delta", frozen=True, kw_only=True):
    """A piece of written text.

    Wire: `response.output_text.delta`, as it is generated.
    """

    delta: str


class ResponseOutputTextDone(_PartChild, tag="response.output_text.done", frozen=True, kw_only=True):
    """All of the written text.

    Wire: `response.output_text.done`, once a text part, also when it was cut off.
    """

    text: str


class ResponseOutputAudioDelta(_PartChild, tag="response.output_audio.delta", frozen=True, kw_only=True):
    """A piece of speech, generated faster than it can be heard.

    Wire: `response.output_audio.delta`, as it is generated; not over WebRTC and SIP.
    """

    delta: bytes
    """Sound in the session's output format (base64 on the wire)."""


class ResponseOutputAudioDone(_PartChild, tag="response.output_audio.done", frozen=True):
    """The speech of a part is complete. Carries none.

    Wire: `response.output_audio.done`, once an audio part, also when it was cut off.
    """


class ResponseOutputAudioTranscriptDelta(
    _PartChild, tag="response.output_audio_transcript.delta", frozen=True, kw_only=True
):
    """A piece of the text of the speech.

    Wire: `response.output_audio_transcript.delta`, as it is generated.
    """

    delta: str


class ResponseOutputAudioTranscriptDone(
    _PartChild, tag="response.output_audio_transcript.done", frozen=True, kw_only=True
):
    """All of the text of the speech.

    Wire: `response.output_audio_transcript.done`, once an audio part, also when it was cut off.
    """

    transcript: str


class ResponseFunctionCallArgumentsDelta(
    _Child, tag="response.function_call_arguments.delta", frozen=True, kw_only=True
):
    """A piece of the arguments of a function call.

    Wire: `response.function_call_arguments.delta`, as it is generated.
    """

    call_id: str
    delta: str
    """Part of a JSON text."""


class ResponseFunctionCallArgumentsDone(_Child, tag="response.function_call_arguments.done", frozen=True, kw_only=True):
    """All of the arguments of a function call.

    Wire: `response.function_call_arguments.done`, once a call, also when it was cut off.
    """

    call_id: str
    name: str
    arguments: str
    """JSON text; only part of it when it was cut off."""


class ResponseMcpCallArgumentsDelta(_Child, tag="response.mcp_call_arguments.delta", frozen=True, kw_only=True):
    """A piece of the arguments of an MCP call.

    Wire: `response.mcp_call_arguments.delta`, as it is generated.
    """

    delta: str
    """Part of a JSON text."""
    obfuscation: Maybe[str] = UNSET
    """Padding without meaning, which hides the length of the delta from listeners on the line."""


class ResponseMcpCallArgumentsDone(_Child, tag="response.mcp_call_arguments.done", frozen=True, kw_only=True):
    """All of the arguments of an MCP call.

    Wire: `response.mcp_call_arguments.done`, once a call.
    """

    arguments: str
    """JSON text."""


class ResponseMcpCallInProgress(_McpCallEvent, tag="response.mcp_call.in_progress", frozen=True):
    """The server is calling an MCP tool.

    Wire: `response.mcp_call.in_progress`, after approval, if any was needed.
    """


class ResponseMcpCallCompleted(_McpCallEvent, tag="response.mcp_call.completed", frozen=True):
    """An MCP call succeeded; its output is in the item.

    Wire: `response.mcp_call.completed`, at the end of the call.
    """


class ResponseMcpCallFailed(_McpCallEvent, tag="response.mcp_call.failed", frozen=True):
    """An MCP call failed; its error is in the item.

    Wire: `response.mcp_call.failed`, at the end of the call.
    """


class McpListToolsInProgress(_McpListToolsEvent, tag="mcp_list_tools.in_progress", frozen=True):
    """The server is asking an MCP server for its tools.

    Wire: `mcp_list_tools.in_progress`, after a configuration with an MCP tool.
    """


class McpListToolsCompleted(_McpListToolsEvent, tag="mcp_list_tools.completed", frozen=True):
    """An MCP server's tools are known; they are in the item.

    Wire: `mcp_list_tools.completed`, at the end of the listing.
    """


class McpListToolsFailed(_McpListToolsEvent, tag="mcp_list_tools.failed", frozen=True):
    """An MCP server's tools could not be had.

    Wire: `mcp_list_tools.failed`, at the end of the listing.
    """
