"""The session: what a program can ask of a conversation with the model.

Calls that only send something and wait for its acknowledgement are in `acknowledged.py`, those that make somebody
speak in `turn_calls.py`, those about tools in `tool_control.py` and `mcp_control.py`, about agents in
`agent_control.py`.
How it works inside is in `engine.py`; how it is put together, in `realtime_trio.opening`.
"""

from decimal import Decimal
from typing import Any, TypeVar, overload

import trio

from realtime_trio import events as wire  # the name `events` is a method here
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.usage import SessionUsage
from realtime_trio.errors import LocalProtocolError

from .agent_control import AgentControl
from .event_kinds import check_kinds
from .mcp_control import McpControl
from .notices import Notice
from .sound import SoundState
from .statistics import SessionStatistics, statistics_of
from .subscription import Lagged, Subscription
from .turn_calls import TurnCalls

__all__ = ["Session"]

_LARGEST_APPEND = 1 << 20  # bytes of audio in one event; the server takes 15 MiB, but a writer is freed sooner

E = TypeVar("E")


class Session(TurnCalls, AgentControl, McpControl):
    """A conversation with the model. Made by `realtime_trio.open_session`."""

    @property
    def conversation(self) -> Conversation:
        """The live mirror of the conversation, in the server's order."""
        return self._engine.conversation

    def __repr__(self) -> str:
        return f"<Session {self.config.id or 'not created yet'}{' over' if self._engine.lifetime.over else ''}>"

    # Audio

    async def append_audio(self, pcm: bytes) -> None:
        """Append audio to the input buffer, in the session's input format (24 kHz mono PCM16LE unless configured).

        There is no acknowledgement: it returns when the writer took it, which is later on a slow link.

        Args:
            pcm: Any length; whole samples.

        Raises:
            LocalProtocolError: Half a sample, or not bytes; nothing was sent.

        Cancellation:
            Audio that the writer has not taken yet is not sent.
        """
        if not isinstance(pcm, bytes | bytearray | memoryview):
            raise LocalProtocolError(f"audio is bytes, not {type(pcm).__name__}. Nothing was sent.")
        self._engine.check_asking()
        pcm = bytes(pcm)
        linear = self._engine.sound.input_format == "audio/pcm"
        if len(pcm) % 2 and linear:
            raise LocalProtocolError(f"{len(pcm)} bytes are not whole samples of PCM16: send an even number of bytes")
        for start in range(0, len(pcm), _LARGEST_APPEND):
            chunk = pcm[start : start + _LARGEST_APPEND]
            samples = len(chunk) // 2 if linear else len(chunk) * 3  # G.711: a byte is a sample, of 8 kHz
            await self._engine.uplink.send_audio(chunk, samples, trio.current_time())

    # The user's side of a device

    @property
    def muted(self) -> bool:
        """Whether the microphone is muted."""
        return self._engine.sound.capture.uplink.muted

    def mute(self) -> None:
        """Let nothing of the microphone be heard. Under turn detection silence is sent, so that no turn hangs."""
        self._engine.sound.capture.uplink.mute(muted=True)

    def unmute(self) -> None:
        """Let the microphone be heard again; what was said while it was muted never is."""
        self._engine.sound.capture.uplink.mute(muted=False)

    def press(self) -> None:
        """Begin to speak, by a key (push-to-talk): what is being said stops, and the microphone is sent from now on.

        The 300 ms before are sent too, so that the first syllable is not lost. Pressing again changes nothing.

        Raises:
            LocalProtocolError: There is no device, or turn detection is on; nothing was done.
        """
        self._check_push_to_talk()
        self._engine.push_to_talk.press()

    async def release(self) -> str | None:
        """Stop speaking: what was said since `press` becomes a user item, and an answer is asked for.

        What the microphone gives late but was said before still belongs to it; that takes as long as the microphone's
        latency, half a second at most.

        Returns:
            The item's id; None when the key was not pressed, or for less than 100 ms. Such a tap has stopped what was
            being said, and does nothing else.

        Raises:
            ServerError: The server refused the audio.
            NotAcknowledged: The server did not answer.
            LocalProtocolError: There is no device, or turn detection is on.

        Cancellation:
            The key is released; what was sent becomes an item, and is not answered.
        """
        self._check_push_to_talk()
        turn = self._engine.push_to_talk.release()
        if turn is None:
            await trio.lowlevel.checkpoint()
            return None
        try:
            return await turn.item_id.wait()
        except trio.Cancelled:
            self._engine.push_to_talk.forget(turn)
            raise

    def sound(self) -> SoundState:
        """Return how loud, how open and how free of echo the device is at this moment."""
        return self._engine.sound.state()

    def _check_push_to_talk(self) -> None:
        self._engine.check_asking()
        if self._engine.sound.device is None:
            raise LocalProtocolError(
                "push-to-talk is for a session with a device; without one use append_audio, commit_audio and respond"
            )
        if self._engine.sound.capture.uplink.continuous:
            raise LocalProtocolError(
                "push-to-talk needs manual turns: turn_detection=None in open_session, or in update"
            )

    async def drained(self) -> None:
        """Wait until nothing is being generated for the conversation and all sound that was received was heard.

        Cancellation:
            Safe: everything goes on.
        """
        await self._engine.drained()

    @property
    def usage(self) -> SessionUsage:
        """What the session used so far: tokens by kind, the transcription apart, responses, turns and minutes."""
        return self._engine.accounts.usage

    @property
    def cost(self) -> Decimal | None:
        """What that costs by the table that was given as `open_session(prices=...)`; None without one."""
        return self._engine.accounts.cost

    def statistics(self) -> SessionStatistics:
        """Return counts and lengths of this moment; also when the session is over. It costs some microseconds."""
        return statistics_of(self._engine)

    @overload
    def events(self, *, size: int = 1024) -> "Subscription[wire.ServerEvent | Notice | Lagged]": ...
    @overload
    def events(self, kind: type[E], /, *kinds: type[E], size: int = 1024) -> Subscription[E | Lagged]: ...
    def events(self, *kinds: type[Any], size: int = 1024) -> Subscription[Any]:
        """Subscribe to the server's events and the session's notices, from now on and in order.

        Args:
            kinds: Classes of `realtime_trio.events` or of notices; none for all.
            size: Values held for a slow reader; beyond that the oldest go, and the next one received is `Lagged(n)`.

        Raises:
            ConfigurationError: Something is no class; the words say which is meant.
        """
        check_kinds(kinds)
        return self._engine.subscribers.to_events(kinds, size)
