"""The calls of a session that the server acknowledges: items of the conversation, the input buffer, the configuration.

Each sends one event and waits for the answer to it; how the two are matched is in `calls.py`. Everything else that a
program can ask for is in `session.py`.
"""

from functools import partial
from typing import Any

import msgspec

from realtime_trio import events as wire  # the name `events` is a method of `Session`
from realtime_trio.errors import LocalProtocolError

from .engine import Engine
from .exchanges import new_id
from .settings import check_device_formats, session_settings
from .tool_set import MakeTools, ToolSet

__all__ = ["AcknowledgedCalls"]


class AcknowledgedCalls:
    """The part of `Session` whose calls return what the server answered."""

    def __init__(self, engine: Engine, make_tools: MakeTools) -> None:
        self._engine = engine
        self._make_tools = make_tools

    @property
    def config(self) -> wire.RealtimeSession:
        """The configuration in effect, as the server last said it."""
        return self._engine.config

    # The conversation

    async def create_item(self, item: wire.Item, *, previous_item_id: str | None = None) -> wire.Item:
        """Put an item into the conversation.

        Args:
            item: One without an id gets one of ours.
            previous_item_id: After which item; `"root"` for the front, None for the end.

        Returns:
            The item as the server has it.

        Raises:
            ServerError: The server refused it.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        if not isinstance(item, msgspec.Struct):
            raise LocalProtocolError(f"an item is a value of realtime_trio.events, not {type(item).__name__}")
        if not getattr(item, "id", None):
            item = msgspec.structs.replace(item, id=new_id("item"))
        after = wire.UNSET if previous_item_id is None else previous_item_id
        event = wire.ConversationItemCreate(item=item, previous_item_id=after)
        created: wire.Item = await self._engine.call("create", event, str(item.id))
        return created

    async def delete_item(self, item_id: str) -> None:
        """Remove an item from the conversation.

        Raises:
            ServerError: There is no such item.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        await self._engine.call("delete", wire.ConversationItemDelete(item_id=item_id), item_id)

    async def retrieve_item(self, item_id: str) -> wire.Item:
        """Get an item as the server has it, audio included; a minute of audio is about 4 MB on the wire.

        Raises:
            ServerError: There is no such item.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        item: wire.Item = await self._engine.call("retrieve", wire.ConversationItemRetrieve(item_id=item_id), item_id)
        return item

    async def truncate_item(self, item_id: str, audio_end_ms: int, *, content_index: int = 0) -> None:
        """Tell the server that no more than this was heard of an assistant's audio item.

        With a device the session does this by itself at every interruption.

        Args:
            item_id: Which item.
            audio_end_ms: Milliseconds of it that were heard.
            content_index: The content part.

        Raises:
            ServerError: No such item, or it is shorter than that.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        event = wire.ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms)
        await self._engine.call("truncate", event, item_id)

    async def update(self, **settings: Any) -> wire.RealtimeSession:
        """Change the session's configuration; what is not named stays as it is.

        Args:
            settings: `instructions`, `voice`, `modality`, `turn_detection`, `transcription`, `tools`, `tool_choice`
                and `config` as for `open_session`, and every other field of the wire's session by its name.

        Returns:
            The whole configuration in effect.

        Raises:
            ServerError: The server refused it; nothing was changed.
            NotAcknowledged: The server did not answer.
            ConfigurationError: There is no such setting, or a value does not fit; nothing was sent.

        Cancellation:
            What was sent stays sent.
        """
        tools = None
        if "tools" in settings:
            tools = ToolSet.of(settings["tools"], self._make_tools)
            settings = {**settings, "tools": tools.definitions()}
        wanted = session_settings(**settings, known_tools=self.config.tools)
        if self._engine.sound.device is not None:
            check_device_formats(wanted)
        policies = self._engine.turns.policies
        then = None if tools is None else partial(_use, self._engine, tools)
        await self._engine.call("update", wire.SessionUpdate(session=policies.adjust(wanted)), then=then)
        policies.adopt(wanted)
        return self.config

    # The input buffer

    async def commit_audio(self) -> str:
        """Make the input buffer a user item, for manual turns. It starts no response: see `respond`.

        Returns:
            The item's id.

        Raises:
            ServerError: The buffer held less than 100 ms.
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        return str(await self._engine.call("commit", wire.InputAudioBufferCommit()))

    async def clear_audio(self) -> None:
        """Drop what is in the input buffer.

        Raises:
            NotAcknowledged: The server did not answer.

        Cancellation:
            What was sent stays sent.
        """
        await self._engine.call("clear", wire.InputAudioBufferClear())


def _use(engine: Engine, tools: ToolSet, _: object) -> None:
    engine.tool_calls.use(tools)
