"""Stopping what is being said: for the user, for the program, for the guard, or because nobody wants it any more.

How it is carried out is `interruptions.py`'s; when the user's speech is a reason to, `barge_in.py`'s.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.arbiter import Arbiter

from .beside import Beside
from .guarding import Guarding
from .inside import Inside
from .interruptions import Interruptions, PendingInterruption
from .responses import Response
from .tool_calls import INTERRUPTING, ToolCalls

__all__ = ["Stopping"]

_USERS = ("speech_started", "pressed")  # reasons by which the user takes the floor


@attrs.define(eq=False, repr=False)
class Stopping(Inside):
    """Who stops what in one session.

    Attributes:
        arbiter: Told what ends.
        interruptions: Carries it out.
        guarding: Told what needs no judgement any more.
        tool_calls: Told of the user's interruptions, and the program's.
        beside: Stops responses beside the conversation.
        live: The live responses by id.
        send: Hands a client event to the writer.
        relent: Called when something was interrupted by anything but doubtful speech.
        act: Does what follows from it.
    """

    arbiter: Arbiter
    interruptions: Interruptions
    guarding: Guarding
    tool_calls: ToolCalls
    beside: Beside
    live: Mapping[str, Response]
    send: Callable[[events.ClientEvent], str]
    relent: Callable[[], object]
    act: Callable[[float], object]

    def all(self, reason: str) -> PendingInterruption:
        """Stop what is being said for the conversation; with some reasons it is the user who takes the floor."""
        self.arbiter.recall(again=reason in _USERS)
        server_cancels = reason == "speech_started" and self.arbiter.floor.detection.interrupts
        return self.some(reason, server_cancels=server_cancels)

    def one(self, response: Response, reason: str = "left") -> None:
        """Stop one response, for a reason that is not the user's."""
        if response.out_of_band:
            self.beside.stop(response)
        else:
            self.some(reason, response_ids=[response.id])

    def some(
        self,
        reason: str,
        *,
        server_cancels: bool = False,
        response_ids: Sequence[str] | None = None,
        why: str = "",
    ) -> PendingInterruption:
        """Stop responses; see `Interruptions.begin`."""
        now = trio.current_time()
        ended, pending = self.interruptions.begin(
            reason, now=now, server_cancels=server_cancels, response_ids=response_ids, why=why
        )
        for response_id in ended:
            self.guarding.drop(response_id)
            if reason in _USERS:
                self.arbiter.interrupted(response_id)
            else:
                self.arbiter.stop(response_id)
        if reason in INTERRUPTING:
            self.tool_calls.interrupt(reason, ended)
        if reason != "speech_started":  # that is the verdict itself
            self.relent()
        self.act(now)
        return pending

    def abandon(self, response_id: str, now: float) -> None:
        """Stop a response that nobody wants any more, once."""
        response = self.live.get(response_id)
        if response is not None and response.interrupted:
            return
        self.guarding.drop(response_id)
        if self.interruptions.sound.ledger.parts(response_id):
            self.interruptions.begin("abandoned", now=now, server_cancels=False, response_ids=[response_id])
            return
        self.send(events.ResponseCancel(response_id=response_id))
        if response is not None:
            self.interruptions.drop(response)
