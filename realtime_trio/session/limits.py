"""What a server may begin without ending it, before it is given up: memory has to have an end.

What can be forgotten is forgotten where it is kept. Here is what cannot: somebody waits for it, or looks it up.
"""

from typing import Final

from realtime_trio.core.conversation import Conversation
from realtime_trio.errors import RemoteProtocolError

from .tool_calls import ToolCalls
from .turns import Turns

__all__ = ["MOST_CALLS", "MOST_ITEMS", "MOST_OWED", "MOST_RESPONSES", "excess"]

MOST_RESPONSES: Final = 1024
"""Responses that were created and are not over."""
MOST_OWED: Final = 1024
"""Replies that are owed and do not come."""
MOST_CALLS: Final = 1024
"""Function calls that run at once."""
MOST_ITEMS: Final = 100_000
"""Items of the conversation: 28 a second for an hour."""


def excess(turns: Turns, tool_calls: ToolCalls, conversation: Conversation) -> RemoteProtocolError | None:
    """Say what the server overdid; None for nothing. The session cannot go on then.

    Args:
        turns: Who knows the responses.
        tool_calls: Who knows the calls.
        conversation: Who knows the items.
    """
    for number, most, what in (
        (len(turns.live), MOST_RESPONSES, "responses that it does not end"),
        (turns.owed, MOST_OWED, "turns that it does not answer"),
        (tool_calls.running, MOST_CALLS, "function calls at once"),
        (conversation.size, MOST_ITEMS, "conversation items"),
    ):
        if number > most:
            return RemoteProtocolError(f"the server has begun more than {most} {what}: the session is given up")
    return None
