"""What came and went over a connection: counts for people and for logs. They are kept where they arise."""

import attrs

__all__ = ["ConnectionStatistics"]


@attrs.frozen(kw_only=True)
class ConnectionStatistics:
    """A connection at one moment. Times are seconds of audio, counts are since it was opened."""

    sent: int
    """Events that the writer took."""
    received: int
    """Events that `receive` returned."""
    waiting: int
    """Events that wait for the writer."""
    waiting_audio: float
    """Seconds of audio among them that `send_nowait` left."""
    dropped_appends: int
    """Appends that were given up because the link was too slow."""
    dropped_audio: float
    """Seconds of audio in them."""
    tasks_waiting_send: int
    """Tasks that wait in `send`."""
    age: float
    """Seconds since it was opened."""
    round_trip: float | None = None
    """Seconds that the link takes to the peer and back, the shortest of the last pings; None until the first pong
    came, and on a link that does not measure it."""
