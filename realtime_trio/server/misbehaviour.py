"""What a server does wrong, or late, because a test asked for it: everything that the real one does on its bad days.

Each of these is allowed by the protocol. What breaks the protocol itself is scripted with
`realtime_trio.testing.ScriptedPeer` instead. Who does it: `driver` what takes time and how responses end, `answers`
the rejections, `responses` the order of events, `hearing` the transcripts.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from realtime_trio.errors import ConfigurationError
from realtime_trio.server.obeying import asked_line, paraphrase
from realtime_trio.server.seams import Brain, BrainRequest, Ending, Said, Utterance

__all__ = ["GOODBYE", "GOOD_BEHAVIOUR", "Cut", "Endings", "Misbehaviour", "close"]

Endings: TypeAlias = Mapping[int, Ending] | Callable[[str], Ending | None]

_WORD = re.compile(r"\s*\S+\s*")

GOODBYE = 1.0
"""Seconds that a brain has to clean up when its response ends early."""


def _not_negative(_instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value >= 0:
        raise ConfigurationError(f"{attribute.name}={value!r}: it is a number of seconds, from 0")


def _numbers(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not callable(value) and not all(isinstance(number, int) and number > 0 for number in value):
        raise ConfigurationError(f"{attribute.name}={value!r}: they are counted from 1")


@attrs.frozen(kw_only=True)
class Misbehaviour:
    """What goes wrong in each of a server's sessions. Nothing, by default.

    ```python
    open_server(misbehaviour=Misbehaviour(endings={2: Failed(code="insufficient_quota")}, transcript_delay_s=3))
    ```

    Raises:
        ConfigurationError: A number or a time makes no sense.

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
        listing_delay_s: Seconds that it takes to list the tools of an MCP server.
        mcp_reply: Where the model speaks on a call of an MCP server's tool: in the response that made the call; or that
            one ends before the call does, and the server makes another one then, or none unless it is asked for. None
            for what is usual.
    """

    endings: Endings = attrs.field(factory=dict, validator=_numbers)
    rejected_creates: Collection[int] = attrs.field(default=(), validator=_numbers)
    transcript_delay_s: float = attrs.field(default=0.0, validator=_not_negative)
    transcript_after_answer: bool = False
    failed_transcripts: Collection[int] = attrs.field(default=(), validator=_numbers)
    done_delay_s: float = attrs.field(default=0.0, validator=_not_negative)
    other_order: bool = False
    paraphrase: bool = False
    listing_delay_s: float = attrs.field(default=0.0, validator=_not_negative)
    mcp_reply: Literal["same_response", "new_response", "none"] | None = None

    def answer(self, brain: Brain, request: BrainRequest) -> AsyncIterator[Utterance]:
        """Have a brain answer, or somebody else in its place.

        Args:
            brain: The brain.
            request: What it is told.

        Raises:
            TypeError: The brain is none.
        """
        line = asked_line(request.response_instructions or "") if self.paraphrase else None
        pieces = brain(request) if line is None else _say(paraphrase(line))
        if isinstance(pieces, Coroutine):
            pieces.close()  # else it warns, somewhere else, that it was never awaited
            raise TypeError("the brain is a plain async function: it has to be an async generator function, with yield")
        return pieces

    def cut(self, number: int, request: BrainRequest) -> "Cut":
        """Tell where a response is cut off.

        Args:
            number: Which of the session's responses it is, from 1.
            request: What its brain is told.

        Returns:
            Its bad end, which may be none.
        """
        if not callable(self.endings):
            return Cut(self.endings.get(number))
        said = (item.text for item in reversed(request.history) if isinstance(item, Said) and item.role == "user")
        return Cut(self.endings(next(said, None) or ""))


GOOD_BEHAVIOUR = Misbehaviour()


async def _say(line: str) -> AsyncGenerator[Utterance, None]:
    yield line


@attrs.define(eq=False)
class Cut:
    """Where a response is cut off, and how it ends there.

    Attributes:
        ending: Its bad end; None when it goes well.
        left: How many words of the answer may still come.
    """

    ending: Ending | None
    left: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = self.ending.after_words if self.ending else 0

    def of(self, piece: Utterance) -> Iterator[Utterance]:
        """Give what comes of a piece: all of it, or less of it and then the end."""
        if self.ending is None:
            yield piece
            return
        words = _WORD.findall(piece) if isinstance(piece, str) else []
        if self.left and len(words) <= self.left:
            yield piece
        elif self.left:
            yield "".join(words[: self.left])
        self.left -= min(self.left, len(words))
        if not self.left:
            yield self.ending


async def close(pieces: AsyncIterator[Utterance]) -> None:
    """Close a brain that is not asked any more; it may be any iterator.

    Cancellation:
        For the caller to shield, for `GOODBYE` seconds.
    """
    if (aclose := getattr(pieces, "aclose", None)) is not None:
        await aclose()
