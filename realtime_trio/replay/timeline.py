"""A recorded session as lines that a person can read: who said what when, and what became of it."""

import statistics
from collections.abc import Iterator
from typing import Final

import attrs

from .story import RATE, Part, Story, ToolRun, Turn

__all__ = ["Moment", "summary", "timeline"]

_STAGES: Final = {
    "turn_detection_ms": "turn detection",
    "server_ms": "server",
    "network_ms": "network",
    "guard_ms": "guard",
    "buffer_ms": "buffer",
}
_LONGEST: Final = 200  # characters of arguments and outputs


@attrs.frozen
class Moment:
    """One line of the timeline.

    Attributes:
        at: Seconds since the recording began.
        who: Who or what it is about.
        words: What happened.
        wrong: Whether something went wrong.
    """

    at: float
    who: str
    words: str
    wrong: bool = False


def timeline(story: Story) -> list[Moment]:
    """Make the lines of a session, in the order of time.

    Args:
        story: What happened.

    Returns:
        The lines.
    """
    moments = [Moment(0.0, "recording", _began(story))]
    moments += [Moment(one.at, one.what, one.words, one.wrong) for one in story.troubles]
    for turn in story.turns:
        moments += _user(turn) if turn.who == "user" else _assistant(turn, story.parts_of(turn.id))
    moments += [Moment(run.at, "tool", words_of_tool(run), bool(run.problem)) for run in story.tools]
    moments.sort(key=lambda moment: moment.at)
    return [*moments, Moment(story.length, "recording", *_ended(story))]


def summary(story: Story) -> Iterator[str]:
    """Tell of the session as a whole.

    Args:
        story: What happened.

    Yields:
        Lines.
    """
    answers = [turn for turn in story.turns if turn.who == "assistant"]
    users = [turn for turn in story.turns if turn.who == "user"]
    yield f"{_many(len(users), 'turn')} of the user, {_many(len(answers), 'response')}, " + ", ".join(
        [
            _many(len(story.tools), "tool call"),
            _many(sum(bool(turn.interrupted) for turn in answers), "interruption"),
            _many(sum(moment.wrong for moment in timeline(story)), "problem"),
        ]
    )
    totals = [latency for turn in answers if (latency := latency_of(turn)) is not None]
    if totals:
        yield (
            f"latency: {statistics.median(totals):.0f} ms in the middle, {max(totals)} ms at worst, "
            f"of {_many(len(totals), 'answer')}"
        )
    if generated := sum(part.samples for part in story.parts):
        heard = sum(part.heard for part in story.parts)
        told = f"{heard / RATE:.1f} s heard of " if story.device else ""
        yield f"the assistant's sound: {told}{generated / RATE:.1f} s generated"
    if tokens := sum(turn.usage for turn in answers):
        yield f"{tokens} tokens"


def latency_of(turn: Turn) -> int | None:
    """How long an answer took, in milliseconds: to the first sound at the speaker, or to its first piece."""
    return turn.latency.get("total_ms", turn.latency.get("wire_ms"))


def words_of_latency(turn: Turn) -> str:
    """Say how long an answer took, and where the time went."""
    if (total := turn.latency.get("total_ms")) is not None:
        stages = [f"{name} {ms}" for key, name in _STAGES.items() if (ms := turn.latency.get(key))]
        return f"{total} ms until it was heard" + (f" ({', '.join(stages)})" if stages else "")
    if (wire := turn.latency.get("wire_ms")) is not None:
        return f"{wire} ms until its first piece arrived"
    return ""


def words_of_tool(run: ToolRun) -> str:
    """Say what was called, and what it came to."""
    called = f"{run.name}({_short(run.arguments)})"
    if run.problem:
        called += f" failed: {run.problem}"
    if run.output is not None:
        called += f" -> {_short(run.output)}"
    elif not run.problem:
        called += " has no output"
    if run.started_at is not None and run.finished_at is not None:
        called += f" ({run.finished_at - run.started_at:.2f} s)"
    return called


def words_of_hearing(parts: list[Part]) -> str:
    """Say how much of an answer was heard."""
    heard, generated = sum(part.heard for part in parts) / RATE, sum(part.samples for part in parts) / RATE
    return f"heard {heard:.1f} of {generated:.1f} s"


def _user(turn: Turn) -> list[Moment]:
    length = f" ({turn.until - turn.at:.1f} s)" if turn.spoken and turn.until is not None else ""
    words = f'"{turn.text}"' if turn.text else "(no transcript)" if turn.spoken else "(no text)"
    return [Moment(turn.at, "user", words + length)]


def _assistant(turn: Turn, parts: list[Part]) -> list[Moment]:
    words = f'"{turn.text}"' if turn.text else "(a response without words)"
    notes = [words_of_latency(turn)]
    if any(part.played for part in parts):
        notes.append(words_of_hearing(parts))
    if turn.status != "completed":
        notes.append(turn.status or "never finished")
    moments = [Moment(turn.at, "assistant", "; ".join([words, *filter(None, notes)]))]
    if turn.interrupted:
        heard = " ".join(part.heard_text for part in parts if part.heard_text)
        cut = max((one.until for part in parts for one in part.played), default=turn.until or turn.at)
        said = f', heard: "{heard}"' if heard else ""
        moments.append(Moment(cut, "interruption", f"{turn.interrupted}{said}"))
    if turn.status in {"failed", "incomplete"}:
        at = turn.until or turn.at
        moments.append(Moment(at, turn.status, turn.problem or "the server did not say why", wrong=True))
    return moments


def _began(story: Story) -> str:
    header = story.header
    config = story.config
    modalities = config.get("output_modalities")
    about = [
        str(config.get("model") or ""),
        " and ".join(map(str, modalities)) if isinstance(modalities, list) else "",
        f"device {story.device}" if story.device else "no device",
    ]
    return f"began {header.get('began')} ({header.get('library')}): " + ", ".join(filter(None, about))


def _ended(story: Story) -> tuple[str, bool]:
    if story.end is None:
        return "ends here, without a word: the program was killed, or is still running", True
    match story.end.get("reason"):
        case None:
            return "ended", False
        case {"type": str(kind), "message": str(message)}:
            where = story.end.get("where") or []
            at = f" at {where[-1]}" if where else ""
            return f"ended by {kind}{f': {message}' if message else ''}{at}", True
        case reason:
            return f"ended: {reason}", False


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
