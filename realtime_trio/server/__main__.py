"""`python -m realtime_trio.server`: runs the offline server until Ctrl-C. What it serves is in `serving`."""

import argparse
import errno
import sys
from contextlib import AsyncExitStack

import trio

from realtime_trio.errors import ConfigurationError
from realtime_trio.server.guesses import SESSION_SECONDS
from realtime_trio.server.serving import open_server

_INTERRUPTED = 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m realtime_trio.server",
        description="An offline stand-in for OpenAI's Realtime API, with a simple brain. Ctrl-C ends it. "
        "It listens on this machine only, and refuses web pages, unless it is told otherwise.",
        epilog="Exit code: 1 when it cannot listen there, 2 when the arguments make no sense, 130 after Ctrl-C.",
    )
    parser.add_argument("--port", type=int, default=0, help="the port (default: 0, which takes a free one)")
    parser.add_argument("--host", default="127.0.0.1", help="the address; beware, nothing is encrypted (%(default)s)")
    parser.add_argument("--speed", type=float, default=4.0, help="times faster than real time (%(default)s; inf)")
    parser.add_argument(
        "--origin", action="append", default=[], help="a web origin whose pages may connect, or *; may be repeated"
    )
    parser.add_argument(
        "--session-seconds",
        type=float,
        default=SESSION_SECONDS,
        help="how old a session may become before it is closed, as the real server does (%(default)s)",
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> int:
    opening = open_server(
        host=arguments.host,
        port=arguments.port,
        speed=arguments.speed,
        origins=arguments.origin,
        session_seconds=arguments.session_seconds,
    )
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(opening)
        except OSError as error:
            print(f"error: {_in_words(error, arguments)}", file=sys.stderr)
            return 1
        print(f"listening on {server.url}", flush=True)
        print(server.description, file=sys.stderr, flush=True)
        await trio.sleep_forever()
    return 0


def _in_words(error: OSError, arguments: argparse.Namespace) -> str:
    where = f"port {arguments.port} on {arguments.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use: choose another with --port, or 0 for any"
    return f"{where} cannot be listened on: {error.strerror or error}"


def main() -> int:
    """Run the server and say how it ended."""
    try:
        return trio.run(_serve, _arguments())
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
