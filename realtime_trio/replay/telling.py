"""Puts together what happened in a recorded session, line by line."""

import bisect
from collections.abc import Iterator
from typing import Any, Final

from realtime_trio.recording import AudioReference, Entry, LinkFollower, RecordedSession

from .story import G711_BYTES_PER_MS, PCM_BYTES_PER_MS, RATE, Part, Played, Story, ToolRun, Trouble, Turn

__all__ = ["tell"]

_NOT_TROUBLE: Final = frozenset(
    {
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "item_already_truncated",
        "item_truncate_invalid_item_id",
        "item_delete_invalid_item_id",
    }
)

_PADDING_MS: Final = 300  # of a server that does not say
_SILENCE_MS: Final = 500

_NO_TROUBLE: Final = frozenset(  # of a lost link the line about the link itself says it
    {"Paused", "Resumed", "HandedOver", "McpListed", "McpCallStarted", "McpCallFinished", "LinkLost"}
)


def tell(session: RecordedSession) -> Story:
    """Put together what happened.

    Args:
        session: The recording.

    Returns:
        Its story. Lines that cannot be understood are left out: `check` finds those.

    Raises:
        OSError: The recording cannot be read.
    """
    teller = _Teller(session.header)
    for entry in session.entries():
        teller.take(entry)
    return teller.finish()


class _Input:
    """The user's sound on one link."""

    def __init__(self) -> None:
        self._begins: list[int] = []  # where each append begins, in bytes
        self._times: list[float] = []
        self._length = 0
        self.begun = ""  # the turn that began last
        self.ended_ms = 0  # where the last one ended
        self._kept = 0  # bytes at its beginning that were said before there was this link

    def append(self, at: float, length: int, *, lives: bool) -> None:
        self._begins.append(self._length)
        self._times.append(at)
        self._length += length
        if not lives:
            self._kept = self._length

    def time_of(self, position: int, at: float, bytes_per_ms: int) -> float:
        """When a byte of it was sent; not later than `at`, which also is the answer for what is not known."""
        if position < self._kept:  # it came in one go, and what was said behind it followed
            following = self._times[min(bisect.bisect_left(self._begins, self._kept), len(self._times) - 1)]
            return min(following - (self._kept - position) / bytes_per_ms / 1000, at)
        index = bisect.bisect_right(self._begins, position)
        return min(self._times[index - 1], at) if index else at


class _Teller:
    """Reads line after line."""

    def __init__(self, header: dict[str, Any]) -> None:
        self.story = Story(header)
        self._users: dict[str, Turn] = {}
        self._answers: dict[str, Turn] = {}
        self._parts: dict[tuple[str, str, int], Part] = {}
        self._tools: dict[str, ToolRun] = {}
        self._links = LinkFollower()
        self._opened: set[int] = set()  # links
        self._inputs: dict[int, _Input] = {}  # by the link: each counts the user's sound anew
        self._turn_over_at: float | None = None

    def take(self, entry: Entry) -> None:  # noqa: C901 one case for each kind of line
        story, data = self.story, entry.data
        story.length = max(story.length, entry.at)
        lives = self._links.follow(entry)
        link = _number(data.get("link"))
        if entry.kind in {"connected", "sent", "received"}:  # an older recording may lack the first
            self._opened.add(link)
        match entry.kind:
            case "sent":
                self._sent_event(entry.at, entry.event, self._inputs.setdefault(link, _Input()), lives=lives)
            case "received":
                self._received(entry.at, entry.event, self._inputs.setdefault(link, _Input()))
            case "played" | "cut":
                self._ledger(entry)
            case "clock":
                story.clock.append((int(data.get("sample", 0)), float(data.get("captured", 0.0))))
            case "device":
                story.device = str(data.get("name"))
            case "latency":
                if turn := self._answers.get(str(data.get("response"))):
                    turn.latency = {key: value for key, value in data.items() if key.endswith("_ms")}
            case "notice":
                self._notice(entry.at, str(data.get("name")), data.get("notice"))
            case "connecting" | "connected" | "disconnected":
                self._link(entry)
            case "ended":
                story.end = data

    def finish(self) -> Story:
        """Bring everything into order."""
        story = self.story
        for turn in story.turns:
            parts = story.parts_of(turn.id) if turn.who == "assistant" else []
            played = [one for part in parts for one in part.played]
            if played:
                turn.at, turn.until = min(one.begins for one in played), max(one.until for one in played)
            if parts:
                turn.spoken = True
                turn.text = " ".join(part.text for part in parts if part.text) or turn.text
        story.turns.sort(key=lambda turn: turn.at)
        return story

    # What was sent

    def _sent_event(self, at: float, event: dict[str, Any], sound: "_Input", *, lives: bool) -> None:
        match event:
            case {"type": "input_audio_buffer.append", "audio": audio}:
                if (reference := AudioReference.of(audio)) is not None:
                    sound.append(at, reference.length, lives=lives)
                    if lives:
                        self.story.sent.append((at, reference))
            case _ if not lives:
                pass  # a new link is told what there is
            case {"type": "conversation.item.create", "item": {"type": "message", "role": "user"} as item}:
                text = " ".join(_texts(item))
                spoken = any(piece.get("type") == "input_audio" for piece in _content(item))
                self._add_user(at, str(item.get("id", "")), text, spoken=spoken).until = at
                self._turn_over_at = at
            case {"type": "response.create"}:
                self._turn_over_at = at if self._turn_over_at is None else self._turn_over_at
            case _:
                pass

    def _add_user(self, at: float, item_id: str, text: str = "", *, spoken: bool) -> Turn:
        turn = self._users.get(item_id)
        if turn is None or not item_id:
            turn = self._users[item_id] = Turn(at, "user", item_id, spoken=spoken)
            self.story.turns.append(turn)
        turn.text = text or turn.text
        return turn

    # What was received

    def _received(self, at: float, event: dict[str, Any], sound: "_Input") -> None:
        match event:
            case {"type": "session.created" | "session.updated", "session": dict(config)}:
                self._configure(config)
            case {"type": "input_audio_buffer.speech_started", "item_id": str(item_id)}:
                begins = self._words_begin(at, _number(event.get("audio_start_ms")), sound)
                self._add_user(begins, item_id, spoken=True)
                sound.begun = item_id
            case {"type": "input_audio_buffer.speech_stopped", "item_id": str(item_id)}:
                turn = self._add_user(at, item_id, spoken=True)
                turn.until = max(turn.at, self._words_end(at, event.get("audio_end_ms"), sound))
                self._turn_over_at = at
            case {"type": "input_audio_buffer.committed", "item_id": str(item_id)}:
                turn = self._add_user(at, item_id, spoken=True)
                turn.until = at if turn.until is None else turn.until
                self._turn_over_at = at if self._turn_over_at is None else self._turn_over_at
            case {"type": "conversation.item.input_audio_transcription.completed", "item_id": str(item_id)}:
                self._add_user(at, item_id, str(event.get("transcript", "")).strip(), spoken=True)
            case {"type": "error", "error": dict(error)}:
                code = str(error.get("code") or error.get("type") or "")
                wrong = code not in _NOT_TROUBLE
                words = ": ".join(filter(None, [code, str(error.get("message", ""))]))
                self.story.troubles.append(Trouble(at, "error", words, wrong))
            case {"type": str(kind)} if kind.startswith("response."):
                self._response(at, kind, event)
            case _:
                pass

    def _words_begin(self, at: float, start_ms: int, sound: "_Input") -> float:
        """Tell when the first word of a turn was sent: some sound before it belongs to the turn, where there is any."""
        rate = self.story.input_bytes_per_ms
        padding_ms = self._silence_of_turns("prefix_padding_ms", _PADDING_MS) if start_ms > sound.ended_ms else 0
        return sound.time_of((start_ms + padding_ms) * rate, at, rate)

    def _words_end(self, at: float, end_ms: object, sound: "_Input") -> float:
        """Tell when the last word of a turn was sent: the silence that ended it was waited for."""
        if not isinstance(end_ms, int):
            return at
        sound.ended_ms = end_ms
        rate = self.story.input_bytes_per_ms
        silence_ms = self._silence_of_turns("silence_duration_ms", _SILENCE_MS)
        return sound.time_of(max(0, end_ms - silence_ms) * rate, at, rate)

    def _silence_of_turns(self, key: str, usual: int) -> int:
        """Tell how much silence turn detection wants, in milliseconds; 0 where that is nobody's knowledge."""
        match self.story.config:
            case {"audio": {"input": {"turn_detection": {"type": "server_vad"} as detection}}}:
                return int(value) if isinstance(value := detection.get(key), int | float) else usual
            case _:
                return 0

    def _configure(self, config: dict[str, Any]) -> None:
        self.story.config = config
        audio = config.get("audio")
        for direction, name in (("input", "input_bytes_per_ms"), ("output", "output_bytes_per_ms")):
            half = audio.get(direction) if isinstance(audio, dict) else None
            form = half.get("format") if isinstance(half, dict) else None
            kind = form.get("type") if isinstance(form, dict) else None
            if isinstance(kind, str):
                setattr(self.story, name, PCM_BYTES_PER_MS if kind == "audio/pcm" else G711_BYTES_PER_MS)

    def _response(self, at: float, kind: str, event: dict[str, Any]) -> None:
        match event:
            case {"response": {"id": str(response_id)} as response}:
                turn = self._answer(at, response_id)
                if kind == "response.done":
                    self._done(at, turn, response)
                return
            case {"response_id": str(response_id)}:
                turn = self._answer(at, response_id)
            case _:
                return
        text = str(event.get("delta") or "") if isinstance(event.get("delta"), str) else ""
        match kind:
            case "response.output_audio.delta":
                self._audio(at, turn, event)
            case "response.output_audio_transcript.delta":
                self._part(at, event).text += text
            case "response.output_audio_transcript.done":
                self._part(at, event).text = str(event.get("transcript", ""))
            case "response.output_text.delta":
                self._measure(at, turn)
                turn.text += text
            case "response.function_call_arguments.done":
                self._tool(at, str(event.get("call_id")), str(event.get("name", "")), str(event.get("arguments", "")))

    def _answer(self, at: float, response_id: str) -> Turn:
        turn = self._answers.get(response_id)
        if turn is None:
            turn = self._answers[response_id] = Turn(at, "assistant", response_id)
            self.story.turns.append(turn)
        return turn

    def _done(self, at: float, turn: Turn, response: dict[str, Any]) -> None:
        turn.status = str(response.get("status", ""))
        turn.until = at
        usage = response.get("usage")
        turn.usage = _number(usage.get("total_tokens")) if isinstance(usage, dict) else 0
        details = response.get("status_details")
        if isinstance(details, dict) and turn.status in {"failed", "incomplete"}:
            error = details.get("error")
            error = error if isinstance(error, dict) else {}
            turn.problem = str(error.get("message") or error.get("code") or details.get("reason") or "")
        for item in response.get("output") or []:
            if isinstance(item, dict) and item.get("type") == "function_call":
                self._tool(at, str(item.get("call_id")), str(item.get("name", "")), str(item.get("arguments", "")))

    def _part(self, at: float, event: dict[str, Any]) -> Part:
        key = str(event.get("response_id")), str(event.get("item_id")), _number(event.get("content_index"))
        if key not in self._parts:
            self._parts[key] = Part(*key, first_at=at)
            self.story.parts.append(self._parts[key])
        return self._parts[key]

    def _audio(self, at: float, turn: Turn, event: dict[str, Any]) -> None:
        part = self._part(at, event)
        if (reference := AudioReference.of(event.get("delta"))) is not None:
            self._measure(at, turn)
            part.first_at = at if not part.audio else part.first_at
            part.audio.append(reference)
            part.samples += reference.length * RATE // 1000 // self.story.output_bytes_per_ms

    def _measure(self, at: float, turn: Turn) -> None:
        """Without a device there is only the wire to measure by: from the end of the turn to the first piece."""
        if not turn.latency and self._turn_over_at is not None:
            turn.latency = {"wire_ms": round((at - self._turn_over_at) * 1000)}
        self._turn_over_at = None

    def _tool(self, at: float, call_id: str, name: str, arguments: str) -> ToolRun:
        run = self._tools.get(call_id)
        if run is None:
            run = self._tools[call_id] = ToolRun(call_id, name, arguments, at)
            self.story.tools.append(run)
        run.name = name or run.name
        return run

    # What the session said

    def _ledger(self, entry: Entry) -> None:
        data = entry.data
        part = self._parts.get((str(data.get("response")), str(data.get("item")), _number(data.get("part"))))
        if part is None:
            return
        if entry.kind == "cut":
            part.cut = _number(data.get("sample"))
            return
        begins, until = data.get("begins"), data.get("until")
        if isinstance(begins, int | float) and isinstance(until, int | float):
            part.played.append(Played(_number(data.get("from")), _number(data.get("to")), begins, until))

    def _notice(self, at: float, name: str, notice: Any) -> None:
        notice = notice if isinstance(notice, dict) else {}
        if call_id := notice.get("call_id"):
            run = self._tool(at, str(call_id), str(notice.get("name", "")), str(notice.get("arguments", "")))
            match name:
                case "ToolStarted":
                    run.started_at = at
                case "ToolFinished":
                    run.finished_at, run.output = at, str(notice.get("output", ""))
                case "ToolFailed":
                    run.problem = _error(notice.get("exception"))
                case "ToolCancelled":
                    run.problem = f"cancelled: {notice.get('reason')}"
            return
        if name == "Interrupted":
            self._interrupted(notice.get("interruption"))
            return
        if name == "Reconnected":
            self.story.troubles.append(Trouble(at, name, *_reconnected(notice)))
            self._forget_begun()
            return
        wrong = name not in _NO_TROUBLE
        words = notice.get("words") or _error(notice.get("problem") or notice.get("exception")) or _brief(notice)
        self.story.troubles.append(Trouble(at, name, str(words), wrong))

    def _forget_begun(self) -> None:
        """Leave out the turns that another link saw begin and not end: this one is given their sound."""
        for link, sound in self._inputs.items():
            turn = self._users.get(sound.begun)
            if turn is not None and turn.until is None and link != self._links.carrying:
                self.story.turns.remove(turn)
                del self._users[sound.begun]

    def _interrupted(self, interruption: Any) -> None:
        interruption = interruption if isinstance(interruption, dict) else {}
        for response_id in interruption.get("response_ids") or []:
            if turn := self._answers.get(str(response_id)):
                turn.interrupted = str(interruption.get("why") or interruption.get("reason"))
        for data in interruption.get("parts") or []:
            key = str(data.get("response_id")), str(data.get("item_id")), _number(data.get("content_index"))
            if part := self._parts.get(key):
                part.heard_text = str(data.get("heard_text", ""))

    def _link(self, entry: Entry) -> None:
        data = entry.data
        code, reason = data.get("code"), str(data.get("reason") or "")
        match entry.kind:
            case "connecting":
                words = f"connecting to {data.get('url')}"
            case "connected":
                words = "connected"
            case _ if _number(data.get("link")) not in self._opened:
                words = f"not opened: {reason}"
            case _ if reason == "closed here":
                words = "closed by this side"
            case _:
                words = "closed: " + " ".join(str(word) for word in (code, reason) if word)
        wrong = entry.kind == "disconnected" and reason != "closed here" and code not in {None, 1000}
        self.story.troubles.append(Trouble(entry.at, f"link {data.get('link')}", words, wrong))


def _content(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in item.get("content") or []:
        if isinstance(piece, dict):
            yield piece


def _texts(item: dict[str, Any]) -> Iterator[str]:
    for piece in _content(item):
        text = piece.get("text") or piece.get("transcript")
        if isinstance(text, str):
            yield text


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _error(value: Any) -> str:
    match value:
        case {"type": str(kind), "message": str(message)}:
            return f"{kind}: {message}" if message else kind
        case {"message": str(message)}:
            return message
        case str():
            return value
        case _:
            return ""


def _reconnected(notice: dict[str, Any]) -> tuple[str, bool]:
    """Say what came along to a new link, and whether something did not."""
    gap, attempts, dropped = (_number(notice.get(key)) for key in ("gap_ms", "attempts", "dropped_audio_ms"))
    aged = notice.get("reason") == "age"
    words = ["a new link in the place of one that was old" if aged else f"a new link after {gap / 1000:.1f} s"]
    words += [f"at attempt {attempts}"] if attempts > 1 else []
    words += [f"{_number(notice.get('restored'))} items came along"]
    left = notice.get("left_out") or []
    words += [f"{len(left)} did not"] if left else []
    for key, what in (("asked_again", "asked for again"), ("cut_off", "cut off")):
        words += [f"{what}: {', '.join(map(str, names))}"] if (names := notice.get(key)) else []
    words += [f"{dropped / 1000:.1f} s of the user's sound were lost"] if dropped else []
    return ", ".join(words), bool(left or dropped)


def _brief(notice: dict[str, Any]) -> str:
    plain = {key: value for key, value in notice.items() if isinstance(value, str | int | float) and value != ""}
    return ", ".join(f"{key} {value}" for key, value in plain.items())
