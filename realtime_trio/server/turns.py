"""The user's side: audio in, turns found by turn detection or committed by hand.

The buffer itself is in `input_buffer`; what a turn leads to is asked of `answers`, what was said in it of `hearing`.
"""

from collections.abc import Sequence

from realtime_trio import events
from realtime_trio.server.answers import Answers
from realtime_trio.server.audio_formats import FORMATS
from realtime_trio.server.hearing import Hearing
from realtime_trio.server.input_buffer import InputBuffer, milliseconds
from realtime_trio.server.items import Conversation, Item, Part
from realtime_trio.server.outbox import Outbox, Overhear
from realtime_trio.server.problems import Problem
from realtime_trio.server.seams import SpeechStarted, SpeechStopped, Transcript, TurnDetector
from realtime_trio.server.session_config import SessionConfig

__all__ = ["Turns"]


class Turns:
    """The user's turns in a session."""

    def __init__(
        self,
        outbox: Outbox,
        config: SessionConfig,
        conversation: Conversation,
        *,
        answers: Answers,
        hearing: Hearing,
        detector: TurnDetector,
    ) -> None:
        self._answers = answers
        self._hearing = hearing
        self._outbox = outbox
        self._config = config
        self._conversation = conversation
        self._buffer = InputBuffer(detector)
        self._open: str | None = None  # the item that the turn in progress will be
        self._quiet: tuple[float, int] | None = None  # since when it is quiet, and what had been appended by then
        self.configure()

    @property
    def speaking(self) -> bool:
        """Whether a turn is in progress."""
        return self._open is not None

    @property
    def position(self) -> int:
        """Samples ever appended."""
        return self._buffer.written

    def configure(self) -> None:
        """Follow the session's configuration."""
        vad = self._config.vad
        self._buffer.configure(FORMATS[self._config.input_format], vad, self._config.noise_reduction)
        if not self._buffer.speaking:  # a change of format, or of who finds the turns, forgets an open turn
            self._open = None

    # ---- what the client does ----

    def append(self, audio: bytes, now: float) -> None:
        """Take audio; a turn that begins or ends in it has its consequences."""
        self._mark_quiet(now)
        found = self._buffer.append(audio)
        question = self._buffer.question()
        if question is not None:
            self._outbox.do(Overhear(*question))
        self._take(found, now)

    def _take(self, found: Sequence[SpeechStarted | SpeechStopped], now: float) -> None:
        for event in found:
            if isinstance(event, SpeechStarted):
                self._speech_started(event.start, now)
            else:
                self._speech_stopped(event.end)

    def overheard(self, pause: int, transcript: Transcript | None, now: float) -> None:
        """Take what the recogniser made of a turn up to a pause; the turn may be over by that."""
        self._take(self._buffer.understood(pause, transcript), now)

    def commit(self) -> None:
        """Make a user item of the buffer."""
        self._commit(self._buffer.commit(), self._open)

    def clear(self) -> None:
        """Drop the buffer."""
        self._open = None
        self._buffer.clear()
        self._outbox.send(events.InputAudioBufferCleared(event_id=self._outbox.event_id()))

    # ---- what turn detection finds ----

    def _speech_started(self, start: int, now: float) -> None:
        self._buffer.begin_turn(start)
        self._open = self._outbox.new_id("item")
        self._outbox.send(
            events.InputAudioBufferSpeechStarted(
                event_id=self._outbox.event_id(), item_id=self._open, audio_start_ms=milliseconds(start)
            )
        )
        vad = self._config.vad
        if vad is not None and vad.interrupt_response:
            self._answers.interrupt(now)
        self._answers.quiet_from = None

    def _speech_stopped(self, end: int) -> None:
        item_id = self._open or self._outbox.new_id("item")
        self._outbox.send(
            events.InputAudioBufferSpeechStopped(
                event_id=self._outbox.event_id(), item_id=item_id, audio_end_ms=milliseconds(end)
            )
        )
        self._answers.quiet_from = None
        self._commit(self._buffer.end_turn(end), item_id, self._buffer.take_words())
        vad = self._config.vad
        if vad is not None and vad.create_response:
            self._answer()

    # ---- idle timeout ----

    def _mark_quiet(self, now: float) -> None:
        """Note where on the timeline the last response had been heard whole, once it has."""
        since = self._answers.quiet_from
        if since is None or now < since:
            self._quiet = None
        elif self._quiet is None or self._quiet[0] != since:
            self._quiet = since, self._buffer.written
        vad = self._config.vad
        idles = vad is not None and vad.idle_timeout_ms is not None and self._quiet is not None
        self._buffer.keep_from = self._quiet[1] if idles and self._quiet is not None else None

    def idle(self) -> None:
        """Commit the silence since the last response and have it answered, as `idle_timeout_ms` asks."""
        since = self._answers.quiet_from
        start = self._quiet[1] if self._quiet is not None and self._quiet[0] == since else self._buffer.written
        self._answers.quiet_from = None
        item_id = self._outbox.new_id("item")
        self._outbox.send(
            events.InputAudioBufferTimeoutTriggered(
                event_id=self._outbox.event_id(),
                item_id=item_id,
                audio_start_ms=milliseconds(start),
                audio_end_ms=milliseconds(self._buffer.written),
            )
        )
        self._buffer.begin_turn(start)
        self._commit(self._buffer.take_all(), item_id)
        self._answer()

    def _answer(self) -> None:
        """Answer unasked. If a response that the client asked for is in the way, that is an error of nobody's event."""
        try:
            self._answers.create({})
        except Problem as problem:
            self._outbox.report(problem, None)

    def _commit(self, audio: bytes, item_id: str | None, known: Transcript | None = None) -> None:
        """Make a user item of audio, tell it, and have it heard."""
        self._open = None
        part = Part("input_audio", audio=audio, format=self._buffer.format)
        item = Item(id=item_id or self._outbox.new_id("item"), parts=[part])
        previous = self._conversation.last_id
        self._conversation.insert(item)
        self._outbox.send(
            events.InputAudioBufferCommitted(
                event_id=self._outbox.event_id(), item_id=item.id, previous_item_id=previous
            )
        )
        self._outbox.send(
            events.ConversationItemAdded(event_id=self._outbox.event_id(), item=item.wire(), previous_item_id=previous)
        )
        self._outbox.send(
            events.ConversationItemDone(event_id=self._outbox.event_id(), item=item.wire(), previous_item_id=previous)
        )
        transcription = self._config.transcription
        self._hearing.begin(item, None if transcription is None else transcription.get("model") or "", known)
