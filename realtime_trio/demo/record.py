"""What happened in a talk, for the summary. Who notes it is `follower.py`; how it reads is `summary.py`'s business."""

import attrs

from realtime_trio.session import Interruption, Latency, Response, SessionUsage

__all__ = ["Record", "Turn"]


@attrs.define(eq=False)
class Turn:
    """One turn of the user, with what followed it.

    Attributes:
        said: The words, as far as they are known.
        typed: Whether it was typed.
        barge_in: Whether it was begun while the assistant was to be heard.
        responses: What the assistant answered, tool calls included.
    """

    said: str = ""
    typed: bool = False
    barge_in: bool = False
    responses: list[Response] = attrs.field(factory=list)

    @property
    def latency_ms(self) -> int | None:
        """From the end of the user's speech to the first sound of the answer, where both were."""
        ended = next((one.speech_ended_at for one in self.responses if one.speech_ended_at is not None), None)
        sound = next((one.first_sound_at for one in self.responses if one.first_sound_at is not None), None)
        return None if ended is None or sound is None else round((sound - ended) * 1000)

    @property
    def latency(self) -> Latency | None:
        """Where that time went; None where a tool call came between, or nothing sounded.

        For a typed turn the time begins when the answer was asked for.
        """
        sounding = next((one for one in self.responses if one.first_sound_at is not None), None)
        if sounding is None or sounding is not self.responses[0]:
            return None
        return sounding.latency


@attrs.define(eq=False)
class Record:
    """What happened in a talk.

    Attributes:
        turns: The user's turns, in order.
        responses: The assistant's responses, in order.
        tools: The tool calls that ended, each with whether it went well.
        interruptions: What was interrupted, and where.
        told_ms: Where the server says that an item was cut, by item id.
        usage: What the session used.
        losses: How often the sound hardware went away.
        gaps_ms: How long there was no connection, each time that it was lost and came back.
        problems: What went wrong, in words.
    """

    turns: list[Turn] = attrs.field(factory=list)
    responses: list[Response] = attrs.field(factory=list)
    tools: list[tuple[str, bool]] = attrs.field(factory=list)
    interruptions: list[Interruption] = attrs.field(factory=list)
    told_ms: dict[str, int] = attrs.field(factory=dict)
    usage: SessionUsage = attrs.field(factory=SessionUsage)
    losses: int = 0
    gaps_ms: list[int] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
