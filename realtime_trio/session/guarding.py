"""The guard at work: what comes of a response is held until the user's guard let its words pass.

How far the sound may go is decided in `core.guard`; held samples lie in the ledger (`core.playout`), held words and
chunks here. What a stop does to the response is an interruption like any other (`interruptions.py`).

Theory of operation. Words and sound of a response come in through `take`. While there are words to be judged, one task
asks the guard: part by part in the order in which they began, and each time about everything that has come by then, so
a slow guard is asked less often and not later and later. What passes is let go at once. A response is held until all
its parts passed; when it is interrupted, the guard's call about it is cancelled.

It fails closed: a guard that raises, answers something else or does not answer in time stops the response.
"""

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.border import check_async
from realtime_trio.core.captions import PACE
from realtime_trio.core.guard import Guard, GuardedPart, GuardedText, Stop
from realtime_trio.core.playout import PartKey
from realtime_trio.errors import ConfigurationError
from realtime_trio.log_words import name_of

from .exchanges import Request
from .guard_call import ask_guard
from .inside import Inside
from .notices import Guarded, GuardFailed, Notice
from .responses import Response
from .sound import Sound
from .tape import Tape

__all__ = ["GuardSettings", "Guarding", "check_guard"]

_log = logging.getLogger("realtime_trio.session")

_MOST_REPLACEMENTS = 4  # that are asked for or being said; one after the other, as responses are


@attrs.frozen
class GuardSettings:
    """How a session is guarded.

    Attributes:
        guard: Asked about all words before they are heard; None for no guard.
        lead_ms: By how many milliseconds less of the sound is let go than the words that passed seem to reach.
        timeout: How long the guard may take for an answer, in seconds.
    """

    guard: Guard | None = None
    lead_ms: float = 200
    timeout: float = 5.0


class GuardedTurns(Protocol):
    """What the guard needs of the turns."""

    def stop_guarded(self, response: Response, why: str, /) -> object:
        """Interrupt a response because the guard says so."""

    def note_heard(self, response_id: str, /) -> object:
        """Note that something of a response was delivered that is not played."""

    def deliver(self, response: Response, /) -> object:
        """Note that a response that was generated is held no longer."""

    def act(self, now: float, /) -> object:
        """Do what follows from what has changed."""


def check_guard(guard: object, lead_ms: object, timeout: object) -> None:
    """Refuse at the border what is no guard.

    Raises:
        ConfigurationError: It is not an async function, or a time makes no sense.
    """
    if guard is not None:
        check_async("guard", guard, cure="async def guard(text)")
    if not isinstance(lead_ms, int | float) or not lead_ms >= 0:
        raise ConfigurationError(f"guard_lead_ms is a number of milliseconds from 0, not {lead_ms!r}")
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError(f"guard_timeout is a number of seconds above 0, not {timeout!r}")


@attrs.define(eq=False)
class _Part:
    """One content part: the words and the sound of it that are held."""

    key: PartKey
    state: GuardedPart
    tape: Tape[str]  # where its words go
    is_written: bool
    shown: int = 0  # characters that are on the tape
    chunked: int = 0  # bytes that are among the response's chunks


@attrs.define(eq=False)
class _Held:
    """One response that is guarded."""

    response: Response
    parts: dict[tuple[str, int], _Part] = attrs.field(factory=dict)
    chunks: deque[tuple[_Part, bytes]] = attrs.field(factory=deque)  # sound that is held, in the order in which it came


@attrs.define(eq=False, repr=False)
class Guarding(Inside):
    """The guard of one session.

    Attributes:
        settings: Who guards, and how.
        sound: Where sound is held.
        start_soon: Starts a child task of the session.
        publish: Takes notices.
        replace: Has a line said instead, for as long as it is wanted.
        crash: Where a guard's exception goes with `tool_errors="raise"`; None to report it only.
        turns: Where it is said what becomes of responses; set by the turns themselves.
    """

    settings: GuardSettings
    sound: Sound
    start_soon: Callable[..., None]
    publish: Callable[[Notice], None]
    replace: Callable[[str, Callable[[], bool]], Request]
    crash: Callable[[Exception], object] | None = None
    turns: GuardedTurns = attrs.field(init=False)
    _held: dict[str, _Held] = attrs.field(factory=dict, init=False)
    _working: bool = attrs.field(default=False, init=False)
    _judged: str = attrs.field(default="", init=False)  # whose words the guard is asked about at this moment
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _newest: str = attrs.field(default="", init=False)  # the response that began last
    _replacements: deque[Request] = attrs.field(factory=lambda: deque(maxlen=_MOST_REPLACEMENTS), init=False)
    _pace: float = attrs.field(default=PACE, init=False)

    @property
    def is_busy(self) -> bool:
        """Whether the guard is being asked about something."""
        return self._working

    # What comes

    def take(self, response: Response, event: events.ServerEvent) -> bool:
        """Take what comes of a response, if it is guarded.

        Returns:
            Whether it is held here; otherwise it goes its usual way.
        """
        if self.settings.guard is None or response.out_of_band or response.interrupted:
            return False
        match event:
            case events.ResponseOutputTextDelta(delta=words) | events.ResponseOutputAudioTranscriptDelta(delta=words):
                self._part(response, event).state.add_words(words)
            case events.ResponseOutputTextDone(text=words) | events.ResponseOutputAudioTranscriptDone(transcript=words):
                self._finish(self._part(response, event), words)
            case events.ResponseOutputAudioDelta(delta=data):
                self._take_sound(response, event, data)
            case events.ResponseContentPartDone(item_id=item_id, content_index=index) if response.held:
                if part := self._held[response.id].parts.get((item_id, index)):
                    self._finish(part)
            case _:
                return False
        if response.is_done:  # a straggler
            self.finish(response)
        self._work()
        return True

    def finish(self, response: Response) -> None:
        """Note that a response is generated: no more words of it come. It may be held on, until they are judged."""
        held = self._held[response.id]
        for part in held.parts.values():
            self._finish(part)
        self._settle(held)
        self._work()

    def finish_all(self) -> None:
        """Take the words of everything that is held for all: their responses are lost, nobody generates any more."""
        for part in [part for held in self._held.values() for part in held.parts.values()]:
            self._finish(part)
        self._work()

    def drop(self, response_id: str) -> None:
        """Ask no more about a response, and let nothing more of it go: it was interrupted."""
        held = self._held.pop(response_id, None)
        if held is not None:
            held.response.held = False
        if self._judged == response_id:
            self._scope.cancel(reason="the response was interrupted")

    def _finish(self, part: _Part, words: str = "") -> None:
        part.state.finish(words)
        if part.state.open:
            self._let_go(self._held[part.key.response_id], part)

    def _take_sound(self, response: Response, event: events.ResponseOutputAudioDelta, data: bytes) -> None:
        part = self._part(response, event)
        part.state.add_sound(len(data) / self._bytes_per_ms)
        held = self._held[response.id]
        held.chunks.append((part, data))
        self._let_sound_go(held)

    def _part(
        self,
        response: Response,
        event: events.ResponseOutputTextDelta
        | events.ResponseOutputTextDone
        | events.ResponseOutputAudioDelta
        | events.ResponseOutputAudioTranscriptDelta
        | events.ResponseOutputAudioTranscriptDone,
    ) -> _Part:
        """Find the part that an event is about; from its first on it is held."""
        held = self._held.get(response.id)
        if held is None:
            held = self._held[response.id] = _Held(response)
            response.held = True
            self._newest = response.id
        place = event.item_id, event.content_index
        if place not in held.parts:
            key = PartKey(response.id, *place)
            written = isinstance(event, events.ResponseOutputTextDelta | events.ResponseOutputTextDone)
            tape = response.text_deltas if written else response.transcript_deltas
            held.parts[place] = _Part(key, GuardedPart(self.settings.lead_ms, self._pace), tape, written)
            if not written and self.sound.device is not None:
                self.sound.ledger.hold(key)
        return held.parts[place]

    # Asking

    def _work(self) -> None:
        if not self._working and self._next() is not None:
            self._working = True
            self.start_soon(self._judge_all, name="guard")

    def _next(self) -> tuple[_Held, _Part] | None:
        """Find the first part with something to be judged."""
        for held in self._held.values():
            for part in held.parts.values():
                if part.state.waits:
                    return held, part
        return None

    async def _judge_all(self) -> None:
        try:
            while (found := self._next()) is not None:
                await self._judge(*found)
                self.turns.act(trio.current_time())
        finally:
            self._working = False
        self.turns.act(trio.current_time())

    async def _judge(self, held: _Held, part: _Part) -> None:
        """Ask about what has come of a part, and do what the guard says."""
        response, until = held.response, part.state.unjudged
        text = _question(held, part, until)
        verdict: Stop | None = None
        self._judged, self._scope = response.id, trio.CancelScope()
        try:
            with self._scope:
                assert self.settings.guard is not None  # noqa: S101 nothing is held without one
                verdict = await ask_guard(
                    self.settings.guard,
                    text,
                    within=self.settings.timeout,
                    start_soon=self.start_soon,
                    late=lambda error: self._fail(response, part, error),
                )
        except Exception as error:  # noqa: BLE001 the user's code: whatever it was, nothing unjudged is heard
            self._fail(response, part, error)
            return
        finally:
            self._judged = ""
        if response.id not in self._held:
            return  # interrupted meanwhile
        if verdict is None:
            part.state.let_pass(text.text)
            self._let_go(held, part)
            self._settle(held)
        else:
            self._stop(response, part, text, verdict)

    # What it comes to

    def _let_go(self, held: _Held, part: _Part) -> None:
        words = part.state.text[part.shown : part.state.passed]
        part.shown = max(part.shown, part.state.passed)
        if words:
            part.tape.append(words)
            if part.is_written or self.sound.device is None:
                self.turns.note_heard(held.response.id)  # delivered is as good as heard where nothing is played
        if not part.is_written:
            if self.sound.device is not None:
                self.sound.let_go(part.key, part.state.allowed_ms)
            self._let_sound_go(held)
        if part.state.open:
            self._pace = part.state.pace() or self._pace

    def _let_sound_go(self, held: _Held) -> None:
        """Hand on the sound that may be heard, to those who take it from the response."""
        stages = held.response.stages
        while held.chunks:
            part, data = held.chunks[0]
            room = math.inf
            if part.state.allowed_ms < math.inf:
                room = int(part.state.allowed_ms * self._bytes_per_ms) // 2 * 2 - part.chunked
            if room <= 0:
                return
            if stages.released_at is None:
                stages.released_at = trio.current_time()
            if self.sound.device is None:
                self.turns.note_heard(held.response.id)
            piece = data if len(data) <= room else data[: int(room)]
            part.chunked += len(piece)
            held.response.audio_chunks.append(piece)
            if len(piece) < len(data):
                held.chunks[0] = part, data[len(piece) :]
                return
            held.chunks.popleft()

    def _settle(self, held: _Held) -> None:
        """Let go of a response of which nothing more comes and all passed."""
        if held.response.is_done and all(part.state.over for part in held.parts.values()):
            del self._held[held.response.id]
            held.response.let_go()
            self.turns.deliver(held.response)

    def _stop(self, response: Response, part: _Part, text: GuardedText, verdict: Stop) -> None:
        part.state.stop()
        response.stopped_by = verdict
        passed = text.text[: len(text.text) - len(text.new)]
        self.publish(Guarded(response.id, text.item_id, verdict.reason, text.text, passed))
        self.turns.stop_guarded(response, verdict.reason)
        if verdict.instead is not None and not any(request.response is response for request in self._replacements):
            stopped = response.id
            self._replacements.append(self.replace(verdict.instead, lambda: self._newest == stopped))

    def _fail(self, response: Response, part: _Part, error: Exception) -> None:
        _log.error("the guard failed, so %s is stopped", name_of(response.id), exc_info=error)
        self.publish(GuardFailed(response.id, part.key.item_id, error))
        if response.id in self._held:  # it may have been interrupted meanwhile
            part.state.stop()
            response.stopped_by = Stop("guard failed")
            self.turns.stop_guarded(response, "guard failed")
        if self.crash is not None:
            self.crash(error)

    @property
    def _bytes_per_ms(self) -> float:
        return self.sound.output_bytes_per_second / 1000


def _question(held: _Held, part: _Part, until: int) -> GuardedText:
    """Make what the guard is asked about."""
    state, key = part.state, part.key
    before: list[str] = []
    for other in held.parts.values():
        if other is part:
            break
        before.append(other.state.text)
    return GuardedText(
        state.text[:until],
        state.text[state.passed : until],
        state.complete and until == len(state.text),
        key.response_id,
        key.item_id,
        key.content_index,
        "".join(before),
    )
