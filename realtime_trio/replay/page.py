"""A recorded session as one HTML page to look at and to listen to; nothing is loaded from anywhere else.

What the page shows and does is in `page.html`; here it gets its data. Sound goes along as mu-law, a byte a sample,
which the page expands itself: half as long as PCM, and every browser can play it.
"""

import math
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from realtime_trio.audio.g711 import law
from realtime_trio.errors import ConfigurationError
from realtime_trio.recording import RecordedSession

from .story import RATE, Part, Story, Turn
from .telling import tell
from .timeline import latency_of, summary, timeline, words_of_hearing, words_of_latency, words_of_tool
from .tracks import Samples, Window, generated_sound, make_tracks

__all__ = ["render"]

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_LONGEST: Final = 2 * 3600.0  # seconds: more makes a page that no browser opens
_PIECE: Final = 3 * 2**20  # bytes at a time; a multiple of 3, so that base64 can be put together


def render(session: RecordedSession, begin: float = 0.0, end: float = math.inf) -> Iterator[str]:
    """Make the page.

    Args:
        session: The recording.
        begin: From which of its seconds on.
        end: Up to which.

    Yields:
        Its text, piece by piece: it is as long as four thirds of the sound.

    Raises:
        ConfigurationError: There is nothing of it then, or it is too long for a page.
        OSError: The recording cannot be read.
    """
    story = tell(session)
    window = _window(story, begin, end)
    tracks = make_tracks(session, story, window)
    cut = [
        part
        for part in story.parts
        if part.cut is not None and part.cut < part.samples and window.overlaps(part.first_at, _end_of(part))
    ]
    data = _data(session, story, cut, window, heard=tracks.heard)
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


def _window(story: Story, begin: float, end: float) -> Window:
    window = Window(max(0.0, begin), min(end, story.length))
    if window.length <= 0 < story.length:
        raise ConfigurationError(
            f"there is nothing from {begin:g} to {end:g} s: the recording has {story.length:.1f} s"
        )
    if window.length > _LONGEST:
        raise ConfigurationError(
            f"{window.length / 3600:.1f} hours are too much for one page: choose some with --from and --to (seconds)"
        )
    return window


def _end_of(part: Part) -> float:
    return part.played[-1].until if part.played else part.first_at


def _data(session: RecordedSession, story: Story, cut: list[Part], window: Window, *, heard: bool) -> dict[str, Any]:
    """What the page shows; its times are those since the window's beginning."""
    turns = [turn for turn in story.turns if window.overlaps(turn.at, turn.until or turn.at)]
    tools = [run for run in story.tools if window.overlaps(run.at, run.finished_at or run.at)]
    whole = window.length >= story.length
    shown = [] if whole else [f"here: {window.begin:.1f} to {window.end:.1f} s of {story.length:.1f} s"]
    data: dict[str, Any] = {
        "title": session.path.name,
        "rate": RATE,
        "begins": window.begin,
        "length": window.length,
        "heard": heard,
        "summary": [*shown, *summary(story)],
        "turns": [_turn(story, turn, cut) for turn in turns],
        "tools": [
            {
                "at": run.started_at or run.at,
                "until": run.finished_at or run.started_at or run.at,
                "words": words_of_tool(run),
                "wrong": bool(run.problem),
            }
            for run in tools
        ],
        "cuts": [_cut(story, part, number) for number, part in enumerate(cut)],
        "moments": [
            {"at": one.at, "who": one.who, "words": one.words, "wrong": one.wrong}
            for one in timeline(story)
            if window.overlaps(one.at, one.at)
        ],
    }
    for shifted in (one for key in ("turns", "tools", "cuts", "moments") for one in data[key]):
        shifted |= {key: shifted[key] - window.begin for key in ("at", "until") if key in shifted}
    return data


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
