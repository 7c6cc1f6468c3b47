"""Picks the voice and the recogniser from what is installed, and says which; they stand in modules of their own."""

from realtime_trio.server.babble import babble_source
from realtime_trio.server.espeak import espeak_source, why_no_espeak
from realtime_trio.server.recogniser import sphinx_source, why_no_sphinx
from realtime_trio.server.seams import Recogniser, Source, Voice

__all__ = ["default_recogniser", "default_voice"]


def default_voice() -> Source[Voice]:
    """Choose espeak-ng where it works, else babble. The first call blocks for some 30 ms to try it."""
    return espeak_source() if why_no_espeak() is None else babble_source()


def default_recogniser() -> Source[Recogniser] | None:
    """Choose pocketsphinx where it works, else none. The first call blocks for about half a second to try it."""
    return sphinx_source() if why_no_sphinx() is None else None
