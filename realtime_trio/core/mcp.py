"""MCP servers whose tools OpenAI's server calls by itself: what it has said of them, in whatever order it said it.

Of each server: whether its tools are listed. Of each call: that it began, and how it ended. Of each request for
approval: that it was made, and that it was answered. What a client has to do about all this is elsewhere: to answer is
the session's business, and when a reply is owed is decided in `core.mcp_replies`.

Nothing here raises on any sequence of events. The events of a listing and of a call name only an item; what the item
is may be told before or after, or never. So each event only adds to what is known of its item, and what is known is
judged anew after each: the outcome does not depend on the order.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import attrs

from realtime_trio.errors import redact
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDone,
    ConversationItemRetrieved,
    McpApprovalRequest,
    McpError,
    McpToolDefinition,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
)

__all__ = [
    "ApprovalAsked",
    "ApprovalSettled",
    "McpCallFailed",
    "McpCallFinished",
    "McpCallStarted",
    "McpHappening",
    "McpListed",
    "McpListingFailed",
    "McpServer",
    "items_of",
    "words_of",
]


def _size(text: str | None) -> str:
    return "None" if text is None else f"<{len(text)} characters>"


@attrs.frozen
class McpServer:
    """One MCP server of the session's configuration, as far as OpenAI's server has told of it.

    Attributes:
        label: Its `server_label`.
        status: `"listing"` until its tools are known; the model cannot call them before they are `"ready"`.
        tools: Those that the model may call.
        problem: Why it has `"failed"`, as far as that is known.
    """

    label: str
    status: Literal["listing", "ready", "failed"] = "listing"
    tools: tuple[McpToolDefinition, ...] = ()
    problem: str | None = None


@attrs.frozen
class McpListed:
    """The tools of a hosted MCP server are known, or others than before: from now on the model can call them.

    Attributes:
        server: The server, with its tools.
    """

    server: McpServer


@attrs.frozen
class McpListingFailed:
    """OpenAI's server could not get the tools of an MCP server. The session goes on without them.

    Attributes:
        server_label: Which; None as long as the server has not told which one it was.
        problem: What can be done.
    """

    server_label: str | None
    problem: str


@attrs.frozen
class McpCallStarted:
    """OpenAI's server is calling a tool of a hosted MCP server.

    Attributes:
        call_id: The id of the call's item.
        server_label: The MCP server.
        name: The tool.
        arguments: JSON text, as the model wrote it.
    """

    call_id: str
    server_label: str
    name: str
    arguments: str = attrs.field(repr=_size)


@attrs.frozen
class McpCallFinished:
    """A call of a hosted MCP server's tool has its output.

    Attributes:
        call_id: The id of the call's item.
        server_label: The MCP server; empty when the server never told.
        name: The tool; empty when the server never told.
        output: What the model was given; None when the server told only that there is an output.
    """

    call_id: str
    server_label: str
    name: str
    output: str | None = attrs.field(repr=_size)


@attrs.frozen
class McpCallFailed:
    """A call of a hosted MCP server's tool failed, or was cut off with its response. The model was told.

    Attributes:
        call_id: The id of the call's item.
        server_label: The MCP server; empty when the server never told.
        name: The tool; empty when the server never told.
        error: What went wrong: `events.McpProtocolError`, `McpToolExecutionError` or `McpHttpError`; None when the
            server did not tell.
        problem: The same in words.
    """

    call_id: str
    server_label: str
    name: str
    error: McpError | None
    problem: str


@attrs.frozen
class ApprovalAsked:
    """The server waits for the client's word whether a call may be made."""

    request: McpApprovalRequest


@attrs.frozen
class ApprovalSettled:
    """A request for approval needs no answer any more: it has one, the call runs, or the request was deleted.

    Attributes:
        request_id: The request.
        approved: What was answered; None when it was deleted.
    """

    request_id: str
    approved: bool | None


McpHappening: TypeAlias = (
    McpListed | McpListingFailed | McpCallStarted | McpCallFinished | McpCallFailed | ApprovalAsked | ApprovalSettled
)


def items_of(event: ServerEvent) -> Iterator[tuple[Any, bool, str]]:
    """Find the items that an event carries.

    Yields:
        The item, whether this is its final value, and the id of its response (empty where the event does not tell).
    """
    match event:
        case ConversationItemAdded(item=item) | ConversationItemCreated(item=item):
            yield item, False, ""
        case ConversationItemDone(item=item) | ConversationItemRetrieved(item=item):
            yield item, True, ""
        case ResponseOutputItemAdded(item=item, response_id=response_id):
            yield item, False, response_id
        case ResponseOutputItemDone(item=item, response_id=response_id):
            yield item, True, response_id
        case ResponseDone(response=response) if isinstance(response.output, list):
            for item in response.output:
                yield item, True, response.id if isinstance(response.id, str) else ""
        case _:
            pass


def words_of(error: McpError | None) -> str:
    """Say in one line what went wrong in a call."""
    kind = getattr(error, "type", None)
    if not isinstance(kind, str):
        return "the server did not say why"
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    words = kind if code is None else f"{kind} {code}"
    return redact(f"{words}: {message}") if isinstance(message, str) else words
