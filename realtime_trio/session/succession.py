"""From one connection of a session to the next: letting go of the old one, and making the new one its equal.

Theory of operation. Three steps, the same for a link that was lost and for one that becomes too old. `let_go`: nobody
sends, nobody's time runs out, and what only made sense on the old link is decided on. `bring_up_to_date`: the successor
gets the configuration and the items; what it shall have is compared with what it has until there is no difference.
`take_over`: it is sent the sound that waits, asked again what was not answered, and then, without waiting once, given
to the line. When this is done is `recovery.py`'s and `renewal.py`'s; what becomes of turns, `turns.py`'s.
"""

from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Literal

import attrs
import msgspec
import trio

from realtime_trio import events
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.kept_audio import KeptAudio
from realtime_trio.core.restore import Wanted, wanted
from realtime_trio.core.rotation import Rotation
from realtime_trio.core.runs import PartKey
from realtime_trio.device import SAMPLE_RATE
from realtime_trio.log_words import name_of

from .backlog import Backlog
from .calls import Call, Calls
from .inside import Inside
from .line import Line
from .mcp import HostedMcp
from .notices import Notice, Reconnected
from .sound import Sound
from .successor import OpenLink, Successor
from .turns import LostTurns, Turns

__all__ = ["Succession"]


@attrs.frozen
class _Loss:
    """What a session let go of when its link was lost or left."""

    at: float
    turns: LostTurns


@attrs.define(eq=False, repr=False)
class Succession(Inside):
    """The connections of one session, one after the other.

    Attributes:
        open_link: Opens a connection with the session's own settings.
        line: Whom the next connection is given to.
        calls: What was asked and not answered.
        turns: Who lets go of responses, and asks for what is owed.
        mcp: Who lets go of the server's own calls.
        conversation: What is to be restored.
        sound: What is being played, and when what is sent was spoken.
        kept: The sound that a new connection is sent.
        start_soon: Starts a task of the session.
        publish: Takes notices.
        adopt: Takes the configuration in effect.
        count: How many connections have followed another.
        name: What the log calls the session.
        rotation: When the connection that carries the session is to be replaced; None before there is one.
        since: When that one began to carry a session, in Trio's time.
    """

    open_link: OpenLink
    line: Line
    calls: Calls
    turns: Turns
    mcp: HostedMcp
    conversation: Conversation
    sound: Sound
    kept: KeptAudio
    start_soon: Callable[..., None]
    publish: Callable[[Notice], None]
    adopt: Callable[[events.RealtimeSession], object]
    count: int = attrs.field(default=0, init=False)
    name: str = attrs.field(default="(no id)", init=False)
    rotation: Rotation | None = attrs.field(default=None, init=False)
    since: float = attrs.field(default=0.0, init=False)
    _max_age: float = attrs.field(default=0.0, init=False)
    _loss: _Loss | None = attrs.field(default=None, init=False)
    _carrier: Successor | None = attrs.field(default=None, init=False)  # None as long as it is the first

    def begin(self, session: events.RealtimeSession, created_at: float, max_age: float) -> None:
        """The first connection carries the session.

        Args:
            session: What it said of itself.
            created_at: When it said so.
            max_age: Seconds after which each is to be replaced, if the server does not say less.
        """
        self.line.recovers = True
        self.line.shorten = self._shorten
        self._max_age = max_age
        self._plan(session, created_at)

    def _plan(self, session: events.RealtimeSession, created_at: float) -> None:
        expires_at = session.expires_at if isinstance(session.expires_at, int) else None
        server_time = self.line.connection.server_time
        self.rotation = Rotation(self._max_age, created_at, expires_at, server_time)
        self.since = created_at
        self.name = name_of(session.id, self.name)

    @property
    def has_let_go(self) -> bool:
        """Whether the session waits for a connection to take over."""
        return self._loss is not None

    def open(self) -> Successor:
        """Open a connection; who asks for it has to `release` it, unless it takes over."""
        successor = Successor(self.open_link, self.calls.timeout)
        self.start_soon(successor.run)
        return successor

    async def bring_up_to_date(self, successor: Successor) -> None:
        """Make a link the session's equal; what is to be restored may grow meanwhile. Raises as `prepare` does."""
        await successor.prepare(self.line.settings.effective())
        while await successor.bring(self.wanted()) or await successor.configure(self.line.settings.effective()):
            pass

    def wanted(self) -> Wanted:
        """Tell what a link shall have of the conversation now."""
        return wanted(self.conversation, playing=self._being_played(), audio_of=self.kept.of_item)

    def _being_played(self) -> set[str]:
        """The items of which there is more to be heard."""
        ledger, now = self.sound.ledger, trio.current_time()
        return {
            part.item_id
            for part in ledger.parts()
            if not ledger.blocked(part.response_id) and not ledger.played(part.response_id, now)
        }

    def let_go(self, reason: Literal["lost", "age"]) -> None:
        """Have nothing carry the session, until another connection takes over."""
        now = trio.current_time()
        self.kept.lose_link(self._arrived_until(reason))
        self.line.lose()
        self.calls.hold()
        lost = self.turns.lose_link(now)
        self.mcp.lose_link()
        self._loss = _Loss(now, lost)

    def _arrived_until(self, reason: Literal["lost", "age"]) -> float | None:
        """Until when what was sent is known to have arrived; None for no doubt about it.

        An event proves it only where a lost link is too young, or of a kind, to know better: one may come all the same
        when nothing gets through the other way.
        """
        answered_at = self.line.connection.answered_at
        return self.line.heard_at if answered_at is None and reason == "lost" else answered_at

    async def take_over(self, successor: Successor, reason: Literal["lost", "age"], attempts: int) -> None:
        """Give it what waits, and let it carry the session; what was let go is asked for again.

        Args:
            successor: It is up to date.
            reason: Why there is another connection.
            attempts: How many it took.

        Raises:
            ConnectionClosed: It ended; nothing carries the session, and another can be tried.

        Cancellation:
            Nothing carries the session.
        """
        connection = await successor.connection()
        commits = [call for call in self.calls.in_flight if call.kind == "commit"]
        backlog = Backlog(self.kept, self.sound.capture.ledger, deque(commits))
        await backlog.send(successor.send)
        updates = await self._ask_again(successor, but=set(commits).difference(backlog.commits))
        told = await successor.hand_over()
        if successor.problem is not None:
            raise successor.problem
        # From here on nothing waits: what happens now, happens to the new link.
        loss, want = self._loss, self.wanted()
        assert loss is not None  # noqa: S101 who takes over has let go
        for _, change in successor.changes(want):  # something was cut a moment ago
            connection.send_nowait(change)
        backlog.leave(connection.send_nowait)
        left, self._carrier = self._carrier, successor
        former = self.line.connection
        self.line.settings.begin_link(self.line.settings.effective())
        for event_id, session in updates:
            self.line.settings.sent(event_id, session)
        self.line.use(connection, successor.ids, told)
        self._loss = None
        self.adopt(successor.session)
        self._give_up_transcripts()
        self.calls.go_on()
        self._plan(successor.session, successor.created_at)
        now = trio.current_time()
        self.turns.regain_link(now)
        if left is not None:
            left.release()
        else:  # what it still has to say, also where it lives on, is nobody's business
            self.start_soon(former.aclose)
        self.count += 1
        gap_ms = round((now - loss.at) * 1000) if reason == "lost" else 0
        self.publish(
            Reconnected(
                reason=reason,
                attempts=attempts,
                gap_ms=gap_ms,
                restored=successor.restored,
                left_out=(*want.left_out, *successor.left_out(want)),
                asked_again=loss.turns.asked_again,
                cut_off=loss.turns.cut_off,
                dropped_audio_ms=round(self.kept.take_dropped() * 1000 / SAMPLE_RATE),
            )
        )

    async def _ask_again(
        self, successor: Successor, *, but: Container[Call]
    ) -> list[tuple[str, events.RealtimeSession]]:
        """Ask a link what was asked the one before and not answered, unless there is nothing to be asked any more.

        Returns:
            The updates among it, by their event ids.
        """
        updates = []
        for call in self.calls.in_flight:
            if call.event is None or call in but:
                continue
            answer = successor.ids.answer(call.event)
            if answer is not None:
                self.conversation.apply(answer)
            if answer is not None or call.kind in ("clear", "truncate"):  # a new link's buffer is empty
                self.calls.settle(call, None)
            else:
                await successor.send(msgspec.structs.replace(call.event, event_id=call.event_id))
            event = call.event
            if isinstance(event, events.SessionUpdate) and isinstance(event.session, events.RealtimeSession):
                updates.append((call.event_id, event.session))
        return updates

    def _give_up_transcripts(self) -> None:
        """Say that no transcript comes of what was said on the old link: no server writes down what it is given."""
        problem = events.TranscriptionError(type="link_lost", message="the link was lost before the transcript came")
        for item in self.conversation:
            if item.transcription == "pending":
                self.line.tell(
                    events.ConversationItemInputAudioTranscriptionFailed(
                        event_id="", item_id=item.id, content_index=0, error=problem
                    )
                )

    def _shorten(self, truncate: events.ConversationItemTruncate) -> Sequence[events.ClientEvent]:
        """Make what tells a link that a spoken item ends earlier, of which it has the words: it gets fewer of them."""
        if self._carrier is None:
            return []
        part = PartKey("", truncate.item_id, truncate.content_index)
        self.conversation.set_heard(part, truncate.audio_end_ms)  # else it knows only with the next report
        return self._carrier.replace(truncate.item_id, self.wanted())

    def fail(self, successor: Successor) -> None:
        """Note that it does not take over after all."""
        self.kept.fail_link()
        successor.release()

    async def say_goodbye(self) -> None:
        """Let what still waits on a link that followed another leave, as it does on the first; bounded as that is."""
        if self._carrier is not None:
            self._carrier.release()
            await self._carrier.closed.wait()
