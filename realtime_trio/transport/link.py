"""A byte stream that watches itself: whether sending gets on, whether anybody listens, whether a frame was torn.

What the bytes mean is the WebSocket's business.
"""

import logging
from typing import Final

import trio

__all__ = ["Link"]

_log = logging.getLogger("realtime_trio.transport")

# Sends go out in pieces of this size, and each has the whole send_timeout: large enough to cost nothing, small enough
# that a link of 4 KiB/s, which is far too slow for talking, still counts as progress.
_PIECE: Final = 16 * 1024
_STOOD_STILL: Final = 1.0  # seconds that a timer is late by, which no busy loop is
# An answer to the handshake that is not 101 is read for its words, but not for ever.
_MOST_HANDSHAKE_BYTES: Final = 256 * 1024


class Link(trio.abc.Stream):
    """A stream with a stopwatch on either direction. `watch_sending` has to run as a task beside whoever sends.

    Args:
        stream: The stream below. Closing it has to wake who sends, as Trio asks of every stream.
        send_timeout: Seconds without progress in sending after which the link is given up as "stalled".
    """

    def __init__(self, stream: trio.abc.Stream, send_timeout: float) -> None:
        self._stream = stream
        self._send_timeout = send_timeout
        self._sending_since: float | None = None
        self._listening_since: float | None = None
        self._kept: bytearray | None = bytearray()
        self._turn = trio.Lock()
        self.verdict: str | None = None
        """Why this side gave the link up: "stalled" or "keepalive"."""
        self.torn = False
        """A send was broken off: part of a frame may be out, and nothing can be said after it."""

    @property
    def handshake_bytes(self) -> bytes:
        """What arrived so far, up to `end_handshake`: in case it is not a WebSocket's answer."""
        return bytes(self._kept or b"")

    def end_handshake(self) -> None:
        """From here on what arrives is messages: nothing is kept."""
        self._kept = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, in pieces that each have the whole `send_timeout`; one caller after the other.

        Raises:
            trio.BrokenResourceError: The link is gone, or was given up as stalled.

        Cancellation:
            Leaves part of the data sent, and `torn` set; while another sends, safe.
        """
        try:
            self._turn.acquire_nowait()  # nearly always free, and `acquire` would let every other task run first
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            for start in range(0, len(data), _PIECE):
                self._sending_since = trio.current_time()
                await self._stream.send_all(data if len(data) <= _PIECE else memoryview(data)[start : start + _PIECE])
        except trio.ClosedResourceError:
            self.torn = True
            if self.verdict is None:
                raise
        except BaseException:
            self.torn = True
            raise
        else:
            return
        finally:
            self._sending_since = None
            self._turn.release()
        raise trio.BrokenResourceError(self.verdict)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might get on.

        Cancellation:
            Safe.
        """
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Wait for bytes; empty means that the peer hung up.

        Cancellation:
            As the stream below: safe for sockets and memory streams.
        """
        self._listening_since = trio.current_time()
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            self._listening_since = None
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > _MOST_HANDSHAKE_BYTES:
                return b""
        return data

    async def aclose(self) -> None:
        """Close the stream below.

        Cancellation:
            The stream is closed all the same.
        """
        try:
            await self._stream.aclose()
        except trio.Cancelled as cancelled:
            # A stream of two halves goes on to the second after a Ctrl-C in the first: that it is cancelled there
            # would be all that is left.
            if isinstance(cancelled.__context__, KeyboardInterrupt):
                raise cancelled.__context__ from None  # noqa: ASYNC104 of more weight
            raise

    async def give_up(self, verdict: str) -> None:
        """Close the link because it is dead; the first verdict stands.

        Cancellation:
            The stream is closed all the same.
        """
        if self.verdict is None:
            _log.warning("the link is given up: %s", verdict)
        self.verdict = self.verdict or verdict
        await trio.aclose_forcefully(self._stream)

    async def watch_sending(self) -> None:
        """Give the link up as stalled when a send makes no progress for `send_timeout`; return then.

        One clock for all sends, since a cancel scope for each would cost as much as encoding what is sent.

        Cancellation:
            Safe.
        """
        start = trio.current_time()
        while True:
            now = trio.current_time()
            begin = now if self._sending_since is None else max(start, self._sending_since)
            if now >= begin + self._send_timeout:  # as it is reckoned below: a difference may be rounded to less
                break
            if await _stood_still_until(begin + self._send_timeout):
                start = trio.current_time()
        self.torn = True
        await self.give_up("stalled")

    async def silent_for(self, seconds: float) -> None:
        """Return when, from now on, somebody has listened for that long at a stretch and nothing came.

        While nobody listens, silence means nothing, and the stopwatch stands at zero.

        Cancellation:
            Safe.
        """
        start = trio.current_time()
        while True:
            now = trio.current_time()
            begin = now if self._listening_since is None else max(start, self._listening_since)
            if now >= begin + seconds:
                return
            if await _stood_still_until(begin + seconds):
                start = trio.current_time()


async def _stood_still_until(due: float) -> bool:
    """Sleep; tell whether the whole process stood still meanwhile (Ctrl-Z, a laptop's sleep).

    Then it is not the link that made no progress, and its time begins anew.
    """
    await trio.sleep_until(due)
    return trio.current_time() - due > _STOOD_STILL
