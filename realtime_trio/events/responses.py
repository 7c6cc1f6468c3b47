"""Responses as values: what is asked of one, what became of it, what it cost; and the payloads of errors and limits.

The events that carry them are in `server` and `server_responses`.
"""

from typing import TypeAlias

from msgspec import UNSET

from ._base import Maybe, Shape, Tagged
from .config import AudioFormat, CustomVoice
from .items import Item
from .tools import Prompt, Reasoning, Tool, ToolChoice
from .unknown import UnknownShape

__all__ = [
    "CachedTokenDetails",
    "ConversationDetails",
    "DurationUsage",
    "ErrorDetails",
    "InputTokenDetails",
    "LogProb",
    "OutputTokenDetails",
    "RateLimit",
    "Response",
    "ResponseAudio",
    "ResponseAudioOutput",
    "ResponseCreateParams",
    "ResponseError",
    "StatusDetails",
    "TokenUsage",
    "TranscriptionError",
    "TranscriptionInputTokenDetails",
    "TranscriptionLanguage",
    "TranscriptionUsage",
    "Usage",
]


class ResponseAudioOutput(Shape, frozen=True, kw_only=True):
    """The sound of one response."""

    format: Maybe[AudioFormat] = UNSET
    voice: Maybe[str | CustomVoice] = UNSET


class ResponseAudio(Shape, frozen=True, kw_only=True):
    """The sound of one response."""

    output: Maybe[ResponseAudioOutput] = UNSET


class ResponseCreateParams(Shape, frozen=True, kw_only=True):
    """What one response shall do differently from the session. What is UNSET is as in the session."""

    output_modalities: Maybe[list[str]] = UNSET
    """`["audio"]` or `["text"]`."""
    instructions: Maybe[str] = UNSET
    audio: Maybe[ResponseAudio] = UNSET
    tools: Maybe[list[Tool]] = UNSET
    tool_choice: Maybe[ToolChoice] = UNSET
    parallel_tool_calls: Maybe[bool] = UNSET
    reasoning: Maybe[Reasoning] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    """1 to 4096, or `"inf"`."""
    conversation: Maybe[str] = UNSET
    """`"auto"` (the default conversation) or `"none"` (out-of-band)."""
    metadata: Maybe[dict[str, str]] = UNSET
    """At most 16 pairs, keys to 64 and values to 512 characters; comes back in the response."""
    prompt: Maybe[Prompt] = UNSET
    input: Maybe[list[Item]] = UNSET
    """The context instead of the conversation, references allowed; `[]` for none."""


class ResponseError(Shape, frozen=True, kw_only=True):
    """Why a response failed."""

    type: Maybe[str] = UNSET
    code: Maybe[str] = UNSET
    """For example `"rate_limit_exceeded"`."""
    message: Maybe[str] = UNSET


class StatusDetails(Shape, frozen=True, kw_only=True):
    """Why a response ended as it did."""

    type: Maybe[str] = UNSET
    """The response's status again."""
    reason: Maybe[str] = UNSET
    """Cancelled: `"turn_detected"`, `"client_cancelled"`. Incomplete: `"max_output_tokens"`, `"content_filter"`."""
    error: Maybe[ResponseError] = UNSET
    """Of a failed response."""


class CachedTokenDetails(Shape, frozen=True, kw_only=True):
    """Cached input tokens, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    image_tokens: Maybe[int] = UNSET


class InputTokenDetails(Shape, frozen=True, kw_only=True):
    """Input tokens, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    image_tokens: Maybe[int] = UNSET
    cached_tokens: Maybe[int] = UNSET
    """How many of all came from the cache."""
    cached_tokens_details: Maybe[CachedTokenDetails] = UNSET


class OutputTokenDetails(Shape, frozen=True, kw_only=True):
    """Output tokens, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET


class Usage(Shape, frozen=True, kw_only=True):
    """What a response cost, in tokens."""

    total_tokens: Maybe[int] = UNSET
    input_tokens: Maybe[int] = UNSET
    output_tokens: Maybe[int] = UNSET
    input_token_details: Maybe[InputTokenDetails] = UNSET
    output_token_details: Maybe[OutputTokenDetails] = UNSET


class Response(Shape, frozen=True, kw_only=True):
    """One response, as `response.created` and `response.done` carry it."""

    id: Maybe[str] = UNSET
    """`resp_…`"""
    object: Maybe[str] = UNSET
    """`"realtime.response"`."""
    status: Maybe[str] = UNSET
    """`"in_progress"`, `"completed"`, `"cancelled"`, `"failed"` or `"incomplete"`."""
    status_details: Maybe[StatusDetails] = UNSET
    output: Maybe[list[Item]] = UNSET
    """Its items, without audio bytes."""
    conversation_id: Maybe[str] = UNSET
    """`conv_…`; None for an out-of-band response."""
    output_modalities: Maybe[list[str]] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    """A number, or `"inf"`."""
    audio: Maybe[ResponseAudio] = UNSET
    metadata: Maybe[dict[str, str]] = UNSET
    """As the client gave it in `response.create`."""
    usage: Maybe[Usage] = UNSET
    """Only in `response.done`."""


class ErrorDetails(Shape, frozen=True, kw_only=True):
    """What went wrong, in an `error` event."""

    type: str
    """For example `"invalid_request_error"` or `"server_error"`."""
    message: str
    code: Maybe[str] = UNSET
    """For example `"response_cancel_not_active"`."""
    param: Maybe[str] = UNSET
    """The parameter at fault, when there is one."""
    event_id: Maybe[str] = UNSET
    """The id of the client event at fault, when it had one."""


class TranscriptionError(Shape, frozen=True, kw_only=True):
    """Why an item could not be transcribed."""

    type: Maybe[str] = UNSET
    code: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    param: Maybe[str] = UNSET


class TranscriptionInputTokenDetails(Shape, frozen=True, kw_only=True):
    """Input tokens of a transcription, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET


class TokenUsage(Tagged, tag="tokens", frozen=True, kw_only=True):
    """What a transcription cost, where it is billed by tokens.

    Wire: `tokens`.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: Maybe[TranscriptionInputTokenDetails] = UNSET


class DurationUsage(Tagged, tag="duration", frozen=True, kw_only=True):
    """What a transcription cost, where it is billed by time.

    Wire: `duration`.
    """

    seconds: float


TranscriptionUsage: TypeAlias = TokenUsage | DurationUsage | UnknownShape


class LogProb(Shape, frozen=True, kw_only=True):
    """How likely a token of a transcript was."""

    token: str
    logprob: float
    """Natural logarithm of its probability."""
    bytes: list[int]
    """The token in UTF-8: a token may be part of a character."""


class TranscriptionLanguage(Shape, frozen=True, kw_only=True):
    """A language that was heard."""

    code: str
    """ISO 639-1."""


class RateLimit(Shape, frozen=True, kw_only=True):
    """One of the account's limits."""

    name: Maybe[str] = UNSET
    """`"requests"` or `"tokens"`."""
    limit: Maybe[int] = UNSET
    remaining: Maybe[int] = UNSET
    reset_seconds: Maybe[float] = UNSET
    """Seconds until it is as at first."""


class ConversationDetails(Shape, frozen=True, kw_only=True):
    """The conversation of a session."""

    id: Maybe[str] = UNSET
    """`conv_…`"""
    object: Maybe[str] = UNSET
    """`"realtime.conversation"`."""
