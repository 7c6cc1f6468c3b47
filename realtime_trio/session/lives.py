"""The life of each response: created, generated, heard, or ended by the loss of the link.

Who may speak and who interrupts is `turns.py`'s; what comes of a response on the way is `intake.py`'s.
"""

from collections.abc import Callable

import attrs
import msgspec

from realtime_trio import events
from realtime_trio.core.arbiter import METADATA_KEY, Arbiter
from realtime_trio.core.calls import ready_calls

from .beside import Beside
from .cancels import Cancels
from .edits import Edits
from .guarding import Guarding
from .inside import Inside
from .interruptions import Interruptions
from .latency import Stopwatch
from .requests import Requests
from .responses import Response
from .sound import Sound
from .stopping import Stopping
from .tool_calls import ToolCalls

__all__ = ["Lives", "LostTurns"]


@attrs.frozen
class LostTurns:
    """What the loss of the link did to the responses of the conversation that were being generated.

    Attributes:
        asked_again: The ids of those of which nothing was heard: they are asked for again.
        cut_off: The ids of those of which some was heard: that is all there will be of them.
    """

    asked_again: tuple[str, ...] = ()
    cut_off: tuple[str, ...] = ()


@attrs.define(eq=False, repr=False)
class Lives(Inside):
    """The live responses of one session.

    Attributes:
        live: They, by id, from `response.created` until heard or settled.
        requests: Knows who wants them.
        edits: Changes the mirror.
        guarding: Holds what the guard did not let pass yet.
        tool_calls: Where their function calls are run.
        stopwatch: Told when they begin.
        cancels: Told when they are done.
        interruptions: Ends them early.
        stopping: Stops those that nobody wants.
        publish: Takes each new response of the conversation.
    """

    live: dict[str, Response]
    requests: Requests
    edits: Edits
    guarding: Guarding
    tool_calls: ToolCalls
    stopwatch: Stopwatch
    cancels: Cancels
    interruptions: Interruptions
    stopping: Stopping
    publish: Callable[[Response], None]
    _arbiter: Arbiter = attrs.field(init=False)
    _beside: Beside = attrs.field(init=False)
    _sound: Sound = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._arbiter, self._beside = self.requests.arbiter, self.requests.beside
        self._sound = self.interruptions.sound

    def create(self, value: events.Response, now: float) -> None:
        """A response was created."""
        if not value.id or value.id in self.live:
            return
        response = Response(value.id, value.conversation_id is None, interrupt=self.stopping.one)
        response.update(value)
        response.is_ours = METADATA_KEY in response.metadata
        self.live[value.id] = response
        if self.requests.is_unwanted(response):
            self.stopping.abandon(response.id, now)
        if not response.out_of_band:
            self.tool_calls.created(response.id)
        if not self._beside.created(response):
            self.stopwatch.begin(response, now)
            self.publish(response)

    def done(self, event: events.ResponseDone) -> None:
        """A response was generated, in whatever way."""
        response = self.live.get(event.response.id or "")
        if response is None:
            return
        # a server whose status cannot be read is taken at its word that the response is done
        final = event.response if event.response.status else msgspec.structs.replace(event.response, status="completed")
        self._finish(response, final)

    def _finish(self, response: Response, final: events.Response) -> None:
        response.finish(final)
        self.cancels.done(response)
        self._sound.end(response.id)
        if response.held:
            self.guarding.finish(response)
        else:
            self.deliver(response)

    def deliver(self, response: Response) -> None:
        """Take a response that was generated, and that nothing holds, for heard, if nothing of it is to be played."""
        if self._sound.ledger.parts(response.id):
            return
        if response.status == "completed":
            self._arbiter.heard(response.id)
        if not response.interrupted:
            response.finish_heard()

    def run_tools(self, event: events.ResponseDone) -> None:
        """Run the function calls of a response that is done; after the arbiter knows of that."""
        response = self.live.get(event.response.id or "")
        if response is not None and not response.out_of_band:
            settled = self.requests.settled_by(response)
            exchanges = self.requests.exchanges_of(response)
            runner = next((one.tools for one in settled if one.tools is not None), None)
            self.tool_calls.start(ready_calls(response.final), exchanges, runner, response_id=response.id)

    def check_heard(self, now: float) -> None:
        """Follow the device's reports: what was heard by now, and where cuts fell."""
        self.interruptions.settle()
        ledger = self._sound.ledger
        for response in list(self.live.values()):
            if response.first_sound_at is None:
                sounds_at = ledger.sounds_at(response.id)
                if sounds_at <= now:
                    response.first_sound_at = max(sounds_at, response.stages.audio_at or sounds_at)
                    self._arbiter.heard(response.id)
            for part in ledger.parts(response.id):
                self.edits.conversation.set_heard(part, ledger.heard_ms(part, now))
            if response.is_done and not (response.interrupted or response.held) and ledger.played(response.id, now):
                self.interruptions.played(response, now)

    def retire(self) -> None:
        """Let go of responses of which nothing more is to come."""
        rival = self._arbiter.rival  # it may still turn out to be somebody's reply
        for response in [one for one in self.live.values() if one.is_done and one.is_heard and one.id != rival]:
            del self.live[response.id]

    def lose_link(self) -> LostTurns:
        """End what was being generated, after those did who asked for responses beside the conversation.

        Nothing more comes of it. What was generated goes on.
        """
        lost: list[str] = []
        cut_off: list[str] = []
        ended = [one for one in self.live.values() if not one.is_done]
        for response in ended:
            if not (response.out_of_band or response.interrupted or self._arbiter.is_stopped(response.id)):
                (cut_off if self._sound.ledger.begun(response.id) else lost).append(response.id)
        for response_id in lost:
            self.guarding.drop(response_id)
        self.interruptions.lose_link(lost, cut_off)
        for response in ended:
            final = msgspec.structs.replace(response.final, status="cancelled")
            self.edits.conversation.apply(events.ResponseDone(event_id="", response=final))
            self._finish(response, final)
        for response_id in lost:
            self.edits.remove(response_id)
        for response_id in cut_off:
            self.edits.remove(response_id, "function_call")  # it is neither run nor answered
        return LostTurns(tuple(lost), tuple(cut_off))
