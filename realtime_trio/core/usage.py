"""What a session used: the server's counts, each taken once, and every token under one kind.

What that costs is in `core.prices`, what it may cost in `core.budget`. The counts stand in `response.done`, also of
responses beside the conversation, and in `conversation.item.input_audio_transcription.completed`.

Theory of operation. The server's totals always win: what its details leave out is counted as `unknown`, and what they
have too much is taken off, from text first, then images, then audio. So a count is never dearer than it was by less
than the difference, and never cheaper. Cached tokens are part of the input, never more of a kind than the input has;
where it is not said which they are, they are taken for text. A total that is missing is what the other two leave.
Nothing that a server says here raises.
"""

import math
from collections.abc import Hashable
from decimal import Decimal

import attrs

from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationUsage,
    InputAudioBufferCommitted,
    InputAudioBufferTimeoutTriggered,
    Message,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    TokenUsage,
    Usage,
)

from .recent import Recent

__all__ = ["Meter", "ResponseUsage", "SessionUsage", "Tokens", "TranscriptionTotal", "count"]

_MOST_KNOWN = 4096  # ids; an hour of talk has some hundred
_CHEAPEST_FIRST = ("text", "image", "audio")


@attrs.frozen
class Tokens:
    """Tokens, by kind.

    Attributes:
        text: Of text.
        audio: Of sound.
        image: Of images.
        unknown: Of which the server did not say what they are.
    """

    text: int = 0
    audio: int = 0
    image: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.text + self.audio + self.image + self.unknown

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.text + other.text, self.audio + other.audio, self.image + other.image, self.unknown + other.unknown
        )


@attrs.frozen
class ResponseUsage:
    """What responses used.

    Attributes:
        input: What the model read.
        cached: How much of `input` came from the cache: a part of it, not more on top of it.
        output: What the model wrote and said.
    """

    input: Tokens = Tokens()
    cached: Tokens = Tokens()
    output: Tokens = Tokens()

    @property
    def total_tokens(self) -> int:
        """Input and output, as the server adds them up."""
        return self.input.total + self.output.total

    def __add__(self, other: "ResponseUsage") -> "ResponseUsage":
        return ResponseUsage(self.input + other.input, self.cached + other.cached, self.output + other.output)


@attrs.frozen
class TranscriptionTotal:
    """What the transcription of the user's speech used: a model of its own, paid for apart.

    Attributes:
        input: What it read, where it is paid for by tokens.
        output: Tokens that it wrote.
        seconds: How long the speech was, where it is paid for by time.
        transcripts: How many there were.
    """

    input: Tokens = Tokens()
    output: int = 0
    seconds: Decimal = Decimal(0)
    transcripts: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input.total + self.output


@attrs.frozen
class SessionUsage:
    """What a session used so far.

    Attributes:
        input: What the model read, in tokens by kind.
        cached: How much of `input` came from the cache: a part of it, not more on top of it.
        output: What the model wrote and said.
        transcription: What the transcription of the user's speech used; not part of the other figures.
        responses: How many responses ended, those beside the conversation included.
        turns: How often the user said or wrote something that the model began to answer.
        minutes: How old the session is.
        audio_in_minutes: How much sound was sent.
        audio_out_minutes: How much sound was received.
    """

    input: Tokens = Tokens()
    cached: Tokens = Tokens()
    output: Tokens = Tokens()
    transcription: TranscriptionTotal = TranscriptionTotal()
    responses: int = 0
    turns: int = 0
    minutes: float = 0.0
    audio_in_minutes: float = 0.0
    audio_out_minutes: float = 0.0

    @property
    def input_tokens(self) -> int:
        """All that the model read, cached or not."""
        return self.input.total

    @property
    def cached_tokens(self) -> int:
        """How much of that came from the cache."""
        return self.cached.total

    @property
    def output_tokens(self) -> int:
        """All that the model wrote and said."""
        return self.output.total

    @property
    def total_tokens(self) -> int:
        """Input and output, without the transcription."""
        return self.input.total + self.output.total


def count(usage: Usage | None) -> ResponseUsage:
    """Put every token of a response under one kind.

    Args:
        usage: As the server gave it, consistent or not.
    """
    if not isinstance(usage, Usage):
        return ResponseUsage()
    details = usage.input_token_details or None
    said_in, said_out = _kinds(details), _kinds(usage.output_token_details or None)
    ins, outs, total = _whole(usage.input_tokens), _whole(usage.output_tokens), _whole(usage.total_tokens)
    if total is not None:
        if ins is None and outs is None:
            ins, outs = said_in.total, max(total - said_in.total, said_out.total)  # the rest may be the dearer half
        elif ins is None:
            ins = max(total - (outs or 0), 0)
        elif outs is None:
            outs = max(total - ins, 0)
    read = _fit(said_in, ins)
    cached = _kinds(details and (details.cached_tokens_details or None))
    return ResponseUsage(read, _within(cached, _whole(details and details.cached_tokens), read), _fit(said_out, outs))


def _whole(value: object) -> int | None:
    """Take a count for what it is; what is none is not there."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _kinds(details: object) -> Tokens:
    return Tokens(**{kind: _whole(getattr(details, f"{kind}_tokens", None)) or 0 for kind in _CHEAPEST_FIRST})


def _fit(parts: Tokens, total: int | None) -> Tokens:
    """Make the parts add up to the server's total."""
    if total is None:
        return parts
    surplus = parts.total - total
    if surplus <= 0:
        return attrs.evolve(parts, unknown=-surplus)
    for kind in _CHEAPEST_FIRST:
        taken = min(surplus, getattr(parts, kind))
        parts = attrs.evolve(parts, **{kind: getattr(parts, kind) - taken})
        surplus -= taken
    return parts


def _within(cached: Tokens, total: int | None, read: Tokens) -> Tokens:
    """Make what was cached part of what was read, kind by kind, and add up to the server's total where it can."""
    parts = {kind: min(getattr(cached, kind), getattr(read, kind)) for kind in ("text", "image", "audio", "unknown")}
    missing = 0 if total is None else total - sum(parts.values())  # what does not fit into what was read stays over
    for kind in parts if missing > 0 else reversed(list(parts)):  # a cached token of text saves the least
        change = min(missing, getattr(read, kind) - parts[kind]) if missing > 0 else max(missing, -parts[kind])
        parts[kind] += change
        missing -= change
    return Tokens(**parts)


@attrs.define(eq=False)
class Meter:
    """Adds up what the server says, each thing once, in whatever order it comes and however often."""

    _total: ResponseUsage = attrs.field(factory=ResponseUsage, init=False)
    _transcription: TranscriptionTotal = attrs.field(factory=TranscriptionTotal, init=False)
    _turns: int = attrs.field(default=0, init=False)
    _responses: int = attrs.field(default=0, init=False)
    _done: Recent[Hashable] = attrs.field(factory=lambda: Recent(_MOST_KNOWN), init=False)
    _counted: Recent[Hashable] = attrs.field(factory=lambda: Recent(_MOST_KNOWN), init=False)
    _said: Recent[str] = attrs.field(
        factory=lambda: Recent(_MOST_KNOWN), init=False
    )  # the user's items that nobody answered yet
    # items of the user's, and silence taken for one
    _known: Recent[str] = attrs.field(factory=lambda: Recent(_MOST_KNOWN), init=False)

    @property
    def total_tokens(self) -> int:
        """Of all responses."""
        return self._total.total_tokens

    @property
    def turns(self) -> int:
        """How often the user said or wrote something that the model began to answer."""
        return self._turns

    def usage(
        self, *, minutes: float = 0.0, audio_in_minutes: float = 0.0, audio_out_minutes: float = 0.0
    ) -> SessionUsage:
        """Sum it up."""
        return SessionUsage(
            input=self._total.input,
            cached=self._total.cached,
            output=self._total.output,
            transcription=self._transcription,
            responses=self._responses,
            turns=self._turns,
            minutes=minutes,
            audio_in_minutes=audio_in_minutes,
            audio_out_minutes=audio_out_minutes,
        )

    def begin(self) -> None:
        """Forget what the user said so far: it was put there, and is no turn."""
        self._said.clear()

    def handle(self, event: ServerEvent) -> None:
        """Follow one server event."""
        match event:
            case ResponseDone(response=response):
                key = response.id or event.event_id
                self._responses += key not in self._done
                self._done.add(key)
                if response.usage and key not in self._counted:
                    self._counted.add(key)
                    self._total += count(response.usage)
            case ConversationItemInputAudioTranscriptionCompleted(item_id=item_id, content_index=index):
                if (item_id, index) not in self._counted:
                    self._counted.add((item_id, index))
                    self._transcribed(event.usage)
            case ResponseCreated(response=response) if response.conversation_id is not None:
                self._turns += len(self._said) > 0
                self._said.clear()
            case _:
                self._listen(event)

    def _transcribed(self, usage: object) -> None:
        sofar = self._transcription
        tokens, output, seconds = sofar.input, sofar.output, sofar.seconds
        match usage:
            case TokenUsage():
                tokens += _fit(_kinds(usage.input_token_details or None), _whole(usage.input_tokens))
                output += _whole(usage.output_tokens) or 0
            case DurationUsage(seconds=length) if math.isfinite(length) and length > 0:
                seconds += Decimal(repr(length))
            case _:
                pass
        self._transcription = TranscriptionTotal(tokens, output, seconds, sofar.transcripts + 1)

    def _listen(self, event: ServerEvent) -> None:
        match event:
            case InputAudioBufferCommitted(item_id=item_id):
                self._say(item_id)
            case (
                ConversationItemAdded(item=item) | ConversationItemCreated(item=item) | ConversationItemDone(item=item)
            ):
                if isinstance(item, Message) and item.role == "user" and item.id:
                    self._say(item.id)
            case ConversationItemDeleted(item_id=item_id):
                self._said.discard(item_id)  # a noise, which was not meant
            case InputAudioBufferTimeoutTriggered(item_id=item_id):
                self._known.add(item_id)  # what will be committed is silence
            case _:
                pass

    def _say(self, item_id: str) -> None:
        if item_id not in self._known:
            self._known.add(item_id)
            self._said.add(item_id)
