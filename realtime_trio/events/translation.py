"""What only the server of a translation session sends.

It also sends `error`, `session.created` and `session.updated`, which are in `server`.
"""

from msgspec import UNSET

from ._base import Maybe, ServerEventBase

__all__ = [
    "SessionClosed",
    "SessionInputTranscriptDelta",
    "SessionOutputAudioDelta",
    "SessionOutputTranscriptDelta",
]


class SessionClosed(ServerEventBase, tag="session.closed", frozen=True):
    """The translation is over; nothing more comes.

    Wire: `session.closed`, in answer to `session.close`, last.
    """


class SessionInputTranscriptDelta(ServerEventBase, tag="session.input_transcript.delta", frozen=True, kw_only=True):
    """A piece of what was said. Append it as it is, without spaces.

    Wire: `session.input_transcript.delta`, as it is recognised, if transcription is on.
    """

    delta: str
    elapsed_ms: Maybe[int] = UNSET
    """Position in the session, in ms."""


class SessionOutputTranscriptDelta(ServerEventBase, tag="session.output_transcript.delta", frozen=True, kw_only=True):
    """A piece of the translation as text. Append it as it is, without spaces.

    Wire: `session.output_transcript.delta`, as it is generated.
    """

    delta: str
    elapsed_ms: Maybe[int] = UNSET
    """Position in the session, in ms."""


class SessionOutputAudioDelta(ServerEventBase, tag="session.output_audio.delta", frozen=True, kw_only=True):
    """A piece of the translation as speech.

    Wire: `session.output_audio.delta`, as it is generated, ahead of real time.
    """

    delta: bytes
    """16 bit, little-endian sound (base64 on the wire)."""
    channels: Maybe[int] = UNSET
    """1 when seen."""
    elapsed_ms: Maybe[int] = UNSET
    """Position in the session, in ms."""
    format: Maybe[str] = UNSET
    """`"pcm16"`."""
    sample_rate: Maybe[int] = UNSET
    """Samples per second, 24000 when seen."""
