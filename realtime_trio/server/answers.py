"""Which responses there are: one at most that writes to the conversation, any number out of band.

What happens inside one is in `responses`. The driver starts and stops brains as the effects in the outbox say.
"""

import math
from typing import Any

from realtime_trio import events
from realtime_trio.server import guesses, problems
from realtime_trio.server.audio_formats import FORMATS
from realtime_trio.server.hearing import Hearing
from realtime_trio.server.items import Conversation, Item, item_from_json, tell_end
from realtime_trio.server.mcp import Mcp
from realtime_trio.server.mcp_calls import PendingCall
from realtime_trio.server.misbehaviour import Misbehaviour
from realtime_trio.server.outbox import Outbox, StartResponse, StopResponse
from realtime_trio.server.response_settings import ResponseSettings
from realtime_trio.server.responses import ResponseRun
from realtime_trio.server.session_config import SessionConfig
from realtime_trio.server.usage import Cache

__all__ = ["MAXIMUM_RESPONSES", "Answers"]

MAXIMUM_RESPONSES = 64
"""Responses in progress at once, in one session: a bound for clients that run wild."""

_REQUEST_LIMIT = 10_000
_TOKEN_LIMIT = 2_000_000


class Answers:
    """The responses of a session.

    Attributes:
        default: The response in progress that writes to the conversation.
        voice_locked: Whether the assistant has been heard.
        quiet_from: When the last default response, played from its end on, has been heard whole; None before the
            first, while one is in progress, and when the user has spoken since. The idle timeout counts from here.
    """

    def __init__(
        self,
        outbox: Outbox,
        config: SessionConfig,
        conversation: Conversation,
        hearing: Hearing,
        *,
        mcp: Mcp,
        misbehaviour: Misbehaviour,
    ) -> None:
        self.default: ResponseRun | None = None
        self.voice_locked = False
        self.quiet_from: float | None = None
        self._outbox = outbox
        self._config = config
        self._conversation = conversation
        self._hearing = hearing
        self._mcp = mcp
        self._misbehaviour = misbehaviour
        self._cache = Cache()
        self._created = 0  # responses, in the session
        self._asked = 0  # by the client, for responses that write to the conversation
        self._runs: dict[str, ResponseRun] = {}
        self._requests_left = _REQUEST_LIMIT
        self._tokens_left = _TOKEN_LIMIT

    @property
    def any(self) -> bool:
        """Whether any response is in progress."""
        return bool(self._runs)

    def find(self, response_id: str) -> ResponseRun | None:
        """Find a response in progress."""
        return self._runs.get(response_id)

    def request(self, overrides: dict[str, Any]) -> None:
        """Begin a response by the client's wish.

        Args:
            overrides: The `response` of the `response.create`, of the right shape.

        Raises:
            Problem: It cannot begin. Nothing was changed.
        """
        if overrides.get("conversation") != "none":
            self._asked += 1
            if self._asked in self._misbehaviour.rejected_creates:
                raise problems.active_response(self.default.id if self.default else self._outbox.new_id("resp"))
        self.create(overrides)

    def create(self, overrides: dict[str, Any]) -> None:
        """Begin a response.

        Args:
            overrides: The `response` of a `response.create`, of the right shape; empty for an automatic one.

        Raises:
            Problem: It cannot begin. Nothing was changed.
        """
        out_of_band = overrides.get("conversation") == "none"
        if self.default is not None and not out_of_band:
            raise problems.active_response(self.default.id)
        if len(self._runs) >= MAXIMUM_RESPONSES:
            raise problems.too_many_responses(MAXIMUM_RESPONSES)
        settings = self._config.for_response(overrides, voice_locked=self.voice_locked)
        self._mcp.listings.check(overrides.get("tools", []), "response.tools")
        own_input = overrides.get("input")
        context = list(self._conversation) if own_input is None else self._context(own_input)
        run = ResponseRun(
            outbox=self._outbox,
            conversation=None if out_of_band else self._conversation,
            context=context,
            settings=ResponseSettings(settings, overrides),
            cache=self._cache,
            mcp=self._mcp,
            known=self._conversation.inserted,
            other_order=self._misbehaviour.other_order,
        )
        self._runs[run.id] = run
        self._created += 1
        if not out_of_band:
            self.default = run
            self.quiet_from = None
        run.begin()
        if not self._limits_last:
            self._tell_limits(None)
        listings = self._mcp.listings.use(settings["tools"] if "tools" in overrides else [])
        if own_input is not None:
            for item in context:
                if item not in self._conversation:  # nobody has heard it
                    self._hearing.begin(item, None)
        hear_first = tuple(item.id for item in context if item.id in self._hearing.pending)
        self._outbox.do(
            StartResponse(
                run.id,
                run.settings.modality,
                run.settings.voice,
                run.settings.speed,
                hear_first,
                number=self._created,
                list_first=listings if guesses.MCP_RESPONSE_WAITS else (),
            )
        )

    def _context(self, given: list[dict[str, Any]]) -> list[Item]:
        context = []
        for index, value in enumerate(given):
            if value["type"] != "item_reference":
                ids = self._outbox.new_id("item"), self._outbox.new_id("call")
                context.append(item_from_json(value, *ids, FORMATS[self._config.input_format]))
                continue
            item = self._conversation.find(value["id"])
            if item is None:
                raise problems.unknown_reference(f"response.input[{index}].id", value["id"])
            context.append(item)
        return context

    def cancel(self, response_id: str | None, now: float) -> None:
        """Cancel by the client's wish: the one named, else the default one.

        Raises:
            Problem: It is not in progress.
        """
        run = self.default if response_id is None else self._runs.get(response_id)
        if run is None:
            raise problems.no_active_response(response_id)
        run.end("cancelled", {"reason": "client_cancelled"})
        self.settle(run, now)

    def interrupt(self, now: float) -> None:
        """Cancel the default response because the user speaks; out-of-band responses go on."""
        if self.default is not None:
            run = self.default
            run.end("cancelled", {"reason": "turn_detected"})
            self.settle(run, now)

    def settle(self, run: ResponseRun, now: float) -> None:
        """Put a response away if it has ended; to be called after each of its inputs."""
        if not run.ended or self._runs.pop(run.id, None) is None:
            return
        self._outbox.do(StopResponse(run.id))
        if self.default is run:
            self.default = None
            self.quiet_from = now + run.audio_ms / 1000
            self._hearing.answered()
        if self._limits_last:
            self._tell_limits(run)
        if run.status == "completed" and run.ends_with_calls and not self._mcp.calls.of_response(run.id):
            self._reply_to_calls(run.conversation is not None)

    def call_over(self, call: PendingCall) -> None:
        """Tell the end of an MCP call: in its response, or behind it."""
        run = self._runs.get(call.response_id)
        if run is not None:
            run.call_over(call.item)
            return
        tell_end(self._outbox, self._conversation, call.item)
        if not self._mcp.calls.of_response(call.response_id):
            self._reply_to_calls(call.item in self._conversation)

    def _reply_to_calls(self, in_conversation: bool) -> None:  # noqa: FBT001
        """Make the response that speaks on calls whose own response is over, if this server does that unasked."""
        if self._mcp.reply == "new_response" and in_conversation and self.default is None:
            self.create({})

    def playback_ended(self, now: float) -> None:
        """Take it that nothing is played any more: the client has cut the sound that was."""
        if self.quiet_from is not None:
            self.quiet_from = min(self.quiet_from, now)

    @property
    def _limits_last(self) -> bool:
        return guesses.RATE_LIMITS_AFTER_DONE is not self._misbehaviour.other_order

    def _tell_limits(self, run: ResponseRun | None) -> None:
        self._tokens_left = max(0, self._tokens_left - (run.total_tokens if run else 0))
        self._requests_left = max(0, self._requests_left - 1)
        self._outbox.send(
            events.RateLimitsUpdated(
                event_id=self._outbox.event_id(),
                rate_limits=[
                    events.RateLimit(
                        name="requests", limit=_REQUEST_LIMIT, remaining=self._requests_left, reset_seconds=60.0
                    ),
                    events.RateLimit(
                        name="tokens", limit=_TOKEN_LIMIT, remaining=self._tokens_left, reset_seconds=60.0
                    ),
                ],
            )
        )

    def idle_deadline(self, timeout_ms: int | None) -> float:
        """Tell when the user's silence has lasted too long; never while a response is in progress."""
        if timeout_ms is None or self.quiet_from is None or self.default is not None:
            return math.inf
        return self.quiet_from + timeout_ms / 1000
