"""What came and went in a session: counts for people and for logs."""

import attrs

__all__ = ["SessionStatistics"]


@attrs.frozen
class SessionStatistics:
    """A session at one moment; counts are since it was opened.

    Attributes:
        sent: Events that the writer took.
        received: Events that came.
        unknown_events: Those of a type that this version does not know; they were delivered as `events.UnknownEvent`.
        malformed_events: Those that do not fit their type; they were delivered as `events.MalformedEvent`.
        not_events: Messages that are no events; they were reported as `NotAnEvent`.
        dropped_audio_ms: Milliseconds of microphone audio that a slow uplink cost.
        running_tools: Tool calls that are not over: those that wait, run, or are being told of, in the background too.
    """

    sent: int
    received: int
    unknown_events: int
    malformed_events: int
    not_events: int
    dropped_audio_ms: int
    running_tools: int
