"""How finished does it sound? Scores what was said before a pause, by its words or, without them, by its melody.

A score is near 1 when the speaker seems to be done and near 0 when more is to come; `semantic` makes a waiting time of
it. English words only: a list of those that a sentence does not end with stands in `guesses`.
"""

import re

import numpy as np
import numpy.typing as npt

from realtime_trio.server import guesses
from realtime_trio.server.seams import SAMPLE_RATE, Transcript

__all__ = ["score", "score_melody", "score_words"]

_Sound = npt.NDArray[np.float64]

_RATE = 8_000
_HOP, _WINDOW = _RATE // 100, _RATE // 25  # 10 and 40 ms
_LOOKED_AT = 1.0  # seconds before the pause
_QUIET_DB = 25.0  # that far below the loudest frame nobody speaks
_GAP = 3  # frames of silence that do not end a stretch of voice
_DRAWN_OUT = 30  # frames of one unchanging sound: "uhhm"
_LEVEL_DB = 6.0
_FLAT, _FALLING, _RISING = 0.04, 0.9, 1.15  # of the pitch at the beginning of the stretch
_LAGS = slice(_RATE // 400, _RATE // 70)  # pitches from 70 to 400 Hz
_VOICED = 0.4


def score(transcript: Transcript | None, pcm: bytes) -> float:
    """Score what was said before a pause.

    Args:
        transcript: What a recogniser made of it; None when there is none.
        pcm: The sound (mono PCM16 at 24 kHz), up to the pause.

    Returns:
        0 to 1: how finished it is.
    """
    if transcript is None or not transcript.text.strip():
        return score_melody(pcm)
    words = score_words(transcript.text)
    if words is not None:
        return words
    if transcript.certain:
        return guesses.SEMANTIC_SCORES["sentence"]
    return (guesses.SEMANTIC_SCORES["words"] + score_melody(pcm)) / 2


def score_words(text: str) -> float | None:
    """Score words by how they end; None when that says nothing: the last one may end a sentence or not."""
    text = text.strip().lower()
    if text.endswith(("...", "…", ",", "-", "–", "—", ":")):  # noqa: RUF001 - dashes that recognisers write
        return guesses.SEMANTIC_SCORES["unfinished"]
    if text.endswith((".", "!", "?")):
        return guesses.SEMANTIC_SCORES["sentence"]
    words = re.findall(r"[\w']+", text)
    if not words:
        return None
    if words[-1] in guesses.SEMANTIC_UNFINISHED_WORDS or re.fullmatch(r"u+h*m+|u+h+|e+r+m*|h+m+|m+", words[-1]):
        return guesses.SEMANTIC_SCORES["unfinished"]
    return None


def score_melody(pcm: bytes) -> float:
    """Score a sound by its end: a voice that falls, or asks, is done; one that stays where it is goes on."""
    scores = guesses.SEMANTIC_SCORES
    sound = np.frombuffer(pcm[-round(_LOOKED_AT * SAMPLE_RATE) * 2 :], "<i2").astype(np.float64)
    sound = sound[: len(sound) // 3 * 3].reshape(-1, 3).mean(axis=1)
    if len(sound) < _WINDOW:
        return scores["unheard"]
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    levels: _Sound = 10 * np.log10((frames**2).mean(axis=1) + 1e-3)
    stretch = _last_stretch(levels > levels.max() - _QUIET_DB)
    levels, pitches = levels[stretch], _pitches(frames[stretch])
    third = max(1, len(pitches) // 3)
    first, last = pitches[:third], pitches[-third:]
    if not (first > 0).any() or not (last > 0).any():
        return scores["unheard"]
    ratio = float(np.median(last[last > 0]) / np.median(first[first > 0]))
    steady = abs(float(levels[:third].mean() - levels[-third:].mean())) < _LEVEL_DB
    if len(pitches) >= _DRAWN_OUT and steady and abs(ratio - 1) < _FLAT:
        return scores["drawn_out"]
    return scores["melody"] if ratio < _FALLING or ratio > _RISING else scores["unheard"]


def _last_stretch(loud: npt.NDArray[np.bool_]) -> slice:
    """Find the last stretch of voice; short gaps belong to it."""
    places = np.flatnonzero(loud)
    breaks = np.flatnonzero(np.diff(places) > _GAP)
    start = places[breaks[-1] + 1] if len(breaks) else places[0]
    return slice(int(start), int(places[-1]) + 1)


def _pitches(frames: _Sound) -> _Sound:
    """Find the pitch of each frame in Hz; 0 where there is none."""
    spectrum = np.fft.rfft(frames * np.hanning(_WINDOW), 2 * _WINDOW)
    correlation: _Sound = np.fft.irfft(np.abs(spectrum) ** 2)[:, :_WINDOW]
    likeness = correlation[:, _LAGS] / np.maximum(correlation[:, :1], 1e-9)
    lags = likeness.argmax(axis=1) + _LAGS.start
    pitches: _Sound = np.where(likeness.max(axis=1) > _VOICED, _RATE / lags, 0.0)
    return pitches
