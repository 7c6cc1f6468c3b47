"""Whether hardware still does what it should, judged by what its callbacks have counted. No clock is read here.

A stream may say that it has ended. It may also just not be called any more, deliver what is seconds old, be no real
device at all (ALSA's `null` runs a thousand times too fast), or fail in our own callback: that shows in nothing but the
counts. Each judgement needs several looks in a row, so that a loop which was asleep between two of them draws no
conclusions from one.
"""

from .choosing import names_of
from .hardware import Hardware

__all__ = ["LOOK", "Watchdog"]

LOOK = 0.25
"""Seconds between two looks."""

_LOOKS = 2  # so many in a row without a call: it is not called any more; or with more failures than blocks
_BURST = 10.0  # seconds of sound beyond the time that went by, that only a device without a clock can give
_BEHIND = 0.25  # seconds by which the microphone may be later than it was at its best ...
_BEHIND_LOOKS = 4  # in fewer than so many looks in a row
_NONSENSE = 3600.0  # no system keeps an hour; a driver says it that does not know
_FIRST_CALL = 3.0  # seconds that a device may take until its first call; Bluetooth takes its time


class Watchdog:
    """Watches one opening of the hardware.

    Args:
        hardware: What was opened.
        block_seconds: Seconds that a block lasts.
        default: Whether the default devices were wanted, which may be others the next time.
        now: The time.
    """

    def __init__(self, hardware: Hardware, block_seconds: float, *, default: bool, now: float) -> None:
        self._hardware = hardware
        self._block_seconds = block_seconds
        self._default = default
        self._first_call = now + _FIRST_CALL
        self._looked_at = now
        self._passed = hardware.passed
        self._failures = 0
        self._failing = self._still = self._behind = 0

    def look(self, now: float) -> str | None:
        """Judge it, at most every `LOOK` seconds; at once when it has finished.

        Args:
            now: The time.

        Returns:
            Why it has to be given up, for people; None when it does not.
        """
        hardware = self._hardware
        if hardware.interrupted:
            return "PortAudio looks for devices that were plugged in; sound is back in a moment"
        if hardware.finished:
            return f"lost {self._names}: {self._hope}"
        elapsed, self._looked_at = now - self._looked_at, now
        before, self._passed = self._passed, hardware.passed
        done = [count - earlier for count, earlier in zip(self._passed, before, strict=True)]
        return self._fails(done) or self._stalled(done, now) or self._late() or self._too_fast(done, elapsed)

    def _fails(self, done: list[int]) -> str | None:
        before, self._failures = self._failures, self._hardware.failures
        self._failing = self._failing + 1 if self._failures - before > min(done) else 0
        if self._failing >= _LOOKS:
            failure = next(callback.failure for callback in self._hardware.callbacks if callback.failure)
            return f"sound of {self._names} fails in this library with {failure}; please report this. It is tried again"
        return None

    def _stalled(self, done: list[int], now: float) -> str | None:
        self._still = 0 if all(done) else self._still + 1
        if self._still >= _LOOKS and (all(self._passed) or now >= self._first_call):
            return f"no sound any more from {self._names}: {self._hope}"
        return None

    def _late(self) -> str | None:
        behind = self._hardware.input.behind
        self._behind = self._behind + 1 if _BEHIND < behind < _NONSENSE else 0
        if self._behind >= _BEHIND_LOOKS:
            return f"sound was {behind:.1f} s late, because something stood still: it begins anew"
        return None

    def _too_fast(self, done: list[int], elapsed: float) -> str | None:
        # a loop that was blocked finds as much as time has passed: PortAudio's thread was not blocked
        if max(done) * self._block_seconds > elapsed + _BURST:
            return f"sound came much too fast from {self._names}: it is no real device, choose another"
        return None

    @property
    def _names(self) -> str:
        return names_of(self._hardware.devices)

    @property
    def _hope(self) -> str:
        if self._default:
            return "it goes on with whatever the default device is by then"
        return "plug it in again, and it goes on"
