"""Holds what came of a disturbed conversation against the undisturbed one. Everything here is a complaint, or none."""

from collections.abc import Iterator

import attrs

from realtime_trio.errors import ConnectionClosed, RealtimeError

from .playing import Line, Outcome

MOST_LIVE = 20


def complaints(outcome: Outcome, undisturbed: Outcome) -> list[str]:
    """Say what is not as it has to be."""
    return list(_complaints(outcome, undisturbed))


def _complaints(outcome: Outcome, undisturbed: Outcome) -> Iterator[str]:
    if outcome.error is not None:
        if not (isinstance(outcome.error, RealtimeError) and not outcome.lost and not outcome.lines):
            yield f"the session ended: {outcome.error!r}"
        return  # it never began: who opens it is told
    yield from (f"left: {one}" for one in outcome.left)
    if len(outcome.lost) > len([one for one in outcome.reconnected if one.reason == "lost"]):
        yield f"{len(outcome.lost)} links were lost, {len(outcome.reconnected)} followed"
    yield from (f"the call {call} has {count} outputs" for call, count in outcome.calls.items() if count != 1)
    dropped = outcome.dropped_ms + sum(one.dropped_audio_ms for one in outcome.reconnected)
    if not dropped:
        yield from (f"never answered: {words}" for words in outcome.missed)
    yield from _about_asked(outcome, undisturbed)
    if not dropped:
        yield from _about_lines(outcome, undisturbed.lines)
    yield from _about_size(outcome, undisturbed)


def _about_asked(outcome: Outcome, undisturbed: Outcome) -> Iterator[str]:
    """Every reply that was asked for came, or its asker was told; where the link cut it off, a part came."""
    cut_off = [response_id for one in outcome.reconnected for response_id in one.cut_off]
    for words, expected in undisturbed.asked.items():
        said = outcome.asked.get(words, "nothing at all")
        if isinstance(said, Exception):
            told = isinstance(said, ConnectionClosed) and outcome.reconnected and "while resp_" in said.reason
            if not (told or isinstance(expected, Exception)):
                yield f"{words!r} raised {said!r}"
        elif said != expected and not (cut_off and isinstance(expected, str) and expected.startswith(said)):
            yield f"{words!r} was answered {said!r}, undisturbed {expected!r}"


def _about_lines(outcome: Outcome, expected: list[Line]) -> Iterator[str]:
    """The mirror is the same, but for responses that were cut; and each link lists the tools of MCP servers anew."""
    expected = [line for line in expected if line.kind != "mcp_list_tools"]
    place = 0
    answered_again: str | None = None  # what was cut off before a word of it was heard, the model may say again
    for line in (line for line in outcome.lines if line.kind != "mcp_list_tools"):
        wanted = expected[place] if place < len(expected) else None
        was_cut = line.response_id in outcome.cut
        if wanted is not None and _fits(line, wanted, was_cut=was_cut):
            answered_again = wanted.words if was_cut and wanted.role == "assistant" else answered_again
            place += 1
        elif answered_again and wanted and line == attrs.evolve(wanted, words=f"{answered_again} {wanted.words}"):
            place += 1
        elif line.role == "user" and answered_again and line in expected[place:]:
            place = expected.index(line, place) + 1  # a call is cut off with its response
        elif not was_cut and not (answered_again and line.words == answered_again):
            yield f"there is {line}, undisturbed {wanted}"
            return
    yield from (f"missing: {line}" for line in expected[place:])


def _fits(line: Line, wanted: Line, *, was_cut: bool) -> bool:
    if line == wanted:
        return True
    if (line.kind, line.role, line.call, line.output) != (wanted.kind, wanted.role, wanted.call, wanted.output):
        return False
    if line.role == "user":  # whose transcription was on its way when the link was lost
        return not line.words_known and wanted.words.startswith(line.words)
    if line.interrupted and wanted.interrupted:  # a word earlier or later
        return line.words.startswith(wanted.words) or wanted.words.startswith(line.words)
    return was_cut and wanted.words.startswith(line.words)


def _about_size(outcome: Outcome, undisturbed: Outcome) -> Iterator[str]:
    for name in ("calls", "replies", "live"):
        if outcome.most.get(name, 0) > undisturbed.most.get(name, 0) + MOST_LIVE:
            yield f"{outcome.most[name]} {name} at once"
    if outcome.most.get("items", 0) > 3 * len(undisturbed.lines) + MOST_LIVE:
        yield f"{outcome.most['items']} items are remembered"
