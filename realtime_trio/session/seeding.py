"""Beginning a conversation with the items of another: many at once on their way, every one of them acknowledged.

Which items those are is `core.seeds`' decision.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import trio

from realtime_trio import events
from realtime_trio.errors import NotAcknowledged, ServerError

from .calls import Call, Calls
from .exchanges import new_id

__all__ = ["seed"]

_MOST_ON_THEIR_WAY = 32  # enough to hide the round trip, few enough that the last is answered in the time of one call


async def seed(
    items: Sequence[events.Item], send: Callable[[events.ClientEvent], Awaitable[Any]], calls: Calls
) -> None:
    """Create items at the end of the conversation, in order.

    Args:
        items: Without ids, which they get here.
        send: Hands an event to the writer, and waits until it is taken.
        calls: Where answers are waited for.

    Raises:
        ServerError: The server refused one; those before it, and some behind it, are created.
        NotAcknowledged: The server did not answer.

    Cancellation:
        What was sent stays sent.
    """
    on_their_way: deque[tuple[int, Call]] = deque()
    for number, item in enumerate(items, 1):
        if len(on_their_way) == _MOST_ON_THEIR_WAY:
            await _acknowledged(*on_their_way.popleft(), calls, items)
        named = msgspec.structs.replace(item, id=new_id("item"))
        event = events.ConversationItemCreate(event_id=new_id("evt"), item=named)
        # the answer may come before `send` returns
        call = calls.follow("create", str(event.event_id), str(named.id))
        on_their_way.append((number, call))
        await send(event)
        call.until = trio.current_time() + calls.timeout
    while on_their_way:
        await _acknowledged(*on_their_way.popleft(), calls, items)


async def _acknowledged(number: int, call: Call, calls: Calls, items: Sequence[events.Item]) -> None:
    try:
        await calls.outcome(call)
    except (ServerError, NotAcknowledged) as error:
        error.add_note(f"this was item {number} of the {len(items)} that the history begins with")
        raise
