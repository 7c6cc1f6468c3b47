"""The user's sound that a new link has to be sent before any other: what no item was made of so far.

What is kept, and which of it that is, is in `core.kept_audio`.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import attrs
import msgspec

from realtime_trio import events
from realtime_trio.core.capture import CaptureLedger
from realtime_trio.core.kept_audio import KeptAudio, KeptBlock

from .calls import Call
from .inside import Inside

__all__ = ["Backlog"]


@attrs.define(eq=False, repr=False)
class Backlog(Inside):
    """The sound for one new link, whose timeline begins with it.

    Attributes:
        kept: What there is; more may come while it is sent.
        ledger: Maps the link's timeline to when the sound was captured.
        commits: The commits among it that were not answered, in order; those that are sent are taken out.
    """

    kept: KeptAudio
    ledger: CaptureLedger
    commits: deque[Call]
    _last: KeptBlock | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.kept.begin_link()
        self.ledger.restart()
        for block in self.kept.uncommitted():
            self.ledger.append(block.samples, block.captured_at)

    async def send(self, send: Callable[[events.ClientEvent], Awaitable[object]]) -> None:
        """Send it, and what is captured meanwhile."""
        while unsent := self._unsent():
            for block in unsent:
                for event in self._events(block):
                    await send(event)

    def leave(self, send_nowait: Callable[[events.ClientEvent], object]) -> None:
        """Leave the rest for the writer."""
        for block in self._unsent():
            for event in self._events(block):
                send_nowait(event)

    def _events(self, block: KeptBlock) -> Iterable[events.ClientEvent]:
        self._last = block
        yield events.InputAudioBufferAppend(audio=block.audio)
        if block.ends_turn and self.commits:
            call = self.commits.popleft()
            if call.event is not None:
                yield msgspec.structs.replace(call.event, event_id=call.event_id)

    def _unsent(self) -> list[KeptBlock]:
        """Give what is behind that which was sent last; the oldest may be given up meanwhile, so no place counts."""
        blocks = self.kept.uncommitted()
        sent = [place for place, block in enumerate(blocks) if self._last is not None and _same(block, self._last)]
        return blocks[sent[-1] + 1 :] if sent else blocks


def _same(block: KeptBlock, other: KeptBlock) -> bool:
    return block.captured_at == other.captured_at and block.audio is other.audio
