"""What the program wants to be said: lines and greetings, and the words that ask the model for them.

When something may be said is `core.arbiter`'s decision; the calls of a program are in `turn_calls.py`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import attrs
import msgspec
from msgspec.structs import replace

from realtime_trio import events
from realtime_trio.core.barge_in import InterruptionPolicy
from realtime_trio.core.border import as_tuple, check_text
from realtime_trio.core.conversation import ConversationItem
from realtime_trio.core.utterance import Difference, differences
from realtime_trio.errors import ConfigurationError, LocalProtocolError

from .exchanges import Exchange, Request
from .inside import Inside
from .responses import Response
from .tool_words import sendable
from .turns import Turns

__all__ = ["GenerateInput", "Speaking", "Utterance", "When", "check_when", "check_words", "input_items"]

When: TypeAlias = Literal["queue", "interrupt", "now_silently"]
"""What becomes of what is being said: it is waited for; it is interrupted; it goes on, and nothing new is spoken."""

GenerateInput: TypeAlias = str | events.Item | ConversationItem


@attrs.frozen
class Utterance:
    """What became of a text that was to be said.

    Attributes:
        asked: The text.
        said: What the model said, or began to say; its transcript.
        heard: The words of it that were heard; without a device all that were received.
        differences: Where other words were said than asked for; none if it was said word for word.
        status: `"completed"`, `"cancelled"` or `"incomplete"`; `"silent"` if it was only put into the conversation.
        response: The response that said it; None if none did.
    """

    asked: str
    said: str
    heard: str
    differences: tuple[Difference, ...]
    status: str
    response: Response | None = attrs.field(default=None, repr=False)

    @property
    def exact(self) -> bool:
        """Whether it was said word for word, as far as it is known."""
        return not self.differences


@attrs.define(eq=False, repr=False)
class Speaking(Inside):
    """What this session says of its own accord.

    Attributes:
        turns: Who asks for it.
        instructions: Gives the session's instructions that are in effect.
        heard: Gives the words of a response that were heard.
    """

    turns: Turns
    instructions: Callable[[], str]
    heard: Callable[[Response], str]

    def say_later(
        self,
        text: str,
        *,
        wanted: Callable[[], bool] | None = None,
        interruption: InterruptionPolicy | None = None,
        exchange: Exchange | None = None,
    ) -> Request:
        """Have a line said when nobody else speaks.

        Args:
            text: The line.
            wanted: Asked for as long as the line was not begun: when it says no, the line is dropped.
            interruption: What the user's speech does to it; None for what it does in this session.
            exchange: Who waits for it.

        Returns:
            The request, for `turns.forget`.
        """
        overrides = events.ResponseCreateParams(instructions=_verbatim(text), tools=[], tool_choice="none")
        return self._owe(overrides, wanted=wanted, interruption=interruption, exchange=exchange)

    def greet(self, greeting: str, wanted: Callable[[], bool] | None = None) -> Request:
        """Have the model speak first, as the greeting tells it to; dropped like a line that is not wanted any more."""
        told = "\n\n".join(part for part in (self.instructions(), greeting) if part)
        return self._owe(events.ResponseCreateParams(instructions=told, tool_choice="none"), wanted=wanted)

    def utterance(self, asked: str, exchange: Exchange) -> Utterance:
        """Sum up what became of a line."""
        if not exchange.responses:
            return Utterance(asked, "", "", differences(asked, ""), "cancelled")
        response = exchange.responses[-1]
        said = response.text
        return Utterance(asked, said, self.heard(response), differences(asked, said), exchange.status, response)

    def silently(self, text: str) -> Utterance:
        """Sum up what was only written into the conversation."""
        return Utterance(text, "", "", differences(text, ""), "silent")

    def _owe(
        self,
        overrides: events.ResponseCreateParams,
        *,
        wanted: Callable[[], bool] | None = None,
        interruption: InterruptionPolicy | None = None,
        exchange: Exchange | None = None,
    ) -> Request:
        if exchange is None:  # nobody is there to be told that words from anywhere have half a character in them
            overrides = replace(overrides, instructions=sendable(overrides.instructions or ""))
        exchanges = [] if exchange is None else [exchange]
        request = Request(overrides, exchanges, continues=exchange is None, wanted=wanted, interruption=interruption)
        self.turns.owe(request, ())
        return request


def check_words(text: object) -> None:
    """Refuse what nobody can say.

    Raises:
        LocalProtocolError: It is no text.
    """
    check_text("what is said", text, error=LocalProtocolError)


def check_when(when: object, *, silently: bool) -> None:
    """Refuse what is no moment to speak.

    Raises:
        ConfigurationError: It is none of those that are possible here.
    """
    possible = ("queue", "interrupt", "now_silently") if silently else ("queue", "interrupt")
    if when not in possible:
        raise ConfigurationError(f"when is {', '.join(repr(one) for one in possible)}, not {when!r}")


def input_items(given: Iterable[GenerateInput] | str | None) -> list[Any] | events.UnsetType:
    """Turn the input of `generate` into the wire's: texts are the user's, items of the conversation are referred to.

    Raises:
        ConfigurationError: It is no list, or something in it is neither a text nor an item.
    """
    if given is None:
        return events.UNSET
    several = (
        (given,) if isinstance(given, str) else as_tuple("input is a text, or a list", given, cure="generate([...])")
    )
    return [_input_item(one) for one in several]


def _input_item(one: object) -> Any:
    match one:
        case str():
            return events.user_message(one)
        case ConversationItem():
            return events.ItemReference(id=one.id)
        case msgspec.Struct():
            return one
        case _:
            raise ConfigurationError(
                "input is a list of texts, items of realtime_trio.events or items of the conversation; "
                f"{type(one).__name__} is none of them"
            )


def _verbatim(text: str) -> str:
    return (
        "Say the text between the marks to the user: word for word, in its own language, all of it and nothing else. "
        f'Do not answer it, and do not introduce it.\n"""\n{text}\n"""'
    )
