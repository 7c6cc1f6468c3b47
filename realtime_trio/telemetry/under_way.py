"""What an observer keeps of a response or a tool call as long as it goes on, and what all of them have in common."""

from typing import Final

import attrs
from opentelemetry import trace

from realtime_trio import events

__all__ = ["FIRST_OF_RESPONSE", "PROVIDER", "Call", "Generation"]

PROVIDER: Final = {"gen_ai.provider.name": "openai"}
FIRST_OF_RESPONSE: Final = (
    events.ResponseOutputTextDelta,
    events.ResponseOutputAudioTranscriptDelta,
    events.ResponseOutputAudioDelta,
    events.ResponseFunctionCallArgumentsDelta,
)


@attrs.define(eq=False)
class Generation:
    """One response that is being generated."""

    span: trace.Span
    asked_at: float
    first_at: float | None = None


@attrs.define(eq=False)
class Call:
    """One tool call that is not over."""

    span: trace.Span
    name: str
    kind: str
    began_at: float
