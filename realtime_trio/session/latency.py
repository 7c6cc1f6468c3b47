"""How long an answer took to be heard, and where the time went.

Only times are kept here: when speech ended is the capture ledger's knowledge, when sound left the speaker the playout
ledger's.

Theory of operation. Four moments are seen on this side: the user's speech ends, the server says so, the first sound of
the answer arrives, and it leaves the speaker. On its way the end of the speech travels to the server and the answer
travels back, half a round trip each. The server's word that speech ended takes half a round trip as well, but nothing
waits for it: so a whole round trip lies between the end of the speech and that word, and none between that word and the
first sound. Where the answer had to be asked for after that word, the request makes another round trip.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from realtime_trio import events
from realtime_trio.core.arbiter import METADATA_KEY
from realtime_trio.core.detection import Detection

if TYPE_CHECKING:
    from .responses import Response

__all__ = ["Latency", "Stages", "Stopwatch"]

_STALE = 30.0  # seconds after which an answer is no answer to that speech any more
_MOST_ASKED = 256


@attrs.frozen
class Latency:
    """How long an answer took, from the end of the user's turn to the first sound at the loudspeaker.

    The turn ends where the speech does, as it was captured; with push-to-talk when the key is released, with a commit
    of the program's own when it was sent. For an answer to no speech, a typed turn for example, the time begins when it
    was asked for. All in milliseconds; the five pieces add up to the whole.
    """

    total_ms: int
    """The whole."""

    turn_detection_ms: int
    """Until the server knew that the turn was over, the silence that it waits for included."""

    server_ms: int
    """From then until the server sent the first sound."""

    network_ms: int
    """The way to the server and back, as the link's pings measure it; 0 while that is not known: it is then part of
    `turn_detection_ms`, or of `server_ms` where the answer was asked for."""

    buffer_ms: int
    """From when the first sound had arrived, and passed, until it left the speaker: what was played before it, the
    device's buffer."""

    guard_ms: int = 0
    """From the arrival of the first sound until the guard let it pass; 0 without one."""


@attrs.define(eq=False)
class Stages:
    """What is known of the time before a response sounds; Trio times.

    Attributes:
        turn_over_at: When the server said that the user's turn was over.
        asked_at: When it was asked for, if this session did.
        audio_at: When its first sound arrived.
        round_trip: Seconds to the server and back, at that time.
        released_at: When the guard let the first of that sound pass, if there is one.
    """

    turn_over_at: float | None = None
    asked_at: float | None = None
    audio_at: float | None = None
    round_trip: float | None = None
    released_at: float | None = None

    def latency(self, speech_ended_at: float | None, first_sound_at: float | None) -> Latency | None:
        """Split the time between these two moments; None if one of them is not known."""
        start = self.asked_at if speech_ended_at is None else speech_ended_at
        if start is None or first_sound_at is None:
            return None
        end = max(start, first_sound_at)
        audio = end if self.audio_at is None else min(max(start, self.audio_at), end)
        over = start if speech_ended_at is None else self.turn_over_at
        over = start if over is None else min(max(start, over), audio)
        released = audio if self.released_at is None else min(max(audio, self.released_at), end)
        trip = self.round_trip or 0.0
        detection_trip = min(trip, over - start)
        asked = self.asked_at is not None and self.asked_at >= over
        request_trip = min(trip, audio - over) if asked else 0.0
        pieces = (
            over - start - detection_trip,
            audio - over - request_trip,
            detection_trip + request_trip,
            end - released,
            released - audio,
        )
        return _in_milliseconds(pieces)


def _in_milliseconds(pieces: tuple[float, ...]) -> Latency:
    """Round so that the pieces still add up."""
    rounded, at, before = [], 0.0, 0
    for piece in pieces:
        at += piece
        rounded.append(round(at * 1000) - before)
        before += rounded[-1]
    return Latency(before, *rounded)


@attrs.define(eq=False)
class Stopwatch:
    """Notes when the user's turns end and answers are asked for, and hands the times to the response that answers.

    Attributes:
        captured_at: Tells when a millisecond of the input timeline was captured.
        round_trip: Tells how many seconds the link takes to the server and back, where that is known.
    """

    captured_at: Callable[[int], float | None]
    round_trip: Callable[[], float | None]
    _detection: Detection = attrs.field(factory=Detection, init=False)
    _ended_at: float | None = attrs.field(default=None, init=False)
    _over_at: float | None = attrs.field(default=None, init=False)
    _stopped_item: str | None = attrs.field(default=None, init=False)
    _released: bool = attrs.field(default=False, init=False)
    _asked: dict[str, float] = attrs.field(factory=dict, init=False)

    def handle(self, event: events.ServerEvent, now: float) -> None:
        """Follow one server event."""
        match event:
            case events.SessionCreated(session=session) | events.SessionUpdated(session=session):
                self._detection = self._detection.after(session)
            case events.InputAudioBufferSpeechStarted():
                self._ended_at = self._over_at = None
            case events.InputAudioBufferSpeechStopped(audio_end_ms=end, item_id=item_id):
                # the silence that turn detection waited for is not speech
                self._ended_at = self.captured_at(max(0, end - (self._detection.silence_ms or 0)))
                self._over_at, self._stopped_item = now, item_id
            case events.InputAudioBufferTimeoutTriggered(item_id=item_id):
                self._ended_at, self._stopped_item = None, item_id  # nobody spoke: what is committed is silence
            case events.InputAudioBufferCommitted(item_id=item_id) if item_id != self._stopped_item:
                if not self._released:
                    self._ended_at = now - (self.round_trip() or 0.0)
                self._over_at, self._released = now, False
            case _:
                pass

    def lose_link(self, lost: Sequence["Response"]) -> None:
        """Note that the link is lost: the answer to what the user said is still to come, and so long do they wait.

        Args:
            lost: Responses that were being generated.
        """
        self._stopped_item = None
        for response in lost:
            if response.first_sound_at is None and response.speech_ended_at is not None and self._ended_at is None:
                self._ended_at, self._over_at = response.speech_ended_at, response.stages.turn_over_at

    def released(self, now: float) -> None:
        """Note that the user let the key go."""
        self._ended_at, self._released = now, True

    def sent(self, event: events.ClientEvent, now: float) -> None:
        """Note that an event was sent: an answer may be asked for."""
        if isinstance(event, events.ResponseCreate) and event.response:
            metadata = event.response.metadata or {}
            if METADATA_KEY in metadata:
                self._asked[metadata[METADATA_KEY]] = now
                while len(self._asked) > _MOST_ASKED:
                    del self._asked[next(iter(self._asked))]

    def begin(self, response: "Response", now: float) -> None:
        """Hand what is known to a response of the conversation that was just created."""
        response.stages.asked_at = self._asked.pop(response.metadata.get(METADATA_KEY, ""), None)
        if self._ended_at is not None and now - self._ended_at < _STALE:
            response.speech_ended_at, response.stages.turn_over_at = self._ended_at, self._over_at
        self._ended_at = self._over_at = None

    def note_audio(self, response: "Response", now: float) -> None:
        """Note that sound of a response arrived; the first counts."""
        if response.stages.audio_at is None:
            response.stages.audio_at = now
            response.stages.round_trip = self.round_trip()
