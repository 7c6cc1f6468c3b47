"""The turns of a conversation: live responses, and what interrupts them.

Theory of operation. Decisions are made in `core` (`arbiter`: who may speak and when; `playout`: what was heard;
`interrupter`: what the server is to be told; `barge_in`: whether speech interrupts). Here they are carried out, for
the one owner that each response has: a `Response` in `live`, from its `response.created` until it was heard or its
interruption is settled. What is asked for is `requests.py`'s. After every event and at every deadline, `act` does what
the arbiter says.
"""

import math
from collections.abc import Callable, Sequence

import attrs
import trio

from realtime_trio import events
from realtime_trio.core.arbiter import Arbiter
from realtime_trio.core.barge_in import InterruptionPolicy
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.failures import failure
from realtime_trio.core.interruption import Delete
from realtime_trio.core.life_signs import LOST, lost_response

from .account_notices import ResponseNotCompleted
from .barge_in import BargeIns
from .beside import Beside
from .calls import Calls
from .cancels import Cancels
from .edits import Edits
from .exchanges import Exchange, Request
from .guarding import Guarding
from .inside import Inside
from .intake import Intake
from .interruptions import Interruptions, PendingInterruption
from .latency import Stopwatch
from .lives import Lives, LostTurns
from .notices import Notice
from .policies import Policies
from .promise import Promise
from .requests import Requests
from .responses import Response
from .sound import Sound
from .stopping import Stopping
from .timer import Timer
from .tool_calls import ToolCalls

__all__ = ["LostTurns", "Turns"]


@attrs.define(eq=False, repr=False)
class Turns(Inside):
    """The live responses of one session.

    Attributes:
        send: Hands a client event to the writer and returns its event id.
        sound: Where audio is played.
        tool_calls: Where function calls are run.
        conversation: The mirror.
        publish: Takes notices.
        publish_response: Takes each new response of the conversation.
        audio_limit: Seconds of audio that one response may have.
        beside: The responses beside the conversation.
        calls: Who knows which answer belongs to which call.
        guarding: Holds what the guard did not let pass yet.
        interruption: What speech does that begins while something is being said.
        round_trip: Tells how many seconds the link takes to the server and back, where that is known.
        tell_lost: Told of the end of a response that the server has lost, as of an event.
        live: The responses that are neither heard nor settled, by id.
        policies: What it does at this moment.
        barge_ins: Carries that out.
        timer: Acts when time passes, and lets others wait for silence.
    """

    send: Callable[[events.ClientEvent], str]
    sound: Sound
    tool_calls: ToolCalls
    conversation: Conversation
    publish: Callable[[Notice], None]
    publish_response: Callable[[Response], None]
    audio_limit: float
    beside: Beside
    calls: Calls
    guarding: Guarding
    interruption: InterruptionPolicy = "immediate"
    round_trip: Callable[[], float | None] = lambda: None
    tell_lost: Callable[[events.ResponseDone], object] = attrs.field(default=lambda _: None, init=False)
    live: dict[str, Response] = attrs.field(factory=dict, init=False)
    policies: Policies = attrs.field(init=False)
    barge_ins: BargeIns = attrs.field(init=False)
    timer: Timer = attrs.field(init=False)
    _arbiter: Arbiter = attrs.field(init=False)
    _requests: Requests = attrs.field(init=False)
    _cancels: Cancels = attrs.field(init=False)
    _interruptions: Interruptions = attrs.field(init=False)
    _stopwatch: Stopwatch = attrs.field(init=False)
    _intake: Intake = attrs.field(init=False)
    _edits: Edits = attrs.field(init=False)
    _stopping: Stopping = attrs.field(init=False)
    _lives: Lives = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._arbiter = Arbiter(self.beside.timeout)
        self.timer = Timer(
            act=self.act,
            expire=self._expire,
            deadline=self._deadline,
            is_idle=lambda: self.is_idle,
            finish=self.guarding.finish_all,  # what is held of a response that the server lost is judged as it is
            is_quiet_at=self._quiet_at,
        )
        self._stopwatch = Stopwatch(self.sound.capture.ledger.time_of, self.round_trip)
        self._intake = Intake(
            self.sound, self._stopwatch, self.guarding, self.audio_limit, self._arbiter.heard, self.stop
        )
        self.policies = Policies(
            self.interruption, self.live, lambda: self._requests.asked, send=self.send, calls=self.calls
        )
        self._requests = Requests(
            self._arbiter, self._ask, self.publish, self.live, self._stop_unwanted, self.policies.prepare, self.beside
        )
        self._cancels = Cancels(self.send)
        self._edits = Edits(self.send, self.conversation)
        self.guarding.turns = self
        self._interruptions = Interruptions(
            self.sound,
            self.send,
            self._edits,
            self.publish,
            self.live,
            self.conversation.words,
            self.conversation.set_heard,
        )
        self._stopping = Stopping(
            self._arbiter,
            self._interruptions,
            self.guarding,
            self.tool_calls,
            self.beside,
            self.live,
            self.send,
            relent=lambda: self.barge_ins.relent(),  # noqa: PLW0108 they are made after this
            act=self.act,
        )
        self._lives = Lives(
            self.live,
            self._requests,
            self._edits,
            self.guarding,
            self.tool_calls,
            self._stopwatch,
            self._cancels,
            self._interruptions,
            self._stopping,
            self.publish_response,
        )
        self.barge_ins = BargeIns(
            self.policies,
            self.sound,
            is_speaking=lambda: self._interruptions.is_speaking or self._arbiter.asked is not None,
            interrupt=lambda: self.interrupt("speech_started"),
            take_floor=lambda: self.tool_calls.interrupt("speech_started"),
            hold_floor=self._arbiter.hold_floor,
            owe=lambda item_id: self.owe(Request(), [item_id]),
            delete=lambda item_id: self._edits.make(Delete(item_id)),
            publish=self.publish,
        )

    # What is asked for

    def _ask(self, event: events.ClientEvent) -> str:
        self._stopwatch.sent(event, trio.current_time())
        return self.send(event)

    def owe(self, request: Request, items: Sequence[str]) -> None:
        """Ask for a reply to these items, as soon as nobody else speaks."""
        now = trio.current_time()
        self._requests.owe(request, items, now)
        self.timer.wake()
        self.act(now)

    def close(self, error: Exception, *, finish_turn: bool) -> None:
        """Ask for nothing any more; see `Requests.close`."""
        self._requests.close(error, finish_turn=finish_turn)
        self.act(trio.current_time())

    def is_awaited(self, response: Response) -> bool:
        """Whether a call waits for a response, and will know what became of it."""
        return response.is_ours if response.out_of_band else self._requests.is_awaited(response)

    def forget(self, request: Request) -> None:
        """Nobody waits for this reply any more: what was not sent is dropped, what was sent is cancelled."""
        self._requests.forget(request)
        self.act(trio.current_time())

    def abandon(self, exchange: Exchange) -> None:
        """Nobody waits for this exchange any more."""
        self._requests.abandon(exchange)
        self.act(trio.current_time())
        for response in exchange.responses:
            # unless somebody else waits for it, or it is the answer to what the user said
            is_wanted = self._requests.settled_by(response) or not response.is_ours
            if response.id in self.live and not (response.interrupted or is_wanted):
                self._stopping.some("abandoned", response_ids=[response.id])

    def exchanges_of(self, response_id: str) -> list[Exchange]:
        """Find what waits for a response, or for what follows from it."""
        live = self.live.get(response_id)
        return [] if live is None else self._requests.exchanges_of(live)

    def answers(self, problem: events.ErrorDetails) -> bool:
        """Tell whether an error is about to reach the one who asked for a response."""
        return self._requests.answers(problem)

    def active(self, response_id: str | None) -> Response | None:
        """Find a response that is being generated: the one named, else the conversation's."""
        if response_id is not None:
            response = self.live.get(response_id)
            return response if response is not None and not response.is_done else None
        return next((one for one in self.live.values() if not one.is_done and not one.out_of_band), None)

    def cancel(self, response: Response) -> Promise[bool]:
        """Stop the generation of a response; it is not asked for again.

        Returns:
            Whether it was cancelled, once that is known.
        """
        self._arbiter.stop(response.id)
        outcome = self._cancels.ask(response)
        self.act(trio.current_time())
        return outcome

    @property
    def owed(self) -> int:
        """How many replies are not over that the server brought about, and not the program."""
        return self._requests.owed

    @property
    def requested(self) -> int:
        """How many replies are not over at all."""
        return self._requests.number

    @property
    def is_idle(self) -> bool:
        """Whether no response of the conversation is being generated, judged by the guard, asked for, or owed."""
        return self._arbiter.idle and self._arbiter.active is None and not self.guarding.is_busy

    def _quiet_at(self, now: float) -> float:
        floor = self._arbiter.floor.deadline
        return floor if floor > now or self.sound.is_silent(now) else math.inf

    def _deadline(self) -> float:
        return min(self._arbiter.deadline, self._arbiter.life.deadline, self.beside.deadline, self.barge_ins.deadline)

    def _expire(self, now: float) -> None:
        self.beside.expire(now)
        self.barge_ins.pass_time(now)

    # What the arbiter decides

    def act(self, now: float) -> None:
        """Do what is to be done at this time."""
        for response_id in self._arbiter.life.take_lost(now):
            self._lose(response_id, now)
        self._requests.act(now)
        self._lives.retire()
        self._requests.retire()
        self.policies.settle()
        self.timer.note()

    def _stop_unwanted(self, response_id: str, now: float) -> None:
        self._stopping.abandon(response_id, now)

    def _lose(self, response_id: str, now: float) -> None:
        """End a response that the server has lost, as one that failed."""
        response = self.live.get(response_id)
        if response is None:
            return
        event = lost_response(response.final, "cancelled" if response.interrupted else "failed")
        if not response.interrupted:
            self.send(events.ResponseCancel(response_id=response_id))  # should it live after all
            self.publish(ResponseNotCompleted(response_id, "failed", LOST, failure(event.response)))
        self.conversation.apply(event)
        self.handle(event, now)
        self.tell_lost(event)

    # What the server says

    def handle(self, event: events.ServerEvent, now: float) -> None:
        """Follow one server event."""
        self._stopwatch.handle(event, now)
        match event:
            case events.ResponseCreated(response=response):
                self._lives.create(response, now)
            case events.ResponseDone():
                self._lives.done(event)
            case events.Error(error=problem):
                self.beside.refused(problem)
                self._cancels.refused(problem)
            case _:
                if live := self.live.get(getattr(event, "response_id", "") or ""):
                    self._intake.take(live, event)
        self._arbiter.handle(event, now)
        self.policies.handle(event)
        self._edits.handle(event)
        self._interruptions.handle(event)
        self.barge_ins.handle(event, now)
        if isinstance(event, events.ResponseDone):
            self._lives.run_tools(event)

    def deliver(self, response: Response) -> None:
        """Take a response that was generated, and that nothing holds, for heard, if nothing of it is to be played."""
        self._lives.deliver(response)

    def note_heard(self, response_id: str) -> None:
        """Note that something of a response was delivered that is not played."""
        self._arbiter.heard(response_id)

    def check_heard(self, now: float) -> None:
        """Follow the device's reports: what was heard by now, and where cuts fell."""
        self._lives.check_heard(now)
        self.act(now)

    # The link

    def lose_link(self, now: float) -> LostTurns:
        """Note that the link is lost: nothing more comes of what was being generated, and nothing can be asked.

        What was generated plays on. What was not is owed again, where nothing of it was heard, and so is the turn of
        the user's that turn detection was to answer. Everything can be called as before; what is owed is asked for
        after `regain_link`, and nothing times out before.

        Returns:
            What became of the responses that were being generated.
        """
        self._edits.lose_link()
        self.policies.lose_link()
        self._stopwatch.lose_link([one for one in self.live.values() if not (one.is_done or one.interrupted)])
        self.beside.lose_link()
        lost = self._lives.lose_link()
        is_unanswered = self._arbiter.lose_link(now, lost.cut_off)
        self.barge_ins.lose_link()
        if is_unanswered:
            self._requests.owe(Request(), (), now)
        self.act(now)
        return lost

    def regain_link(self, now: float) -> None:
        """Note that there is a new link, with the conversation and the configuration of the old one."""
        self._edits.regain_link()
        self.policies.regain_link()
        self._arbiter.regain_link(now)
        self.beside.regain_link(now)
        self.timer.wake()
        self.act(now)

    # Interruptions

    def interrupt(self, reason: str) -> PendingInterruption:
        """Stop what is being said for the conversation; with some reasons it is the user who takes the floor."""
        return self._stopping.all(reason)

    def take_floor(self, now: float) -> None:
        """The user wants to speak, by a key; until `release_key` the floor is theirs."""
        self._arbiter.take_floor(now)

    def release_key(self, released_at: float, now: float) -> None:
        """The user has spoken, by a key that went up then; the floor is theirs until the turn is committed."""
        self._stopwatch.released(released_at)
        self._arbiter.hold_floor(now)

    def release_floor(self) -> None:
        """Nobody will tell that the user has stopped speaking: the key was only tapped, or the microphone is gone."""
        self._arbiter.free_floor()
        self.act(trio.current_time())

    def stop(self, response: Response, reason: str) -> None:
        """Stop one response, for a reason that is not the user's."""
        self._stopping.one(response, reason)

    def stop_guarded(self, response: Response, why: str) -> None:
        """Stop a response because the guard says so."""
        self._stopping.some("guard", response_ids=[response.id], why=why)

    # The end

    def end(self, reason: Exception | None) -> None:
        """The session is over: wake everybody who waits for a response."""
        error = reason or trio.ClosedResourceError("the session is closed")
        for response in self.live.values():
            response.end(reason)
        self._requests.end(error)
        self._cancels.end(error)
        self._interruptions.end(error)
        self.timer.over = True
        self.timer.wake()
