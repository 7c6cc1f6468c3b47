"""Serves each client of a server, from the handshake to the end of its session, and does to it what a test asks for.

What a session is, is in `protocol`; how one is run, in `driver`; who is let in, in `admission`; listening is the
business of `serving`.
"""

import email.utils
import logging
import socket
import struct
import time
from collections.abc import Callable, Sequence

import attrs
import trio

from realtime_trio import events
from realtime_trio.errors import ConfigurationError, ConnectError, ConnectionClosed
from realtime_trio.server.admission import Admission, Refusal, asked_refusal, subprotocol, too_many_sessions
from realtime_trio.server.crowd import Crowd
from realtime_trio.server.driver import SessionDriver
from realtime_trio.server.hosted_tools import HostedTools
from realtime_trio.server.misbehaviour import Misbehaviour
from realtime_trio.server.protocol import RealtimeProtocol
from realtime_trio.server.seams import Brain, Recogniser, TurnDetector, Voice
from realtime_trio.transport import Handshake, MessageStream, receive_handshake

__all__ = ["Clients"]

_logger = logging.getLogger("realtime_trio.server")
_GOODBYE = 1.0  # seconds
MOST_CHARACTERS = 32 * 2**20
"""Of one message: the largest append that is documented, 15 MiB, has 20 Mi."""
_BETA_GONE = "The Realtime beta API is no longer supported. Please use the GA API."
_MOST_REASON = 123  # bytes, in a frame of WebSocket's
_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})  # that may stand in such a frame
_RESET = struct.pack("ii", 1, 0)  # linger for no time: what is not sent is dropped, and the peer told so


@attrs.define(eq=False)
class _Session:
    """A session in progress.

    Attributes:
        protocol: What it is.
        driver: Runs it.
        breaking_off: Whether its connection is to end without a word.
        scope: Where it runs.
    """

    protocol: RealtimeProtocol
    driver: SessionDriver
    breaking_off: bool = attrs.field(default=False, init=False)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)


@attrs.define(eq=False, kw_only=True)
class Clients:
    """The clients of one server. The attributes are what their sessions share.

    Attributes:
        brain: Answers.
        voice: Speaks.
        recogniser: Hears; None when nobody does.
        turn_detector: Makes the turn detector of each session.
        speed: How many times faster than real time audio is sent.
        admission: The rules at the door.
        crowd: How many there may be.
        hosted: The MCP servers.
        misbehaviour: What goes wrong in each session.
        session_seconds: How old a session may become.
        sessions: Those in progress, by their numbers from 1.
    """

    brain: Brain
    voice: Voice
    recogniser: Recogniser | None
    turn_detector: Callable[[], TurnDetector]
    speed: float
    admission: Admission
    crowd: Crowd
    hosted: HostedTools
    misbehaviour: Misbehaviour
    session_seconds: float
    sessions: dict[int, _Session] = attrs.field(factory=dict, init=False)
    _begun: int = attrs.field(default=0, init=False)
    _to_refuse: float = attrs.field(default=0, init=False)
    _refusal: Refusal | None = attrs.field(default=None, init=False)

    # ---- on request ----

    def refuse(self, times: float, *, status: int, body: str | bytes | None, retry_after: float | str | None) -> None:
        """Refuse the clients that come next; see `Server.refuse`.

        Raises:
            ConfigurationError: A number makes no sense.
        """
        if not times >= 0:
            raise ConfigurationError(f"times={times!r}: it is a number of clients, from 0")
        self._refusal = asked_refusal(status, body, retry_after)
        self._to_refuse = times

    def drop(self, numbers: Sequence[int]) -> int:
        """Break off the connections of sessions, of all if none is named; return how many there were."""
        sessions = self._named(numbers)
        for session in sessions:
            session.breaking_off = True
            session.scope.cancel(reason="a test wants the connection to break off")
        return len(sessions)

    def close(self, numbers: Sequence[int], code: int, reason: str) -> int:
        """Close sessions, all if none is named; return how many there were.

        Raises:
            ConfigurationError: There is no such code, or the reason is too long.
        """
        if code not in _CODES:
            raise ConfigurationError(f"code={code!r}: no CLOSE can say that (1000 to 1003, 1007 to 1014, 3000 to 4999)")
        if len(reason.encode()) > _MOST_REASON:
            raise ConfigurationError(f"a reason has {_MOST_REASON} bytes at most, this one has {len(reason.encode())}")
        sessions = self._named(numbers)
        for session in sessions:
            session.driver.close(code, reason)
        return len(sessions)

    def _named(self, numbers: Sequence[int]) -> list[_Session]:
        return [session for number, session in self.sessions.items() if not numbers or number in numbers]

    # ---- one client ----

    @trio.lowlevel.enable_ki_protection
    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one client, whatever it does: its end is never the server's.

        Cancellation:
            Ends its session.

        Tasks:
            The session's.
        """
        try:
            with self.crowd.at_the_door() as scope:
                async with receive_handshake(stream, max_message_size=MOST_CHARACTERS) as handshake:
                    await self._answer(handshake, stream, scope)
        except (ConnectError, ConnectionClosed, trio.BrokenResourceError) as error:
            _logger.debug("A client is gone: %s", error)
        except Exception:  # the last line of defence for the other sessions
            _logger.exception("A session crashed. Please report it.")

    async def _answer(self, handshake: Handshake, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        unix_time = int(time.time())
        date = ("Date", email.utils.formatdate(unix_time, usegmt=True))
        refusal = self._asked_for() or self.admission.refusal(handshake)
        if refusal is None and self.crowd.is_full:
            refusal = too_many_sessions()
        if refusal is not None:
            _logger.debug("A client is refused: %d", refusal.status)
            await handshake.reject(refusal.status, refusal.body, (date, *refusal.headers))
            return
        with self.crowd.let_in(scope):
            link = await handshake.accept(headers=[date], subprotocol=subprotocol(handshake))
            if Admission.wants_beta(handshake):
                await _say_that_beta_is_gone(link)
                return
            protocol = RealtimeProtocol(
                turn_detector=self.turn_detector(),
                now=trio.current_time(),
                model=handshake.query.get("model", ""),
                kind=Admission.kind(handshake),
                unix_time=unix_time,
                session_seconds=self.session_seconds,
                misbehaviour=self.misbehaviour,
            )
            await self._serve_session(protocol, link, stream)

    def _asked_for(self) -> Refusal | None:
        if self._to_refuse <= 0:
            return None
        self._to_refuse -= 1
        return self._refusal

    async def _serve_session(self, protocol: RealtimeProtocol, link: MessageStream, stream: trio.abc.Stream) -> None:
        driver = SessionDriver(
            link,
            protocol,
            brain=self.brain,
            voice=self.voice,
            recogniser=self.recogniser,
            speed=self.speed,
            hosted=self.hosted,
            misbehaviour=self.misbehaviour,
        )
        self._begun += 1
        number = self._begun
        session = self.sessions[number] = _Session(protocol, driver)
        _logger.debug("Session %d begins; there are %d now.", number, len(self.sessions))
        try:
            with session.scope:
                await driver.run()
        finally:
            del self.sessions[number]
            if session.breaking_off:
                if isinstance(stream, trio.SocketStream):
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                await trio.aclose_forcefully(stream)
            with trio.move_on_after(_GOODBYE, shield=True):
                await link.aclose(1001, "the server has ended")  # nothing happens if the client has gone before


async def _say_that_beta_is_gone(link: MessageStream) -> None:
    details = events.ErrorDetails(
        type="invalid_request_error", code="beta_api_shape_disabled", message=_BETA_GONE, param=None, event_id=None
    )
    await link.send_message(events.encode(events.Error(event_id="event_beta", error=details)))
    await link.aclose(4000, "invalid_request_error.beta_api_shape_disabled")
