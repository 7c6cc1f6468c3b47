"""The input audio buffer: what was appended and not yet committed, and where it lies on the session's input timeline.

Positions are samples at 24 kHz over all audio ever appended; the timeline goes on across commits, clears and changes of
configuration. What the turns mean for the conversation is the business of `protocol`.
"""

import attrs

from realtime_trio.server import guesses, problems
from realtime_trio.server.audio_formats import FORMATS, WireFormat
from realtime_trio.server.finishing import score, score_melody
from realtime_trio.server.noise_reduction import NoiseReducer, NoiseSettings
from realtime_trio.server.seams import SAMPLE_RATE, SpeechStarted, SpeechStopped, Transcript, TurnDetector
from realtime_trio.server.semantic import Pause, SemanticEnds
from realtime_trio.server.session_config import VadSettings

__all__ = ["MAXIMUM_APPEND_BYTES", "MAXIMUM_BUFFER_SECONDS", "InputBuffer", "milliseconds"]

MAXIMUM_APPEND_BYTES = 15 * 1024 * 1024
MAXIMUM_BUFFER_SECONDS = 15 * 60


def _samples(ms: int) -> int:
    return ms * SAMPLE_RATE // 1000


def milliseconds(samples: int) -> int:
    """Tell a position of the timeline as the wire does."""
    return samples * 1000 // SAMPLE_RATE


class InputBuffer:
    """Audio on its way to becoming a user's turn.

    Attributes:
        detector: Finds the turns while turn detection is on.
        written: All samples ever appended.
        start: Where the buffered audio begins.
        keep_from: What lies behind this is kept under turn detection, however long nobody speaks; None for no such
            place.
    """

    def __init__(self, detector: TurnDetector) -> None:
        self.detector = detector
        self.written = 0
        self.start = 0
        self.keep_from: int | None = None
        self._format = FORMATS["audio/pcm"]
        self._data = bytearray()
        self._half_sample = b""
        self._vad: VadSettings | None = None
        self._noise: NoiseSettings | None = None
        self._reducer: NoiseReducer | None = None
        self._semantic: SemanticEnds | None = None
        self._questions: dict[int, tuple[Pause, bytes]] = {}  # what the recogniser is asked, by the pause's number
        self._asked = 0  # the newest of those that were taken
        self._understood: Transcript | None = None  # all of the turn up to the pause in which it is
        self._offset = 0  # our timeline less the detector's, which stands still while it is not asked

    @property
    def format(self) -> WireFormat:
        """The format in which audio arrives."""
        return self._format

    @property
    def duration_ms(self) -> float:
        """How much audio is buffered."""
        return self._format.milliseconds(len(self._data))

    @property
    def speaking(self) -> bool:
        """Whether a turn is open; also in a pause that may be its end."""
        return self.detector.speaking or (self._semantic is not None and self._semantic.holding)

    def configure(self, audio_format: WireFormat, vad: VadSettings | None, noise: NoiseSettings | None = None) -> None:
        """Follow the session's configuration.

        Buffered audio of another format is dropped. Turning detection on or off forgets an open turn; the buffered
        audio stays. Other settings of noise reduction begin anew with the next audio.
        """
        if audio_format is not self._format:
            self.clear()
            self._format = audio_format
        if (vad is None) != (self._vad is None):
            self._forget_turn()
        self._configure_semantic(vad)
        if noise != self._noise or vad is None or self._vad is None:
            self._reducer = NoiseReducer(noise) if noise is not None and vad is not None else None
        self._noise, self._vad = noise, vad
        pending = 0 if self._reducer is None else self._reducer.pending
        self._offset = self.written - pending - self.detector.position
        if vad is not None:
            self.detector.configure(
                threshold=vad.threshold,
                prefix_padding_ms=vad.prefix_padding_ms,
                silence_duration_ms=vad.silence_duration_ms,
            )

    def append(self, audio: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take the next audio of the session.

        Returns:
            What turn detection found in it, on the session's timeline, in order; nothing while it is off.

        Raises:
            Problem: It is more than one event or the buffer may hold. Nothing was taken.
        """
        if len(audio) > MAXIMUM_APPEND_BYTES:
            raise problems.invalid_value("audio", f"{len(audio)} bytes", "Expected at most 15 MiB of audio.")
        if self.duration_ms + self._format.milliseconds(len(audio)) > MAXIMUM_BUFFER_SECONDS * 1000:
            raise problems.buffer_full(MAXIMUM_BUFFER_SECONDS)
        audio = self._half_sample + audio
        whole = len(audio) // self._format.sample_size * self._format.sample_size
        self._half_sample, audio = audio[whole:], audio[:whole]
        self._data += audio
        self.written += self._format.samples(len(audio))
        if self._vad is None:
            return []
        pcm = self._format.to_pcm_rough(audio)
        if self._reducer is not None:
            pcm = self._reducer.feed(pcm)
        found = self._by_meaning([self._shifted(event) for event in self.detector.feed(pcm)])
        if not self.speaking and not found:
            # Nobody speaks: no more is kept than a turn may need to begin with.
            needed = self.written - guesses.IDLE_VAD_BUFFER_SECONDS * SAMPLE_RATE
            self._drop_before(needed if self.keep_from is None else min(needed, self.keep_from))
        return found

    def _shifted(self, event: SpeechStarted | SpeechStopped) -> SpeechStarted | SpeechStopped:
        if isinstance(event, SpeechStarted):
            return attrs.evolve(event, start=event.start + self._offset)
        return attrs.evolve(event, end=event.end + self._offset)

    # ---- semantic turn detection ----

    def _configure_semantic(self, vad: VadSettings | None) -> None:
        if vad is None or vad.eagerness is None:
            if self._semantic is not None and self._semantic.holding:
                self._forget_turn()
            self._semantic = None
        elif self._semantic is None:
            self._semantic = SemanticEnds(vad.eagerness)
        else:
            self._semantic.eagerness = vad.eagerness

    def _forget_turn(self) -> None:
        self.detector.reset()
        self._questions.clear()
        self._understood = None
        if self._semantic is not None:
            self._semantic.reset()

    def _by_meaning(self, found: list[SpeechStarted | SpeechStopped]) -> list[SpeechStarted | SpeechStopped]:
        """Make ends of turns of the pauses that were found, if it goes by what is said."""
        if self._semantic is None or self._vad is None:
            return found
        ends: list[SpeechStarted | SpeechStopped] = []
        for event in found:
            if isinstance(event, SpeechStarted):
                ends += self._semantic.started(event, event.start + _samples(self._vad.prefix_padding_ms))
                self._questions.clear()
                self._understood = None
            else:
                pause = self._semantic.paused(event, _samples(self._vad.silence_duration_ms))
                pcm = self._before(pause)
                self._semantic.guess(score_melody(pcm))
                self._questions = {pause.number: (pause, pcm)}
        return ends + self._ended()

    def _ended(self) -> list[SpeechStarted | SpeechStopped]:
        ended = None if self._semantic is None else self._semantic.ended(self.written)
        return [] if ended is None else [ended]

    def _before(self, pause: Pause) -> bytes:
        """Give the end of what was said before a pause, as PCM16 at 24 kHz."""
        begin = max(self.start, pause.start, pause.end - guesses.SEMANTIC_HEARD_SECONDS * SAMPLE_RATE)
        edges = [self._format.byte_offset(max(0, at - self.start)) for at in (begin, pause.end)]
        return self._format.to_pcm(bytes(self._data[edges[0] : edges[1]]))

    def question(self) -> tuple[int, bytes] | None:
        """Take what the recogniser is to be asked: about which pause, and the sound before it; None for nothing."""
        for number, (_, pcm) in self._questions.items():
            if number > self._asked:
                self._asked = number
                return number, pcm
        return None

    def understood(self, number: int, transcript: Transcript | None) -> list[SpeechStarted | SpeechStopped]:
        """Take the recogniser's answer about a pause; one that is over is ignored.

        Returns:
            The end of the turn, if it has waited long enough for what was said.
        """
        asked = self._questions.pop(number, None)
        if asked is None or self._semantic is None:
            return []
        pause, pcm = asked
        self._semantic.understood(number, score(transcript, pcm))
        whole = pause.end - pause.start <= guesses.SEMANTIC_HEARD_SECONDS * SAMPLE_RATE
        self._understood = transcript if transcript is not None and transcript.certain and whole else None
        return self._ended()

    def take_words(self) -> Transcript | None:
        """Take all that was said in the turn that has just ended, if the recogniser was sure of it in its pause."""
        known, self._understood = self._understood, None
        return known

    # ---- turns ----

    def begin_turn(self, start: int) -> None:
        """Drop what lies before a turn that was found."""
        self._drop_before(start)

    def end_turn(self, end: int) -> bytes:
        """Take the audio of a turn that was found to be over; what lies behind it stays buffered."""
        size = self._format.byte_offset(max(0, end - self.start))
        audio = bytes(self._data[:size])
        self._drop_before(end)
        return audio

    def commit(self) -> bytes:
        """Take everything, by hand.

        Raises:
            Problem: There is too little. Nothing was taken.
        """
        if self.duration_ms < guesses.MINIMUM_COMMIT_MS:
            raise problems.buffer_too_small(self.duration_ms)
        return self.take_all()

    def take_all(self) -> bytes:
        """Take everything, however little."""
        audio = bytes(self._data)
        self.clear()
        return audio

    def clear(self) -> None:
        """Drop everything, and forget an open turn."""
        self._data.clear()
        self._half_sample = b""
        self.start = self.written
        self._forget_turn()

    def _drop_before(self, position: int) -> None:
        size = self._format.byte_offset(position - self.start)
        if size > 0:
            dropped = min(size, len(self._data))
            del self._data[:dropped]
            self.start += self._format.samples(dropped)
