"""Hands what a brain says to the protocol at the pace of the wire: words, chunks of sound, each word with its sound.

When a response begins and ends is the business of `driver`.
"""

import re
from collections.abc import Awaitable, Callable

import trio

from realtime_trio.server.outbox import StartResponse
from realtime_trio.server.protocol import RealtimeProtocol
from realtime_trio.server.seams import SAMPLE_RATE, Failed, Incomplete, SpokenWord, ToolCall, Utterance, Voice

__all__ = ["CHUNK_MS", "Delivery"]

CHUNK_MS = 200
"""How much sound is in one audio delta."""

_CHUNK_BYTES = SAMPLE_RATE * CHUNK_MS // 1000 * 2
_WORDS_PER_SECOND = 12.5
"""The pace of text, which is then multiplied as that of sound is: 50 words per second at the default."""
_WORD = re.compile(r"\s*\S+\s*|\s+")


class Delivery:
    """The mouth of one response."""

    def __init__(
        self,
        protocol: RealtimeProtocol,
        start: StartResponse,
        *,
        voice: Voice,
        speed: float,
        flush: Callable[[], None],
        room: Callable[[], Awaitable[None]],
        news: Callable[[], Awaitable[None]],
        words_late: bool = False,
    ) -> None:
        """Prepare.

        Args:
            protocol: Takes the pieces.
            start: What the protocol asked for.
            voice: Makes speech.
            speed: How many times faster than real time.
            flush: Sends what the protocol made of a piece.
            room: Waits while too much is on its way to the client.
            news: Waits until something has happened in the session.
            words_late: Whether words go after the chunk of sound in which they begin, instead of before it.
        """
        self._protocol = protocol
        self._start = start
        self._voice = voice
        self._speed = speed
        self._flush = flush
        self._room = room
        self._news = news
        self._words_late = words_late
        self._due = trio.current_time()

    async def deliver(self, piece: Utterance) -> bool:
        """Hand over one piece, at its pace.

        Returns:
            False when the response is over and nothing more is wanted.

        Raises:
            TypeError: The brain gave something that is no utterance, or sound for a text response.

        Cancellation:
            Leaves the piece partly delivered.
        """
        await trio.lowlevel.checkpoint()  # also for a brain that gives empty texts for ever
        if isinstance(piece, ToolCall):
            return await self._call(piece)
        if isinstance(piece, (Failed, Incomplete)):
            self._protocol.response_ended(self._start.response_id, piece, trio.current_time())
            self._flush()
            return False
        if isinstance(piece, str):
            return await (self._speak(piece) if self._start.modality == "audio" else self._write(piece))
        if not isinstance(piece, bytes):
            raise TypeError(f"a brain gives str, bytes, ToolCall, Failed or Incomplete, not {type(piece).__name__}")
        if self._start.modality == "text":
            raise TypeError("this response is a text response; the brain gave sound for it")
        return await self._play(piece, ())

    async def _call(self, wanted: ToolCall) -> bool:
        """Make a call; one of an MCP server's tool takes until it is approved and over."""
        if not self._done(self._protocol.response_call(self._start.response_id, wanted, trio.current_time())):
            return False
        while self._protocol.calling(self._start.response_id):
            await self._news()
        return True

    async def _write(self, text: str) -> bool:
        for word in _WORD.findall(text):
            await self._pace(1 / _WORDS_PER_SECOND)
            if not self._done(self._protocol.response_text(self._start.response_id, word, trio.current_time())):
                return False
        return True

    async def _speak(self, text: str) -> bool:
        speech = await self._voice.speak(text, voice=self._start.voice, speed=self._start.speed)
        return await self._play(speech.pcm, speech.words)

    async def _play(self, pcm: bytes, words: tuple[SpokenWord, ...]) -> bool:
        """Send sound in chunks; each word goes before the chunk in which it begins, or after it."""
        told = 0
        for start in range(0, len(pcm) // 2 * 2, _CHUNK_BYTES):
            chunk = pcm[start : start + _CHUNK_BYTES]
            chunk = chunk[: len(chunk) // 2 * 2]
            await self._pace(len(chunk) / 2 / SAMPLE_RATE)
            sent = start // 2
            if self._words_late:
                if not self._sound(chunk):
                    return False
                sent += len(chunk) // 2
            end = (start + len(chunk)) // 2
            while told < len(words) and words[told].start < end:
                if not self._tell(words[told], words[told].start - sent):
                    return False
                told += 1
            if not self._words_late and not self._sound(chunk):
                return False
        return all(self._tell(word, 0) for word in words[told:])

    def _sound(self, chunk: bytes) -> bool:
        return self._done(self._protocol.response_audio(self._start.response_id, chunk, trio.current_time()))

    def _tell(self, word: SpokenWord, ahead: int) -> bool:
        now = trio.current_time()
        return self._done(self._protocol.response_transcript(self._start.response_id, word.text, now, ahead=ahead))

    def _done(self, going_on: bool) -> bool:  # noqa: FBT001 - a result passed through
        self._flush()
        return going_on

    async def _pace(self, seconds: float) -> None:
        """Wait until the next piece may go, which lasts that long in real time."""
        await self._room()
        await trio.sleep_until(self._due)
        self._due = max(self._due, trio.current_time()) + seconds / self._speed
