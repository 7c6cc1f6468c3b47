"""Chooses the voice and the recogniser of a server: what its maker gave, else the best that is installed.

The fillings themselves are in `babble`, `espeak` and `recogniser`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import trio

from realtime_trio.server.babble import babble_source
from realtime_trio.server.espeak import espeak_source, why_no_espeak
from realtime_trio.server.seams import Recogniser, Source, Voice

_T = TypeVar("_T")

__all__ = ["choose_recogniser", "choose_voice"]


async def choose_voice(given: Voice | Source[Voice] | None, *, in_process: bool) -> Source[Voice]:
    """Choose a voice.

    Args:
        given: The maker's; None for a default.
        in_process: Whether the default may use no other process.

    Cancellation:
        Safe.
    """
    if isinstance(given, Source):
        return given
    if given is not None:
        return Source(f"voice: {type(given).__name__}", lambda: _lend(given))
    if in_process or await trio.to_thread.run_sync(why_no_espeak) is not None:
        return babble_source()
    return espeak_source()


def choose_recogniser(
    given: Recogniser | Source[Recogniser] | Literal["none"] | None, *, in_process: bool
) -> Source[Recogniser | None]:
    """Choose a recogniser, or none.

    Args:
        given: The maker's; `"none"` for none, None for a default.
        in_process: Whether the default may use no thread.
    """
    if isinstance(given, Source):
        return Source(given.description, given.open)
    if not isinstance(given, str) and given is not None:
        return Source(f"recogniser: {type(given).__name__}", lambda: _lend(given))
    if given == "none" or in_process:
        return Source("no recogniser: nobody understands speech", lambda: _lend(None))
    return Source("no recogniser: nobody understands speech", lambda: _lend(None))


@asynccontextmanager
async def _lend(value: _T) -> AsyncGenerator[_T]:
    """Open what its maker owns."""
    yield value
