"""What would have reached the server, and whether that would have interrupted the assistant.

The judge is webrtcvad in mode 2: 8 of 12 frames of 20 ms (240 ms) are speech and louder than -50 dBFS.
"""

from collections.abc import Callable, Iterator

import attrs
import numpy as np
import soxr
import webrtcvad
from echo_rooms import BLOCK, RATE, Scene

from realtime_trio.audio import EchoCancellation, HalfDuplex
from realtime_trio.audio.echo_cancellers import Canceller
from realtime_trio.core.gate import LevelGate

PREROLL = 15  # blocks that are sent afterwards when the gate opens: 300 ms
VAD_RATE = 16_000
WINDOW, ENOUGH = 12, 8
QUIET_DBFS = -50.0
TAIL = 15  # blocks after a phrase in which noticing it still counts

Decision = tuple[bytes, bool]  # what may be sent of a block, and whether it may
Chain = Callable[[Scene], Iterator[Decision]]


def our_chain(make: Callable[[], EchoCancellation]) -> Chain:
    """The library's: canceller, then the level gate."""

    def decide(scene: Scene) -> Iterator[Decision]:
        echo, gate = make(), LevelGate()
        for captured, played in scene.blocks():
            clean = echo.process(captured, played)
            yield clean.pcm, gate.feed(clean.level_dbfs, clean.playing, 20)

    return decide


def canceller_alone(make: Callable[[], Canceller]) -> Chain:
    """A canceller, and nothing else."""

    def decide(scene: Scene) -> Iterator[Decision]:
        canceller = make()
        for captured, played in scene.blocks():
            yield canceller.cancel(captured, played), True

    return decide


def nothing(scene: Scene) -> Iterator[Decision]:
    """The microphone as it is."""
    for captured, _ in scene.blocks():
        yield captured, True


def half_duplex(scene: Scene) -> Iterator[Decision]:
    """Closed while something is played."""
    echo = HalfDuplex()
    for captured, played in scene.blocks():
        clean = echo.process(captured, played)
        yield clean.pcm, not clean.playing


def rms_gate(scene: Scene) -> Iterator[Decision]:
    """The idea of another library's demonstration: what is louder than 0.6 of what is played must be the user."""
    for captured, played in scene.blocks():
        mic = np.std(np.frombuffer(captured, "<i2"))
        speaker = np.std(np.frombuffer(played, "<i2"))
        yield captured, bool(mic > 0.6 * speaker)


def uplink(decisions: Iterator[Decision], preroll: int) -> tuple[np.ndarray, np.ndarray]:
    """Make what is sent: silence for what may not pass, and what came just before it when something may.

    Args:
        decisions: Of a chain, block by block.
        preroll: So many blocks of what was withheld are sent when something passes again.

    Returns:
        The sound, and for each of its blocks the number of the block in which it was sent.
    """
    silence = bytes(2 * BLOCK)
    sent: list[bytes] = []
    at: list[int] = []
    withheld: list[bytes] = []
    owed = 0
    for number, (pcm, passes) in enumerate(decisions):
        if passes:
            burst = [*withheld[max(len(withheld) - preroll, 0) :], pcm]
            owed += len(burst) - 1
            withheld.clear()
        else:
            withheld.append(pcm)
            burst = [silence]
            if owed:  # time that was sent twice is repaid with silence that is not sent
                owed -= 1
                burst = []
        sent += burst
        at += [number] * len(burst)
    return np.frombuffer(b"".join(sent), "<i2"), np.array(at)


def interruptions(sound: np.ndarray, at: np.ndarray, blocks: int) -> np.ndarray:
    """Tell for each block of time whether a turn would have been detected in it."""
    vad = webrtcvad.Vad(2)
    frames = soxr.resample(sound, RATE, VAD_RATE).astype("<i2")[: len(at) * 320].reshape(-1, 320)
    levels = 10 * np.log10(np.mean((frames / 32768) ** 2, axis=1) + 1e-12)
    speech = np.array(
        [
            level > QUIET_DBFS and vad.is_speech(frame.tobytes(), VAD_RATE)
            for frame, level in zip(frames, levels, strict=True)
        ]
    )
    counts = np.convolve(speech, np.ones(WINDOW, int))[: len(speech)]
    result = np.zeros(blocks, bool)
    result[at[: len(speech)][counts >= ENOUGH]] = True
    return result


@attrs.frozen
class Verdict:
    """How one chain fared in one scene."""

    stretches: int
    false: int  # stretches in which the assistant alone was interrupted
    phrases: int
    latencies_ms: tuple[float, ...]  # from the beginning of a phrase to its detection, of those that were noticed

    @property
    def missed(self) -> int:
        """Phrases that nobody noticed."""
        return self.phrases - len(self.latencies_ms)


def judge(scene: Scene, decisions: Iterator[Decision], preroll: int = PREROLL) -> Verdict:
    """Hold a chain's decisions against the truth."""
    fired = interruptions(*uplink(decisions, preroll), len(scene.captured) // BLOCK)
    latencies = []
    for start, end in scene.phrases:
        hits = np.flatnonzero(fired[start : end + TAIL])
        if len(hits):
            latencies.append((hits[0] + 1) * 20.0)
    false = sum(bool(fired[start:end].any()) for start, end in scene.stretches)
    return Verdict(len(scene.stretches), false, len(scene.phrases), tuple(latencies))
