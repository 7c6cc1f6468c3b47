"""Which events there are, by direction and kind of session.

The events themselves are in `client`, `server`, `server_responses` and `translation`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from . import client, server, server_responses, translation
from ._base import ClientEventBase, EventBase
from .unknown import MalformedEvent, UnknownEvent

__all__ = ["CLIENT_EVENTS", "SERVER_EVENTS", "ClientEvent", "Kind", "ServerEvent", "wire_type"]

Kind: TypeAlias = Literal["realtime", "transcription", "translation"]
"""What a session is for."""

ClientEvent: TypeAlias = (
    client.SessionUpdate
    | client.InputAudioBufferAppend
    | client.InputAudioBufferCommit
    | client.InputAudioBufferClear
    | client.ConversationItemCreate
    | client.ConversationItemRetrieve
    | client.ConversationItemTruncate
    | client.ConversationItemDelete
    | client.ResponseCreate
    | client.ResponseCancel
    | client.OutputAudioBufferClear
    | client.SessionInputAudioBufferAppend
    | client.SessionClose
    | UnknownEvent
    | MalformedEvent
)
"""What a client sends, in any kind of session. The last two arise only where text from a client is decoded."""

ServerEvent: TypeAlias = (
    server.Error
    | server.SessionCreated
    | server.SessionUpdated
    | server.ConversationCreated
    | server.ConversationItemAdded
    | server.ConversationItemDone
    | server.ConversationItemCreated
    | server.ConversationItemRetrieved
    | server.ConversationItemTruncated
    | server.ConversationItemDeleted
    | server.ConversationItemInputAudioTranscriptionDelta
    | server.ConversationItemInputAudioTranscriptionCompleted
    | server.ConversationItemInputAudioTranscriptionSegment
    | server.ConversationItemInputAudioTranscriptionFailed
    | server.InputAudioBufferCommitted
    | server.InputAudioBufferCleared
    | server.InputAudioBufferSpeechStarted
    | server.InputAudioBufferSpeechStopped
    | server.InputAudioBufferTimeoutTriggered
    | server.InputAudioBufferDtmfEventReceived
    | server.OutputAudioBufferStarted
    | server.OutputAudioBufferStopped
    | server.OutputAudioBufferCleared
    | server.RateLimitsUpdated
    | server_responses.ResponseCreated
    | server_responses.ResponseDone
    | server_responses.ResponseOutputItemAdded
    | server_responses.ResponseOutputItemDone
    | server_responses.ResponseContentPartAdded
    | server_responses.ResponseContentPartDone
    | server_responses.ResponseOutputTextDelta
    | server_responses.ResponseOutputTextDone
    | server_responses.ResponseOutputAudioDelta
    | server_responses.ResponseOutputAudioDone
    | server_responses.ResponseOutputAudioTranscriptDelta
    | server_responses.ResponseOutputAudioTranscriptDone
    | server_responses.ResponseFunctionCallArgumentsDelta
    | server_responses.ResponseFunctionCallArgumentsDone
    | server_responses.ResponseMcpCallArgumentsDelta
    | server_responses.ResponseMcpCallArgumentsDone
    | server_responses.ResponseMcpCallInProgress
    | server_responses.ResponseMcpCallCompleted
    | server_responses.ResponseMcpCallFailed
    | server_responses.McpListToolsInProgress
    | server_responses.McpListToolsCompleted
    | server_responses.McpListToolsFailed
    | translation.SessionClosed
    | translation.SessionInputTranscriptDelta
    | translation.SessionOutputTranscriptDelta
    | translation.SessionOutputAudioDelta
    | UnknownEvent
    | MalformedEvent
)
"""What the server sends, in any kind of session."""

_REALTIME_CLIENT: tuple[type[ClientEventBase], ...] = (
    client.SessionUpdate,
    client.InputAudioBufferAppend,
    client.InputAudioBufferCommit,
    client.InputAudioBufferClear,
    client.ConversationItemCreate,
    client.ConversationItemRetrieve,
    client.ConversationItemTruncate,
    client.ConversationItemDelete,
    client.ResponseCreate,
    client.ResponseCancel,
    client.OutputAudioBufferClear,
)
_TRANSLATION_CLIENT: tuple[type[ClientEventBase], ...] = (
    client.SessionUpdate,
    client.SessionInputAudioBufferAppend,
    client.SessionClose,
)
_COMMON_SERVER: tuple[type[EventBase], ...] = (
    server.Error,
    server.SessionCreated,
    server.SessionUpdated,
)
_REALTIME_SERVER: tuple[type[EventBase], ...] = (
    *_COMMON_SERVER,
    server.ConversationCreated,
    server.ConversationItemAdded,
    server.ConversationItemDone,
    server.ConversationItemCreated,
    server.ConversationItemRetrieved,
    server.ConversationItemTruncated,
    server.ConversationItemDeleted,
    server.ConversationItemInputAudioTranscriptionDelta,
    server.ConversationItemInputAudioTranscriptionCompleted,
    server.ConversationItemInputAudioTranscriptionSegment,
    server.ConversationItemInputAudioTranscriptionFailed,
    server.InputAudioBufferCommitted,
    server.InputAudioBufferCleared,
    server.InputAudioBufferSpeechStarted,
    server.InputAudioBufferSpeechStopped,
    server.InputAudioBufferTimeoutTriggered,
    server.InputAudioBufferDtmfEventReceived,
    server.OutputAudioBufferStarted,
    server.OutputAudioBufferStopped,
    server.OutputAudioBufferCleared,
    server.RateLimitsUpdated,
    server_responses.ResponseCreated,
    server_responses.ResponseDone,
    server_responses.ResponseOutputItemAdded,
    server_responses.ResponseOutputItemDone,
    server_responses.ResponseContentPartAdded,
    server_responses.ResponseContentPartDone,
    server_responses.ResponseOutputTextDelta,
    server_responses.ResponseOutputTextDone,
    server_responses.ResponseOutputAudioDelta,
    server_responses.ResponseOutputAudioDone,
    server_responses.ResponseOutputAudioTranscriptDelta,
    server_responses.ResponseOutputAudioTranscriptDone,
    server_responses.ResponseFunctionCallArgumentsDelta,
    server_responses.ResponseFunctionCallArgumentsDone,
    server_responses.ResponseMcpCallArgumentsDelta,
    server_responses.ResponseMcpCallArgumentsDone,
    server_responses.ResponseMcpCallInProgress,
    server_responses.ResponseMcpCallCompleted,
    server_responses.ResponseMcpCallFailed,
    server_responses.McpListToolsInProgress,
    server_responses.McpListToolsCompleted,
    server_responses.McpListToolsFailed,
)
_TRANSLATION_SERVER: tuple[type[EventBase], ...] = (
    *_COMMON_SERVER,
    translation.SessionClosed,
    translation.SessionInputTranscriptDelta,
    translation.SessionOutputTranscriptDelta,
    translation.SessionOutputAudioDelta,
)

CLIENT_EVENTS: Mapping[Kind, tuple[type[ClientEventBase], ...]] = MappingProxyType(
    {"realtime": _REALTIME_CLIENT, "transcription": _REALTIME_CLIENT, "translation": _TRANSLATION_CLIENT}
)
"""What a client may send, by kind of session. The schemas do not say which of them a transcription session refuses."""

SERVER_EVENTS: Mapping[Kind, tuple[type[EventBase], ...]] = MappingProxyType(
    {"realtime": _REALTIME_SERVER, "transcription": _REALTIME_SERVER, "translation": _TRANSLATION_SERVER}
)
"""What a server may send, by kind of session."""


def wire_type(event: type[EventBase] | ClientEvent | ServerEvent) -> str:
    """Return the wire's `type` of an event, or of a class of events.

    Args:
        event: An event, or its class (not `UnknownEvent` or `MalformedEvent`: only their instances have a type).
    """
    if isinstance(event, type):
        return str(event.__struct_config__.tag)
    return event.type
