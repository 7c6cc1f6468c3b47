"""What is said in the items, as it comes piece by piece: words, sound, arguments, transcripts of the user's speech.

Deliberately elsewhere: whole items, and where they stand (`core.conversation`), which words were heard
(`core.captions`).
"""

# ruff: noqa: SLF001 - the table of handlers names private methods of the class above it

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    RealtimeSession,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
    Session,
)

from .captions import PACE
from .item import MAX_CHARACTERS, ConversationItem, extend, fill_part, find_part, say
from .item_table import ItemTable

__all__ = ["Wording"]

_PCM_BYTES_PER_MS = 48  # PCM16 at 24 kHz
_G711_BYTES_PER_MS = 8

_Words: TypeAlias = (
    ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
)
_Arguments: TypeAlias = (
    ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
)


class Wording:
    """Fills the items of a table with what is said.

    Args:
        table: The items.

    Attributes:
        has_spoken: Whether the model has made a sound, also beside the conversation.
    """

    def __init__(self, table: ItemTable) -> None:
        self._table = table
        self._bytes_per_ms = _PCM_BYTES_PER_MS
        self._pace = PACE
        self.has_spoken = False

    def apply(self, event: ServerEvent) -> bool:
        """Follow one server event. Returns whether it was of a kind that says what is said."""
        handler = _HANDLERS.get(type(event))
        if handler is None:
            return False
        handler(self, event)
        return True

    def configure(self, session: Session) -> None:
        """Follow a configuration: how long a byte of sound is."""
        output = session.audio.output if session.audio and isinstance(session, RealtimeSession) else None
        if output and output.format and isinstance(output.format.type, str):
            pcm = output.format.type not in {"audio/pcmu", "audio/pcma"}
            self._bytes_per_ms = _PCM_BYTES_PER_MS if pcm else _G711_BYTES_PER_MS

    def learn(self, item: ConversationItem) -> None:
        """Take over how fast the assistant speaks: one part after the other is spoken by the same voice."""
        for part in item.parts:
            if part.captions.received_ms:
                self._pace = part.captions.pace(part.transcript) or self._pace

    def complete(self, made: Iterable[ConversationItem]) -> None:
        """Take what a completed response made as whole, also where its items do not say so themselves."""
        for item in made:
            for part in item.parts:
                part.whole = True
                part.settle()
            self.learn(item)

    # inside

    def _transcript_delta(self, event: ConversationItemInputAudioTranscriptionDelta) -> None:
        item = self._table.known(event.item_id)
        if item.transcription not in ("completed", "failed"):
            item.transcription = "pending"
            extend(find_part(item, event.content_index or 0, "audio"), transcript=event.delta)

    def _transcript_done(self, event: ConversationItemInputAudioTranscriptionCompleted) -> None:
        item = self._table.known(event.item_id)
        item.transcription = "completed"
        part = find_part(item, event.content_index, "audio")
        say(part, event.transcript, complete=True)

    def _transcript_failed(self, event: ConversationItemInputAudioTranscriptionFailed) -> None:
        item = self._table.known(event.item_id)
        if item.transcription != "completed":
            item.transcription = "failed"
            item.transcription_error = event.error

    def _part(self, event: ResponseContentPartAdded | ResponseContentPartDone) -> None:
        item = self._table.get(event.item_id)
        if item is not None:
            fill_part(item, event.content_index, event.part, complete=isinstance(event, ResponseContentPartDone))

    def _sound(self, event: ResponseOutputAudioDelta) -> None:
        self.has_spoken = True
        item = self._table.get(event.item_id)
        if item is not None:
            captions = find_part(item, event.content_index, "audio").captions
            if not captions.received_ms:
                captions.usual_pace = self._pace
            captions.note_sound(len(event.delta) / self._bytes_per_ms)

    def _words(self, event: _Words) -> None:
        item = self._table.get(event.item_id)
        if item is None:
            return
        match event:
            case ResponseOutputTextDelta():
                extend(find_part(item, event.content_index, "text"), text=event.delta)
            case ResponseOutputAudioTranscriptDelta():
                extend(find_part(item, event.content_index, "audio"), transcript=event.delta)
            case ResponseOutputTextDone():
                part = find_part(item, event.content_index, "text")
                part.text, part.complete = event.text, True
            case ResponseOutputAudioTranscriptDone():
                say(find_part(item, event.content_index, "audio"), event.transcript, complete=True)

    def _arguments(self, event: _Arguments) -> None:
        item = self._table.get(event.item_id)
        if item is None:
            return
        match event:
            case ResponseFunctionCallArgumentsDelta() | ResponseMcpCallArgumentsDelta():
                if not item.arguments_complete and len(item.arguments) < MAX_CHARACTERS:
                    item.arguments += event.delta
            case ResponseFunctionCallArgumentsDone():
                item.name, item.call_id = event.name, event.call_id
                item.arguments, item.arguments_complete = event.arguments, True
                self._table.join(item)
            case ResponseMcpCallArgumentsDone():
                item.arguments, item.arguments_complete = event.arguments, True


_HANDLERS: dict[type, Callable[[Wording, Any], None]] = {
    ConversationItemInputAudioTranscriptionDelta: Wording._transcript_delta,
    ConversationItemInputAudioTranscriptionCompleted: Wording._transcript_done,
    ConversationItemInputAudioTranscriptionFailed: Wording._transcript_failed,
    ResponseContentPartAdded: Wording._part,
    ResponseContentPartDone: Wording._part,
    ResponseOutputAudioDelta: Wording._sound,
    ResponseOutputTextDelta: Wording._words,
    ResponseOutputTextDone: Wording._words,
    ResponseOutputAudioTranscriptDelta: Wording._words,
    ResponseOutputAudioTranscriptDone: Wording._words,
    ResponseFunctionCallArgumentsDelta: Wording._arguments,
    ResponseFunctionCallArgumentsDone: Wording._arguments,
    ResponseMcpCallArgumentsDelta: Wording._arguments,
    ResponseMcpCallArgumentsDone: Wording._arguments,
}
"""A table and not a chain of tests: most events are audio, and those are to cost one look-up here."""
