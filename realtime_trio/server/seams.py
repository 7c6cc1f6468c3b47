"""The seams of the offline server: turn detector, voice, recogniser, brain, and the values that cross them.

The protocol knows only these; what fills them stands in `turn_detection`, `babble`, `espeak`, `recogniser` and `brain`.

All sound here is mono PCM16, little endian, at 24 kHz (`SAMPLE_RATE`), and positions are counted in samples of it.
Every seam has a filling that is pure and in process, so that a server runs under Trio's autojump clock; the others
use a thread or a process of their own. One `Voice` and one `Recogniser` serve any number of sessions at once; a
`TurnDetector` belongs to one session.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs

from realtime_trio.errors import ConfigurationError

__all__ = [
    "SAMPLE_RATE",
    "Brain",
    "BrainRequest",
    "Eavesdropper",
    "Ending",
    "Failed",
    "HistoryItem",
    "Incomplete",
    "Recogniser",
    "Said",
    "Source",
    "Speech",
    "SpeechStarted",
    "SpeechStopped",
    "SpokenWord",
    "ToolAnswered",
    "ToolCall",
    "ToolCalled",
    "ToolSpec",
    "Transcript",
    "TurnDetector",
    "Utterance",
    "Voice",
]

SAMPLE_RATE = 24_000
"""Samples per second of all sound that crosses a seam."""

T_co = TypeVar("T_co", covariant=True)


# ---- turn detection: pure, one per session ----


@attrs.frozen
class SpeechStarted:
    """A turn of the user began.

    Attributes:
        start: Sample on the input timeline where the turn's audio begins, prefix padding included. Never before the
            end of the turn before it, never before the last `reset`.
    """

    start: int


@attrs.frozen
class SpeechStopped:
    """The turn that began last is over.

    Attributes:
        end: Sample on the input timeline where the turn's audio ends, the silence that decided it included.
    """

    end: int


class TurnDetector(Protocol):
    """Finds the user's turns in sound, and nothing else: no clock, no I/O, cheap enough to run in the server's task."""

    @property
    def speaking(self) -> bool:
        """Whether a turn is open: the last event was `SpeechStarted`, and no `reset` came since."""
        ...

    @property
    def position(self) -> int:
        """Samples fed so far: the input timeline goes on across turns and resets."""
        ...

    def configure(self, *, threshold: float, prefix_padding_ms: int, silence_duration_ms: int) -> None:
        """Change the settings from here on; an open turn and what was learned about the noise stay.

        Args:
            threshold: 0 (everything is speech) to 1 (only loud speech is).
            prefix_padding_ms: How much sound from before the noticed start belongs to the turn.
            silence_duration_ms: How much silence ends the turn.
        """
        ...

    def feed(self, pcm: bytes) -> Sequence[SpeechStarted | SpeechStopped]:
        """Take the next sound of the input timeline, of any length, in whole samples.

        Returns:
            What happened in it, in order: starts and stops alternate. How the sound is cut into calls makes no
            difference to the positions.
        """
        ...

    def reset(self) -> None:
        """Forget the open turn, as after a commit or a clear by hand. The timeline goes on."""
        ...


# ---- voice ----


@attrs.frozen
class SpokenWord:
    """One word in a `Speech`.

    Attributes:
        text: The word with the white space that follows it: all words joined are the text that was spoken.
        start: The sample where it begins.
    """

    text: str
    start: int


@attrs.frozen
class Speech:
    """A text as sound.

    Attributes:
        pcm: The sound (mono PCM16 at 24 kHz).
        words: The words in order, with ascending starts inside the sound.
    """

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    words: tuple[SpokenWord, ...]


class Voice(Protocol):
    """Makes speech of text. Safe to use from many tasks at once."""

    async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
        """Render a piece of text, about a sentence.

        Args:
            text: What to say. Empty text, or text without anything speakable, gives little or no sound.
            voice: A name of the API's ("alloy", "marin", ...); any name gives some timbre, always the same one.
            speed: 0.25 to 1.5; 1 is normal.

        Cancellation:
            Safe: a cancelled call leaves the voice usable.
        """
        ...


# ---- recogniser ----


@attrs.frozen
class Transcript:
    """What a recogniser understood.

    Attributes:
        text: The words, lower case without punctuation; empty when nothing was understood.
        certain: False when it is only a guess that must not be acted on.
    """

    text: str
    certain: bool = True


class Recogniser(Protocol):
    """Makes text of speech. Safe to use from many tasks at once."""

    async def recognise(self, pcm: bytes) -> Transcript:
        """Understand one whole user turn.

        Args:
            pcm: The turn's sound (mono PCM16 at 24 kHz).

        Cancellation:
            Safe: a cancelled call leaves the recogniser usable.
        """
        ...


@runtime_checkable
class Eavesdropper(Protocol):
    """What a recogniser may be as well: quick enough to be asked in the middle of a turn, for semantic VAD."""

    async def overhear(self, pcm: bytes) -> Transcript:
        """Understand what was said so far.

        Args:
            pcm: The sound (mono PCM16 at 24 kHz) of a turn's last seconds up to a pause in it.

        Returns:
            The words: `certain` when they are a whole sentence; with an ellipsis behind them when more must follow;
            none when it cannot tell.

        Cancellation:
            Safe.
        """
        ...


# ---- where voices and recognisers come from ----


@attrs.frozen
class Source(Generic[T_co]):
    """A voice or a recogniser that can be opened, and what it is.

    Attributes:
        description: For people: what was chosen and, for a lesser choice, what to install for a better one.
        open: Opens it once, for all sessions of a server. Leaving the context ends its processes.
    """

    description: str
    open: Callable[[], AbstractAsyncContextManager[T_co]]


# ---- brain ----


@attrs.frozen(kw_only=True)
class Said:
    """A message of the conversation.

    Attributes:
        role: Whose it is.
        text: Its text or transcript; None when it was spoken and nobody could understand it (no recogniser).
        certain: False when `text` is a recogniser's guess.
        seconds: How long the sound was; 0 for typed text.
        audio: The user's sound (mono PCM16 at 24 kHz) when the message was spoken; never the assistant's.
        instructions: What the response was told that said it, when it had instructions of its own; never a user's.
    """

    role: Literal["user", "assistant", "system"]
    text: str | None
    certain: bool = True
    seconds: float = 0.0
    audio: bytes = attrs.field(default=b"", repr=lambda pcm: f"<{len(pcm)} bytes>")
    instructions: str | None = None


@attrs.frozen(kw_only=True)
class ToolCalled:
    """A call that the brain made earlier (or that the client put into the conversation), of a function or over MCP."""

    call_id: str
    name: str
    arguments: str
    """JSON, as on the wire."""


@attrs.frozen(kw_only=True)
class ToolAnswered:
    """The output for a call: the client's, or an MCP server's."""

    call_id: str
    name: str
    """The called tool's name; empty when no such call is in the conversation."""
    output: str


HistoryItem: TypeAlias = Said | ToolCalled | ToolAnswered


@attrs.frozen(kw_only=True)
class ToolSpec:
    """A tool that may be called: its name, its words for the model, and the JSON Schema of its arguments.

    Attributes:
        name: Its name.
        description: What it does, in words for the model.
        parameters: The JSON Schema.
        server_label: The MCP server whose tool it is; None for a function of the client's.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    server_label: str | None = None


@attrs.frozen(kw_only=True)
class BrainRequest:
    """All that a brain is told when it is to answer: a frozen picture of the conversation.

    Attributes:
        history: The conversation so far, oldest first, truncated and deleted parts already gone. For an out-of-band
            response with its own input, that input.
        instructions: The instructions in force: those of this response if it has some, else the session's.
        response_instructions: The instructions given for this response alone, or None.
        tools: The tools in force.
        tool_choice: `"auto"`, `"none"`, `"required"`, or the name of the one tool that must be called.
        modality: `"audio"` when the answer will be spoken, else `"text"`.
        voice: The voice in force.
        metadata: What the client attached to the response.
    """

    history: tuple[HistoryItem, ...] = ()
    instructions: str = ""
    response_instructions: str | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    modality: Literal["audio", "text"] = "text"
    voice: str = "alloy"
    metadata: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class ToolCall:
    """A brain's wish to have a tool called. The protocol gives it its id.

    A client's function is called by the client, after the response. An MCP server's tool is called by the server: then
    the brain is asked again, in the same response, with the outcome in the history.

    Attributes:
        name: The tool.
        arguments: An object, or its JSON text (which is sent as it is, also when it is not valid).
        server_label: The MCP server whose tool it is. None for a function; or for the MCP tool of that name, when
            there is no such function.
    """

    name: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict)
    server_label: str | None = None


def _not_negative(_instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if value < 0:
        raise ConfigurationError(f"{attribute.name}={value!r}: it cannot be below 0")


def _known_reason(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value not in {"content_filter", "max_output_tokens"}:
        raise ConfigurationError(f"{attribute.name}={value!r}: it is 'content_filter' or 'max_output_tokens'")


@attrs.frozen(kw_only=True)
class Failed:
    """The response fails: `response.done` has the status `failed` and this error.

    Attributes:
        code: The error's code, for example `insufficient_quota`, `rate_limit_exceeded` or `server_error`.
        type: The error's type; None for the one that goes with the code.
        message: The error's words; None for those that go with the code.
        after_words: Where `Misbehaviour` ends a response: how many words of its answer come first.
    """

    code: str = "server_error"
    type: str | None = None
    message: str | None = None
    after_words: int = attrs.field(default=0, validator=_not_negative)


@attrs.frozen(kw_only=True)
class Incomplete:
    """The response is cut off: `response.done` has the status `incomplete` and this reason.

    Attributes:
        reason: `content_filter` or `max_output_tokens`.
        after_words: Where `Misbehaviour` ends a response: how many words of its answer come first.
    """

    reason: Literal["content_filter", "max_output_tokens"] = attrs.field(
        default="content_filter", validator=_known_reason
    )
    after_words: int = attrs.field(default=4, validator=_not_negative)


Ending: TypeAlias = Failed | Incomplete
"""How a response ends, when it does not end well."""

Utterance: TypeAlias = str | bytes | ToolCall | Ending
"""What a brain yields: text to say (about a sentence, joined as it stands), sound to play, a tool call, or a bad end,
which is the last that the response says."""

Brain: TypeAlias = Callable[[BrainRequest], AsyncIterator[Utterance]]
"""Answers a conversation: an async generator function. The server closes the generator when the response ends early."""
