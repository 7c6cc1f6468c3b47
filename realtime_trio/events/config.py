"""Session configuration: what is asked of a session, and what the server says is in effect.

One class serves request and answer: fields that only the server fills (`id`, `object`, `expires_at`) are optional.
Tools and the smaller options are in `tools`; what a single response may override is in `responses`.
"""

from typing import TypeAlias

from msgspec import UNSET, UnsetType

from ._base import Maybe, Shape, Tagged
from .tools import Prompt, Reasoning, RetentionRatio, Tool, ToolChoice, TracingConfig
from .unknown import UnknownShape

__all__ = [
    "PCM16",
    "PCMA",
    "PCMU",
    "AudioFormat",
    "AudioInput",
    "AudioOutput",
    "AudioTranscription",
    "CustomVoice",
    "NoiseReduction",
    "RealtimeSession",
    "SemanticVad",
    "ServerVad",
    "Session",
    "SessionAudio",
    "TranscriptionSession",
    "TranslationSession",
    "TurnDetection",
]


class AudioFormat(Shape, frozen=True, kw_only=True):
    """How audio is coded. Use the constants `PCM16`, `PCMU` and `PCMA`."""

    type: Maybe[str] = UNSET
    """`"audio/pcm"` (16 bit, little-endian, mono), `"audio/pcmu"` or `"audio/pcma"` (G.711, 8 kHz)."""
    rate: Maybe[int] = UNSET
    """Samples per second: 24000, for `"audio/pcm"` only."""


PCM16 = AudioFormat(type="audio/pcm", rate=24000)
"""16 bit linear, little-endian, mono, 24 kHz: the default in both directions."""
PCMU = AudioFormat(type="audio/pcmu")
"""G.711 mu-law, 8 kHz."""
PCMA = AudioFormat(type="audio/pcma")
"""G.711 A-law, 8 kHz."""


class AudioTranscription(Shape, frozen=True, kw_only=True):
    """How the user's speech is turned into text, beside (not before) the model's own hearing of it."""

    model: Maybe[str] = UNSET
    """For example `"gpt-4o-transcribe"`, `"whisper-1"`, `"gpt-transcribe"`, `"gpt-realtime-whisper"`."""
    language: Maybe[str] = UNSET
    """ISO 639-1, for example `"en"`."""
    languages: Maybe[list[str]] = UNSET
    """Candidates, at least one; only for gpt-transcribe and gpt-live-transcribe."""
    keywords: Maybe[list[str]] = UNSET
    """Words to expect; only for gpt-transcribe and gpt-live-transcribe."""
    prompt: Maybe[str] = UNSET
    """Guides style and vocabulary; not for gpt-realtime-whisper."""
    delay: Maybe[str] = UNSET
    """`"minimal"`, `"low"`, `"medium"`, `"high"` or `"xhigh"`; only for gpt-realtime-whisper."""


class NoiseReduction(Shape, frozen=True, kw_only=True):
    """Noise reduction on what is written to the input audio buffer, before turn detection."""

    type: Maybe[str] = UNSET
    """`"near_field"` (headset) or `"far_field"` (laptop, room)."""
    strength: Maybe[float] = UNSET
    """1 when first enabled and not given."""


class ServerVad(Tagged, tag="server_vad", frozen=True, kw_only=True):
    """Turns end by silence.

    Wire: `server_vad`.
    """

    threshold: Maybe[float] = UNSET
    """From 0 to 1, 0.5 by default. Higher needs louder speech."""
    prefix_padding_ms: Maybe[int] = UNSET
    """Audio kept from before the speech, in ms; 300 by default."""
    silence_duration_ms: Maybe[int] = UNSET
    """How long a silence ends a turn, in ms; 500 by default."""
    create_response: Maybe[bool] = UNSET
    """Whether the server answers each turn by itself; true by default."""
    interrupt_response: Maybe[bool] = UNSET
    """Whether the start of speech cancels the response in progress; true by default."""
    idle_timeout_ms: Maybe[int] = UNSET
    """Answer a silence of this length too, 5000 to 30000 ms, counted from the end of the last response's audio."""


class SemanticVad(Tagged, tag="semantic_vad", frozen=True, kw_only=True):
    """Turns end where what was said sounds finished.

    Wire: `semantic_vad`.
    """

    eagerness: Maybe[str] = UNSET
    """`"low"` (waits up to 8 s), `"medium"` (4 s), `"high"` (2 s) or `"auto"`, the default, which is medium."""
    create_response: Maybe[bool] = UNSET
    """Whether the server answers each turn by itself; true by default."""
    interrupt_response: Maybe[bool] = UNSET
    """Whether the start of speech cancels the response in progress; true by default."""


TurnDetection: TypeAlias = ServerVad | SemanticVad | UnknownShape


class AudioInput(Shape, frozen=True, kw_only=True):
    """The user's side of a session's sound."""

    format: Maybe[AudioFormat] = UNSET
    transcription: Maybe[AudioTranscription] = UNSET
    """None switches transcription off."""
    noise_reduction: Maybe[NoiseReduction] = UNSET
    """None switches it off."""
    turn_detection: Maybe[TurnDetection] = UNSET
    """None means that the client commits each turn itself (push-to-talk)."""


class CustomVoice(Shape, frozen=True, kw_only=True):
    """A voice made from audio samples."""

    id: str
    """For example `"voice_1234"`."""


class AudioOutput(Shape, frozen=True, kw_only=True):
    """The model's side of a session's sound."""

    format: Maybe[AudioFormat] = UNSET
    voice: Maybe[str | CustomVoice] = UNSET
    """For example `"marin"` or `"cedar"`. Locked after the first audio of a session."""
    speed: Maybe[float] = UNSET
    """0.25 to 1.5, 1 by default; changes only between turns."""
    language: Maybe[str] = UNSET
    """Of translation sessions only: ISO 639-1 of the language to speak."""


class SessionAudio(Shape, frozen=True, kw_only=True):
    """Both sides of a session's sound."""

    input: Maybe[AudioInput] = UNSET
    output: Maybe[AudioOutput] = UNSET


class RealtimeSession(Tagged, tag="realtime", frozen=True, kw_only=True):
    """The configuration of a conversation. In an update, what is UNSET stays as it is.

    Wire: `realtime`.
    """

    model: Maybe[str] = UNSET
    """Fixed when the session is opened; an update cannot change it."""
    output_modalities: Maybe[list[str]] = UNSET
    """`["audio"]` (the default, with a transcript) or `["text"]`."""
    instructions: Maybe[str] = UNSET
    """What the model is told to be. `""` clears it."""
    audio: Maybe[SessionAudio] = UNSET
    include: Maybe[list[str]] = UNSET
    """`["item.input_audio_transcription.logprobs"]` asks for log probabilities with transcripts."""
    tools: Maybe[list[Tool]] = UNSET
    """`[]` clears them."""
    tool_choice: Maybe[ToolChoice] = UNSET
    """`"auto"` by default."""
    parallel_tool_calls: Maybe[bool] = UNSET
    """Reasoning models only."""
    reasoning: Maybe[Reasoning] = UNSET
    """Reasoning models only."""
    max_output_tokens: Maybe[int | str] = UNSET
    """1 to 4096, or `"inf"`, the default."""
    truncation: Maybe[str | RetentionRatio | UnknownShape] = UNSET
    """What happens when the context is full: `"auto"` (the default), `"disabled"` or a `RetentionRatio`."""
    tracing: Maybe[str | TracingConfig] = UNSET
    """`"auto"`, a configuration, or None for off; frozen once enabled."""
    prompt: Maybe[Prompt] = UNSET
    """A stored prompt. Fields given directly win over its own."""
    id: Maybe[str] = UNSET
    """Filled by the server: `sess_…`."""
    object: Maybe[str] = UNSET
    """Filled by the server: `"realtime.session"`."""
    expires_at: Maybe[int] = UNSET
    """Filled by the server: Unix time in seconds."""


class TranscriptionSession(Tagged, tag="transcription", frozen=True, kw_only=True):
    """The configuration of a session that only writes down what is said.

    Wire: `transcription`.
    """

    audio: Maybe[SessionAudio] = UNSET
    """Its `output` stays UNSET."""
    include: Maybe[list[str]] = UNSET
    """`["item.input_audio_transcription.logprobs"]` asks for log probabilities with transcripts."""
    id: Maybe[str] = UNSET
    """Filled by the server: `sess_…`."""
    object: Maybe[str] = UNSET
    """Filled by the server: `"realtime.transcription_session"`."""
    expires_at: Maybe[int] = UNSET
    """Filled by the server: Unix time in seconds."""


class TranslationSession(Tagged, tag="translation", frozen=True, kw_only=True):
    """The configuration of a session that speaks in another language.

    Wire: `translation`. In a `SessionUpdate`, `encode` leaves the `type` out, because the server refuses it there.
    """

    model: str | UnsetType = UNSET
    """Fixed when the session is opened; an update must not carry it."""
    audio: Maybe[SessionAudio] = UNSET
    """Only `input.transcription`, `input.noise_reduction` and `output.language` have a meaning."""
    id: str | UnsetType = UNSET
    """Filled by the server: `sess_…`."""
    expires_at: Maybe[int] = UNSET
    """Filled by the server: Unix time in seconds."""


Session: TypeAlias = RealtimeSession | TranscriptionSession | TranslationSession
