"""A recorded session as one HTML page to look at and to listen to; nothing is loaded from anywhere else.

What the page shows and does is in `page.html`; here it gets its data. Sound goes along as mu-law, a byte a sample,
which the page expands itself: half as long as PCM, and every browser can play it.
"""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from realtime_trio.audio.g711 import law
from realtime_trio.recording import RecordedSession

from .story import RATE, Part, Story, Turn
from .telling import tell
from .timeline import latency_of, summary, timeline, words_of_hearing, words_of_latency, words_of_tool
from .tracks import Samples, generated_sound, make_tracks

__all__ = ["render"]

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_PIECE: Final = 3 * 2**20  # bytes at a time; a multiple of 3, so that base64 can be put together


def render(session: RecordedSession) -> Iterator[str]:
    """Make the page.

    Args:
        session: The recording.

    Yields:
        Its text, piece by piece: it is as long as four thirds of the sound.

    Raises:
        OSError: The recording cannot be read.
    """
    story = tell(session)
    tracks = make_tracks(session, story)
    cut = [part for part in story.parts if part.cut is not None and part.cut < part.samples]
    data = _data(session, story, cut, heard=tracks.heard)
    head, marker, tail = _TEMPLATE.read_text(encoding="utf-8").partition("<!-- data -->")
    assert marker  # noqa: S101  our own file has it
    yield head
    yield f'<script type="application/json" id="data">{_for_html(data)}</script>\n'
    sounds = {"user": tracks.user, "assistant": tracks.assistant}
    sounds |= {f"clip-{number}": generated_sound(session, story, part) for number, part in enumerate(cut)}
    for name, samples in sounds.items():
        yield f'<script type="text/plain" id="sound-{name}">'
        yield from _encoded(samples)
        yield "</script>\n"
    yield tail


def _data(session: RecordedSession, story: Story, cut: list[Part], *, heard: bool) -> dict[str, Any]:
    return {
        "title": session.path.name,
        "rate": RATE,
        "length": story.length,
        "heard": heard,
        "summary": list(summary(story)),
        "turns": [_turn(story, turn, cut) for turn in story.turns],
        "tools": [
            {
                "at": run.started_at or run.at,
                "until": run.finished_at or run.started_at or run.at,
                "words": words_of_tool(run),
                "wrong": bool(run.problem),
            }
            for run in story.tools
        ],
        "cuts": [_cut(story, part, number) for number, part in enumerate(cut)],
        "moments": [{"at": one.at, "who": one.who, "words": one.words, "wrong": one.wrong} for one in timeline(story)],
    }


def _turn(story: Story, turn: Turn, cut: list[Part]) -> dict[str, Any]:
    parts = story.parts_of(turn.id) if turn.who == "assistant" else []
    clips = [number for number, part in enumerate(cut) if part.response_id == turn.id]
    return {
        "who": turn.who,
        "at": turn.at,
        "until": turn.at if turn.until is None else turn.until,
        "text": turn.text,
        "latency": latency_of(turn),
        "latency_words": words_of_latency(turn),
        "hearing": words_of_hearing(parts) if any(part.played for part in parts) else "",
        "status": turn.status,
        "interrupted": turn.interrupted,
        "clip": clips[0] if clips else None,
    }


def _cut(story: Story, part: Part, number: int) -> dict[str, Any]:
    """Where the sound was cut, and what would have followed, had nothing else been said."""
    at = part.played[-1].until if part.played else part.first_at
    later = [one.begins for other in story.parts for one in other.played if other is not part and one.begins >= at]
    until = at + (part.samples - (part.cut or 0)) / RATE
    return {"at": at, "until": min([until, *later]), "clip": number, "sample": part.cut}


def _for_html(data: object) -> str:
    """JSON that ends no script element, whatever was said."""
    text = msgspec.json.encode(data).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _encoded(samples: Samples) -> Iterator[str]:
    compress = law("audio/pcmu").compress
    for start in range(0, len(samples), _PIECE):
        yield b64encode(compress(np.ascontiguousarray(samples[start : start + _PIECE]))).decode()
