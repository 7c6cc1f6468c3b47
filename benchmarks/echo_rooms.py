"""The rooms of the echo benchmark: twelve that were chosen to be hard in one way each, and others drawn by a seed.

A scene is what a device would have given: the sound of the microphone, block by block with what was played, and the
truth about who spoke when. Rooms are shoeboxes by image sources (pyroomacoustics) with a laptop's geometry: the
loudspeaker 28 cm from the microphone, the person 75 cm. What no simulation has: rattling cases, sound cards with
"enhancements", people who walk about.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import pyroomacoustics
import trio
from scipy.signal import fftconvolve

from realtime_trio.audio import read_wav
from realtime_trio.server.babble import babble_source
from realtime_trio.server.espeak import espeak_source, why_no_espeak

RATE = 24_000
BLOCK = RATE // 50
STRETCH_S = 5.0
NEAR_DBFS = -26.0  # of the user's active speech, in the microphone
FAR_DBFS = -22.0  # of the assistant's, as handed to the loudspeaker
PERSON = Path(__file__).parents[1] / "tests" / "data" / "toronto.wav"  # a human voice
# Not "alloy", "coral" and "marin": some of espeak-ng's variants sound a little different in every process, and the
# figures would, too.
FAR_VOICES, NEAR_VOICES = ("ballad", "verse", "cedar"), ("ash", "echo", "sage", "shimmer")

ASSISTANT = (
    "Here is what I found about the harbour and its history, from the first settlers to the present day.",
    "The weather tomorrow will be mild, with some clouds in the morning and a light wind from the west.",
    "To make the soup, cut two onions and a carrot, and let them simmer for twenty minutes in butter.",
    "Your next meeting is at a quarter past three in the small room on the second floor.",
    "There are several ways to answer that question, and none of them is short, so let me begin with the oldest one.",
    "The train leaves from platform nine every half hour, and the journey takes about fifty minutes.",
    "In the year eighteen sixty nine the canal was opened, and ships no longer had to sail around the cape.",
    "Whales are mammals: they breathe air, feed their young with milk, and some of them sing for hours.",
    "I have set the alarm for seven, and turned off the lights in the kitchen and the hall.",
    "Once upon a time a miller had three sons, a mill, a donkey and a cat, and nothing else in the world.",
)
USER = (
    "Wait a moment, that is not what I meant.",
    "Stop, please, I have another question.",
    "No no, tell me about the second one.",
    "Excuse me, can you say that again?",
    "Hold on, how much does that cost?",
    "Thank you, that is enough for today.",
    "Sorry, I wanted to know the time.",
    "Actually, make it four o'clock instead.",
)


@attrs.frozen
class Room:
    """One room, and what is in it."""

    name: str
    rt60: float = 0.3
    speaker_m: float = 0.28
    talker_m: float = 0.75
    delay_ms: float = 120.0
    jump_ms: float = 0.0  # the delay changes by this in the middle of the last part
    drift_ppm: float = 0.0
    distortion_db: float | None = None  # of the loudspeaker: what is linear over what is not
    clip: Literal["soft", "hard"] = "soft"
    echo_db: float = 0.0  # over the user
    noise_db: float = -30.0  # over the user
    noise: Literal["pink", "babble"] = "pink"
    moved_m: float = 0.0  # the microphone moves by this in the middle of the last part
    far: Literal["speech", "person", "noise"] = "speech"
    near_dbfs: float = NEAR_DBFS
    silent: bool = False  # headphones
    held_out: bool = False


MAIN = (
    Room("delay 40 ms", delay_ms=40),
    Room("delay 120 ms"),
    Room("delay 250 ms", delay_ms=250),
    Room("delay jumps by 80 ms", delay_ms=40, jump_ms=80),
    Room("drift 50 ppm", drift_ppm=50),
    Room("speaker clips softly", distortion_db=21),
    Room("speaker clips hard", distortion_db=12, clip="hard"),
    Room("plays noise", far="noise"),
    Room("loud echo", echo_db=12, rt60=0.5),
    Room("microphone moves", moved_m=0.12),
    Room("plays a recording", far="person"),
    Room("all at once", far="person", distortion_db=12, drift_ppm=50, echo_db=12, rt60=0.5),
)
"""What may be tuned on."""

HEADPHONES = Room("headphones", silent=True)


def drawn(seed: int, count: int = 5) -> tuple[Room, ...]:
    """Draw rooms that nothing was tuned on: longer reverberation, distant loudspeakers, other people in the room."""
    random = np.random.default_rng(seed)
    return tuple(
        Room(
            f"held out {number + 1}",
            rt60=round(random.uniform(0.25, 0.7), 2),
            speaker_m=round(random.uniform(0.2, 1.6), 2),
            talker_m=round(random.uniform(0.5, 1.2), 2),
            delay_ms=float(random.integers(20, 300)),
            drift_ppm=float(random.choice([0, 20, 80])),
            distortion_db=[None, 21.0, 12.0][random.integers(3)],
            clip=("soft", "hard")[random.integers(2)],
            echo_db=round(random.uniform(-6, 12), 1),
            noise_db=round(random.uniform(-35, -15), 1),
            noise=("pink", "babble")[random.integers(2)],
            far=("speech", "person")[random.integers(2)],
            near_dbfs=round(random.uniform(-34, -22), 1),
            held_out=True,
        )
        for number in range(count)
    )


@attrs.frozen
class Lengths:
    """How long a scene is."""

    alone: int = 6  # stretches of the assistant alone, before and again after the turns
    phrases: int = 7  # said over the assistant


@attrs.frozen
class Scene:
    """What a device gave, and the truth about it. Times are in blocks of 20 ms."""

    room: Room
    captured: np.ndarray
    played: np.ndarray
    stretches: tuple[tuple[int, int], ...]  # the assistant speaks alone
    phrases: tuple[tuple[int, int], ...]  # the user speaks, over the assistant

    def blocks(self):
        """Yield the pairs that a device would have given."""
        captured, played = self.captured.tobytes(), self.played.tobytes()
        for start in range(0, len(captured), 2 * BLOCK):
            yield captured[start : start + 2 * BLOCK], played[start : start + 2 * BLOCK]


@attrs.frozen
class Speech:
    """Everything that is said in the benchmark, by several voices, as samples between -1 and 1."""

    assistant: dict[str, tuple[np.ndarray, ...]]
    user: dict[str, tuple[np.ndarray, ...]]
    person: np.ndarray
    voice: str


def _trimmed(pcm: bytes) -> np.ndarray:
    samples = np.frombuffer(pcm, "<i2") / 32768
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def speech() -> Speech:
    """Render all that is said: espeak-ng if [offline] is installed, else the babble voice."""

    async def render():
        source = babble_source() if why_no_espeak() else espeak_source()
        async with source.open() as voice:

            async def says(name, texts):
                return tuple([_trimmed((await voice.speak(text, voice=name)).pcm) for text in texts])

            return Speech(
                {name: await says(name, ASSISTANT) for name in FAR_VOICES},
                {name: await says(name, USER) for name in NEAR_VOICES},
                _trimmed(read_wav(PERSON)),
                source.description.partition(",")[0],
            )

    return trio.run(render)


def active_power(samples: np.ndarray) -> float:
    """Measure the power of speech without its pauses."""
    frames = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = np.mean(frames**2, axis=1)
    return float(power[power > power.max() / 1000].mean()) if len(power) and power.max() else 0.0


def at_level(samples: np.ndarray, dbfs: float) -> np.ndarray:
    power = active_power(samples)
    return samples * math.sqrt(10 ** (dbfs / 10) / power) if power else samples


def _responses(room: Room, speech: Speech, ranges: Sequence[tuple[float, float]], length: int, random) -> np.ndarray:
    """Let the assistant speak through each range of seconds, with a breath between sentences."""
    far = np.zeros(length)
    voice = speech.assistant[FAR_VOICES[random.integers(len(FAR_VOICES))]]
    for begin, end in ranges:
        at, stop = int(begin * RATE), int(end * RATE)
        while at < stop:
            sentence = speech.person if room.far == "person" else voice[random.integers(len(voice))]
            piece = sentence[: stop - at]
            far[at : at + len(piece)] = piece
            at += len(piece) + int(random.uniform(0.15, 0.5) * RATE)
    if room.far == "noise":
        envelope = np.sqrt(fftconvolve(far**2, np.ones(BLOCK) / BLOCK, "same").clip(0))
        spectrum = np.abs(np.fft.rfft(far))
        noise = np.fft.irfft(np.fft.rfft(random.standard_normal(length)) * spectrum, length)
        far = envelope * noise / np.std(noise)
    return at_level(far, FAR_DBFS)


def _turns(room: Room, speech: Speech, starts: Sequence[float], length: int, random):
    """Let the user say something at each of these seconds. Every third is the recorded person."""
    near = np.zeros(length)
    spans = []
    voice = speech.user[NEAR_VOICES[random.integers(len(NEAR_VOICES))]]
    for number, start in enumerate(starts):
        phrase = voice[random.integers(len(voice))]
        if number % 3 == 1 and room.far != "person":
            phrase = speech.person[: int(3.5 * RATE)]
        phrase = at_level(phrase, room.near_dbfs)
        at = int(start * RATE)
        near[at : at + len(phrase)] = phrase
        spans.append((at, at + len(phrase)))
    return near, spans


def _distorted(far: np.ndarray, room: Room) -> np.ndarray:
    """Overdrive a loudspeaker until its distortion is as strong as the room says."""
    if room.distortion_db is None:
        return far

    def driven(samples, gain):
        return np.tanh(gain * samples) / gain if room.clip == "soft" else samples.clip(-1 / gain, 1 / gain)

    some = far[:: len(far) // 200_000 + 1]  # enough to tell
    low, high = 0.01, 1000.0
    for _ in range(30):
        gain = math.sqrt(low * high)
        out = driven(some, gain)
        linear = some * (np.dot(out, some) / np.dot(some, some))
        ratio = 10 * math.log10(np.mean(linear**2) / (np.mean((out - linear) ** 2) + 1e-20))
        low, high = (gain, high) if ratio > room.distortion_db else (low, gain)
    return driven(far, low)


def _impulse_responses(room: Room, random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the way from the loudspeaker, from it after the microphone has moved, and from the person."""
    size = [random.uniform(3.5, 6), random.uniform(4, 6.5), 2.6]
    absorption, order = pyroomacoustics.inverse_sabine(room.rt60, size)
    shoebox = pyroomacoustics.ShoeBox(
        size, fs=RATE, materials=pyroomacoustics.Material(absorption), max_order=min(order, 60), air_absorption=True
    )
    mic = np.array([size[0] * 0.45, 1.1, 0.9])
    shoebox.add_source(mic + np.array([0, room.speaker_m, 0.1 * room.speaker_m]))
    shoebox.add_source(mic + np.array([0.3 * room.talker_m, 0.9 * room.talker_m, 0.3]))
    shoebox.add_microphone(np.array([mic, mic + np.array([room.moved_m, 0, 0])]).T)
    shoebox.compute_rir()
    return shoebox.rir[0][0], shoebox.rir[1][0], shoebox.rir[0][1]


def _delayed(samples: np.ndarray, ms: float) -> np.ndarray:
    shift = int(ms * RATE / 1000)
    return np.concatenate([np.zeros(shift), samples[: len(samples) - shift]])


def _noise(room: Room, speech: Speech, length: int, random) -> np.ndarray:
    if room.noise == "babble":
        crowd = np.zeros(length)
        for _ in range(8):
            voice = speech.assistant[FAR_VOICES[random.integers(len(FAR_VOICES))]]
            talk = np.concatenate([voice[n] for n in random.permutation(len(voice))])
            crowd += np.roll(np.resize(talk, length), random.integers(length))
        return crowd
    spectrum = np.fft.rfft(random.standard_normal(length))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(length, 1 / RATE), 20)), length)


def scene(room: Room, speech: Speech, seed: int, lengths: Lengths) -> Scene:
    """Play one scene: the assistant alone, a turn, interruptions, a turn, the assistant alone while things change."""
    random = np.random.default_rng([seed, *room.name.encode()])
    alone, over = lengths.alone * STRETCH_S, lengths.phrases * 6.0
    first = (0.5, 0.5 + alone)
    second = (first[1] + 7.0, first[1] + 7.0 + over)
    third = (second[1] + 7.0, second[1] + 7.0 + alone)
    length = int((third[1] + 1.0) * RATE) // BLOCK * BLOCK

    far = _responses(room, speech, (first, second, third), length, random)
    interruptions = [second[0] + 1.2 + 6 * n + random.uniform(0, 1) for n in range(lengths.phrases)]
    near, spans = _turns(room, speech, [first[1] + 1.5, *interruptions, second[1] + 1.5], length, random)

    event = int((third[0] + alone / 2) * RATE)
    before, after, way = _impulse_responses(room, random)
    driven = _distorted(far, room)
    echo = _delayed(fftconvolve(driven, before)[:length], room.delay_ms)
    changed = _delayed(fftconvolve(driven, after)[:length], room.delay_ms + room.jump_ms)
    echo[event:] = changed[event:]
    if room.drift_ppm:
        at = np.arange(length)
        echo = np.interp(at * (1 + room.drift_ppm * 1e-6), at, echo)
    echo = at_level(echo, room.near_dbfs + room.echo_db) * (not room.silent)
    # every phrase as loud as the room says where it is heard, whatever the way did to it
    direct = fftconvolve(near, way)[:length]
    direct = at_level(direct, room.near_dbfs)
    onset = int(np.argmax(np.abs(way) > 0.3 * np.abs(way).max()))
    noise = _noise(room, speech, length, random)
    noise *= math.sqrt(10 ** ((room.near_dbfs + room.noise_db) / 10) / np.mean(noise**2))
    captured = ((direct + echo + noise) * 32768).round().clip(-32768, 32767).astype("<i2")

    stretches = [
        (int((begin + STRETCH_S * n) * 50), int((begin + STRETCH_S * (n + 1)) * 50))
        for begin, _ in (first, third)
        for n in range(lengths.alone)
    ]
    phrases = tuple(((start + onset) // BLOCK, (end + onset) // BLOCK) for start, end in spans[1:-1])
    return Scene(room, captured, (far * 32768).round().clip(-32768, 32767).astype("<i2"), tuple(stretches), phrases)
