"""The simulated user: what is said, and when.

The user listens as a person does, to what is to be heard: a question is asked when the answer before was heard, and
one of them over an answer that is still being given. How it sounds is in `voices.py`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import attrs
import trio

from realtime_trio import events
from realtime_trio.audio import ClockedDevice
from realtime_trio.session import Response, Session, Subscription

from .follower import Follower
from .voices import ToldRecogniser

__all__ = ["QUESTIONS", "Question", "Talk"]

_FIRST_WORD_AFTER = 0.4  # seconds of quiet before the first question
_PAUSE = 0.7  # seconds between an answer and the next question
_HEARD_OUT = 2.5  # seconds of an answer that are heard before the user speaks over it
_ANSWER_LIMIT = 10.0  # seconds until a question counts as unanswered
_GLANCE = 0.02  # seconds between two looks at how much was heard


@attrs.frozen
class Question:
    """Something that the user says.

    Attributes:
        text: The words.
        over: Whether it is said over the answer to the one before.
    """

    text: str
    over: bool = False


QUESTIONS = (
    Question("what time is it"),
    Question("what is the weather in Paris"),
    Question("count to twenty"),
    Question("what is twelve times three", over=True),
)
"""The talk that the demo plays."""


Responses: TypeAlias = "Subscription[Response]"


class Renderer(Protocol):
    """Makes the user's words sound."""

    async def speak(self, text: str) -> bytes:
        """Give the words as PCM16 mono, 24 kHz.

        Cancellation:
            Safe.
        """
        ...


@attrs.define(eq=False, kw_only=True)
class Talk:
    """One talk with a simulated user.

    Attributes:
        session: Whom the user talks with.
        device: What the user speaks into.
        follower: Who knows when it is quiet.
        voice: How the user sounds.
        told: Who has to be told what is said; None when nobody.
        on_unanswered: Called with each question that got no answer.
    """

    session: Session
    device: ClockedDevice
    follower: Follower
    voice: Renderer
    told: ToldRecogniser | None = None
    on_unanswered: Callable[[str], object] = attrs.field(default=lambda _: None)

    async def run(self, questions: Sequence[Question] = QUESTIONS) -> None:
        """Have the talk, until the last answer was heard.

        Args:
            questions: What is said.

        Raises:
            ConnectionClosed: The link was lost.

        Cancellation:
            The user falls silent after what was begun.
        """
        sounds = [await self.voice.speak(question.text) for question in questions]
        await self.follower.quiet(_FIRST_WORD_AFTER)
        async with self.session.responses() as responses:
            for index, question in enumerate(questions):
                answer = await self._ask(question.text, sounds[index], responses)
                if answer is None:
                    self.on_unanswered(question.text)
                following = questions[index + 1 : index + 2]
                if answer is not None and following and following[0].over:
                    with trio.move_on_after(_ANSWER_LIMIT):
                        answer = await _after_tools(answer, responses)
                    await _heard_for(answer, _HEARD_OUT)
                else:
                    await self.follower.quiet(_PAUSE)

    async def _ask(self, text: str, sound: bytes, responses: Responses) -> Response | None:
        """Say something, and wait until the answer to it begins."""
        if self.told is not None:
            self.told.expect(text)
        began = trio.current_time()
        await self.device.speak(sound).captured()
        with trio.move_on_after(_ANSWER_LIMIT):
            while True:
                answer = await _next(responses)
                # what was still to be said on the question before, such as on a tool's output, answers no speech
                if answer.speech_ended_at is not None and answer.speech_ended_at > began:
                    return answer
        return None


async def _next(responses: Responses) -> Response:
    while True:
        response = await responses.receive()
        if isinstance(response, Response):
            return response


async def _after_tools(answer: Response, responses: Responses) -> Response:
    """Wait until an answer is more than tool calls, which make no sound."""
    while True:
        async for _ in answer.audio_chunks:
            return answer  # it begins to sound
        if not any(isinstance(item, events.FunctionCall) for item in answer.items):
            return answer
        answer = await _next(responses)


async def _heard_for(response: Response, seconds: float) -> None:
    """Wait until so much of an answer was heard, or it is over."""
    while not response.is_heard:
        began = response.first_sound_at
        if began is not None and trio.current_time() - began >= seconds:
            return
        await trio.sleep(_GLANCE)
