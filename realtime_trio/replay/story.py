"""What happened in a recorded session, as values: turns, parts and how they were heard, tool calls.

They are put together from the lines of the recording in `telling.py`, and shown by `timeline.py` and `page.py`.
"""

from typing import Any, Final, Literal

import attrs

from realtime_trio.recording import AudioReference

__all__ = ["G711_BYTES_PER_MS", "PCM_BYTES_PER_MS", "RATE", "Part", "Played", "Story", "ToolRun", "Trouble", "Turn"]

RATE: Final = 24_000
"""Samples a second of what the device plays."""

PCM_BYTES_PER_MS: Final = 48
"""Bytes of a millisecond of the wire, with PCM16 at 24 kHz."""

G711_BYTES_PER_MS: Final = 8
"""The same with G.711."""


@attrs.frozen
class Played:
    """A stretch of a part that left the speaker in one go: samples of the part, and times in seconds."""

    start: int
    end: int
    begins: float
    until: float


@attrs.define
class Part:
    """A part of the assistant's sound.

    Attributes:
        response_id: The response that made it.
        item_id: Its item.
        index: Its place in the item.
        first_at: When its first sound arrived.
        audio: What was received of it, in the wire's format.
        samples: How many samples that is.
        text: Its transcript, as far as it was generated.
        heard_text: What of it was heard, about; None for all of it, or where that is not known.
        played: When which of its samples left the speaker.
        cut: At which sample it was cut; None if it was not.
    """

    response_id: str
    item_id: str
    index: int
    first_at: float
    audio: list[AudioReference] = attrs.field(factory=list)
    samples: int = 0
    text: str = ""
    heard_text: str | None = None
    played: list[Played] = attrs.field(factory=list)
    cut: int | None = None

    @property
    def heard(self) -> int:
        """How many of its samples left the speaker."""
        return sum(one.end - one.start for one in self.played)


@attrs.define
class Turn:
    """Something that somebody said.

    Attributes:
        at: When it began, as far as that is known, in seconds.
        until: When it ended.
        who: Who said it.
        text: The words, or as much of them as there is.
        id: The user's item, or the response.
        spoken: Whether it was spoken and not written.
        status: How the response ended; empty while it had not.
        problem: Why it failed, or is not complete.
        latency: In the pieces of `Response.latency`, in milliseconds; without a device, what the wire shows of it.
        interrupted: What interrupted it.
        usage: The tokens that it took.
    """

    at: float
    who: Literal["user", "assistant"]
    id: str = ""
    until: float | None = None
    text: str = ""
    spoken: bool = False
    status: str = ""
    problem: str = ""
    latency: dict[str, int] = attrs.field(factory=dict)
    interrupted: str = ""
    usage: int = 0


@attrs.define
class ToolRun:
    """A tool call, from its request to its output."""

    call_id: str
    name: str
    arguments: str
    at: float
    started_at: float | None = None
    finished_at: float | None = None
    output: str | None = None
    problem: str = ""


@attrs.frozen
class Trouble:
    """Something that went wrong, or that had to be said: an error of the server's, a notice, an end."""

    at: float
    what: str
    words: str
    wrong: bool = True


@attrs.define
class Story:
    """A session, as it was recorded.

    Attributes:
        header: The recording's first line.
        turns: What was said, in the order in which it began.
        parts: The assistant's sound, in the order in which it arrived.
        tools: The tool calls.
        troubles: Errors, notices, and what became of the links.
        clock: Pairs of a sample of the device's sound and the time at which it was captured.
        sent: The audio that was sent, with the time of each piece.
        input_bytes_per_ms: How much a millisecond of that takes; the same for output.
        config: The session's configuration, the last that was acknowledged.
        device: The device's name; empty where there was none.
        end: The last line that says how it ended; None when it was killed.
        length: Seconds from the beginning to the last line.
    """

    header: dict[str, Any]
    turns: list[Turn] = attrs.field(factory=list)
    parts: list[Part] = attrs.field(factory=list)
    tools: list[ToolRun] = attrs.field(factory=list)
    troubles: list[Trouble] = attrs.field(factory=list)
    clock: list[tuple[int, float]] = attrs.field(factory=list)
    sent: list[tuple[float, AudioReference]] = attrs.field(factory=list)
    input_bytes_per_ms: int = PCM_BYTES_PER_MS
    output_bytes_per_ms: int = PCM_BYTES_PER_MS
    config: dict[str, Any] = attrs.field(factory=dict)
    device: str = ""
    end: dict[str, Any] | None = None
    length: float = 0.0

    def time_of_sample(self, sample: int) -> float:
        """When a sample of the device's sound was captured, in seconds."""
        at = 0.0
        for known, captured in self.clock:
            if known > sample:
                break
            at = captured + (sample - known) / RATE
        return at

    def parts_of(self, response_id: str) -> list[Part]:
        """The parts of a response."""
        return [part for part in self.parts if part.response_id == response_id]
