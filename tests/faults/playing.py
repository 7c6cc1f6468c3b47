"""Plays a conversation against the offline server through a faulty proxy, and tells what came of it."""

import contextlib
import random
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import attrs
import trio
from trio.testing import MockClock

from realtime_trio import (
    AudioDropped,
    LinkLost,
    Reconnected,
    ReconnectPolicy,
    ReplyLost,
    Session,
    open_server,
    open_session,
)
from realtime_trio.core.conversation import ConversationItem
from realtime_trio.server import Server
from realtime_trio.server.babble import babble_source
from realtime_trio.server.brain import RulesBrain
from realtime_trio.testing import FakeDevice, FaultyProxy, open_faulty_proxy
from realtime_trio.transport import Target, open_websocket

from .conversations import TOOLS, Conversation, Gate, Talk, Understanding
from .faults import Trouble

WITHIN = 600.0  # seconds: every call of a conversation has its own limit, which is shorter
GOODBYE = 3.0  # seconds in which the links of a session that is over have to be gone

NO_TROUBLE = Trouble({})


@attrs.frozen
class Line:
    """One item of the conversation as it is to be compared: without ids, without sound.

    Attributes:
        response_id: The response that made it; not compared.
        words_known: Whether a user's speech was transcribed; not compared.
        interrupted: Whether somebody spoke over it; not compared.
    """

    kind: str
    role: str | None = None
    words: str = ""
    call: str = ""
    output: str | None = None
    response_id: str | None = attrs.field(default=None, eq=False)
    words_known: bool = attrs.field(default=True, eq=False)
    interrupted: bool = attrs.field(default=False, eq=False)


@attrs.define
class Outcome:
    """What came of a conversation.

    Attributes:
        lines: The mirror at the end.
        calls: How many outputs each function call has.
        asked: See `Talk`.
        missed: See `Talk`.
        lost: The links that were lost.
        reconnected: The links that followed.
        dropped_ms: Sound that a slow uplink cost, as was reported.
        replies_lost: Replies that were given up, and said so.
        cut: Responses that the session itself says were cut off by the loss of a link.
        error: What the session ended with.
        totals: How many bytes went up and down on each connection.
        left: What was left of it that should not be.
        most: The largest of what is bounded.
    """

    lines: list[Line] = attrs.Factory(list)
    calls: dict[str, int] = attrs.Factory(dict)
    asked: dict[str, str | Exception] = attrs.Factory(dict)
    missed: list[str] = attrs.Factory(list)
    lost: list[LinkLost] = attrs.Factory(list)
    reconnected: list[Reconnected] = attrs.Factory(list)
    replies_lost: list[ReplyLost] = attrs.Factory(list)
    dropped_ms: int = 0
    cut: set[str] = attrs.Factory(set)
    error: BaseException | None = None
    totals: list[tuple[int, int]] = attrs.Factory(list)
    left: list[str] = attrs.Factory(list)
    most: dict[str, int] = attrs.Factory(dict)


def play(conversation: Conversation, trouble: Trouble = NO_TROUBLE, *, seed: object) -> Outcome:
    """Play one in memory, under a mock clock. The same seed gives the same run."""
    random.seed(str(seed))
    with _the_same_schedule(str(seed)):
        return trio.run(play_in_memory, conversation, trouble, clock=MockClock(autojump_threshold=0))


async def play_in_memory(conversation: Conversation, trouble: Trouble = NO_TROUBLE) -> Outcome:
    """Play one in memory."""
    async with (
        _open_server(conversation, trouble, listen=False) as server,
        open_faulty_proxy(server, trouble.plan) as proxy,
    ):
        return await _play(conversation, proxy, trouble.policy, connect=_impatient(proxy.connect))


async def play_over_sockets(conversation: Conversation, trouble: Trouble = NO_TROUBLE) -> Outcome:
    """Play one over sockets, in real time."""
    async with (
        _open_server(conversation, trouble, listen=True) as server,
        open_faulty_proxy(server.url, trouble.plan) as proxy,
    ):
        return await _play(conversation, proxy, trouble.policy, connect=_impatient(open_websocket, pong_timeout=6.0))


def _open_server(conversation: Conversation, trouble: Trouble, *, listen: bool) -> AbstractAsyncContextManager[Server]:
    brain = RulesBrain(now=lambda: datetime(2026, 1, 2, 3, 4, 5))  # noqa: DTZ001 nobody's zone
    more = dict(conversation.server)
    if trouble.session_seconds is not None:
        more["session_seconds"] = trouble.session_seconds
    return open_server(listen=listen, brain=brain, voice=babble_source(), recogniser=Understanding(), **more)


def _impatient(connect: Any, *, pong_timeout: float = 3.0) -> Any:
    """Notice a dead link in seconds: before any call's own time is over."""

    def connect_impatiently(target: Target) -> Any:
        return connect(attrs.evolve(target, ping_interval=2.0, pong_timeout=pong_timeout, connect_timeout=5.0))

    return connect_impatiently


async def _play(
    conversation: Conversation, proxy: FaultyProxy, policy: ReconnectPolicy | None, **where: Any
) -> Outcome:
    outcome = Outcome()
    device = FakeDevice(block_ms=80, output_latency_ms=20)
    gate = Gate()
    options = {"tools": TOOLS, **conversation.options, "reconnect": policy or ReconnectPolicy()}
    try:
        with trio.fail_after(WITHIN):
            async with trio.open_nursery() as nursery:
                if conversation.voice:
                    nursery.start_soon(device.run)
                async with open_session(
                    url=proxy.url,
                    audio=device if conversation.voice else None,
                    dependencies=[gate],
                    **options,
                    **where,
                ) as session:
                    nursery.start_soon(_watch, session, outcome)
                    async with _noting(session, outcome):
                        await conversation.body(Talk(session, device, gate, outcome.asked, outcome.missed))
                        await session.drained()
                    outcome.lines = [_line(item) for item in session.conversation.items]
                    outcome.calls = _outputs(session)
                nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001 judged by who compares
        outcome.error = _only(group)
    with trio.move_on_after(GOODBYE):
        for connection in proxy.connections:
            if not any(getattr(fault, "seconds", 0) > GOODBYE for fault in connection.faults):
                await connection.wait_ended()
    outcome.left = [repr(one) for one in proxy.connections if not one.ended and not one.faults]
    if device.is_open:
        outcome.left.append("the device")
    outcome.totals = [(connection.up, connection.down) for connection in proxy.connections]
    return outcome


@contextlib.asynccontextmanager
async def _noting(session: Session, outcome: Outcome) -> AsyncGenerator[None]:
    """Note what the session says of its links and replies."""

    async def note() -> None:
        async for notice in notices:
            match notice:
                case LinkLost():
                    outcome.lost.append(notice)
                case Reconnected():
                    outcome.reconnected.append(notice)
                    outcome.cut |= set(notice.asked_again) | set(notice.cut_off)
                case AudioDropped():
                    outcome.dropped_ms += notice.ms
                case ReplyLost():
                    outcome.replies_lost.append(notice)

    async with trio.open_nursery() as nursery:
        notices = session.events(LinkLost, Reconnected, ReplyLost, AudioDropped, size=100_000)
        nursery.start_soon(note)
        yield
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.move_on_after(WITHIN):  # what became of a link that was lost at last, is told yet
            while len(outcome.lost) > sum(one.reason == "lost" for one in outcome.reconnected):  # noqa: ASYNC110
                await trio.sleep(0.1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


async def _watch(session: Session, outcome: Outcome) -> None:
    """Note how large what is bounded becomes."""
    while True:
        now = session.statistics()
        for name, value in (
            ("calls", now.queues.calls),
            ("replies", now.queues.replies),
            ("waiting", now.link.waiting),
            ("live", now.responses.live),
            ("items", session.conversation.size),
        ):
            outcome.most[name] = max(value, outcome.most.get(name, 0))
        await trio.sleep(0.5)


def _line(item: ConversationItem) -> Line:
    words = re.sub(r"call_\w+", "call", " ".join(item.generated_text.split()))
    known = item.transcription not in ("pending", "failed")
    call = f"{item.name}({item.arguments})" if item.type == "function_call" else ""
    interrupted = item.role == "assistant" and (item.truncated_ms is not None or item.status == "incomplete")
    return Line(item.type, item.role, words, call, item.output, item.response_id, known, interrupted)


def _outputs(session: Session) -> dict[str, int]:
    items = session.conversation.items
    calls = {item.call_id or "": 0 for item in items if item.type == "function_call" and item.status != "incomplete"}
    for item in items:
        if item.type == "function_call_output":
            calls[item.call_id or ""] = calls.get(item.call_id or "", -10) + 1
    return calls


def _only(group: BaseExceptionGroup) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _the_same_schedule(seed: str) -> Iterator[None]:
    """Have Trio shuffle its tasks in the same way each time, as hypothesis has it do."""
    run = trio._core._run  # type: ignore[attr-defined]
    before, state = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = before
        run._r.setstate(state)
