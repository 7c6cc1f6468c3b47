"""The WebSocket link: text messages in, text messages out, and an end that comes in bounded time and has a reason.

This package alone knows `trio_websocket`; its exceptions and everybody else's become ours here. Events, queues and the
order of what is sent are the connection's business. What a link is stands in
`contract`, how one is opened in `client` and `serving`, what it does in `websocket` and, below that, `link`.

How an end is noticed, and who says why:

- The peer says CLOSE: its code and reason.
- The link drops: code 1006.
- Sending makes no progress for `send_timeout`: 1006 "stalled". trio-websocket answers pings under its send lock, so a
  blocked uplink stops its reader too; without this rule nobody would ever notice.
- Nothing at all arrives for `pong_timeout` after our ping while we listen: 1006 "keepalive". "While we listen" matters:
  trio-websocket reads on only when its last message was taken, so a missing pong says nothing about the link as long
  as the application leaves messages lying. The stopwatch therefore runs only while a read is waiting for bytes, and
  any bytes count as a sign of life, since a pong may stand behind a long message.
"""

from .client import open_websocket, websocket_over
from .contract import Connect, MessageStream, Target
from .serving import Handshake, receive_handshake

__all__ = [
    "Connect",
    "Handshake",
    "MessageStream",
    "Target",
    "open_websocket",
    "receive_handshake",
    "websocket_over",
]
