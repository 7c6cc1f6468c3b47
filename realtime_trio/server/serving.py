"""Serves sessions to clients on sockets and in memory: `open_server` for programs and tests, `serve_realtime` below it.

What a session is, is in `protocol`; how one is run, in `driver`; who is let in, in `admission`; how a client is
served from the handshake on, and what can be done to it from outside, in `clients`.
"""

import logging
import math
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, NoReturn

import attrs
import trio
import trio.testing

from realtime_trio.errors import ConfigurationError, ConnectError
from realtime_trio.nursery import Services, open_services
from realtime_trio.server.admission import PATH, Admission
from realtime_trio.server.brain import RulesBrain
from realtime_trio.server.clients import Clients
from realtime_trio.server.crowd import Crowd
from realtime_trio.server.fittings import choose_fittings
from realtime_trio.server.guesses import SESSION_SECONDS
from realtime_trio.server.hosted_tools import HostedTools, McpTools
from realtime_trio.server.misbehaviour import GOOD_BEHAVIOUR, Misbehaviour
from realtime_trio.server.seams import Brain, Recogniser, Source, SpokenWord, TurnDetector, Voice
from realtime_trio.server.turn_detection import EnergyTurnDetector
from realtime_trio.transport import MessageStream, Target, websocket_over

__all__ = ["Server", "open_server", "serve_realtime"]

_logger = logging.getLogger("realtime_trio.server")
_LARGEST_PORT = 65535
_MOST_SESSIONS = 100
_NO_MCP: McpTools = {}


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
    _clients: Clients = attrs.field(repr=False, alias="clients")
    _services: Services = attrs.field(repr=False, alias="services")
    _open: bool = attrs.field(default=True, init=False, repr=False)

    def close(self) -> None:
        """Take no more clients in memory. Sessions go on until the server's block ends."""
        self._open = False

    # ---- what goes wrong when a test wants it ----

    @property
    def sessions(self) -> tuple[int, ...]:
        """The sessions in progress, by their numbers: they are counted from 1 in the order in which they begin."""
        return tuple(self._clients.sessions)

    def refuse(
        self,
        times: float = 1,
        *,
        status: int = 503,
        body: str | bytes | None = None,
        retry_after: float | str | None = None,
    ) -> None:
        """Refuse the clients that come next, whoever they are.

        Args:
            times: How many; `math.inf` for all, 0 to let them in again.
            status: The HTTP status of the answer.
            body: What it says; by default an error in the API's form.
            retry_after: Its `Retry-After`: seconds, or a date of HTTP's. None for none.

        Raises:
            ConfigurationError: A number makes no sense.
        """
        self._clients.refuse(times, status=status, body=body, retry_after=retry_after)

    def drop_sessions(self, *numbers: int) -> int:
        """Let the connections of sessions break off, at once and without a word, as networks do.

        On a socket it is a reset. In memory both directions end.

        Args:
            *numbers: Which sessions; all in progress if none is named.

        Returns:
            How many there were.
        """
        return self._clients.drop(numbers)

    def close_sessions(self, *numbers: int, code: int = 1011, reason: str = "") -> int:
        """Close sessions as the server's own decision, behind what is on its way to them.

        Args:
            *numbers: Which sessions; all in progress if none is named.
            code: The WebSocket close code.
            reason: A few words for the client.

        Returns:
            How many there were.

        Raises:
            ConfigurationError: There is no such code, or the reason is too long.
        """
        return self._clients.close(numbers, code, reason)

    # ---- what only the server knows ----

    def spoken_words(self, item_id: str) -> tuple[SpokenWord, ...]:
        """Tell when each word of an assistant's item is spoken: the truth that a test holds an estimate against.

        The words joined are the whole transcript, and a word's `start` is the sample (at 24 kHz, so 24 to the
        millisecond) of the item's sound at which the voice begins to say it. A truncation takes nothing away.

        Args:
            item_id: An item of a session that goes on. While it is generated, the words are those told so far.

        Raises:
            LookupError: No session has such an item (any more): it ended, or the item was deleted.
        """
        for session in self._clients.sessions.values():
            words = session.protocol.spoken_words(item_id)
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
        self._services.start_soon(self._clients.serve, stream)

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
    session_seconds: float = SESSION_SECONDS,
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
        session_seconds: How old a session may become: then it is told so, and closed with code 1001.
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
    if not 1 <= session_seconds < math.inf:
        raise ConfigurationError(f"session_seconds={session_seconds!r}: it must be at least 1, and have an end")
    voices, recognisers = await choose_fittings(voice, recogniser, in_process=not listen)
    async with AsyncExitStack() as stack:
        clients = Clients(
            brain=brain or RulesBrain(),
            voice=await stack.enter_async_context(voices.open()),
            recogniser=await stack.enter_async_context(recognisers.open()),
            turn_detector=turn_detector,
            speed=speed,
            admission=Admission(api_key=api_key, origins=frozenset(origins)),
            crowd=Crowd(max_sessions),
            hosted=HostedTools(mcp),
            misbehaviour=misbehaviour,
            session_seconds=session_seconds,
        )
        listeners = await trio.open_tcp_listeners(port, host=host) if listen else []
        services = await stack.enter_async_context(open_services("the offline server"))
        server = _server(host, listeners, f"{voices.description}; {recognisers.description}", clients, services)
        if listeners:
            services.start_soon(trio.serve_listeners, clients.serve, listeners)
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
    session_seconds: float = SESSION_SECONDS,
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
        session_seconds: See there.
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
        session_seconds=session_seconds,
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
    clients: Clients,
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
        clients=clients,
        services=services,
    )
