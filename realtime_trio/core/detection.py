"""What the configuration in effect says about turns: who detects them, and what the server then does by itself."""

from typing import Self

import attrs

from realtime_trio.events import UNSET, AudioInput, RealtimeSession, SemanticVad, ServerVad

__all__ = ["SILENCE_MS", "Detection"]

SILENCE_MS = 500
"""How much silence ends a turn, for server VAD by default."""

_PADDING_MS = 300  # what it puts before the beginning, likewise
_MOST_SILENCE_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}  # of semantic VAD, by eagerness


@attrs.frozen
class Detection:
    """Turn detection and transcription in effect; at first what the API does until told otherwise.

    Attributes:
        is_on: Whether turns are detected; otherwise they are manual.
        creates: Whether the server starts a response at the end of a turn.
        interrupts: Whether the server cancels the response in progress when the user begins to speak.
        silence_ms: How much silence the reported end of speech includes; None when it is not said (semantic VAD).
        most_silence_ms: How much silence ends a turn at the latest.
        padding_ms: How much the reported beginning of speech lies before the speech.
        transcribes: Whether what the user says is transcribed.
    """

    is_on: bool = True
    creates: bool = True
    interrupts: bool = True
    silence_ms: int | None = SILENCE_MS
    most_silence_ms: int = SILENCE_MS
    padding_ms: int = _PADDING_MS
    transcribes: bool = False

    def after(self, session: object) -> Self:
        """Follow a configuration that the server tells; of what it leaves out, what was known stays.

        Args:
            session: Of `session.created` or `session.updated`. Sessions that are not realtime never answer.

        Returns:
            What is in effect now.
        """
        if not isinstance(session, RealtimeSession):
            return attrs.evolve(self, is_on=False, creates=False, interrupts=False)
        audio_input = session.audio.input if session.audio else UNSET
        if not isinstance(audio_input, AudioInput):
            return self
        known = self
        if audio_input.transcription is not UNSET:
            known = attrs.evolve(known, transcribes=audio_input.transcription is not None)
        detection = audio_input.turn_detection
        if detection is UNSET:
            return known
        flags = detection if isinstance(detection, ServerVad | SemanticVad) else None
        known = attrs.evolve(
            known,
            is_on=detection is not None,
            creates=detection is not None and (flags is None or flags.create_response is not False),
            interrupts=detection is not None and (flags is None or flags.interrupt_response is not False),
            silence_ms=None,
            most_silence_ms=_MOST_SILENCE_MS["medium"],
            padding_ms=_PADDING_MS,
        )
        match detection:
            case ServerVad(silence_duration_ms=silence, prefix_padding_ms=padding):
                silence_ms = silence if isinstance(silence, int) else SILENCE_MS
                padding_ms = padding if isinstance(padding, int) else _PADDING_MS
                return attrs.evolve(known, silence_ms=silence_ms, most_silence_ms=silence_ms, padding_ms=padding_ms)
            case SemanticVad(eagerness=str(eagerness)) if eagerness in _MOST_SILENCE_MS:
                return attrs.evolve(known, most_silence_ms=_MOST_SILENCE_MS[eagerness])
            case _:
                return known
