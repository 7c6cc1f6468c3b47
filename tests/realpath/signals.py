"""Sounds that tests know sample by sample, and where in a recording they are found."""

import sys
import wave
from pathlib import Path

import numpy as np

RATE = 24_000
SOUND = 100  # samples above this are sound: digital silence and a resampler's ringing are below
FADE = RATE // 100  # what a cut fades
_LOUDNESS = 3000  # root mean square of made sounds: -21 dBFS
_GAP = RATE * 3 // 1000  # silence that is longer may be a busy machine's
_WINDOW = RATE // 25  # what is looked for to tell a place: short, so that it falls between two gaps
_WINDOWS = 80  # where it is looked for, going back from the end
_STEP = RATE // 200


def noise(seconds: float, *, seed: int) -> np.ndarray:
    """Make noise without a pause, in which every millisecond is unlike every other: its place can always be told.

    Its band ends at 4 kHz: resampling changes nothing of it, and half a sample of delay hardly anything.
    """
    length = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(length))
    spectrum[np.fft.rfftfreq(length, 1 / RATE) > 4_000] = 0
    sound = np.fft.irfft(spectrum, length)
    return np.rint(sound * _LOUDNESS / np.sqrt(np.mean(sound**2))).clip(-32768, 32767).astype("<i2")


def write_wav(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def level_dbfs(samples: np.ndarray) -> float:
    """Measure root mean square relative to full scale; digital silence is -100."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(samples / 32768))), 1e-5)))


def sounding(samples: np.ndarray) -> np.ndarray:
    """Tell of each sample whether it is one of sound."""
    return np.abs(samples.astype(np.int32)) > SOUND


def sound_begins(samples: np.ndarray) -> int:
    """Find the first sample that sounds."""
    return int(np.flatnonzero(sounding(samples))[0])


def sound_ends(samples: np.ndarray) -> int:
    """Find the sample after the last that sounds; 0 in silence."""
    places = np.flatnonzero(sounding(samples))
    return int(places[-1]) + 1 if len(places) else 0


def find(piece: np.ndarray, whole: np.ndarray) -> tuple[int, float]:
    """Find a piece of sound in a longer one, by correlation.

    Returns:
        Where it begins, and how much alike the two are there (1 is the same, but for loudness).
    """
    pattern = piece.astype(float) - np.mean(piece)
    sound = whole.astype(float)
    size = 1 << (len(sound) + len(pattern) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(pattern, size)), size)
    product = product[: len(sound) - len(pattern) + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound))])
    energy = energy[len(pattern) :] - energy[: -len(pattern)]
    alike = product / np.sqrt(np.maximum(energy, 1.0) * max(np.sum(np.square(pattern)), 1.0))
    at = int(np.argmax(alike))
    return at, float(alike[at])


def came_out(recorded: np.ndarray, said: np.ndarray, *, sure: float = 0.93) -> tuple[int, float]:
    """Find how much of a sound came out before it was cut.

    Silence counts for nothing on either side: a machine that is too busy for its sound plays some in between, which
    moves all that comes later but takes nothing away.

    Args:
        recorded: The recording, to its end.
        said: The sound.
        sure: How much alike they have to be somewhere. Half a sample of delay takes 0.06 from noise, and nothing from a
            voice; but a voice is like itself in other places.

    Returns:
        How many samples of it, the fade at the cut included; and how much alike the two are just before that.
    """
    heard, _ = without_gaps(recorded)
    whole, places = without_gaps(said)
    best = (0, 0.0)
    for end in range(len(heard) - FADE, _WINDOW, -_STEP)[:_WINDOWS]:
        at, alike = find(heard[end - _WINDOW : end], whole)
        if alike > best[1]:
            last = min(at + _WINDOW + len(heard) - end, len(places)) - 1
            best = (int(places[last]) + 1, alike)
        if alike > sure:
            break
    return best


def without_gaps(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out what is silent for longer than a gap; give what is left, and the place of each sample of it."""
    stays = np.zeros(len(samples), dtype=bool)
    sound = np.flatnonzero(sounding(samples))
    gaps = np.flatnonzero(np.diff(sound) > _GAP)
    for begin, end in zip([sound[0], *sound[gaps + 1]], [*sound[gaps], sound[-1]], strict=True):
        stays[begin : end + 1] = True
    places = np.flatnonzero(stays)
    return samples[places], places


def show(**measured: object) -> None:
    """Show what was measured to whoever runs the tests with `-s` or `-rP`."""
    sys.stdout.write(f"\n{measured}\n")
