"""Chooses the voice and the recogniser of a server: what its maker gave, else the best that is installed.

What the best is, is in `speech`; the fillings themselves are in `babble`, `espeak` and `recogniser`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import attrs
import trio

from realtime_trio.nursery import plain
from realtime_trio.server.babble import babble_source
from realtime_trio.server.seams import Recogniser, Source, Voice
from realtime_trio.server.speech import default_recogniser, default_voice

_T = TypeVar("_T")

__all__ = ["choose_fittings"]


async def choose_fittings(
    voice: Voice | Source[Voice] | None,
    recogniser: Recogniser | Source[Recogniser] | Literal["none"] | None,
    *,
    in_process: bool,
) -> tuple[Source[Voice], Source[Recogniser | None]]:
    """Choose both.

    Args:
        voice: The maker's; None for a default.
        recogniser: The maker's; `"none"` for none, None for a default.
        in_process: Whether the defaults may use no other process.

    Returns:
        A source of the voice, and one of the recogniser or of None.

    Cancellation:
        Safe.

    Tasks:
        Two for a moment: to try whether a default works takes a process of its own, and a while.
    """
    choice = _Choice(_given_voice(voice), _given_recogniser(recogniser))
    try:
        async with trio.open_nursery() as nursery:
            if not in_process:
                nursery.start_soon(choice.find_voice)
                nursery.start_soon(choice.find_recogniser)
    except BaseExceptionGroup as group:  # Ctrl-C, above all
        raise plain(group, "the search for voice and recogniser") from None
    return choice.voice or babble_source(), choice.recogniser or _nobody("")


@attrs.define
class _Choice:
    voice: Source[Voice] | None
    recogniser: Source[Recogniser | None] | None

    async def find_voice(self) -> None:
        self.voice = self.voice or await trio.to_thread.run_sync(default_voice, abandon_on_cancel=True)

    async def find_recogniser(self) -> None:
        if self.recogniser is None:
            found = await trio.to_thread.run_sync(default_recogniser, abandon_on_cancel=True)
            advice = " (for one: pip install 'realtime_trio[offline]')"
            self.recogniser = _nobody(advice) if found is None else Source(found.description, found.open)


def _nobody(advice: str) -> Source[Recogniser | None]:
    return Source("no recogniser, so nobody understands speech" + advice, lambda: _lend(None))


def _given_voice(given: Voice | Source[Voice] | None) -> Source[Voice] | None:
    if given is None or isinstance(given, Source):
        return given
    return Source(f"voice: {type(given).__name__}", lambda: _lend(given))


def _given_recogniser(
    given: Recogniser | Source[Recogniser] | Literal["none"] | None,
) -> Source[Recogniser | None] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return _nobody("")
    if isinstance(given, Source):
        return Source(given.description, given.open)
    return Source(f"recogniser: {type(given).__name__}", lambda: _lend(given))


@asynccontextmanager
async def _lend(value: _T) -> AsyncGenerator[_T]:
    """Open what its maker owns."""
    yield value
