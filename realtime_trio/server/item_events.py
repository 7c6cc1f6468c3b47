"""What a client asks for about the items of a conversation: to create, retrieve, truncate and delete them.

What an item is, and where it stands, is in `items`; those of MCP servers are in `mcp_items`.
"""

from typing import Any

from realtime_trio import events
from realtime_trio.server import problems
from realtime_trio.server.answers import Answers
from realtime_trio.server.audio_formats import FORMATS
from realtime_trio.server.hearing import Hearing
from realtime_trio.server.items import Conversation, Item, item_from_json
from realtime_trio.server.mcp import Mcp
from realtime_trio.server.mcp_items import McpItem, approval_from_json
from realtime_trio.server.outbox import Outbox
from realtime_trio.server.session_config import SessionConfig

__all__ = ["ItemEvents"]


class ItemEvents:
    """The `conversation.item.*` events of one session.

    Args:
        outbox: Takes the answers.
        config: The session's configuration.
        conversation: Holds the items.
        answers: The responses, whose playback a truncation ends.
        hearing: Has what the user said transcribed.
        mcp: The MCP servers, whose requests for approval are answered by items.
    """

    def __init__(
        self,
        outbox: Outbox,
        config: SessionConfig,
        conversation: Conversation,
        *,
        answers: Answers,
        hearing: Hearing,
        mcp: Mcp,
    ) -> None:
        self._outbox = outbox
        self._config = config
        self._conversation = conversation
        self._answers = answers
        self._hearing = hearing
        self._mcp = mcp

    def handle(self, kind: str, event: dict[str, Any], now: float) -> None:
        """Take one event, whose shape was checked.

        Args:
            kind: Its `type`.
            event: All of it.
            now: The time.

        Raises:
            Problem: It cannot be done.
        """
        if kind == "conversation.item.create":
            self._create(event["item"], event.get("previous_item_id"))
            return
        action = kind.rpartition(".")[2]
        item = self._conversation.find(event["item_id"])
        if item is None:
            raise problems.unknown_item(action, event["item_id"])
        event_id = self._outbox.event_id()
        if action == "retrieve":
            self._outbox.send(events.ConversationItemRetrieved(event_id=event_id, item=item.wire(with_audio=True)))
        elif action == "delete":
            self._conversation.delete(item)
            self._hearing.forget(item)
            self._outbox.send(events.ConversationItemDeleted(event_id=event_id, item_id=item.id))
        else:
            item.truncate(event["content_index"], event["audio_end_ms"])
            self._answers.playback_ended(now)
            self._outbox.send(
                events.ConversationItemTruncated(
                    event_id=event_id,
                    item_id=item.id,
                    content_index=event["content_index"],
                    audio_end_ms=event["audio_end_ms"],
                )
            )

    def _create(self, value: dict[str, Any], previous_item_id: str | None) -> None:
        ids = self._outbox.new_id("item"), self._outbox.new_id("call")
        item = approval_from_json(value) or item_from_json(value, *ids, FORMATS[self._config.input_format])
        self._check_call(item)
        self._conversation.insert(item, previous_item_id)
        previous = self._conversation.previous_id(item)
        for event in (events.ConversationItemAdded, events.ConversationItemDone):
            self._outbox.send(event(event_id=self._outbox.event_id(), item=item.wire(), previous_item_id=previous))
        self._hearing.begin(item, None)
        over = self._mcp.calls.answered(item) if isinstance(item, McpItem) else None
        if over is not None:
            self._answers.call_over(over)

    def _check_call(self, item: Item) -> None:
        """Refuse an output whose call is not in the conversation, and an answer to a request that is not open."""
        if isinstance(item, McpItem):
            self._mcp.calls.check_answer(item)
        if item.type == "function_call_output" and self._conversation.call(item.call_id) is None:
            raise problems.unknown_call("item.call_id", item.call_id)
