"""The last words of the demo: what was said, and what happened, counted. Functions of what `follower.py` noted."""

import os
from collections.abc import Iterable, Iterator

from realtime_trio.audio import DeviceStatistics
from realtime_trio.device import SAMPLE_RATE, EchoState
from realtime_trio.session import Interruption, SessionUsage, Tokens

from .lines import folded
from .record import Record, Turn
from .view_state import CUT, Entry, echo_words

__all__ = ["sound_rows", "summary", "transcript"]

_INDENT = 17  # columns before what a row says
_TRANSCRIPT_INDENT = 22


def transcript(entries: Iterable[Entry], *, width: int | None = None) -> Iterator[str]:
    """Write down what was said on a screen that is gone.

    Args:
        entries: All of it.
        width: Columns that there are; None for no limit.

    Yields:
        Lines, without line ends.
    """
    for entry in entries:
        words = entry.words
        if entry.cut:
            heard = entry.heard or 0
            words = f"{words[:heard].rstrip()} {CUT} {words[heard:].strip()}"
        yield folded(f"{entry.at:6.1f} s  {entry.who:<12}{words.strip() or '(no words)'}", width, _TRANSCRIPT_INDENT)


def sound_rows(statistics: DeviceStatistics, echo: EchoState | None) -> Iterator[tuple[str, str]]:
    """Tell how the sound card did.

    Args:
        statistics: What it counted.
        echo: How the echo was taken out.

    Yields:
        Names and texts.
    """
    counts = (
        f"{statistics.underruns} times too late for the speaker, {statistics.overruns} blocks missed, "
        f"{statistics.lost} without the device"
    )
    yield "sound", f"{statistics.blocks} blocks: {counts}"
    if details := "; ".join(_details(statistics)):
        yield "", details
    yield "echo", echo_words(echo)


def _details(statistics: DeviceStatistics) -> Iterator[str]:
    """Tell what is not as it is with most sound cards."""
    if statistics.streams == "separate":
        yield "microphone and speaker are two streams"
    if statistics.rates is not None and set(statistics.rates) != {SAMPLE_RATE}:
        yield f"converted from {statistics.rates[0]} Hz and to {statistics.rates[1]} Hz"
    if statistics.corrections:
        yield f"their clocks differ, corrected {_times(statistics.corrections)}"
    if statistics.realignments:
        yield f"aligned anew {_times(statistics.realignments)}"
    if statistics.failures:
        yield f"failed {_times(statistics.failures)} in the library: please report this"


def summary(
    record: Record,
    *,
    recording: str | os.PathLike[str],
    seconds: float,
    sound: Iterable[tuple[str, str]] = (),
    width: int | None = None,
) -> Iterator[str]:
    """Put a talk into a few lines.

    Args:
        record: What happened.
        recording: The file with the sound.
        seconds: Its length.
        sound: What else there is to tell, as names and texts.
        width: Columns that there are; None for no limit.

    Yields:
        Lines, without line ends.
    """
    room = None if width is None else max(width - _INDENT, 0)
    for row in _summary(record, recording, seconds, sound, room):
        yield folded(row, width, _INDENT)


def _summary(
    record: Record,
    recording: str | os.PathLike[str],
    seconds: float,
    sound: Iterable[tuple[str, str]],
    room: int | None,
) -> Iterator[str]:
    spoken = sum(not turn.typed for turn in record.turns)
    yield "Summary"
    yield _row("turns", f"{len(record.turns)} of the user ({spoken} spoken, {len(record.turns) - spoken} typed)")
    answers = [response for response in record.responses if response.text]
    responses = f"{len(record.responses)} response{'' if len(record.responses) == 1 else 's'}"
    yield _row("", f"{len(answers)} of the assistant, in {responses}")
    yield from _rows("tool calls", _tools(record.tools))
    yield from _rows("interruptions", [_interruption(one, record) for one in record.interruptions])
    yield from _rows("usage", _usage(record.usage))
    yield from _rows("latency", _latencies(record.turns, room))
    yield _row("", "(from the end of what the user said or typed to the first sound at the speaker)")
    for name, text in sound:
        yield _row(name, text)
    if record.losses:
        yield _row("device", f"went away {_times(record.losses)}")
    if record.gaps_ms:
        yield _row("connection", f"lost {_times(len(record.gaps_ms))}, {sum(record.gaps_ms) / 1000:.1f} s without one")
    yield from _rows("problems", record.problems) if record.problems else ()
    yield _row("recording", f"{recording}, {seconds:.1f} s (left: user, right: assistant)")


def _row(name: str, text: str) -> str:
    return f"  {name:<14} {text}"


def _rows(name: str, texts: Iterable[str]) -> Iterator[str]:
    texts = list(texts)
    for index, text in enumerate(texts or ["none"]):
        yield _row("" if index else name, text)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _tools(tools: Iterable[tuple[str, bool]]) -> Iterator[str]:
    tools = list(tools)
    for name in dict.fromkeys(name for name, _ in tools):
        outcomes = [well for one, well in tools if one == name]
        failed = outcomes.count(False)
        yield f"{len(outcomes)} x {name}" + (f", {failed} failed" if failed else "")


def _interruption(interruption: Interruption, record: Record) -> str:
    heard, generated = interruption.cut_ms / 1000, interruption.received_ms / 1000
    told = [record.told_ms[part.item_id] for part in interruption.parts if part.item_id in record.told_ms]
    confirmed = f", the server confirms {sum(told) / 1000:.2f} s" if told else ""
    return f"heard {heard:.2f} s of {generated:.2f} s generated{confirmed}"


def _latencies(turns: Iterable[Turn], room: int | None) -> Iterator[str]:
    """Make a table of it, where there is anything to be put in; what was said is shortened to the room there is."""
    turns = list(turns)
    if not turns:
        return
    yield "turn  total = detection + server + network + buffer, in ms"
    for number, turn in enumerate(turns, 1):
        figures = f"{number:>4}  {_times_of(turn)}  "
        said = f"{turn.said or '(no words)'}{' (spoken over)' if turn.barge_in else ''}"
        if room is not None and len(figures + said) > room:
            said = said[: max(room - len(figures) - 3, 0)].rstrip() + "..."
        yield figures + said


def _times_of(turn: Turn) -> str:
    if one := turn.latency:
        return (
            f"{one.total_ms:>5} = {one.turn_detection_ms:>9} + {one.server_ms:>6} + {one.network_ms:>7} + "
            f"{one.buffer_ms:>6}"
        )
    if turn.latency_ms is not None:
        return f"{turn.latency_ms:>5}   {'(a tool was called on the way)':<37}"
    return f"{'-':>5}   {'(no sound)':<37}"


def _usage(usage: SessionUsage) -> Iterator[str]:
    """Tell what was used, by kind."""
    cached = f"; {usage.cached_tokens} of them cached" if usage.cached_tokens else ""
    yield (
        f"input {usage.input_tokens} tokens ({_kinds(usage.input)}{cached}), "
        f"output {usage.output_tokens} tokens ({_kinds(usage.output)})"
    )
    heard = usage.transcription
    by_time = [f"{heard.seconds:.1f} s of speech"] if heard.seconds else []
    by_tokens = [f"{heard.total_tokens} tokens"] if heard.total_tokens else []
    if used := ", ".join(by_time + by_tokens):
        yield f"transcription apart: {used}"


def _kinds(tokens: Tokens) -> str:
    rare = (("image", tokens.image), ("unknown", tokens.unknown))
    kinds = [("text", tokens.text), ("audio", tokens.audio), *((kind, number) for kind, number in rare if number)]
    return ", ".join(f"{number} {kind}" for kind, number in kinds)
