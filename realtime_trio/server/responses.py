"""One response: from `response.created` to exactly one `response.done`, and every event between.

```
            begin            text, speech, call *                   end
 (asked) ──────────> in progress ──────────────────> completed | cancelled | incomplete | failed
```
Whatever ends it, the open part and item are closed first, in the documented order. Who decides that a response begins
or is cancelled is the business of `protocol`; what it says is the brain's.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from realtime_trio import events
from realtime_trio.server import guesses
from realtime_trio.server.items import Conversation, Item, Part, Tokens, history, tell_end, text_tokens
from realtime_trio.server.mcp import Mcp
from realtime_trio.server.mcp_items import McpItem
from realtime_trio.server.outbox import Outbox
from realtime_trio.server.response_settings import ResponseSettings
from realtime_trio.server.seams import BrainRequest, Ending, Incomplete, SpokenWord, ToolCall
from realtime_trio.server.usage import Cache, count_input, nothing, usage

__all__ = ["ResponseRun"]

_ARGUMENTS_PIECE = 16


class ResponseRun:
    """A response in progress. Its inputs come from the driver; its events go to the outbox.

    Attributes:
        id: The response's id.
        conversation: The conversation that it writes to; None when it is out of band.
        context: The items that the brain is told.
        settings: How it is to be.
        ended: Whether `response.done` was sent; every later input is ignored.
        status: `in_progress`, or how it ended.
        audio_ms: How much sound it has sent.
        total_tokens: What it cost; 0 until it has ended.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        conversation: Conversation | None,
        context: list[Item],
        settings: ResponseSettings,
        cache: Cache,
        mcp: Mcp,
        known: int = 0,
        other_order: bool = False,
    ) -> None:
        self.id = outbox.new_id("resp")
        self.conversation = conversation
        self.context = context
        self.settings = settings
        self.status = "in_progress"
        self.audio_ms = 0.0
        self._known = known
        self._cache = cache
        self._mcp = mcp
        self._other_order = other_order
        self._outbox = outbox
        self._format = settings.format
        self._items: list[Item] = []
        self._details: dict[str, Any] | None = None
        self._usage: events.Usage | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status != "in_progress"

    @property
    def total_tokens(self) -> int:
        """What it cost."""
        return (self._usage.total_tokens or 0) if self._usage else 0

    def brain_request(self) -> BrainRequest:
        """Tell the brain all that it is told, as far as it is known now."""
        tools, choice = self._mcp.offered(self.settings.tools, self.settings.tool_choice)
        return BrainRequest(
            history=history([*self.context, *self._items] if self.ends_with_calls else self.context),
            instructions=self.settings.instructions,
            response_instructions=self.settings.overrides.get("instructions"),
            tools=tools,
            tool_choice=choice,
            modality=self.settings.modality,
            voice=self.settings.voice,
            metadata=self.settings.metadata or {},
        )

    @property
    def calling(self) -> bool:
        """Whether it waits for the outcome of an MCP call."""
        return self._open is not None and self._open.type == "mcp_call"

    @property
    def ends_with_calls(self) -> bool:
        """Whether the last that it has said is an MCP call, and the client has no function to run."""
        types = [item.type for item in self._items]
        return bool(types) and types[-1] == "mcp_call" and "function_call" not in types

    # ---- beginning and end ----

    def begin(self) -> None:
        """Tell that it was created."""
        self._outbox.send(events.ResponseCreated(event_id=self._outbox.event_id(), response=self.wire()))

    def end(self, status: str, details: dict[str, Any] | None = None) -> None:
        """Close what is open and tell how it ended. A second end is ignored.

        Args:
            status: `completed`, `cancelled`, `incomplete` or `failed`.
            details: The rest of `status_details`.
        """
        if self.ended:
            return
        self._close_item("completed" if status == "completed" else guesses.CANCELLED_ITEM_STATUS)
        self.status = status
        self._details = None if status == "completed" and not details else {"type": status, **(details or {})}
        self._usage = self._count()
        self._outbox.send(events.ResponseDone(event_id=self._outbox.event_id(), response=self.wire()))

    def end_badly(self, ending: Ending) -> None:
        """End as the brain, or who misbehaves in its place, wants."""
        if isinstance(ending, Incomplete):
            self.end("incomplete", {"reason": ending.reason})
            return
        kind, message = guesses.FAILURES.get(ending.code, guesses.FAILURES["server_error"])
        error = {"type": ending.type or kind, "code": ending.code, "message": ending.message or message}
        self.end("failed", {"error": error})

    def say_no_more(self) -> None:
        """Close what is open: only `response.done` is missing."""
        if not self.ended:
            self._close_item("completed")

    def wire(self) -> events.Response:
        """Tell the response as a value of the wire, as it stands now."""
        told = {
            "id": self.id,
            "object": "realtime.response",
            "status": self.status,
            "status_details": self._details,
            "conversation_id": self.conversation.id if self.conversation else None,
            "usage": None,
            "output": [],
            **self.settings.told(),
        }
        response = msgspec.convert(told, events.Response)
        output_items = [item.wire() for item in self._items] if self.ended else []
        return msgspec.structs.replace(response, output=output_items, usage=self._usage)

    # ---- what the brain says ----

    def text(self, delta: str) -> bool:
        """Send a piece of text.

        Returns:
            False when the response is over, or was ended by it because of `max_output_tokens`.

        Raises:
            UnicodeEncodeError: It holds a lone surrogate, which no message can carry. Nothing was sent.
        """
        _refuse_surrogates(delta)
        if self.ended or not self._has_room(text=delta):
            return False
        item, part = self._message("output_text")
        part.text += delta
        self._outbox.send(self._part_event(events.ResponseOutputTextDelta, item, delta=delta))
        return True

    def spoken_text(self, delta: str, ahead: int = 0) -> bool:
        """Send a piece of the transcript of its speech; returns as `text` does.

        Args:
            delta: The piece.
            ahead: How many samples behind the sound that was sent so far it begins to be spoken.
        """
        _refuse_surrogates(delta)
        if self.ended or not self._has_room(text=delta):
            return False
        item, part = self._message("output_audio")
        if part.truncated_ms is None:
            part.transcript = (part.transcript or "") + delta
        part.words.append(SpokenWord(delta, max(0, part.sent + ahead)))
        self._outbox.send(self._part_event(events.ResponseOutputAudioTranscriptDelta, item, delta=delta))
        return True

    def sound(self, pcm: bytes) -> bool:
        """Send a piece of its speech (mono PCM16 at 24 kHz); returns as `text` does."""
        audio = self._format.from_pcm(pcm)
        ms = self._format.milliseconds(len(audio))
        if self.ended or not self._has_room(ms=ms):
            return False
        item, part = self._message("output_audio")
        self.audio_ms += ms
        part.sent += len(pcm) // 2
        if part.truncated_ms is None:
            part.audio += audio
        self._outbox.send(self._part_event(events.ResponseOutputAudioDelta, item, delta=audio))
        return True

    def call(self, wanted: ToolCall) -> bool:
        """Send a function call, whole, or begin an MCP call; returns as `text` does."""
        arguments = wanted.arguments
        if not isinstance(arguments, str):
            arguments = json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
        _refuse_surrogates(wanted.name + arguments)
        if self.ended or not self._has_room(text=wanted.name + arguments):
            return False
        self._close_item("completed")
        label = self._mcp.server_of(self.settings.tools, wanted)
        if label is None:
            self._call_function(wanted.name, arguments)
        else:
            self._call_hosted(label, wanted.name, arguments)
        return True

    def _call_function(self, name: str, arguments: str) -> None:
        item = Item(
            id=self._outbox.new_id("item"),
            type="function_call",
            status="in_progress",
            name=name,
            call_id=self._outbox.new_id("call"),
        )
        self._open_item(item)
        for delta in _argue(item, arguments):
            self._outbox.send(
                self._item_event(events.ResponseFunctionCallArgumentsDelta, item, call_id=item.call_id, delta=delta)
            )
        self._close_item("completed")

    def _call_hosted(self, label: str, name: str, arguments: str) -> None:
        item = McpItem(
            id=self._outbox.new_id("mcp"), type="mcp_call", status="in_progress", server_label=label, name=name
        )
        self._open_item(item)
        for delta in _argue(item, arguments):
            self._outbox.send(self._item_event(events.ResponseMcpCallArgumentsDelta, item, delta=delta))
        self._outbox.send(self._item_event(events.ResponseMcpCallArgumentsDone, item, arguments=item.arguments))
        can_ask = self.conversation is not None
        if self._mcp.begin_call(self.settings.tools, item, self.id, self._index, can_ask=can_ask):
            self._close_item("completed")

    def call_over(self, item: Item) -> None:
        """Take it that an MCP call of this response has come to something."""
        if self._open is item:
            self._close_item("completed")
        elif self.conversation is not None:
            tell_end(self._outbox, self.conversation, item)

    # ---- items and parts ----

    @property
    def _index(self) -> int:
        return len(self._items) - 1

    @property
    def _open(self) -> Item | None:
        return self._items[-1] if self._items and self._items[-1].status == "in_progress" else None

    def _message(self, kind: str) -> tuple[Item, Part]:
        """Find the open message, or open one."""
        item = self._open
        if item is not None and item.parts and item.parts[0].type == kind:
            return item, item.parts[0]
        self._close_item("completed")
        item = Item(id=self._outbox.new_id("item"), role="assistant", status="in_progress")
        self._open_item(item)
        part = Part(kind, audio=bytearray(), format=self._format, transcript="" if kind == "output_audio" else None)
        item.parts.append(part)
        self._outbox.send(self._part_event(events.ResponseContentPartAdded, item, part=_event_part(part, whole=False)))
        return item, part

    def _item_event(self, kind: Callable[..., events.ServerEvent], item: Item, **fields: Any) -> events.ServerEvent:
        """Make an event about the newest item."""
        return kind(
            event_id=self._outbox.event_id(), response_id=self.id, item_id=item.id, output_index=self._index, **fields
        )

    def _part_event(self, kind: Callable[..., events.ServerEvent], item: Item, **fields: Any) -> events.ServerEvent:
        """Make an event about its content, which has one part."""
        return self._item_event(kind, item, content_index=0, **fields)

    def _open_item(self, item: Item) -> None:
        item.known = self._known
        item.instructions = self.settings.overrides.get("instructions")
        self._items.append(item)
        self._outbox.send(
            events.ResponseOutputItemAdded(
                event_id=self._outbox.event_id(), response_id=self.id, output_index=self._index, item=item.wire()
            )
        )
        if self.conversation is not None:
            self.conversation.insert(item)
            self._outbox.send(
                events.ConversationItemAdded(
                    event_id=self._outbox.event_id(),
                    item=item.wire(),
                    previous_item_id=self.conversation.previous_id(item),
                )
            )

    def _close_item(self, status: str) -> None:
        item = self._open
        if item is None:
            return
        for event in self._part_done(item):
            self._outbox.send(event)
        item.status = status
        if status != "completed":
            self._mcp.calls.drop(item.id)
        first = guesses.ITEM_DONE_FIRST is not self._other_order
        conversation = None if self._mcp.calls.is_pending(item.id) else self.conversation
        if first and conversation is not None:
            tell_end(self._outbox, conversation, item)
        self._outbox.send(
            events.ResponseOutputItemDone(
                event_id=self._outbox.event_id(), response_id=self.id, output_index=self._index, item=item.wire()
            )
        )
        if not first and conversation is not None:
            tell_end(self._outbox, conversation, item)

    def _part_done(self, item: Item) -> Iterator[events.ServerEvent]:
        """Close the open content of an item."""
        if item.type == "mcp_call":  # its arguments were told whole before it waited
            return
        if item.type == "function_call":
            yield self._item_event(
                events.ResponseFunctionCallArgumentsDone,
                item,
                call_id=item.call_id,
                name=item.name,
                arguments=item.arguments,
            )
            return
        part = item.parts[0]
        if part.type == "output_text":
            yield self._part_event(events.ResponseOutputTextDone, item, text=part.text)
        else:
            sound = self._part_event(events.ResponseOutputAudioDone, item)
            words = self._part_event(events.ResponseOutputAudioTranscriptDone, item, transcript=part.spoken)
            yield from (words, sound) if self._other_order else (sound, words)
        yield self._part_event(events.ResponseContentPartDone, item, part=_event_part(part, whole=True))

    # ---- counting ----

    def _has_room(self, *, text: str = "", ms: float = 0.0) -> bool:
        """Say whether that much more fits into `max_output_tokens`; if not, the response ends here."""
        limit = self.settings.max_output_tokens
        if limit == "inf":
            return True
        used = self._output_tokens().total
        if used + text_tokens(text) + ms / guesses.AUDIO_MS_PER_TOKEN_ASSISTANT <= limit:
            return True
        self.end("incomplete", {"reason": "max_output_tokens"})
        return False

    def _output_tokens(self) -> Tokens:
        return sum((item.tokens() for item in self._items), Tokens())

    def _count(self) -> events.Usage:
        if self.status == "failed" and not self._items and guesses.FAILED_AT_ONCE_IS_FREE:
            return nothing()
        functions = [tool for tool in self.settings.tools if tool["type"] == "function"]  # MCP: by its listing
        given = count_input(self.settings.instructions, functions, self.context)
        cached = self._cache.use(given, keep=self.conversation is not None)
        return usage(given.tokens, cached, self._output_tokens())


def _argue(item: Item, arguments: str) -> Iterator[str]:
    """Give the arguments of a call piece by piece; the item has what was given."""
    for start in range(0, len(arguments), _ARGUMENTS_PIECE):
        delta = arguments[start : start + _ARGUMENTS_PIECE]
        item.arguments += delta
        yield delta


def _refuse_surrogates(text: str) -> None:
    """Refuse, before anything is kept, what could not be sent later: JSON on a WebSocket is UTF-8."""
    text.encode()


def _event_part(part: Part, *, whole: bool) -> events.ContentPart:
    """Tell a part as content part events do, which name it otherwise than items."""
    if part.type == "output_text":
        return events.TextPart(text=part.text if whole else "")
    return events.AudioPart(transcript=part.spoken if whole else "")
