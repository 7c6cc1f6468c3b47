"""The offline server with a brain of your own: an async generator from the conversation to what is said or called.

    python demos/own_brain.py

It needs no key and talks to nobody else: client and server are both in here, with a real socket between them.
"""

from collections.abc import AsyncIterator

import trio

from realtime_trio import open_server, open_session, tool
from realtime_trio.server import BrainRequest, Said, ToolAnswered, ToolCall, Utterance

PRICES = {"tea": 2.5, "coffee": 3.2}


async def waiter(request: BrainRequest) -> AsyncIterator[Utterance]:
    """Take orders; ask the client's tool for the price of what is on the menu."""
    last = request.history[-1]
    match last:
        case ToolAnswered(output=price):
            yield f"That will be {price} euros, please."
        case Said(role="user", text=str(text)):
            wanted = next((drink for drink in PRICES if drink in text.lower()), None)
            if wanted is None:
                yield "We have " + " and ".join(PRICES) + ". "  # the first words go out while the rest is made
                yield "What would you like?"
            else:
                yield ToolCall("price_of", {"drink": wanted})
        case _:
            yield "Hello!"


@tool
def price_of(drink: str) -> float:
    """Tell the price of a drink in euros."""
    return PRICES[drink]


async def main() -> None:
    print("Talking to an offline server with a brain of our own (rules, not the real model).")
    async with open_server(brain=waiter) as server, open_session(url=server.url, tools=[price_of]) as session:
        for text in ("Good morning! What is there?", "A coffee, please."):
            print("you:   ", text)
            print("waiter:", (await session.ask(text)).text)


if __name__ == "__main__":
    trio.run(main)
