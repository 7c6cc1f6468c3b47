"""Serves sessions to clients on sockets and in memory: `open_server` for programs and tests, `serve_realtime` below it.

What a session is, is in `protocol`; how one is run, in `driver`; who is let in, in `admission`.
"""

import functools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, NoReturn

import attrs
import trio
import trio.testing

from realtime_trio import events
from realtime_trio.errors import ConfigurationError, ConnectError, ConnectionClosed
from realtime_trio.nursery import Services, open_services
from realtime_trio.server.admission import PATH, Admission, subprotocol, too_many_sessions
from realtime_trio.server.brain import RulesBrain
from realtime_trio.server.crowd import Crowd
from realtime_trio.server.driver import SessionDriver
from realtime_trio.server.fittings import choose_fittings
from realtime_trio.server.hosted_tools import HostedTools, McpTools
from realtime_trio.server.misbehaviour import GOOD_BEHAVIOUR, Misbehaviour
from realtime_trio.server.protocol import RealtimeProtocol
from realtime_trio.server.seams import Brain, Recogniser, Source, SpokenWord, TurnDetector, Voice
from realtime_trio.server.turn_detection import EnergyTurnDetector
from realtime_trio.transport import Handshake, MessageStream, Target, receive_handshake, websocket_over

__all__ = ["Server", "open_server", "serve_realtime"]

_logger = logging.getLogger("realtime_trio.server")
_GOODBYE = 1.0  # seconds
_LARGEST_PORT = 65535
_MOST_SESSIONS = 100
MOST_CHARACTERS = 32 * 2**20
"""Of one message: the largest append that is documented, 15 MiB, has 20 Mi."""
_NO_MCP: McpTools = {}
_BETA_GONE = "The Realtime beta API is no longer supported. Please use the GA API."


@attrs.frozen(kw_only=True)
class _Fittings:
    """What a server's sessions share."""

    brain: Brain
    voice: Voice
    recogniser: Recogniser | None
    turn_detector: Callable[[], TurnDetector]
    speed: float
    admission: Admission
    crowd: Crowd
    hosted: HostedTools
    misbehaviour: Misbehaviour
    sessions: set[RealtimeProtocol] = attrs.field(factory=set, eq=False)


@attrs.define(eq=False, kw_only=True)
class Server:
    """A running offline server.

    Attributes:
        url: Where to connect, for `open_session(url=server.url)`: `ws://127.0.0.1:PORT/v1/realtime`.
        base_url: The same for clients that take the API's base, such as OpenAI's own: `http://127.0.0.1:PORT/v1`.
        port: The port; 0 when the server listens in memory only.
        description: For people: which brain, voice and recogniser it has, and what to install for better ones.
    """

    url: str
    base_url: str
    port: int
    description: str
    _fittings: _Fittings = attrs.field(repr=False, alias="fittings")
    _services: Services = attrs.field(repr=False, alias="services")
    _open: bool = attrs.field(default=True, init=False, repr=False)

    def close(self) -> None:
        """Take no more clients in memory. Sessions go on until the server's block ends."""
        self._open = False

    def spoken_words(self, item_id: str) -> tuple[SpokenWord, ...]:
        """Tell when each word of an assistant's item is spoken: the truth that a test holds an estimate against.

        The words joined are the whole transcript, and a word's `start` is the sample (at 24 kHz, so 24 to the
        millisecond) of the item's sound at which the voice begins to say it. A truncation takes nothing away.

        Args:
            item_id: An item of a session that goes on. While it is generated, the words are those told so far.

        Raises:
            LookupError: No session has such an item (any more): it ended, or the item was deleted.
        """
        for session in self._fittings.sessions:
            words = session.spoken_words(item_id)
            if words is not None:
                return words
        raise LookupError(f"no session in progress has an item {item_id!r}")

    def accept_stream(self, stream: trio.abc.Stream, /) -> None:
        """Serve a client that is at the other end of a byte stream, for example one in memory.

        Args:
            stream: The server's end. It is closed when the client is gone.

        Raises:
            ConnectError: The server has ended.
        """
        if not self._open:
            raise ConnectError("the offline server has ended")
        self._services.start_soon(_serve_stream, self._fittings, stream)

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncGenerator[MessageStream]:
        """Connect in memory: for `open_session(connect=server.connect)`, also under Trio's autojump clock.

        Args:
            target: Its path, query and headers count; its host does not.

        Yields:
            The link.

        Raises:
            ConnectError: The server has ended.
            Refused: It does not let this client in.

        Cancellation:
            Closes the link.

        Tasks:
            The session's, among the server's.
        """
        ours, theirs = trio.testing.memory_stream_pair()
        self.accept_stream(theirs)
        async with websocket_over(ours, target) as link:
            yield link


@asynccontextmanager
async def open_server(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    listen: bool = True,
    brain: Brain | None = None,
    voice: Voice | Source[Voice] | None = None,
    recogniser: Recogniser | Source[Recogniser] | Literal["none"] | None = None,
    turn_detector: Callable[[], TurnDetector] = EnergyTurnDetector,
    speed: float = 4.0,
    api_key: str | None = None,
    origins: Collection[str] = (),
    max_sessions: int = _MOST_SESSIONS,
    mcp: McpTools = _NO_MCP,
    misbehaviour: Misbehaviour = GOOD_BEHAVIOUR,
) -> AsyncGenerator[Server]:
    """Run an offline server for as long as the block lasts.

    Args:
        host: The address to listen at. Only loopback unless you say otherwise: there is no encryption.
        port: The port; 0 takes a free one.
        listen: False opens no socket, no process and no thread: then `server.connect` is the way in, and the defaults
            are the babble voice and no recogniser. This form runs under Trio's autojump clock.
        brain: Answers: an async generator function from a `BrainRequest` to text, sound and tool calls, or a bad end
            (`Failed`, `Incomplete`). By default a simple one of rules.
        voice: Speaks; by default the best that is installed.
        recogniser: Hears; by default the best that is installed, which may be none. `"none"` wants none.
        turn_detector: Makes the turn detector of each session.
        speed: How many times faster than real time audio is sent. With `math.inf` a long answer is generated before
            its first words are heard; with 1 it is still being generated while its last ones are.
        api_key: A key that clients must show. By default any will do, and none.
        origins: Web origins whose pages may connect, `"*"` for all; none by default.
        max_sessions: How many there may be at once; who comes then is refused with HTTP 503.
        mcp: The remote MCP servers that it plays: by their label the tools that they have, functions as
            `realtime_trio.tool` takes them. A session finds them under these labels, whatever their URL. A function
            that is not async runs in a worker thread; `ReadOnly(function)` marks one that changes nothing, and
            `McpCallError` is for those that fail.
        misbehaviour: What goes wrong, or comes late, in each session; nothing by default.

    Yields:
        The server, ready.

    Raises:
        ConfigurationError: An argument makes no sense.
        OSError: The address is taken, or not of this machine.

    Cancellation:
        Ends all sessions.

    Tasks:
        Those of the server and its sessions. A session's crash is logged and ends that session alone.
    """
    if not speed > 0:
        raise ConfigurationError(f"speed={speed!r}: it must be above 0 (math.inf for as fast as it goes)")
    if not 0 <= port <= _LARGEST_PORT:  # the system would take it modulo 65536
        raise ConfigurationError(f"port={port!r}: it must be from 0 (any free one) to {_LARGEST_PORT}")
    if max_sessions < 1:
        raise ConfigurationError(f"max_sessions={max_sessions!r}: it must be at least 1")
    voices, recognisers = await choose_fittings(voice, recogniser, in_process=not listen)
    async with AsyncExitStack() as stack:
        fittings = _Fittings(
            brain=brain or RulesBrain(),
            voice=await stack.enter_async_context(voices.open()),
            recogniser=await stack.enter_async_context(recognisers.open()),
            turn_detector=turn_detector,
            speed=speed,
            admission=Admission(api_key=api_key, origins=frozenset(origins)),
            crowd=Crowd(max_sessions),
            hosted=HostedTools(mcp),
            misbehaviour=misbehaviour,
        )
        listeners = await trio.open_tcp_listeners(port, host=host) if listen else []
        services = await stack.enter_async_context(open_services("the offline server"))
        server = _server(host, listeners, f"{voices.description}; {recognisers.description}", fittings, services)
        if listeners:
            services.start_soon(trio.serve_listeners, functools.partial(_serve_stream, fittings), listeners)
        _logger.debug("Open at %s: %s", server.url if listen else "no socket", server.description)
        try:
            yield server
        finally:
            server.close()
            _logger.debug("Closed.")


async def serve_realtime(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    listen: bool = True,
    brain: Brain | None = None,
    voice: Voice | Source[Voice] | None = None,
    recogniser: Recogniser | Source[Recogniser] | Literal["none"] | None = None,
    turn_detector: Callable[[], TurnDetector] = EnergyTurnDetector,
    speed: float = 4.0,
    api_key: str | None = None,
    origins: Collection[str] = (),
    max_sessions: int = _MOST_SESSIONS,
    mcp: McpTools = _NO_MCP,
    misbehaviour: Misbehaviour = GOOD_BEHAVIOUR,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve until cancelled: `server = await nursery.start(serve_realtime)`.

    Args:
        host: As the rest, see `open_server`.
        port: See there.
        listen: See there.
        brain: See there.
        voice: See there.
        recogniser: See there.
        turn_detector: See there.
        speed: See there.
        api_key: See there.
        origins: See there.
        max_sessions: See there.
        mcp: See there.
        misbehaviour: See there.
        task_status: Gets the `Server` when it is ready.

    Raises:
        ConfigurationError: An argument makes no sense.
        OSError: The address is taken, or not of this machine.

    Cancellation:
        Ends all sessions. It is the only end.

    Tasks:
        As `open_server`.
    """
    async with open_server(
        host=host,
        port=port,
        listen=listen,
        brain=brain,
        voice=voice,
        recogniser=recogniser,
        turn_detector=turn_detector,
        speed=speed,
        api_key=api_key,
        origins=origins,
        max_sessions=max_sessions,
        mcp=mcp,
        misbehaviour=misbehaviour,
    ) as server:
        task_status.started(server)
        while True:
            await trio.sleep_forever()


def _server(
    host: str,
    listeners: Sequence[trio.SocketListener],
    description: str,
    fittings: _Fittings,
    services: Services,
) -> Server:
    port = int(listeners[0].socket.getsockname()[1]) if listeners else 0
    shown = f"[{host}]" if ":" in host else host
    authority = f"{shown}:{port}" if listeners else "localhost"
    return Server(
        url=f"ws://{authority}{PATH}",
        base_url=f"http://{authority}{PATH.rpartition('/')[0]}",
        port=port,
        description=description,
        fittings=fittings,
        services=services,
    )


# ---- one client ----


@trio.lowlevel.enable_ki_protection
async def _serve_stream(fittings: _Fittings, stream: trio.abc.Stream) -> None:
    """Serve one client, whatever it does: its end is never the server's."""
    try:
        with fittings.crowd.at_the_door() as scope:
            async with receive_handshake(stream, max_message_size=MOST_CHARACTERS) as handshake:
                await _serve_handshake(fittings, handshake, scope)
    except (ConnectError, ConnectionClosed, trio.BrokenResourceError) as error:
        _logger.debug("A client is gone: %s", error)
    except Exception:  # the last line of defence for the other sessions
        _logger.exception("A session crashed. Please report it.")


async def _serve_handshake(fittings: _Fittings, handshake: Handshake, scope: trio.CancelScope) -> None:
    refusal = fittings.admission.refusal(handshake) or (too_many_sessions() if fittings.crowd.is_full else None)
    if refusal is not None:
        _logger.debug("A client is refused: %d", refusal.status)
        await handshake.reject(refusal.status, refusal.body, refusal.headers)
        return
    with fittings.crowd.let_in(scope):
        await _serve_session(fittings, handshake)


async def _serve_session(fittings: _Fittings, handshake: Handshake) -> None:
    link = await handshake.accept(subprotocol=subprotocol(handshake))
    if Admission.wants_beta(handshake):
        await _say_that_beta_is_gone(link)
        return
    protocol = RealtimeProtocol(
        turn_detector=fittings.turn_detector(),
        now=trio.current_time(),
        model=handshake.query.get("model", ""),
        kind=Admission.kind(handshake),
        unix_time=int(time.time()),
        misbehaviour=fittings.misbehaviour,
    )
    driver = SessionDriver(
        link,
        protocol,
        brain=fittings.brain,
        voice=fittings.voice,
        recogniser=fittings.recogniser,
        speed=fittings.speed,
        hosted=fittings.hosted,
        misbehaviour=fittings.misbehaviour,
    )
    fittings.sessions.add(protocol)
    _logger.debug("A session begins; there are %d now.", len(fittings.sessions))
    try:
        await driver.run()
    finally:
        fittings.sessions.discard(protocol)
        with trio.move_on_after(_GOODBYE, shield=True):
            await link.aclose(1001, "the server has ended")  # nothing happens if the client has gone before


async def _say_that_beta_is_gone(link: MessageStream) -> None:
    details = events.ErrorDetails(
        type="invalid_request_error", code="beta_api_shape_disabled", message=_BETA_GONE, param=None, event_id=None
    )
    await link.send_message(events.encode(events.Error(event_id="event_beta", error=details)))
    await link.aclose(4000, "invalid_request_error.beta_api_shape_disabled")
