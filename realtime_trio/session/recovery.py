"""How a session survives its connection: another is made its equal, and takes over.

Theory of operation. A lost link is the reader's business: it finds the end, and sees here to the next connection before
it goes on reading. A link that becomes too old is replaced by a task of its own, while it still works. Both do the same
thing in the end: the session lets go of what only made sense on the old one (`_let_go`), and the successor, which has
the configuration and the items, is sent the sound that waits and asked again what was not answered (`_take_over`).

What the rules are is pure: whether and when to try in `core.reconnect`, when to replace in `core.rotation`, what items
a link is to have in `core.restore`. What becomes of turns is in `turns.py`.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Final, Literal

import attrs
import msgspec
import trio

from realtime_trio import events
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.kept_audio import KeptAudio
from realtime_trio.core.reconnect import Backoff, Fatal, ReconnectPolicy, Retry, verdict
from realtime_trio.core.restore import Wanted, wanted
from realtime_trio.core.rotation import Rotation
from realtime_trio.core.runs import PartKey
from realtime_trio.device import SAMPLE_RATE
from realtime_trio.errors import ConnectionClosed
from realtime_trio.log_words import name_of, problem_of

from .backlog import Backlog
from .calls import Call, Calls
from .inside import Inside
from .line import Line
from .mcp import HostedMcp
from .notices import LinkLost, Notice, Reconnected
from .sound import Sound
from .successor import OpenLink, Successor
from .turns import LostTurns, Turns

__all__ = ["Recovery"]

_log = logging.getLogger("realtime_trio.session")

_LOOK_AGAIN: Final = 0.05  # seconds: nothing tells when a call has its answer or the last word was heard


@attrs.frozen
class _Loss:
    """What a session let go of when its link was lost or left."""

    at: float
    turns: LostTurns


@attrs.define(eq=False, repr=False)
class Recovery(Inside):
    """The way from one connection to the next, of one session.

    Attributes:
        policy: Whether there is one, and how hard it is tried; None for never.
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
    """

    policy: ReconnectPolicy | None
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
    _backoff: Backoff | None = attrs.field(default=None, init=False)
    _rotation: Rotation | None = attrs.field(default=None, init=False)
    _since: float = attrs.field(default=0.0, init=False)  # when the connection that carries the session began to
    _name: str = attrs.field(default="(no id)", init=False)
    _loss: _Loss | None = attrs.field(default=None, init=False)
    _carrier: Successor | None = attrs.field(default=None, init=False)  # None as long as it is the first
    _standby: Successor | None = attrs.field(default=None, init=False)
    _round: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)  # of `rotate`

    def begin(self, session: events.RealtimeSession, created_at: float) -> None:
        """The session stands: from now on a lost link is not its end.

        Args:
            session: What the first connection said of itself.
            created_at: When it said so.
        """
        if self.policy is None:
            return
        self.line.recovers = True
        self.line.shorten = self._shorten
        self._backoff = Backoff(self.policy, random.random)
        self._plan(session, created_at)
        self.start_soon(self.rotate)

    def _plan(self, session: events.RealtimeSession, created_at: float) -> None:
        assert self.policy is not None  # noqa: S101 nothing begins without one
        expires_at = session.expires_at if isinstance(session.expires_at, int) else None
        server_time = self.line.connection.server_time
        self._rotation = Rotation(self.policy.max_age, created_at, expires_at, server_time)
        self._since = created_at
        self._name = name_of(session.id, self._name)

    async def say_goodbye(self) -> None:
        """Let what still waits on a link that followed another leave, as it does on the first; bounded as that is."""
        if self._carrier is not None:
            self._carrier.release()
            await self._carrier.closed.wait()

    # A link that is lost

    async def recover(self, end: ConnectionClosed) -> None:
        """See to another connection; the caller is who reads, and found that the link is over.

        Args:
            end: How it ended.

        Raises:
            ConnectionClosed: The same: no other link follows.
            ConnectError: Why none follows, where that says more.
            ServerError: Likewise.

        Cancellation:
            The session is without a link.
        """
        if self._backoff is None or isinstance(verdict(end), Fatal):
            raise end
        if self._loss is None:  # else a swap came to nothing
            self._backoff.lived(trio.current_time() - self._since)
            self.kept.lose_link(self._arrived_until())
            self._loss = self._let_go()
        self._round.cancel(reason="the link is lost")
        self.publish(LinkLost(end))
        attempts = 0
        problem: Exception = end
        while True:
            judged = verdict(problem)
            if isinstance(judged, Fatal):
                problem.add_note("this was while the session reconnected, because its link had been lost")
                raise problem
            wait = self._backoff.next(judged.after)
            if wait is None:
                end.add_note(
                    f"the session tried to reconnect {attempts} times in vain; at last: {problem!r}"
                    if attempts
                    else f"the session had reconnected {self._backoff.attempts} times, and soon lost each link again"
                )
                raise end
            if attempts:
                words = "session %s: attempt %d to reconnect: %s; the next in %.1f s"
                _log.warning(words, self._name, attempts, problem_of(problem), wait)
            standby, self._standby = self._standby, None
            if standby is None or standby.problem is not None:
                standby = None
                await trio.sleep(wait)
            attempts += 1
            try:
                await self._go_over(standby, "lost", attempts)
            except Exception as error:  # noqa: BLE001 what it means is judged above
                problem = error
            else:
                return

    async def _go_over(self, standby: Successor | None, reason: Literal["lost", "age"], attempts: int) -> None:
        """Let a new link carry the session: one that stands by, or one that is opened now."""
        successor = self._open() if standby is None else standby
        try:
            await self._bring_up_to_date(successor)
            await self._take_over(successor, reason, attempts)
        except BaseException:
            self.kept.fail_link()
            successor.release()
            raise

    def _open(self) -> Successor:
        successor = Successor(self.open_link, self.calls.timeout)
        self.start_soon(successor.run)
        return successor

    async def _bring_up_to_date(self, successor: Successor) -> None:
        """Make a link the session's equal; what is to be restored may grow meanwhile."""
        await successor.prepare(self.line.settings.effective())
        while await successor.bring(self._wanted()) or await successor.configure(self.line.settings.effective()):
            pass

    def _wanted(self) -> Wanted:
        return wanted(self.conversation, playing=self._being_played(), audio_of=self.kept.of_item)

    def _being_played(self) -> set[str]:
        """The items of which there is more to be heard."""
        ledger, now = self.sound.ledger, trio.current_time()
        return {
            part.item_id
            for part in ledger.parts()
            if not ledger.blocked(part.response_id) and not ledger.played(part.response_id, now)
        }

    # From one to the next

    def _arrived_until(self) -> float | None:
        """Until when what was sent is known to have arrived; None for no doubt about it.

        An event proves it only where the link is too young, or of a kind, to know better: one may come all the same
        when nothing gets through the other way.
        """
        answered_at = self.line.connection.answered_at
        return self.line.heard_at if answered_at is None else answered_at

    def _let_go(self) -> _Loss:
        now = trio.current_time()
        self.line.lose()
        self.calls.hold()
        lost = self.turns.lose_link(now)
        self.mcp.lose_link()
        return _Loss(now, lost)

    async def _take_over(self, successor: Successor, reason: Literal["lost", "age"], attempts: int) -> None:
        """Give it what waits, and let it carry the session; what was let go is asked for again."""
        connection = await successor.connection()
        commits = [call for call in self.calls.in_flight if call.kind == "commit"]
        backlog = Backlog(self.kept, self.sound.capture.ledger, deque(commits))
        await backlog.send(successor.send)
        updates = await self._ask_again(successor, but=set(commits).difference(backlog.commits))
        told = await successor.hand_over()
        if successor.problem is not None:
            raise successor.problem
        # From here on nothing waits: what happens now, happens to the new link.
        loss, want = self._loss, self._wanted()
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
        self.conversation.set_heard(
            part, truncate.audio_end_ms
        )  # the mirror learns it from the answer, which comes next
        return self._carrier.replace(truncate.item_id, self._wanted())

    # A link that becomes too old

    async def rotate(self) -> None:
        """Replace each link before it is too old, until cancelled; a service of the session's.

        Cancellation:
            The link that stands by is let go.
        """
        while True:
            await self.line.opened()
            with trio.CancelScope() as self._round:
                await self._replace()

    async def _replace(self) -> None:
        """Replace the link that carries the session now."""
        rotation = self._rotation
        assert rotation is not None  # noqa: S101 there is one from `begin` on
        assert self.policy is not None  # noqa: S101 nothing begins without one
        backoff = Backoff(self.policy, random.random)
        await trio.sleep_until(rotation.opens_at)
        while True:
            now = trio.current_time()
            standby = self._standby
            ready = standby is not None and standby.problem is None
            quiet, generating = self._is_quiet(now), self._is_generating()
            match rotation.step(now, quiet=quiet, generating=generating, ready=ready):
                case "open":
                    await self._stand_by(backoff)
                case "swap" if standby is not None and await self._is_up_to_date(standby):
                    self._standby = None
                    await self._swap(standby)
                    return
                case _:
                    await trio.sleep_until(min(now + _LOOK_AGAIN, rotation.deadline(now)))

    async def _stand_by(self, backoff: Backoff) -> None:
        """Have a link beside the one that carries the session; if it cannot be had, that one is used to its end."""
        dead, self._standby = self._standby, None
        problem: Exception | None = None
        if dead is not None:
            dead.release()
            problem = dead.problem
            backoff.lived(trio.current_time() - dead.created_at)
        while True:
            judged = Retry() if problem is None else verdict(problem)
            wait = None if isinstance(judged, Fatal) else backoff.next(judged.after)
            if wait is None:
                await trio.sleep_forever()  # until the link's end, which `recover` sees to
                return
            await trio.sleep(wait)
            successor = self._open()
            try:
                await self._bring_up_to_date(successor)
            except trio.Cancelled:
                successor.release()
                raise
            except Exception as error:  # noqa: BLE001 what it means is judged above
                successor.release()
                _log.warning("session %s: no link to replace the old one yet: %s", self._name, problem_of(error))
                problem = error
            else:
                await self._keep(successor)
                return

    async def _keep(self, standby: Successor) -> None:
        """Have it stand by, unless the link was lost a moment ago: then nobody waits for it any more."""
        if self._round.cancel_called:
            standby.release()
            await trio.lowlevel.checkpoint()
        self._standby = standby

    async def _is_up_to_date(self, standby: Successor) -> bool:
        """See whether a link is the session's equal at this moment; else make it so, for the next."""
        self._standby = None  # half told, it is no use to anybody
        try:
            changed = await standby.configure(self.line.settings.effective())
            changed = await standby.bring(self._wanted()) or changed
        except trio.Cancelled:
            standby.release()
            raise
        except Exception as error:  # noqa: BLE001 then another one is opened
            self._standby = standby  # it knows its problem
            _log.warning("session %s: the link that stood by is lost: %s", self._name, problem_of(error))
            return False
        await self._keep(standby)
        return not changed

    async def _swap(self, standby: Successor) -> None:
        self.kept.lose_link(self._arrived_until())
        self._loss = self._let_go()
        try:
            await self._take_over(standby, "age", 1)
        except trio.Cancelled:
            standby.release()
            raise
        except Exception as error:  # noqa: BLE001 the reader finds it, as it finds every lost link
            self.kept.fail_link()
            standby.release()
            end = error if isinstance(error, ConnectionClosed) else ConnectionClosed(None, f"{error}")
            self.line.fail(end)

    def _is_quiet(self, now: float) -> bool:
        """Whether nothing is under way that another link would have to be told of in the middle."""
        pending = any(item.transcription == "pending" for item in self.conversation)
        silent = self.turns.timer.is_quiet_at(now) <= now
        return silent and not (self._is_generating() or self.calls.in_flight or pending)

    def _is_generating(self) -> bool:
        return any(not response.is_done for response in self.turns.live.values()) or not self.turns.is_idle
