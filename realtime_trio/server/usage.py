"""What a response costs: tokens by kind, in and out, and how many of those that went in were in the cache.

How one item is counted stands in `items`; the sizes of a token, and of a picture, are guesses.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from realtime_trio import events
from realtime_trio.server import guesses
from realtime_trio.server.items import Item, Tokens, text_tokens

__all__ = ["Cache", "Input", "count_input", "nothing", "usage"]


@attrs.frozen
class Input:
    """What goes into a response, in the order in which the model reads it.

    Attributes:
        blocks: The tokens of each block, with what tells the block from another: the instructions and tools, then one
            for each item.
    """

    blocks: tuple[tuple[object, Tokens], ...] = ()

    @property
    def tokens(self) -> Tokens:
        """All of it."""
        return sum((tokens for _, tokens in self.blocks), Tokens())


def count_input(instructions: str, tools: Sequence[dict[str, Any]], items: Iterable[Item]) -> Input:
    """Count what goes into a response.

    Args:
        instructions: The instructions in force.
        tools: The tools in force, as JSON objects.
        items: The context.
    """
    told = [json.dumps(tool, sort_keys=True) for tool in tools]
    head = Tokens(text=text_tokens(instructions) + sum(text_tokens(tool) for tool in told))
    blocks: list[tuple[object, Tokens]] = [((instructions, *told), head)]
    for item in items:
        tokens = item.tokens()
        blocks.append(((item.id, tokens), tokens))  # an item that was truncated is another one
    return Input(tuple(blocks))


class Cache:
    """What the server remembers of the input of the last response: the beginning that another one shares is not new."""

    def __init__(self) -> None:
        self._last = Input()

    def use(self, given: Input, *, keep: bool) -> Tokens:
        """Tell how much of an input is in the cache.

        Args:
            given: The input.
            keep: Whether the cache holds this input from now on.
        """
        shared = Tokens()
        for (mine, tokens), (other, _) in zip(given.blocks, self._last.blocks, strict=False):
            if mine != other:
                break
            shared += tokens
        if keep:
            self._last = given
        step = guesses.CACHE_STEP_TOKENS
        return Tokens(*(tokens // step * step for tokens in attrs.astuple(shared)))


def usage(given: Tokens, cached: Tokens, output: Tokens) -> events.Usage:
    """Tell what a response cost.

    Args:
        given: What went in.
        cached: What of that was in the cache.
        output: What came out.
    """
    return events.Usage(
        total_tokens=given.total + output.total,
        input_tokens=given.total,
        output_tokens=output.total,
        input_token_details=events.InputTokenDetails(
            text_tokens=given.text,
            audio_tokens=given.audio,
            image_tokens=given.image,
            cached_tokens=cached.total,
            cached_tokens_details=events.CachedTokenDetails(
                text_tokens=cached.text, audio_tokens=cached.audio, image_tokens=cached.image
            ),
        ),
        output_token_details=events.OutputTokenDetails(text_tokens=output.text, audio_tokens=output.audio),
    )


def nothing() -> events.Usage:
    """Tell that a response cost nothing."""
    return usage(Tokens(), Tokens(), Tokens())
