"""One talk while it is had: when a line's moment has come, what was said, and what was heard.

Who has it, and how it sounds, is in `talker.py`; what it is made of, in `script.py`.

Theory of operation. The device tells the talker, block by block, what came out of its speaker: whether somebody speaks
is known from that sound alone. Which words that were is what the session says was heard. An answer to a line is a
response that was created after the line had begun, so one that goes on under it is none.
"""

import math
from collections.abc import Callable
from contextlib import suppress

import attrs
import numpy as np
import trio
import trio.testing

from realtime_trio import RealtimeError, Response, Session
from realtime_trio.device import SAMPLE_RATE
from realtime_trio.nursery import Services, open_services

from .devices import FakeDevice
from .script import Line, Talk, Turn, words_of

__all__ = ["Dialogue", "Ears", "is_virtual"]

_SAMPLE_BYTES = 2
_MOMENT = 0.1  # seconds; longer than a block takes to tell what it played


class Ears:
    """What a talker hears of the speaker. It is a `Recorder`."""

    def __init__(self) -> None:
        self.sounded_until = -math.inf  # when the last sound was heard; Trio time
        self._opened_at: float | None = None
        self._samples = 0
        self._news = trio.Event()

    def write(self, captured: bytes, played: bytes) -> None:  # noqa: ARG002  it knows what it says itself
        """Hear what left the speaker during a block."""
        heard = np.frombuffer(played, "<i2")
        if self._opened_at is None:
            self._opened_at = trio.current_time() - len(heard) / SAMPLE_RATE
        sounding = np.flatnonzero(heard)
        if len(sounding):
            self.sounded_until = self.time_of(self._samples + int(sounding[-1]) + 1)
        self._samples += len(heard)
        self._tell()

    def flush(self) -> None:
        """Begin anew: the device was closed."""
        self._opened_at, self._samples = None, 0
        self._tell()

    def time_of(self, sample: int) -> float:
        """Tell when a sample of the open device sounds."""
        return (trio.current_time() if self._opened_at is None else self._opened_at) + sample / SAMPLE_RATE

    def since_block(self) -> int:
        """Count the samples that have passed since the last block."""
        return max(0, round((trio.current_time() - self.time_of(self._samples)) * SAMPLE_RATE)) if self._samples else 0

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds, looking at it after each block."""
        while not condition():
            await self._news.wait()
            if is_virtual():  # let the session hear of that block too: else chance decides who is first
                await trio.testing.wait_all_tasks_blocked()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


@attrs.define(eq=False)
class _Answer:
    """A response, and when it began."""

    response: Response
    created_at: float


class Dialogue:
    """What was said and heard so far, and the waiting for the next moment.

    Args:
        device: What is spoken into.
        ears: What hears its speaker.
        session: Whom the talker talks with.
        services: Where tasks are started.
        patience: Seconds that are waited for an answer.
        push_to_talk: Whether a key is pressed for each line.
    """

    def __init__(
        self,
        device: FakeDevice,
        ears: Ears,
        session: Session,
        services: Services,
        *,
        patience: float,
        push_to_talk: bool,
    ) -> None:
        self._device = device
        self._ears = ears
        self._session = session
        self._services = services
        self._patience = patience
        self._push_to_talk = push_to_talk
        self._began = trio.current_time()
        self._asked: Line | None = None  # the last line that wants an answer
        self._asked_at = -math.inf  # when it began
        self._spoke_until = self._began
        self._answers: list[_Answer] = []
        self._turns: list[Turn] = []
        self._responses = session.responses()
        services.start_soon(self._follow)

    async def wait_for(self, line: Line) -> None:
        """Wait for the moment at which a line is to be said."""
        if line.at is not None:
            await trio.sleep_until(self._began + line.at)
        elif line.over is not None:
            over = line.over
            await self._until(lambda: self._has_spoken_for(over), f"to have spoken for {over:g} s", line)
        elif line.at_word is not None:
            wanted = words_of(line.at_word)
            await self._until(lambda: _holds(words_of(self._heard_text()), wanted), f"to say {line.at_word!r}", line)
        else:
            await self._answered()
            await self._quiet(line.silence_before)

    async def speak(self, line: Line, sound: bytes) -> None:
        """Say a line, to its end."""
        if self._push_to_talk:
            self._session.press()
        late = self._ears.since_block()  # a moment is one of time, not of blocks
        said = self._device.speak(bytes(late * _SAMPLE_BYTES) + sound)
        began = self._ears.time_of(said.first + late)
        if line.is_answered:
            self._asked, self._asked_at = line, began
        self._spoke_until = await said.captured()
        if self._push_to_talk:
            await self._session.release()
        self._note(Turn("user", line.text, began, self._spoke_until))

    async def finish(self) -> Talk:
        """Hear the last answer to its end."""
        await self._answered()
        await self._quiet(0)
        await self._ears.until(lambda: all(answer.response.is_heard for answer in self._heard()))
        await self._ears.until(lambda: len(self._heard()) == sum(turn.who == "assistant" for turn in self._turns))
        return Talk(tuple(sorted(self._turns, key=lambda turn: turn.began)))

    def _note(self, turn: Turn) -> None:
        began, ended = round(turn.began - self._began, 3), round(turn.ended - self._began, 3)
        self._turns.append(attrs.evolve(turn, began=began, ended=ended))

    # What is heard

    async def _follow(self) -> None:
        with suppress(RealtimeError):  # why the session is over is told where its block ends
            async for response in self._responses:
                if not response.out_of_band:
                    self._answers.append(_Answer(response, trio.current_time()))
                    self._services.start_soon(self._listen, response)

    async def _listen(self, response: Response) -> None:
        with suppress(RealtimeError):
            await response.heard()
        if response.first_sound_at is not None:
            text = self._text_of({response.id})
            self._note(Turn("assistant", text, response.first_sound_at, self._ears.sounded_until, response.interrupted))

    def _heard(self, since: float = -math.inf) -> list[_Answer]:
        """Give the answers that began since then, and of which something was heard."""
        answers = (answer for answer in self._answers if answer.created_at > since)
        return [answer for answer in answers if answer.response.first_sound_at is not None]

    def _is_answered(self) -> bool:
        """Tell whether the answer to the last question is to be heard: not one that fell into a pause, and was cut."""
        return any(
            (answer.response.first_sound_at or 0.0) >= self._spoke_until or not answer.response.interrupted
            for answer in self._heard(self._asked_at)
        )

    def _has_spoken_for(self, seconds: float) -> bool:
        """Tell whether the assistant has been speaking for so long since the last question, and goes on."""
        answers = self._heard(self._asked_at)
        began = min((answer.response.first_sound_at or 0.0 for answer in answers), default=math.inf)
        speaking = any(not answer.response.is_heard for answer in answers) and self._ears.sounded_until > began
        return speaking and trio.current_time() >= began + seconds

    def _heard_text(self) -> str:
        """Give the words that were heard since the last question."""
        return self._text_of({answer.response.id for answer in self._heard(self._asked_at)})

    def _text_of(self, response_ids: set[str]) -> str:
        items = (item for item in self._session.conversation if item.response_id in response_ids)
        return " ".join(filter(None, (item.heard_text.strip() for item in items)))

    # What is waited for

    async def _until(self, condition: Callable[[], bool], wanted: str, line: Line) -> None:
        """Wait until something holds, but no longer than the assistant has something to say."""

        async def give_up() -> None:
            await self._answered()
            await self._quiet(_MOMENT)
            heard = self._heard_text()
            raise AssertionError(f"{line.text!r} waits for the assistant {wanted}, but all it said was {heard!r}")

        async with open_services("the wait") as services:
            services.start_soon(give_up)
            await self._ears.until(condition)

    async def _answered(self) -> None:
        """Wait until the answer to the last question is to be heard."""
        if self._asked is None:
            return
        with trio.move_on_at(self._spoke_until + self._patience):
            await self._ears.until(self._is_answered)
            return
        raise AssertionError(f"nobody answered {self._asked.text!r} within {self._patience:g} s")

    async def _quiet(self, seconds: float) -> None:
        """Wait until the session has nothing to say, and nothing was heard for so long."""
        while True:
            await self._session.drained()
            quiet_at = max(self._ears.sounded_until, self._spoke_until) + seconds
            if trio.current_time() >= quiet_at:
                return
            await trio.sleep_until(quiet_at)


def _holds(words: list[str], wanted: list[str]) -> bool:
    """Tell whether these words stand there, one after the other."""
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def is_virtual() -> bool:
    """Tell whether the time is that of a mock clock."""
    return isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
