"""What the session itself changes in the conversation: an item of which nobody heard anything goes, a part ends early.

What is to be changed is decided in `core.interrupter` and `core.barge_in`. The program's own calls for it are in
`acknowledged.py`. Without a link there is no server to be told, so only the mirror changes; the next link begins with
what the mirror shows.
"""

from collections.abc import Callable

import attrs

from realtime_trio import events
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.interruption import Delete, Repair

__all__ = ["Edits"]

_MOST_OPEN = 256


@attrs.define(eq=False)
class Edits:
    """The changes of one session.

    Attributes:
        send: Hands a client event to the writer.
        conversation: The mirror.
    """

    send: Callable[[events.ClientEvent], str]
    conversation: Conversation
    _open: dict[Repair, None] = attrs.field(factory=dict, init=False)  # sent and not acknowledged, the newest last
    _is_linked: bool = attrs.field(default=True, init=False)

    def make(self, edit: Repair) -> None:
        """Change something: at the server, which says when it is done, or without one in the mirror alone."""
        if not self._is_linked:
            self._show(edit)
            return
        self._open[edit] = None
        while len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        if isinstance(edit, Delete):
            self.send(events.ConversationItemDelete(item_id=edit.item_id))
        else:
            self.send(
                events.ConversationItemTruncate(
                    item_id=edit.item_id, content_index=edit.content_index, audio_end_ms=edit.audio_end_ms
                )
            )

    def remove(self, response_id: str, kind: str | None = None) -> None:
        """Take what a response made out of the mirror: the server that has it is gone.

        Args:
            response_id: The response.
            kind: Only items of this type.
        """
        for item in (*self.conversation.items, *self.conversation.unplaced):
            if item.response_id == response_id and kind in (None, item.type):
                self._show(Delete(item.id))

    def handle(self, event: events.ServerEvent) -> None:
        """Follow one server event."""
        match event:
            case events.ConversationItemDeleted(item_id=item_id) | events.ConversationItemTruncated(item_id=item_id):
                for edit in [edit for edit in self._open if edit.item_id == item_id]:
                    del self._open[edit]
            case _:
                pass

    def lose_link(self) -> None:
        """Note that the link is lost: what was on its way is taken for done."""
        self._is_linked = False
        for edit in self._open:
            self._show(edit)
        self._open.clear()

    def regain_link(self) -> None:
        """Note that there is a new link."""
        self._is_linked = True

    def _show(self, edit: Repair) -> None:
        if isinstance(edit, Delete):
            self.conversation.apply(events.ConversationItemDeleted(event_id="", item_id=edit.item_id))
        else:
            self.conversation.apply(
                events.ConversationItemTruncated(
                    event_id="",
                    item_id=edit.item_id,
                    content_index=edit.content_index,
                    audio_end_ms=edit.audio_end_ms,
                )
            )
