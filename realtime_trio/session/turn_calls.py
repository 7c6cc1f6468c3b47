"""The calls of a session that make somebody speak, or stop: what the program asks of the model, says and interrupts.

All of them go through the one arbiter (`turns.py`); nothing is decided here.
"""

from collections.abc import Iterable
from typing import Any

import trio
from msgspec.structs import replace

from realtime_trio import events as wire  # the name `events` is a method of `Session`
from realtime_trio.core.barge_in import InterruptionPolicy
from realtime_trio.errors import ConfigurationError, NotAcknowledged

from .acknowledged import AcknowledgedCalls
from .exchanges import Exchange, Request
from .interruptions import PendingInterruption
from .responses import Reply, Response
from .settings import Modality, check_policy, response_overrides
from .speaking import GenerateInput, Utterance, When, check_when, check_words, input_items
from .subscription import Subscription
from .tool_runner import ToolRunner
from .tool_set import as_tools

__all__ = ["TurnCalls"]

_SETTLING_SECONDS = 0.5  # until it is known where an interrupted sound ended: a block of the device's


class TurnCalls(AcknowledgedCalls):
    """The part of `Session` by which a program takes its turns."""

    async def ask(
        self, text: str, *, when: When = "queue", interruption: InterruptionPolicy | None = None, **overrides: Any
    ) -> Reply:
        """Say something to the model and wait for its whole answer, tool calls included.

        Args:
            text: What the user says.
            when: `"queue"`: it is answered when nobody else speaks. `"interrupt"`: what is being said stops first.
            interruption: What the user's speech does while this answer is to be heard, as for `open_session`; None for
                what it does in this session.
            overrides: For this reply only, beside the session's settings: `instructions`, `modality`, `voice`, `tools`
                (functions, too), `tool_choice` (a name, too), `max_output_tokens`, `metadata` (15 pairs) and the other
                fields of the wire's `response.create`. Asks without overrides that wait at the same time share one
                response.

        Returns:
            The exchange, when no reply and no tool output is owed any more; with a device, when it was heard. A reply
            that was cut short has the status `"incomplete"` or `"cancelled"`.

        Raises:
            ResponseFailed: A response failed, and again when it was asked for once more.
            ServerError: The server refused the text or the overrides.
            ConfigurationError: There is no such override, or no such moment.
            LocalProtocolError: The text is none; nothing was sent.
            ConnectionClosed: The link was lost.

        Cancellation:
            What was not asked for yet is forgotten; a response that was asked for is cancelled at the server. The text
            stays in the conversation.
        """
        check_words(text)
        check_when(when, silently=False)
        self._engine.check_asking()
        check_policy(interruption)
        exchange = Exchange(interruption=interruption)
        request = self._request(overrides, exchange)
        try:
            await self._make_room(when)
            item = await self.create_item(wire.user_message(text))
            self._engine.turns.owe(request, [str(item.id)])
            await self._over(exchange)
        except trio.Cancelled:
            self._engine.turns.abandon(exchange)
            raise
        return exchange.reply()

    async def say(
        self, text: str, *, when: When = "queue", interruption: InterruptionPolicy | None = None
    ) -> Utterance:
        """Have the model say a text, and wait until it was heard; without a device, until it was received.

        The API cannot be given words to speak, only be asked for them, so the model may say something else: compare
        `Utterance.differences`. No tools are called meanwhile.

        Args:
            text: The words.
            when: `"queue"`: when nobody else speaks. `"interrupt"`: what is being said stops first. `"now_silently"`:
                nothing is spoken; the text goes into the conversation as if the assistant had said it.
            interruption: What the user's speech does to this utterance, as for `open_session`: `"never"` for one that
                has to be heard to its end. None for what it does in this session. `interrupt` always stops it.

        Returns:
            What was asked for, what was said, and what was heard of it.

        Raises:
            ResponseFailed: It failed, and again when it was asked for once more.
            ServerError: The server refused it.
            NotAcknowledged: The server did not answer.
            ConfigurationError: There is no such moment, or no such policy.
            LocalProtocolError: The text is none; nothing was sent.
            ConnectionClosed: The link was lost.

        Cancellation:
            What was not asked for yet is forgotten; what is being said stops.
        """
        check_words(text)
        check_when(when, silently=True)
        check_policy(interruption)
        if when == "now_silently":
            await self.create_item(wire.assistant_message(text))
            return self._engine.speaking.silently(text)
        self._engine.check_asking()
        exchange = Exchange()
        try:
            await self._make_room(when)
            self._engine.speaking.say_later(text, interruption=interruption, exchange=exchange)
            await self._over(exchange)
        except trio.Cancelled:
            self._engine.turns.abandon(exchange)
            raise
        return self._engine.speaking.utterance(text, exchange)

    async def send_text(self, text: str, *, when: When = "queue") -> wire.Item:
        """Put a user's message into the conversation.

        Args:
            text: What the user says.
            when: `"queue"`: it is answered when nobody else speaks. `"interrupt"`: what is being said stops first.
                `"now_silently"`: it is not answered, and what is being said goes on. Answers come through
                `responses()`.

        Returns:
            The item, when the server has acknowledged it.

        Raises:
            ServerError: The server refused it.
            ConfigurationError: There is no such moment.
            LocalProtocolError: The text is none; nothing was sent.

        Cancellation:
            What was sent stays sent, and is not answered.
        """
        check_words(text)
        check_when(when, silently=True)
        if when != "now_silently":
            self._engine.check_asking()
        await self._make_room(when)
        item = await self.create_item(wire.user_message(text))
        if when != "now_silently":
            self._engine.turns.owe(Request(is_programs=True), [str(item.id)])
        return item

    async def respond(self, *, interruption: InterruptionPolicy | None = None, **overrides: Any) -> Response:
        """Ask for a response, as soon as nobody else is speaking.

        Args:
            interruption: What the user's speech does while it is to be heard, as for `open_session`; None for what it
                does in this session.
            overrides: As for `ask`. With `conversation="none"` it is beside the conversation: see `generate`.

        Returns:
            The response, when it was created; it goes on while you use it.

        Raises:
            ServerError: The server refused it.
            NotAcknowledged: The server did not answer.
            ConfigurationError: There is no such override.

        Cancellation:
            What was not asked for yet is forgotten; what was asked for is cancelled at the server.
        """
        check_policy(interruption)
        request = self._request(overrides)
        request.interruption = interruption
        return await self._created(request)

    async def generate(
        self,
        input: Iterable[GenerateInput] | str | None = None,
        *,
        instructions: str | None = None,
        modality: Modality = "text",
        tools: Iterable[Any] | ToolRunner = (),
        **overrides: Any,
    ) -> Response:
        """Have something generated beside the conversation: it is not spoken, and nothing of it is in any history.

        Any number may run at once, also while somebody speaks. Function calls in it are yours (`Response.items`): they
        are neither run nor answered.

        Args:
            input: What it is to be about, instead of the conversation: texts (the user's), items of
                `realtime_trio.events`, items of `conversation`. None for the whole conversation, `[]` for nothing.
            instructions: What the model is told; None for the session's.
            modality: `"text"`, or `"audio"`, which comes through `Response.audio_chunks`.
            tools: Functions or definitions that it may call.
            overrides: As for `ask`.

        Returns:
            The response, when it was created; `await response.done()`, then `response.text` is all of it.

        Raises:
            ServerError: The server refused it.
            NotAcknowledged: The server did not answer.
            ConfigurationError: There is no such override, or the input is none; nothing was sent.

        Cancellation:
            It is cancelled at the server.
        """
        if overrides.get("conversation", "none") != "none":
            raise ConfigurationError(
                f"conversation={overrides['conversation']!r}: generate is always beside the conversation; what is "
                "to be part of it comes from respond() or ask()"
            )
        given = {**overrides, "conversation": "none", "modality": modality, "tools": tools}
        if instructions is not None:
            given["instructions"] = instructions
        request = self._request(given)
        if request.overrides is not wire.UNSET:
            request.overrides = replace(request.overrides, input=input_items(input))
        return await self._created(request)

    def interrupt(self) -> PendingInterruption:
        """Stop whatever the model is saying, now: the sound, its generation, and what the server believes was heard.

        Works also when generation is over and sound is still queued. Nothing happens when nothing is being said: a
        reply that is owed and was not asked for still comes.

        Returns:
            What can be awaited for the record of what was heard. Awaiting is not needed for the effect; but where the
            sound ended is known only with the device's next block, and who sends at once may be answered before that.
        """
        return self._engine.turns.interrupt("requested")

    async def cancel_response(self, response_id: str | None = None) -> bool:
        """Stop the generation of a response; what was received of it may still be heard (`interrupt` stops that too).

        Args:
            response_id: Which; None for the active one of the conversation.

        Returns:
            Whether it was cancelled; False if nothing was active.

        Raises:
            NotAcknowledged: The server did not answer.
            ConnectionClosed: The link was lost.

        Cancellation:
            The response is cancelled all the same.
        """
        self._engine.check_open()
        response = self._engine.turns.active(response_id)
        if response is None:
            await trio.lowlevel.checkpoint()
            return False
        outcome = self._engine.turns.cancel(response)
        with trio.move_on_after(self._engine.calls.timeout):
            return await outcome.wait()
        raise NotAcknowledged(f"the server did not cancel {response.id} within {self._engine.calls.timeout:g} s")

    def responses(self, *, size: int = 1024) -> Subscription[Response]:
        """Subscribe to every response of the conversation from now on, also those that turn detection starts.

        Args:
            size: Responses held for a slow reader; beyond that the oldest go, and are counted in `dropped`.
        """
        return self._engine.subscribers.to_responses(size)

    # inside

    async def _make_room(self, when: When) -> None:
        """Stop what is being said, if that is wanted, and let the server know before anything else where it ended."""
        if when == "interrupt":
            with trio.move_on_after(_SETTLING_SECONDS):
                await self.interrupt()

    async def _over(self, exchange: Exchange) -> None:
        """Wait until nothing is owed for an exchange, and with a device until it was heard."""
        await exchange.over.wait()
        if self._engine.sound.device is not None and exchange.responses:
            await exchange.responses[-1].heard()

    async def _created(self, request: Request) -> Response:
        request.is_awaited = True
        self._engine.check_asking()
        self._engine.turns.owe(request, ())
        try:
            return await request.created.wait()
        except trio.Cancelled:
            self._engine.turns.forget(request)
            raise

    def _request(self, overrides: dict[str, Any], exchange: Exchange | None = None) -> Request:
        runner = None
        if overrides.get("tools") is not None:
            tools = as_tools(overrides["tools"])
            if isinstance(tools, ToolRunner) or any(callable(one) for one in tools):
                runner = self._make_tools(tools)
                overrides = {**overrides, "tools": list(runner.definitions())}
            else:
                overrides = {**overrides, "tools": list(tools)}
        exchanges = [] if exchange is None else [exchange]
        params = response_overrides(overrides, known_tools=self.config.tools)
        return Request(params, exchanges, runner)
