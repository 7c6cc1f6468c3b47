"""Which responses an interruption ends, and what the server must then be told.

Deliberately elsewhere: the values that come out (`core.interruption`), positions of sound (`core.playout`), who speaks
next (`core.arbiter`), sending and waiting.

Theory of operation. An interruption has two steps, because where the sound stops is known only when the device's next
block reports it. `begin` decides which responses are over and which of them to cancel by id; the session then cuts the
sound. From then on `repairs` gives, once each, the truncations and deletions that make the server's conversation end
where the listener's did: for every audio part as soon as its cut position is known, also for parts of which the first
word arrives after the cut, until the response is done.
"""

from collections.abc import Callable, Collection
from typing import Literal, TypeAlias

import attrs

from realtime_trio.events import (
    AudioPart,
    OutputAudio,
    Response,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
)

from .interruption import Delete, Interrupted, Interruption, InterruptionPlan, Repair, Truncate
from .playout import SAMPLES_PER_MS, PartKey, PlayoutLedger

__all__ = ["Interrupter"]

_PartEvent: TypeAlias = (
    ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
)

_MAX_RESPONSES = 256
_MAX_IGNORED = 4096
_MAX_ITEMS = 1024  # of one response
_MAX_PARTS = 1024  # of one item


@attrs.define(eq=False)
class _Item:
    audio: set[int] = attrs.Factory(set)  # content indices
    other: set[int] = attrs.Factory(set)
    repaired: set[int] = attrs.Factory(set)
    deleted: bool = False


@attrs.define(eq=False)
class _Watched:
    """A response of the default conversation."""

    done: bool = False
    interrupted: bool = False
    items: dict[str, _Item] = attrs.Factory(dict)


class Interrupter:
    """Follows the responses of a session and plans their interruption.

    Give it every server event, and the ledger every audio event before that.

    Args:
        ledger: Where the sound is.
        is_held: Tells whether some of a response, written or spoken, waits to be let go.
    """

    def __init__(self, ledger: PlayoutLedger, *, is_held: Callable[[str], bool] = lambda _: False) -> None:
        self._ledger = ledger
        self._is_held = is_held
        self._responses: dict[str, _Watched] = {}
        self._interrupted: dict[str, _Watched] = {}  # those of them of which something may be left to be told
        self._ignored: dict[str, None] = {}  # out of band, or over

    def handle(self, event: ServerEvent) -> None:
        """Follow one server event; most change nothing, none raises."""
        match event:
            case ResponseCreated(response=response):
                self._note(response)
            case ResponseDone(response=response):
                watched = self._note(response)
                if watched is not None:
                    watched.done = True
            case ResponseContentPartAdded() | ResponseContentPartDone():
                audio = isinstance(event.part, AudioPart | OutputAudio)
                self._add(event, "audio" if audio else "other")
            case (
                ResponseOutputAudioDelta()
                | ResponseOutputAudioDone()
                | ResponseOutputAudioTranscriptDelta()
                | ResponseOutputAudioTranscriptDone()
            ):
                self._add(event, "audio")
            case ResponseOutputTextDelta() | ResponseOutputTextDone():
                self._add(event, "other")
            case _:
                pass

    @property
    def is_speaking(self) -> bool:
        """Whether an interruption now would end anything: a response is being generated, or has sound to be played."""
        return any(
            not watched.interrupted and (not watched.done or self._is_pending(response_id))
            for response_id, watched in self._responses.items()
        )

    def begin(
        self,
        reason: str,
        *,
        now: float,
        server_cancels: bool,
        response_ids: Collection[str] | None = None,
        why: str = "",
    ) -> InterruptionPlan:
        """Decide what an interruption ends. Nothing of it is to be played from here on.

        What is asked for and not created yet is the arbiter's: `Arbiter.recall`.

        Args:
            reason: What interrupts.
            now: When, on the device's clock.
            server_cancels: Whether the server cancels its active response by itself: the trigger is its own
                `speech_started`, and `interrupt_response` is in effect. Asking it again could hit the next response.
            response_ids: Only these. None: every response of the default conversation that is being generated or has
                sound that was not handed over.
            why: More about the reason.

        Returns:
            The plan; false if there was nothing to interrupt.
        """
        ended: list[str] = []
        cancel: list[str] = []
        heard: dict[PartKey, int] = {}
        for response_id, watched in self._responses.items():
            if watched.interrupted or (response_ids is not None and response_id not in response_ids):
                continue
            if watched.done and not self._is_pending(response_id):
                continue
            watched.interrupted = True
            self._interrupted[response_id] = watched
            ended.append(response_id)
            if not watched.done and not server_cancels:
                cancel.append(response_id)
            for part in self._ledger.parts(response_id):
                heard[part] = self._ledger.heard_ms(part, now)
        return InterruptionPlan(reason, tuple(ended), tuple(cancel), heard, why)

    def drop(self, response_id: str) -> None:
        """Play nothing of a response that was cancelled before it made a sound, and have its audio items deleted.

        This is for what the arbiter cancels: `CancelResponse`.
        """
        self._ledger.discard(response_id)
        watched = self._watch(response_id)
        if watched is not None:
            watched.interrupted = True
            self._interrupted[response_id] = watched

    def lose_link(self, lost: Collection[str]) -> None:
        """Note that the link is lost: nothing more comes of any response.

        Args:
            lost: Those that are to leave nothing behind, neither sound nor items: nothing of them was played.
        """
        for response_id in lost:
            self._ledger.discard(response_id)
            self._ignore(response_id)
        for watched in self._responses.values():
            watched.done = True

    def repairs(self) -> list[Repair]:
        """Take what the server is to be told now, each truncation and deletion once.

        Call it after every cut report, and after every event while an interrupted response is not done.
        """
        found: list[Repair] = []
        for response_id, watched in list(self._interrupted.items()):
            waiting = False
            for item_id, item in watched.items.items():
                waiting = self._repair(response_id, item_id, item, found) or waiting
            if watched.done and not waiting:
                self._ignore(response_id)
        return found

    def settled(self, plan: InterruptionPlan) -> bool:
        """Whether it is known for every part of an interruption where it was cut."""
        return all(self._ledger.cut_samples(part) is not None for part in self._parts(plan))

    def record(
        self, plan: InterruptionPlan, words: Callable[[PartKey, int], tuple[str, str]] | None = None
    ) -> Interruption:
        """Make the record of an interruption for the program.

        Args:
            plan: What `begin` gave; best when it is `settled`, until then a cut counts as being where it was heard.
            words: Takes how many milliseconds of a part came out, gives its words and those of them that were heard.

        Returns:
            A value that does not change any more.
        """
        parts: list[Interrupted] = []
        for part in self._parts(plan):
            heard = plan.heard.get(part, 0)
            known = self._ledger.cut_ms(part)
            cut = heard if known is None else known
            generated, heard_text = words(part, cut) if words is not None else ("", "")
            received = self._ledger.received_ms(part)
            parts.append(
                Interrupted(
                    part.response_id,
                    part.item_id,
                    part.content_index,
                    heard,
                    cut,
                    received,
                    generated,
                    heard_text,
                )
            )
        return Interruption(plan.reason, plan.response_ids, tuple(parts), plan.why)

    # inside

    def _is_pending(self, response_id: str) -> bool:
        return self._is_held(response_id) or self._ledger.pending(response_id)

    def _parts(self, plan: InterruptionPlan) -> list[PartKey]:
        return [part for response_id in plan.response_ids for part in self._ledger.parts(response_id)]

    def _note(self, response: Response) -> _Watched | None:
        response_id = response.id
        if not isinstance(response_id, str):
            return None
        if response.conversation_id is None:
            self._ignore(response_id)
            return None
        return self._watch(response_id)

    def _ignore(self, response_id: str) -> None:
        self._responses.pop(response_id, None)
        self._interrupted.pop(response_id, None)
        self._ignored[response_id] = None
        if len(self._ignored) > _MAX_IGNORED:
            del self._ignored[next(iter(self._ignored))]

    def _watch(self, response_id: str) -> _Watched | None:
        if response_id in self._ignored:
            return None
        watched = self._responses.get(response_id)
        if watched is None:
            if len(self._responses) >= _MAX_RESPONSES:
                self._prune()
            watched = self._responses[response_id] = _Watched()
        return watched

    def _item(self, response_id: str, item_id: str) -> _Item | None:
        watched = self._watch(response_id)
        if watched is None or (item_id not in watched.items and len(watched.items) >= _MAX_ITEMS):
            return None
        return watched.items.setdefault(item_id, _Item())

    def _add(self, event: _PartEvent, kind: Literal["audio", "other"]) -> None:
        item = self._item(event.response_id, event.item_id)
        if item is not None and 0 <= event.content_index < _MAX_PARTS:
            getattr(item, kind).add(event.content_index)

    def _prune(self) -> None:
        for response_id, watched in list(self._responses.items()):
            if watched.done and not watched.interrupted and not self._is_pending(response_id):
                self._ignore(response_id)
        while len(self._responses) >= _MAX_RESPONSES:
            self._ignore(next(iter(self._responses)))

    def _repair(self, response_id: str, item_id: str, item: _Item, found: list[Repair]) -> bool:
        """Add what is due for one item. Tells whether something of it is not known yet."""
        if item.deleted:
            return False
        cuts: dict[int, int] = {}
        waiting = False
        for index in sorted(item.audio):
            cut = self._ledger.cut_samples(PartKey(response_id, item_id, index))
            if cut is None:
                waiting = True
            else:
                cuts[index] = cut
        unheard = not waiting and not item.other and all(cut < SAMPLES_PER_MS for cut in cuts.values())
        if unheard and cuts and not item.repaired:
            item.deleted = True
            found.append(Delete(item_id))
            return False
        for index, cut in cuts.items():
            if index in item.repaired or (waiting and cut < SAMPLES_PER_MS):
                continue  # done; or it depends on the item's other parts whether the item goes
            item.repaired.add(index)
            part = PartKey(response_id, item_id, index)
            received = self._ledger.received_samples(part)
            if cut < received or not self._ledger.done(part):
                found.append(Truncate(item_id, index, min(cut, received) // SAMPLES_PER_MS))
        return waiting
