"""Carries out the policy for speech that begins while the assistant is to be heard.

The verdict on a doubtful sound is `core.barge_in`'s, which policy counts is `policies.py`'s. What an interruption does
is in `interruptions.py`. With `"confirm"` and `"never"` the server neither interrupts nor answers by itself, so the
replies to what the user said are owed here.
"""

import logging
import math
from collections.abc import Callable

import attrs

from realtime_trio import events
from realtime_trio.core.barge_in import Doubt
from realtime_trio.core.detection import Detection
from realtime_trio.core.recent import Recent

from .inside import Inside
from .interruptions import PendingInterruption
from .notices import Interrupted, Notice, Paused, Resumed
from .policies import Policies
from .sound import Sound

__all__ = ["BargeIns"]

_log = logging.getLogger("realtime_trio.session")

_MOST_SPOKEN = 256  # items that a server may have begun and not committed; one that behaves has one or two
_MOST_DOUBTS = 64


@attrs.define(eq=False, repr=False)
class BargeIns(Inside):
    """The beginnings of speech in one session.

    Attributes:
        policies: What a beginning of speech does, and who answers it.
        sound: What is paused.
        is_speaking: Tells whether there is anything to interrupt.
        interrupt: Interrupts what is being said.
        take_floor: Told when the user begins to speak and nothing is being said: tools may be at work.
        hold_floor: Keeps the floor for the user until their turn is committed.
        owe: Asks for a reply to an item.
        delete: Deletes an item.
        publish: Takes notices.
    """

    policies: Policies
    sound: Sound
    is_speaking: Callable[[], bool]
    interrupt: Callable[[], PendingInterruption]
    take_floor: Callable[[], object]
    hold_floor: Callable[[float], object]
    owe: Callable[[str], object]
    delete: Callable[[str], object]
    publish: Callable[[Notice], None]
    _doubts: dict[str, Doubt] = attrs.field(factory=dict, init=False)  # open ones, by item id
    _spoken: Recent[str] = attrs.field(factory=lambda: Recent(_MOST_SPOKEN), init=False)  # items that are being spoken
    _committed: set[str] = attrs.field(factory=set, init=False)  # of those in doubt
    _noises: Recent[str] = attrs.field(
        factory=lambda: Recent(_MOST_SPOKEN), init=False
    )  # to be deleted as soon as they exist
    _detection: Detection = attrs.field(factory=Detection, init=False)
    _said_so: bool = attrs.field(default=False, init=False)

    @property
    def deadline(self) -> float:
        """When `pass_time` has something to decide; inf for never."""
        return min((doubt.deadline for doubt in self._doubts.values()), default=math.inf)

    def pass_time(self, now: float) -> None:
        """Let time decide what it decides."""
        for doubt in self._doubts.values():
            doubt.pass_time(now)
        self._judge()

    def handle(self, event: events.ServerEvent, now: float) -> None:
        """Follow one server event, after the turns have."""
        match event:
            case events.InputAudioBufferSpeechStarted():
                self._start(event, now)
            case events.InputAudioBufferSpeechStopped(item_id=item_id) if item_id in self._spoken:
                self._stop(event, now)
            case events.InputAudioBufferCommitted(item_id=item_id):
                self._commit(item_id)
            case events.InputAudioBufferCleared():
                self._forget()
            case events.ConversationItemAdded(item=item) | events.ConversationItemCreated(item=item):
                self._drop_noise(getattr(item, "id", None))
            case events.SessionUpdated(session=session):
                self._configure(session)
            case events.InputAudioBufferTimeoutTriggered(item_id=item_id):
                self._spoken.add(item_id)  # silence is answered too: that is what the timeout is for
            case _ if doubt := self._doubts.get(getattr(event, "item_id", "")):
                _transcribe(doubt, event)
            case _:
                return
        self._judge()

    def _start(self, event: events.InputAudioBufferSpeechStarted, now: float) -> None:
        policy = self.policies.now
        self._spoken.add(event.item_id)
        if policy == "immediate":
            self.interrupt()
            return
        if policy == "never":
            return
        if not (self._doubts or self.is_speaking()):
            self.take_floor()
            return
        if len(self._doubts) >= _MOST_DOUBTS:
            return
        self._doubts[event.item_id] = Doubt(
            event.item_id,
            begun_at=now,
            start_ms=event.audio_start_ms,
            detection=self._detection,
            measured=self.sound.device is not None,
        )
        self.sound.pause()
        self.sound.capture.on_loud = self._loud
        self.publish(Paused(event.item_id, "words" if self._detection.transcribes else "duration"))

    def _stop(self, event: events.InputAudioBufferSpeechStopped, now: float) -> None:
        if self.policies.answers():
            self.hold_floor(now)  # what is owed meanwhile shares the answer to this turn
        if event.item_id in self._doubts:
            self._doubts[event.item_id].ended(event.audio_end_ms, now)

    def relent(self) -> None:
        """Doubt no longer: nothing is being said any more, so whatever the user says is a turn like any other."""
        if not self._doubts or self.is_speaking():
            return
        items = [item_id for item_id in self._doubts if item_id in self._committed]
        self._doubts.clear()
        self._committed.clear()
        self._end_doubt()
        self.take_floor()
        for item_id in items:
            self._spoken.discard(item_id)
            self.owe(item_id)

    def lose_link(self) -> None:
        """Doubt no longer: nothing more will be known of what is being said. The sound goes on.

        A doubtful turn that the server has is answered; one that it has not is sent again, and begins again.
        """
        items = [item_id for item_id in self._doubts if item_id in self._committed]
        for item_id in self._doubts:
            self.publish(Resumed(item_id))
        if self._doubts:
            self._doubts.clear()
            self._end_doubt()
        for item_id in list(self._noises):
            self.delete(item_id)
        self._committed.clear()
        self._noises.clear()
        self._spoken.clear()
        for item_id in items:
            self.owe(item_id)

    def _loud(self, ms: float) -> None:
        for doubt in self._doubts.values():
            doubt.loud(ms)
        self._judge()

    def _commit(self, item_id: str) -> None:
        if item_id in self._doubts:
            self._committed.add(item_id)
        elif item_id in self._spoken:
            self._spoken.discard(item_id)
            if item_id not in self._noises and self.policies.answers():
                self.owe(item_id)

    def _forget(self) -> None:
        """The input buffer was cleared: what was being said in it becomes no item, so nothing interrupts."""
        for item_id in [item_id for item_id in self._doubts if item_id not in self._committed]:
            del self._doubts[item_id]
            self.publish(Resumed(item_id))
        self._spoken.clear()
        if not self._doubts:
            self._end_doubt()

    def _judge(self) -> None:
        decided = [doubt for doubt in self._doubts.values() if doubt.verdict is not None]
        for doubt in decided:
            del self._doubts[doubt.item_id]
        for doubt in decided:
            if doubt.verdict == "real":
                self._take_for_real(doubt.item_id)
            else:
                self._noises.add(doubt.item_id)
                if doubt.item_id in self._committed:
                    self._drop_noise(doubt.item_id)
                self.publish(Resumed(doubt.item_id))
        if decided:
            self._committed.difference_update(doubt.item_id for doubt in decided)
            self.relent()  # of two doubts, one that was real leaves nothing for the other to interrupt
            if not self._doubts:
                self._end_doubt()

    def _take_for_real(self, item_id: str) -> None:
        if (record := self.interrupt().record_of_nothing) is not None:
            self.publish(Interrupted(record))  # what was paused for had not begun, or is over: who saw `Paused` is told
        if item_id in self._committed:
            self._spoken.discard(item_id)
            self.owe(item_id)

    def _end_doubt(self) -> None:
        self.sound.capture.on_loud = None
        self.sound.resume()

    def _drop_noise(self, item_id: str | None) -> None:
        if item_id is not None and item_id in self._noises:
            self._noises.discard(item_id)
            self._spoken.discard(item_id)
            self.delete(item_id)

    def _configure(self, session: object) -> None:
        self._detection = detection = self._detection.after(session)
        if self.policies.own == "confirm" and detection.is_on and not detection.transcribes and not self._said_so:
            self._said_so = True
            _log.warning(
                "interruption='confirm' without transcription goes by duration alone: sounds of up to 400 ms do not "
                "interrupt, not even a short word. Set transcription= to judge them by their words"
            )


def _transcribe(doubt: Doubt, event: events.ServerEvent) -> None:
    """Tell a doubt what became known of its words."""
    match event:
        case events.ConversationItemInputAudioTranscriptionDelta(delta=delta):
            doubt.heard(delta or "", complete=False)
        case events.ConversationItemInputAudioTranscriptionCompleted(transcript=transcript):
            doubt.heard(transcript, complete=True)
        case events.ConversationItemInputAudioTranscriptionFailed():
            doubt.failed()
        case _:
            pass
