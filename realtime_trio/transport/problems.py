"""Words and types for a connection that did not come about: what was tried, what it means, what may help.

Nothing is connected here.
"""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Final

from realtime_trio.errors import ConnectError, Refused

from .http_dates import unix_time

__all__ = ["refusal", "refusal_in", "tcp_problem", "tls_problem"]

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] +([1-5]\d\d)[^\r\n]*\r?\n")
_SWITCHING: Final = 101
_MOST_BODY: Final = 4000
_MOST_SAID: Final = 500
_CURES: Final = {
    401: "the key is missing, wrong or revoked (OPENAI_API_KEY)",
    403: "the key may not do this, or not from this region",
    404: "there is nothing at this path, or no such model: check url= and model=",
    426: "this is not the address of a WebSocket: check url=",
    429: "too many requests, or the quota is used up",
    503: "the server has too much to do: try again later",
}
_SERVER_ERRORS: Final = range(500, 600)
_THEIR_FAULT: Final = "the server failed, not this program: try again, and report it there if it goes on"


def refusal(
    where: str, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, redact: Callable[[str], str]
) -> Refused:
    """Make the error for an answer with another status than 101; `redact` takes out the credentials that it quotes."""
    fields = {name.lower(): value.decode("latin-1") for name, value in headers}
    text = body[:_MOST_BODY].decode("utf-8", "replace").strip()
    said = _message_in(text)
    parts = [f"{where} refused the connection with status {status}"]
    if cure := _CURES.get(status, _THEIR_FAULT if status in _SERVER_ERRORS else ""):
        parts.append(cure)
    if location := fields.get(b"location"):
        parts.append(f"it points to {redact(location.partition('?')[0])}")
    if said:
        parts.append(f"it says: {redact(said)[:_MOST_SAID]}")
    wait = _seconds(fields.get(b"retry-after"), time.time())
    if wait is not None:
        parts.append(f"it may be asked again in {wait:.0f} s")
    return Refused("; ".join(parts), status=status, body=redact(text), retry_after=wait)


def refusal_in(where: str, received: bytes, redact: Callable[[str], str]) -> Refused | None:
    """Find a refusal in raw bytes, for an answer that ends by hanging up and so never counts as complete."""
    match = _STATUS_LINE.match(received)
    if match is None or int(match[1]) == _SWITCHING:
        return None
    head, _, body = received.partition(b"\r\n\r\n")
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return refusal(where, int(match[1]), [(name.strip(), value.strip()) for name, _, value in pairs], body, redact)


def tcp_problem(host: str, port: int, error: Exception) -> ConnectError:
    """Make the error for a name that does not resolve, or a TCP connection that did not come about."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return ConnectError(f"the name {host!r} does not resolve ({error}): is the URL right, and the network up?")
    reasons = _os_reasons(error)
    cure = "is a server running there?" if "refused" in reasons else "is the network up, and the address right?"
    return ConnectError(f"no connection to {host} port {port} ({reasons}): {cure}")


def tls_problem(host: str, port: int, cause: BaseException | None) -> ConnectError:
    """Make the error for TLS that did not come about."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ConnectError(
            f"the certificate of {host} is not accepted ({cause.verify_message}): if it is signed by an authority of "
            "your own, pass an ssl_context= that trusts it; if not, this machine may lack its CA certificates"
        )
    if isinstance(cause, ssl.SSLError):
        return ConnectError(
            f"no TLS with {host} port {port} ({cause.reason or 'protocol error'}): if that server speaks plain text, "
            "the URL begins with ws://"
        )
    return ConnectError(f"{host} port {port} hung up during the TLS handshake")


def _os_reasons(error: BaseException) -> str:
    """Collect what the operating system said: Trio tries each address and groups the failures under the cause."""
    causes = error.__cause__.exceptions if isinstance(error.__cause__, BaseExceptionGroup) else (error.__cause__,)
    words = [str(cause.strerror) for cause in causes if isinstance(cause, OSError) and cause.strerror]
    # Trio words it as "[Errno 111] Connection refused"-like for some platforms: take what reads best
    words = words or [str(error)]
    return ", ".join(dict.fromkeys(word.lower() for word in words))


def _message_in(text: str) -> str:
    """Find the words in an error body, which is JSON at OpenAI and anything elsewhere."""
    try:
        value = json.loads(text)
        error = value.get("error", value)
        message = error.get("message") if isinstance(error, dict) else error
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        # a page for a browser says nothing in its first line
        message, code = ("" if text.startswith("<") else text.partition("\n")[0]), None
    words = message if isinstance(message, str) else ""
    return f"{words} ({code})" if isinstance(code, str) and code not in words else words


def _seconds(value: str | None, now: float) -> float | None:
    """Read Retry-After: seconds, or a date (`now` is Unix time)."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
        return float(value)
    date = unix_time(value)
    return None if date is None else max(0.0, date - now)
