"""Which function calls of a response are to be run.

Running them is the session's; their place in the conversation is in `core.conversation`.
"""

import attrs

from realtime_trio.events import FunctionCall, Response

__all__ = ["ReadyCall", "ready_calls"]


@attrs.frozen
class ReadyCall:
    """A completed function call that is to be run and answered, exactly once.

    Attributes:
        item_id: Its item; empty if the server gave none.
        call_id: What the output has to name.
        name: The function.
        arguments: JSON, as the model wrote it.
    """

    item_id: str
    call_id: str
    name: str
    arguments: str


def ready_calls(response: Response) -> tuple[ReadyCall, ...]:
    """Tell which calls of a response that is done are complete.

    A call that was cut off together with its response is neither run nor answered: its arguments may end in the middle.
    A call that was complete before the response was cut off is run like any other.

    Args:
        response: The value of `response.done`.

    Returns:
        The calls in the order of the response's output, each `call_id` once.
    """
    if not isinstance(response.output, list):
        return ()
    calls: dict[str, ReadyCall] = {}
    for item in response.output:
        if not isinstance(item, FunctionCall) or not isinstance(item.call_id, str):
            continue
        status = item.status if isinstance(item.status, str) else response.status
        if status == "completed" and item.call_id not in calls:
            item_id = item.id if isinstance(item.id, str) else ""
            calls[item.call_id] = ReadyCall(item_id, item.call_id, item.name, item.arguments)
    return tuple(calls.values())
