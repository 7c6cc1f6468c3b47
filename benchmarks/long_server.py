"""The server of the long runs: it answers what `long_life.py` says, and hears one of its spoken questions at random.

`python benchmarks/long_server.py SEED` serves over a socket until its input ends, and prints its URL first. With each
line of the input it drops the link of a session.
"""

import random
import sys
from collections.abc import AsyncGenerator

import numpy as np
import trio

from realtime_trio import open_server
from realtime_trio.server import BrainRequest, HistoryItem, SpeechStarted, SpeechStopped, Transcript, Utterance
from realtime_trio.server.babble import babble_source
from realtime_trio.server.brain import RulesBrain

LOUD = 1000  # of 32767
SPOKEN = (
    "what is twelve times three",
    "count to five",
    "what is the weather in Paris",
    "what can you do",
    'please call bake {"seconds": 9} and call look_up {"word": "bread"}',
    "count to ten",
)


class Hearing:
    """A recogniser that understands a question of its own choice: the sound is no speech."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    async def recognise(self, _pcm: bytes) -> Transcript:
        await trio.lowlevel.checkpoint()
        return Transcript(self._random.choice(SPOKEN))


class Loudness:
    """A turn detector that takes a block of sound for speech or for silence as a whole: it costs next to nothing."""

    def __init__(self) -> None:
        self.position = 0
        self.speaking = False
        self._least = 0  # no turn begins before it
        self._loud_until = 0
        self._padding, self._silence = 300, 500

    def configure(self, *, threshold: float, prefix_padding_ms: int, silence_duration_ms: int) -> None:  # noqa: ARG002
        self._padding, self._silence = prefix_padding_ms, silence_duration_ms

    def feed(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        samples = np.frombuffer(pcm, "<i2")
        begin, self.position = self.position, self.position + len(samples)
        if len(samples) and max(int(samples.max()), -int(samples.min())) > LOUD:
            self._loud_until = self.position
            if not self.speaking:
                self.speaking = True
                return [SpeechStarted(max(self._least, begin - self._padding * 24))]
        elif self.speaking and self.position - self._loud_until >= self._silence * 24:
            self.speaking, self._least = False, self.position
            return [SpeechStopped(self.position)]
        return []

    def reset(self) -> None:
        self.speaking, self._least = False, self.position


class Witness:
    """The brain of rules, which also remembers what the conversation was when it was asked last."""

    def __init__(self) -> None:
        self._brain = RulesBrain()
        self.history: tuple[HistoryItem, ...] = ()

    def take(self) -> tuple[HistoryItem, ...]:
        """Give what the conversation was, once."""
        history, self.history = self.history, ()
        return history

    async def __call__(self, request: BrainRequest) -> AsyncGenerator[Utterance, None]:
        """Answer."""
        self.history = request.history
        async for piece in self._brain(request):
            yield piece


async def serve(seed: int) -> None:
    async with open_server(
        recogniser=Hearing(seed), voice=babble_source(), turn_detector=Loudness, max_sessions=64
    ) as server:
        print(server.url, flush=True)
        drawn = random.Random(seed)
        while await trio.to_thread.run_sync(sys.stdin.readline):
            if server.sessions:
                server.drop_sessions(drawn.choice(server.sessions))


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]))
