"""Whether a recording is whole, and whether what it tells is what should have happened."""

from typing import Any, Literal

import attrs

from realtime_trio.recording import AudioReference, Entry, LinkFollower, RecordedSession

from .story import RATE, Story
from .telling import tell

__all__ = ["Finding", "check"]

_SLACK = 0.25  # seconds by which the device's sound may be shorter than its last line says: what a kill costs


@attrs.frozen
class Finding:
    """Something that is not as it should be.

    Attributes:
        kind: `"recording"`: the recording itself is not whole. `"session"`: it is, and tells of something that should
            not have happened.
        words: What it is.
        at: When, in seconds; None where it has no time.
    """

    kind: Literal["recording", "session"]
    words: str
    at: float | None = None


def check(session: RecordedSession) -> list[Finding]:
    """Look for what is missing in a recording, and what went wrong in the session.

    Args:
        session: The recording.

    Returns:
        What was found; empty when all is well.

    Raises:
        OSError: The recording cannot be read.
    """
    checker = _Checker(session)
    for number, entry in enumerate(session.entries(), 1):
        checker.take(number, entry)
    story = tell(session)
    return [*checker.finish(story), *_both_sides(story), *_calls(checker, story), *_sound(story)]


class _Checker:
    """Looks at the lines one after the other."""

    def __init__(self, session: RecordedSession) -> None:
        self._session = session
        self._found: list[Finding] = []
        self._next: dict[str, int] = {"sent.raw": 0, "received.raw": 0}
        self._before = 0.0
        self._links = LinkFollower()
        self.outputs: dict[str, int] = {}
        self._first_sent_on: dict[str, object] = {}  # outputs, by their item: one may be sent again on a new link
        self.completed: set[str] = set()
        self.interrupted: set[str] = set()

    def take(self, number: int, entry: Entry) -> None:
        if entry.kind == "unreadable":
            self._found.append(Finding("recording", f"line {number} of events.jsonl cannot be read"))
            return
        if entry.at < self._before - 1e-6:
            self._found.append(Finding("recording", f"line {number} goes back in time", entry.at))
        self._before = max(self._before, entry.at)
        if entry.kind in {"sent", "received"}:
            self._audio(entry.at, entry.event)
        if not self._links.follow(entry):
            return  # a new link is told of outputs that there are
        match entry.event:
            case {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": str(call_id)} as item,
            }:
                link = entry.data.get("link")
                if self._first_sent_on.setdefault(str(item.get("id") or number), link) == link:
                    self.outputs[call_id] = self.outputs.get(call_id, 0) + 1
            case {"type": "response.done", "response": {"status": "completed", "output": list(output)}}:
                self.completed.update(
                    str(item.get("call_id"))
                    for item in output
                    if isinstance(item, dict) and item.get("type") == "function_call"
                )
            case _:
                pass

    def _audio(self, at: float, value: Any) -> None:
        if isinstance(value, dict):
            if (reference := AudioReference.of(value)) is not None:
                self._follow(at, reference)
                return
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                self._audio(at, item)

    def _follow(self, at: float, reference: AudioReference) -> None:
        if reference.file not in self._next:
            self._found.append(Finding("recording", f"{reference.file!r} is no file of a recording", at))
            return
        if reference.offset != self._next[reference.file]:
            self._found.append(Finding("recording", f"{reference.file} is not referred to without gaps", at))
        self._next[reference.file] = reference.offset + reference.length

    def finish(self, story: Story) -> list[Finding]:
        if self._session.torn:
            self._found.append(Finding("recording", "the last line is torn"))
        if story.end is None:
            self._found.append(Finding("recording", "there is no last line: the program was killed, or is running"))
        for file, end in self._next.items():
            there = self._session.audio_length(file)
            if there < end:
                self._found.append(Finding("recording", f"{file} has {there} bytes, and {end} are referred to"))
            elif there > end and story.end is not None:
                self._found.append(Finding("recording", f"{file} has {there - end} bytes that no line refers to"))
        if story.clock:
            length = self._session.device_samples / RATE
            sample, captured = story.clock[-1]
            if length < sample / RATE - _SLACK:
                self._found.append(Finding("recording", f"device.wav ends before {captured:.1f} s", captured))
        return self._found


def _both_sides(story: Story) -> list[Finding]:
    """What the two sides of the wire do not agree on, as far as both tell of it."""
    found = [
        Finding("session", f"the response {turn.id} never ended", turn.at)
        for turn in story.turns
        if turn.who == "assistant" and not turn.status and story.end is not None and story.end.get("reason") is None
    ]
    found += [Finding("session", f"{one.what}: {one.words}", one.at) for one in story.troubles if one.wrong]
    found += [
        Finding("session", f"the response {turn.id} is {turn.status}: {turn.problem or 'nobody said why'}", turn.at)
        for turn in story.turns
        if turn.status in {"failed", "incomplete"}
    ]
    return found


def _calls(checker: _Checker, story: Story) -> list[Finding]:
    """Every completed call has exactly one output; one that the end of the session cut off has none."""
    found = []
    for run in story.tools:
        outputs = checker.outputs.get(run.call_id, 0)
        cut_off = story.end is None or story.end.get("reason") is not None or run.problem == "cancelled: session_ended"
        if outputs > 1:
            found.append(Finding("session", f"the call {run.name} ({run.call_id}) has {outputs} outputs", run.at))
        elif outputs == 0 and run.call_id in checker.completed and not cut_off:
            found.append(Finding("session", f"the call {run.name} ({run.call_id}) has no output", run.at))
        if run.problem and not run.problem.startswith("cancelled"):
            found.append(Finding("session", f"the tool {run.name} failed: {run.problem}", run.at))
    return found


def _sound(story: Story) -> list[Finding]:
    """Of each part all was heard, or it is known where it was cut; and no sample was heard twice."""
    found = []
    for part in story.parts if story.device else []:
        where = f"part {part.index} of {part.item_id}"
        at = 0
        for one in part.played:
            if one.start != at:
                words = "was heard twice" if one.start < at else "was left out"
                found.append(Finding("session", f"{where}: sample {min(at, one.start)} {words}", one.begins))
            at = one.end
        if at > part.samples:
            found.append(Finding("session", f"{where}: more was heard than received", part.first_at))
        elif part.cut is not None and part.cut != at:
            found.append(Finding("session", f"{where}: cut at sample {part.cut}, and heard to {at}", part.first_at))
        elif part.cut is None and at < part.samples and story.end is not None and story.end.get("reason") is None:
            missing = (part.samples - at) / RATE
            found.append(Finding("session", f"{where}: {missing:.1f} s were neither heard nor cut", part.first_at))
    return found
