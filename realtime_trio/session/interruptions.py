"""Carrying out an interruption: cut the sound, leave the turns, then tell the server what was heard.

What is cut, cancelled, truncated or deleted is decided in `core.interrupter`; when to interrupt, in `turns.py`.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from typing import Any

import attrs

from realtime_trio import events
from realtime_trio.core.interrupter import Interrupter
from realtime_trio.core.interruption import Interruption, InterruptionPlan
from realtime_trio.core.playout import PartKey

from .edits import Edits
from .inside import Inside
from .notices import Interrupted, Notice
from .promise import Promise
from .responses import Response
from .sound import Sound

__all__ = ["Interruptions", "PendingInterruption"]


@attrs.define(eq=False)
class PendingInterruption:
    """An interruption under way: it has its effect already; `await` it for the record of what was heard."""

    record: Promise[Interruption] = attrs.field(factory=Promise, repr=False)
    record_of_nothing: Interruption | None = attrs.field(default=None, repr=False)
    """The record, if there was nothing to interrupt."""

    def __await__(self) -> Generator[Any, Any, Interruption]:
        return self.record.wait().__await__()


@attrs.define(eq=False, repr=False)
class Interruptions(Inside):
    """The interruptions of one session.

    Attributes:
        sound: What is cut.
        send: Hands a client event to the writer.
        edits: Tells the server where the sound ended.
        publish: Takes notices.
        live: The live responses by id.
        words: Looks up the words of a part: those that were generated, and those of them that were heard.
        set_heard: Notes how many milliseconds of a part were heard.
    """

    sound: Sound
    send: Callable[[events.ClientEvent], str]
    edits: Edits
    publish: Callable[[Notice], None]
    live: Mapping[str, Response]
    words: Callable[[PartKey], tuple[str, str]]
    set_heard: Callable[[PartKey, int], None]
    _interrupter: Interrupter = attrs.field(init=False)
    _pending: list[tuple[InterruptionPlan, PendingInterruption]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._interrupter = Interrupter(self.sound.ledger, is_held=self._is_held)

    def _is_held(self, response_id: str) -> bool:
        response = self.live.get(response_id)
        return response is not None and response.held

    @property
    def is_speaking(self) -> bool:
        """Whether there is anything to interrupt."""
        return self._interrupter.is_speaking

    def handle(self, event: events.ServerEvent) -> None:
        """Follow one server event, after the ledger has."""
        self._interrupter.handle(event)
        self.settle()

    def begin(
        self,
        reason: str,
        *,
        now: float,
        server_cancels: bool,
        response_ids: Collection[str] | None = None,
        why: str = "",
    ) -> tuple[tuple[str, ...], PendingInterruption]:
        """Interrupt, in this order: sound, turns, server.

        Args:
            reason: What interrupts.
            now: When.
            server_cancels: Whether the server cancels its active response by itself.
            response_ids: Only these; None for all of the conversation.
            why: More about the reason.

        Returns:
            The ids of the responses that end, and what can be awaited for the record.
        """
        plan = self._interrupter.begin(
            reason, now=now, server_cancels=server_cancels, response_ids=response_ids, why=why
        )
        pending = PendingInterruption()
        if not plan:
            pending.record_of_nothing = Interruption(reason, (), (), why)
            pending.record.keep(pending.record_of_nothing)
            return (), pending
        self.sound.cut(plan.response_ids)
        for response_id in plan.response_ids:
            if response := self.live.get(response_id):
                response.cut()
        for response_id in plan.cancel:
            self.send(events.ResponseCancel(response_id=response_id))
        self._pending.append((plan, pending))
        self.settle()
        return plan.response_ids, pending

    def drop(self, response: Response) -> None:
        """Play nothing of a response that nobody wants any more."""
        self._interrupter.drop(response.id)
        response.cut()
        response.finish_heard()
        self.settle()

    def lose_link(self, lost: Collection[str], cut_off: Collection[str]) -> None:
        """End responses because the link is lost.

        Args:
            lost: Those of which nothing was played, nor ever will be.
            cut_off: Those of which something was played: what came of them plays on, then they are `played`.
        """
        if lost:
            heard = {part: 0 for response_id in lost for part in self.sound.ledger.parts(response_id)}
            plan = InterruptionPlan("link_lost", tuple(lost), (), heard)
            record = self._interrupter.record(plan, lambda part, _: self.words(part))
            for response_id in lost:
                self.live[response_id].cut()
                self.live[response_id].finish_interruption(record)
            self.publish(Interrupted(record))
        self._interrupter.lose_link(lost)
        for response_id in cut_off:
            self.live[response_id].cut_off = True
        self.settle()

    def played(self, response: Response, now: float) -> None:
        """All that was received of a response was heard: it is over, and where the link cut it off, interrupted."""
        if response.cut_off:
            ledger = self.sound.ledger
            heard = {part: ledger.heard_ms(part, now) for part in ledger.parts(response.id)}
            plan = InterruptionPlan("link_lost", (response.id,), (), heard)
            record = self._interrupter.record(plan, self._heard)
            response.cut()
            response.finish_interruption(record)
            self.publish(Interrupted(record))
        else:
            response.finish_heard()

    def settle(self) -> None:
        """Tell the server what is known by now about where the sound ended; finish the records that are complete."""
        for repair in self._interrupter.repairs():
            if self.sound.device is None:
                continue  # the program plays, and alone knows what was heard: `Session.truncate_item`
            self.edits.make(repair)
        for plan, pending in [entry for entry in self._pending if self._interrupter.settled(entry[0])]:
            self._pending.remove((plan, pending))
            record = self._interrupter.record(plan, self._heard)
            for response_id in plan.response_ids:
                if response := self.live.get(response_id):
                    response.finish_interruption(record)
            pending.record.keep(record)
            self.publish(Interrupted(record))

    def _heard(self, part: PartKey, cut_ms: int) -> tuple[str, str]:
        """Note what came out of a part, for it will have been heard, and give its words."""
        self.set_heard(part, cut_ms)
        return self.words(part)

    def end(self, error: Exception) -> None:
        """The session is over."""
        for _, pending in self._pending:
            pending.record.break_(error)
        self._pending.clear()
