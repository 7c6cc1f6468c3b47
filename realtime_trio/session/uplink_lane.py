"""The microphone's way to the server: blocks as appends, and an account of what a slow link made us give up."""

from collections.abc import Callable

import attrs

from realtime_trio import events
from realtime_trio.connection import Connection
from realtime_trio.core.capture import CaptureLedger
from realtime_trio.device import SAMPLE_RATE

from .notices import AudioDropped, Notice

__all__ = ["UplinkLane"]


@attrs.define(eq=False)
class UplinkLane:
    """The appends of one session.

    Attributes:
        connection: Who drops the oldest audio when too much waits.
        send: Hands a client event to the writer.
        ledger: Gives the ledger that maps what was sent to when it was captured.
        publish: Takes notices.
    """

    connection: Connection
    send: Callable[[events.ClientEvent], str]
    ledger: Callable[[], CaptureLedger]
    publish: Callable[[Notice], None]
    _dropped_appends: int = attrs.field(default=0, init=False)
    _dropped_samples: int = attrs.field(default=0, init=False)
    _told_ms: int = attrs.field(default=0, init=False)

    def append(self, audio: bytes) -> None:
        """Leave sound, in the session's input format, for the writer."""
        self.send(events.InputAudioBufferAppend(audio=audio))
        if self.connection.dropped_appends > self._dropped_appends:
            # the uplink is too slow: the oldest audio that waited was given up, and the server's timeline has it not
            link = self.connection.statistics()
            self._dropped_appends = link.dropped_appends
            missing = round(link.dropped_audio * SAMPLE_RATE) - self._dropped_samples
            self._dropped_samples += missing
            self.ledger().drop(missing, round(link.waiting_audio * SAMPLE_RATE))

    def report(self) -> None:
        """Say what was given up since it was said last."""
        dropped_ms = self._dropped_samples * 1000 // SAMPLE_RATE
        if dropped_ms > self._told_ms:
            self.publish(AudioDropped(dropped_ms - self._told_ms))
            self._told_ms = dropped_ms
