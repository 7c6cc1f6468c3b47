"""What a link is to those who use it: whole text messages, and where they go.

How one is made is in the other modules.
"""

import ssl
import urllib.parse
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

import attrs

from realtime_trio.config import secrets_in, shown_url
from realtime_trio.errors import redact

__all__ = ["MAX_MESSAGE_SIZE", "Connect", "MessageStream", "Target"]

MAX_MESSAGE_SIZE: Final = 64 * 2**20
"""Characters that one message may have by default."""


class MessageStream(Protocol):
    """A link that carries whole text messages. `open_websocket` gives one; a user's own `connect` may give another.

    One that knows more may say so in attributes: how long a message takes to its peer and back in `round_trip`
    (seconds, or None); what the server's clock said when the link came about in `server_time` (Unix seconds, or None),
    and when that was in `opened_at` (Trio's time, or None). A session knows by them, and by what the server says of
    its own end, how old the link may become, whatever the clock of this machine says.
    """

    async def send_message(self, message: str, /) -> None:
        """Send one message; only one task at a time does, and it is not cancelled in the middle.

        Raises:
            ConnectionClosed: The link is over. From then on `receive_message` hands out what had arrived, and raises.

        Cancellation:
            May leave part of the message on the wire: nothing can be sent after it.
        """

    async def receive_message(self) -> str:
        """Wait for the next message.

        Raises:
            ConnectionClosed: The link is over and every message was handed out.
            RemoteProtocolError: Something arrived that is not text. The link goes on.

        Cancellation:
            Safe: a cancelled call consumes nothing.
        """
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and let go of everything, within half a second whatever the peer does. Nothing is raised.

        Cancellation:
            Closes all the same, and is not heard before that.
        """


@attrs.frozen(kw_only=True)
class Target:
    """Where to connect, what to send along, and how long to wait for what."""

    url: str = attrs.field(repr=lambda url: repr(shown_url(url)))
    """The whole `ws://` or `wss://` URL."""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=lambda pairs: repr([name for name, _ in pairs]))
    """Headers of the handshake; their values are not shown."""
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    """For `wss://`; None means the system's default."""
    connect_timeout: float = 15.0
    """Seconds for name resolution, TCP, TLS and the handshake together."""
    send_timeout: float = 5.0
    """Seconds without progress in sending after which the link counts as dead."""
    ping_interval: float = 20.0
    """Seconds between our pings."""
    pong_timeout: float = 20.0
    """Seconds of silence after a ping after which the link counts as dead."""
    close_timeout: float = 0.5
    """Seconds that the goodbye may take."""
    max_message_size: int = MAX_MESSAGE_SIZE
    """Characters that one message may have; a longer one ends the connection with code 1009."""

    @property
    def host(self) -> str:
        """The host, without brackets."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, 443 or 80 if the URL names none."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether the URL asks for TLS."""
        return self.url.startswith("wss:")

    def redact(self, text: str) -> str:
        """Take its credentials, and all that looks like one, out of a text: a server may quote them."""
        return redact(text, *secrets_in(self.url, self.headers))


Connect: TypeAlias = Callable[[Target], AbstractAsyncContextManager[MessageStream]]
"""What opens the link to a target: `open_websocket`, or a scripted peer's `connect`."""
