"""A response as the user sees it: live while it goes on, with one record that any number of readers share.

Who may start one, and what its end means for the conversation, is decided in `turns.py`; sound is `sound.py`'s
business.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
import msgspec
import trio

from realtime_trio import events
from realtime_trio.core.failures import failure

from .latency import Latency, Stages
from .promise import Promise
from .tape import Tape

if TYPE_CHECKING:
    from realtime_trio.core.barge_in import InterruptionPolicy
    from realtime_trio.core.guard import Stop
    from realtime_trio.core.interruption import Interruption
    from realtime_trio.core.prices import Prices

__all__ = ["Reply", "Response", "ToolCall", "total_cost", "total_usage"]


@attrs.frozen
class ToolCall:
    """One function call of the model, with what it was answered.

    Attributes:
        call_id: The call, as the server names it.
        name: The tool.
        arguments: JSON text, as the model wrote it.
        output: What the model was given.
    """

    call_id: str
    name: str
    arguments: str = attrs.field(repr=False)
    output: str = attrs.field(repr=False)


@attrs.frozen
class Reply:
    """A whole exchange: from what was asked until nothing more was owed.

    Attributes:
        text: The words of the last response (its transcript, where it was spoken).
        status: Of the last response: `"completed"`, `"incomplete"` or `"cancelled"`.
        incomplete_reason: Why the last response is incomplete: `"max_output_tokens"` or `"content_filter"`; None when
            it is not.
        cancelled_reason: Why it was cancelled: `"turn_detected"` or `"client_cancelled"`, when the server said so.
        cost: What all its responses cost together; None without `open_session(prices=...)`.
        usage: Tokens of all its responses together.
        tool_calls: Every function call on the way, in order.
        responses: Every response on the way, in order; the last one gave `text`.
        interruption: What was heard, when the last response was interrupted.
    """

    text: str
    status: str
    usage: events.Usage
    tool_calls: tuple[ToolCall, ...]
    responses: tuple["Response", ...]
    interruption: "Interruption | None" = None
    incomplete_reason: str | None = None
    cancelled_reason: str | None = None
    cost: Decimal | None = None


@attrs.define(eq=False, repr=False)
class Response:
    """One response turn: from `response.created` until it was heard, or interrupted.

    As an asynchronous context manager it is the turn's scope: a barge-in leaves the block quietly, and leaving the
    block before the response was generated, or by an exception before it was heard, interrupts the response.

    Attributes:
        id: The server's id.
        out_of_band: Whether it is beside the conversation: not spoken, and in no history.
        text_deltas: Pieces of text as they come; each `async for` starts at the first.
        transcript_deltas: Pieces of the transcript of what it speaks, ahead of the sound.
        audio_chunks: PCM in the session's output format as it comes, faster than real time.
        interruption: What was heard, once it was interrupted and the server was told.
        speech_ended_at: When the user stopped speaking, for a response to speech; Trio time.
        audio_bytes: How much audio was received of it.
        characters: How many characters of words were received of it.
        pieces: In how many deltas all that came.
        parts: The content parts that words or sound came for: item and index.
        final_characters: How many characters the ends of its parts repeated.
        is_ours: Whether this session asked for it; otherwise turn detection did, or somebody else.
        first_sound_at: When the first sound of it left the speaker; Trio time, None without a device.
        stages: What `latency` is split by.
        prices: What `cost` is reckoned with.
        policy: What the user's speech does while it is to be heard; None for what it does in the session.
        held: Whether some of it waits for the guard; what is held is in none of its streams yet.
        stopped_by: What the guard said, if it stopped this response.
        cut_off: Whether the link was lost while it was being generated and heard: what came of it is all there will be.
    """

    id: str
    out_of_band: bool = False
    text_deltas: Tape[str] = attrs.field(factory=Tape)
    transcript_deltas: Tape[str] = attrs.field(factory=Tape)
    audio_chunks: Tape[bytes] = attrs.field(factory=Tape)
    interruption: "Interruption | None" = None
    speech_ended_at: float | None = None
    first_sound_at: float | None = None
    stages: Stages = attrs.field(factory=Stages, repr=False)
    audio_bytes: int = 0
    characters: int = 0
    pieces: int = 0
    parts: set[tuple[str, int]] = attrs.field(factory=set, repr=False)
    final_characters: int = 0
    is_ours: bool = False
    policy: "InterruptionPolicy | None" = None
    held: bool = False
    stopped_by: "Stop | None" = None
    cut_off: bool = False
    prices: "Prices | None" = attrs.field(default=None, repr=False)
    _now: events.Response = attrs.field(factory=events.Response)
    _interrupt: Callable[["Response"], object] = attrs.field(default=lambda _: None, alias="interrupt")
    _done: Promise[events.Response] = attrs.field(factory=Promise, init=False)
    _heard: Promise[None] = attrs.field(factory=Promise, init=False)
    _scopes: dict[trio.lowlevel.Task, list[trio.CancelScope]] = attrs.field(factory=dict, init=False)
    _interrupted: bool = attrs.field(default=False, init=False)

    def __repr__(self) -> str:
        return f"<Response {self.id} {self.status}{' interrupted' if self._interrupted else ''}>"

    @property
    def status(self) -> str:
        """`"in_progress"`, `"completed"`, `"cancelled"`, `"incomplete"` or `"failed"`."""
        return self._now.status or "in_progress"

    @property
    def incomplete_reason(self) -> str | None:
        """Why it is incomplete: `"max_output_tokens"` or `"content_filter"`; None when it is not."""
        return self._reason if self.status == "incomplete" else None

    @property
    def cancelled_reason(self) -> str | None:
        """Why it was cancelled: `"turn_detected"` or `"client_cancelled"`; None when it was not."""
        return self._reason if self.status == "cancelled" else None

    @property
    def _reason(self) -> str | None:
        return (self._now.status_details.reason or None) if self._now.status_details else None

    @property
    def items(self) -> tuple[events.Item, ...]:
        """The output items as the server gave them at the end; empty until then."""
        return tuple(self._now.output or ())

    @property
    def usage(self) -> events.Usage | None:
        """Tokens used, once it is done."""
        return self._now.usage or None

    @property
    def cost(self) -> Decimal | None:
        """What that costs; None until it is done, and without `open_session(prices=...)`."""
        return None if self.prices is None or self.usage is None else self.prices.cost(self.usage)

    @property
    def metadata(self) -> dict[str, str]:
        """The key-value pairs it was asked for with."""
        return dict(self._now.metadata or {})

    @property
    def text(self) -> str:
        """Its words so far: what it wrote, or the transcript of what it speaks."""
        return "".join(self.text_deltas.entries) or "".join(self.transcript_deltas.entries)

    @property
    def final(self) -> events.Response:
        """The server's latest value of it."""
        return self._now

    @property
    def latency_ms(self) -> int | None:
        """From the end of the user's speech to the first sound at the loudspeaker, where both are known."""
        if self.speech_ended_at is None or self.first_sound_at is None:
            return None
        return round((self.first_sound_at - self.speech_ended_at) * 1000)

    @property
    def latency(self) -> Latency | None:
        """How long it took to be heard, and where the time went; None until its first sound, and without a device.

        Also known for an answer to no speech: its time begins when it was asked for.
        """
        return self.stages.latency(self.speech_ended_at, self.first_sound_at)

    @property
    def interrupted(self) -> bool:
        """Whether it was interrupted."""
        return self._interrupted

    @property
    def is_done(self) -> bool:
        """Whether the server has finished it, in whatever way."""
        return self._done.settled

    @property
    def is_heard(self) -> bool:
        """Whether nothing of it is left to be played."""
        return self._heard.settled

    async def done(self) -> events.Response:
        """Wait until it is generated, which is well before it is heard.

        Returns:
            The server's final value.

        Raises:
            ResponseFailed: It ended with status `failed`; of the subclass for the server's code, where there is one.
            ConnectionClosed: The link was lost before.

        Cancellation:
            Safe: the response goes on.
        """
        final = await self._done.wait()
        if final.status == "failed":
            raise failure(final)
        return final

    async def heard(self) -> None:
        """Wait until all of it was played, or it was interrupted. Without a device, until it is generated.

        Raises:
            ConnectionClosed: The link was lost before.

        Cancellation:
            Safe: the response goes on.
        """
        await self._heard.wait()

    async def __aenter__(self) -> Self:
        scope = trio.CancelScope()
        scope.__enter__()
        self._scopes.setdefault(trio.lowlevel.current_task(), []).append(scope)
        if self._interrupted:
            scope.cancel(reason="the response was interrupted")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        early = not self.is_done or (error is not None and not self.is_heard)
        if early and not self._interrupted:
            self._interrupt(self)
        task = trio.lowlevel.current_task()  # several may be in the block, and each has its own scope
        scope = self._scopes[task].pop()
        if not self._scopes[task]:
            del self._scopes[task]
        return scope.__exit__(kind, error, traceback)

    # For the session, not for users.

    def update(self, now: events.Response) -> None:
        """Take the server's latest value of it."""
        self._now = now

    def finish(self, final: events.Response) -> None:
        """It is generated."""
        self._now = final
        if not self.held:
            self._complete_tapes()
        self._done.keep(final)

    def let_go(self) -> None:
        """It is generated, and the guard let all of it pass."""
        self.held = False
        self._complete_tapes()

    def finish_heard(self) -> None:
        """All that will ever be played of it was played."""
        self._heard.keep(None)

    def cut(self) -> None:
        """It is interrupted: leave its scopes, end its streams."""
        self._interrupted = True
        self._complete_tapes()
        for scope in [scope for scopes in self._scopes.values() for scope in scopes]:
            scope.cancel(reason="the response was interrupted")

    def finish_interruption(self, record: "Interruption") -> None:
        """It is known what was heard of it, and the server was told."""
        self.interruption = record
        self._heard.keep(None)

    def end(self, reason: Exception | None) -> None:
        """The session is over."""
        self._complete_tapes()
        error = reason or trio.ClosedResourceError("the session is closed")
        self._done.break_(error)
        self._heard.break_(error)

    def _complete_tapes(self) -> None:
        for tape in (self.text_deltas, self.transcript_deltas, self.audio_chunks):
            tape.complete()


def total_usage(usages: Iterable[events.Usage | None]) -> events.Usage:
    """Add up the tokens of several responses, modality by modality; what no response reports stays absent."""
    total: events.Usage = _add([usage for usage in usages if usage is not None], events.Usage)
    return total


def total_cost(responses: Iterable[Response]) -> Decimal | None:
    """Add up what several responses cost; None without prices."""
    costs = [response.cost for response in responses]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def _add(values: Sequence[Any], kind: type[msgspec.Struct]) -> Any:
    """Add structs field by field, the token details inside them too."""
    total: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        present = [value for value in (getattr(one, name, None) for one in values) if value not in (None, events.UNSET)]
        if present and all(isinstance(value, int) for value in present):
            total[name] = sum(present)
        elif present and isinstance(present[0], msgspec.Struct):
            total[name] = _add(present, type(present[0]))
    return kind(**total)
