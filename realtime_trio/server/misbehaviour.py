"""What a server does wrong, or late, because a test asked for it: everything that the real one does on its bad days.

Each of these is allowed by the protocol. What breaks the protocol itself is scripted with
`realtime_trio.testing.ScriptedPeer` instead. Who does it: `driver` what takes time and how responses end, `answers`
the rejections, `responses` the order of events, `hearing` the transcripts.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Mapping
from typing import TypeAlias

import attrs
import trio

from realtime_trio.server.obeying import asked_line, paraphrase
from realtime_trio.server.seams import Brain, BrainRequest, Ending, Failed, Incomplete, Said, Utterance

__all__ = ["GOODBYE", "GOOD_BEHAVIOUR", "Endings", "Misbehaviour", "close"]

Endings: TypeAlias = Mapping[int, Ending] | Callable[[str], Ending | None]

_WORD = re.compile(r"\s*\S+\s*")

GOODBYE = 1.0
"""Seconds that a brain has to clean up when its response ends early."""


@attrs.frozen(kw_only=True)
class Misbehaviour:
    """What goes wrong in each of a server's sessions. Nothing, by default.

    ```python
    open_server(misbehaviour=Misbehaviour(endings={2: Failed(code="insufficient_quota")}, transcript_delay_s=3))
    ```

    Attributes:
        endings: Responses that end badly: by their number in the session, from 1 (those that are out of band count
            too), or a function from the words that the response answers (`""` for none) to an ending, or None for a
            good one.
        rejected_creates: Which of the client's `response.create` events (by number, from 1; those out of band do not
            count) are refused with `conversation_already_has_active_response`, although nothing is active.
        transcript_delay_s: Seconds by which the transcripts of the user's speech are later than they would be.
        transcript_after_answer: Whether a transcript waits until the next response of the conversation is over, before
            that delay.
        failed_transcripts: Which transcripts (by number, from 1) fail instead. The brain understands all the same.
        done_delay_s: Seconds between the last item of a response that went well and its `response.done`.
        other_order: Whether events whose order nobody promises come in the other one: `response.output_item.done`
            before `conversation.item.done`, the end of a transcript before that of its sound, a piece of sound before
            the words in it, `rate_limits.updated` at a response's beginning, `mcp_list_tools.completed` before the
            item.
        paraphrase: Whether a line that a response was to say word for word is said in other words.
    """

    endings: Endings = attrs.field(factory=dict)
    rejected_creates: Collection[int] = ()
    transcript_delay_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    transcript_after_answer: bool = False
    failed_transcripts: Collection[int] = ()
    done_delay_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    other_order: bool = False
    paraphrase: bool = False

    def answer(self, brain: Brain, number: int, request: BrainRequest) -> AsyncIterator[Utterance]:
        """Have a brain answer, with what goes wrong in it.

        Args:
            brain: The brain.
            number: Which of the session's responses it is, from 1.
            request: What the brain is told.

        Raises:
            TypeError: The brain is none.
        """
        line = asked_line(request.response_instructions or "") if self.paraphrase else None
        pieces = brain(request) if line is None else _say(paraphrase(line))
        if isinstance(pieces, Coroutine):
            pieces.close()  # else it warns, somewhere else, that it was never awaited
            raise TypeError("the brain is a plain async function: it has to be an async generator function, with yield")
        ending = self.ending(number, request)
        return pieces if ending is None else _cut_off(pieces, ending)

    def ending(self, number: int, request: BrainRequest) -> Ending | None:
        """Tell how a response ends.

        Args:
            number: Which of the session's responses it is, from 1.
            request: What its brain is told.

        Returns:
            Its bad end; None when it goes well.
        """
        if not callable(self.endings):
            return self.endings.get(number)
        said = (item.text for item in reversed(request.history) if isinstance(item, Said) and item.role == "user")
        return self.endings(next(said, None) or "")


GOOD_BEHAVIOUR = Misbehaviour()


async def _say(line: str) -> AsyncGenerator[Utterance, None]:
    yield line


async def _cut_off(pieces: AsyncIterator[Utterance], ending: Ending) -> AsyncGenerator[Utterance, None]:
    """Say what a brain says up to a number of words, and then end badly.

    Cancellation:
        Closes the brain.
    """
    left = ending.after_words
    try:
        while left > 0:
            piece = await anext(pieces, None)
            if piece is None or isinstance(piece, (Failed, Incomplete)):
                break
            if isinstance(piece, str):
                words = _WORD.findall(piece)
                piece = piece if len(words) <= left else "".join(words[:left])
                left -= len(words)
            yield piece
    finally:
        with trio.move_on_after(GOODBYE, shield=True):
            await close(pieces)
    yield ending


async def close(pieces: AsyncIterator[Utterance]) -> None:
    """Close a brain that is not asked any more; it may be any iterator.

    Cancellation:
        For the caller to shield, for `GOODBYE` seconds.
    """
    if (aclose := getattr(pieces, "aclose", None)) is not None:
        await aclose()
