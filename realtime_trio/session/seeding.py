"""Making a conversation what it is to be: many items at once on their way, every one of them acknowledged.

Which items those are is decided elsewhere: `core.seeds` for what a conversation begins with, `core.restore` for what a
new link is told.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec
import trio

from realtime_trio import events
from realtime_trio.errors import NotAcknowledged, ServerError

from .calls import Call, Calls
from .exchanges import new_id

__all__ = ["carry_out", "seed"]

_MOST_ON_THEIR_WAY = 32  # enough to hide the round trip, few enough that the last is answered in the time of one call

Send = Callable[[events.ClientEvent], Awaitable[Any]]


async def seed(items: Sequence[events.Item], send: Send, calls: Calls) -> None:
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

    def refused(number: int, error: ServerError | NotAcknowledged) -> None:
        error.add_note(f"this was item {number + 1} of the {len(items)} that the history begins with")
        raise error

    creates = (events.ConversationItemCreate(item=msgspec.structs.replace(item, id=new_id("item"))) for item in items)
    await carry_out(creates, send, calls, refused=refused)


async def carry_out(
    changes: Iterable[events.ConversationItemCreate | events.ConversationItemDelete],
    send: Send,
    calls: Calls,
    *,
    refused: Callable[[int, ServerError | NotAcknowledged], object],
) -> None:
    """Send creates and deletes one behind the other, and wait until all of them are answered.

    Args:
        changes: The creates with the ids that their items are to have.
        send: Hands an event to the writer, and waits until it is taken.
        calls: Where answers are waited for.
        refused: Told which one was refused or not answered, by its number from 0 on, and why. What it raises is raised.

    Cancellation:
        What was sent stays sent.
    """
    on_their_way: deque[tuple[int, Call]] = deque()

    async def answered() -> None:
        number, call = on_their_way.popleft()
        try:
            await calls.outcome(call)
        except (ServerError, NotAcknowledged) as error:
            refused(number, error)

    for number, change in enumerate(changes):
        if len(on_their_way) == _MOST_ON_THEIR_WAY:
            await answered()
        event = msgspec.structs.replace(change, event_id=new_id("evt"))
        # the answer may come before `send` returns
        if isinstance(event, events.ConversationItemCreate):
            call = calls.follow("create", event, event.event_id or "", str(getattr(event.item, "id", "")))
        else:
            call = calls.follow("delete", event, event.event_id or "", event.item_id)
        on_their_way.append((number, call))
        await send(event)
        call.until = trio.current_time() + calls.timeout
    while on_their_way:
        await answered()
