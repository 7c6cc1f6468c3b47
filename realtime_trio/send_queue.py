"""The order in which outgoing events leave, and which audio is given up when the link is too slow. Pure bookkeeping.

One queue, with one exception to first in, first out: what stops the assistant (`response.cancel`,
`conversation.item.truncate`, `conversation.item.delete`, `output_audio_buffer.clear`) overtakes what merely fills the
input audio buffer (append, commit, clear), since two seconds of waiting speech must not delay an interruption. It
overtakes nothing else: a delete must not pass the create that makes its item, nor a cancel the response that it means.
Waiting and sending are the connection's business.
"""

from collections import deque
from typing import Final

import attrs

from .events import (
    ClientEvent,
    ConversationItemDelete,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseCancel,
    SessionInputAudioBufferAppend,
)

__all__ = ["QueuedEvent", "SendQueue", "fills_input", "is_append", "is_urgent"]

_APPENDS: Final = (InputAudioBufferAppend, SessionInputAudioBufferAppend)
_FILLS_INPUT: Final = (*_APPENDS, InputAudioBufferCommit, InputAudioBufferClear)
_URGENT: Final = (ResponseCancel, ConversationItemTruncate, ConversationItemDelete, OutputAudioBufferClear)


def is_append(event: ClientEvent) -> bool:
    """Tell whether an event carries a piece of the input audio."""
    return isinstance(event, _APPENDS)


def fills_input(event: ClientEvent) -> bool:
    """Tell whether an event is about the input audio buffer alone."""
    return isinstance(event, _FILLS_INPUT)


def is_urgent(event: ClientEvent) -> bool:
    """Tell whether an event overtakes those that fill the input audio buffer."""
    return isinstance(event, _URGENT)


@attrs.define(eq=False)
class QueuedEvent:
    """An event that is encoded and waits for its turn."""

    message: str = attrs.field(repr=False)
    """Its JSON."""
    urgent: bool = False
    """It overtakes those with `fills_input`."""
    fills_input: bool = False
    """It is about the input audio buffer alone."""
    audio_bytes: int = 0
    """Bytes of audio in it that may be dropped; 0 when it has to arrive."""
    type: str = ""
    """The wire's `type`, for the log."""


class SendQueue:
    """The queue. Everything in it is sent, but for the oldest droppable audio when there is too much of that."""

    def __init__(self) -> None:
        self._entries: deque[QueuedEvent] = deque()
        self._audio_bytes = 0
        self._others = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def audio_bytes(self) -> int:
        """Bytes of droppable audio in the queue."""
        return self._audio_bytes

    @property
    def other_events(self) -> int:
        """Events in the queue that are not droppable audio."""
        return self._others

    def put(self, entry: QueuedEvent) -> None:
        """Add an event where its turn is."""
        place = len(self._entries)
        if entry.urgent:
            while place and self._entries[place - 1].fills_input:
                place -= 1
        self._entries.insert(place, entry)
        self._count(entry, 1)

    def trim_audio(self, most_bytes: int) -> tuple[QueuedEvent, ...]:
        """Take out the oldest droppable audio, whole events, until at most that much is left.

        The newest stays even when it is longer than that by itself: nothing could ever be sent otherwise.

        Returns:
            What was taken out, oldest first.
        """
        if self._audio_bytes <= most_bytes:
            return ()
        droppable = [entry for entry in self._entries if entry.audio_bytes]
        dropped = []
        for entry in droppable[:-1]:
            if self._audio_bytes <= most_bytes:
                break
            self._audio_bytes -= entry.audio_bytes
            dropped.append(entry)
        gone = {id(entry) for entry in dropped}
        self._entries = deque(entry for entry in self._entries if id(entry) not in gone)
        return tuple(dropped)

    def take(self) -> QueuedEvent:
        """Take out the next event.

        Raises:
            IndexError: There is none.
        """
        entry = self._entries.popleft()
        self._count(entry, -1)
        return entry

    def remove(self, entry: QueuedEvent) -> bool:
        """Take out one event wherever it stands. False: it is not here any more."""
        try:
            self._entries.remove(entry)
        except ValueError:
            return False
        self._count(entry, -1)
        return True

    def _count(self, entry: QueuedEvent, times: int) -> None:
        """Keep the sums: the event came (1) or went (-1)."""
        self._audio_bytes += times * entry.audio_bytes
        self._others += 0 if entry.audio_bytes else times
