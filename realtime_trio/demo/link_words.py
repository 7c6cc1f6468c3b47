"""What people are told of the connection: one plain line for a loss, one for the way back.

What happens to the lines of the talk meanwhile is in `follower.py`.
"""

from collections.abc import Iterator

from realtime_trio.session import Reconnected

__all__ = ["LOST", "back_words"]

LOST = "connection lost, trying again..."


def back_words(back: Reconnected) -> str:
    """Say that there is a connection again, and what became of the talk.

    Args:
        back: The session's notice.

    Returns:
        One line.
    """
    began = "connection renewed" if back.reason == "age" else f"back after {back.gap_ms / 1000:.1f} s"
    return f"{began}: {', '.join(_details(back))}"


def _details(back: Reconnected) -> Iterator[str]:
    yield f"{_count(back.restored, 'item')} restored"
    if back.left_out:
        yield f"{len(back.left_out)} left out"
    if back.asked_again:
        yield "the answer is asked for again" if len(back.asked_again) == 1 else "the answers are asked for again"
    if back.cut_off:
        yield "what was being said ends there"
    if back.dropped_audio_ms:
        yield f"{back.dropped_audio_ms / 1000:.1f} s of your speech lost"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
