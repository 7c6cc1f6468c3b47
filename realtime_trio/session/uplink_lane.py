"""The user's sound on its way to the server: as appends, as what a new link would need, and what was given up of it."""

from collections.abc import Callable

import attrs

from realtime_trio import events
from realtime_trio.core.capture import CaptureLedger
from realtime_trio.core.kept_audio import KeptAudio
from realtime_trio.device import SAMPLE_RATE

from .inside import Inside
from .line import Line
from .notices import AudioDropped, Notice

__all__ = ["UplinkLane"]


@attrs.define(eq=False, repr=False)
class UplinkLane(Inside):
    """The appends of one session.

    Attributes:
        line: Who drops the oldest audio when too much waits.
        kept: What a new link would be sent.
        send: Hands a client event to the writer.
        ledger: Gives the ledger that maps what was sent to when it was captured.
        publish: Takes notices.
    """

    line: Line
    kept: KeptAudio
    send: Callable[[events.ClientEvent], str]
    ledger: Callable[[], CaptureLedger]
    publish: Callable[[Notice], None]
    _dropped_appends: int = attrs.field(default=0, init=False)
    _dropped_samples: int = attrs.field(default=0, init=False)
    _told_ms: int = attrs.field(default=0, init=False)

    def append(self, audio: bytes, samples: int, captured_at: float) -> None:
        """Leave sound, in the session's input format, for the writer."""
        self.kept.append(audio, samples, captured_at)
        self.send(events.InputAudioBufferAppend(audio=audio))
        if self.line.dropped_appends > self._dropped_appends:
            # the uplink is too slow: the oldest audio that waited was given up, and the server's timeline has it not
            link = self.line.statistics()
            self._dropped_appends = link.dropped_appends
            missing = round(link.dropped_audio * SAMPLE_RATE) - self._dropped_samples
            self._dropped_samples += missing
            waiting = round(link.waiting_audio * SAMPLE_RATE)
            self.ledger().drop(missing, waiting)
            self.kept.give_up(missing, waiting)

    async def send_audio(self, audio: bytes, samples: int, captured_at: float) -> None:
        """Hand sound to the writer, and wait until it is taken.

        Cancellation:
            Safe: before it is taken, nothing is sent.
        """
        await self.line.send(events.InputAudioBufferAppend(audio=audio))
        self.kept.append(audio, samples, captured_at)
        self.ledger().append(samples, captured_at)

    def report(self) -> None:
        """Say what was given up since it was said last."""
        dropped_ms = self._dropped_samples * 1000 // SAMPLE_RATE
        if dropped_ms > self._told_ms:
            self.publish(AudioDropped(dropped_ms - self._told_ms))
            self._told_ms = dropped_ms
